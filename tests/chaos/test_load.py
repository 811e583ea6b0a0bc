"""A hundred thousand messages, and a backfill of everything at once."""

from __future__ import annotations

import json
from random import Random
from uuid import uuid4

import psutil

from parlex.local.locks import wait_until
from parlex.parliament import SessionId
from tests.chaos.site import PREFIX, Site
from tests.chaos.test_messages import take

MESSAGES = 100_000
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
    assert wait_until(site.settled, 120, every=0.1), site.crew_says()
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
    # The tick comes after them, and its run is planned before even a half of them is gone.
    site.tick("load", "2026-11-22T10:00:00+00:00", limit=5)
    planned = "SELECT count(*) FROM fetch_logs WHERE entry = 'load' AND (planned OR status <> 'running')"
    assert wait_until(lambda: bool(site.reader.value(planned)), 120)
    assert site.queued("fetch") > MESSAGES / 2
    assert site.alive()
    used = redis.info("memory")["used_memory"] / MB
    after = {queue: memory(site, queue) for queue in before}
    redis.delete(PREFIX + "fetch")
    assert used < 500, f"{used:.0f} MB for {MESSAGES} messages"
    for queue, mb in after.items():
        assert mb - before[queue] < 100, f"{queue}: {before[queue]:.0f} MB before, {mb:.0f} MB with the queue"
    print(f"broker {used:.0f} MB; workers {before} before, {after} with the queue")


def test_a_backfill_of_all_sessions_does_not_delay_the_hourly_run(site: Site) -> None:
    """By the order of what happened, not by seconds: the tick comes later and is over first."""
    site.begin(Random(1), "new")
    for session in (SessionId(44, 1), SessionId(45, 1)):
        site.backfill(session)
    site.reach(1)
    site.tick("hourly", "2026-11-22T10:00:00+00:00", limit=50)
    assert wait_until(site.settled, 180, every=0.1), site.crew_says()
    ended = site.reader.rows("SELECT coalesce(entry, scope), status FROM fetch_logs ORDER BY finished_at")
    assert {status for _, status in ended} == {"success"}, ended
    names = [name for name, _ in ended]
    assert names.index("hourly") < names.index("45-1"), names
