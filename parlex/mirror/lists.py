"""A source's whole list of one scope: judged by the guards, and kept. Takes an open ``db``; never commits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from parlex.answers import counted
from parlex.db.models import ListingRow, SweepRow
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.mirror import guards, listings, quarantine, sweeps
from parlex.mirror.guards import Thresholds, Trip
from parlex.mirror.listings import Line, Place
from parlex.mirror.quarantine import Parked

log = structlog.get_logger(__name__)

TORN = "torn"  # how the note begins on a list whose pages overlap

Waived = frozenset[tuple[str, str | None]]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a list as it was read. ``facts`` are JSON values; a change of its fingerprint makes the detail due."""

    key: str
    facts: dict[str, Any]
    activity_on: date | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A list as it was read: its good rows, the keys that came twice, an error for each bad row.

    ``scope``: the one that its rows name, where they do. ``wrong``: why the document is no list at all.
    """

    rows: tuple[Row, ...] = ()
    doubled: tuple[str, ...] = ()
    rejected: tuple[DocumentError, ...] = ()
    scope: str | None = None
    wrong: str | None = None
    fill_rates: Mapping[str, float] | None = None

    @property
    def size(self) -> int:
        """Rows that cannot be read are rows of the list all the same."""
        return len(self.rows) + len(self.rejected)

    @property
    def is_empty(self) -> bool:
        return not self.size and self.wrong is None


def line(row: Row) -> Line:
    """The row as it is kept. Its fingerprint changes when any fact does."""
    text = json.dumps(row.facts, sort_keys=True, ensure_ascii=False)
    return Line(row.key, hashlib.sha256(text.encode()).hexdigest()[:32], row.activity_on, row.facts)


@dataclass(frozen=True, slots=True)
class Past:
    """What is held of a list: its lines as last believed, the last sweep that was, and what a person waived since."""

    held: Mapping[str, ListingRow]
    last: SweepRow | None
    waived: Waived

    @classmethod
    def read(cls, db: Session, place: Place) -> Past:
        last = sweeps.last_believed(db, place.dataset, place.source, place.scope)
        since = last.swept_at if last else None
        waived = quarantine.waived_guards(db, place.dataset, place.source, place.scope, since)
        return cls(listings.listings(db, place.dataset, place.source, place.scope), last, waived)


NOTHING = Past({}, None, frozenset())


@dataclass(frozen=True, slots=True)
class Judged:
    """A list, read and judged; nothing written. ``place.scope`` is empty where nobody knows which scope it is of.

    ``trip``: the guard that the list as a whole broke. ``blanked``: the facts that went blank together, whose last good
    values ``lines`` carry on. ``gone``: the keys that left it. ``note``: why it is to be asked for again soon.
    """

    place: Place
    document: Document
    is_current: bool
    listed: Listed
    past: Past
    trip: Trip | None = None
    blanked: tuple[Trip, ...] = ()
    lines: tuple[Line, ...] = ()
    gone: tuple[str, ...] = ()
    note: str | None = None

    @property
    def scope(self) -> str | None:
        return self.place.scope or None

    @property
    def is_torn(self) -> bool:
        return (self.note or "").startswith(TORN)

    @property
    def failure(self) -> str | None:
        """Why the whole list is not believed, in words."""
        if self.trip is None:
            return None
        return self._said(self.trip, self.scope or "the current session")

    def _said(self, trip: Trip, where: str) -> str:
        return f"{self.place.source} list of {where} parked by guard {trip.guard}: {trip.reason}"

    def parked(self) -> list[Parked]:
        """What of it is for a person to look at."""
        if self.trip is not None:
            return [self._parked("sweep", self.trip.guard, self.trip.reason)]
        found = [
            self._parked("sweep", trip.guard, self._said(trip, self.place.scope), field=trip.field)
            for trip in self.blanked
        ]
        rows = self.listed.rejected
        return found + [self._parked("row", "unreadable", str(e), key=e.key, field=e.field) for e in rows]

    def _parked(
        self, kind: str, guard: str, reason: str, *, key: str | None = None, field: str | None = None
    ) -> Parked:
        document = self.document
        return Parked(
            kind, guard, self.place.source, reason, self.scope, key, field, document=document.sha256, url=document.url
        )

    def sweep_row(self, run_id: UUID, now: datetime, *, believed: bool) -> SweepRow:
        trip = self.trip
        return SweepRow(
            run_id=run_id,
            dataset=self.place.dataset,
            source=self.place.source,
            scope=self.place.scope,
            swept_at=now,
            document=self.document.sha256,
            believed=believed,
            reason=f"{trip.guard}: {trip.reason}" if trip else self.note,
            is_current=self.is_current,
            listed=self.listed.size,
            held=0,
            missing=[],
            extra=[],
            doubled=list(self.listed.doubled),
            quarantined=[],
            fill_rates=dict(self.listed.fill_rates or _fill_rates(self.listed.rows)),
        )


def judge(
    judged: Judged,
    *,
    thresholds: Thresholds,
    guarded: Sequence[str],
    paged: bool,
    make: Callable[[Row], Line] = line,
) -> Judged:
    """The list with what the guards make of it. ``make`` gives the line that is kept of a row.

    Nobody counts as gone on a list of several pages with doubled rows: a row that came twice may have pushed another
    one over the border between two pages.
    """
    listed, past = judged.listed, judged.past
    trip = judged.trip or _whole(listed, past, thresholds)
    if trip is not None:
        return replace(judged, trip=trip)
    blanked = _blanked(listed, past, guarded, thresholds)
    lines = tuple(make(_carried(row, past.held.get(row.key), blanked)) for row in listed.rows)
    gone = _gone(listed, past)
    note = judged.note
    if paged and listed.doubled and gone:
        note = f"{TORN}: {counted(len(listed.doubled), 'row')} came twice, and of those held {len(gone)} did not come"
        gone = ()
    return replace(judged, blanked=blanked, lines=lines, gone=gone, note=note)


def _whole(listed: Listed, past: Past, thresholds: Thresholds) -> Trip | None:
    if listed.wrong is not None:
        return Trip("malformed", listed.wrong)
    return guards.check_list(
        listed=len(listed.rows),
        rejected=len(listed.rejected),
        held=past.last.listed if past.last else 0,
        thresholds=thresholds,
        waived=past.waived,
    )


def _blanked(listed: Listed, past: Past, guarded: Sequence[str], thresholds: Thresholds) -> tuple[Trip, ...]:
    offered = {row.key: row.facts for row in listed.rows}
    pairs = [(row.facts, offered[key]) for key, row in past.held.items() if key in offered]
    trips = guards.blanked_fields(pairs, guarded, thresholds)
    return tuple(trip for trip in trips if (trip.guard, trip.field) not in past.waived)


def _carried(row: Row, held: ListingRow | None, blanked: Iterable[Trip]) -> Row:
    """The row with its last good values in the facts that went blank together."""
    if held is None:
        return row
    blank = [trip.field for trip in blanked if trip.field]
    return replace(row, facts={**row.facts, **{n: held.facts.get(n) for n in blank if row.facts.get(n) is None}})


def _gone(listed: Listed, past: Past) -> tuple[str, ...]:
    """Keys that left the list. A row that cannot be read is not gone; one whose key cannot be read could be any."""
    unreadable = {error.key for error in listed.rejected}
    if None in unreadable:
        return ()
    there = {row.key for row in listed.rows} | unreadable
    return tuple(key for key, row in past.held.items() if row.gone_at is None and key not in there)


def _fill_rates(rows: Sequence[Row]) -> dict[str, float]:
    names = rows[0].facts if rows else ()
    return {name: sum(row.facts[name] is not None for row in rows) / len(rows) for name in names}


def keep(db: Session, judged: Judged, *, run_id: UUID, now: datetime, believed: bool = True) -> list[str]:
    """Write a judged list down: its lines, who left it, the sweep, and what is parked of it. The errors, in words.

    What a person rejected is settled: it is no error. ``believed``: whether the sweep may tell later who is missing.
    """
    place = judged.place
    opened = quarantine.park(db, judged.parked(), dataset=place.dataset, run_id=run_id, now=now)
    _alert(judged, opened)
    if judged.trip is None:
        listings.keep_list(db, place, judged.lines, judged.gone, judged.past.held, now=now)
        _settle(db, judged, now)
    if place.scope:
        db.add(judged.sweep_row(run_id, now, believed=believed and judged.trip is None))
    if judged.trip is not None:
        # Each row that cannot be read is named too, so that "unknown status" is not hidden behind "malformed".
        return [str(error) for error in judged.listed.rejected] + [judged.failure or "" for _ in opened]
    torn = [f"{place.source} list of {place.scope} is {judged.note}"] if judged.is_torn else []
    return [item.reason for item in opened] + torn


def _settle(db: Session, judged: Judged, now: datetime) -> None:
    quarantine.settle_list(
        db,
        judged.place,
        readable={row.key for row in judged.listed.rows},
        all_named=all(error.key for error in judged.listed.rejected),
        withheld=[trip.field for trip in judged.blanked if trip.field],
        current=judged.is_current,
        now=now,
    )


def _alert(judged: Judged, opened: Sequence[Parked]) -> None:
    """Speak up: a guard that trips is for a person to look at, and the run's errors say the same."""
    news = {(item.guard, item.field) for item in opened}
    for trip in (judged.trip, *judged.blanked):
        if trip is not None and (judged.trip is not None or (trip.guard, trip.field) in news):
            alert(trip, judged.place.source, judged.scope)


def alert(trip: Trip, source: str, scope: str | None) -> None:
    """A guard that tripped, as a line of the log."""
    log.error("alert guard", guard=trip.guard, source=source, scope=scope, field=trip.field, reason=trip.reason)
