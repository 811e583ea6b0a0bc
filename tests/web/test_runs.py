"""POST /runs: who may, what can be asked, and that the same is done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import httpx
import pytest
from redis import Redis

from parlex.db import api_keys
from parlex.resources import Resources
from parlex.runs.work import Request
from parlex.settings import UNREACHABLE
from tests.web.serving import serving
from tests.web.test_door import RUNS, problem


@dataclass
class Workers:
    """Stands for those who do the work: writes runs down as a command does, and sends nothing."""

    mirror: Resources
    asked: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> UUID:
        run_id = self.mirror.pipeline.open_run(request).run.run_id
        self.asked.append(request)
        return run_id


@contextmanager
def operating(mirror: Resources) -> Iterator[tuple[httpx.Client, Workers]]:
    workers = Workers(mirror)
    with mirror.db() as db:
        key = api_keys.add(db, "an operator", api_keys.OPERATOR)
    with serving(mirror, dispatch=workers) as served:
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=served.address, headers=headers, timeout=20) as client:
            yield client, workers


@pytest.fixture
def mirror(make_resources: Callable[..., Resources]) -> Resources:
    return make_resources()


@pytest.fixture
def operated(mirror: Resources) -> Iterator[tuple[httpx.Client, Workers]]:
    with operating(mirror) as found:
        yield found


WANTED: list[tuple[dict[str, Any], Request]] = [
    ({}, Request("fetch_latest_bills", "bills", limit=50)),
    ({"dataset": "bills", "limit": 7}, Request("fetch_latest_bills", "bills", limit=7)),
    ({"dataset": "votes", "session": "45-1"}, Request("fetch_session_votes", "votes", scope="45-1")),
    ({"session": "44-1", "limit": 3}, Request("fetch_session_bills", "bills", scope="44-1", limit=3)),
    ({"session": "45-10"}, Request("fetch_session_bills", "bills", scope="45-10")),
    ({"dataset": "politicians"}, Request("fetch_latest_politicians", "politicians")),
    ({"dataset": None, "session": None, "limit": None}, Request("fetch_latest_bills", "bills", limit=50)),
]


@pytest.mark.parametrize(("body", "request_"), WANTED, ids=str)
def test_a_run_is_asked_for_as_by_the_command(
    operated: tuple[httpx.Client, Workers], body: dict[str, Any], request_: Request
) -> None:
    client, workers = operated
    answer = client.post(RUNS, json=body)
    assert answer.status_code == 202
    assert workers.asked == [request_]
    told = answer.json()
    assert (told["status"], told["dataset"], told["scope"]) == ("running", request_.dataset, request_.scope)
    assert answer.headers["location"] == f"{RUNS}/{told['run_id']}"
    assert answer.headers["cache-control"] == "no-store"


def test_the_equal_run_is_joined(operated: tuple[httpx.Client, Workers]) -> None:
    client, _ = operated
    first, second, other = (client.post(RUNS, json={"limit": limit}).json()["run_id"] for limit in (5, 5, 6))
    assert first == second != other


WRONG: list[tuple[Any, str]] = [
    ({"datasets": "bills"}, "datasets"),
    ({"limit": 0}, "limit"),
    ({"limit": "5"}, "limit"),
    ({"limit": True}, "limit"),
    ({"limit": 10**30}, "limit"),
    ({"session": "45"}, "session"),
    ({"session": 45}, "session"),
    ({"dataset": "nothing"}, ""),
    ({"dataset": "politicians", "session": "45-1"}, ""),
    ([], ""),
    ("x", ""),
]


@pytest.mark.parametrize(("body", "parameter"), WRONG, ids=str)
def test_what_cannot_be_asked_is_named(operated: tuple[httpx.Client, Workers], body: Any, parameter: str) -> None:
    client, workers = operated
    told = problem(client.post(RUNS, json=body), 422)
    assert parameter in str(told.get("errors", told["detail"]))
    assert not workers.asked


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"limit": 1' + b"0" * 1000 + b"}"])
def test_what_is_no_json_is_told_so(operated: tuple[httpx.Client, Workers], content: bytes) -> None:
    client, _ = operated
    problem(client.post(RUNS, content=content, headers={"Content-Type": "application/json"}), 422)
    problem(client.post(RUNS, content=b"{}", headers={"Content-Type": "text/plain"}), 415)


def test_who_may_not_is_told_so_before_all_else(operated: tuple[httpx.Client, Workers]) -> None:
    client, _ = operated
    problem(httpx.post(f"{client.base_url}{RUNS}", content=b"{"), 401)


def test_the_same_key_has_the_same_answer(
    operated: tuple[httpx.Client, Workers], mirror: Resources, redis: Redis
) -> None:
    client, workers = operated
    once = {"Idempotency-Key": "a-1"}
    first = client.post(RUNS, json={"limit": 5}, headers=once)
    mirror.pipeline.revoke(UUID(first.json()["run_id"]))
    second = client.post(RUNS, json={"limit": 5}, headers=once)
    assert (second.status_code, second.content) == (202, first.content)
    assert second.headers["location"] == first.headers["location"]
    assert len(workers.asked) == 1
    problem(client.post(RUNS, json={"limit": 6}, headers=once), 422)
    fresh = client.post(RUNS, json={"limit": 5}, headers={"Idempotency-Key": "a-2"})
    assert fresh.json()["run_id"] != first.json()["run_id"]
    assert all(0 < redis.ttl(key) <= 24 * 3600 for key in redis.scan_iter("parlex:idempotency:*"))
    problem(client.post(RUNS, json={}, headers={"Idempotency-Key": "x" * 256}), 422)


def test_what_failed_may_be_asked_again_with_the_same_key(operated: tuple[httpx.Client, Workers]) -> None:
    client, _ = operated
    once = {"Idempotency-Key": "b"}
    problem(client.post(RUNS, json={"dataset": "nothing"}, headers=once), 422)
    assert client.post(RUNS, json={"dataset": "bills"}, headers=once).status_code == 202


def test_two_at_the_same_moment_are_one(operated: tuple[httpx.Client, Workers]) -> None:
    client, workers = operated
    together, answers = Barrier(2), []

    def ask() -> None:
        together.wait()
        answers.append(client.post(RUNS, json={"limit": 5}, headers={"Idempotency-Key": "c"}))

    threads = [Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len(workers.asked) == 1


def test_without_redis_nothing_is_started(make_resources: Callable[..., Resources]) -> None:
    mirror = make_resources(redis_url=UNREACHABLE)
    with operating(mirror) as (client, workers):
        answer = client.post(RUNS, json={})
        problem(answer, 503)
        assert answer.headers["retry-after"]
        assert client.get("/api/v1/bills").status_code == 200
    assert not workers.asked


def test_a_server_without_workers_says_so(mirror: Resources) -> None:
    with mirror.db() as db:
        key = api_keys.add(db, "an operator", api_keys.OPERATOR)
    with serving(mirror) as served:
        problem(httpx.post(f"{served.address}{RUNS}", json={}, headers={"Authorization": f"Bearer {key}"}), 503)


def test_the_documents_tell_of_the_key(client: httpx.Client) -> None:
    told = client.get("/openapi.json").json()
    post = told["paths"][RUNS]["post"]
    assert post["security"] == [{"HTTPBearer": []}]
    assert set(post["responses"]) >= {"202", "401", "403", "409", "422", "503"}
    assert told["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
