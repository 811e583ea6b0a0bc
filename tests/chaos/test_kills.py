"""kill -9 in the middle of a backfill, at random moments, and a deploy."""

from __future__ import annotations

import signal
from functools import partial
from random import Random

import pytest

from parlex.local.locks import wait_until
from tests.chaos.conftest import OTHERS, TRIES
from tests.chaos.crew import BOUND
from tests.chaos.site import Site

VICTIMS = ("fetch", "persist", "beat", "control")


def kill(victim: str, site: Site, random: Random) -> None:
    site.crew[victim].kill(random)


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("number", range(1, TRIES + 1))
def test_kill_9(site: Site, victim: str, number: int) -> None:
    verdict = site.try_fault(f"kill -9 of {victim}", number, partial(kill, victim))
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"


@pytest.mark.parametrize("number", OTHERS)
def test_everything_killed_at_once(site: Site, number: int) -> None:
    def kill_all(site: Site, random: Random) -> None:
        for member in site.crew:
            member.kill_group()

    verdict = site.try_fault("kill -9 of all at once", number, kill_all)
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"


@pytest.mark.parametrize("number", range(1, max(1, TRIES // 5) + 1))
def test_a_deploy_in_mid_run_loses_and_repeats_nothing(site: Site, number: int) -> None:
    """TERM to all: what runs is finished, what waits is put back, and all end with exit code 0."""
    before = {member.name: len(member.exits) for member in site.crew}

    def deploy(site: Site, random: Random) -> None:
        for member in site.crew:
            member.signal(signal.SIGTERM)
        assert wait_until(lambda: all(len(m.exits) > before[m.name] for m in site.crew), BOUND)

    verdict = site.try_fault("deploy (TERM to all)", number, deploy)
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"
    assert {member.name: member.exits[before[member.name]] for member in site.crew} == dict.fromkeys(before, 0)
    repeated = site.reader.rows(
        "SELECT run_id, source, key FROM document_fetches WHERE kind = 'detail' GROUP BY 1, 2, 3 HAVING count(*) > 1"
    )
    assert not repeated
