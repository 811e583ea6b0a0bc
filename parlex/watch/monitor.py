"""The judgement of what ran: totals, rates, freshness, and who has fallen silent. Reads rows only, never the broker.

Each threshold stands here once, for the monitor, ``parlex doctor``, the alerts and the metrics alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from parlex.answers import counted
from parlex.datasets.dataset import Dataset
from parlex.datasets.kind import Unknown
from parlex.db.models import HeartbeatRow, QuarantineRow, RunKeyRow, RunRow, SweepRow
from parlex.runs.fetch_logs import ENDED, STATUSES
from parlex.settings import Settings
from parlex.watch.freshness import Freshness, freshness, stale_after

RECORDS = {
    "fetched": RunRow.attempted,
    "created": RunRow.created,
    "updated": RunRow.updated,
    "unchanged": RunRow.unchanged,
    "failed": RunRow.failed,
    "deferred": RunRow.deferred,
}
BEAT = "beat"

STUCK_AFTER = timedelta(minutes=15)  # several leases: the sweeper has had its chances
# Fewer runs that are a success than this say that something is wrong; a rate of fewer runs says nothing.
LEAST_SUCCESS_RATE = 0.8
JUDGED_FROM = 5  # runs that ended
TOLD = 3  # broken promises in one line


def beat_silent_after(settings: Settings) -> timedelta:
    """How long beat may go unseen: ``PARLEX_ALERT_BEAT_MINUTES``."""
    return timedelta(minutes=settings.alert_beat_minutes)


@dataclass(frozen=True, slots=True)
class GoodRun:
    run_id: UUID
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a dataset's runs started from ``since`` to ``until``, and the state of things at ``until``.

    Durations and ages are in seconds. What cannot be known is None: a rate of no runs, the age of what never was.
    """

    since: datetime
    until: datetime
    dataset: str
    runs: int
    by_status: Mapping[str, int]
    success_rate: float | None  # success / (success + partial + failure + abandoned)
    mean_duration_seconds: float | None
    p95_duration_seconds: float | None
    records: Mapping[str, int]
    requests: int
    bytes: int
    current_session: str | None  # the newest scope whose list was believed
    freshness_seconds: float | None  # since that list was last believed
    last_good_run: GoodRun | None
    last_failed_jobs: tuple[str, ...]  # jobs whose newest run that ended is a failure or abandoned
    beat_age_seconds: float | None
    stuck_runs: tuple[UUID, ...]
    quarantined: int
    freshness: tuple[Freshness, ...]
    unknown_words: tuple[Unknown, ...]
    by_session: bool
    stale_after: timedelta
    beat_silent_after: timedelta

    @property
    def problems(self) -> tuple[str, ...]:
        """What a person should look into, a line each; empty when all is well.

        A beat that was never seen is no problem: whoever runs the fetches by hand or by cron has none.
        """
        return tuple(
            line
            for line in (
                self._freshness_problem(),
                self._promise_problem(),
                self._beat_problem(),
                self._rate_problem(),
                self._abandoned_problem(),
                *(f"the last run of {job} failed: see parlex runs" for job in self.last_failed_jobs),
                *(f"run {str(run)[:8]} is stuck: see parlex runs show {str(run)[:8]}" for run in self.stuck_runs),
                *(f"{told(word)}: see parlex words" for word in self.unknown_words),
            )
            if line
        )

    @property
    def healthy(self) -> bool:
        return not self.problems

    @property
    def is_stale(self) -> bool:
        """Whether its current list is too old; one that was never had has no age."""
        return self.freshness_seconds is not None and self.freshness_seconds > self.stale_after.total_seconds()

    @property
    def beat_is_silent(self) -> bool:
        """Whether beat was seen once, and not lately."""
        return self.beat_age_seconds is not None and self.beat_age_seconds > self.beat_silent_after.total_seconds()

    @property
    def current_list(self) -> str:
        """How a sentence calls what ``freshness_seconds`` is the age of: ``bills of 45-1``, ``politicians``."""
        if not self.by_session:
            return self.dataset
        return f"{self.dataset} of {self.current_session or 'the current session'}"

    def _freshness_problem(self) -> str | None:
        if self.freshness_seconds is None:
            return f"the {self.current_list} were never listed: run parlex fetch --dataset {self.dataset}"
        if self.is_stale:
            return f"the {self.current_list} were last listed {self.freshness_seconds / 3600:.1f} h ago"
        return None

    @property
    def broken(self) -> tuple[Freshness, ...]:
        """The promises of freshness that are not kept, but for that of a list whose age is told already."""
        lines = self.freshness[1:] if self.is_stale else self.freshness
        return tuple(line for line in lines if not line.kept)

    def _promise_problem(self) -> str | None:
        told = [line.said for line in self.broken]
        more = [f"and {len(told) - TOLD} more"] if len(told) > TOLD else []
        return f"not as fresh as promised: {'; '.join(told[:TOLD] + more)}" if told else None

    def _beat_problem(self) -> str | None:
        if self.beat_age_seconds is None or not self.beat_is_silent:
            return None
        return f"beat was last seen {self.beat_age_seconds / 60:.0f} min ago: nothing is scheduled"

    @property
    def ended(self) -> int:
        """The runs that ``success_rate`` is of."""
        return sum(self.by_status[status] for status in ENDED)

    @property
    def often_fails(self) -> bool:
        """Whether too few of its runs were a success, of enough to judge by."""
        return self.success_rate is not None and self.ended >= JUDGED_FROM and self.success_rate < LEAST_SUCCESS_RATE

    def _rate_problem(self) -> str | None:
        if not self.often_fails:
            return None
        good = self.by_status["success"]
        return f"{good} of {counted(self.ended, 'run')} of {self.dataset} were a success: see parlex runs"

    def _abandoned_problem(self) -> str | None:
        were = counted(self.by_status["abandoned"], "run was", "runs were")
        return f"{were} abandoned ({self.dataset}): see parlex runs" if self.by_status["abandoned"] else None

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
            "freshness": [line.as_json() for line in self.freshness],
            "beat_age_seconds": self.beat_age_seconds,
            "stuck_runs": [str(run) for run in self.stuck_runs],
            "quarantined": self.quarantined,
            "unknown_words": [word.as_json() for word in self.unknown_words],
            "healthy": self.healthy,
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class Overview:
    """The reports of every dataset that is watched: first that of the one which the mirror is for, then the others'."""

    main: Report
    others: tuple[Report, ...]

    @property
    def reports(self) -> tuple[Report, ...]:
        return (self.main, *self.others)

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems of all, each once: there is one beat."""
        return tuple(dict.fromkeys(line for report in self.reports for line in report.problems))

    @property
    def healthy(self) -> bool:
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The figures of the first, with the health of all and the others' reports in ``datasets``."""
        judged = {"healthy": self.healthy, "problems": list(self.problems)}
        return self.main.to_dict() | judged | {"datasets": [report.to_dict() for report in self.others]}

    as_json = to_dict


def overview(
    db: Session, since: datetime, now: datetime, datasets: Mapping[str, Dataset], settings: Settings
) -> Overview:
    """Judge the runs that started from ``since`` to ``now`` of every dataset that is watched."""
    main, *others = (statistics(db, since, now, dataset, settings) for dataset in watched(db, datasets))
    return Overview(main, tuple(others))


def watched(db: Session, datasets: Mapping[str, Dataset]) -> Sequence[Dataset]:
    """The first dataset, which the mirror is for, and of the others those that were ever listed or run."""
    first, *others = datasets.values()
    return [first, *(dataset for dataset in others if _was_begun(db, dataset))]


def _was_begun(db: Session, dataset: Dataset) -> bool:
    listed = select(SweepRow.id).where(SweepRow.dataset == dataset.name)
    run = select(RunRow.run_id).where(RunRow.dataset == dataset.name, RunRow.status.in_(("running", *ENDED)))
    return bool(db.scalar(select(or_(listed.exists(), run.exists()))))


def statistics(db: Session, since: datetime, now: datetime, dataset: Dataset, settings: Settings) -> Report:
    """Judge the runs of a dataset that started from ``since`` to ``now``."""
    within = (RunRow.dataset == dataset.name, RunRow.started_at >= since, RunRow.started_at <= now)
    by_status = _by_status(db, within)
    mean, p95 = _durations(db, within)
    sums = _sums(db, within)
    scope, listed_at = _last_listing(db, dataset)
    return Report(
        since=since,
        until=now,
        dataset=dataset.name,
        runs=sum(by_status.values()),
        by_status=by_status,
        success_rate=_success_rate(by_status),
        mean_duration_seconds=mean,
        p95_duration_seconds=p95,
        records={name: sums[name] for name in RECORDS},
        requests=sums["requests"],
        bytes=sums["bytes"],
        current_session=scope,
        freshness_seconds=_age(listed_at, now),
        last_good_run=_last_good_run(db, dataset.name),
        last_failed_jobs=_last_failed_jobs(db, within),
        beat_age_seconds=_age(heartbeat(db, BEAT), now),
        stuck_runs=stuck_runs(db, dataset.name, now),
        quarantined=_quarantined(db, dataset.name),
        unknown_words=dataset.unknown_words(db),
        by_session=dataset.by_session,
        freshness=freshness(db, [dataset], settings, now),
        stale_after=stale_after(dataset.listed_every, settings),
        beat_silent_after=beat_silent_after(settings),
    )


def told(word: Unknown) -> str:
    """An unknown word in a line."""
    return f"{word.source} has a {word.kind} that nobody has named, {word.text!r}, on {counted(word.records, 'record')}"


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


def _last_listing(db: Session, dataset: Dataset) -> tuple[str | None, datetime | None]:
    """The newest scope that was listed, and when its list was last believed.

    Listed by its number is listed too: whoever backfills the current session by name has its list.
    """
    row = SweepRow
    last = func.max(row.swept_at)
    query = select(row.scope, last).where(row.dataset == dataset.name, row.source == dataset.list_source, row.believed)
    found = dict(db.execute(query.group_by(row.scope)).all())
    if not found:
        return None, None
    newest = max(found, key=dataset.rank_of_scope)
    return newest, found[newest]


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


def stuck_runs(db: Session, dataset: str, now: datetime) -> tuple[UUID, ...]:
    """Open runs that nothing has moved for a while, although none of their keys waits for a set time to come, and
    nobody paused them."""
    waits = select(RunKeyRow.key).where(
        RunKeyRow.run_id == RunRow.run_id, RunKeyRow.state == "waiting", RunKeyRow.next_attempt_at > now - STUCK_AFTER
    )
    stuck = select(RunRow.run_id).where(
        RunRow.dataset == dataset,
        RunRow.status == "running",
        RunRow.paused_at.is_(None),
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
