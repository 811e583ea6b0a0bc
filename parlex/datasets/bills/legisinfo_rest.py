"""LEGISinfo's detail of a bill, the rest of it: what happened, printed texts, links, and facts that decide nothing.

None of it may reject a bill. Each key, and each entry of a list, is read on its own; one that cannot be read is an odd
part, and the rest stands. What is read stands in the tables below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, field

from parlex.datasets.bills.bill import NamedDivision, Particulars, StageCode
from parlex.datasets.bills.events import Event, EventKind, Link, Publication, Similar
from parlex.datasets.bills.legisinfo_codes import CHAMBERS, FORMS, STAGES, VERSIONS
from parlex.errors import DocumentError
from parlex.fetching.strict import (
    Id,
    Int64,
    NaiveTime,
    Parliament,
    Place,
    Session,
    Text,
    decode,
    optional,
    plausible,
    quoted,
)
from parlex.parliament import BillKey, Chamber, SessionId

T = TypeVar("T")
_Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_MOST = 10_000  # entries of a list; the longest recorded has some hundred
_UNKNOWN = "unknown"

_ROWS = msgspec.json.Decoder(Annotated[list[Raw], Meta(max_length=_MOST)] | None)


_MISSING = Raw()


def _keys(*names: str) -> Any:
    """An object of which these keys are read later, each on its own."""
    return msgspec.defstruct("_Keys", [(name, Raw, _MISSING) for name in names])


# Facts: by column the key, its type, and how a value becomes the column's.


def _day(moment: datetime | None, place: Place) -> date | None:
    """The first moment of the calendar means none."""
    return None if moment is None or moment == datetime.min else plausible(moment.date(), "", place)


class _Committee(Struct):
    acronym: Text | None = field(name="CommitteeAcronym")


_Read = Callable[[Any, Place], Any]
_TEXT: tuple[Any, _Read] = Text | None, lambda text, place: optional(text)
_FLAG: tuple[Any, _Read] = bool, lambda flag, place: flag
_FACTS: dict[str, tuple[str, Any, _Read]] = {
    "bill_type_fr": ("BillDocumentTypeNameFr", *_TEXT),
    "form": ("BillFormId", Int64, lambda code, place: FORMS.get(code, _UNKNOWN)),
    "form_en": ("BillFormNameEn", *_TEXT),
    "form_fr": ("BillFormNameFr", *_TEXT),
    "ongoing_stage": ("OngoingStageId", Int64, lambda code, place: STAGES.get(code, _UNKNOWN) if code else None),
    "ongoing_stage_en": ("OngoingStageNameEn", *_TEXT),
    "ongoing_stage_fr": ("OngoingStageNameFr", *_TEXT),
    "last_event_on": ("LatestBillEventDateTime", NaiveTime | None, _day),
    "last_event_en": ("LatestBillEventTypeNameEn", *_TEXT),
    "last_event_fr": ("LatestBillEventTypeNameFr", *_TEXT),
    "sponsor_title_en": ("SponsorAffiliationTitleEn", *_TEXT),
    "sponsor_title_fr": ("SponsorAffiliationTitleFr", *_TEXT),
    "sponsor_riding_en": ("SponsorConstituencyNameEn", *_TEXT),
    "sponsor_riding_fr": ("SponsorConstituencyNameFr", *_TEXT),
    "is_in_pre_study": ("IsInSenatePreStudy", *_FLAG),
    "pre_study_committee": (
        "SenatePreStudyCommitteeDetails",
        _Committee | None,
        lambda found, place: optional(found.acronym) if found else None,
    ),
    "is_dropped": ("IsDroppedFromSenateOrderPaper", *_FLAG),
    "was_debated_last": ("ConsideredDuringPreviousSitting", *_FLAG),
    "notes_en": ("NotesEn", *_TEXT),
    "notes_fr": ("NotesFr", *_TEXT),
}
_FACT_DECODERS = {column: msgspec.json.Decoder(kind) for column, (_, kind, _) in _FACTS.items()}


# Events: by kind where they are listed, and the keys of one. Their names are those of the columns; ``at`` is a moment.


class _Sitting(Struct):
    at: NaiveTime = field(name="Date")
    sitting_number: Text | None = field(name="Number")
    name_en: Text | None = field(name="NameEn")
    name_fr: Text | None = field(name="NameFr")
    note_en: Text | None = field(name="AdditionalInformationEn")
    note_fr: Text | None = field(name="AdditionalInformationFr")


class _Significant(Struct):
    at: NaiveTime = field(name="EventDateTime")
    type_id: Int64 = field(name="EventTypeId")
    name_en: Text | None = field(name="EventNameEn")
    name_fr: Text | None = field(name="EventNameFr")
    report_number: _Number | None = field(name="CommitteeReportNumber")
    note_en: Text | None = field(name="AdditionalInformationEn")
    note_fr: Text | None = field(name="AdditionalInformationFr")


class _Decision(Struct):
    at: NaiveTime = field(name="DecisionSittingDate")
    sitting_number: Text | None = field(name="DecisionSittingNumber")
    name_en: Text | None = field(name="DecisionMotionTitleEn")
    name_fr: Text | None = field(name="DecisionMotionTitleFr")
    division_number: _Number | None = field(name="DivisionNumber")
    result_en: Text | None = field(name="DecisionResultNameEn")
    result_fr: Text | None = field(name="DecisionResultNameFr")
    method_en: Text | None = field(name="DecisionMethodNameEn")
    method_fr: Text | None = field(name="DecisionMethodNameFr")


class _Meeting(Struct):
    at: NaiveTime = field(name="Date")
    committee: Text | None = field(name="CommitteeAcronym")
    meeting_number: Text | None = field(name="Number")
    name_en: Text | None = field(name="CommitteeNameEn")
    name_fr: Text | None = field(name="CommitteeNameFr")


class _Message(Struct):
    at: NaiveTime = field(name="Date")
    chamber_id: Int64 = field(name="ChamberOrganizationId")
    sitting_number: Text | None = field(name="MeetingNumber")
    name_en: Text | None = field(name="EventNameEn")
    name_fr: Text | None = field(name="EventNameFr")


class _Ruling(Struct):
    at: NaiveTime = field(name="RulingStatementDateTime")
    chamber_id: Int64 = field(name="ChamberOrganizationId")
    type_id: Int64 = field(name="EventTypeId")
    sitting_number: _Number | None = field(name="MeetingNumber")
    name_en: Text | None = field(name="EventTypeNameEn")
    name_fr: Text | None = field(name="EventTypeNameFr")
    url_en: Text | None = field(name="UrlEn")
    url_fr: Text | None = field(name="UrlFr")


_STAGE_LISTS = {
    "HouseBillStages": Chamber.HOUSE,
    "SenateBillStages": Chamber.SENATE,
    "RoyalAssent": Chamber.SENATE,  # it is given there, and numbered as a sitting of the Senate
    "HouseAdditionalInformation": Chamber.HOUSE,
    "SenateAdditionalInformation": Chamber.SENATE,
}
_SITTING = msgspec.json.Decoder(_Sitting)
_SIGNIFICANT = msgspec.json.Decoder(_Significant)
_DECISION = msgspec.json.Decoder(_Decision)
_MEETING = msgspec.json.Decoder(_Meeting)
_MESSAGE = msgspec.json.Decoder(_Message)
_RULING = msgspec.json.Decoder(_Ruling)


class _Stage(Struct):
    stage_id: Int64 = field(name="BillStageId")
    name: Text | None = field(name="BillStageNameEn")
    committee: _Committee | None = field(name="Committee")
    sittings: Raw = field(name="Sittings")
    significant: Raw = field(name="SignificantEvents")
    decisions: Raw = field(name="Decisions")
    meetings: Raw = field(name="CommitteeMeetings")


_STAGE = msgspec.json.Decoder(_Stage)
_STAGES = msgspec.json.Decoder(_keys(*_STAGE_LISTS, "InterChamberMessages") | None)


# The other lists.
class _Publication(Struct):
    publication_id: Id = field(name="PublicationId")
    type_id: Int64 = field(name="PublicationTypeId")
    name_en: Text | None = field(name="PublicationTypeNameEn")
    name_fr: Text | None = field(name="PublicationTypeNameFr")


class _WebReference(Struct):
    kind: Text | None = field(name="WebReferenceTypeNameEn")
    kind_fr: Text | None = field(name="WebReferenceTypeNameFr")
    title_en: Text | None = field(name="TitleEn")
    title_fr: Text | None = field(name="TitleFr")
    url_en: Text | None = field(name="UrlEn")
    url_fr: Text | None = field(name="UrlFr")


class _Similar(Struct):
    number: Text = field(name="NumberCode")
    parliament: Parliament = field(name="ParliamentNumber")
    session: Session = field(name="SessionNumber")


class _Division(Struct):
    number: Annotated[int, Meta(ge=1, le=2**31 - 1)] = field(name="DivisionNumber")
    at: NaiveTime = field(name="DecisionDateTime")
    yeas: _Number | None = field(name="DivisionVotesYeas")
    nays: _Number | None = field(name="DivisionVotesNays")
    paired: _Number | None = field(name="DivisionVotePaired")
    result: Text | None = field(name="DecisionResultNameEn")
    subject: Text | None = field(name="DivisionSubjectEn")


_PUBLICATION = msgspec.json.Decoder(_Publication)
_WEB_REFERENCE = msgspec.json.Decoder(_WebReference)
_SIMILAR = msgspec.json.Decoder(_Similar)
_DIVISION = msgspec.json.Decoder(_Division)


_LISTS = ("Publications", "WebReferences", "SimilarBills", "HouseVoteDetails")
_RULINGS = ("HouseRulingAndStatements", "SenateRulingAndStatements")
_Detail: Any = _keys("BillStages", *_LISTS, *_RULINGS, *(name for name, *_ in _FACTS.values()))
_DETAILS: Any = msgspec.json.Decoder(list[_Detail])


@dataclass(frozen=True, slots=True)
class Rest:
    """What the keys above say; ``odd`` has an error for each part that could not be read."""

    particulars: Particulars
    divisions: tuple[NamedDivision, ...]
    odd: tuple[DocumentError, ...]


def read_rest(body: bytes, key: BillKey, *, is_government: bool, place: Place) -> Rest:
    """Read the rest of a body that was found to be the detail of this bill."""
    reader = _Reader(place)
    keys = _DETAILS.decode(body)[0]
    facts: dict[str, Any] = {
        column: reader.one(column, name, getattr(keys, name), _fact(column)) for column, (name, *_) in _FACTS.items()
    }
    particulars = Particulars(
        **facts,
        events=tuple(_events(reader, key.session, keys)),
        publications=reader.all("publications", "Publications", keys, partial(_publication, key, is_government)),
        links=reader.all("links", "WebReferences", keys, _link),
        similar=reader.all("similar", "SimilarBills", keys, _similar),
    )
    return Rest(particulars, reader.all("divisions", "HouseVoteDetails", keys, _division), tuple(reader.odd))


class _Reader:
    """Reads parts of one detail, and keeps an error for each that is odd."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.odd: list[DocumentError] = []

    def one(self, part: str, path: str, raw: Raw, read: Callable[[Raw, Place], T]) -> T | None:
        """What ``read`` makes of a value; None where it is missing or cannot be read."""
        place = self._place.at(part, path)
        try:
            if raw is _MISSING:
                raise place.error("is missing")
            return read(raw, place)
        except DocumentError as error:
            self.odd.append(error)
            return None

    def each(self, part: str, path: str, raw: Raw, read: Callable[[Raw, Place], T]) -> Iterator[T]:
        """What ``read`` makes of the entries of a list that it can read. Some lists are null where they are empty."""
        rows = self.one(part, path, raw, partial(decode, _ROWS))
        for position, row in enumerate(rows or ()):
            found = self.one(part, f"{path}[{position}]", row, read)
            if found is not None:
                yield found

    def all(self, part: str, name: str, keys: Any, read: Callable[[Raw, Place], T]) -> tuple[T, ...]:
        return tuple(self.each(part, name, getattr(keys, name), read))


def _fact(column: str) -> Callable[[Raw, Place], Any]:
    decoder, made = _FACT_DECODERS[column], _FACTS[column][2]
    return lambda raw, place: made(decode(decoder, raw, place), place)


def _events(reader: _Reader, session: SessionId, keys: Any) -> Iterator[Event]:
    """Those of the stages, then messages, then rulings. The sessions before 2001 have no stages."""
    stages = reader.one("events", "BillStages", keys.BillStages, partial(decode, _STAGES))
    if stages is not None:
        for name, chamber in _STAGE_LISTS.items():
            for path, stage in reader.each("events", f"BillStages.{name}", getattr(stages, name), _stage):
                yield from _of_stage(reader, session, chamber, path, stage)
        path = "BillStages.InterChamberMessages"
        yield from reader.each("events", path, stages.InterChamberMessages, _message)
    for name in _RULINGS:
        yield from reader.each("events", name, getattr(keys, name), _ruling)


def _stage(raw: Raw, place: Place) -> tuple[str, _Stage]:
    return str(place.path), decode(_STAGE, raw, place)


def _of_stage(reader: _Reader, session: SessionId, chamber: Chamber, path: str, stage: _Stage) -> Iterator[Event]:
    committee = optional(stage.committee.acronym) if stage.committee else None
    about = {"chamber": chamber, "stage": STAGES.get(stage.stage_id) or optional(stage.name)}

    def significant(raw: Raw, place: Place) -> Event:
        row = decode(_SIGNIFICANT, raw, place)
        return _event(EventKind.EVENT, row, place, **about, committee=committee if row.report_number else None)

    def decision(raw: Raw, place: Place) -> Event:
        row = decode(_DECISION, raw, place)
        urls = _urls(f"members/{{}}/votes/{session.parliament}/{session.session}/{row.division_number}")
        return _event(EventKind.DECISION, row, place, **about, **(urls if row.division_number else {}))

    def meeting(raw: Raw, place: Place) -> Event:
        """The Senate's committees have no such address."""
        row = decode(_MEETING, raw, place)
        urls = _urls(f"DocumentViewer/{{}}/{session}/{row.committee}/meeting-{row.meeting_number}/evidence")
        has = chamber is Chamber.HOUSE and optional(row.committee) and optional(row.meeting_number)
        return _event(EventKind.MEETING, row, place, **about, **(urls if has else {}))

    def sitting(raw: Raw, place: Place) -> Event:
        return _event(EventKind.SITTING, decode(_SITTING, raw, place), place, **about)

    yield from reader.each("events", f"{path}.Sittings", stage.sittings, sitting)
    yield from reader.each("events", f"{path}.SignificantEvents", stage.significant, significant)
    yield from reader.each("events", f"{path}.Decisions", stage.decisions, decision)
    yield from reader.each("events", f"{path}.CommitteeMeetings", stage.meetings, meeting)


def _message(raw: Raw, place: Place) -> Event:
    row = decode(_MESSAGE, raw, place)
    return _event(EventKind.MESSAGE, row, place, chamber=_chamber(row.chamber_id, place), stage=str(StageCode.MESSAGES))


def _ruling(raw: Raw, place: Place) -> Event:
    row = decode(_RULING, raw, place)
    return _event(EventKind.RULING, row, place, chamber=_chamber(row.chamber_id, place), stage=None)


def _event(kind: EventKind, row: Any, place: Place, **about: Any) -> Event:
    """The row's fields are those of an event, but for ``at`` and the chamber's number."""
    told = {name: getattr(row, name) for name in row.__struct_fields__ if name not in ("at", "chamber_id")}
    texts: dict[str, Any] = {name: optional(value) if isinstance(value, str) else value for name, value in told.items()}
    if isinstance(texts.get("sitting_number"), int):  # of a ruling
        texts["sitting_number"] = str(texts["sitting_number"])
    return Event(kind=kind, day=plausible(row.at.date(), "", place), **(texts | about))


def _chamber(number: int, place: Place) -> Chamber:
    chamber = CHAMBERS.get(number)
    if chamber is None:
        raise place.error(f"unknown chamber {number}", "ChamberOrganizationId")
    return chamber


def _urls(path: str) -> dict[str, str]:
    return {f"url_{lang}": f"https://www.ourcommons.ca/{path.format(lang)}" for lang in ("en", "fr")}


def _publication(key: BillKey, is_government: bool, raw: Raw, place: Place) -> Publication:
    """Government bills of both chambers lie under Government, all others under Private."""
    row = decode(_PUBLICATION, raw, place)
    known = VERSIONS.get(row.type_id)
    version, name_en = known[0] if known else None, optional(row.name_en)
    if version is None and name_en is None:
        raise place.error(f"unknown version {row.type_id}", "PublicationTypeId")
    file = f"{key.number}_{known[1]}" if known else None
    session = f"{key.session.parliament}{key.session.session}"
    folder = f"https://www.parl.ca/Content/Bills/{session}/{'Government' if is_government else 'Private'}/{key.number}"
    return Publication(
        version=version or str(name_en),
        publication_id=row.publication_id,
        name_en=name_en,
        name_fr=optional(row.name_fr),
        xml_url_en=f"{folder}/{file}/{key.number}_E.xml" if file else None,
        xml_url_fr=f"{folder}/{file}/{key.number}_F.xml" if file else None,
        pdf_url=f"{folder}/{file}/{file}.PDF" if file else None,
        viewer_url=f"https://www.parl.ca/DocumentViewer/en/{row.publication_id}",
    )


def _link(raw: Raw, place: Place) -> Link:
    row = decode(_WEB_REFERENCE, raw, place)
    return Link(**{name: optional(getattr(row, name)) for name in row.__struct_fields__})


def _similar(raw: Raw, place: Place) -> Similar:
    row = decode(_SIMILAR, raw, place)
    try:
        return Similar(similar_key=str(BillKey(SessionId(row.parliament, row.session), row.number)))
    except ValueError as error:
        raise place.error(f"{quoted(row.number)} is not a bill number", "NumberCode") from error


def _division(raw: Raw, place: Place) -> NamedDivision:
    row = decode(_DIVISION, raw, place)
    told = {name: getattr(row, name) for name in row.__struct_fields__ if name != "at"}
    return NamedDivision(held_on=plausible(row.at.date(), "DecisionDateTime", place), **told)
