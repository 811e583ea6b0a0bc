"""LEGISinfo, the spine: every bill since 1994 in both languages, a session's list in one request.

The list came in two shapes, told apart by their key names: A (``NumberCode``; until January 2025, and again since
August 2026) and B (``BillNumberFormatted``; in between). Both become the same listings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal, TypeVar, overload

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from parlex.datasets.bills.bill import (
    BillType,
    LegisinfoBill,
    Listing,
    Milestones,
    Stage,
    StageCode,
    StageState,
    StatusCode,
)
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.http import Client, Tally
from parlex.fetching.strict import (
    CONFEDERATION,
    AwareTime,
    Id,
    Int64,
    NaiveTime,
    Parliament,
    Place,
    Session,
    Text,
    decode,
    json_of,
    optional,
    plausible,
    quoted,
    required,
)
from parlex.parliament import BillKey, Chamber, SessionId

NAME = "legisinfo"

T = TypeVar("T")
Shape = Literal["A", "B"]

# LEGISinfo's statuses: its id in the details, its English text, the name we know it by. The lists have only the text.
# "Awaiting royal assent" was never recorded with its id, so it is known by its text.
_STATUSES: tuple[tuple[int | None, str, StatusCode], ...] = (
    (341, "Bill defeated", StatusCode.BILL_DEFEATED),
    (342, "House of Commons bill awaiting first reading in the Senate", StatusCode.HOUSE_BILL_WAITING_SENATE),
    (343, "At second reading in the Senate", StatusCode.SENATE_AT_2ND_READING),
    (344, "At consideration in committee in the Senate", StatusCode.SENATE_IN_COMMITTEE),
    (345, "At report stage in the Senate", StatusCode.SENATE_AT_REPORT_STAGE),
    (346, "At third reading in the Senate", StatusCode.SENATE_AT_3RD_READING),
    (
        347,
        "At consideration in the Senate of amendments made by the House of Commons",
        StatusCode.SENATE_CONSIDERING_HOUSE_AMENDMENTS,
    ),
    (348, "Senate bill awaiting first reading in the House of Commons", StatusCode.SENATE_BILL_WAITING_HOUSE),
    (349, "At second reading in the House of Commons", StatusCode.HOUSE_AT_2ND_READING),
    (
        350,
        "Referred to committee before second reading in the House of Commons",
        StatusCode.HOUSE_AT_REFERRAL_BEFORE_2ND_READING,
    ),
    (
        351,
        "At report stage and second reading in the House of Commons",
        StatusCode.HOUSE_AT_REPORT_STAGE_AND_2ND_READING,
    ),
    (352, "At consideration in committee in the House of Commons", StatusCode.HOUSE_IN_COMMITTEE),
    (353, "At report stage in the House of Commons", StatusCode.HOUSE_AT_REPORT_STAGE),
    (354, "At third reading in the House of Commons", StatusCode.HOUSE_AT_3RD_READING),
    (
        355,
        "At consideration in the House of Commons of amendments made by the Senate",
        StatusCode.HOUSE_CONSIDERING_SENATE_AMENDMENTS,
    ),
    (357, "Royal assent received", StatusCode.ROYAL_ASSENT_GIVEN),
    (358, "Bill not proceeded with", StatusCode.WILL_NOT_BE_PROCEEDED_WITH),
    (359, "Introduced as pro forma bill", StatusCode.PRO_FORMA),
    (360, "Outside the Order of Precedence", StatusCode.OUTSIDE_ORDER_PRECEDENCE),
    (None, "Awaiting royal assent", StatusCode.ROYAL_ASSENT_AWAITING),
)

_TYPE_IDS = {
    3: BillType.HOUSE_GOVERNMENT,
    4: BillType.PRIVATE_MEMBERS,
    80759: BillType.SENATE_GOVERNMENT,
    80760: BillType.SENATE_PUBLIC,
    80761: BillType.SENATE_PRIVATE,
}

_SMALLINT = 2**15 - 1
_MOST_STAGES = 1_000  # of a chamber; the longest recorded has 8

_CHAMBERS = {1: Chamber.HOUSE, 2: Chamber.SENATE}

_STAGE_IDS = {
    60029: StageCode.FIRST_READING,
    60030: StageCode.SECOND_READING,
    60031: StageCode.THIRD_READING,
    60032: StageCode.REPORT,
    60033: StageCode.MESSAGES,
    60038: StageCode.PRE_STUDY,
    60039: StageCode.REINSTATED,
    60047: StageCode.REFERRAL_BEFORE_SECOND_READING,
    60048: StageCode.REPORT_AND_SECOND_READING,
    60049: StageCode.COMMITTEE,
    60050: StageCode.ROYAL_ASSENT,
    60055: StageCode.ADDITIONAL_INFORMATION,
    60074: StageCode.COMMITTEE_EVENTS,
}
_ROYAL_ASSENT_STAGE = 60050

_STAGE_STATES = {
    0: StageState.NOT_STATED,
    1: StageState.NOT_REACHED,
    2: StageState.NO_ACTIVITY,
    3: StageState.IN_PROGRESS,
    4: StageState.COMPLETED,
    5: StageState.NOT_COMPLETED,
}

_DAYS = {
    "house_first_reading_on": "PassedHouseFirstReadingDateTime",
    "house_second_reading_on": "PassedHouseSecondReadingDateTime",
    "house_third_reading_on": "PassedHouseThirdReadingDateTime",
    "senate_first_reading_on": "PassedSenateFirstReadingDateTime",
    "senate_second_reading_on": "PassedSenateSecondReadingDateTime",
    "senate_third_reading_on": "PassedSenateThirdReadingDateTime",
    "royal_assent_on": "ReceivedRoyalAssentDateTime",
}


def _fold(text: str) -> str:
    """Some copies of LEGISinfo's texts have straight quotes where it writes curly ones."""
    return text.strip().replace("’", "'").replace("‘", "'")


_STATUS_BY_TEXT = {_fold(text): (number, code) for number, text, code in _STATUSES}
_STATUS_IDS = frozenset(number for number, _, _ in _STATUSES if number is not None)
_TYPE_BY_TEXT = {_fold(bill_type): bill_type for bill_type in BillType}


class Legisinfo:
    """LEGISinfo by network. Each method raises what ``Client.get`` raises."""

    name = NAME

    def __init__(self, client: Client, base_url: str) -> None:
        self._client = client
        self._base_url = base_url

    def list_url(self, session: SessionId | None) -> str:
        """The list of a session; None is the current one, which LEGISinfo picks itself."""
        query = f"?parlsession={session}" if session else ""
        return f"{self._base_url}/legisinfo/en/bills/json{query}"

    def bill_url(self, key: BillKey) -> str:
        return f"{self._base_url}/legisinfo/en/bill/{key.session}/{key.number.lower()}/json"

    @overload
    def list_bills(self, session: SessionId | None, tally: Tally, *, background: bool = False) -> Document: ...

    @overload
    def list_bills(
        self,
        session: SessionId | None,
        tally: Tally,
        *,
        etag: str | None,
        last_modified: str | None,
        background: bool = False,
    ) -> Document | None: ...

    def list_bills(
        self,
        session: SessionId | None,
        tally: Tally,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        background: bool = False,
    ) -> Document | None:
        """The list of a session, in one request; None if it is not modified since the validators given."""
        url = self.list_url(session)
        return self._client.get(url, tally=tally, etag=etag, last_modified=last_modified, background=background)

    def fetch_bill(
        self,
        key: BillKey,
        tally: Tally,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        background: bool = False,
    ) -> Document | None:
        """A bill's detail; None if it is not modified since the validators given."""
        url = self.bill_url(key)
        return self._client.get(url, tally=tally, etag=etag, last_modified=last_modified, background=background)


@dataclass(frozen=True, slots=True)
class SessionList:
    """What one list document says.

    ``listings`` in the source's order, a row that came twice only once (``doubled`` has its key); ``rejected`` has an
    error for each row that cannot be believed, with its key where that was readable. ``fill_rates``: by field name of
    Listing and Milestones, the share of all rows that have a value. An empty list has no ``session`` and no ``shape``.
    """

    session: SessionId | None
    shape: Shape | None
    listings: tuple[Listing, ...]
    doubled: tuple[str, ...]
    rejected: tuple[DocumentError, ...]
    fill_rates: dict[str, float]


class _Row(Struct):
    """What both shapes have under the same names. Attributes are named as in Listing and Milestones."""

    parliament: Parliament = field(name="ParliamentNumber")
    session: Session = field(name="SessionNumber")
    title_en: Text = field(name="LongTitleEn")
    title_fr: Text = field(name="LongTitleFr")
    short_title_en: Text | None = field(name="ShortTitleEn")
    short_title_fr: Text | None = field(name="ShortTitleFr")
    house_first_reading_on: AwareTime | None = field(name="PassedHouseFirstReadingDateTime")
    house_second_reading_on: AwareTime | None = field(name="PassedHouseSecondReadingDateTime")
    house_third_reading_on: AwareTime | None = field(name="PassedHouseThirdReadingDateTime")
    senate_first_reading_on: AwareTime | None = field(name="PassedSenateFirstReadingDateTime")
    senate_second_reading_on: AwareTime | None = field(name="PassedSenateSecondReadingDateTime")
    senate_third_reading_on: AwareTime | None = field(name="PassedSenateThirdReadingDateTime")
    royal_assent_on: AwareTime | None = field(name="ReceivedRoyalAssentDateTime")


class _RowA(_Row):
    legisinfo_id: Id = field(name="Id")
    number: Text = field(name="NumberCode")
    status_code: Text = field(name="StatusNameEn")
    bill_type: Text = field(name="BillDocumentTypeNameEn")


class _RowB(_Row):
    legisinfo_id: Id = field(name="BillId")
    number: Text = field(name="BillNumberFormatted")
    status_code: Text = field(name="CurrentStatusEn")
    bill_type: Text = field(name="BillTypeEn")


class _Probe(Struct):
    a: Raw | UnsetType = field(name="NumberCode", default=UNSET)
    b: Raw | UnsetType = field(name="BillNumberFormatted", default=UNSET)


_ROWS = msgspec.json.Decoder(list[Raw])
_PROBE = msgspec.json.Decoder(_Probe)
_LOOSE = msgspec.json.Decoder(dict[str, Raw])
_INTEGER = msgspec.json.Decoder(Parliament)
_TEXT = msgspec.json.Decoder(Text)
_ROW_DECODERS: dict[Shape, msgspec.json.Decoder[Any]] = {
    "A": msgspec.json.Decoder(_RowA),
    "B": msgspec.json.Decoder(_RowB),
}
_KEYS: dict[Shape, dict[str, str]] = {
    "A": {f.name: f.encode_name for f in msgspec.structs.fields(_RowA)},
    "B": {f.name: f.encode_name for f in msgspec.structs.fields(_RowB)},
}
_NO_VALUE = re.compile(rb'null|"\s*"')


@dataclass(frozen=True, slots=True)
class _Line:
    """One row as far as it can be read: with ``row`` or with ``error``; the names are those of the attributes."""

    session: SessionId | None
    number: str | None
    present: frozenset[str]
    filled: frozenset[str]
    row: _RowA | _RowB | None = None
    error: DocumentError | None = None


def parse_list(document: Document) -> SessionList:
    """Read a list of one session, in either shape.

    DocumentError where the whole cannot be believed: no JSON list, neither shape, a key missing from every row, rows of
    several sessions. A single bad row is rejected, and the rest stands.
    """
    place = Place(NAME, document.url)
    rows = decode(_ROWS, json_of(document, place), place)
    if not rows:
        return SessionList(None, None, (), (), (), {})
    shape = _shape(rows, place)
    lines = [_line(raw, shape, place) for raw in rows]
    _refuse_missing_keys(lines, shape, place)
    session = _one_session(lines, place)
    listings, doubled, rejected = _listings(lines, session, shape, place)
    return SessionList(session, shape, listings, doubled, rejected, _fill_rates(lines))


def session_of(document: Document) -> SessionId | None:
    """The session that a list seems to be of; None where its rows do not tell. Whether it is, ``parse_list`` says."""
    place = Place(NAME, document.url)
    try:
        rows = decode(_ROWS, json_of(document, place), place)
        shape = _shape(rows, place)
    except DocumentError:
        return None
    return next((line.session for line in (_line(raw, shape, place) for raw in rows) if line.session), None)


def _shape(rows: Sequence[Raw], place: Place) -> Shape:
    for raw in rows:
        try:
            probe = decode(_PROBE, raw, place)
        except DocumentError:
            continue  # Not an object; it is rejected as a row later.
        if probe.a is not UNSET:
            return "A"
        if probe.b is not UNSET:
            return "B"
    raise place.error("no row has NumberCode or BillNumberFormatted: this is neither shape of the list")


def _line(raw: Raw, shape: Shape, place: Place) -> _Line:
    try:
        row: _RowA | _RowB = decode(_ROW_DECODERS[shape], raw, place)
    except DocumentError as error:
        return _bad_line(raw, shape, place, error)
    names = _KEYS[shape]
    filled = frozenset(name for name in names if _has_value(getattr(row, name)))
    return _Line(SessionId(row.parliament, row.session), row.number, frozenset(names), filled, row=row)


def _bad_line(raw: Raw, shape: Shape, place: Place, error: DocumentError) -> _Line:
    """Salvage from a bad row which bill it is about and which keys it has."""
    values = _attempt(_LOOSE, raw, place) or {}
    by_name = {name: values[key] for name, key in _KEYS[shape].items() if key in values}
    filled = frozenset(name for name, value in by_name.items() if not _NO_VALUE.fullmatch(bytes(value)))
    parliament, session = (_attempt(_INTEGER, by_name.get(name), place) for name in ("parliament", "session"))
    number = _attempt(_TEXT, by_name.get("number"), place)
    known = SessionId(parliament, session) if parliament and session else None
    return _Line(known, number, frozenset(by_name), filled, error=error)


def _attempt(decoder: msgspec.json.Decoder[T], raw: Raw | None, place: Place) -> T | None:
    try:
        return decode(decoder, raw, place) if raw is not None else None
    except DocumentError:
        return None


def _has_value(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _refuse_missing_keys(lines: Sequence[_Line], shape: Shape, place: Place) -> None:
    """A key that no row has is a new shape of the list, not a matter of rows."""
    present = frozenset().union(*(line.present for line in lines))
    for name, key in _KEYS[shape].items():
        if name not in present:
            raise place.error("is missing from every row", key)


def _one_session(lines: Sequence[_Line], place: Place) -> SessionId | None:
    sessions = sorted({line.session for line in lines if line.session})
    if len(sessions) > 1:
        named = ", ".join(str(session) for session in sessions[:5])
        raise place.error(f"holds rows of {len(sessions)} sessions: {named}", "SessionNumber")
    return sessions[0] if sessions else None


def _listings(
    lines: Sequence[_Line], session: SessionId | None, shape: Shape, place: Place
) -> tuple[tuple[Listing, ...], tuple[str, ...], tuple[DocumentError, ...]]:
    """The listings, the keys that came twice, the errors."""
    listings: dict[BillKey, Listing] = {}
    doubled: dict[BillKey, None] = {}
    contradicted: dict[BillKey, None] = {}
    rejected: list[DocumentError] = []
    for line in lines:
        try:
            listing = _listing(line, session, shape, place)
        except DocumentError as error:
            rejected.append(error)
            continue
        first = listings.setdefault(listing.key, listing)
        if first is not listing:
            (doubled if first == listing else contradicted)[listing.key] = None
    for key in contradicted:
        del listings[key]
        rejected.append(place.of(key).error("is listed twice, with different facts"))
    return tuple(listings.values()), tuple(str(key) for key in doubled), tuple(rejected)


def _listing(line: _Line, session: SessionId | None, shape: Shape, place: Place) -> Listing:
    key = _key_of(line, session)
    place = place.of(key) if key else place
    keys, row = _KEYS[shape], line.row
    if row is None:
        assert line.error is not None
        raise place.error(line.error.reason, line.error.field)
    if key is None:
        raise place.error(f"{quoted(row.number)} is not a bill number", keys["number"])
    _, status = _status(row.status_code, keys["status_code"], place)
    return Listing(
        key=key,
        legisinfo_id=row.legisinfo_id,
        title_en=required(row.title_en, keys["title_en"], place),
        title_fr=required(row.title_fr, keys["title_fr"], place),
        short_title_en=optional(row.short_title_en),
        short_title_fr=optional(row.short_title_fr),
        status_code=status,
        bill_type=_type(row.bill_type, keys["bill_type"], place),
        milestones=_milestones(row, _listed_day, place),
    )


def _key_of(line: _Line, session: SessionId | None) -> BillKey | None:
    """The bill a row is about. A list is of one session, so a row that hides its own has that one."""
    session = line.session or session
    if session is None or line.number is None:
        return None
    try:
        return BillKey(session, line.number)
    except ValueError:
        return None


def _fill_rates(lines: Sequence[_Line]) -> dict[str, float]:
    return {name: sum(name in line.filled for line in lines) / len(lines) for name in _MEASURED}


_MEASURED = tuple(name for name in _KEYS["A"] if name not in ("parliament", "session", "number"))


class _Committee(Struct):
    acronym: Text | None = field(name="CommitteeAcronym")


class _Sitting(Struct):
    """Only counted."""


class _Stage(Struct):
    stage_id: Int64 = field(name="BillStageId")
    state: Int64 = field(name="State")
    completed_at: NaiveTime | None = field(name="StateAsOfDate")
    committee: _Committee | None = field(name="Committee")
    sittings: Annotated[list[_Sitting], Meta(max_length=_SMALLINT)] = field(name="Sittings")


_StageList = Annotated[list[_Stage], Meta(max_length=_MOST_STAGES)]


class _Stages(Struct):
    house: _StageList = field(name="HouseBillStages")
    senate: _StageList = field(name="SenateBillStages")
    royal_assent: _StageList = field(name="RoyalAssent")


class _Publication(Struct):
    publication_id: Id = field(name="PublicationId")


class _Detail(Struct):
    legisinfo_id: Id = field(name="Id")
    number: Text = field(name="NumberCode")
    parliament: Parliament = field(name="ParliamentNumber")
    session: Session = field(name="SessionNumber")
    title_en: Text = field(name="LongTitleEn")
    title_fr: Text = field(name="LongTitleFr")
    short_title_en: Text | None = field(name="ShortTitleEn")
    short_title_fr: Text | None = field(name="ShortTitleFr")
    status_id: Int64 = field(name="StatusId")
    status_en: Text = field(name="StatusNameEn")
    status_fr: Text = field(name="StatusNameFr")
    type_id: Int64 = field(name="BillDocumentTypeId")
    type_en: Text = field(name="BillDocumentTypeNameEn")
    chamber_id: Int64 = field(name="OriginatingChamberOrganizationId")
    is_pro_forma: bool = field(name="IsProForma")
    sponsor_person_id: Id | None = field(name="SponsorPersonId")
    sponsor_name: Text | None = field(name="SponsorPersonName")
    house_first_reading_on: NaiveTime | None = field(name="PassedHouseFirstReadingDateTime")
    house_second_reading_on: NaiveTime | None = field(name="PassedHouseSecondReadingDateTime")
    house_third_reading_on: NaiveTime | None = field(name="PassedHouseThirdReadingDateTime")
    senate_first_reading_on: NaiveTime | None = field(name="PassedSenateFirstReadingDateTime")
    senate_second_reading_on: NaiveTime | None = field(name="PassedSenateSecondReadingDateTime")
    senate_third_reading_on: NaiveTime | None = field(name="PassedSenateThirdReadingDateTime")
    royal_assent_on: NaiveTime | None = field(name="ReceivedRoyalAssentDateTime")
    statute_year: Annotated[int, Meta(ge=CONFEDERATION, le=9999)] | None = field(name="StatuteYear")
    statute_chapter: Annotated[int, Meta(ge=1, le=_SMALLINT)] | None = field(name="StatuteChapter")
    reinstated_from: Text | None = field(name="ReinstatedFromBillNumberCode")
    reinstated_as: Text | None = field(name="ReinstatedAsBillNumberCode")
    publications: list[_Publication] = field(name="Publications")
    summary_en: Text | None = field(name="ShortLegislativeSummaryEn")
    summary_fr: Text | None = field(name="ShortLegislativeSummaryFr")
    stages: _Stages | None = field(name="BillStages")


_DETAILS = msgspec.json.Decoder(list[_Detail])


def parse_bill(document: Document, key: BillKey) -> LegisinfoBill:
    """Read a bill's detail: a JSON list of exactly one object, the bill asked for. DocumentError if it is not that."""
    place = Place(NAME, document.url, str(key))
    details = decode(_DETAILS, json_of(document, place), place)
    if len(details) != 1:
        raise place.error(f"holds {len(details)} bills instead of one")
    detail = details[0]
    _check_identity(detail, key, place)
    milestones = _milestones(detail, _day, place)
    return LegisinfoBill(
        key=key,
        legisinfo_id=detail.legisinfo_id,
        title_en=required(detail.title_en, "LongTitleEn", place),
        title_fr=required(detail.title_fr, "LongTitleFr", place),
        short_title_en=optional(detail.short_title_en),
        short_title_fr=optional(detail.short_title_fr),
        status_code=_detail_status(detail, place),
        status_en=required(detail.status_en, "StatusNameEn", place),
        status_fr=required(detail.status_fr, "StatusNameFr", place),
        bill_type=_detail_type(detail, place),
        chamber=_chamber(detail, key, place),
        is_pro_forma=detail.is_pro_forma,
        sponsor_person_id=detail.sponsor_person_id,
        sponsor_name=optional(detail.sponsor_name),
        milestones=milestones,
        statute_year=detail.statute_year,
        statute_chapter=detail.statute_chapter,
        reinstated_from=_relative(key, -1, detail.reinstated_from, "ReinstatedFromBillNumberCode", place),
        reinstated_as=_relative(key, +1, detail.reinstated_as, "ReinstatedAsBillNumberCode", place),
        text_url=_text_url(detail.publications),
        summary_en=optional(detail.summary_en),
        summary_fr=optional(detail.summary_fr),
        stages=tuple(_stages(detail.stages, milestones.royal_assent_on, place)),
    )


def _check_identity(detail: _Detail, key: BillKey, place: Place) -> None:
    found = SessionId(detail.parliament, detail.session), detail.number
    if found != (key.session, key.number):
        raise place.error(f"is the detail of {found[0]} {quoted(found[1])}", "NumberCode")


def _status(text: str, name: str, place: Place) -> tuple[int | None, StatusCode]:
    found = _STATUS_BY_TEXT.get(_fold(text))
    if found is None:
        raise place.error(f"unknown status {quoted(text)}", name)
    return found


def _detail_status(detail: _Detail, place: Place) -> StatusCode:
    status_id, code = _status(detail.status_en, "StatusNameEn", place)
    if detail.status_id != status_id and (status_id is not None or detail.status_id in _STATUS_IDS):
        raise place.error(
            f"status {quoted(detail.status_en)} does not go with StatusId {detail.status_id}", "StatusNameEn"
        )
    return code


def _type(text: str, name: str, place: Place) -> BillType:
    found = _TYPE_BY_TEXT.get(_fold(text))
    if found is None:
        raise place.error(f"unknown type {quoted(text)}", name)
    return found


def _detail_type(detail: _Detail, place: Place) -> BillType:
    bill_type = _type(detail.type_en, "BillDocumentTypeNameEn", place)
    if _TYPE_IDS.get(detail.type_id) is not bill_type:
        reason = f"type {quoted(detail.type_en)} does not go with BillDocumentTypeId {detail.type_id}"
        raise place.error(reason, "BillDocumentTypeNameEn")
    return bill_type


def _chamber(detail: _Detail, key: BillKey, place: Place) -> Chamber:
    chamber = _CHAMBERS.get(detail.chamber_id)
    if chamber is not (Chamber.HOUSE if key.number.startswith("C") else Chamber.SENATE):
        raise place.error(
            f"chamber {detail.chamber_id} is not where {key.number} begins", "OriginatingChamberOrganizationId"
        )
    return chamber


def _relative(key: BillKey, step: int, number: str | None, name: str, place: Place) -> BillKey | None:
    """The same bill in the session before or after; bills are reinstated within one parliament only."""
    number = optional(number)
    if number is None:
        return None
    session = key.session.session + step
    if session < 1:
        raise place.error(f"{quoted(number)} would be of a session before the first", name)
    try:
        return BillKey(SessionId(key.session.parliament, session), number)
    except ValueError as error:
        raise place.error(f"{quoted(number)} is not a bill number", name) from error


def _text_url(publications: Sequence[_Publication]) -> str | None:
    """Where people read the newest text: publications stand in the order of their making."""
    if not publications:
        return None
    return f"https://www.parl.ca/DocumentViewer/en/{publications[-1].publication_id}"


def _milestones(row: _Row | _Detail, day: Callable[[datetime, str, Place], date | None], place: Place) -> Milestones:
    moments = ((name, key, getattr(row, name)) for name, key in _DAYS.items())
    return Milestones(**{name: day(moment, key, place) if moment else None for name, key, moment in moments})


def _day(moment: datetime, name: str, place: Place) -> date | None:
    """A detail's times are Ottawa's, without a zone; the first moment of the calendar means none."""
    return None if moment == datetime.min else plausible(moment.date(), name, place)


def _listed_day(moment: datetime, name: str, place: Place) -> date | None:
    """A list takes Ottawa's time for UTC and prints it in Eastern time: in UTC, it is Ottawa's again."""
    try:
        return plausible(moment.astimezone(UTC).date(), name, place)
    except OverflowError as error:
        raise place.error(f"{moment.isoformat()} is outside the calendar", name) from error


def _stages(stages: _Stages | None, royal_assent_on: date | None, place: Place) -> Iterable[Stage]:
    """House, then Senate, then royal assent, each in the order LEGISinfo gives; none for the sessions before 2001."""
    if stages is None:
        return
    for part, chamber, rows in (
        ("HouseBillStages", Chamber.HOUSE, stages.house),
        ("SenateBillStages", Chamber.SENATE, stages.senate),
    ):
        for position, row in enumerate(rows):
            yield _stage(row, chamber, f"BillStages.{part}[{position}]", place)
    for position, row in enumerate(stages.royal_assent):
        yield _royal_assent(row, royal_assent_on, f"BillStages.RoyalAssent[{position}]", place)


def _stage(row: _Stage, chamber: Chamber, path: str, place: Place) -> Stage:
    code = _STAGE_IDS.get(row.stage_id)
    if code is None:
        raise place.error(f"unknown stage {row.stage_id}", f"{path}.BillStageId")
    state = _STAGE_STATES.get(row.state)
    if state is None:
        raise place.error(f"unknown state {row.state}", f"{path}.State")
    return _built(row, chamber, code, state, _completed_on(row, state, path, place))


def _royal_assent(row: _Stage, royal_assent_on: date | None, path: str, place: Place) -> Stage:
    """LEGISinfo states nothing of it (0, and no day): the bill's own day tells."""
    if row.stage_id != _ROYAL_ASSENT_STAGE:
        raise place.error(f"unknown stage {row.stage_id}", f"{path}.BillStageId")
    if row.state not in _STAGE_STATES:
        raise place.error(f"unknown state {row.state}", f"{path}.State")
    state = StageState.COMPLETED if royal_assent_on else StageState.NOT_REACHED
    return _built(row, None, StageCode.ROYAL_ASSENT, state, royal_assent_on)


def _completed_on(row: _Stage, state: StageState, path: str, place: Place) -> date | None:
    """The day of a completed stage. A day on any other would be read as its completion."""
    name = f"{path}.StateAsOfDate"
    day = _day(row.completed_at, name, place) if row.completed_at else None
    if day and state is not StageState.COMPLETED:
        raise place.error(f"{day.isoformat()} on a stage that is {state}", name)
    return day


def _built(row: _Stage, chamber: Chamber | None, code: StageCode, state: StageState, day: date | None) -> Stage:
    committee = optional(row.committee.acronym) if row.committee else None
    return Stage(chamber, code, state, day, committee, len(row.sittings))
