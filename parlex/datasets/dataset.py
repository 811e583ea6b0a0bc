"""A dataset: one kind of thing that the mirror keeps, from its lists to its rows and their history.

Everything that is the same for all kinds is here; what a kind brings is in ``kind.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, select, update
from sqlalchemy.orm import Session

from parlex.answers import as_json, counted
from parlex.datasets import due
from parlex.datasets.kind import CURRENT, Kind
from parlex.datasets.reading import Found, Reading, batches
from parlex.datasets.record import Record, States, differences, with_held_parts, withheld
from parlex.db import advisory
from parlex.db.bulk import upsert_rows
from parlex.errors import DocumentError, UnknownSession
from parlex.fetching.document import Document
from parlex.mirror import blanks, documents, guards, history, listings, lists, quarantine, sweeps
from parlex.mirror.blanks import Noted
from parlex.mirror.documents import Fetched
from parlex.mirror.guards import Thresholds, Trip
from parlex.mirror.history import Change
from parlex.mirror.listings import Place
from parlex.mirror.lists import NOTHING, Judged, Listed, Past
from parlex.mirror.quarantine import Parked
from parlex.parliament import Outcome
from parlex.runs.work import Asking, Context, Due, Plan, Request, Saved, Survey

LIST_AGAIN = timedelta(days=1)  # how long a companion's list is good, if nothing is wrong with it


class Dataset(Kind):
    """See :class:`parlex.runs.work.Dataset` for what the pipeline asks of it."""

    def __init__(self, thresholds: Thresholds, rates: Mapping[str, float]) -> None:
        self._thresholds = thresholds
        self.rates = rates
        self.requests_a_minute = min((rate for rate in rates.values() if rate), default=0.0)

    def _place(self, source: str, scope: str | None) -> Place:
        return Place(self.name, source, scope or "")

    # Listing.

    def lists_due(self, db: Session, context: Context) -> frozenset[str]:
        """The deciding list always; a companion's once a day, or sooner where something was wrong with its last one."""
        scope = context.request.scope or sweeps.current_scope(db, self.name, self.list_source)
        due_lists = {self.list_source}
        for source in self.companion_lists:
            last = sweeps.last_believed(db, self.name, source, scope) if scope else None
            if last is None or last.swept_at < context.now - LIST_AGAIN or last.reason is not None:
                due_lists.add(source)
        return frozenset(due_lists)

    def survey(self, due: frozenset[str], request: Request, asking: Asking) -> Survey:
        return Survey(tuple(self.lists(request, asking)))

    # Planning. Nothing is written here.

    def plan(self, db: Session, survey: Survey, context: Context) -> Plan:
        judged = self._judge(db, survey, context)
        if judged.failure is not None:
            return Plan(judged.scope, len(judged.listed.rows), survey, (judged,), failure=judged.failure)
        assert judged.scope is not None
        listing = [source for source in self.companion_lists if self.has(source, judged.place.scope)]
        told = {source: self._told_by(db, source, survey, judged, context.now) for source in listing}
        errors = [one.error for one in told.values() if one.error]
        found = [one.judged for one in told.values() if one.judged is not None]
        shown = {source: one.shown for source, one in told.items()}
        keys = self._due(db, judged, shown, context)
        return Plan(judged.scope, len(judged.lines), survey, (judged, *found), keys, tuple(errors))

    def _judge(self, db: Session, survey: Survey, context: Context) -> Judged:
        """The deciding list. UnknownSession for one that no source lists and the mirror does not hold."""
        found = [one for one in survey.documents if one.source == self.list_source]
        listed = self._read_list(self.list_source, found)
        told = found[0].key if found[0].key != CURRENT else None
        request = context.request
        scope = request.scope or listed.scope or told or sweeps.current_scope(db, self.name, self.list_source)
        place = self._place(self.list_source, scope)
        judged = Judged(place, found[0].document, request.scope is None, listed, NOTHING)
        if scope is None:
            # There always is a current session: a list that names none is a source that fails, not a wrong request.
            judged = self._guarded(judged)
            return judged if judged.trip else replace(judged, trip=Trip("empty", "the list is empty"))
        past = Past.read(db, place)
        if listed.is_empty and past.last is None and self.by_session and not self.may_be_empty(db, scope):
            raise UnknownSession(scope)
        foreign = listed.scope is not None and listed.scope != scope
        trip = Trip("foreign", f"asked for {scope}, the list is of {listed.scope}") if foreign else None
        return self._guarded(replace(judged, past=past, trip=trip))

    def _read_list(self, source: str, found: Sequence[Fetched]) -> Listed:
        try:
            return self.read_list(source, found)
        except DocumentError as error:
            return Listed(wrong=f"{error.field} {error.reason}" if error.field else error.reason)

    def _guarded(self, judged: Judged) -> Judged:
        source = judged.place.source
        guarded = self.list_guarded if source == self.list_source else ()
        make = self.line if source == self.list_source else lists.line
        paged = source in self.paged
        return lists.judge(judged, thresholds=self._thresholds, guarded=guarded, paged=paged, make=make)

    def _told_by(self, db: Session, source: str, survey: Survey, spine: Judged, now: datetime) -> _Companion:
        """A companion's list where it came and is one; what it shows; and what is wrong, in words."""
        place = self._place(source, spine.scope)
        found = [one for one in survey.documents if one.source == source]
        error = survey.errors.get(source)
        if found:
            try:
                listed = self.read_list(source, found)
            except DocumentError as unreadable:
                error = unreadable
            else:
                past = Past.read(db, place)
                trip, note = self._nothing_shown(listed, past, spine), self._what_it_lacks(listed, spine)
                judged = self._guarded(Judged(place, found[0].document, False, listed, past, trip, note=note))
                return _Companion(judged, due.Shown.of(judged, now, full=_is_full(judged)))
        last = sweeps.last_believed(db, self.name, source, place.scope)
        keys = listings.listed_keys(db, self.name, source, place.scope) if last else frozenset[str]()
        return _Companion(None, due.Shown(last.swept_at if last else None, keys), str(error) if error else None)

    def _nothing_shown(self, listed: Listed, past: Past, spine: Judged) -> Trip | None:
        """A companion shows a record later than the deciding list does, but not all of them together."""
        first = past.last is None and ("empty", None) not in past.waived
        rows = len(spine.listed.rows)
        if not first or listed.size or rows < self._thresholds.min_rows:
            return None
        return Trip("empty", f"the list is empty, {self.list_source} lists {rows}")

    def _what_it_lacks(self, listed: Listed, spine: Judged) -> str | None:
        """Why a companion's list is not good for a day, though nothing in it is wrong.

        The sources have the same records but for a handful, or what the companion is late with.
        """
        if listed.rejected:
            return f"{counted(len(listed.rejected), 'row')} of it cannot be read"
        rows, there = len(listed.rows), len(spine.listed.rows)
        short = guards.check_list(listed=rows, rejected=0, held=there, thresholds=self._thresholds)
        return f"it lists {rows}, {self.list_source} {there}" if short else None

    def _due(self, db: Session, judged: Judged, shown: Mapping[str, due.Shown], context: Context) -> tuple[Due, ...]:
        found = due.candidates(judged, context.now)
        held = documents.held(db, self.name, [one.key for one in found])
        scope = judged.place.scope

        def wants(one: due.Candidate) -> tuple[str, ...]:
            return tuple(
                source
                for source in self.sources
                if source in self.decides
                or (self.has(source, scope) and (source not in shown or shown[source].may_have(one)))
            )

        return due.choose(
            found,
            held,
            context,
            decides=self.list_source,
            companions=[source for source in self.sources if source not in self.decides],
            wants=wants,
            rank=self.rank,
        )

    def keep(self, db: Session, plan: Plan, context: Context) -> list[str]:
        """Write the lists down as they were judged, and who left them or came back. The errors, in words."""
        run_id, now = context.run_id, context.now
        documents.keep_documents(db, plan.survey.documents, dataset=self.name, run_id=run_id)
        errors = list[str]()
        for judged in plan.lists:
            believed = judged.place.source == self.list_source or _is_full(judged)
            found = lists.keep(db, judged, run_id=run_id, now=now, believed=believed)
            errors += [error for error in found if error != plan.failure]  # which the pipeline tells itself
        if plan.failure is None:
            history.append(db, self.name, self._move(db, plan.lists[0], now), now=now, run_id=run_id)
        return errors + list(plan.errors)

    def _move(self, db: Session, judged: Judged, now: datetime) -> list[Change]:
        """Mark the records that left the list, and those that are back. The changes to append."""
        listed = {line.key for line in judged.lines}
        back = sorted(self.held_keys(db, judged.place.scope, withdrawn=True) & listed, key=self.rank)
        left = self.withdraw(db, judged.gone, True, now=now)
        returned = self.withdraw(db, back, False, now=now)
        source = self.list_source
        changes = [Change(key, "withdrawn", source=source) for key in left]
        return changes + [Change(key, "reappeared", source=source) for key in returned]

    # Saving.

    def save(
        self,
        db: Session,
        keys: Mapping[str, str | None],
        offered: Found,
        context: Context,
    ) -> Sequence[Saved]:
        self.lock(db, keys)
        ours = self.catch_up(db, keys, now=context.now)
        reading = self.read(db, offered)
        records = {key: self.record(key, parsed) for key, parsed in reading.whole.items()}
        self.complement(db, records)
        held = self.held(db, records)
        records, parked = self._withhold_blanks(db, records, held, reading, context)
        result = self.compare(records, held, reading)
        self.write(db, result.to_write, held, now=context.now)
        self._mark(db, keys, reading, context)
        run_id, now = context.run_id, context.now
        opened = quarantine.park(db, [*parked, *reading.parked], dataset=self.name, run_id=run_id, now=now)
        history.append(db, self.name, ours, now=now, run_id=None)
        history.append(db, self.name, result.changes, now=now, run_id=run_id)
        return list(self._saved(keys, result, reading, opened))

    def catch_up(self, db: Session, keys: Iterable[str], *, now: datetime) -> Sequence[Change]:
        """Make those rows again that an older reading made of what stands. The changes to append, which are no news."""
        behind = documents.read_before(db, self.name, self.reading, keys)
        if not behind:
            return ()
        reading = Reading(self.parse, self.decides)
        reading.fill(documents.standing_documents(db, self.name, behind))
        held, result = self.reread(db, reading, "reparsed")
        self.write(db, result.to_write, held, now=now)
        documents.mark_read(db, self.name, self.reading, behind)
        return result.changes

    def lock(self, db: Session, keys: Iterable[str]) -> None:
        """Keep other writers of these keys out until commit."""
        advisory.lock(db, (f"{self.name} {key}" for key in keys))

    def read(self, db: Session, offered: Found) -> Reading:
        """Parse what was offered of some keys, and what stands of the sources that offered nothing good."""
        reading = Reading(self.parse, self.decides)
        reading.take(offered, self.scope_of)
        touched = {key for key, _ in offered} - reading.refused
        lacking = [key for key in touched if any((key, source) not in reading.documents for source in self.sources)]
        if lacking:
            reading.fill(documents.standing_documents(db, self.name, lacking))
        return reading

    def _withhold_blanks(
        self,
        db: Session,
        records: Mapping[str, Record],
        held: Mapping[str, Record],
        reading: Reading,
        context: Context,
    ) -> tuple[dict[str, Record], list[Parked]]:
        """Keep the held values of columns that went blank; what is to be counted of those that a person knows.

        A blank that nobody knows is noted until the run is over: one message has too few records to tell whether it
        came alone. See :mod:`parlex.mirror.blanks`.
        """
        states = quarantine.withheld_fields(db, self.name, held)
        kept: dict[str, Record] = {}
        known: list[Parked] = []
        news: list[Parked] = []
        for key, record in records.items():
            whole = with_held_parts(record, held.get(key), reading.odd.get(key, ()))
            believed, values = withheld(whole, held.get(key), states, self.guarded, unknown=True)
            kept[key] = self.derive(believed)
            for field, value in values.items():
                new = states.get((key, field), "pending") == "pending"
                (news if new else known).append(self._blanked(key, field, value, reading))
        filled = [(key, field) for key, field in states if records[key].facts.get(field) is not None]
        quarantine.resolve_fields(db, self.name, filled, now=context.now)
        news = [replace(one, reason=blanks.alone(one.source, one.key, one.field)) for one in news]
        blanks.note(db, news, dataset=self.name, run_id=context.run_id, now=context.now)
        return kept, known

    def believed(
        self, records: Mapping[str, Record], held: Mapping[str, Record], reading: Reading, states: States
    ) -> dict[str, Record]:
        """The records as a fetch would keep them: with held values where parts are odd, or a blank is not believed."""
        found = {}
        for key, record in records.items():
            whole = with_held_parts(record, held.get(key), reading.odd.get(key, ()))
            found[key] = self.derive(withheld(whole, held.get(key), states, self.guarded)[0])
        return found

    def reread(self, db: Session, reading: Reading, kind: str) -> tuple[dict[str, Record], Comparison]:
        """What is held of the records that were read, and what would differ if they were saved now."""
        records = {key: self.record(key, parsed) for key, parsed in reading.whole.items()}
        self.complement(db, records)
        held = self.held(db, records)
        states = quarantine.withheld_fields(db, self.name, held)
        return held, self.compare(self.believed(records, held, reading, states), held, reading, kind)

    def _blanked(self, key: str, field: str, value: Any, reading: Reading) -> Parked:
        source = self.decider(field)
        return Parked(
            kind="field",
            guard="blanked",
            source=source,
            reason=blanks.together(source, key, field),
            scope=self.scope_of(key),
            key=key,
            field=field,
            held=as_json(value),
            document=reading.sha256(key, source),
            url=reading.url(key, source),
        )

    def compare(
        self, records: Mapping[str, Record], held: Mapping[str, Record], reading: Reading, kind: str = "changed"
    ) -> Comparison:
        """What to write, and the lines of history for it. ``kind`` is what the history calls a field that differs."""
        result = Comparison({}, [], [])
        for key, record in records.items():
            before = held.get(key)
            if before is None:
                source = self.list_source
                changes = [Change(key, "created", source=source, document=reading.sha256(key, source))]
                result.outcomes[key] = Outcome.CREATED
            else:
                changes = list(self._changes(before, record, reading, kind))
                told = any(change.field not in self.derived for change in changes)
                result.outcomes[key] = Outcome.UPDATED if told else Outcome.UNCHANGED
            if changes:
                result.to_write.append(record)
                result.changes.extend(changes)
        return result

    def _changes(self, before: Record, record: Record, reading: Reading, kind: str) -> Iterator[Change]:
        """A derived fact that changes alone tells of our rules, and not of the record."""
        found = differences(before, record)
        ours = [lost for lost in found if lost[0] in self.derived]
        for field, old, new in found:
            if field in self.derived:
                yield Change(record.key, kind if len(found) > len(ours) else "reparsed", field, old, new)
            else:
                source = self.decider(field)
                yield Change(record.key, kind, field, old, new, source, reading.sha256(record.key, source))

    def write(self, db: Session, records: Sequence[Record], held: Mapping[str, Record], *, now: datetime) -> None:
        """Insert or update these; each is new or differs from what is held."""
        if records:
            rows = [{**self.identity(record.key), **self.columns(record)} for record in records]
            upsert_rows(db, self.table, rows, list(self.identity(records[0].key)), now=now)
            self.write_parts(db, records, held)

    def columns(self, record: Record) -> dict[str, Any]:
        """What its row holds besides its identity."""
        return record.facts

    def _mark(self, db: Session, keys: Mapping[str, str | None], reading: Reading, context: Context) -> None:
        """Note which documents stand now, and for which line each record was fetched."""
        good: dict[tuple[str, str], Document | None] = {pair: reading.documents[pair] for pair in reading.fresh}
        documents.mark_checked(db, self.name, good, context.now)
        documents.mark_read(db, self.name, self.reading, {key for key, _ in good})
        fresh = {key for key, source in reading.fresh if source in self.decides}
        told = {key: parsed for key, parsed in reading.whole.items() if key in fresh}
        unfinished = self.unfinished(db, told)
        whole = {key: keys[key] for key in told if key not in unfinished}
        listings.mark_fetched(db, self.name, self.list_source, whole)
        listings.mark_unfetched(db, self.name, self.list_source, {*unfinished, *reading.refused}, now=context.now)
        odd = {(item.key, item.source) for item in reading.parked if item.kind == "part"}
        for source in self.sources:
            mended = [key for key, name in reading.fresh if name == source]
            quarantine.resolve(db, self.name, "document", source, keys=mended, now=context.now)
            if whole_ones := [key for key in mended if (key, source) not in odd]:
                quarantine.resolve(db, self.name, "part", source, keys=whole_ones, now=context.now)

    def _saved(
        self, keys: Iterable[str], result: Comparison, reading: Reading, opened: Sequence[Parked]
    ) -> Iterator[Saved]:
        errors = reading.errors_of(keys) | {item.key: item.reason for item in opened if item.key}
        settled = {item.key for item in reading.parked} - {item.key for item in opened}
        for key in keys:
            error = None if key in settled else errors.get(key)
            if key in reading.refused and key not in settled:
                yield Saved(key, Outcome.FAILED, error)
            else:
                # A key without an outcome was answered without a document: the companion does not show it yet.
                yield Saved(key, result.outcomes.get(key, Outcome.UNCHANGED), error)

    # The end.

    def failed(self, db: Session, keys: Mapping[str, str | None], context: Context) -> None:
        listings.mark_unfetched(db, self.name, self.list_source, keys, now=context.now)

    def settle(self, db: Session, context: Context) -> Sequence[Saved]:
        seen = blanks.noted(db, self.name, context.run_id)
        if not seen:
            return ()
        # In the order of those who save, so that neither waits for the other in a circle; then as it stands now.
        self.lock(db, {one.key for one in seen if one.key})
        suspect, few = list[Noted](), list[Noted]()
        for group in _by_scope_and_field(blanks.noted(db, self.name, context.run_id)):
            (suspect if self._came_together(db, group) else few).extend(group)
        blanks.park(suspect, now=context.now)
        blanks.forget(db, few)
        saved = [Saved(one.key or "", Outcome.UNCHANGED, one.reason) for one in suspect]
        for batch in batches(sorted({one.key for one in few if one.key}, key=self.rank)):
            reading = Reading(self.parse, self.decides)
            reading.fill(documents.standing_documents(db, self.name, batch))
            held, result = self.reread(db, reading, "changed")
            self.write(db, result.to_write, held, now=context.now)
            history.append(db, self.name, result.changes, now=context.now, run_id=context.run_id)
            saved += [Saved(key, outcome) for key, outcome in result.outcomes.items()]
        return saved

    def _came_together(self, db: Session, notes: Sequence[Noted]) -> bool:
        """Whether the blanks of one field in one scope are too many to be believed; then the log says so.

        Those that wait for a person already are evidence too: what ails a source may last for several small runs.
        """
        scope, field = notes[0].scope or "", str(notes[0].field)
        source = self.decider(field)
        lost = {one.key for one in notes} | blanks.waiting(db, self.name, notes[0].scope, field)
        has = and_(*self.in_scope(scope), getattr(self.table, field).is_not(None))
        runs = {one.run_id for one in notes if one.run_id}
        had = lost | blanks.still_have(db, self.name, source, runs, self.key, self.first_seen_at, has)
        trip = guards.blanked(field, len(lost), len(had), self._thresholds)
        if trip is not None:
            lists.alert(trip, source, scope)
        return trip is not None

    def complete(self, db: Session, context: Context) -> None:
        sweeps.finish_sweeps(
            db,
            self.name,
            context.run_id,
            held=lambda scope: self.held_keys(db, scope, withdrawn=False),
            order=self.rank,
            sources={self.list_source: self.accountable, **{name: (name,) for name in self.companion_lists}},
        )

    # Reads that every dataset answers alike.

    def held_keys(self, db: Session, scope: str, *, withdrawn: bool) -> set[str]:
        return set(db.scalars(select(self.key).where(*self.in_scope(scope), self.withdrawn.is_(withdrawn))))

    def withdraw(self, db: Session, keys: Sequence[str], withdrawn: bool, *, now: datetime) -> list[str]:
        """Set or clear the mark; the keys whose mark did change, in order."""
        if not keys:
            return []
        marked = (
            update(self.table)
            .where(self.key.in_(keys), self.withdrawn.is_(not withdrawn))
            .values(withdrawn=withdrawn, last_changed_at=now)
            .returning(self.key)
        )
        return sorted(db.scalars(marked), key=self.rank)

    def scopes(self, db: Session) -> list[str]:
        """The scopes of which a list was ever had, or anything is held, in order."""
        return sorted(sweeps.scopes(db, self.name) - {""}, key=self.rank_of_scope)


@dataclass(frozen=True, slots=True)
class _Companion:
    """A companion's list, if it came and is one; what it shows, by it and by what is held; what is wrong with it."""

    judged: Judged | None
    shown: due.Shown
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of each key, the records to write, and the lines of history."""

    outcomes: dict[str, Outcome]
    to_write: list[Record]
    changes: list[Change]


def _by_scope_and_field(notes: Iterable[Noted]) -> Iterable[list[Noted]]:
    found = dict[tuple[str | None, str | None], list[Noted]]()
    for one in notes:
        found.setdefault((one.scope, one.field), []).append(one)
    return found.values()


def _is_full(judged: Judged) -> bool:
    """Whether a companion's list tells what it lacks: with rows that cannot be read it does not."""
    return judged.trip is None and not judged.listed.rejected
