"""The work list: each key of each run, from plan to outcome. Takes an open ``db``; never commits.

Whoever works on keys claims them by compare-and-set, under a lease; what lies longer than its lease is free for the
next one.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, case, func, literal, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.db.bulk import write_rows
from parlex.db.models import RunKeyRow, RunRow
from parlex.parliament import Outcome
from parlex.runs.work import Due, Saved

MAX_RETRIES = 3
# Workers that may die over a key, one after the other, before it is given up.
MAX_DEATHS = 3


BATCH = 50  # keys in one message of the sweeper


def key_row(run_id: UUID, position: int, due: Due, now: datetime) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "key": due.key,
        "position": position,
        "wants": list(due.wants),
        "fingerprint": due.fingerprint,
        "next_attempt_at": now,
    }


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
    fetched and not saved, and while it is paused.

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
        .where(_goes_on(run_id))
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
    """Those of ``keys`` that wait and are due, now in this caller's hands; none while the run is paused."""
    return _claim(db, run_id, keys, "waiting", "fetching", now, lease, _goes_on(run_id))


def claim_persist(db: Session, run_id: UUID, keys: Sequence[str], *, now: datetime, lease: timedelta) -> list[Claim]:
    """Those of ``keys`` whose documents wait to be saved, now in this caller's hands."""
    return _claim(db, run_id, keys, "fetched", "persisting", now, lease, _is_open(run_id))


def _is_open(run_id: UUID) -> ColumnElement[bool]:
    return select(RunRow.run_id).where(RunRow.run_id == run_id, RunRow.status == "running").exists()


def _goes_on(run_id: UUID) -> ColumnElement[bool]:
    """It is open, and nobody paused it: sources may be asked for its keys."""
    going = (RunRow.status == "running", RunRow.paused_at.is_(None))
    return select(RunRow.run_id).where(RunRow.run_id == run_id, *going).exists()


def _claim(
    db: Session,
    run_id: UUID,
    keys: Sequence[str],
    old: str,
    new: str,
    now: datetime,
    lease: timedelta,
    allowed: ColumnElement[bool],
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
            allowed,
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


def settled(db: Session, run_id: UUID, saved: Sequence[Saved]) -> None:
    """Write what was found out of keys that are done."""
    for item in saved:
        key = and_(RunKeyRow.run_id == run_id, RunKeyRow.key == item.key)
        if item.outcome is Outcome.UPDATED:
            unchanged = RunKeyRow.outcome == Outcome.UNCHANGED
            db.execute(update(RunKeyRow).where(key, unchanged).values(outcome=Outcome.UPDATED))
        if item.error:
            db.execute(update(RunKeyRow).where(key, RunKeyRow.error.is_(None)).values(error=item.error))


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


def count_outcomes(db: Session, run_id: UUID) -> dict[str, int]:
    query = (
        select(RunKeyRow.outcome, func.count())
        .where(RunKeyRow.run_id == run_id, RunKeyRow.outcome.is_not(None))
        .group_by(RunKeyRow.outcome)
    )
    return {outcome: count for outcome, count in db.execute(query) if outcome}


def any_open(db: Session, run_id: UUID) -> bool:
    query = select(RunKeyRow.key).where(RunKeyRow.run_id == run_id, RunKeyRow.state.not_in(("done", "failed")))
    return db.scalars(query.limit(1)).first() is not None


def all_ended(db: Session, run_id: UUID) -> datetime | None:
    """The database's time, if no key of the run is open; else None."""
    open_keys = select(RunKeyRow.key).where(RunKeyRow.run_id == run_id, RunKeyRow.state.not_in(("done", "failed")))
    return db.scalar(select(func.clock_timestamp()).where(~open_keys.exists()))


def progress(db: Session, run_id: UUID) -> tuple[int, int]:
    """(keys that have ended, all keys of the run). What a run that was ended did not reach has not ended."""
    ended = func.count().filter(RunKeyRow.state.in_(("done", "failed")), ~unreached())
    done, total = db.execute(select(ended, func.count()).where(RunKeyRow.run_id == run_id)).one()
    return done, total


def due_keys(db: Session, run_id: UUID, *, size: int, now: datetime) -> list[str]:
    """The keys of a run that a process without workers is to fetch next; none while it is paused."""
    key = RunKeyRow
    waiting = (key.run_id == run_id, key.state == "waiting", key.next_attempt_at <= now)
    query = select(key.key).where(*waiting, _goes_on(run_id))
    return list(db.scalars(query.order_by(key.position).limit(size)))


def next_due(db: Session, run_id: UUID) -> tuple[datetime | None, str | None]:
    """When the next waiting key is due, and the error that it waits for; both None where none waits."""
    key = RunKeyRow
    query = select(key.next_attempt_at, key.error).where(key.run_id == run_id, key.state == "waiting")
    row = db.execute(query.order_by(key.next_attempt_at, key.position).limit(1)).first()
    return (None, None) if row is None else (row.next_attempt_at, row.error)


def wake(db: Session, *, now: datetime) -> int:
    """Make due at once what waits in open runs; how many runs and keys. Whoever carries them then sees to them."""
    runs = update(RunRow).where(RunRow.status == "running", RunRow.planned.is_(False), RunRow.next_attempt_at > now)
    woken = db.execute(runs.values(next_attempt_at=now).returning(RunRow.run_id)).all()
    open_runs = select(RunRow.run_id).where(RunRow.status == "running")
    waiting = and_(RunKeyRow.state == "waiting", RunKeyRow.next_attempt_at > now, RunKeyRow.run_id.in_(open_runs))
    keys = update(RunKeyRow).where(waiting).values(next_attempt_at=now, sent_at=None)
    return len(woken) + len(db.execute(keys.returning(RunKeyRow.key)).all())


def backoff(attempt: int, delay: float) -> float:
    """Seconds before retry number ``attempt`` (from 1): delay, twice that, four times, give or take a fifth."""
    return delay * float(2 ** (attempt - 1)) * random.uniform(0.8, 1.2)


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
    """Work of worker-carried runs that was never sent, or was sent ``patience`` ago and not taken up.

    Of a paused run nothing but what is fetched and waits to be saved.
    """
    carried = and_(RunRow.status == "running", RunRow.carrier == "worker")
    going = and_(carried, RunRow.paused_at.is_(None))
    unplanned = (
        select(RunRow.run_id)
        .where(
            going,
            RunRow.planned.is_(False),
            RunRow.next_attempt_at < now - patience,
            or_(RunRow.lease_until.is_(None), RunRow.lease_until < now),
        )
        .limit(most)
    )
    return Overdue(
        plan=tuple(db.scalars(unplanned)),
        fetch=_overdue_keys(db, going, "waiting", now, patience, most),
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


def unreached() -> ColumnElement[bool]:
    """Whether its run was revoked or abandoned before anybody got to the key, or to its companion: no failure."""
    return and_(RunKeyRow.state == "failed", RunKeyRow.outcome.is_distinct_from(Outcome.FAILED))


def failed_keys(db: Session, run_id: UUID) -> list[str]:
    """The keys that a run could not bring to an end, those that it did not reach too, in its order."""
    query = select(RunKeyRow.key).where(RunKeyRow.run_id == run_id, RunKeyRow.state == "failed")
    return list(db.scalars(query.order_by(RunKeyRow.position)))


def key_errors(db: Session, run_id: UUID) -> list[str]:
    """What the keys that failed say, in the run's order."""
    query = select(RunKeyRow.error).where(RunKeyRow.run_id == run_id, RunKeyRow.outcome == Outcome.FAILED)
    return [error for error in db.scalars(query.order_by(RunKeyRow.position)) if error]


def give_up_keys(db: Session, run_id: UUID) -> None:
    """Close the keys that have not ended: see :func:`unreached`. What they waited for last, they keep."""
    db.execute(
        update(RunKeyRow)
        .where(RunKeyRow.run_id == run_id, RunKeyRow.state.not_in(("done", "failed")))
        .values(state="failed")
    )
