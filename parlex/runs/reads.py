"""Reads for people: the runs, and the whole story of one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, Text, and_, case, cast, func, or_, select
from sqlalchemy.orm import Session

from parlex.answers import Record, as_json, counted
from parlex.db.models import (
    ChangeRow,
    DocumentFetchRow,
    QuarantineRow,
    RunKeyRow,
    RunRow,
    SweepRow,
)
from parlex.errors import UsageError
from parlex.mirror import history
from parlex.mirror.history import ChangeRecord
from parlex.mirror.quarantine import QuarantineRecord
from parlex.parliament import Outcome, SessionId
from parlex.runs.run_keys import unreached

_PAGE = 1000  # rows held in memory at a time while a long answer streams


@dataclass(frozen=True, slots=True)
class RunRecord(Record):
    """A run as ``parlex runs --json`` prints it. ``bills_fetched`` = created + updated + unchanged + failed.

    While the run is under way, these are of the keys that are done.
    """

    run_id: UUID
    dataset: str
    job: str
    entry: str | None
    source: str
    status: str
    slot: datetime | None
    started_at: datetime
    finished_at: datetime | None
    duration_seconds: float | None
    bills_fetched: int
    created: int
    updated: int
    unchanged: int
    failed: int
    deferred: int
    requests: int
    bytes: int
    error_count: int
    errors: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Standing(Record):
    """How a run under way stands. ``eta_seconds``: until its end, at the rate of its keys since it was planned; None
    while nobody can know, as before the first key is done, or while it is paused."""

    paused_at: datetime | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RunKeyRecord(Record):
    """``state``: ``unreached`` where the run was ended before anybody got to the key, or to its companion; then
    ``error`` is what it waited for."""

    key: str
    state: str
    outcome: str | None
    attempt: int
    wants: tuple[str, ...]
    next_attempt_at: datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class SweepRecord(Record):
    """One look at a whole list: what the source listed against what the mirror held right after it.

    ``held``, ``missing``, ``extra`` and ``quarantined`` are null where nobody compared: the list was not believed, or
    its run was not seen to its end.
    """

    scope: str
    source: str
    swept_at: datetime
    believed: bool
    reason: str | None
    is_current: bool
    listed: int
    held: int | None
    missing: tuple[str, ...] | None
    extra: tuple[str, ...] | None
    doubled: tuple[str, ...]
    quarantined: tuple[str, ...] | None
    run_id: UUID


@dataclass(frozen=True, slots=True)
class EventRecord(Record):
    """Something that happened in a run, in words."""

    at: datetime
    event: str


@dataclass(frozen=True, slots=True)
class RunStory(Record):
    """A run's whole story: its figures, each key it asked for, its sweeps, what it put into quarantine, when what
    happened, and what it changed. ``unreached``: how many keys nobody got to before it was ended."""

    run: RunRecord
    missed_slots: int
    scope: str | None
    params: dict[str, Any]
    listed: int
    not_due: int
    keys: tuple[RunKeyRecord, ...]
    sweeps: tuple[SweepRecord, ...]
    quarantine: tuple[QuarantineRecord, ...]
    timeline: tuple[EventRecord, ...]
    changes: tuple[ChangeRecord, ...]
    standing: Standing
    unreached: int

    def as_json(self) -> dict[str, Any]:
        """The keys of the run first, then the rest, flat."""
        rest = {f.name: as_json(getattr(self, f.name)) for f in fields(self) if f.name not in ("run", "standing")}
        return {**self.run.as_json(), **rest, **self.standing.as_json()}


def runs(db: Session, limit: int | None = None, *, dataset: str | None = None) -> Iterator[RunRecord]:
    """Runs, newest first."""
    statement = _select_runs().order_by(RunRow.started_at.desc(), RunRow.run_id).limit(limit)
    if dataset is not None:
        statement = statement.where(RunRow.dataset == dataset)
    for row in db.execute(statement.execution_options(yield_per=_PAGE)):
        yield _run_record(row)


def run_story(db: Session, run_id: UUID) -> RunStory | None:
    """Everything that is known of one run; None where there is no such run."""
    extras = (RunRow.missed_slots, RunRow.scope, RunRow.params, RunRow.listed, RunRow.not_due)
    row = db.execute(_select_runs().add_columns(*extras).where(RunRow.run_id == run_id)).one_or_none()
    if row is None:
        return None
    missed_slots, scope, params, listed, not_due = row[-5:]
    run, sweeps = _run_record(row[:-5]), tuple(_sweeps(db, _select_sweeps().where(SweepRow.run_id == run_id)))
    quarantine, keys = _quarantine_of_run(db, run_id), _keys_of_run(db, run_id)
    return RunStory(
        run=run,
        missed_slots=missed_slots,
        scope=scope,
        params=params,
        listed=listed,
        not_due=not_due,
        keys=keys,
        sweeps=sweeps,
        quarantine=quarantine,
        timeline=_timeline(db, run, sweeps, quarantine),
        changes=_changes_of_run(db, run_id),
        standing=standings(db).get(run_id, Standing()),
        unreached=sum(key.state == "unreached" for key in keys),
    )


def standings(db: Session) -> dict[UUID, Standing]:
    """How each run stands that is under way."""
    ended = func.count().filter(RunKeyRow.state.in_(("done", "failed")))
    elapsed = func.extract("epoch", func.clock_timestamp() - RunRow.counted_since)
    query = (
        select(RunRow.run_id, RunRow.paused_at, elapsed, ended, func.count(RunKeyRow.key))
        .outerjoin(RunKeyRow, RunKeyRow.run_id == RunRow.run_id)
        .where(RunRow.status == "running")
        .group_by(RunRow.run_id)
    )
    return {
        run_id: Standing(paused_at, _eta(None if paused_at or seconds is None else float(seconds), done, total))
        for run_id, paused_at, seconds, done, total in db.execute(query)
    }


def _eta(seconds: float | None, done: int, total: int) -> float | None:
    """What is left, at the rate of so many keys done in so many seconds."""
    return None if seconds is None or not done else round((total - done) * seconds / done, 1)


def _timeline(
    db: Session, run: RunRecord, sweeps: tuple[SweepRecord, ...], quarantine: tuple[QuarantineRecord, ...]
) -> tuple[EventRecord, ...]:
    """What happened when, in order; what happened at the same moment in the order of the steps of a run."""
    slot = run.slot.astimezone(UTC).isoformat(timespec="seconds") if run.slot else None
    found = [EventRecord(run.started_at, f"opened for the slot {slot}" if slot else "opened by hand")]
    for sweep in sweeps:
        believed = "believed" if sweep.believed else f"not believed ({sweep.reason})"
        found.append(EventRecord(sweep.swept_at, f"{sweep.source} list of {sweep.scope}: {sweep.listed}, {believed}"))
    found += _document_events(db, run.run_id)
    for row in quarantine:
        state = ", not judged yet" if row.state == "pending" else ""
        found.append(EventRecord(row.seen_at, f"quarantine: {row.key or row.scope}, {row.guard}{state}"))
    found += _change_events(db, run.run_id)
    if run.finished_at:
        found.append(EventRecord(run.finished_at, f"closed: {run.status}"))
    return tuple(sorted(found, key=lambda event: event.at))


def _changes_of_run(db: Session, run_id: UUID) -> tuple[ChangeRecord, ...]:
    return tuple(history.changes(db, run_id=run_id))


def _document_events(db: Session, run_id: UUID) -> Iterator[EventRecord]:
    """The first and the last document of each source."""
    row = DocumentFetchRow
    moments = (func.count(), func.min(row.fetched_at), func.max(row.fetched_at))
    query = select(row.source, row.kind, *moments).where(row.run_id == run_id).group_by(row.source, row.kind)
    for source, kind, count, first, last in db.execute(query.order_by(row.source, row.kind)):
        yield EventRecord(first, f"{source}: first {kind} fetched")
        if count > 1:
            yield EventRecord(last, f"{source}: last {kind} of {count} fetched")


def _change_events(db: Session, run_id: UUID) -> Iterator[EventRecord]:
    """What each step saved: the changes of one transaction share their moment."""
    row = ChangeRow
    query = select(row.observed_at, func.count()).where(row.run_id == run_id).group_by(row.observed_at)
    for observed_at, count in db.execute(query):
        yield EventRecord(observed_at, f"{counted(count, 'change')} saved")


def find_run(db: Session, text: str) -> UUID:
    """The run whose id begins with ``text``, as the tables show it; UsageError where that is none, or several."""
    if not re.fullmatch(r"[0-9a-f-]{4,36}", text.lower()):
        raise UsageError(f"{text!r} is not a run: give at least the first 4 characters of its id (see: parlex runs)")
    prefix = cast(RunRow.run_id, Text).startswith(text.lower(), autoescape=True)
    found = db.scalars(select(RunRow.run_id).where(prefix).limit(2)).all()
    if len(found) != 1:
        raise UsageError(f"{'no run has' if not found else 'several runs have'} an id that begins with {text}")
    return found[0]


def sweeps(db: Session, session: SessionId | None = None, limit: int | None = None) -> list[SweepRecord]:
    """The looks at the lists of bills, newest first."""
    statement = _select_sweeps().where(SweepRow.dataset == "bills").limit(limit)
    if session is not None:
        statement = statement.where(SweepRow.scope == str(session))
    return list(_sweeps(db, statement))


def run_of_task(db: Session, task_id: str) -> UUID | None:
    """The run whose figures a dispatched task waits for; None until a worker has taken the task up."""
    return db.scalar(select(RunRow.run_id).where(RunRow.waiters.contains([task_id])))


def _select_runs() -> Select[Any]:
    return select(*(run_column(f.name) for f in fields(RunRecord)))


def run_column(name: str) -> ColumnElement[Any]:
    """A column of a run. The figures of one that is under way are those of its keys that are done."""
    column = getattr(RunRow, "attempted" if name == "bills_fetched" else name)
    outcomes = list(Outcome) if name == "bills_fetched" else [outcome for outcome in Outcome if outcome == name]
    if not outcomes:
        return column  # type: ignore[no-any-return]
    done = select(func.count()).where(RunKeyRow.run_id == RunRow.run_id, RunKeyRow.outcome.in_(outcomes))
    return case((RunRow.status == "running", done.scalar_subquery()), else_=column)


def _run_record(row: Row[Any] | tuple[Any, ...]) -> RunRecord:
    values: list[Any] = [*row[:-1], tuple(row[-1])]
    return RunRecord(*values)


def _keys_of_run(db: Session, run_id: UUID) -> tuple[RunKeyRecord, ...]:
    columns: list[ColumnElement[Any]] = [getattr(RunKeyRow, f.name) for f in fields(RunKeyRecord)]
    columns[1] = case((unreached(), "unreached"), else_=RunKeyRow.state)
    rows = db.execute(select(*columns).where(RunKeyRow.run_id == run_id).order_by(RunKeyRow.position))
    return tuple(RunKeyRecord(*_frozen(row)) for row in rows)


def _quarantine_of_run(db: Session, run_id: UUID) -> tuple[QuarantineRecord, ...]:
    columns = [getattr(QuarantineRow, f.name) for f in fields(QuarantineRecord)]
    rows = db.execute(select(*columns).where(QuarantineRow.run_id == run_id).order_by(QuarantineRow.id))
    return tuple(QuarantineRecord(*row) for row in rows)


def _select_sweeps() -> Select[Any]:
    columns = (_sweep_column(f.name) for f in fields(SweepRecord))
    return (
        select(*columns)
        .outerjoin(RunRow, RunRow.run_id == SweepRow.run_id)
        .order_by(SweepRow.swept_at.desc(), SweepRow.id.desc())
    )


def _sweep_column(name: str) -> ColumnElement[Any]:
    """A column of a sweep; of those that a run fills in at its end, null where there was none."""
    column = getattr(SweepRow, name)
    if name not in ("held", "missing", "extra", "quarantined"):
        return column  # type: ignore[no-any-return]
    # A run that fails at its plan compares nothing, and has asked for no key. One that was pruned had its end.
    failed = and_(RunRow.status == "failure", RunRow.attempted > 0)
    ended = or_(RunRow.run_id.is_(None), RunRow.status.in_(("success", "partial")), failed)
    return case((and_(SweepRow.believed, ended), column))


def _sweeps(db: Session, statement: Select[Any]) -> Iterator[SweepRecord]:
    return (SweepRecord(*_frozen(row)) for row in db.execute(statement))


def _frozen(row: Row[Any]) -> Iterator[Any]:
    return (tuple(value) if isinstance(value, list) else value for value in row)
