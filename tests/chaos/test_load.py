"""A hundred thousand messages, and a backfill of everything at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from uuid import uuid4

import psutil
import pytest

from parlex.local.locks import wait_until
from parlex.parliament import SessionId
from parlex.runs.pipeline import CHUNK, CHUNKS_IN_FLIGHT
from tests.chaos import site as sites
from tests.chaos.conftest import a_home
from tests.chaos.crew import BOUND
from tests.chaos.site import PREFIX, Site
from tests.chaos.test_messages import take

MESSAGES = 100_000
WORKED_ON = 1000  # of them
PATIENT = {"lease_seconds": 300, "resend_after_seconds": 300}  # nobody dies here
LARGE = 24  # copies of each bill: 1,500 of the current session, more than one run may have under way
MB = 1024 * 1024


def memory(site: Site, queue: str) -> float:
    """MB of a worker and its children."""
    processes = [psutil.Process(site.crew[queue].pid), *site.crew[queue].children()]
    return sum(process.memory_info().rss for process in processes) / MB


def test_a_hundred_thousand_waiting_messages(site: Site) -> None:
    """They wait on ``fetch``: neither broker nor workers grow without bound, and ``control`` hears its ticks."""
    site.begin(Random(1), "new")
    site.backfill()
    message = json.loads(take(site, "fetch"))
    assert wait_until(site.reader.settled, BOUND, every=0.1), site.crew_says()
    redis = site.redis()
    before = {queue: memory(site, queue) for queue in ("control", "fetch", "persist")}
    with redis.pipeline(transaction=False) as pipe:
        for number in range(MESSAGES):
            tag = str(uuid4())
            message["headers"]["id"] = message["properties"]["correlation_id"] = str(uuid4())
            message["properties"]["delivery_tag"] = tag
            pipe.lpush(PREFIX + "fetch", json.dumps(message))
            if number % 5000 == 4999:
                pipe.execute()
    # The tick comes after them, and its run is planned while they still wait: nobody takes one meanwhile.
    planned = "SELECT count(*) FROM fetch_logs WHERE entry = 'load' AND (planned OR status <> 'running')"
    with site.crew["fetch"].held():
        waiting = site.queued("fetch")
        site.tick("load", "2026-11-22T10:00:00+00:00", limit=5)
        assert wait_until(lambda: bool(site.reader.value(planned)), BOUND)
        assert wait_until(site.alive, BOUND)
        assert site.queued("fetch") >= waiting > 0
        used = redis.info("memory")["used_memory"] / MB
    # What the workers take while they work on them.
    assert wait_until(lambda: site.queued("fetch") < waiting - WORKED_ON, BOUND)
    after = {queue: memory(site, queue) for queue in before}
    redis.delete(PREFIX + "fetch")
    assert used < 500, f"{used:.0f} MB for {MESSAGES} messages"
    for queue, mb in after.items():
        assert mb - before[queue] < 100, f"{queue}: {before[queue]:.0f} MB before, {mb:.0f} MB with the queue"
    print(f"broker {used:.0f} MB; workers {before} before, {after} with the queue")


@pytest.fixture
def large_site(tmp_path: Path) -> Iterator[Site]:
    with a_home() as home, sites.running(home, tmp_path, copies=LARGE, learns=False, **PATIENT) as large:
        yield large


def test_a_backfill_of_all_sessions_leaves_a_tick_its_room(large_site: Site) -> None:
    """A tick's work waits behind what the backfill has under way, which is bounded, and not behind the rest of it.

    Nobody fetches while both are planned. Then the sources are slow for whatever was not under way: the backfill cannot
    be over before the tick, however fast the machine is.
    """
    site = large_site
    under_way = CHUNK * CHUNKS_IN_FLIGHT
    unsent = "SELECT count(*) FROM run_keys JOIN fetch_logs USING (run_id) WHERE scope = '45-1' AND sent_at IS NULL"
    site.clean()
    planned = "SELECT count(*) FROM fetch_logs WHERE planned"
    with site.crew["fetch"].held():
        for session in (SessionId(44, 1), SessionId(45, 1)):
            site.backfill(session)
        assert wait_until(lambda: site.reader.value(planned) == 2, BOUND), site.crew_says()
        assert wait_until(lambda: site.queued("fetch") > 0, BOUND)
        site.tick("hourly", "2026-11-22T10:00:00+00:00", limit=50)
        assert wait_until(lambda: site.reader.value(planned) == 3, BOUND), site.crew_says()
        listed = site.reader.value("SELECT listed FROM fetch_logs WHERE scope = '45-1' AND entry IS NULL")
        assert site.reader.value(f"{unsent} AND entry IS NULL") == listed - under_way > 0
        site.sandbox.fault("slow", host="legisinfo", path="/bill/45-1/", skip=under_way + 50, seconds=15)
    status = "SELECT status FROM fetch_logs WHERE entry = 'hourly'"
    assert wait_until(lambda: site.reader.value(status) != "running", BOUND), site.crew_says()
    assert site.reader.value(status) == "success"
    assert site.reader.value("SELECT status FROM fetch_logs WHERE scope = '45-1' AND entry IS NULL") == "running"
