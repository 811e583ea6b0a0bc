"""What is wrong: the whole table of the alerts' rules. Each looks at the rows and the broker, and writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from parlex.answers import counted, span
from parlex.db.models import QuarantineRow, RunKeyRow, RunRow
from parlex.fetching.throttle import LONG_WAIT
from parlex.runs.fetch_logs import ENDED
from parlex.settings import Settings
from parlex.watch.broker import Broker
from parlex.watch.monitor import Overview, told

Severity = Literal["warning", "failure"]

_FAILED = ("failure", "abandoned")
# A weekly job is judged by its last runs too; one that did not run for longer is a job no more.
_MEMORY = timedelta(days=30)
# Who started a run by hand saw it fail, and need not run it again to have peace.
_BY_HAND_MEMORY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Scene:
    """What the rules look at. ``broker``, ``budgets`` and ``waits`` are None while Redis is away.

    ``budgets``: requests that the next minute has room for, by host, those without a limit left out. ``waits``: seconds
    that a host asked to be left alone for, as far as they are still to come.
    """

    db: Session
    now: datetime
    settings: Settings
    overview: Overview
    broker: Broker | None
    budgets: Mapping[str, float] | None
    waits: Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``subject`` tells those of one rule apart; a higher ``level`` is news again."""

    subject: str
    headline: str
    detail: str
    level: int = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """``patience``: how long it must be so before it is told. ``needs_redis``: knows nothing while that is away.
    ``repeats``: it is told again while it lasts."""

    name: str
    severity: Severity
    find: Callable[[Scene], Iterable[Finding]]
    advice: str
    patience: Callable[[Settings], timedelta] = lambda settings: timedelta(0)
    needs_redis: bool = False
    repeats: bool = True


# What the rules find.


def _run_failed(scene: Scene) -> Iterator[Finding]:
    """The newest run of a job that ended is a failure."""
    for job, ended in _last_runs(scene).items():
        if ended[0].status in _FAILED:
            yield Finding(job, f"{job} ended as {ended[0].status}", _why(scene.db, ended[0]))


def _failing(scene: Scene) -> Iterator[Finding]:
    """The last ``alert_failures_in_row`` runs of a job all failed."""
    least = scene.settings.alert_failures_in_row
    for job, ended in _last_runs(scene).items():
        row = list(takewhile(lambda run: run.status in _FAILED, ended))
        if len(row) >= least:
            yield Finding(job, f"{job} failed {counted(least, 'time')} in a row or more", _why(scene.db, row[0]))


def _stale(scene: Scene) -> Iterator[Finding]:
    """The current list of a dataset is older than ``monitor.stale_after`` has it, or was not had for so long."""
    for report in scene.overview.reports:
        age = report.freshness_seconds
        if age is None:
            age = _waited_seconds(scene, None if report is scene.overview.main else report.dataset)
        if age > report.stale_after.total_seconds():
            yield Finding(
                report.dataset,
                f"the {report.current_list} are stale",
                f"Their list was last believed {span(age)} ago, or never.",
            )


def _waited_seconds(scene: Scene, dataset: str | None) -> float:
    """Since the first run, of one dataset or of any, that a list should have come of."""
    query = select(func.min(RunRow.started_at))
    first = scene.db.scalar(query if dataset is None else query.where(RunRow.dataset == dataset))
    return (scene.now - first).total_seconds() if first else 0.0


def _promise_broken(scene: Scene) -> Iterator[Finding]:
    """What is older than promised, besides a current list that is stale altogether."""
    for report in scene.overview.reports:
        if report.broken:
            said = "; ".join(line.said for line in report.broken)
            yield Finding(report.dataset, f"{report.dataset} are not as fresh as promised", f"{said}.")


def _quarantine(scene: Scene) -> Iterator[Finding]:
    """Something waits in quarantine; news again when ``alert_quarantine_growth`` more do."""
    query = (
        select(QuarantineRow.dataset, QuarantineRow.guard, func.count())
        .where(QuarantineRow.state == "open")
        .group_by(QuarantineRow.dataset, QuarantineRow.guard)
        .order_by(QuarantineRow.dataset, QuarantineRow.guard)
    )
    guards: dict[str, list[tuple[str, int]]] = {}
    for dataset, guard, count in scene.db.execute(query):
        guards.setdefault(dataset, []).append((guard, count))
    for dataset, counts in guards.items():
        total = sum(count for _, count in counts)
        detail = "Parked by guard: " + ", ".join(f"{guard} {count}" for guard, count in counts) + "."
        yield Finding(dataset, f"{total} in quarantine of {dataset}", detail, level=total)


def _unknown_word(scene: Scene) -> Iterator[Finding]:
    """A source uses a word that nobody has named. The records land with it, so it is told once, and one for all."""
    for report in scene.overview.reports:
        for word in report.unknown_words:
            yield Finding(
                f"{word.kind} {word.text}", f"a new {word.kind} of {word.source}: {word.text}", f"{told(word)}."
            )


def _beat_silent(scene: Scene) -> Iterator[Finding]:
    """Beat, or the worker that its ticks go through, was not seen for ``alert_beat_minutes``.

    A beat that was never seen is no problem: whoever runs the fetches by hand or by cron has none.
    """
    main = scene.overview.main
    if main.beat_is_silent and main.beat_age_seconds is not None:
        yield Finding(
            "beat",
            "beat is silent: nothing is scheduled",
            f"It was last seen {span(main.beat_age_seconds)} ago, through a control worker.",
        )


def _stuck(scene: Scene) -> Iterator[Finding]:
    """An open run that nothing moves."""
    for run in (run for report in scene.overview.reports for run in report.stuck_runs):
        yield Finding(str(run), f"run {str(run)[:8]} is stuck", f"See: parlex runs show {str(run)[:8]}")


def _queue_old(scene: Scene) -> Iterator[Finding]:
    """The oldest message of a queue waits longer than ``alert_queue_minutes``."""
    for queue in scene.broker.queues if scene.broker else ():
        if queue.oldest_seconds is not None and queue.oldest_seconds > scene.settings.alert_queue_minutes * 60:
            waiting = counted(queue.depth, "message waits", "messages wait")
            oldest = f"{waiting}, the oldest for {span(queue.oldest_seconds)}."
            yield Finding(queue.name, f"queue {queue.name} is not worked off", oldest)


def _budget_exhausted(scene: Scene) -> Iterator[Finding]:
    """A host gives no room, since its budget is spent, it asked us to wait, or it failed too often."""
    for host, left in (scene.budgets or {}).items():
        if left == 0:
            yield Finding(
                host,
                f"no requests left for {host}",
                "Its budget is spent, or it asked us to wait, or it keeps failing.",
            )


def _long_wait(scene: Scene) -> Iterator[Finding]:
    """A host asked to be left alone for longer than an hour: that is more than a busy moment."""
    for host, seconds in (scene.waits or {}).items():
        if seconds > LONG_WAIT:
            yield Finding(
                host,
                f"{host} asked to be left alone",
                f"For {span(seconds)} more, as its Retry-After said. Until then nothing is fetched from it.",
            )


def _redis_away(scene: Scene) -> Iterator[Finding]:
    if scene.broker is None:
        yield Finding("redis", "Redis does not answer", "No task can be sent, and no budget kept.")


RULES = (
    Rule("run_failed", "warning", _run_failed, "parlex runs show ID tells why; parlex runs retry ID tries again"),
    Rule("failing", "failure", _failing, "Look whether the source answers, and what changed in its documents."),
    Rule("stale", "failure", _stale, "See: parlex monitor, parlex doctor"),
    # A fetch that is under way, or late, mends it.
    Rule(
        "promise_broken",
        "warning",
        _promise_broken,
        "See: parlex monitor, parlex schedule list",
        patience=lambda _: timedelta(minutes=30),
    ),
    Rule("quarantine", "warning", _quarantine, "See: parlex runs show ID of the last runs"),
    Rule("unknown_word", "warning", _unknown_word, "To name it: parlex words add KIND TEXT CODE", repeats=False),
    Rule("beat_silent", "failure", _beat_silent, "Look whether beat and worker-control run."),
    Rule("stuck", "warning", _stuck, "Look whether worker-fetch and worker-persist run."),
    Rule(
        "queue_old", "warning", _queue_old, "Look whether the queue's worker runs; else start more.", needs_redis=True
    ),
    Rule(
        "budget_exhausted",
        "warning",
        _budget_exhausted,
        "Wait, or look at who else asks that host from here.",
        patience=lambda settings: timedelta(minutes=settings.alert_budget_minutes),
        needs_redis=True,
    ),
    Rule("long_wait", "failure", _long_wait, "Wait, or look at who else asks that host from here.", needs_redis=True),
    # A restart takes seconds, and the workers sit it out.
    Rule("redis_away", "failure", _redis_away, "Look whether Redis runs.", patience=lambda _: timedelta(minutes=2)),
)


@dataclass(frozen=True, slots=True)
class _Ended:
    run_id: UUID
    status: str
    errors: Sequence[Any]


def _last_runs(scene: Scene) -> dict[str, list[_Ended]]:
    """The last runs of each job that ended, newest first."""
    row = RunRow
    scope = row.params["scope"].as_string()
    place = func.row_number().over(partition_by=(row.dataset, row.job, scope), order_by=row.started_at.desc())
    by_hand = row.entry.is_(None) & (row.started_at < scene.now - _BY_HAND_MEMORY)
    ended = (
        select(row.run_id, row.job, scope.label("scope"), row.status, row.errors, place.label("place"))
        .where(row.status.in_(ENDED), row.started_at > scene.now - _MEMORY, ~by_hand)
        .subquery()
    )
    newest = select(ended).where(ended.c.place <= scene.settings.alert_failures_in_row).order_by(ended.c.place)
    found: dict[str, list[_Ended]] = {}
    for run in scene.db.execute(newest):
        name = f"{run.job} {run.scope}" if run.scope else run.job
        found.setdefault(name, []).append(_Ended(run.run_id, run.status, run.errors))
    return found


def _why(db: Session, run: _Ended) -> str:
    """A run's first error; where it names none, that of a key, else what is known of a run that nobody ended."""
    first = run.errors[0] if run.errors else _key_error(db, run.run_id) or _NO_WORD
    return f"Run {str(run.run_id)[:8]}: {first}"


_NO_WORD = "nobody carried it to its end; whoever did was killed, or had no way to the database"


def _key_error(db: Session, run_id: UUID) -> str | None:
    row = RunKeyRow
    failed = select(row.key, row.error).where(row.run_id == run_id, row.state == "failed", row.error.is_not(None))
    found = db.execute(failed.order_by(row.position).limit(1)).one_or_none()
    return f"{found.key}: {found.error}" if found else None
