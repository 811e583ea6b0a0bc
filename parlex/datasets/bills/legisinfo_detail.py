"""LEGISinfo's detail of a bill.

What it says of the bill itself is read strictly. A stage or a list of texts that cannot be read is an odd part: the
rest of the bill stands without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Raw, Struct, field

from parlex.answers import counted
from parlex.datasets.bills.bill import PARTICULARS, BillType, LegisinfoBill, Stage, StageCode, StageState, StatusCode
from parlex.datasets.bills.legisinfo_codes import (
    CHAMBERS,
    NAME,
    ROYAL_ASSENT,
    STAGE_STATES,
    STAGES,
    STATUS_IDS,
    TYPE_IDS,
    milestones_of,
    status_of,
    type_of,
)
from parlex.datasets.bills.legisinfo_rest import read_rest
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.rows import read_parts
from parlex.fetching.strict import (
    CONFEDERATION,
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

_SMALLINT = 2**15 - 1
_MOST_STAGES = 1_000  # of a chamber; the longest recorded has 8


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


_StageList = Annotated[list[Raw], Meta(max_length=_MOST_STAGES)]


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
    publications: Raw = field(name="Publications")
    summary_en: Text | None = field(name="ShortLegislativeSummaryEn")
    summary_fr: Text | None = field(name="ShortLegislativeSummaryFr")
    stages: Raw = field(name="BillStages")


_DETAILS = msgspec.json.Decoder(list[_Detail])
_PUBLICATIONS = msgspec.json.Decoder(list[_Publication])
_STAGES = msgspec.json.Decoder(_Stages | None)
_STAGE = msgspec.json.Decoder(_Stage)


def parse_bill(document: Document, key: BillKey) -> LegisinfoBill:
    """Read a bill's detail: a JSON list of exactly one object, the bill asked for. DocumentError if it is not that.

    Its stages and its text are parts: ``odd`` has an error for each that cannot be read.
    """
    place = Place(NAME, document.url, str(key))
    body = json_of(document, place)
    details = decode(_DETAILS, body, place)
    if len(details) != 1:
        raise place.error(f"holds {counted(len(details), 'bill')} instead of one")
    detail = details[0]
    _check_identity(detail, key, place)
    milestones = milestones_of(detail, _day, place)
    bill_type = _detail_type(detail, place)
    rest = read_rest(body, key, is_government=bill_type.is_government, place=place)
    stages, odd_stages = _stages(detail.stages, milestones.royal_assent_on, place)
    texts, odd_texts = read_parts([(detail.publications, place.at("text_url", "Publications"))], _text_url)
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
        bill_type=bill_type,
        chamber=_chamber(detail, key, place),
        is_pro_forma=detail.is_pro_forma,
        sponsor_person_id=detail.sponsor_person_id,
        sponsor_name=optional(detail.sponsor_name),
        milestones=milestones,
        statute_year=detail.statute_year,
        statute_chapter=detail.statute_chapter,
        reinstated_from=_relative(key, -1, detail.reinstated_from, "ReinstatedFromBillNumberCode", place),
        reinstated_as=_relative(key, +1, detail.reinstated_as, "ReinstatedAsBillNumberCode", place),
        text_url=texts[0] if texts else None,
        summary_en=optional(detail.summary_en),
        summary_fr=optional(detail.summary_fr),
        stages=stages,
        divisions=rest.divisions,
        odd=odd_texts + odd_stages + rest.odd,
        **{name: getattr(rest.particulars, name) for name in PARTICULARS},
    )


def _check_identity(detail: _Detail, key: BillKey, place: Place) -> None:
    found = SessionId(detail.parliament, detail.session), detail.number
    if found != (key.session, key.number):
        raise place.error(f"is the detail of {found[0]} {quoted(found[1])}", "NumberCode")


def _detail_status(detail: _Detail, place: Place) -> StatusCode:
    status_id, code = status_of(detail.status_en, "StatusNameEn", place)
    if detail.status_id != status_id and (status_id is not None or detail.status_id in STATUS_IDS):
        raise place.error(
            f"status {quoted(detail.status_en)} does not go with StatusId {detail.status_id}", "StatusNameEn"
        )
    return code


def _detail_type(detail: _Detail, place: Place) -> BillType:
    bill_type = type_of(detail.type_en, "BillDocumentTypeNameEn", place)
    if TYPE_IDS.get(detail.type_id) is not bill_type:
        reason = f"type {quoted(detail.type_en)} does not go with BillDocumentTypeId {detail.type_id}"
        raise place.error(reason, "BillDocumentTypeNameEn")
    return bill_type


def _chamber(detail: _Detail, key: BillKey, place: Place) -> Chamber:
    chamber = CHAMBERS.get(detail.chamber_id)
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


def _text_url(raw: Raw, place: Place) -> str | None:
    """Where people read the newest text: publications stand in the order of their making."""
    publications = decode(_PUBLICATIONS, raw, place)
    if not publications:
        return None
    return f"https://www.parl.ca/DocumentViewer/en/{publications[-1].publication_id}"


def _day(moment: datetime, name: str, place: Place) -> date | None:
    """A detail's times are Ottawa's, without a zone; the first moment of the calendar means none."""
    return None if moment == datetime.min else plausible(moment.date(), name, place)


def _stages(
    raw: Raw, royal_assent_on: date | None, place: Place
) -> tuple[tuple[Stage, ...], tuple[DocumentError, ...]]:
    """House, then Senate, then royal assent, each in the order LEGISinfo gives; none for the sessions before 2001."""
    place = place.at("stages", "BillStages")
    try:
        stages = decode(_STAGES, raw, place)
    except DocumentError as error:
        return (), (error,)
    if stages is None:
        return (), ()
    house, odd_in_house = read_parts(
        _each(stages.house, "HouseBillStages", place), lambda raw, at: _stage(raw, Chamber.HOUSE, at)
    )
    senate, odd_in_senate = read_parts(
        _each(stages.senate, "SenateBillStages", place), lambda raw, at: _stage(raw, Chamber.SENATE, at)
    )
    assent, odd_assent = read_parts(
        _each(stages.royal_assent, "RoyalAssent", place), lambda raw, at: _royal_assent(raw, royal_assent_on, at)
    )
    return house + senate + assent, odd_in_house + odd_in_senate + odd_assent


def _each(rows: list[Raw], name: str, place: Place) -> Iterator[tuple[Raw, Place]]:
    return ((raw, place.at("stages", f"BillStages.{name}[{position}]")) for position, raw in enumerate(rows))


def _stage(raw: Raw, chamber: Chamber, place: Place) -> Stage:
    row = decode(_STAGE, raw, place)
    code = STAGES.get(row.stage_id)
    if code is None:
        raise place.error(f"unknown stage {row.stage_id}", "BillStageId")
    state = _state(row, place)
    return _built(row, chamber, code, state, _completed_on(row, state, place))


def _royal_assent(raw: Raw, royal_assent_on: date | None, place: Place) -> Stage:
    """LEGISinfo states nothing of it (0, and no day): the bill's own day tells."""
    row = decode(_STAGE, raw, place)
    if row.stage_id != ROYAL_ASSENT:
        raise place.error(f"unknown stage {row.stage_id}", "BillStageId")
    _state(row, place)
    state = StageState.COMPLETED if royal_assent_on else StageState.NOT_REACHED
    return _built(row, None, StageCode.ROYAL_ASSENT, state, royal_assent_on)


def _state(row: _Stage, place: Place) -> StageState:
    state = STAGE_STATES.get(row.state)
    if state is None:
        raise place.error(f"unknown state {row.state}", "State")
    return state


def _completed_on(row: _Stage, state: StageState, place: Place) -> date | None:
    """The day of a completed stage. A day on any other would be read as its completion."""
    day = _day(row.completed_at, "StateAsOfDate", place) if row.completed_at else None
    if day and state is not StageState.COMPLETED:
        raise place.error(f"{day.isoformat()} on a stage that is {state}", "StateAsOfDate")
    return day


def _built(row: _Stage, chamber: Chamber | None, code: StageCode, state: StageState, day: date | None) -> Stage:
    committee = optional(row.committee.acronym) if row.committee else None
    return Stage(chamber, code, state, day, committee, len(row.sittings))
