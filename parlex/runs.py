"""Runs: the log and the work list. Takes an open ``db``; never commits.

A run and its keys are rows before any message is sent, so that a lost message loses nothing but time. A key goes

    waiting → fetching → fetched → persisting → done | failed

and back to waiting where a source has to be asked again. Whoever works on keys claims them by compare-and-set, under a
lease; what lies longer than its lease is free for the next one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, case, delete, func, insert, literal, null, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.datasets import Due, Plan, Request
from parlex.db.bulk import write_rows
from parlex.db.models import RunKeyRow, RunRow
from parlex.parliament import Outcome

MAX_RETRIES = 3
# Workers that may die over a key, one after the other, before it is given up.
MAX_DEATHS = 3
KEPT_ERRORS = 20
REVOKED = "revoked by hand"  # the error of a run that a person ended
WRONG = "wrong request: "  # how the error of a run begins that asked for what cannot be
BATCH = 50  # keys in one message of the sweeper

Carrier = Literal["worker", "process"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run came to. ``bills_fetched`` = created + updated + unchanged + failed."""

    run_id: str
    status: str
    bills_fetched: int
    created: int
    updated: int
    unchanged: int
    failed: int
    deferred: int
    error_count: int
    duration_seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Opened:
    """``joined``: the run was there already. ``open``: it is still running."""

    run: RunRow
    joined: bool

    @property
    def open(self) -> bool:
        return self.run.status == "running"


def open_run(
    db: Session,
    request: Request,
    *,
    source: str,
    now: datetime,
    carrier: Carrier,
    entry: str | None = None,
    slot: datetime | None = None,
    missed_slots: int = 0,
    waiter: str | None = None,
) -> Opened:
    """The run for this request: a new one, the one of its slot, or by hand the equal one that is under way.

    A tick whose entry's last run is still going leaves a row ``skipped``. ``waiter`` is a task that is to get the
    figures.
    """
    _lock_request(db, request, entry)
    twin = _twin(db, request, entry, slot)
    if twin is not None:
        if waiter and twin.status == "running" and waiter not in twin.waiters:
            twin.waiters = [*twin.waiters, waiter]
        return Opened(twin, joined=True)
    skipped = entry is not None and entry_runs(db, entry)
    run = RunRow(
        run_id=uuid4(),
        dataset=request.dataset,
        source=source,
        job=request.job,
        entry=entry,
        slot=slot,
        missed_slots=missed_slots,
        scope=request.scope,
        params=request.params(),
        status="skipped" if skipped else "running",
        carrier=carrier,
        started_at=now,
        progress_at=now,
        finished_at=now if skipped else None,
        duration_seconds=0.0 if skipped else None,
        next_attempt_at=now,
        waiters=[waiter] if waiter else [],
        delivered_at=None,
    )
    create_log(db, run)
    return Opened(run, joined=False)


def _lock_request(db: Session, request: Request, entry: str | None) -> None:
    """One at a time for equal requests, until commit: two dispatches at the same moment must end as one run."""
    names = sorted({f"{request.dataset} {request.job}", f"entry {entry}"})
    db.execute(select(*(func.pg_advisory_xact_lock(func.hashtextextended(name, 0)) for name in names)))


def _twin(db: Session, request: Request, entry: str | None, slot: datetime | None) -> RunRow | None:
    if entry is not None:
        query = select(RunRow).where(RunRow.entry == entry, RunRow.slot == slot, RunRow.status != "abandoned")
    else:
        query = select(RunRow).where(
            RunRow.status == "running",
            RunRow.dataset == request.dataset,
            RunRow.job == request.job,
            RunRow.params == request.params(),
        )
    return db.scalars(query.order_by(RunRow.started_at).limit(1).with_for_update()).first()


def entry_runs(db: Session, entry: str) -> bool:
    """Whether a run of a schedule entry is still going."""
    query = select(RunRow.run_id).where(RunRow.entry == entry, RunRow.status == "running")
    return db.scalars(query).first() is not None


def create_log(db: Session, run: RunRow) -> RunRow:
    """Add a row to the log."""
    db.add(run)
    db.flush()
    return run


def get_logs_since(db: Session, cutoff: datetime) -> Sequence[RunRow]:
    """The runs started since ``cutoff``, newest first."""
    return db.scalars(select(RunRow).where(RunRow.started_at >= cutoff).order_by(RunRow.started_at.desc())).all()


def get_recent_logs(db: Session, limit: int) -> Sequence[RunRow]:
    """The newest ``limit`` runs."""
    return db.scalars(select(RunRow).order_by(RunRow.started_at.desc()).limit(limit)).all()


def tells_of_us() -> ColumnElement[bool]:
    """Whether a run's end says how mirror and sources are. What a person revoked, or asked for in vain, does not."""
    first = func.coalesce(RunRow.errors[0].as_string(), "")
    return and_(~RunRow.errors.contains([REVOKED]), ~first.startswith(WRONG))


def get_run(db: Session, run_id: UUID) -> RunRow:
    """LookupError for one that is not in the log."""
    run = db.get(RunRow, run_id)
    if run is None:
        raise LookupError(f"no run {run_id}")
    return run


def request_of(run: RunRow) -> Request:
    """The request that a run was opened for."""
    return Request(job=run.job, dataset=run.dataset, **run.params)


# Planning.


def goes_after_another(db: Session, run: RunRow) -> bool:
    """Whether a scheduled run of the same job came first and is not over: two at once would ask for the same twice."""
    query = select(RunRow.run_id).where(
        RunRow.status == "running",
        RunRow.dataset == run.dataset,
        RunRow.job == run.job,
        RunRow.entry.is_not(None),
        tuple_(RunRow.started_at, RunRow.run_id) < tuple_(literal(run.started_at), literal(run.run_id)),
    )
    return db.scalars(query.limit(1)).first() is not None


def put_off(db: Session, run_id: UUID, *, until: datetime) -> None:
    """Plan the run later. It has not failed, and it is alive."""
    db.execute(
        update(RunRow).where(RunRow.run_id == run_id).values(next_attempt_at=until, progress_at=func.clock_timestamp())
    )


def claim_planning(db: Session, run_id: UUID, *, now: datetime, lease: timedelta) -> RunRow | None:
    """The run, if it is this caller's to plan now; None where it is planned, closed, or in somebody's hands."""
    claim = (
        update(RunRow)
        .where(
            RunRow.run_id == run_id,
            RunRow.status == "running",
            RunRow.planned.is_(False),
            or_(RunRow.lease_until.is_(None), RunRow.lease_until < now),
            RunRow.next_attempt_at <= now,
        )
        .values(lease_until=now + lease, attempt=RunRow.attempt + 1, progress_at=now)
        .returning(RunRow)
    )
    return db.scalars(claim, execution_options={"populate_existing": True}).first()


def planning_failed(db: Session, run: RunRow, *, now: datetime, wait: float | None, error: str, attempts: int) -> None:
    """Give the planning back. It is due again after ``wait`` seconds; None means never: the caller closes the run.

    An error is noted only when it is the last: what is tried again has not failed yet. ``attempts`` is how many count.
    """
    values: dict[str, Any] = {"lease_until": None, "progress_at": now, "attempt": attempts}
    if wait is not None:
        values["next_attempt_at"] = now + timedelta(seconds=wait)
    db.execute(update(RunRow).where(RunRow.run_id == run.run_id).values(**values))
    note_errors(db, run.run_id, [error] if wait is None else [])


def planned(db: Session, run_id: UUID, plan: Plan, *, now: datetime) -> None:
    """Write the plan down: the keys as rows, the counts on the run."""
    if plan.due:
        rows = [_key_row(run_id, position, due, now) for position, due in enumerate(plan.due)]
        write_rows(db, insert(RunKeyRow), rows)
    db.execute(
        update(RunRow)
        .where(RunRow.run_id == run_id)
        .values(
            planned=True,
            lease_until=None,
            scope=plan.scope,
            listed=plan.listed,
            not_due=plan.not_due,
            deferred=plan.deferred,
            progress_at=now,
        )
    )
    note_errors(db, run_id, plan.errors)


def _key_row(run_id: UUID, position: int, due: Due, now: datetime) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "key": due.key,
        "position": position,
        "wants": list(due.wants),
        "fingerprint": due.fingerprint,
        "next_attempt_at": now,
    }


# The work list.


@dataclass(frozen=True, slots=True)
class Claim:
    """A key in this caller's hands, until the lease runs out. The instant of that tells this claim from a later one."""

    key: str
    wants: tuple[str, ...]
    attempt: int
    fingerprint: str | None
    lease_until: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of a claimed key. ``wants``: the sources that are still to be asked, at ``next_attempt_at``."""

    key: str
    state: str
    wants: tuple[str, ...] = ()
    attempt: int = 0
    next_attempt_at: datetime | None = None
    outcome: str | None = None
    error: str | None = None


def take_chunk(db: Session, run_id: UUID, *, size: int, smallest: int, in_flight: int, now: datetime) -> list[str]:
    """The next keys to send, at most ``size``; empty while ``in_flight`` keys of the run are sent and not fetched, or
    fetched and not saved.

    Guided self-scheduling (Polychronopoulos and Kuck, 1987) for the two processes that fetch: half of what is left, but
    not less than ``smallest``.
    """
    key = RunKeyRow
    # One taker at a time: the count and the choice must be one step.
    db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"take {run_id}", 0))))
    unsent = and_(key.state == "waiting", key.sent_at.is_(None))
    unfetched = or_(key.state == "fetching", and_(key.state == "waiting", key.sent_at <= now))
    unsaved = key.state.in_(("fetched", "persisting"))
    count = func.count()
    counts = select(count.filter(unsent), count.filter(unfetched), count.filter(unsaved))
    left, fetching, saving = db.execute(counts.where(key.run_id == run_id)).one()
    if not left:
        return []
    room = min(size, max(smallest, left // 2), in_flight - max(fetching, saving))
    if room <= 0:
        return []
    waiting = (
        select(key.key)
        .where(key.run_id == run_id, key.state == "waiting", key.sent_at.is_(None), key.next_attempt_at <= now)
        .order_by(key.position)
        .limit(room)
        .with_for_update(skip_locked=True)
    )
    keys = list(db.scalars(waiting))
    _stamp_sent(db, run_id, keys, now)
    return keys


def _stamp_sent(db: Session, run_id: UUID, keys: Iterable[str], now: datetime) -> None:
    chosen = list(keys)
    if chosen:
        db.execute(update(RunKeyRow).where(RunKeyRow.run_id == run_id, RunKeyRow.key.in_(chosen)).values(sent_at=now))


def claim_fetch(db: Session, run_id: UUID, keys: Sequence[str], *, now: datetime, lease: timedelta) -> list[Claim]:
    """Those of ``keys`` that wait and are due, now in this caller's hands."""
    return _claim(db, run_id, keys, "waiting", "fetching", now, lease)


def claim_persist(db: Session, run_id: UUID, keys: Sequence[str], *, now: datetime, lease: timedelta) -> list[Claim]:
    """Those of ``keys`` whose documents wait to be saved, now in this caller's hands."""
    return _claim(db, run_id, keys, "fetched", "persisting", now, lease)


def _claim(
    db: Session, run_id: UUID, keys: Sequence[str], old: str, new: str, now: datetime, lease: timedelta
) -> list[Claim]:
    key = RunKeyRow
    # The claims of one chunk lock its rows in key order; an UPDATE alone would lock them in any.
    mine = (
        select(key.key)
        .where(
            key.run_id == run_id,
            key.key.in_(list(keys)),
            key.state == old,
            key.next_attempt_at <= now,
            select(RunRow.status).where(RunRow.run_id == run_id).scalar_subquery() == "running",
        )
        .order_by(key.key)
        .with_for_update(skip_locked=True)
        .cte("mine")
    )
    claim = (
        update(key)
        .where(key.run_id == run_id, key.key == mine.c.key)
        .values(state=new, lease_until=now + lease, claims=key.claims + 1)
        .returning(key.key, key.wants, key.attempt, key.fingerprint, key.position)
    )
    rows = sorted(db.execute(claim), key=lambda row: row.position)
    return [Claim(row.key, tuple(row.wants), row.attempt, row.fingerprint, now + lease) for row in rows]


def still_held(db: Session, run_id: UUID, claims: Sequence[Claim]) -> list[Claim]:
    """Those of ``claims`` that are still the caller's; nobody can take them away before commit.

    Whoever is slower than its lease finds its keys in other hands, and must not write what these will write too.
    """
    key = RunKeyRow
    query = select(key.key, key.lease_until).where(key.run_id == run_id, key.key.in_([claim.key for claim in claims]))
    leases = {row.key: row.lease_until for row in db.execute(query.order_by(key.key).with_for_update())}
    return [claim for claim in claims if leases.get(claim.key) == claim.lease_until]


def give_back(db: Session, run_id: UUID, claims: Sequence[Claim], *, now: datetime, blame: str | None) -> None:
    """Let go of keys that an error kept from being worked on.

    ``blame`` is the error if one of them may have caused it: they are tried again one by one, and not for ever. Without
    it they wait for the message that brought them.
    """
    names = [claim.key for claim in still_held(db, run_id, claims)]
    changes: dict[str, Any] = {"claims": RunKeyRow.claims - 1, "sent_at": now, "state": _FREED}
    if blame is not None:
        changes = {"sent_at": None} | _freed_or_failed(f"given up after {MAX_DEATHS} errors: {blame}")
    mine = and_(RunKeyRow.run_id == run_id, RunKeyRow.key.in_(names))
    db.execute(update(RunKeyRow).where(mine).values(**changes, lease_until=None))


_FREED = case((RunKeyRow.state == "fetching", "waiting"), else_="fetched")


def _freed_or_failed(epitaph: str) -> dict[str, Any]:
    """What becomes of a key that was taken and not brought back: it is free, or given up when that came too often."""
    given_up = RunKeyRow.claims >= MAX_DEATHS
    return {
        "state": case((given_up, "failed"), else_=_FREED),
        "outcome": case((given_up, Outcome.FAILED), else_=RunKeyRow.outcome),
        "error": case((given_up, epitaph), else_=RunKeyRow.error),
    }


def record(db: Session, run_id: UUID, progress: Sequence[Progress], *, now: datetime) -> None:
    """Write what became of claimed keys, in one statement."""
    if not progress:
        return
    rows = [
        {
            "run_id": run_id,
            "key": step.key,
            "position": 0,
            "state": step.state,
            "wants": list(step.wants),
            "attempt": step.attempt,
            "next_attempt_at": step.next_attempt_at or now,
            # A retry travels as a message of its own; the sweeper steps in only where that one is overdue.
            "sent_at": step.next_attempt_at or now,
            "outcome": step.outcome,
            "error": step.error,
        }
        for step in sorted(progress, key=lambda step: step.key)
    ]
    offered = upsert(RunKeyRow)
    columns = ("state", "wants", "attempt", "next_attempt_at", "sent_at")
    changes: dict[str, Any] = {name: offered.excluded[name] for name in columns}
    changes["lease_until"] = null()
    changes["claims"] = literal(0)  # whoever had the key came back with it
    changes["outcome"] = func.coalesce(offered.excluded.outcome, RunKeyRow.outcome)
    changes["error"] = func.coalesce(offered.excluded.error, RunKeyRow.error)
    # A worker whose lease ran out may report late; by then the key may be done.
    mine = or_(RunKeyRow.state == "fetching", RunKeyRow.state == "persisting")
    write_rows(db, offered.on_conflict_do_update(index_elements=["run_id", "key"], set_=changes, where=mine), rows)


def account(db: Session, run_id: UUID, *, requests: int, received: int, errors: Sequence[str], now: datetime) -> None:
    """Add to the run what a step spent, in requests and bytes, and what went wrong in it."""
    db.execute(
        update(RunRow)
        .where(RunRow.run_id == run_id)
        .values(requests=RunRow.requests + requests, bytes=RunRow.bytes + received, progress_at=now)
    )
    note_errors(db, run_id, errors)


def note_errors(db: Session, run_id: UUID, errors: Sequence[str]) -> None:
    """Count the errors and keep the first ones' texts; the keys' rows and the quarantine hold them all."""
    if not errors:
        return
    run = db.scalars(
        select(RunRow).where(RunRow.run_id == run_id).with_for_update().execution_options(populate_existing=True)
    ).one()
    run.error_count += len(errors)
    run.errors = [*run.errors, *errors][:KEPT_ERRORS]
    db.flush()


def combine(before: str | None, now: Outcome) -> Outcome:
    """The outcome of a key that was saved twice in one run, since its companion came later."""
    if before is None or now is Outcome.FAILED:
        return now
    ranks = [Outcome.UNCHANGED, Outcome.UPDATED, Outcome.CREATED]
    return max(Outcome(before), now, key=ranks.index)


def outcomes(db: Session, run_id: UUID, keys: Iterable[str]) -> dict[str, str | None]:
    """The outcome so far of each key."""
    query = select(RunKeyRow.key, RunKeyRow.outcome).where(RunKeyRow.run_id == run_id, RunKeyRow.key.in_(list(keys)))
    return {row.key: row.outcome for row in db.execute(query)}


# The end.


def close_if_complete(db: Session, run_id: UUID, *, now: datetime) -> RunRow | None:
    """Close a planned run whose keys have all ended; None where it is not so, or somebody closed it already."""
    run = _lock(db, run_id)
    if run.status != "running" or not run.planned or _open_keys(db, run_id):
        return None
    return close(db, run, now=now)


def close(db: Session, run: RunRow, *, now: datetime, status: str | None = None) -> RunRow:
    """Close a run: count its keys and give it its status, or the one given."""
    counts = _counts(db, run.run_id)
    run.created = counts.get(Outcome.CREATED, 0)
    run.updated = counts.get(Outcome.UPDATED, 0)
    run.unchanged = counts.get(Outcome.UNCHANGED, 0)
    run.failed = counts.get(Outcome.FAILED, 0)
    run.succeeded = run.created + run.updated + run.unchanged
    run.attempted = run.succeeded + run.failed
    run.status = status or _status(run)
    run.finished_at = now
    run.progress_at = now
    run.duration_seconds = round((now - run.started_at).total_seconds(), 3)
    db.flush()
    return run


def _status(run: RunRow) -> str:
    if run.failed and not run.succeeded:
        return "failure"
    return "partial" if run.failed or run.error_count else "success"


def _counts(db: Session, run_id: UUID) -> dict[str, int]:
    query = (
        select(RunKeyRow.outcome, func.count())
        .where(RunKeyRow.run_id == run_id, RunKeyRow.outcome.is_not(None))
        .group_by(RunKeyRow.outcome)
    )
    return {outcome: count for outcome, count in db.execute(query) if outcome}


def _open_keys(db: Session, run_id: UUID) -> bool:
    query = select(RunKeyRow.key).where(RunKeyRow.run_id == run_id, RunKeyRow.state.not_in(("done", "failed")))
    return db.scalars(query.limit(1)).first() is not None


def _lock(db: Session, run_id: UUID) -> RunRow:
    query = select(RunRow).where(RunRow.run_id == run_id).with_for_update()
    return db.scalars(query, execution_options={"populate_existing": True}).one()


def figures(run: RunRow) -> Figures:
    """The figures of a run as its row has them now."""
    return Figures(
        run_id=str(run.run_id),
        status=run.status,
        bills_fetched=run.attempted,
        created=run.created,
        updated=run.updated,
        unchanged=run.unchanged,
        failed=run.failed,
        deferred=run.deferred,
        error_count=run.error_count,
        duration_seconds=run.duration_seconds,
    )


def progress(db: Session, run_id: UUID) -> tuple[int, int]:
    """(keys that have ended, all keys of the run)."""
    ended = func.count().filter(RunKeyRow.state.in_(("done", "failed")))
    done, total = db.execute(select(ended, func.count()).where(RunKeyRow.run_id == run_id)).one()
    return done, total


def due_keys(db: Session, run_id: UUID, *, size: int, now: datetime) -> list[str]:
    """The keys of a run that a process without workers is to fetch next."""
    key = RunKeyRow
    query = select(key.key).where(key.run_id == run_id, key.state == "waiting", key.next_attempt_at <= now)
    return list(db.scalars(query.order_by(key.position).limit(size)))


def next_due(db: Session, run_id: UUID) -> datetime | None:
    """When the next waiting key is due; None where none waits."""
    query = select(func.min(RunKeyRow.next_attempt_at)).where(RunKeyRow.run_id == run_id, RunKeyRow.state == "waiting")
    return db.scalar(query)


def backoff(attempt: int, delay: float) -> float:
    """Seconds before retry number ``attempt`` (from 1): delay, twice that, four times, give or take a fifth."""
    return delay * float(2 ** (attempt - 1)) * random.uniform(0.8, 1.2)


# What the sweeper finds.


@dataclass(frozen=True, slots=True)
class Batch:
    """Keys of one run for one message."""

    run_id: UUID
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overdue:
    """Work that nobody carries: runs to plan, and keys to fetch or to persist."""

    plan: tuple[UUID, ...]
    fetch: Sequence[Batch]
    persist: Sequence[Batch]


def free_leases(db: Session, *, now: datetime) -> None:
    """Take keys out of the hands of workers that died, and fail those that killed one worker too often.

    Locked keys are just being written: their worker lives.
    """
    key = RunKeyRow
    expired = (
        select(key.run_id, key.key)
        .where(key.state.in_(("fetching", "persisting")), key.lease_until < now)
        .order_by(key.run_id, key.key)
        .with_for_update(skip_locked=True)
        .cte("expired")
    )
    db.execute(
        update(key)
        .where(key.run_id == expired.c.run_id, key.key == expired.c.key)
        .values(lease_until=None, sent_at=None, **_freed_or_failed(f"given up: {MAX_DEATHS} workers died over it"))
    )


def take_overdue(db: Session, *, now: datetime, patience: timedelta, most: int) -> Overdue:
    """Work of worker-carried runs that was never sent, or was sent ``patience`` ago and not taken up."""
    carried = and_(RunRow.status == "running", RunRow.carrier == "worker")
    unplanned = (
        select(RunRow.run_id)
        .where(
            carried,
            RunRow.planned.is_(False),
            RunRow.next_attempt_at < now - patience,
            or_(RunRow.lease_until.is_(None), RunRow.lease_until < now),
        )
        .limit(most)
    )
    return Overdue(
        plan=tuple(db.scalars(unplanned)),
        fetch=_overdue_keys(db, carried, "waiting", now, patience, most),
        persist=_overdue_keys(db, carried, "fetched", now, patience, most),
    )


def _overdue_keys(db: Session, carried: Any, state: str, now: datetime, patience: timedelta, most: int) -> list[Batch]:
    key = RunKeyRow
    query = (
        select(key.run_id, key.key, key.claims)
        .join(RunRow, RunRow.run_id == key.run_id)
        .where(carried, key.state == state, key.next_attempt_at <= now)
        # Keys that were never sent are the pump's, but those whose worker died are nobody's.
        .where(or_(key.sent_at < now - patience, and_(key.sent_at.is_(None), key.claims > 0)))
        .order_by(key.run_id, key.position)
        .limit(most)
        .with_for_update(of=key, skip_locked=True)
    )
    batches: list[Batch] = []
    fit: dict[UUID, list[str]] = {}
    for run_id, name, claims in db.execute(query):
        if claims:
            # One of these may have killed its worker, and would kill its neighbours' next one with it.
            batches.append(Batch(run_id, (name,)))
        else:
            fit.setdefault(run_id, []).append(name)
    batches += [Batch(run_id, tuple(part)) for run_id, names in fit.items() for part in batched(names, BATCH)]
    for batch in batches:
        _stamp_sent(db, batch.run_id, batch.keys, now)
    return batches


def batched(names: Sequence[str], size: int) -> list[Sequence[str]]:
    """``names`` in pieces of at most ``size``."""
    return [names[start : start + size] for start in range(0, len(names), size)]


def open_runs(db: Session) -> list[UUID]:
    """Worker-carried runs that are still running."""
    query = select(RunRow.run_id).where(RunRow.status == "running", RunRow.carrier == "worker")
    return list(db.scalars(query.order_by(RunRow.started_at)))


def abandon_dead(
    db: Session, *, now: datetime, process_patience: timedelta, worker_patience: timedelta, deadline: timedelta
) -> list[RunRow]:
    """Close as ``abandoned`` the runs that nobody moves any more.

    A run of a process dies with it. One of the workers is taken up again and again, and given up only when nothing
    moved for ``worker_patience`` though work was due, when its planning killed one worker too many, or after
    ``deadline``.
    """
    waits = select(RunKeyRow.key).where(
        RunKeyRow.run_id == RunRow.run_id, RunKeyRow.state == "waiting", RunKeyRow.next_attempt_at > now
    )
    dead = or_(
        and_(RunRow.carrier == "process", RunRow.progress_at < now - process_patience),
        and_(RunRow.carrier == "worker", RunRow.progress_at < now - worker_patience, ~waits.exists()),
        # A planner that fails lets go of the run; a lease that runs out is the mark of one that died.
        and_(RunRow.planned.is_(False), RunRow.lease_until < now, RunRow.attempt > MAX_RETRIES),
        RunRow.started_at < now - deadline,
    )
    query = select(RunRow).where(RunRow.status == "running", dead).with_for_update(skip_locked=True)
    runs = db.scalars(query).all()
    for run in runs:
        _give_up(db, run, now)
    return list(runs)


def abandon(db: Session, run_id: UUID, *, now: datetime) -> None:
    """Close a run that its carrier gives up, unless it is closed already."""
    run = _lock(db, run_id)
    if run.status == "running":
        _give_up(db, run, now)


def revoke(db: Session, run_id: UUID, *, now: datetime) -> bool:
    """End a run as a person wishes; whether it was still running. What is under way is dropped by its workers."""
    run = _lock(db, run_id)
    if run.status != "running":
        return False
    note_errors(db, run_id, [REVOKED])
    _give_up(db, run, now)
    return True


def failed_keys(db: Session, run_id: UUID) -> list[str]:
    """The keys that a run could not bring to an end, in its order."""
    query = select(RunKeyRow.key).where(RunKeyRow.run_id == run_id, RunKeyRow.state == "failed")
    return list(db.scalars(query.order_by(RunKeyRow.position)))


def _give_up(db: Session, run: RunRow, now: datetime) -> None:
    _give_up_keys(db, run.run_id)
    close(db, run, now=now, status="abandoned")


def _give_up_keys(db: Session, run_id: UUID) -> None:
    db.execute(
        update(RunKeyRow)
        .where(RunKeyRow.run_id == run_id, RunKeyRow.state.not_in(("done", "failed")))
        .values(state="failed", error=func.coalesce(RunKeyRow.error, "abandoned with its run"))
    )


def touch(db: Session, run_id: UUID, *, now: datetime) -> None:
    """Say that the process that carries a run is alive, though it waits."""
    db.execute(update(RunRow).where(RunRow.run_id == run_id).values(progress_at=now))


def undelivered(db: Session, *, now: datetime, patience: timedelta) -> Sequence[RunRow]:
    """Closed runs whose figures some task still waits for, after whoever closed them had time to deliver."""
    query = select(RunRow).where(
        RunRow.delivered_at.is_(None),
        func.cardinality(RunRow.waiters) > 0,
        RunRow.finished_at < now - patience,
    )
    return db.scalars(query).all()


def delivered(db: Session, run_id: UUID, *, now: datetime) -> None:
    db.execute(update(RunRow).where(RunRow.run_id == run_id).values(delivered_at=now))


def last_slot(db: Session, entry: str) -> datetime | None:
    """The newest slot of a schedule entry that has a run which counts."""
    return db.scalar(select(func.max(RunRow.slot)).where(RunRow.entry == entry, RunRow.status != "abandoned"))


def first_slot(db: Session, entry: str) -> datetime | None:
    """The oldest slot of a schedule entry that was tried at all; None for one that never ran."""
    return db.scalar(select(func.min(RunRow.slot)).where(RunRow.entry == entry))


def prune_logs(db: Session, cutoff: datetime) -> int:
    """Delete closed runs older than ``cutoff`` with their keys; how many."""
    gone = db.execute(
        delete(RunRow).where(RunRow.started_at < cutoff, RunRow.status != "running").returning(RunRow.run_id)
    )
    return len(gone.all())
