"""Messages that come twice, late and never; ticks that come twice; and a bill that kills whoever takes it."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from random import Random

import psutil
import psycopg2
import pytest

from parlex.local.locks import wait_until
from tests.chaos.conftest import OTHERS
from tests.chaos.crew import BOUND
from tests.chaos.site import PREFIX, Result, Site, dsn


def take(site: Site, queue: str) -> bytes:
    """The next message of a queue. Its worker is held meanwhile, or it would be quicker."""
    found: list[bytes] = []
    redis = site.redis()

    def taken() -> bool:
        message = redis.lpop(PREFIX + queue)
        if message:
            found.append(message)
        return bool(message)

    with site.crew[queue].held():
        assert wait_until(taken, BOUND), f"no message came to {queue}"
    return found[0]


def twice(site: Site, random: Random) -> None:
    redis = site.redis()
    for _ in range(2):
        queue = random.choice(["fetch", "persist"])
        message = take(site, queue)
        redis.lpush(PREFIX + queue, message, message)


@pytest.mark.parametrize("number", OTHERS)
def test_the_same_message_twice(site: Site, number: int) -> None:
    verdict = site.try_fault("a message delivered twice", number, twice, scenario="new", after=0)
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"


@pytest.mark.parametrize("number", OTHERS)
def test_a_message_that_is_lost(site: Site, number: int) -> None:
    def lose(site: Site, random: Random) -> None:
        for queue in random.sample(["fetch", "persist"], 2):
            take(site, queue)

    verdict = site.try_fault("a message popped and lost", number, lose, scenario="new", after=0)
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"


@pytest.mark.parametrize("number", OTHERS)
def test_a_message_that_comes_when_all_is_over(site: Site, number: int) -> None:
    held: list[bytes] = []

    def hold(site: Site, random: Random) -> None:
        held.append(take(site, "fetch"))

    verdict = site.try_fault("a message delivered late", number, hold, scenario="new", after=0)
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"
    before = site.reader.rows("SELECT * FROM fetch_logs"), site.reader.rows("SELECT * FROM run_keys ORDER BY key")
    task_id = json.loads(held[0])["headers"]["id"]
    site.redis().lpush(PREFIX + "fetch", held[0])
    site.await_task("fetch", task_id)
    assert (site.reader.rows("SELECT * FROM fetch_logs"), site.reader.rows("SELECT * FROM run_keys ORDER BY key")) == (
        before
    )
    assert site.reader.judge(site.right["new"]).clean


@contextmanager
def deadly(site: Site, key: str, state: str, queue: str) -> Iterator[list[int]]:
    """Whoever takes ``key`` is killed. The worker has one process then, so that it is the right one.

    Whoever takes it to save it waits for a lock that is ours, until it is killed: it would be quicker than we are. The
    lock is given up then, since what the server does for the dead would wait for it too.
    """
    killed: list[int] = []
    ending = threading.Event()
    lock = "SELECT pg_advisory{}lock(hashtextextended(%s, 0))"

    def watch() -> None:
        link = psycopg2.connect(dsn(site.addresses.database_url), application_name="chaos")
        link.autocommit = True
        done = set()
        try:
            with link.cursor() as cursor:
                cursor.execute(lock.format("_"), (f"bills {key}",))
                while not ending.wait(0.003):
                    cursor.execute("SELECT lease_until FROM run_keys WHERE key = %s AND state = %s", (key, state))
                    claim = cursor.fetchone()
                    if claim and claim not in done:
                        done.add(claim)
                        killed.extend(_kill(site.crew[queue].children()))
                        cursor.execute(lock.format("_un"), (f"bills {key}",))
                        cursor.execute(lock.format("_"), (f"bills {key}",))
        finally:
            link.close()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        ending.set()
        thread.join()


def _kill(children: list[psutil.Process]) -> list[int]:
    killed = []
    for child in children:
        try:
            child.send_signal(signal.SIGKILL)
            child.wait(timeout=BOUND)
            killed.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return killed


@pytest.mark.parametrize("number", OTHERS)
@pytest.mark.parametrize(("state", "queue"), [("fetching", "fetch"), ("persisting", "persist")])
def test_a_bill_that_kills_its_worker_is_given_up_alone(site: Site, state: str, queue: str, number: int) -> None:
    """Its claim is visible in the database before its worker asks for it: that is when the worker is killed."""
    name = f"a bill that kills its {queue} worker"
    random = Random(f"{name} {number}")
    site.crew.hire_worker(queue, 1)
    site.clean()
    key = random.choice(sorted(site.right["new"].bills))

    def slow() -> None:
        """Whoever asks for it waits until it is killed."""
        path = rf"/bill/{key.lower().replace(' ', '/')}/"
        site.sandbox.fault("slow", host="legisinfo", path=path, first=3, seconds=15)

    try:
        with deadly(site, key, state, queue) as killed:
            verdict = site.try_fault(
                name,
                number,
                lambda site, random: None,
                scenario="new",
                after=0,
                may_fail=frozenset({key}),
                prepare=slow if state == "fetching" else lambda: None,
            )
    finally:
        site.crew.hire_worker(queue)
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"
    (story,) = site.reader.rows("SELECT state, outcome, error FROM run_keys WHERE key = %s", key)
    assert story == ("failed", "failed", "given up: 3 workers died over it")
    assert site.reader.value("SELECT status FROM fetch_logs") == "partial"
    assert len(killed) == 3


def test_two_beats_at_once(site: Site) -> None:
    """Two real ones with a schedule that is due each minute."""
    site.begin(Random(1), "new")
    beats = ("first-beat", "second-beat")
    for name in beats:
        site.crew.hire_beat(name, "tests.chaos.every_minute")
    ticks = "SELECT count(*), count(DISTINCT slot) FROM fetch_logs WHERE entry = 'every-minute'"

    def sent(name: str) -> int:
        return site.crew[name].said().count("Sending due task every-minute")

    try:
        assert wait_until(lambda: min(map(sent, beats)) >= 2, BOUND, every=0.5), site.crew_says()
    finally:
        site.crew.dismiss(*beats)
    at = time.monotonic()
    site.backfill()  # of what the ticks left; its message comes after theirs
    over = "SELECT count(*) FROM fetch_logs WHERE job = 'fetch_session_bills' AND status <> 'running'"
    assert wait_until(lambda: site.reader.value(over) == 1 and site.reader.settled(), BOUND), site.crew_says()
    runs, slots = site.reader.rows(ticks)[0]
    assert runs == slots >= 2
    verdict = site.reader.judge(site.right["new"])
    site.report(Result("two beats at once", 1, "", seconds=round(time.monotonic() - at, 1), **asdict(verdict)))
    assert verdict.clean, verdict
