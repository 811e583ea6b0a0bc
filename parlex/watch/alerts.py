"""Alerts: what a person is told of without asking. Opened once, repeated sparingly, closed with an all-clear.

``RULES`` is the whole table: each rule looks at the rows and the broker and finds what is wrong. What it finds becomes
a row of ``alerts``, and a message when it opens, when it grows, when it has lasted for ``alert_repeat_hours``, and when
it has been over for ``alert_clear_minutes``. All that one check has to say goes into one message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, Literal
from uuid import UUID, uuid4

import structlog
from redis.exceptions import RedisError
from sqlalchemy import delete, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from parlex.db.models import AlertRow, QuarantineRow, RunRow
from parlex.errors import Retryable
from parlex.fetching.throttle import host_of
from parlex.resources import Resources
from parlex.runs.fetch_logs import ENDED
from parlex.settings import Settings
from parlex.watch import broker, monitor, notify
from parlex.watch.broker import Broker
from parlex.watch.monitor import Report
from parlex.watch.notify import Message

log = structlog.get_logger(__name__)

Severity = Literal["warning", "failure"]

_FAILED = ("failure", "abandoned")
# A weekly job is judged by its last runs too; one that did not run for longer is a job no more.
_MEMORY = timedelta(days=30)
# Who started a run by hand saw it fail, and need not run it again to have peace.
_BY_HAND_MEMORY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Scene:
    """What the rules look at. ``broker`` and ``budgets`` are None while Redis is away.

    ``budgets``: requests that the next minute has room for, by host, those without a limit left out.
    """

    db: Session
    now: datetime
    settings: Settings
    report: Report
    broker: Broker | None
    budgets: Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``subject`` tells those of one rule apart; a higher ``level`` is news again."""

    subject: str
    headline: str
    detail: str
    level: int = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """``patience``: how long it must be so before it is told. ``needs_redis``: knows nothing while that is away."""

    name: str
    severity: Severity
    find: Callable[[Scene], Iterable[Finding]]
    advice: str
    patience: Callable[[Settings], timedelta] = lambda settings: timedelta(0)
    needs_redis: bool = False


# What the rules find.


def _run_failed(scene: Scene) -> Iterator[Finding]:
    """The newest run of a job that ended is a failure."""
    for job, ended in _last_runs(scene).items():
        if ended[0].status in _FAILED:
            yield Finding(job, f"{job} ended as {ended[0].status}", _why(ended[0]))


def _failing(scene: Scene) -> Iterator[Finding]:
    """The last ``alert_failures_in_row`` runs of a job all failed."""
    least = scene.settings.alert_failures_in_row
    for job, ended in _last_runs(scene).items():
        row = list(takewhile(lambda run: run.status in _FAILED, ended))
        if len(row) >= least:
            yield Finding(job, f"{job} failed {least} times in a row or more", _why(row[0]))


def _stale(scene: Scene) -> Iterator[Finding]:
    """No list of the current session was believed for ``alert_stale_hours``."""
    age = scene.report.freshness_seconds
    if age is None:
        first = scene.db.scalar(select(func.min(RunRow.started_at)))
        age = (scene.now - first).total_seconds() if first else 0.0
    if age > scene.settings.alert_stale_hours * 3600:
        session = scene.report.current_session or "the current session"
        yield Finding(
            session, f"the bills of {session} are stale", f"Their list was last believed {_span(age)} ago, or never."
        )


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


def _beat_silent(scene: Scene) -> Iterator[Finding]:
    """Beat, or the worker that its ticks go through, was not seen for ``alert_beat_minutes``.

    A beat that was never seen is no problem: whoever runs the fetches by hand or by cron has none.
    """
    age = scene.report.beat_age_seconds
    if age is not None and age > scene.settings.alert_beat_minutes * 60:
        yield Finding(
            "beat",
            "beat is silent: nothing is scheduled",
            f"It was last seen {_span(age)} ago, through a control worker.",
        )


def _stuck(scene: Scene) -> Iterator[Finding]:
    """An open run that nothing moves."""
    datasets = scene.db.scalars(select(RunRow.dataset).where(RunRow.status == "running").distinct()).all()
    reports = [monitor.statistics(scene.db, scene.now, scene.now, dataset=dataset) for dataset in datasets]
    for run in (run for report in reports for run in report.stuck_runs):
        yield Finding(str(run), f"run {str(run)[:8]} is stuck", f"See: parlex runs show {str(run)[:8]}")


def _queue_old(scene: Scene) -> Iterator[Finding]:
    """The oldest message of a queue waits longer than ``alert_queue_minutes``."""
    for queue in scene.broker.queues if scene.broker else ():
        if queue.oldest_seconds is not None and queue.oldest_seconds > scene.settings.alert_queue_minutes * 60:
            yield Finding(
                queue.name,
                f"queue {queue.name} is not worked off",
                f"{queue.depth} messages wait, the oldest for {_span(queue.oldest_seconds)}.",
            )


def _budget_exhausted(scene: Scene) -> Iterator[Finding]:
    """A host gives no room, since its budget is spent, it asked us to wait, or it failed too often."""
    for host, left in (scene.budgets or {}).items():
        if left == 0:
            yield Finding(
                host,
                f"no requests left for {host}",
                "Its budget is spent, or it asked us to wait, or it keeps failing.",
            )


def _redis_away(scene: Scene) -> Iterator[Finding]:
    if scene.broker is None:
        yield Finding("redis", "Redis does not answer", "No task can be sent, and no budget kept.")


RULES = (
    Rule("run_failed", "warning", _run_failed, "parlex runs show ID tells why; parlex runs retry ID tries again"),
    Rule("failing", "failure", _failing, "Look whether the source answers, and what changed in its documents."),
    Rule("stale", "failure", _stale, "See: parlex monitor, parlex doctor"),
    Rule("quarantine", "warning", _quarantine, "See: parlex runs show ID of the last runs"),
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
    # A restart takes seconds, and the workers sit it out.
    Rule("redis_away", "failure", _redis_away, "Look whether Redis runs.", patience=lambda _: timedelta(minutes=2)),
)


@dataclass(frozen=True, slots=True)
class _Ended:
    run_id: UUID
    status: str
    errors: Sequence[Any]


def _last_runs(scene: Scene) -> dict[str, list[_Ended]]:
    """The last runs of each job that ended, newest first, but for what says nothing of us."""
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


def _why(run: _Ended) -> str:
    first = str(run.errors[0]) if run.errors else "it names no error"
    return f"Run {str(run.run_id)[:8]}: {first}"


# From findings to rows and messages.


@dataclass(frozen=True, slots=True)
class News:
    """What one check has to tell."""

    opened: tuple[AlertRow, ...] = ()
    grown: tuple[AlertRow, ...] = ()
    lasting: tuple[AlertRow, ...] = ()
    over: tuple[AlertRow, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.opened or self.grown or self.lasting or self.over)


def check(resources: Resources, now: datetime | None = None) -> News:
    """Look at everything, open and close alerts, and send what there is to tell.

    Any number of processes may call it at once: one looks, the others have nothing to tell.
    """
    now = now or datetime.now(UTC)
    to = notify.targets(resources.settings)
    looked_at, budgets = _ask_redis(resources, now)
    with resources.db() as db:
        news = _judge(db, resources.settings, now, looked_at, budgets, tellable=bool(to))
        if news and to:
            notify.put(db, f"alerts {uuid4()}", message(news, now), to, now=now)
    _log(news)
    notify.deliver(resources, to, now=now)
    return news


def lock() -> Any:
    """One process looks at a time, until its commit; true for that one."""
    return func.pg_try_advisory_xact_lock(func.hashtextextended("check alerts", 0))


def _ask_redis(resources: Resources, now: datetime) -> tuple[Broker | None, dict[str, float] | None]:
    settings = resources.settings
    try:
        seen = broker.look(resources.redis, now)
        hosts = [host_of(url) for url in (settings.legisinfo_url, settings.openparliament_url)]
        left = {host: resources.throttle.remaining(host) for host in hosts}
    except (RedisError, Retryable):
        return None, None
    return seen, {host: room for host, room in left.items() if room is not None}


def _judge(
    db: Session,
    settings: Settings,
    now: datetime,
    seen: Broker | None,
    budgets: dict[str, float] | None,
    *,
    tellable: bool,
) -> News:
    if not db.scalar(select(lock())):
        return News()
    scene = Scene(db, now, settings, monitor.statistics(db, now, now), seen, budgets)
    knowing = [rule for rule in RULES if seen is not None or not rule.needs_redis]
    held = {(row.rule, row.subject): row for row in db.scalars(select(AlertRow).where(AlertRow.closed_at.is_(None)))}
    found = {(rule.name, each.subject): (rule, each) for rule in knowing for each in rule.find(scene)}
    for name, (rule, finding) in found.items():
        held[name] = _see(db, held.get(name), rule, finding, now)
    names = {rule.name for rule in RULES} - {rule.name for rule in knowing}  # those know nothing just now
    over = [row for name, row in held.items() if name not in found and row.rule not in names]
    closed = [row for row in over if _quiet(db, row, settings, now)]
    seen_now = [(rule, held[name]) for name, (rule, _) in found.items()]
    return _tell(seen_now, closed, settings, now, tellable=tellable)


def _see(db: Session, row: AlertRow | None, rule: Rule, finding: Finding, now: datetime) -> AlertRow:
    if row is None:
        row = AlertRow(rule=rule.name, subject=finding.subject, since=now, opened_at=None)
        db.add(row)
    row.severity = rule.severity
    row.headline, row.detail, row.level = finding.headline, finding.detail, finding.level
    row.seen_at, row.quiet_since = now, None
    return row


def _quiet(db: Session, row: AlertRow, settings: Settings, now: datetime) -> bool:
    """Whether an alert that is no longer found is over; one that never opened is forgotten."""
    if row.opened_at is None:
        db.delete(row)
        return False
    row.quiet_since = row.quiet_since or now
    if now - row.quiet_since < timedelta(minutes=settings.alert_clear_minutes):
        return False
    row.closed_at = now
    return True


def _tell(
    seen: Iterable[tuple[Rule, AlertRow]],
    closed: Iterable[AlertRow],
    settings: Settings,
    now: datetime,
    *,
    tellable: bool,
) -> News:
    """Open what has lasted for its rule's patience, and choose what is news. Without an address nothing is told, and
    stays to be told when there is one."""
    opened, grown, lasting = [], [], []
    repeat = timedelta(hours=settings.alert_repeat_hours)
    for rule, row in seen:
        if row.opened_at is None and now - row.since >= rule.patience(settings):
            row.opened_at = now
        if row.opened_at is None:
            continue
        if row.told_at is None or row.told_level is None:
            # Without an address it is news for the log, once.
            if tellable or row.opened_at == now:
                opened.append(row)
        elif row.level >= row.told_level + settings.alert_quarantine_growth:
            grown.append(row)
        elif row.level < row.told_level:
            row.told_level = row.level  # growth is counted from the least
        elif now - row.told_at >= repeat:
            lasting.append(row)
    for row in (*opened, *grown, *lasting) if tellable else ():
        row.told_at, row.told_level = now, row.level
    return News(
        tuple(opened), tuple(grown), tuple(lasting), tuple(row for row in closed if row.told_at or not tellable)
    )


def message(news: News, now: datetime) -> Message:
    """One message of all that is news, the worst first."""
    bad = sorted((*news.opened, *news.grown), key=lambda row: row.severity)  # failure before warning
    parts = [_part("", row, now) for row in bad]
    parts += [_part("Still: ", row, now) for row in news.lasting]
    parts += [f"Over: {row.headline} (lasted {_span((now - row.since).total_seconds())})" for row in news.over]
    return Message(_severity(news), _title(bad, news), "\n\n".join(parts))


def _severity(news: News) -> notify.Severity:
    rows = (*news.opened, *news.grown, *news.lasting)
    if not rows:
        return "success"
    return "failure" if any(row.severity == "failure" for row in rows) else "warning"


def _title(bad: Sequence[AlertRow], news: News) -> str:
    if len(bad) == 1:
        return f"Parlex: {bad[0].headline}"
    if bad:
        return f"Parlex: {len(bad)} problems"
    if news.lasting:
        return f"Parlex: still {news.lasting[0].headline}" if len(news.lasting) == 1 else "Parlex: problems that last"
    return (
        f"Parlex: over: {news.over[0].headline}" if len(news.over) == 1 else f"Parlex: {len(news.over)} problems over"
    )


def _part(before: str, row: AlertRow, now: datetime) -> str:
    since = f" (for {_span((now - row.since).total_seconds())})" if now > row.since else ""
    advice = next((rule.advice for rule in RULES if rule.name == row.rule), "")
    return f"{before}{row.headline}{since}\n{row.detail}\n{advice}".rstrip()


def _log(news: News) -> None:
    for row in (*news.opened, *news.grown):
        log.warning("alert", rule=row.rule, subject=row.subject, headline=row.headline, detail=row.detail)
    for row in news.over:
        log.info("alert over", rule=row.rule, subject=row.subject, headline=row.headline)


# For people and housekeeping.


def alerts(db: Session, *, closed: bool = False, limit: int | None = None) -> list[AlertRow]:
    """The open alerts, newest first; with ``closed`` those that are over too."""
    query = select(AlertRow).where(AlertRow.opened_at.is_not(None)).order_by(AlertRow.opened_at.desc(), AlertRow.id)
    if not closed:
        query = query.where(AlertRow.closed_at.is_(None))
    return list(db.scalars(query.limit(limit)))


def prune(db: Session, cutoff: datetime) -> int:
    """Delete alerts that were over before ``cutoff``, and messages as old; how many."""
    gone = db.execute(delete(AlertRow).where(AlertRow.closed_at < cutoff).returning(AlertRow.id)).all()
    return len(gone) + notify.prune(db, cutoff)


class Watch:
    """For a process that watches from outside the schedule: it tells of a silent beat, and of a database that is away.

    Without its database nothing can be written down, so that is told directly, once, and its end too.
    """

    def __init__(self, resources: Resources, patience: timedelta = timedelta(minutes=3)) -> None:
        self._resources = resources
        self._patience = patience
        self._away_since: datetime | None = None
        self.told: set[str] = set()  # the addresses that know of it

    def look(self, now: datetime | None = None) -> bool:
        """Check once; whether the database answered."""
        now = now or datetime.now(UTC)
        try:
            check(self._resources, now)
        except DBAPIError as error:
            reason = type(error.orig).__name__
            log.error("the database does not answer", error=reason)
            self._away_since = self._away_since or now
            if now - self._away_since >= self._patience:
                since = self._away_since.isoformat(timespec="minutes")
                away = Message("failure", "Parlex: the database does not answer", f"Since {since} ({reason}).")
                self._tell(away, lambda target: target not in self.told, self.told.add)
            return False
        self._away_since = None
        back = Message("success", "Parlex: over: the database does not answer", "It answers again.")
        self._tell(back, self.told.__contains__, self.told.discard)
        return True

    def _tell(self, told: Message, wanted: Callable[[str], bool], done: Callable[[str], None]) -> None:
        """What does not arrive is tried again at the next look."""
        to = notify.targets(self._resources.settings)
        for target in filter(wanted, list(to)):
            error = notify.send(to[target], told)
            if error is None:
                done(target)
            else:
                log.warning("retry", what="notification", title=told.title, target=target, error=error)


_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def _span(seconds: float) -> str:
    """``90 s``, ``14 min``, ``5.5 h``."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), (1, "s"))
    return f"{round(seconds / size, 1):g} {unit}" if size > 60 else f"{seconds / size:.0f} {unit}"
