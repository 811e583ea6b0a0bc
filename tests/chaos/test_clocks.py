"""Hosts whose clocks are apart: the workers' are moved by libfaketime, the database's is right.

The monotonic clock is not moved: it runs on every host as it should.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.chaos.conftest import OTHERS
from tests.chaos.site import Site
from tests.chaos.test_kills import kill

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is missing (Debian's package of that name)")

# By how much the clock of each queue's worker is wrong.
APART = {
    "control is ahead": {"control": "+5m", "fetch": "-10m", "persist": "-45s"},
    "control is behind": {"control": "-5m", "fetch": "+10m", "persist": "+45s"},
}


@pytest.fixture(params=APART)
def apart(request: pytest.FixtureRequest, site: Site) -> Iterator[str]:
    """A crew of hosts whose clocks are apart."""
    for queue, wrong in APART[request.param].items():
        site.crew.hire_worker(queue, LD_PRELOAD=str(LIBRARY), FAKETIME=wrong, FAKETIME_DONT_FAKE_MONOTONIC="1")
    try:
        yield request.param
    finally:
        for queue in APART[request.param]:
            site.crew.hire_worker(queue)


@pytest.mark.parametrize("number", OTHERS)
@pytest.mark.parametrize("victim", ["fetch", "persist"])
def test_a_worker_is_killed_where_clocks_are_apart(site: Site, apart: str, victim: str, number: int) -> None:
    """Its lease ends, what is due is due, and no message expires on the way."""
    verdict = site.try_fault(f"clocks apart, and kill -9 of {victim}", number, partial(kill, victim))
    assert verdict.clean, f"{verdict}\n{site.crew_says()}"
    assert site.reader.value("SELECT count(*) FROM heartbeats WHERE seen_at > now()") == 0
