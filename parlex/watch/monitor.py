"""The judgement of what ran: totals, rates, freshness, and who has fallen silent. Reads rows only, never the broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from parlex.db.models import HeartbeatRow, QuarantineRow, RunKeyRow, RunRow, SweepRow
from parlex.runs.fetch_logs import ENDED, STATUSES

RECORDS = {
    "fetched": RunRow.attempted,
    "created": RunRow.created,
    "updated": RunRow.updated,
    "unchanged": RunRow.unchanged,
    "failed": RunRow.failed,
    "deferred": RunRow.deferred,
}
BEAT = "beat"

STALE_AFTER = timedelta(hours=3)  # the current session is listed each hour; two ticks may be lost before it is news
BEAT_SILENT_AFTER = timedelta(minutes=5)  # beat is seen each minute
STUCK_AFTER = timedelta(minutes=15)  # several leases: the sweeper has had its chances


@dataclass(frozen=True, slots=True)
class GoodRun:
    run_id: UUID
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of the runs started from ``since`` to ``until``, and the state of things at ``until``.

    Durations and ages are in seconds. What cannot be known is None: a rate of no runs, the age of what never was.
    """

    since: datetime
    until: datetime
    dataset: str
    runs: int
    by_status: Mapping[str, int]
    # Of the runs that ended by themselves (not those that a person revoked or asked for in vain):
    # success / (success + partial + failure + abandoned).
    success_rate: float | None
    mean_duration_seconds: float | None
    p95_duration_seconds: float | None
    records: Mapping[str, int]
    requests: int
    bytes: int
    current_session: str | None
    freshness_seconds: float | None  # since the current session's list was last believed
    last_good_run: GoodRun | None
    last_failed_jobs: tuple[str, ...]  # jobs whose newest run that ended is a failure or abandoned
    beat_age_seconds: float | None
    stuck_runs: tuple[UUID, ...]
    quarantined: int
    stale_after: timedelta = STALE_AFTER

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should look into, a line each; empty when all is well.

        A beat that was never seen is no problem: whoever runs the fetches by hand or by cron has none.
        """
        return tuple(
            line
            for line in (
                self._freshness_problem(),
                self._beat_problem(),
                *(f"the last run of {job} failed: see parlex runs" for job in self.last_failed_jobs),
                *(f"run {str(run)[:8]} is stuck: see parlex runs show {str(run)[:8]}" for run in self.stuck_runs),
            )
            if line
        )

    @property
    def healthy(self) -> bool:
        return not self.problems

    def _freshness_problem(self) -> str | None:
        if self.freshness_seconds is None:
            return "the current session was never listed: run parlex fetch"
        if self.freshness_seconds > self.stale_after.total_seconds():
            return f"session {self.current_session} was last listed {self.freshness_seconds / 3600:.1f} h ago"
        return None

    def _beat_problem(self) -> str | None:
        if self.beat_age_seconds is None or self.beat_age_seconds <= BEAT_SILENT_AFTER.total_seconds():
            return None
        return f"beat was last seen {self.beat_age_seconds / 60:.0f} min ago: nothing is scheduled"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; the keys are promised."""
        good = self.last_good_run
        return {
            "since": _instant(self.since),
            "until": _instant(self.until),
            "dataset": self.dataset,
            "runs": self.runs,
            "by_status": dict(self.by_status),
            "success_rate": self.success_rate,
            "mean_duration_seconds": self.mean_duration_seconds,
            "p95_duration_seconds": self.p95_duration_seconds,
            "records": dict(self.records),
            "requests": self.requests,
            "bytes": self.bytes,
            "current_session": self.current_session,
            "freshness_seconds": self.freshness_seconds,
            "last_good_run_id": str(good.run_id) if good else None,
            "last_good_run_at": _instant(good.finished_at) if good else None,
            "last_failed_jobs": list(self.last_failed_jobs),
            "beat_age_seconds": self.beat_age_seconds,
            "stuck_runs": [str(run) for run in self.stuck_runs],
            "quarantined": self.quarantined,
            "healthy": self.healthy,
            "problems": list(self.problems),
        }


def statistics(
    db: Session, since: datetime, now: datetime, *, dataset: str = "bills", stale_after: timedelta = STALE_AFTER
) -> Report:
    """Judge the runs of a dataset that started from ``since`` to ``now``.

    ``stale_after``: how long its current list may go unlooked at, by its schedule.
    """
    within = (RunRow.dataset == dataset, RunRow.started_at >= since, RunRow.started_at <= now)
    by_status = _by_status(db, within)
    mean, p95 = _durations(db, within)
    sums = _sums(db, within)
    session, listed_at = _last_listing(db, dataset)
    return Report(
        since=since,
        until=now,
        dataset=dataset,
        runs=sum(by_status.values()),
        by_status=by_status,
        success_rate=_success_rate(by_status),
        mean_duration_seconds=mean,
        p95_duration_seconds=p95,
        records={name: sums[name] for name in RECORDS},
        requests=sums["requests"],
        bytes=sums["bytes"],
        current_session=session,
        freshness_seconds=_age(listed_at, now),
        last_good_run=_last_good_run(db, dataset),
        last_failed_jobs=_last_failed_jobs(db, within),
        beat_age_seconds=_age(heartbeat(db, BEAT), now),
        stuck_runs=_stuck_runs(db, dataset, now),
        quarantined=_quarantined(db, dataset),
        stale_after=stale_after,
    )


def heartbeat(db: Session, name: str) -> datetime | None:
    """When ``name`` was last seen alive; None if it never was."""
    return db.scalar(select(HeartbeatRow.seen_at).where(HeartbeatRow.name == name))


def _by_status(db: Session, within: tuple[ColumnElement[bool], ...]) -> dict[str, int]:
    rows = db.execute(select(RunRow.status, func.count()).where(*within).group_by(RunRow.status))
    return dict.fromkeys(STATUSES, 0) | dict(rows.all())


def _success_rate(by_status: Mapping[str, int]) -> float | None:
    ended = sum(by_status[status] for status in ENDED)
    return by_status["success"] / ended if ended else None


def _durations(db: Session, within: tuple[ColumnElement[bool], ...]) -> tuple[float | None, float | None]:
    """Mean and 95th percentile, interpolated, of the runs that ended."""
    seconds = RunRow.duration_seconds
    statement = select(func.avg(seconds), func.percentile_cont(0.95).within_group(seconds))
    mean, p95 = db.execute(statement.where(*within, RunRow.status.in_(ENDED), seconds.is_not(None))).one()
    return mean, p95


def _sums(db: Session, within: tuple[ColumnElement[bool], ...]) -> dict[str, int]:
    columns = {**RECORDS, "requests": RunRow.requests, "bytes": RunRow.bytes}
    totals = (func.coalesce(func.sum(column), 0) for column in columns.values())
    row = db.execute(select(*totals).where(*within)).one()
    return {name: int(total) for name, total in zip(columns, row, strict=True)}


def _last_listing(db: Session, dataset: str) -> tuple[str | None, datetime | None]:
    """The current session and when its list was last believed."""
    statement = (
        select(SweepRow.scope, SweepRow.swept_at)
        .where(SweepRow.dataset == dataset, SweepRow.is_current, SweepRow.believed)
        .order_by(SweepRow.swept_at.desc())
        .limit(1)
    )
    row = db.execute(statement).one_or_none()
    return (row.scope, row.swept_at) if row else (None, None)


def _last_good_run(db: Session, dataset: str) -> GoodRun | None:
    statement = (
        select(RunRow.run_id, RunRow.finished_at)
        .where(RunRow.dataset == dataset, RunRow.status == "success")
        .order_by(RunRow.finished_at.desc())
        .limit(1)
    )
    row = db.execute(statement).one_or_none()
    return GoodRun(row.run_id, row.finished_at) if row else None


def _last_failed_jobs(db: Session, within: tuple[ColumnElement[bool], ...]) -> tuple[str, ...]:
    newest = (
        select(RunRow.job, RunRow.status)
        .where(*within, RunRow.status.in_(ENDED))
        .ext(distinct_on(RunRow.job))
        .order_by(RunRow.job, RunRow.started_at.desc())
        .subquery()
    )
    failed = select(newest.c.job).where(newest.c.status.in_(("failure", "abandoned"))).order_by(newest.c.job)
    return tuple(db.scalars(failed))


def _stuck_runs(db: Session, dataset: str, now: datetime) -> tuple[UUID, ...]:
    """Open runs that nothing has moved for a while, although none of their keys waits for a set time to come."""
    waits = select(RunKeyRow.key).where(
        RunKeyRow.run_id == RunRow.run_id, RunKeyRow.state == "waiting", RunKeyRow.next_attempt_at > now - STUCK_AFTER
    )
    stuck = select(RunRow.run_id).where(
        RunRow.dataset == dataset,
        RunRow.status == "running",
        RunRow.progress_at < now - STUCK_AFTER,
        func.coalesce(RunRow.next_attempt_at, RunRow.started_at) < now - STUCK_AFTER,
        ~waits.exists(),
    )
    return tuple(db.scalars(stuck.order_by(RunRow.started_at)))


def _quarantined(db: Session, dataset: str) -> int:
    rows = select(func.count()).where(QuarantineRow.dataset == dataset, QuarantineRow.state == "open")
    return db.scalar(rows) or 0


def _age(then: datetime | None, now: datetime) -> float | None:
    return (now - then).total_seconds() if then else None


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).isoformat()
