"""The history by HTTP: pages, filters, waiting, and a copy that stays in step."""

from __future__ import annotations

import json
import random
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from parlex.datasets.dataset import Dataset
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.mirror import history
from parlex.mirror.history import Change
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from tests import looking
from tests.statements import statements
from tests.web.serving import Served, serving

ROOT = Path(__file__).resolve().parents[2]
VALUES = ['é’\u2028"\\\n\t\x01', 1, 1.5, True, None, [1, {"a": "b"}], {"longer": 1, "b": None}, "", "0"]


@pytest.fixture
def server(mirror: Resources) -> Iterator[Served]:
    with serving(mirror) as server:
        yield server


@pytest.fixture
def asking(server: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.address}/api/v1", timeout=60) as client:
        yield client


def say(mirror: Resources, key: str, *, dataset: str = "bills", count: int = 1, value: Any = "x") -> None:
    """Add lines to the history."""
    lines = [Change(key, "changed", "status_en", None, value) for _ in range(count)]
    with mirror.db() as db:
        history.append(db, dataset, lines, now=datetime.now(UTC), run_id=None)


def wait_a_poll(server: Served) -> None:
    """Until the server has looked for news after this."""
    with statements(server.engine) as seen:
        assert wait_until(lambda: sum("mirror.id" in one for one in seen) > 1, 10)


def lines(mirror: Resources, **of: Any) -> list[dict[str, Any]]:
    with mirror.db() as db:
        return [one.as_json() for one in history.changes(db, **of)]


def test_a_line_is_as_the_command_prints_it(mirror: Resources, server: Served, asking: httpx.Client) -> None:
    for key in ("45-1 C-2", "045-1 C-2 x", "45-1 ", "45-1", "mark-carney", "99999999999-1 173", "45-1 a\nb"):
        for value in VALUES:
            say(mirror, key, value=value)
    server.wait_for(mirror)
    told = asking.get("/changes", params={"limit": 5000}).text
    expected = lines(mirror)
    assert json.loads(told)["data"] == expected
    assert list(json.loads(told)["data"][0]) == list(expected[0])
    assert [json.loads(line) for line in asking.get("/changes.ndjson?limit=5000").text.splitlines()] == expected
    assert asking.get("/changes.csv?limit=5000").text.splitlines()[0] == ",".join(expected[0])


def test_a_walk_of_any_limit_has_each_line_once(held: Resources, client: httpx.Client) -> None:
    whole = lines(held)
    for limit in (1000, 97):
        found, address = [], f"/api/v1/changes?limit={limit}"
        while address:
            page = client.get(address).json()
            found += page["data"]
            assert page["next_after"] == found[-1]["seq"]
            address = page["next"]
        assert found == whole


@pytest.mark.parametrize(
    "of",
    [
        {"dataset": "votes"},
        {"session": "44-1"},
        {"key": "45-1 C-2"},
        {"key": "mark-carney"},
        {"dataset": "bills", "session": "45-1"},
        {"dataset": "votes", "key": "45-1 C-2"},
        {"session": "44-1", "key": "45-1 C-2"},
    ],
)
def test_filters_keep_to_what_they_name(held: Resources, client: httpx.Client, of: dict[str, str]) -> None:
    def matches(line: dict[str, Any]) -> bool:
        told = {**line, "session": line["key"].partition(" ")[0]}
        return all(told[name] == value for name, value in of.items())

    whole = lines(held)
    page = client.get("/api/v1/changes", params={**of, "limit": 5000}).json()
    assert page["data"] == [line for line in whole if matches(line)]
    # The number moves to the end of the history, whatever matched.
    assert (page["next"], page["next_after"]) == (None, len(whole))


def test_each_dataset_has_the_history_of_a_record(held: Resources, client: httpx.Client) -> None:
    for path, of in (
        ("bills/45-1/c-2", {"dataset": "bills", "key": "45-1 C-2"}),
        ("votes/45-1/1", {"dataset": "votes", "key": "45-1 1"}),
        ("politicians/mark-carney", {"dataset": "politicians", "key": "mark-carney"}),
    ):
        found = client.get(f"/api/v1/{path}/changes").json()["data"]
        assert found == lines(held, **of)
        assert found
    for path in ("bills/45-1/C-9999", "bills/45-1/X", "votes/45-1/99999", "politicians/nobody"):
        answer = client.get(f"/api/v1/{path}/changes")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path


@pytest.mark.parametrize(
    "query", ["limit=5001", "limit=0", "after=-1", "wait=56", "dataset=x", "session=45", "key=%00", "cursor=1"]
)
def test_a_parameter_out_of_bounds_is_an_error(client: httpx.Client, query: str) -> None:
    assert client.get(f"/api/v1/changes?{query}").status_code == 422


def test_a_number_beyond_the_history_is_of_another_mirror(
    mirror: Resources, server: Served, asking: httpx.Client
) -> None:
    say(mirror, "45-1 C-2", count=3)
    # Also where the server has not heard of the newest lines yet: the history itself decides.
    assert asking.get("/changes?after=3").json() == {"data": [], "next": None, "next_after": 3}
    for accept in ("application/json", "text/event-stream"):
        answer = asking.get("/changes?after=4", headers={"Accept": accept})
        assert (answer.status_code, answer.json()["type"], answer.json()["newest"]) == (409, "other-mirror", 3)


def test_who_waits_a_second_time_waits_too(mirror: Resources, server: Served, asking: httpx.Client) -> None:
    say(mirror, "45-1 C-2")
    server.wait_for(mirror)
    first = asking.get("/changes?after=1&wait=6")  # nothing comes
    with ThreadPoolExecutor(1) as pool:
        address, held = "/changes?after=1&wait=6", {"If-None-Match": first.headers["etag"]}
        second = pool.submit(asking.get, address, headers=held)
        say(mirror, "45-1 C-3")
        assert second.result().json()["next_after"] == 2


def test_a_mirror_that_was_restored_says_so(mirror: Resources, asking: httpx.Client, server: Served) -> None:
    say(mirror, "45-1 C-2", count=3)
    server.wait_for(mirror)
    feed, page = asking.get("/changes.atom"), asking.get("/changes?after=1")
    epoch = page.headers["parlex-epoch"]
    assert asking.get("/status").json()["epoch"] == epoch
    assert asking.get(f"/changes?after=1&epoch={epoch}").json()["next_after"] == 3
    with mirror.db() as db:
        db.execute(text("update mirror set epoch = gen_random_uuid()"))
    assert wait_until(lambda: server.poller.epoch != epoch, 10)
    for accept in ("application/json", "text/event-stream"):
        answer = asking.get(f"/changes?after=1&epoch={epoch}", headers={"Accept": accept})
        assert (answer.status_code, answer.json()["type"]) == (409, "other-mirror")
        assert answer.json()["epoch"] == server.poller.epoch
    # The bodies are tagged anew, and a feed has the same entries for its readers.
    assert asking.get("/changes?after=1", headers={"If-None-Match": page.headers["etag"]}).status_code == 200
    assert asking.get("/changes.atom").text == feed.text


def test_a_page_has_a_tag_that_costs_no_statement(mirror: Resources, server: Served, asking: httpx.Client) -> None:
    say(mirror, "45-1 C-2", count=3)
    server.wait_for(mirror)
    first = asking.get("/changes?after=1&dataset=votes")
    assert (first.json()["next_after"], first.headers["parlex-next-after"]) == (3, "3")
    with statements(server.engine) as seen:
        again = asking.get("/changes?after=1&dataset=votes", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304
        assert not [one for one in seen if "row_to_json" in one]
    say(mirror, "45-1 C-2")
    server.wait_for(mirror)
    again = asking.get("/changes?after=1&dataset=votes", headers={"If-None-Match": first.headers["etag"]})
    assert again.json() == {"data": [], "next": None, "next_after": 4}


@pytest.mark.parametrize("of", ["", "&dataset=votes", "&session=45-1", "&key=45-1 7", "&dataset=votes&session=45-1"])
def test_who_waits_hears_of_what_is_wanted_alone(
    mirror: Resources, server: Served, asking: httpx.Client, of: str
) -> None:
    say(mirror, "44-1 C-2")
    server.wait_for(mirror)
    found: list[Any] = []
    with statements(server.engine) as seen:
        waiting = threading.Thread(target=lambda: found.append(asking.get(f"/changes?after=1&wait=50{of}")))
        waiting.start()
        if of:
            say(mirror, "44-1 C-3")
            server.wait_for(mirror)
            wait_a_poll(server)
            assert not found
            assert not [one for one in seen if "row_to_json" in one]
        say(mirror, "45-1 7", dataset="votes")
        waiting.join(20)
    assert [line["key"] for line in found[0].json()["data"]] == ["45-1 7"]


def test_who_waits_is_answered_in_time_and_when_the_server_ends(mirror: Resources) -> None:
    nothing = {"data": [], "next": None, "next_after": 0}
    with ThreadPoolExecutor(1) as waiter:
        with serving(mirror) as server:
            address = f"{server.address}/api/v1/changes"
            assert httpx.get(f"{address}?wait=1").json() == nothing
            waiting = waiter.submit(httpx.get, f"{address}?wait=55", timeout=60)
            wait_a_poll(server)
            assert not waiting.done()
        assert waiting.result(1).json() == nothing


# A copy.


def replica() -> str:
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    match = re.search(r'```python\n(""".*?replica\.py.*?)```', page, re.S)
    assert match is not None
    return match[1]


def test_a_copy_that_is_killed_at_any_moment_ends_equal(
    sandbox: Sandbox, mirror: Resources, server: Served, asking: httpx.Client, tmp_path: Path
) -> None:
    program, file = tmp_path / "replica.py", tmp_path / "replica.sqlite"
    program.write_text(replica(), encoding="utf-8")
    over = threading.Event()

    def live() -> None:
        days = 0
        while not over.is_set() or days < 25:
            for dataset in ("bills", "votes"):
                alone.run_session(mirror.pipeline, SessionId(45, 1), dataset=dataset)
            alone.run_latest(mirror.pipeline, limit=None, dataset="politicians")
            days += 1
            if not sandbox.advance():
                break

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(program), server.address, str(file)])

    life = threading.Thread(target=live)
    life.start()
    moments = random.Random(45)
    for _ in range(50):
        killed = start()
        with pytest.raises(subprocess.TimeoutExpired):
            killed.wait(moments.uniform(0.05, 1.0))
        killed.kill()
        killed.wait()
    over.set()
    life.join(120)
    assert not life.is_alive()
    last = looking.last_seq(mirror)
    running = start()
    try:
        with closing(sqlite3.connect(file)) as db:
            assert wait_until(lambda: db.execute("select after from cursor").fetchone()[0] == last, 60)
            copied = [json.loads(line) for (line,) in db.execute("select line from changes order by seq")]
            records = {(dataset, key): json.loads(body) for dataset, key, body in db.execute("select * from records")}
    finally:
        running.kill()
        running.wait()
    assert copied == lines(mirror)
    assert [line["seq"] for line in copied] == list(range(1, last + 1))
    for dataset in mirror.datasets.values():
        assert {key for name, key in records if name == dataset.name} == keys(mirror, dataset)
    for (dataset_name, key), body in records.items():
        assert body == asking.get(f"/{dataset_name}/{key.replace(' ', '/')}").json()


def keys(mirror: Resources, dataset: Dataset) -> set[str]:
    return {key for (key,) in looking.rows(mirror, f"SELECT {dataset.key_column} FROM {dataset.table.__tablename__}")}
