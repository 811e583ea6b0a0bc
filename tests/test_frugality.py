"""What a run may cost, counted: requests at the sources, statements, rows written, messages. Never timed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event, text

from parlex.db.models import Base
from parlex.local.sandbox import Sandbox
from parlex.local.sandbox.sample import RECORDED
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone, asking, pipeline
from parlex.runs.fetch_logs import Figures
from parlex.settings import environment
from tests.looking import let_pass

CURRENT = SessionId(45, 1)


@contextmanager
def counted(mirror: Resources) -> Iterator[list[str]]:
    """The statements that go to PostgreSQL, round trip by round trip: one that is sent for each row counts each."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        # The rows of a list are sent one by one; else they stand in the statement already.
        sent.extend([statement] * (len(parameters) if many and isinstance(parameters, list) else 1))

    event.listen(mirror.engine, "before_cursor_execute", note)
    yield sent
    event.remove(mirror.engine, "before_cursor_execute", note)


def requests(sandbox: Sandbox) -> int:
    return sum(int(host["requests"]) for host in sandbox.stats().values())


def hourly(sandbox: Sandbox, mirror: Resources) -> tuple[Figures, int]:
    """A run as beat's hourly tick makes it, and how many requests it made."""
    sandbox.reset()
    figures = alone.run_latest(mirror.pipeline, limit=50)
    return figures, requests(sandbox)


def written(mirror: Resources, table: str) -> set[tuple[Any, ...]]:
    """The rows of a table with the transactions that wrote them: a row written again, even as it was, differs."""
    with mirror.db() as db:
        return {tuple(row) for row in db.execute(text(f"SELECT xmin::text, md5({table}::text) FROM {table}"))}


def test_an_hourly_run_asks_once_and_writes_no_bill_when_nothing_changed(sandbox: Sandbox, mirror: Resources) -> None:
    alone.run_latest(mirror.pipeline, limit=1000)
    before = {table: written(mirror, table) for table in ("bills", "bill_stages", "listings", "latest_documents")}
    figures, asked = hourly(sandbox, mirror)
    assert (figures.status, figures.bills_fetched, asked) == ("success", 0, 1)
    assert {table: written(mirror, table) for table in before} == before


def test_an_hourly_run_asks_once_for_each_changed_bill_at_most(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.move("2025-11-01")
    alone.run_latest(mirror.pipeline, limit=1000)
    seen = []
    for to in ("2025-11-20", "2025-12-05", RECORDED):
        sandbox.move(to)
        figures, asked = hourly(sandbox, mirror)
        changed = figures.created + figures.updated
        assert figures.unchanged == 0, "only what changed was asked for"
        assert asked <= 1 + changed
        seen.append(changed)
    assert max(seen) > 1


def test_the_companion_is_listed_once_a_day(sandbox: Sandbox, mirror: Resources) -> None:
    alone.run_latest(mirror.pipeline, limit=1000)
    assert hourly(sandbox, mirror)[1] == 1
    let_pass(mirror, hours=25)
    assert hourly(sandbox, mirror)[1] == 2
    assert hourly(sandbox, mirror)[1] == 1


def test_what_a_validator_covers_is_not_sent_again(make_resources: Callable[..., Resources]) -> None:
    with Sandbox(etag=True) as sandbox:
        mirror = make_resources(legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url)
        first = alone.run_session(mirror.pipeline, CURRENT)
        whole = sum(host["bytes"] for host in sandbox.stats().values())
        sandbox.reset()
        let_pass(mirror, days=8)
        again = alone.run_latest(mirror.pipeline, limit=1000, recheck_after_days=7)
        statuses = {name: host["statuses"] for name, host in sandbox.stats().items()}
    assert (again.bills_fetched, again.unchanged) == (first.created, first.created)
    assert statuses["legisinfo"] == {"200": 1, "304": first.created}, "the list anew, each detail not modified"
    with mirror.db() as db:
        received = db.scalar(text("SELECT bytes FROM fetch_logs ORDER BY started_at DESC LIMIT 1"))
    assert received < whole / 2


@pytest.fixture
def wide(make_resources: Callable[..., Resources]) -> Iterator[Resources]:
    """A mirror of a session that is larger than a chunk."""
    with Sandbox(multiply=3) as sandbox:
        yield make_resources(legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url)


def steps(mirror: Resources, size: int) -> tuple[list[str], list[str]]:
    """The statements that fetching and persisting ``size`` new bills, at most a slice, take."""
    run = mirror.pipeline.open_run(mirror.pipeline.session_request(CURRENT, size)).run
    mirror.pipeline.plan(run)
    keys = mirror.pipeline.take_chunk(run)
    assert len(keys) == size
    with counted(mirror) as fetching:
        report = mirror.pipeline.fetch(run, keys)
    assert len(report.persist) == size
    with counted(mirror) as persisting:
        mirror.pipeline.persist(run, report.persist)
    assert mirror.pipeline.close_if_complete(run) is not None
    return fetching, persisting


def test_the_statements_of_a_slice_do_not_grow_with_it(wide: Resources) -> None:
    few_fetching, few_persisting = steps(wide, 5)
    fetching, persisting = steps(wide, asking.SLICE)
    assert len(fetching) <= len(few_fetching)
    assert len(persisting) <= len(few_persisting)
    assert len(fetching) + len(persisting) < 50


def test_planning_does_not_read_bill_by_bill(sandbox: Sandbox, mirror: Resources) -> None:
    with counted(mirror) as first:
        mirror.pipeline.plan(mirror.pipeline.open_run(mirror.pipeline.session_request(CURRENT)).run)
    assert len(first) < 40


def test_a_list_that_did_not_move_is_compared_with_one_reading_of_the_lines(mirror: Resources) -> None:
    alone.run_latest(mirror.pipeline, limit=1000)
    with counted(mirror) as sent:
        alone.run_latest(mirror.pipeline, limit=50)
    assert len(sent) <= 42
    # Besides, the keys alone are read once to say what the list has against what the mirror holds.
    assert sum("listings.facts" in one for one in sent) == 1
    assert not any(one.startswith("UPDATE quarantine") for one in sent), "nothing is parked that could be settled"


# Runs every message of a backfill in this process, and prints them as they were on the broker.
CARRY = """
import json
from workers import tasks
from workers.app import app

def waiting(queue):
    message = channel.basic_get(queue, no_ack=True)
    while message:
        yield json.loads(message.body), len(message.body)
        message = channel.basic_get(queue, no_ack=True)

sent = []
tasks.fetch_session_bills.apply(args=(45, 1))
with app.connection_for_write() as connection:
    channel = connection.default_channel
    moved = True
    while moved:
        moved = False
        for queue, task in (("fetch", tasks.fetch_bills), ("persist", tasks.persist_bills)):
            for (args, kwargs, options), size in list(waiting(queue)):
                moved = True
                sent.append([queue, args, kwargs, size])
                task.apply(args=args, kwargs=kwargs, throw=True)
print(json.dumps(sent))
"""


@pytest.mark.live
def test_messages_carry_keys_and_nothing_else(wide: Resources) -> None:
    shown = os.environ | environment(wide.settings)
    done = subprocess.run([sys.executable, "-c", CARRY], env=shown, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout.splitlines()[-1])
    with wide.db() as db:
        keys = set(db.scalars(text("SELECT key FROM run_keys")))
        assert set(db.scalars(text("SELECT status FROM fetch_logs"))) == {"success"}
    assert len(keys) > pipeline.SMALLEST_CHUNK, "more than one message could carry"
    for queue, most in (("fetch", pipeline.SMALLEST_CHUNK), ("persist", asking.SLICE)):
        messages = [args for name, args, _, _ in sent if name == queue]
        assert len(messages) <= -(-len(keys) // most) + 1, "one message a chunk, one a slice"
        assert sorted(key for _, carried in messages for key in carried) == sorted(keys), "each key once"
    assert all(len(args) == 2 and kwargs == {} for _, args, kwargs, _ in sent), "a run and its keys"
    assert all(size < 400 + 16 * len(args[1]) for _, args, _, size in sent), "a dozen letters a key"


def test_the_hourly_run_reads_no_table_as_a_whole(mirror: Resources) -> None:
    """By key or by scope: its cost must not grow with the mirror."""
    alone.run_latest(mirror.pipeline, limit=1000)
    with counted(mirror) as sent:
        alone.run_latest(mirror.pipeline, limit=50)
    large = ("bills", "bill_stages", "changes", "documents", "document_fetches", "latest_documents", "listings")
    assert set(large) <= set(Base.metadata.tables)
    assert any("FROM listings" in one for one in sent), "it is found by these words"
    for table in large:
        reads = [one for one in sent if f"FROM {table}" in one and "WHERE" not in one]
        assert reads == []
