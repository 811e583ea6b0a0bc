"""Redis and PostgreSQL stopped, emptied, frozen, cut off, full and locked in the middle of a backfill.

The workers and beat live through it all: they connect again on their own, without whoever would start them again. What
is slept here is the length of a fault, which is part of it, or the random time between two.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from random import Random

import psycopg2
import pytest

from parlex.local.locks import wait_until
from tests.chaos.conftest import OTHERS
from tests.chaos.crew import BOUND
from tests.chaos.site import Site, dsn

OURS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'parlex'"  # connections of workers and beat


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


def redis_frozen_at_the_end(site: Site, random: Random) -> None:
    """A worker ends a task that needs no Redis while it is frozen, until the acknowledgement has failed, or for a
    minute: what else the worker has to say to Redis may come first, and each time it waits for 20 s."""
    control = site.crew["control"]

    def lost() -> int:
        return control.said().count("Connection to broker lost")

    with (
        site.crew["beat"].held(),
        closing(psycopg2.connect(dsn(site.addresses.database_url), application_name="chaos")) as link,
    ):
        without_result = partial(site.send, "parlex.prune", "control", headers={"ignore_result": True})
        site.await_task("control", without_result())  # whatever was sent before it is done too
        link.cursor().execute("LOCK TABLE fetch_logs")
        # A worker takes one message for each of its processes: where the second waits, the first is in hand.
        sent = [without_result() for _ in range(3)]
        assert wait_until(lambda: 0 < site.queued("control") < len(sent), BOUND), "no task came to the table"
        before, pid = lost(), site.redis_pid()
        os.kill(pid, signal.SIGSTOP)
        try:
            link.rollback()
            wait_until(lambda: lost() > before, 60.0)
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
    before = site.proxy.swallowed
    site.proxy.freeze()
    assert wait_until(lambda: site.proxy.swallowed > before, BOUND), "nothing was lost, so nothing was tried"


def postgres_restarted(site: Site, random: Random) -> None:
    site.stop_postgres(random.choice([signal.SIGINT, signal.SIGQUIT]))


def postgres_crashes(site: Site, random: Random) -> None:
    """One of its own processes is killed: it drops all connections and recovers."""
    assert wait_until(lambda: bool(site.reader.rows(OURS)), BOUND)
    os.kill(random.choice(site.reader.rows(OURS))[0], signal.SIGKILL)


def postgres_cuts_all(times: int, site: Site, random: Random) -> None:
    for _ in range(times):
        assert wait_until(lambda: bool(site.reader.rows(f"SELECT pg_terminate_backend(pid) FROM ({OURS}) o")), BOUND)
        time.sleep(random.uniform(0.1, 0.5))


def disk_full(seconds: float, site: Site, random: Random) -> None:
    """Not the disk, which :mod:`.test_disk` fills: a trigger raises the error of a full one for each row of a table."""
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
        waiting = f"{OURS} AND wait_event_type = 'Lock'"
        assert wait_until(lambda: bool(site.reader.rows(waiting)), BOUND), "nobody came to the table"
        time.sleep(seconds)


LONG: dict[str, Callable[[Site, Random], object]] = {
    "Redis away for 30 s": partial(redis_away, 30.0),
    "Redis restarted empty": redis_emptied,
    "Redis frozen for 30 s": partial(redis_frozen, 30.0),
    "Redis frozen as tasks end": redis_frozen_at_the_end,
    "Redis paused for 10 s": partial(redis_paused, 10.0),
    "Redis cuts all connections": redis_cuts_all,
    "half-open connections to Redis": route_lost,
    "PostgreSQL restarted": postgres_restarted,
    "PostgreSQL backend killed": postgres_crashes,
    "PostgreSQL cuts all connections": partial(postgres_cuts_all, 1),
    "PostgreSQL cuts all connections, eight times": partial(postgres_cuts_all, 8),
    "PostgreSQL finds no room for 20 s": partial(disk_full, 20.0),
    "a table locked for 60 s": partial(locked, 60.0),
}


@pytest.mark.parametrize("fault", LONG)
@pytest.mark.parametrize("number", OTHERS)
def test_servers(site: Site, fault: str, number: int) -> None:
    verdict = site.try_fault(fault, number, LONG[fault], stays=True)
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"
