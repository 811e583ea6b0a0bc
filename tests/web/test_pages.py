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
from tests.rows import bill
from tests.statements import statements
from tests.web.serving import LAST, Served, serving


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


def test_twenty_sessions_are_walked_each_alone_and_together(mirror: Resources) -> None:
    """From long ago to now, and those of two digits, which sort as numbers."""
    sessions = [(37, 1), (37, 2), (37, 3), (38, 1), (39, 1), (39, 2), (40, 1), (40, 2), (40, 3), (41, 1), (41, 2)]
    sessions += [(42, 1), (43, 1), (43, 2), (44, 1), (45, 1), (45, 2), (45, 9), (45, 10), (45, 12)]
    numbers = ["C-1", "C-2", "C-10", "S-2", "S-201"]
    with mirror.db() as db:
        db.add_all(bill(number, parliament=p, session=s) for p, s in sessions for number in numbers)
    with serving(mirror) as server, httpx.Client(base_url=server.address, timeout=30) as client:
        told = client.get("/api/v1/sessions").json()["data"]
        assert [one["session"] for one in told if one["session"]] == [f"{p}-{s}" for p, s in reversed(sessions)]
        for parliament, session in sessions:
            found = walked(client, f"session={parliament}-{session}&limit=2")
            assert found == [f"{parliament}-{session} {number}" for number in numbers]
            own = client.get(f"/api/v1/bills/{parliament}-{session}/C-10").json()
            assert (own["parliament"], own["session"]) == (parliament, session)
        for sort in ("number", "introduced", "activity", "changed"):
            for limit in (7, 100):
                forth, back = (walked(client, f"sort={each}&limit={limit}") for each in (sort, f"-{sort}"))
                assert sorted(forth) == sorted(f"{p}-{s} {number}" for p, s in sessions for number in numbers)
                assert back == forth[::-1]


def test_a_list_in_its_order_is_read_from_an_index(mirror: Resources, client: httpx.Client, served: Served) -> None:
    with statements(served.engine) as sent:
        client.get("/api/v1/bills", params={"session": "45-1", "limit": 23})
    (asked,) = (one for one in sent if "row_to_json" in one)
    order = asked[asked.index("ORDER BY") : asked.index("LIMIT")]
    order = order.replace("%(left_1)s", "1").replace("%(substring_1)s", r"'\d+'")
    with mirror.engine.connect() as db:
        db.exec_driver_sql("set local enable_seqscan = off; set local enable_sort = off")
        where = "parliament = 45 AND session = 1"
        plan = db.exec_driver_sql(f"explain select * from bills where {where} {order} limit 50").scalars().all()
    assert "ix_bills_in_order" in plan[1]


def walked(client: httpx.Client, query: str) -> list[str]:
    found: list[str] = []
    address: str | None = f"/api/v1/bills?{query}"
    while address is not None:
        page = client.get(address).raise_for_status().json()
        found += [f"{row['parliament']}-{row['session']} {row['number']}" for row in page["data"]]
        address = page["next"]
    return found


def assert_whole(client: httpx.Client, sort: str, keys: Callable[[], set[str]]) -> list[str]:
    """What was there before the walk is in it, and nothing twice."""
    before, found = keys(), walked(client, f"limit=20&sort={sort}")
    assert len(set(found)) == len(found)
    assert before <= set(found)
    return found
