"""The door: what every answer says beside itself, what is refused, and that no error tells a secret."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import make_url, text
from starlette.types import Receive, Scope, Send

from parlex.resources import Resources
from parlex.serving.keys import Keys
from parlex.serving.limits import Limits
from parlex.web.door import BODY_BYTES, URL_BYTES, Door, Rates
from tests.web.serving import serving

BILLS = "/api/v1/bills"
RUNS = "/api/v1/runs"
PROBLEM = "application/problem+json"


@contextmanager
def asking(mirror: Resources, **headers: str) -> Iterator[httpx.Client]:
    with serving(mirror) as served, httpx.Client(base_url=served.address, headers=headers, timeout=20) as client:
        yield client


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    told: dict[str, Any] = answer.json()
    assert told["status"] == status
    assert told.keys() >= {"type", "title", "status", "detail"}
    return told


@pytest.mark.parametrize("path", [BILLS, "/nowhere", "/livez", f"{BILLS}?limit=0"])
def test_every_answer_is_closed_to_scripts_and_open_to_readers(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    exposed = answer.headers["access-control-expose-headers"].lower().split(", ")
    ours = {"etag", "link", "parlex-seq", "parlex-checked-at", "ratelimit", "ratelimit-policy", "retry-after"}
    ours |= {"parlex-next-after", "parlex-epoch"}
    assert ours < set(exposed)
    assert "server" not in answer.headers


def test_a_304_says_the_same(client: httpx.Client) -> None:
    tag = client.get(BILLS).headers["etag"]
    answer = client.get(BILLS, headers={"If-None-Match": tag})
    assert answer.status_code == 304
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["etag"] == tag


def test_a_browser_may_read_and_nothing_else(client: httpx.Client) -> None:
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
    answer = client.options(BILLS, headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-methods"]) == (204, "GET, HEAD, OPTIONS")
    assert "authorization" not in answer.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-origin" not in client.post(RUNS).headers
    assert problem(client.options(BILLS), 405)


def test_a_request_has_an_id_that_the_log_has_too(
    held: Resources, caplog: pytest.LogCaptureFixture, tmp_path: Any
) -> None:
    import structlog

    caplog.set_level(logging.DEBUG, "parlex.web.door")
    seen: list[Any] = []
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, lambda *event: seen.append(event[2]) or ""]
    )
    try:
        with asking(held) as client:
            assert client.get(BILLS, headers={"Request-Id": "mine-1"}).headers["request-id"] == "mine-1"
            made = [client.get(BILLS).headers["request-id"] for _ in range(2)]
            assert client.get(BILLS, headers={"Request-Id": "a b"}).headers["request-id"] != "a b"
    finally:
        structlog.reset_defaults()
    assert len(set(made)) == 2
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in made)
    lines = {line["request_id"]: line for line in seen if line["event"] == "answered"}
    assert lines["mine-1"]["path"] == BILLS
    assert lines["mine-1"]["status"] == 200
    assert set(made) < set(lines)


def test_what_is_wrong_is_a_problem_on_every_path(client: httpx.Client) -> None:
    for path in ("/nowhere", "/api/v2/bills", "/api/v1/", "/api/v1/bills/", "/%00", "/.env"):
        problem(client.get(path), 404)
    for method in ("POST", "PUT", "DELETE", "PATCH", "QUERY"):
        assert "GET" in client.request(method, BILLS).headers["allow"]
        problem(client.request(method, BILLS), 405)
    problem(client.get(f"{BILLS}/45-1/C-2.csv"), 406)


def test_an_address_has_a_bound(client: httpx.Client) -> None:
    room = URL_BYTES - len(f"{BILLS}?x=")
    problem(client.get(f"{BILLS}?x={'a' * room}"), 422)
    problem(client.get(f"{BILLS}?x={'a' * (room + 1)}"), 414)
    problem(client.get(f"{BILLS}?x={'a' * 60_000}"), 414)


def test_a_body_has_a_bound_whether_its_length_is_told_or_not(client: httpx.Client) -> None:
    fits, large = b"x" * BODY_BYTES, b"x" * (BODY_BYTES + 1)
    for given in (large, iter([large]), iter([b"x" * 1000] * 66)):
        problem(client.post(RUNS, content=given), 413)
    for given in (fits, iter([fits])):
        problem(client.post(RUNS, content=given), 401)
    problem(client.request("GET", BILLS, content=large), 413)


@pytest.mark.parametrize("host", ["a b", "evil.org/<script>", "x" * 300, "a:b", "é"])
def test_a_host_that_is_none_is_in_no_answer(client: httpx.Client, host: str) -> None:
    answer = client.get(f"{BILLS}?limit=1", headers={"Host": host.encode()})  # type: ignore[dict-item]
    problem(answer, 400)
    assert host not in answer.text


def test_next_is_an_address_of_the_host_that_was_asked(client: httpx.Client) -> None:
    """And no other client is given it."""
    for host in ("one.example.org", "two.example.org:8443", "[2001:db8::1]:81"):
        told = client.get(f"{BILLS}?limit=1", headers={"Host": host}).json()
        assert told["next"].startswith(f"http://{host}/")


SECRET = "hush-4711"


@pytest.fixture
def secretive(make_resources: Callable[..., Resources], database: str) -> Resources:
    """A mirror whose database is asked by a user with a password, in an address that holds it."""
    user = make_url(database)
    with make_resources().db() as db:
        name = f"secretive_{user.database}"
        db.execute(text("create role " + name + " login superuser password 'hush-4711'"))
    url = user.set(username=name, password=SECRET).render_as_string(hide_password=False)
    return make_resources(database_url=url)


def test_no_error_tells_a_secret(secretive: Resources, capfd: pytest.CaptureFixture[str]) -> None:
    from parlex import logs

    logs.configure(secretive.settings)
    try:
        with asking(secretive) as client:
            told = [client.get(BILLS)]
            for breakage in ("alter table bills rename to away", "drop table changes cascade"):
                with secretive.db() as db:
                    db.execute(text(breakage))
                told += [client.get(path) for path in (BILLS, f"{BILLS}/45-1/C-2", "/readyz")]
            with secretive.db() as db:
                db.execute(text("alter role " + secretive.engine.url.username + " nologin"))
                others = "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user"
                db.execute(text(others + " and pid <> pg_backend_pid()"))
            told += [client.get(path) for path in (f"{BILLS}?limit=7", "/readyz", BILLS)]
            told.append(client.post(RUNS, headers={"Authorization": f"Bearer plx_{'0' * 12}_{'x' * 43}"}))
    finally:
        for handler in logging.getLogger().handlers[:]:
            if isinstance(handler, logging.StreamHandler) and type(handler) is logging.StreamHandler:
                logging.getLogger().removeHandler(handler)
    assert {answer.status_code for answer in told} >= {200, 503}
    for answer in told:
        if answer.status_code != 200:
            problem(answer, answer.status_code)
    shown = json.dumps([[answer.text, dict(answer.headers)] for answer in told]) + "".join(capfd.readouterr())
    assert SECRET not in shown
    assert "Traceback" not in json.dumps([answer.text for answer in told])


def test_what_nobody_expected_is_a_500_that_tells_nothing(held: Resources, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError(SECRET)

    door = Door(broken, Limits(), Keys(held.db), Rates())
    transport = httpx.ASGITransport(app=door)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://there") as client:
            return await client.get("/")

    answer = asyncio.run(ask())
    problem(answer, 500)
    assert SECRET not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_health_is_told_apart(client: httpx.Client, held: Resources) -> None:
    assert client.get("/livez").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"


def test_readyz_says_that_the_schema_is_another(make_resources: Callable[..., Resources]) -> None:
    from parlex.local.locks import wait_until

    mirror = make_resources()
    with asking(mirror) as client:
        with mirror.db() as db:
            db.execute(text("update alembic_version set version_num = '0001'"))
        assert wait_until(lambda: client.get("/readyz").status_code == 503, 10)
        assert "schema is at 0001" in problem(client.get("/readyz"), 503)["detail"]
        assert client.get("/livez").status_code == 200


def test_a_message_that_is_no_http_is_refused_in_our_words(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port)) as link:
        link.sendall(b"\x00\x01nonsense\r\n\r\n")
        told = link.makefile("rb").read().decode()
    assert told.startswith("HTTP/1.1 400")
    assert PROBLEM in told
