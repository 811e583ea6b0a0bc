"""``parlex doctor``: what is well, what is not, and what to do about it. Changes nothing that lasts.

``findings`` is the whole table of what can be wrong; each other module looks at one part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from datetime import datetime

from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from parlex.db import errors
from parlex.errors import ConfigurationError
from parlex.fetching.throttle import host_of
from parlex.local import embedded
from parlex.local.embedded import Addresses
from parlex.resources import Resources
from parlex.settings import Settings
from parlex.watch import monitor
from parlex.watch.doctor import database, host, mirror, redis_server
from parlex.watch.doctor.clock import Clock
from parlex.watch.doctor.findings import Check, Finding, State, table, well

__all__ = ["Check", "Finding", "State", "WorkersAlive", "examine", "table", "wrong_settings"]

WorkersAlive = Callable[[], Collection[str]]  # the queues that some living worker consumes


def wrong_settings(error: ConfigurationError) -> Check:
    """Where the settings cannot be read, nothing else can be looked at."""
    return Finding.SETTINGS_WRONG.check(str(error))


def examine(
    settings: Settings, queues_alive: WorkersAlive, now: datetime, *, ask_sources: bool = False
) -> Iterator[Check]:
    """Look at everything, in the order in which one thing needs another.

    Embedded servers are joined, or started for as long as the examination takes. ``ask_sources``: also whether
    the sources' hosts take connections.
    """
    clock = Clock(now)
    yield well("settings", "every variable is well formed")
    yield host.contact(settings)
    home = host.home(settings)
    yield home
    if ask_sources:
        yield from host.sources(settings)
    if home.state == "fail" and not host.names_servers(settings):
        return
    yield host.servers(settings)
    try:
        with embedded.servers(settings) as addresses:
            yield from _examine_servers(settings, addresses, queues_alive, clock)
    except ConfigurationError as error:
        yield Finding.SERVERS_NONE.check(str(error))


def _examine_servers(
    settings: Settings, addresses: Addresses, queues_alive: WorkersAlive, clock: Clock
) -> Iterator[Check]:
    readable = answers = watched = False
    for check in database.examine(addresses.database_url, clock):
        readable |= check.name == "database" and check.state == "ok"
        yield check
    with Redis.from_url(
        addresses.redis_url, socket_timeout=redis_server.TIMEOUT, socket_connect_timeout=redis_server.TIMEOUT
    ) as redis:
        for check in redis_server.examine(redis, clock):
            answers |= check.name == "redis" and check.state == "ok"
            yield check
        if answers:
            workers = mirror.workers(queues_alive())
            watched = workers.state == "ok"
            yield workers
            yield from _hosts(settings, redis)
    if readable:
        yield from _examine_mirror(settings, addresses, clock, watched=watched)


def _hosts(settings: Settings, redis: Redis) -> Iterator[Check]:
    try:
        yield from mirror.hosts(redis, map(host_of, (settings.legisinfo_url, settings.openparliament_url)))
    except RedisError as error:
        yield Finding.REDIS_UNUSABLE.check(redis_server.said(redis, error))


def _examine_mirror(settings: Settings, addresses: Addresses, clock: Clock, *, watched: bool) -> Iterator[Check]:
    now = clock.now()
    try:
        with closing(Resources(settings, addresses)) as resources, resources.db() as db:
            overview = monitor.overview(db, now, now, resources.datasets, settings)
            yield from mirror.examine(db, overview, watched=watched)
    except SQLAlchemyError as error:
        yield Finding.DATABASE_UNUSABLE.check(errors.explain(error) or f"it fails: {type(error).__name__}")
