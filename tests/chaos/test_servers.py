"""Redis and PostgreSQL stopped, emptied, frozen, cut off, full and locked in the middle of a backfill.

The workers and beat live through it all: they connect again on their own, without whoever would start them again.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from random import Random

import psycopg2
import pytest

from tests.chaos.conftest import TRIES
from tests.chaos.site import Site, dsn

OTHERS = range(1, max(1, TRIES // 10) + 1)


def redis_away(seconds: float, site: Site, random: Random) -> None:
    site.stop_redis()
    time.sleep(seconds)


def redis_emptied(site: Site, random: Random) -> None:
    site.redis().flushall()
    site.stop_redis()


def redis_frozen(seconds: float, site: Site, random: Random) -> None:
    """It takes connections and answers nothing, as a host that swaps does."""
    pid = site.redis_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def redis_paused(seconds: float, site: Site, random: Random) -> None:
    site.redis().client_pause(round(seconds * 1000))
    time.sleep(seconds)


def redis_cuts_all(site: Site, random: Random) -> None:
    for kind in ("normal", "pubsub"):
        site.redis().client_kill_filter(_type=kind, skipme=True)


def route_lost(site: Site, random: Random) -> None:
    """Half-open connections: Redis pops a message for a worker, and neither learns that it never arrived."""
    site.proxy.freeze()
    time.sleep(2)


def postgres_restarted(site: Site, random: Random) -> None:
    site.stop_postgres(random.choice([signal.SIGINT, signal.SIGQUIT]))


def postgres_crashes(site: Site, random: Random) -> None:
    """One of its own processes is killed: it drops all connections and recovers."""
    pid = site.reader.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'parlex' LIMIT 1")
    os.kill(pid, signal.SIGKILL)


def postgres_cuts_all(times: int, site: Site, random: Random) -> None:
    for _ in range(times):
        with suppress(psycopg2.OperationalError):
            site.reader.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'parlex'")
        time.sleep(random.uniform(0.1, 0.5))


def disk_full(seconds: float, site: Site, random: Random) -> None:
    """Not the disk: a trigger raises the error that a full one gives, for every row of a table."""
    table = random.choice(["bills", "documents", "changes"])
    site.reader.rows(
        "CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
        " 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$"
    )
    site.reader.rows(f"CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION no_room()")
    try:
        time.sleep(seconds)
    finally:
        site.reader.rows(f"DROP TRIGGER no_room ON {table}")


def locked(seconds: float, site: Site, random: Random) -> None:
    with closing(psycopg2.connect(dsn(site.addresses.database_url), application_name="chaos")) as link:
        link.cursor().execute(f"LOCK TABLE {random.choice(['bills', 'changes', 'documents'])}")
        time.sleep(seconds)


LONG: dict[str, Callable[[Site, Random], object]] = {
    "Redis away for 30 s": partial(redis_away, 30.0),
    "Redis restarted empty": redis_emptied,
    "Redis frozen for 30 s": partial(redis_frozen, 30.0),
    "Redis paused for 10 s": partial(redis_paused, 10.0),
    "Redis cuts all connections": redis_cuts_all,
    "half-open connections to Redis": route_lost,
    "PostgreSQL restarted": postgres_restarted,
    "PostgreSQL backend killed": postgres_crashes,
    "PostgreSQL cuts all connections": partial(postgres_cuts_all, 1),
    "PostgreSQL cuts all connections, eight times": partial(postgres_cuts_all, 8),
    "disk full for 20 s": partial(disk_full, 20.0),
    "a table locked for 60 s": partial(locked, 60.0),
}


@pytest.mark.parametrize("number", OTHERS)
@pytest.mark.parametrize("fault", LONG)
def test_servers(site: Site, fault: str, number: int) -> None:
    verdict = site.try_fault(fault, number, LONG[fault], stays=True)
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"
    if "half-open" in fault:
        assert site.proxy.swallowed, "nothing was lost, so nothing was tried"
