"""What was asked before is answered at once, and as it was the first time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import product
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from parlex.datasets.served import Cover
from parlex.resources import Resources
from parlex.serving.bodies import Bodies, Body
from parlex.serving.tags import Poller, Seqs
from parlex.web.app import Front
from parlex.web.conditional import Answers
from tests.statements import statements
from tests.web.serving import Served, serving

ADDRESSES = [
    "bills",
    "bills.csv",
    "bills?session=45-1&limit=3&include=sponsor",
    "bills?limit=0",
    "bills/45-1/C-2",
    "bills/45-1/C-2.atom",
    "bills/45-1/C-99999",
    "bills/45-1/C-5/votes.ndjson",
    "bills/45-1/C-5?as_of=2026-01-01",
    "politicians/mark-carney/changes",
    "changes?limit=2",
    "changes?after=999999999",
    "changes.atom?lang=fr",
    "search?q=budget",
    "sessions",
    "nothing",
]
ACCEPTS = ["*/*", "text/csv", "application/atom+xml", "image/png"]
OFTEN = ("request-id", "date", "ratelimit")  # differ from answer to answer


@pytest.fixture(scope="module")
def fresh(held: Resources) -> Iterator[tuple[httpx.Client, Served]]:
    """A server that was asked nothing yet."""
    with serving(held) as server, httpx.Client(base_url=f"{server.address}/api/v1/") as client:
        yield client, server


def test_both_ways_answer_alike(fresh: tuple[httpx.Client, Served]) -> None:
    """Each question three times: understood anew, then from what is remembered."""
    client, server = fresh
    asked = product(ADDRESSES, ACCEPTS, ("GET", "HEAD"), ("identity", "gzip"))
    for address, accept, method, encoding in asked:
        headers = {"Accept": accept, "Accept-Encoding": encoding, "Origin": "https://example.org"}
        first, again = (told(client.request(method, address, headers=headers)) for _ in range(2))
        assert first == again, (address, headers)
        status, about, _ = first
        if "etag" not in about:
            assert (status, about["cache-control"]) != (200, "public, max-age=0, must-revalidate")
            continue
        held = headers | {"If-None-Match": about["etag"]}
        with statements(server.engine) as sent:
            third, fourth = (told(client.request(method, address, headers=held)) for _ in range(2))
        assert third == fourth
        assert third[0] == 304
        assert third[1] == {name: about[name] for name in third[1]}
        assert [one for one in sent if one.startswith("SELECT") and "mirror.id" not in one] == []


def told(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    about = {name: value for name, value in answer.headers.items() if name not in OFTEN}
    return answer.status_code, about, answer.content


def test_the_first_of_two_accepts_counts_at_once_too(fresh: tuple[httpx.Client, Served]) -> None:
    client, _ = fresh
    for first in ("text/csv", "application/json", "text/csv"):
        answer = client.get("votes?limit=2", headers=[("Accept", first), ("Accept", "application/x-ndjson")])
        assert answer.headers["content-type"].startswith(first)


class Mirror(Poller):
    """A history of one line that nobody reads."""

    def __init__(self) -> None:
        self._code, self._seqs = "code", Seqs(uuid4(), uuid4())


class Understanding:
    """Stands for the framework, and counts what it is asked."""

    def __init__(self, answers: Answers) -> None:
        self.answers, self.asked = answers, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        response = await self.answers.covered(Request(scope), [Cover("bills")], lambda: Body(b"{}"))
        await response(scope, receive, send)


async def in_place(make: Any) -> Any:
    return make()


def test_what_was_understood_once_is_not_understood_again() -> None:
    answers = Answers(Mirror(), Bodies(), in_place)
    app = Understanding(answers)
    front = Front(app, answers)
    for query in (b"", b"", b"session=45-1", b""):
        assert asyncio.run(ask(front, query))["status"] == 200
    assert app.asked == 2


def test_the_longest_addresses_are_not_remembered() -> None:
    answers = Answers(Mirror(), Bodies(), in_place)
    app = Understanding(answers)
    for _ in range(2):
        asyncio.run(ask(Front(app, answers), b"q=" + b"x" * 2000))
    assert app.asked == 2


async def ask(front: Front, query: bytes) -> Message:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("there is no body")

    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/api/v1/bills", "headers": []}
    scope |= {"raw_path": b"/api/v1/bills", "query_string": query, "server": ("localhost", 80)}
    await front(scope, receive, send)
    return sent[0]
