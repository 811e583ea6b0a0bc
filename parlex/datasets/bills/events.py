"""What LEGISinfo tells of a bill beside its stages: what happened to it, its printed texts, links, and similar bills.

Each is a part of the bill's record: its entries have names, by which the history knows them, and a table of their own.
Their order is that of their days and names and never the source's, so that two mirrors have the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum
from typing import Any

from parlex.answers import Record, as_json
from parlex.db.models import Base, BillEventRow, BillLinkRow, BillPublicationRow, SimilarBillRow
from parlex.parliament import Chamber


class EventKind(StrEnum):
    """``sitting``: a chamber dealt with the bill on that day. ``event``: what LEGISinfo calls significant, as a reading
    or a committee's report. ``decision``: a motion was put, and how it ended. ``meeting``: of a committee. ``message``:
    between the chambers. ``ruling``: the Speaker ruled or made a statement."""

    SITTING = "sitting"
    EVENT = "event"
    DECISION = "decision"
    MEETING = "meeting"
    MESSAGE = "message"
    RULING = "ruling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Record):
    """One thing that happened to a bill. ``stage`` is a code of ours, or the source's words where it is a new one."""

    kind: EventKind
    chamber: Chamber
    stage: str | None
    day: date
    sitting_number: str | None = None  # as 75, or 75A for a second sitting of a day
    name_en: str | None
    name_fr: str | None
    type_id: int | None = None  # LEGISinfo's, of an event or a ruling
    committee: str | None = None  # acronym, as INAN
    meeting_number: str | None = None  # of the committee
    report_number: int | None = None  # of the committee
    division_number: int | None = None  # of the House
    result_en: str | None = None  # of a decision, as "Agreed To"
    result_fr: str | None = None
    method_en: str | None = None  # how it was decided, as "On division"
    method_fr: str | None = None
    note_en: str | None = None
    note_fr: str | None = None
    url_en: str | None = None
    url_fr: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication(Record):
    """One printed version. ``version`` is a name of ours, or the source's words where it is a new one; then no address
    of a file is known."""

    version: str
    publication_id: int
    name_en: str | None
    name_fr: str | None
    xml_url_en: str | None
    xml_url_fr: str | None
    pdf_url: str | None
    viewer_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link(Record):
    """A web reference; ``kind`` is in the source's words, as "Press Release"."""

    kind: str | None
    kind_fr: str | None
    title_en: str | None
    title_fr: str | None
    url_en: str | None
    url_fr: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar(Record):
    """A bill that LEGISinfo calls similar, of any session."""

    similar_key: str


@dataclass(frozen=True, slots=True)
class Part:
    """How the entries of a part are named, in their order, and the table that holds them."""

    of: type[Any]
    table: type[Base]
    name: Callable[[Any], str]

    def named(self, entries: Iterable[Any]) -> dict[str, dict[str, Any]]:
        """Entries by name, as JSON values without nulls. Of several with one name the later ones have a number."""
        found: dict[str, dict[str, Any]] = {}
        for place, value in sorted(((self.name(one), _value(one)) for one in entries), key=_by_name_and_value):
            name, turn = place, 1
            while name in found:
                turn += 1
                name = f"{place}.{turn}"
            found[name] = value
        return in_order(found)

    @property
    def key(self) -> Any:
        """The column of the bill's key."""
        return self.table.key  # type: ignore[attr-defined]

    def columns(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return {field.name: value.get(field.name) for field in fields(self.of)}

    def of_values(self, named: Mapping[str, Mapping[str, Any]]) -> tuple[Any, ...]:
        """The entries again, of their values in the history."""
        told = map(self.columns, in_order(named).values())
        return tuple(self.of(**(value | _days(value))) for value in told)

    def held(self, rows: Iterable[Any]) -> dict[str, dict[str, Any]]:
        """The same of rows of the table."""
        return {
            row.entry: _value_of({field.name: getattr(row, field.name) for field in fields(self.of)}) for row in rows
        }


def _days(value: Mapping[str, Any]) -> dict[str, date]:
    return {"day": date.fromisoformat(value["day"])} if value.get("day") else {}


def in_order(named: Mapping[str, Any]) -> dict[str, Any]:
    """By day, or by the number of a publication, then by name; where entries are served, it is the same order."""
    return dict(sorted(named.items(), key=lambda item: _place(*item)))


def _place(name: str, value: Mapping[str, Any]) -> tuple[str, int, str]:
    return value.get("day", ""), value.get("publication_id", 0), name


def _value(entry: Any) -> dict[str, Any]:
    return _value_of({field.name: getattr(entry, field.name) for field in fields(entry)})


def _value_of(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: as_json(value) for name, value in told.items() if value is not None}


def _by_name_and_value(item: tuple[str, dict[str, Any]]) -> tuple[str, str]:
    return item[0], repr(sorted(item[1].items()))


def _event_name(event: Event) -> str:
    """As ``house.second_reading.sitting.2025-09-22.26``; the last word tells apart what a day has several of."""
    last = event.division_number or event.meeting_number or event.type_id or event.sitting_number
    told = (event.chamber, event.stage, event.kind, event.day.isoformat(), event.committee, last)
    return ".".join(str(word) for word in told if word is not None)


def _link_name(link: Link) -> str:
    """LEGISinfo gives it no number."""
    address = link.url_en or link.url_fr or f"{link.title_en} {link.title_fr}"
    return f"{link.kind or 'link'}.{hashlib.sha256(address.encode()).hexdigest()[:12]}"


PARTS: dict[str, Part] = {
    "events": Part(Event, BillEventRow, _event_name),
    "publications": Part(Publication, BillPublicationRow, lambda one: one.version),
    "links": Part(Link, BillLinkRow, _link_name),
    "similar": Part(Similar, SimilarBillRow, lambda one: one.similar_key),
}
