"""What people read when Redis is not as it should be: made wrong on a real server, one cause at a time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import URL, make_url

from parlex.fetching.redis_errors import can_heal, explain

Change = Callable[[URL], URL]


def failure(url: URL, ask: Callable[[Redis], Any] = lambda redis: redis.ping()) -> RedisError:
    text = url.render_as_string(hide_password=False)
    with (
        Redis.from_url(text, socket_timeout=2, socket_connect_timeout=2) as client,
        pytest.raises(RedisError) as raised,
    ):
        ask(client)
    return raised.value


@pytest.mark.parametrize(
    ("change", "said", "heals"),
    [
        (lambda url: url.set(password="hush"), "refuses the user or the password", False),
        (lambda url: make_url(f"redis://{url.host}:{url.port}/0"), "asks for a password", False),
        (lambda url: url.set(database="9999"), "no database of that number", False),
        (lambda url: make_url("redis://:hush@127.0.0.1:1/0"), "connection refused", True),
        (lambda url: make_url("redis://:hush@hush.invalid/0"), "host name is not known here", False),
    ],
)
def test_a_connection_that_fails_is_explained(change: Change, said: str, heals: bool, redis_url: str) -> None:
    if not make_url(redis_url).password:
        pytest.skip("the Redis that was given asks for no password")
    error = failure(change(make_url(redis_url)))
    told = explain(error)
    assert told
    assert said in told
    assert "REDIS_URL" in told
    assert "hush" not in told
    assert can_heal(error) is heals


def test_a_full_redis_is_named(redis: Redis, redis_url: str) -> None:
    redis.config_set("maxmemory", "1mb")
    try:
        error = failure(make_url(redis_url), lambda client: client.set("parlex:x", "y"))
    finally:
        redis.config_set("maxmemory", "0")
    assert str(explain(error)).startswith("Redis is full")
    assert not can_heal(error)


def test_a_user_without_rights_is_named(redis: Redis, redis_url: str) -> None:
    redis.acl_setuser("low", enabled=True, passwords=["+hush"], commands=["+ping"], keys=["parlex:*"])
    try:
        error = failure(make_url(redis_url).set(username="low", password="hush"), lambda client: client.dbsize())
    finally:
        redis.acl_deluser("low")
    assert "lacks a right" in str(explain(error))


@pytest.fixture
def web_server() -> Iterator[int]:
    """The port of something that answers, and is no Redis."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            link, _ = listening.accept()
            with link:
                link.recv(1000)
                link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_what_is_no_redis_is_named(web_server: int) -> None:
    error = failure(make_url(f"redis://127.0.0.1:{web_server}/0"))
    assert "is no Redis" in str(explain(error))


def test_what_was_raised_from_it_is_explained_too() -> None:
    error = RuntimeError("kombu wraps")
    error.__cause__ = failure(make_url("redis://127.0.0.1:1/0"))
    assert "connection refused" in str(explain(error))


def test_errors_of_others_are_none_of_ours() -> None:
    assert explain(ValueError("Connection refused")) is None
