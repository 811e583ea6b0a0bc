"""A dataset of records that one site decides alone: everything about it but what its documents and its tables say.

Politicians and votes are such. Bills are not: they are merged from two sites, which is ``datasets/bills.py``'s matter.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any

import structlog
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.datasets.due import failed_lately, looked_at_before, recheck_cutoff
from parlex.db.bulk import write_rows
from parlex.db.models import Base, ListingRow, SweepRow
from parlex.errors import DocumentError, UnknownSession
from parlex.fetching.document import Document
from parlex.fetching.http import Tally
from parlex.mirror import documents, guards, history, listings, quarantine, sweeps
from parlex.mirror.documents import Fetched, Held
from parlex.mirror.guards import Thresholds, Trip
from parlex.mirror.history import RecordChange
from parlex.mirror.listings import Line, Place
from parlex.mirror.quarantine import Parked
from parlex.parliament import Outcome
from parlex.runs.work import Context, Due, Plan, Saved, Survey
from parlex.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a list. ``facts`` are JSON values; a change of any of them makes the detail due."""

    key: str
    facts: dict[str, Any]
    activity_on: date | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A list as it was read: its good rows, the keys that came twice, an error for each bad row."""

    rows: tuple[Row, ...]
    doubled: tuple[str, ...] = ()
    rejected: tuple[DocumentError, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One record: ``facts`` by column, and its parts by name and by their key within the record, as JSON values."""

    key: str
    facts: dict[str, Any]
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many records were read again, what differs, and what today's code cannot read."""

    records: int
    changes: tuple[RecordChange, ...]
    errors: tuple[str, ...]


class RecordDataset(ABC):
    """See :class:`parlex.datasets.Dataset`. A subclass brings the names, the reading, and the tables."""

    name: str
    source: str
    decides: frozenset[str]
    by_session: bool
    list_source: str  # the site whose list it is, and whose detail is named by the same word
    list_guarded: tuple[str, ...]  # facts of a line that do not go blank for most lines at once
    guarded: tuple[str, ...]  # the same for columns of the record
    part_sources: Mapping[str, str] = {}  # parts whose document is not that of ``list_source``

    def __init__(self, settings: Settings, requests_a_minute: float) -> None:
        self._thresholds = Thresholds(settings.guard_max_shrink, settings.guard_max_blanked, settings.guard_min_rows)
        self.requests_a_minute = requests_a_minute

    # What a subclass brings.

    @abstractmethod
    def lists(self, context: Context, tally: Tally) -> Sequence[Fetched]:
        """The documents of the list asked for; the first one's key is its scope."""

    @abstractmethod
    def read_list(self, scope: str, found: Sequence[Fetched]) -> Listed:
        """DocumentError for a list that is none."""

    @abstractmethod
    def ask(self, key: str, source: str, held: Held | None, context: Context, tally: Tally) -> Document | None: ...

    @abstractmethod
    def read(self, key: str, found: Mapping[str, Document]) -> Record:
        """The record, from its documents by source. DocumentError for what cannot be read."""

    @abstractmethod
    def scope_of(self, key: str) -> str: ...

    @abstractmethod
    def held(self, db: Session, keys: Iterable[str]) -> dict[str, Record]:
        """What the tables say of those of ``keys`` that they hold."""

    @abstractmethod
    def write(self, db: Session, records: Sequence[Record], held: Mapping[str, Record], *, now: datetime) -> None:
        """Insert or update these; each is new or differs from what is held."""

    @abstractmethod
    def withdraw(self, db: Session, keys: Sequence[str], withdrawn: bool, *, now: datetime) -> list[str]:
        """Set or clear the mark; the keys whose mark did change."""

    @abstractmethod
    def held_keys(self, db: Session, scope: str, *, withdrawn: bool) -> set[str]: ...

    def complement(self, db: Session, records: Mapping[str, Record]) -> None:  # noqa: B027  most have nothing to add
        """Fill in what the documents do not say and the mirror knows."""

    def is_whole(self, record: Record) -> bool:
        """Whether the source has said all there is to say. What is not whole is asked for again in a day."""
        return True

    def may_be_empty(self, db: Session, scope: str) -> bool:
        """Whether an empty list is to be believed of a scope whose list was never had."""
        return False

    # Listing and planning.

    def lists_due(self, db: Session, context: Context) -> frozenset[str]:
        return frozenset((self.list_source,))

    def survey(self, due: frozenset[str], context: Context, tally: Tally) -> Survey:
        return Survey(tuple(self.lists(context, tally)))

    def plan(self, db: Session, survey: Survey, context: Context) -> Plan:
        documents.keep_documents(db, survey.documents, dataset=self.name, run_id=context.run_id)
        look = self._look(db, survey)
        if look.trip is not None:
            return self._refuse(db, look, context)
        rows, withheld = self._carry_blanked(look)
        parked = [*withheld, *(_rejected_row(error, look) for error in look.listed.rejected)]
        quarantine.park(db, parked, dataset=self.name, run_id=context.run_id, now=context.now)
        still = [item.field for item in withheld if item.field]
        kept, changes = self._keep_list(db, look, rows, still, context)
        due, not_due = self._due(db, kept, context)
        limit = len(due) if context.request.limit is None else context.request.limit
        self._append(db, changes, context)
        return Plan(
            scope=look.scope,
            listed=len(rows),
            not_due=not_due,
            deferred=max(0, len(due) - limit),
            due=tuple(due[:limit]),
            errors=tuple(item.reason for item in parked),
        )

    def _look(self, db: Session, survey: Survey) -> _Look:
        """Read the list and judge it as a whole."""
        scope, first = survey.documents[0].key, survey.documents[0].document
        place = Place(self.name, self.list_source, scope)
        held = listings.listings(db, self.name, self.list_source, scope)
        last = sweeps.last_believed(db, self.name, self.list_source, scope)
        try:
            listed = self.read_list(scope, survey.documents)
        except DocumentError as error:
            wrong = f"{error.field} {error.reason}" if error.field else error.reason
            return _Look(place, first, Listed(()), held, Trip("malformed", wrong), frozenset())
        if not listed.rows and not listed.rejected and last is None and not self.may_be_empty(db, scope):
            raise UnknownSession(scope)
        since = last.swept_at if last else None
        waived = quarantine.waived_guards(db, self.name, self.list_source, scope, since)
        trip = guards.check_list(
            listed=len(listed.rows),
            rejected=len(listed.rejected),
            held=last.listed if last else 0,
            thresholds=self._thresholds,
            waived=waived,
        )
        return _Look(place, first, listed, held, trip, waived)

    def _refuse(self, db: Session, look: _Look, context: Context) -> Plan:
        """Park the whole list. The mirror stays as the last good sweep left it."""
        assert look.trip is not None
        _alert(look.trip, look)
        parked = [look.parked("sweep", look.trip.guard, look.trip.reason)]
        quarantine.park(db, parked, dataset=self.name, run_id=context.run_id, now=context.now)
        db.add(self._sweep_row(look, context))
        rows = tuple(str(error) for error in look.listed.rejected)
        failure = _refusal(look, look.trip)
        return Plan(look.scope, len(look.listed.rows), 0, 0, (), rows, failure=failure)

    def _sweep_row(self, look: _Look, context: Context) -> SweepRow:
        trip = look.trip
        return SweepRow(
            run_id=context.run_id,
            dataset=self.name,
            source=self.list_source,
            scope=look.scope,
            swept_at=context.now,
            document=look.document.sha256,
            believed=trip is None,
            reason=None if trip is None else f"{trip.guard}: {trip.reason}",
            is_current=context.request.scope is None,
            # Rows that cannot be read are rows of the list all the same.
            listed=len(look.listed.rows) + len(look.listed.rejected),
            held=0,
            missing=[],
            extra=[],
            doubled=list(look.listed.doubled),
            quarantined=[],
            fill_rates=_fill_rates(look.listed.rows),
        )

    def _carry_blanked(self, look: _Look) -> tuple[list[Row], list[Parked]]:
        """The rows, with the last good values of the facts that went blank together."""
        offered = {row.key: row.facts for row in look.listed.rows}
        pairs = [(row.facts, offered[key]) for key, row in look.held.items() if key in offered]
        trips = [
            trip
            for trip in guards.blanked_fields(pairs, self.list_guarded, self._thresholds)
            if (trip.guard, trip.field) not in look.waived
        ]
        for trip in trips:
            _alert(trip, look)
        blank = [trip.field for trip in trips if trip.field]
        carried = [replace(row, facts=_carried(row.facts, look.held.get(row.key), blank)) for row in look.listed.rows]
        return carried, [look.parked("sweep", trip.guard, _refusal(look, trip), field=trip.field) for trip in trips]

    def _keep_list(
        self, db: Session, look: _Look, rows: Sequence[Row], still: Sequence[str], context: Context
    ) -> tuple[Mapping[str, ListingRow], list[RecordChange]]:
        """Keep the believed list. Its lines as they now stand, and the changes to append (who left, who came back)."""
        source, listed = self.list_source, {row.key for row in rows}
        gone = _gone(look, listed)
        kept = listings.keep_list(db, look.place, [_line(row) for row in rows], gone, look.held, now=context.now)
        db.add(self._sweep_row(look, context))
        named = all(error.key for error in look.listed.rejected)
        quarantine.settle_list(db, look.place, readable=listed, all_named=named, withheld=still, now=context.now)
        back = sorted(self.held_keys(db, look.scope, withdrawn=True) & listed)
        left = self.withdraw(db, gone, True, now=context.now)
        returned = self.withdraw(db, back, False, now=context.now)
        changes = [RecordChange(key, "withdrawn", source=source) for key in left]
        changes += [RecordChange(key, "reappeared", source=source) for key in returned]
        return kept, changes

    def _due(self, db: Session, listed: Mapping[str, ListingRow], context: Context) -> tuple[list[Due], int]:
        """The keys to fetch, the latest activity first, then those not looked at for long; how many are not due."""
        db.flush()
        rows = [row for row in listed.values() if row.gone_at is None]
        held = documents.held(db, self.name, [row.key for row in rows])
        cutoff = recheck_cutoff(context)
        changed, old = [], []
        for row in rows:
            if row.fingerprint != row.fetched_fingerprint:
                if context.by_hand or not failed_lately(row, context.now):
                    changed.append(row)
            elif looked_at_before(held.get((row.key, self.list_source)), cutoff):
                old.append(row)
        changed.sort(key=_by_activity)
        old.sort(key=lambda row: (held[row.key, self.list_source].checked_at, row.key))
        wants = tuple(sorted(self.decides))
        due = [Due(row.key, wants, row.fingerprint) for row in (*changed, *old)]
        return due, len(rows) - len(due)

    # Reading again.

    def replay(self, db: Session, keys: Sequence[str], *, apply: bool, now: datetime) -> Replayed:
        """Read the documents that stand with today's code: what would come out otherwise, and with ``apply`` does.

        No network. Columns that a guard withholds stay withheld.
        """
        if apply:
            history.lock_keys(db, self.name, keys)
        found: dict[str, dict[str, Document]] = {}
        for (key, source), document in documents.standing_documents(db, self.name, keys).items():
            found.setdefault(key, {})[source] = document
        reading = _Reading({key: by for key, by in found.items() if self.decides <= by.keys()})
        for key, by_source in reading.found.items():
            self._read_one(key, by_source, reading)
        self.complement(db, reading.records)
        held = self.held(db, reading.records)
        states = quarantine.withheld_fields(db, self.name, held)
        records = {key: _withheld(record, held.get(key), states) for key, record in reading.records.items()}
        result = self._compare(records, held, reading)
        changes = [replace(one, kind="reparsed" if one.field else one.kind) for one in result.changes]
        if apply:
            self.write(db, result.to_write, held, now=now)
            history.append_record_changes(db, changes, dataset=self.name, now=now, run_id=None)
        return Replayed(len(records), tuple(changes), tuple(item.reason for item in reading.parked))

    # Saving.

    def save(
        self,
        db: Session,
        keys: Mapping[str, str | None],
        offered: Mapping[tuple[str, str], Document],
        context: Context,
    ) -> Sequence[Saved]:
        history.lock_keys(db, self.name, keys)
        reading = self._read(db, keys, offered)
        self.complement(db, reading.records)
        held = self.held(db, reading.records)
        records, withheld = self._withhold_blanks(db, reading, held, context)
        result = self._compare(records, held, reading)
        self.write(db, result.to_write, held, now=context.now)
        self._mark(db, keys, reading, context)
        parked = [*withheld, *reading.parked]
        quarantine.park(db, parked, dataset=self.name, run_id=context.run_id, now=context.now)
        self._append(db, result.changes, context)
        errors = {item.key: item.reason for item in parked if item.key}
        return [_saved(key, result.outcomes.get(key), errors.get(key), reading) for key in keys]

    def _read(self, db: Session, keys: Iterable[str], offered: Mapping[tuple[str, str], Document]) -> _Reading:
        """Read what was offered for each key, beside what stands for a source that offered nothing new."""
        found: dict[str, dict[str, Document]] = {}
        for (key, source), document in offered.items():
            found.setdefault(key, {})[source] = document
        lacking = [key for key, by_source in found.items() if not self.decides <= by_source.keys()]
        for (key, source), document in documents.standing_documents(db, self.name, lacking).items():
            found[key].setdefault(source, document)
        reading = _Reading(found)
        for key in keys:
            if key in found:
                self._read_one(key, found[key], reading)
        return reading

    def _read_one(self, key: str, found: Mapping[str, Document], reading: _Reading) -> None:
        try:
            reading.records[key] = self.read(key, found)
        except DocumentError as error:
            guilty = next((d for d in found.values() if d.url == error.document), found[self.list_source])
            reading.parked.append(self._malformed(key, guilty, error))
            reading.refused.add(key)

    def _malformed(self, key: str, document: Document, error: DocumentError) -> Parked:
        return Parked(
            kind="document",
            guard="unreadable",
            source=self.list_source,
            reason=str(error),
            scope=self.scope_of(key),
            key=key,
            field=error.field,
            document=document.sha256,
            url=document.url,
        )

    def _withhold_blanks(
        self, db: Session, reading: _Reading, held: Mapping[str, Record], context: Context
    ) -> tuple[dict[str, Record], list[Parked]]:
        """Keep held values of columns that went blank together, and of those that still wait for a person's word."""
        pairs = [(before.facts, reading.records[key].facts) for key, before in held.items()]
        tripped = {trip.field for trip in guards.blanked_fields(pairs, self.guarded, self._thresholds)}
        states = quarantine.withheld_fields(db, self.name, held)
        records, parked = dict(reading.records), list[Parked]()
        for key, before in held.items():
            offered = records[key].facts
            lost = [name for name in self.guarded if before.facts[name] is not None and offered[name] is None]
            waits = {name: states.get((key, name), "open" if name in tripped else None) for name in lost}
            kept = {name: before.facts[name] for name, state in waits.items() if state in ("open", "rejected")}
            records[key] = replace(records[key], facts={**offered, **kept})
            parked += [self._blanked(key, name, value, reading) for name, value in kept.items()]
        filled = [(key, name) for key, name in states if reading.records[key].facts.get(name) is not None]
        quarantine.resolve_fields(db, self.name, filled, now=context.now)
        return records, parked

    def _blanked(self, key: str, name: str, value: Any, reading: _Reading) -> Parked:
        document = reading.found[key][self.list_source]
        return Parked(
            kind="field",
            guard="blanked",
            source=self.list_source,
            reason=f"{self.list_source} {key} {name}: went blank together with others; the last good value is kept",
            scope=self.scope_of(key),
            key=key,
            field=name,
            held=history.json_value(value),
            document=document.sha256,
            url=document.url,
        )

    def _compare(self, records: Mapping[str, Record], held: Mapping[str, Record], reading: _Reading) -> _Comparison:
        result = _Comparison()
        for key, record in records.items():
            before = held.get(key)
            if before is None:
                changes = [self._change(key, "created", "", None, None, reading)]
                result.outcomes[key] = Outcome.CREATED
            else:
                changes = [self._change(key, "changed", *lost, reading) for lost in differences(before, record)]
                result.outcomes[key] = Outcome.UPDATED if changes else Outcome.UNCHANGED
            if changes:
                result.to_write.append(record)
                result.changes += changes
        return result

    def _change(self, key: str, kind: str, name: str, old: Any, new: Any, reading: _Reading) -> RecordChange:
        source = self.part_sources.get(name.partition(".")[0], self.list_source)
        return RecordChange(key, kind, name or None, old, new, source, reading.found[key][source].sha256)

    def _mark(self, db: Session, keys: Mapping[str, str | None], reading: _Reading, context: Context) -> None:
        """Note which documents stand now, and for which line each record was fetched."""
        good: dict[tuple[str, str], Document | None] = {
            (key, source): document for key in reading.records for source, document in reading.found[key].items()
        }
        documents.mark_checked(db, self.name, good, context.now)
        whole = {key: keys[key] for key, record in reading.records.items() if self.is_whole(record)}
        listings.mark_fetched(db, self.name, self.list_source, whole)
        unfinished = {*(key for key in reading.records if key not in whole), *reading.refused}
        listings.mark_unfetched(db, self.name, self.list_source, unfinished, now=context.now)
        quarantine.resolve(db, self.name, "document", self.list_source, keys=list(reading.records), now=context.now)

    def _append(self, db: Session, changes: Sequence[RecordChange], context: Context) -> None:
        history.append_record_changes(db, changes, dataset=self.name, now=context.now, run_id=context.run_id)

    def failed(self, db: Session, keys: Mapping[str, str | None], context: Context) -> None:
        listings.mark_unfetched(db, self.name, self.list_source, keys, now=context.now)

    def complete(self, db: Session, context: Context) -> None:
        sweeps.finish_sweeps(db, self.name, context.run_id, lambda scope: self.held_keys(db, scope, withdrawn=False))


@dataclass(frozen=True)
class _Look:
    """A list, read and judged. ``held``: its lines as last believed."""

    place: Place
    document: Document
    listed: Listed
    held: Mapping[str, ListingRow]
    trip: Trip | None
    waived: frozenset[tuple[str, str | None]]

    @property
    def scope(self) -> str:
        return self.place.scope

    def parked(self, kind: str, guard: str, reason: str, *, key: str | None = None, field: str | None = None) -> Parked:
        return Parked(
            kind=kind,
            guard=guard,
            source=self.place.source,
            reason=reason,
            scope=self.place.scope,
            key=key,
            field=field,
            document=self.document.sha256,
            url=self.document.url,
        )


class _Reading:
    """Documents read for one chunk: records by key, where each came from, and what could not be read."""

    def __init__(self, found: Mapping[str, Mapping[str, Document]]) -> None:
        self.found = found
        self.records: dict[str, Record] = {}
        self.refused: set[str] = set()
        self.parked: list[Parked] = []


class _Comparison:
    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.to_write: list[Record] = []
        self.changes: list[RecordChange] = []


def differences(held: Record, offered: Record) -> list[tuple[str, Any, Any]]:
    """(field, old, new) for each fact that differs, as JSON values; a part's field is ``memberships.1234``."""
    found = [
        (name, history.json_value(held.facts[name]), history.json_value(value))
        for name, value in offered.facts.items()
        if held.facts[name] != value
    ]
    for part in offered.parts:
        old, new = held.parts[part], offered.parts[part]
        keys = [*old, *(key for key in new if key not in old)]
        found += [(f"{part}.{key}", old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]
    return found


def _withheld(record: Record, held: Record | None, states: Mapping[tuple[str, str], str]) -> Record:
    """The record with the held values of columns whose blank a person has not approved."""
    if held is None:
        return record
    waits = [n for n, v in record.facts.items() if v is None and states.get((record.key, n)) in ("open", "rejected")]
    return replace(record, facts={**record.facts, **{name: held.facts[name] for name in waits}})


def _saved(key: str, outcome: Outcome | None, error: str | None, reading: _Reading) -> Saved:
    if key in reading.refused:
        return Saved(key, Outcome.FAILED, error)
    # A key without an outcome was answered without a new document.
    return Saved(key, outcome or Outcome.UNCHANGED, error)


def _alert(trip: Trip, look: _Look) -> None:
    """Speak up: a guard that trips is for a person to look at, and the run's errors say the same."""
    place = look.place
    log.error(
        "alert guard", guard=trip.guard, source=place.source, scope=place.scope, field=trip.field, reason=trip.reason
    )


def _refusal(look: _Look, trip: Trip) -> str:
    return f"{look.place.source} list of {look.scope} parked by guard {trip.guard}: {trip.reason}"


def _rejected_row(error: DocumentError, look: _Look) -> Parked:
    return look.parked("row", "unreadable", str(error), key=error.key, field=error.field)


def _gone(look: _Look, listed: set[str]) -> list[str]:
    """Keys that left the list. A row that cannot be read is not gone; one whose key cannot be read could be any."""
    unreadable = {error.key for error in look.listed.rejected}
    if None in unreadable:
        return []
    return [key for key, row in look.held.items() if row.gone_at is None and key not in listed | unreadable]


def _carried(facts: dict[str, Any], held: ListingRow | None, blank: Sequence[str]) -> dict[str, Any]:
    if held is None:
        return facts
    return {**facts, **{name: held.facts.get(name) for name in blank if facts[name] is None}}


def _line(row: Row) -> Line:
    text = json.dumps(row.facts, sort_keys=True, ensure_ascii=False)
    return Line(row.key, hashlib.sha256(text.encode()).hexdigest()[:32], row.activity_on, row.facts)


def _fill_rates(rows: Sequence[Row]) -> dict[str, float]:
    names = rows[0].facts if rows else ()
    return {name: sum(row.facts[name] is not None for row in rows) / len(rows) for name in names}


def _by_activity(row: ListingRow) -> tuple[bool, int, str]:
    """The latest activity first, none last."""
    return row.activity_on is None, -row.activity_on.toordinal() if row.activity_on else 0, row.key


def upsert_rows(
    db: Session, model: type[Base], rows: Sequence[Mapping[str, Any]], identity: Sequence[str], *, now: datetime
) -> None:
    """Insert or update rows that carry ``first_seen_at`` and ``last_changed_at``; the first stays as it was."""
    if not rows:
        return
    offered = upsert(model)
    columns = [name for name in (*rows[0], "last_changed_at") if name not in identity]
    changes = {name: offered.excluded[name] for name in columns}
    stamped = [{**row, "first_seen_at": now, "last_changed_at": now} for row in rows]
    write_rows(db, offered.on_conflict_do_update(index_elements=list(identity), set_=changes), stamped)
