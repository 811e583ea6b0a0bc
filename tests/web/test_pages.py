"""A walk over a list while it is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from tests.looking import rows
from tests.web.serving import LAST, serving


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(as_of=LAST, multiply=4) as sandbox:
        yield sandbox


@pytest.mark.parametrize("sort", ["number", "-number", "activity", "-introduced"])
def test_each_row_once_while_a_backfill_writes(mirror: Resources, sort: str) -> None:
    def keys() -> set[str]:
        found = {key for (key,) in rows(mirror, "SELECT key FROM bills")}
        server.wait_for(mirror)
        return found

    with serving(mirror) as server, httpx.Client(base_url=server.address, timeout=30) as client:
        with ThreadPoolExecutor(1) as writer:
            run = writer.submit(alone.run_session, mirror.pipeline, SessionId(45, 1))
            while not run.done():
                assert_whole(client, sort, keys)
            assert run.result().created == 320
        assert len(assert_whole(client, sort, keys)) == 320


def assert_whole(client: httpx.Client, sort: str, keys: Callable[[], set[str]]) -> list[str]:
    """What was there before the walk is in it, and nothing twice."""
    before, found = keys(), list[str]()
    address: str | None = f"/api/v1/bills?limit=20&sort={sort}"
    while address is not None:
        page = client.get(address).raise_for_status().json()
        found += [f"{row['parliament']}-{row['session']} {row['number']}" for row in page["data"]]
        address = page["next"]
    assert len(set(found)) == len(found)
    assert before <= set(found)
    return found
