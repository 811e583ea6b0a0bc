"""The short form: what is tried in every run of the tests, within two minutes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from parlex.local.locks import wait_until
from tests.chaos.crew import BOUND
from tests.chaos.site import Site
from tests.chaos.test_kills import kill
from tests.chaos.test_messages import twice
from tests.chaos.test_servers import postgres_restarted, redis_away, redis_emptied, redis_frozen_at_the_end

pytestmark = pytest.mark.chaos_short

SHORT: dict[str, Callable[[Site, Random], object]] = {
    "Redis away for 5 s": partial(redis_away, 5.0),
    "Redis restarted empty": redis_emptied,
    "Redis frozen as tasks end": redis_frozen_at_the_end,
    "PostgreSQL restarted": postgres_restarted,
}


@pytest.mark.parametrize("victim", ["fetch", "persist"])
def test_a_killed_worker_loses_nothing(site: Site, victim: str) -> None:
    verdict = site.try_fault(f"kill -9 of {victim}", 0, partial(kill, victim))
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"


@pytest.mark.parametrize("fault", SHORT)
def test_a_server_that_goes_and_comes_back(site: Site, fault: str) -> None:
    verdict = site.try_fault(fault, 0, SHORT[fault], stays=True)
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"


def test_a_message_that_comes_twice(site: Site) -> None:
    verdict = site.try_fault("a message delivered twice", 0, twice, scenario="new", after=0)
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"


def test_two_beats_send_one_tick(site: Site) -> None:
    """The same tick twice at the same moment, as two beats send it, is one run."""
    site.begin(Random(1), "new")
    slot = "2026-11-22T10:00:00+00:00"
    for task_id in [site.tick("chaos", slot, limit=20) for _ in range(4)]:
        site.await_task("control", task_id)
    assert wait_until(site.reader.settled, BOUND, every=0.1), site.crew_says()
    assert site.reader.rows("SELECT status, created, slot::text FROM fetch_logs WHERE entry = 'chaos'") == [
        ("success", 20, "2026-11-22 10:00:00+00")
    ]
