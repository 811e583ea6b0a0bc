"""Alerts: what a person is told of without asking. Opened once, repeated sparingly, closed with an all-clear.

What a rule of ``rules.py`` finds becomes a row of ``alerts``, and a message when it opens, when it grows, when it has
lasted for ``alert_repeat_hours``, and when it has been over for ``alert_clear_minutes``. All that one check has to say
goes into one message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import structlog
from redis.exceptions import RedisError
from sqlalchemy import delete, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from parlex.answers import counted, span
from parlex.db import outbox
from parlex.db.errors import explain
from parlex.db.models import AlertRow, NotificationRow
from parlex.errors import Retryable
from parlex.fetching import throttle
from parlex.fetching.throttle import host_of
from parlex.resources import Resources
from parlex.settings import Settings
from parlex.watch import broker, monitor, notify
from parlex.watch.broker import Broker
from parlex.watch.notify import Message
from parlex.watch.rules import RULES, Finding, Rule, Scene

log = structlog.get_logger(__name__)

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
    asked = _ask_redis(resources, now)
    with resources.db() as db:
        news = _judge(db, resources, now, asked, tellable=bool(to))
        if news and to:
            notify.put(db, f"alerts {uuid4()}", message(news, now), to, now=now)
    _log(news)
    notify.deliver(resources, to, now=now)
    return news


def lock() -> Any:
    """One process looks at a time, until its commit; true for that one."""
    return func.pg_try_advisory_xact_lock(func.hashtextextended("check alerts", 0))


@dataclass(frozen=True, slots=True)
class _Asked:
    """What Redis says; see :class:`Scene`."""

    broker: Broker | None = None
    budgets: Mapping[str, float] | None = None
    waits: Mapping[str, float] | None = None


def _ask_redis(resources: Resources, now: datetime) -> _Asked:
    settings = resources.settings
    try:
        seen = broker.look(resources.redis, now)
        hosts = [host_of(url) for url in (settings.legisinfo_url, settings.openparliament_url)]
        left = {host: resources.throttle.remaining(host) for host in hosts}
        waits = {host: throttle.pause(resources.redis, host).blocked for host in hosts}
    except (RedisError, Retryable):
        return _Asked()
    return _Asked(seen, {host: room for host, room in left.items() if room is not None}, waits)


def _judge(
    db: Session,
    resources: Resources,
    now: datetime,
    asked: _Asked,
    *,
    tellable: bool,
) -> News:
    if not db.scalar(select(lock())):
        return News()
    settings = resources.settings
    overview = monitor.overview(db, now, now, resources.datasets, settings)
    scene = Scene(db, now, settings, overview, asked.broker, asked.budgets, asked.waits)
    knowing = [rule for rule in RULES if asked.broker is not None or not rule.needs_redis]
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
        elif rule.repeats and now - row.told_at >= repeat:
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
    parts += [f"Over: {row.headline} (lasted {span((now - row.since).total_seconds())})" for row in news.over]
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
        return f"Parlex: {counted(len(bad), 'problem')}"
    if news.lasting:
        return f"Parlex: still {news.lasting[0].headline}" if len(news.lasting) == 1 else "Parlex: problems that last"
    over = news.over[0].headline if len(news.over) == 1 else None
    return f"Parlex: over: {over}" if over else f"Parlex: {counted(len(news.over), 'problem')} over"


def _part(before: str, row: AlertRow, now: datetime) -> str:
    since = f" (for {span((now - row.since).total_seconds())})" if now > row.since else ""
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
    return len(gone) + outbox.prune(db, NotificationRow, cutoff)


class Watch:
    """For a process that watches from outside the schedule: it tells of a silent beat, and of a database that is away
    or read-only.

    Then nothing can be written down, so that is told directly, once, and its end too.
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
            reason = explain(error) or type(error.orig).__name__
            log.error("the database cannot be used", error=reason)
            self._away_since = self._away_since or now
            if now - self._away_since >= self._patience:
                since = self._away_since.isoformat(timespec="minutes")
                told = Message("failure", "Parlex: the database cannot be used", f"Since {since}: {reason}.")
                self._tell(told, lambda target: target not in self.told, self.told.add)
            return False
        self._away_since = None
        back = Message("success", "Parlex: over: the database cannot be used", "It can be used again.")
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
