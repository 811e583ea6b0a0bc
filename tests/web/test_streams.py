"""The history as events: from a number on, live, bounded, and over when the server ends."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from parlex.local.locks import wait_until
from parlex.mirror import history
from parlex.mirror.history import Change
from parlex.resources import Resources
from tests.looking import execute
from tests.statements import statements
from tests.web.serving import Served, serving

EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture
def server(mirror: Resources) -> Iterator[Served]:
    with serving(mirror) as server:
        yield server


def say(mirror: Resources, key: str, *, dataset: str = "bills", count: int = 1, value: str = "x") -> None:
    lines = [Change(key, "changed", "status_en", None, value) for _ in range(count)]
    with mirror.db() as db:
        history.append(db, dataset, lines, now=datetime.now(UTC), run_id=None)


class Stream:
    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.iter_lines()

    def block(self) -> dict[str, Any]:
        """The next event or comment: its fields."""
        found: dict[str, Any] = {}
        for line in self._lines:
            if not line:
                return found
            name, _, value = line.partition(": ")
            found[name] = value
        raise EOFError

    def event(self) -> dict[str, Any]:
        """The next event's line."""
        while "data" not in (block := self.block()):
            pass
        line: dict[str, Any] = json.loads(block["data"])
        assert block["id"] == str(line["seq"])
        return line


@contextmanager
def stream(server: Served, query: str = "", path: str = "changes", **headers: str) -> Iterator[Stream]:
    address = f"{server.address}/api/v1/{path}?{query}"
    with httpx.stream("GET", address, headers=EVENTS | headers, timeout=30) as answer:
        yield Stream(answer)


def open_some(stack: ExitStack, server: Served, count: int) -> list[Stream]:
    """Streams that have begun. One that nobody holds is closed."""
    found = [stack.enter_context(stream(server)) for _ in range(count)]
    for one in found:
        one.block()
    return found


def test_lines_are_told_from_a_number_on_and_as_they_come(mirror: Resources, server: Served) -> None:
    say(mirror, "45-1 C-2", count=250)
    server.wait_for(mirror)
    with stream(server, "after=3") as found:
        assert found.answer.headers["content-type"].startswith("text/event-stream")
        assert [found.event()["seq"] for _ in range(247)] == list(range(4, 251))
        say(mirror, "45-1 C-3", value="a\nb\u2028\r")
        last = found.event()
    with mirror.db() as db:
        assert last == next(history.changes(db, 250)).as_json()
    with stream(server, "after=3", **{"Last-Event-ID": "249"}) as found:
        assert found.event()["seq"] == 250
    with stream(server, **{"Last-Event-ID": "x"}) as found:
        assert found.answer.status_code == 422


def test_a_line_is_told_by_the_second_look_after_its_commit(mirror: Resources, server: Served) -> None:
    with stream(server) as found, statements(server.engine) as seen:
        assert found.block() == {"": "0", "id": "0"}
        say(mirror, "45-1 C-2")
        before = len([one for one in seen if "mirror.id" in one])
        found.event()
        assert len([one for one in seen if "mirror.id" in one]) - before <= 2
        assert httpx.get(f"{server.address}/api/v1/changes").headers["parlex-seq"] == "1"


def test_filters_and_records_hear_of_theirs_alone(mirror: Resources, server: Served) -> None:
    with ExitStack() as stack:
        found = {of: stack.enter_context(stream(server, of)) for of in ("dataset=votes", "session=45-1", "key=45-1 7")}
        for one in found.values():
            one.block()
        with statements(server.engine) as seen:
            say(mirror, "44-1 C-2")
            server.wait_for(mirror)
            assert wait_until(lambda: sum("mirror.id" in one for one in seen) > 2, 10)
            assert not [one for one in seen if "row_to_json" in one]
        say(mirror, "45-1 7", dataset="votes")
        assert {of: one.event()["seq"] for of, one in found.items()} == dict.fromkeys(found, 2)


def test_a_record_has_a_stream(held: Resources, served: Served) -> None:
    with stream(served, path="bills/45-1/C-2/changes") as found:
        assert found.event()["key"] == "45-1 C-2"
    with stream(served, path="bills/45-1/C-9999/changes") as found:
        assert found.answer.status_code == 404


def test_silence_is_broken_by_a_comment_that_moves_the_number(mirror: Resources, server: Served) -> None:
    server.streams.heartbeat = 1.5
    with stream(server, "dataset=votes") as found:
        assert found.block() == {"": "0", "id": "0"}
        say(mirror, "45-1 C-2", count=3)
        while (block := found.block()) == {"": "0", "id": "0"}:
            pass
        assert block == {"": "3", "id": "3"}


def test_no_more_than_so_many_and_one_that_ends_makes_room(mirror: Resources, server: Served) -> None:
    assert server.streams.most == 200
    server.streams.most = 3
    with ExitStack() as stack:
        found = open_some(stack, server, 3)
        assert server.streams.open == len(found)
        with stream(server) as refused:
            assert (refused.answer.status_code, refused.answer.headers["retry-after"]) == (503, "30")
        assert httpx.head(f"{server.address}/api/v1/changes", headers=EVENTS).status_code == 200
    assert wait_until(lambda: server.streams.open == 0, 10)
    with stream(server) as again:
        assert again.block()


def test_idle_streams_hold_no_thread_and_no_connection(mirror: Resources, server: Served) -> None:
    with ExitStack() as stack:
        few = open_some(stack, server, 30)
        threads = threading.active_count()
        many = open_some(stack, server, 30)
        assert server.streams.open == len([*few, *many])
        assert threading.active_count() <= threads
        assert wait_until(lambda: server.engine.pool.checkedout() == 0, 10)  # type: ignore[attr-defined]


def test_who_reads_slowly_is_waited_for(mirror: Resources, server: Served) -> None:
    say(mirror, "45-1 C-2", count=3000, value="x" * 10_000)
    server.wait_for(mirror)
    host, _, port = server.address.removeprefix("http://").partition(":")
    with socket.socket() as slow, statements(server.engine) as seen:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((host, int(port)))
        slow.sendall(b"GET /api/v1/changes HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
        assert slow.recv(10)
        assert wait_until(lambda: sum("mirror.id" in one for one in seen) > 3, 10)
        # 30 MB are there to be told, and it has read a part or a few of them: the sockets' buffers, and one in memory.
        assert sum("row_to_json" in one for one in seen) < 15
        assert server.engine.pool.checkedout() <= 1  # type: ignore[attr-defined]
        # And it holds up neither others nor the end.
        assert httpx.get(f"{server.address}/api/v1/changes?limit=1").status_code == 200


def test_streams_end_when_the_server_does(mirror: Resources) -> None:
    with ExitStack() as stack:
        with serving(mirror) as server:
            found = open_some(stack, server, 20)
            began = time.monotonic()
        assert time.monotonic() - began < 5
        for one in found:
            with pytest.raises(EOFError):
                one.block()


def test_a_history_that_is_shorter_than_it_was_ends_the_stream(mirror: Resources, server: Served) -> None:
    server.streams.heartbeat = 2.0
    say(mirror, "45-1 C-2", count=3)
    with stream(server) as found:
        assert [found.event()["seq"] for _ in range(3)] == [1, 2, 3]
        server.wait_for(mirror)
        execute(mirror, "DELETE FROM changes WHERE seq > 1")
        with pytest.raises(EOFError):
            found.event()
    with stream(server, **{"Last-Event-ID": "3"}) as found:
        assert found.answer.status_code == 409


def test_a_question_that_fails_is_asked_again(mirror: Resources, server: Served) -> None:
    with stream(server) as found:
        found.block()
        execute(mirror, "ALTER TABLE changes RENAME COLUMN field TO gone")
        row = "INSERT INTO changes (seq, dataset, key, kind, observed_at) VALUES (1, 'bills', 'x', 'created', now())"
        execute(mirror, row)
        with statements(server.engine) as seen:
            assert wait_until(lambda: sum("row_to_json" in one for one in seen) >= 1, 10)
        execute(mirror, "ALTER TABLE changes RENAME COLUMN gone TO field")
        assert found.event()["seq"] == 1
