"""``parlex doctor``: what is well, what is not, and what to do about it. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from parlex.db import migrate
from parlex.db.engine import build_engine
from parlex.errors import ConfigurationError
from parlex.local import embedded
from parlex.local.embedded import Addresses
from parlex.runs.queues import QUEUES
from parlex.settings import Settings
from parlex.watch import monitor

State = Literal["ok", "warn", "fail"]
WorkersAlive = Callable[[], Collection[str]]  # the queues that some living worker consumes

_TIMEOUT = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``advice`` is what to do where it is not well."""

    name: str
    state: State
    found: str
    advice: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def examine(settings: Settings, queues_alive: WorkersAlive, now: datetime) -> Iterator[Check]:
    """Look at everything, in the order in which one thing needs another.

    Embedded servers are joined, or started for as long as the examination takes.
    """
    yield Check("settings", "ok", "every variable is well formed")
    yield _contact(settings)
    yield _servers(settings)
    try:
        with embedded.servers(settings) as addresses:
            yield from _examine_servers(addresses, queues_alive, now)
    except ConfigurationError as error:
        yield Check("servers", "fail", str(error), "set DATABASE_URL and REDIS_URL to servers of yours")


def _examine_servers(addresses: Addresses, queues_alive: WorkersAlive, now: datetime) -> Iterator[Check]:
    schema = _schema(addresses.database_url)
    broker = _redis(addresses.redis_url)
    yield schema
    yield broker
    workers = _workers(queues_alive()) if broker.state == "ok" else None
    if workers:
        yield workers
    if schema.state == "ok":
        yield from _mirror(addresses.database_url, now, watched=workers is not None and workers.state == "ok")


def _contact(settings: Settings) -> Check:
    try:
        settings.require_contact()
    except ConfigurationError as error:
        return Check("contact", "fail", "PARLEX_CONTACT is not set", str(error))
    said = "the sources learn whom to write to" if settings.contact else "not needed: the public sites are not asked"
    return Check("contact", "ok", said)


def _servers(settings: Settings) -> Check:
    if settings.database_url and settings.redis_url:
        return Check("servers", "ok", "DATABASE_URL and REDIS_URL name them")
    if embedded.running(settings.home):
        return Check("servers", "ok", f"embedded ones run in {settings.home}")
    return Check("servers", "ok", "nothing is running; embedded ones are started while they are needed")


def _schema(database_url: str) -> Check:
    try:
        found, head = migrate.current(database_url), migrate.head()
    except SQLAlchemyError:
        return Check("database", "fail", "it does not answer", "start it, or mend DATABASE_URL")
    if found is None:
        return Check("database", "warn", "it answers, and has no tables yet", "the first fetch makes them")
    if found != head:
        return Check(
            "database", "fail", f"its schema is at {found}, this Parlex needs {head}", "run: parlex db upgrade"
        )
    return Check("database", "ok", f"it answers; schema at {head}, the newest")


def _redis(redis_url: str) -> Check:
    try:
        with Redis.from_url(redis_url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT) as redis:
            redis.ping()
            policy = redis.config_get("maxmemory-policy").get("maxmemory-policy", "noeviction")
    except RedisError:
        return Check("redis", "fail", "it does not answer", "start it, or mend REDIS_URL")
    if policy != "noeviction":
        return Check(
            "redis", "warn", f"it may evict queues ({policy})", "set maxmemory-policy noeviction on the server"
        )
    return Check("redis", "ok", "it answers")


def _workers(alive: Collection[str]) -> Check:
    missing = sorted(set(QUEUES) - set(alive))
    if not alive:
        return Check("workers", "warn", "nothing is running: no worker answers", "run: parlex up")
    if missing:
        return Check(
            "workers", "fail", f"no worker for {', '.join(missing)}", "start them: parlex up, or see the Procfile"
        )
    return Check("workers", "ok", f"each queue has a worker: {', '.join(sorted(QUEUES))}")


def _mirror(database_url: str, now: datetime, *, watched: bool) -> Iterator[Check]:
    """Silence is a failure where workers live (``watched``), and news where nothing is meant to run."""
    bad: State = "fail" if watched else "warn"
    engine = build_engine(database_url)
    try:
        with Session(engine) as db:
            report = monitor.statistics(db, now, now)
    finally:
        engine.dispose()
    yield _beat(report, bad)
    yield _freshness(report, bad)
    if report.stuck_runs:
        yield Check("runs", "fail", f"{len(report.stuck_runs)} stuck", "see: parlex monitor")
    if report.quarantined:
        yield Check(
            "quarantine", "warn", f"{report.quarantined} to look at", "see: parlex runs show ID of the last runs"
        )


def _beat(report: monitor.Report, bad: State) -> Check:
    age = report.beat_age_seconds
    if age is None:
        return Check("beat", bad, "it was never seen: nothing is scheduled", "run: parlex up")
    if age > monitor.BEAT_SILENT_AFTER.total_seconds():
        return Check("beat", bad, f"it was last seen {age / 60:.0f} min ago", "run: parlex up")
    return Check("beat", "ok", f"it was seen {max(age, 0):.0f} s ago")


def _freshness(report: monitor.Report, bad: State) -> Check:
    age = report.freshness_seconds
    if age is None:
        return Check("freshness", "warn", "the current session was never listed", "run: parlex fetch")
    said = f"session {report.current_session} was last listed {age / 60:.0f} min ago"
    if age > monitor.STALE_AFTER.total_seconds():
        return Check("freshness", bad, said, "see: parlex runs")
    return Check("freshness", "ok", said)
