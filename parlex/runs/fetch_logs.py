"""Runs: the log and the work list. Takes an open ``db``; never commits.

A run and its keys are rows before any message is sent, so that a lost message loses nothing but time. A key goes

    waiting → fetching → fetched → persisting → done | failed

and back to waiting where a source has to be asked again. Whoever works on keys claims them by compare-and-set, under a
lease; what lies longer than its lease is free for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import and_, delete, func, insert, literal, or_, select, tuple_, update
from sqlalchemy.orm import Session

from parlex.answers import counted
from parlex.db.bulk import write_rows
from parlex.db.models import RunKeyRow, RunRow
from parlex.parliament import Outcome
from parlex.runs.run_keys import MAX_RETRIES, any_open, count_outcomes, give_up_keys, key_errors, key_row
from parlex.runs.work import Due, Plan, Request

KEPT_ERRORS = 20

# A run is judged by how it ended: success / all of these. What a person ended (revoked), or asked for in vain
# (refused), says nothing of mirror and sources; a skipped tick did nothing, and a running one has not ended.
ENDED = ("success", "partial", "failure", "abandoned")
STATUSES = ("running", *ENDED, "skipped", "revoked", "refused")
UNSUCCESSFUL = ("failure", "abandoned", "revoked", "refused")  # such a run may never have come to have keys

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
class Ended:
    """A run that is over, and the tasks that wait for its figures. ``just_now``: this call closed it."""

    figures: Figures
    waiters: tuple[str, ...]
    just_now: bool


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
    """Whether a run of a schedule entry is still going; one that a person paused holds back no tick."""
    going = (RunRow.status == "running", RunRow.paused_at.is_(None))
    query = select(RunRow.run_id).where(RunRow.entry == entry, *going)
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


def get_run(db: Session, run_id: UUID) -> RunRow:
    """LookupError for one that is not in the log."""
    run = db.get(RunRow, run_id)
    if run is None:
        raise LookupError(f"no run {run_id}")
    return run


def request_of(run: RunRow) -> Request:
    """The request that a run was opened for."""
    return Request(job=run.job, dataset=run.dataset, **run.params)


def goes_after_another(db: Session, run: RunRow) -> bool:
    """Whether a scheduled run of the same job came first and is not over: two at once would ask for the same twice.

    One that a person paused is nothing to wait for.
    """
    query = select(RunRow.run_id).where(
        RunRow.status == "running",
        RunRow.paused_at.is_(None),
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
    """The run, if it is this caller's to plan now; None where it is planned, closed, paused, or in somebody's hands."""
    claim = (
        update(RunRow)
        .where(
            RunRow.run_id == run_id,
            RunRow.status == "running",
            RunRow.paused_at.is_(None),
            RunRow.planned.is_(False),
            or_(RunRow.lease_until.is_(None), RunRow.lease_until < now),
            RunRow.next_attempt_at <= now,
        )
        .values(lease_until=now + lease, attempt=RunRow.attempt + 1, progress_at=now)
        .returning(RunRow)
    )
    return db.scalars(claim, execution_options={"populate_existing": True}).first()


def plan_later(db: Session, run_id: UUID, *, until: datetime, attempts: int, now: datetime) -> None:
    """Give the planning back. It is due again at ``until``; ``attempts`` is how many count."""
    values = {"lease_until": None, "progress_at": now, "attempt": attempts, "next_attempt_at": until}
    db.execute(update(RunRow).where(RunRow.run_id == run_id).values(**values))


def planned(db: Session, run_id: UUID, plan: Plan, due: Sequence[Due], deferred: int, *, now: datetime) -> None:
    """Write the plan down: the keys that this run fetches as rows, the counts on the run."""
    if due:
        rows = [key_row(run_id, position, one, now) for position, one in enumerate(due)]
        write_rows(db, insert(RunKeyRow), rows)
    db.execute(
        update(RunRow)
        .where(RunRow.run_id == run_id)
        .values(
            planned=True,
            counted_since=now,
            lease_until=None,
            scope=plan.scope,
            listed=plan.listed,
            not_due=0 if plan.failure else plan.listed - len(due) - deferred,
            deferred=deferred,
            progress_at=now,
        )
    )


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


def close_if_complete(
    db: Session, run_id: UUID, *, now: datetime, settle: Callable[[], object] = lambda: None
) -> Ended | None:
    """Close a planned run whose keys have all ended, after ``settle``. How it ended, also if somebody closed it before
    and nobody told those who wait for it; else None."""
    run = lock(db, run_id)
    just_now = run.status == "running" and run.planned and not any_open(db, run_id)
    if just_now:
        settle()
        close(db, run, now=now)
    elif run.status == "running" or run.delivered_at is not None:
        return None
    return Ended(figures(run), tuple(run.waiters), just_now)


def close(db: Session, run: RunRow, *, now: datetime, status: str | None = None) -> RunRow:
    """Close a run: count its keys and give it its status, or the one given. One that failed names its cause: where
    nothing else was noted, the errors of its keys."""
    counts = count_outcomes(db, run.run_id)
    run.created = counts.get(Outcome.CREATED, 0)
    run.updated = counts.get(Outcome.UPDATED, 0)
    run.unchanged = counts.get(Outcome.UNCHANGED, 0)
    run.failed = counts.get(Outcome.FAILED, 0)
    run.succeeded = run.created + run.updated + run.unchanged
    run.attempted = run.succeeded + run.failed
    if run.failed and not run.error_count:
        note_errors(db, run.run_id, key_errors(db, run.run_id))
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


def lock(db: Session, run_id: UUID) -> RunRow:
    query = select(RunRow).where(RunRow.run_id == run_id).with_for_update()
    return db.scalars(query, execution_options={"populate_existing": True}).one()


def live_figures(db: Session, run: RunRow) -> Figures:
    """The figures of a run as they stand: while it is under way, those of the keys that have ended."""
    if run.status != "running":
        return figures(run)
    counts = count_outcomes(db, run.run_id)
    return replace(
        figures(run),
        bills_fetched=sum(counts.values()),
        created=counts.get(Outcome.CREATED, 0),
        updated=counts.get(Outcome.UPDATED, 0),
        unchanged=counts.get(Outcome.UNCHANGED, 0),
        failed=counts.get(Outcome.FAILED, 0),
    )


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


def open_runs(db: Session) -> Sequence[RunRow]:
    """Worker-carried runs that are still running."""
    query = select(RunRow).where(RunRow.status == "running", RunRow.carrier == "worker")
    return db.scalars(query.order_by(RunRow.started_at)).all()


def abandon_dead(
    db: Session, *, now: datetime, process_patience: timedelta, worker_patience: timedelta, deadline: timedelta
) -> list[RunRow]:
    """Close as ``abandoned`` the runs that nobody moves any more.

    A run of a process dies with it, paused or not. One of the workers is taken up again and again, and given up only
    when nothing moved for ``worker_patience`` though work was due, when its planning killed one worker too many, or
    after ``deadline``; a person who pauses it stops these clocks.
    """
    waits = select(RunKeyRow.key).where(
        RunKeyRow.run_id == RunRow.run_id, RunKeyRow.state == "waiting", RunKeyRow.next_attempt_at > now
    )
    given_up = or_(
        and_(RunRow.carrier == "worker", RunRow.progress_at < now - worker_patience, ~waits.exists()),
        # A planner that fails lets go of the run; a lease that runs out is the mark of one that died.
        and_(RunRow.planned.is_(False), RunRow.lease_until < now, RunRow.attempt > MAX_RETRIES),
        RunRow.started_at + RunRow.paused_for < now - deadline,
    )
    gone = and_(RunRow.carrier == "process", RunRow.progress_at < now - process_patience)
    dead = or_(gone, and_(RunRow.paused_at.is_(None), given_up))
    query = select(RunRow).where(RunRow.status == "running", dead).with_for_update(skip_locked=True)
    runs = db.scalars(query).all()
    for run in runs:
        _give_up(db, run, "abandoned", _cause_of_death(run, now, process_patience, worker_patience), now)
    return list(runs)


def _cause_of_death(run: RunRow, now: datetime, process_patience: timedelta, worker_patience: timedelta) -> str:
    if run.carrier == "process" and run.progress_at < now - process_patience:
        return "the process that carried it is gone"
    if run.carrier == "worker" and run.progress_at < now - worker_patience:
        return f"nothing moved it for {worker_patience.total_seconds() / 60:.0f} min though work was due"
    if not run.planned and run.attempt > MAX_RETRIES:
        return f"{counted(run.attempt, 'worker')} died while they planned it"
    return "it was not over by its deadline"


def revoke(db: Session, run_id: UUID, *, now: datetime) -> bool:
    """End a run as a person wishes; whether it was under way. What is under way in it is dropped by its workers."""
    return _end(db, run_id, "revoked", None, now)


def abandon(db: Session, run_id: UUID, cause: str, *, now: datetime) -> bool:
    """End a run that its carrier gives up; whether it was under way."""
    return _end(db, run_id, "abandoned", cause, now)


def _end(db: Session, run_id: UUID, status: str, cause: str | None, now: datetime) -> bool:
    run = lock(db, run_id)
    if run.status != "running":
        return False
    _give_up(db, run, status, cause, now)
    return True


def _give_up(db: Session, run: RunRow, status: str, cause: str | None, now: datetime) -> None:
    note_errors(db, run.run_id, [cause] if cause else [])
    give_up_keys(db, run.run_id)
    close(db, run, now=now, status=status)


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
