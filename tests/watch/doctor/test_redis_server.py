"""What the doctor says of a Redis that was put into each state, and that the rest stays well."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from sqlalchemy import URL, make_url

from parlex.watch.doctor import redis_server
from parlex.watch.doctor.clock import Clock
from parlex.watch.doctor.findings import Check, Finding
from tests.watch.doctor.looks import named, only, told


def examine(url: str | URL, ahead: float = 0.0) -> list[Check]:
    address = make_url(url).render_as_string(hide_password=False)
    clock = Clock(datetime.now(UTC) + timedelta(seconds=ahead))
    with Redis.from_url(address, socket_timeout=5, socket_connect_timeout=5) as redis:
        return list(redis_server.examine(redis, clock))


@contextmanager
def setting(redis: Redis, name: str, value: str) -> Iterator[None]:
    before = redis.config_get(name)[name]
    redis.config_set(name, value)
    try:
        yield
    finally:
        redis.config_set(name, before)


@contextmanager
def user(redis: Redis, url: str, *rights: str) -> Iterator[URL]:
    redis.execute_command("ACL", "SETUSER", "low", "on", ">hush", "~*", "&*", *rights)
    try:
        yield make_url(url).set(username="low", password="hush")
    finally:
        redis.acl_deluser("low")


def test_a_redis_that_is_well(redis: Redis, redis_url: str) -> None:
    checks = examine(redis_url)
    assert told(checks) == []
    assert [check.name for check in checks] == ["redis", "policy", "memory", "clock redis"]
    assert redis.keys() == []  # what was written to try is gone


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.set(port=1), "connection refused"),
        (lambda url: url.set(password="hush"), "refuses the user or the password"),
        (lambda url: url.set(database="9999"), "no database of that number"),
        (lambda url: url.set(drivername="rediss"), "TLS"),
        (lambda url: url.set(host="hush.invalid"), "host name is not known"),
    ],
    ids=["away", "password", "number", "tls", "host"],
)
def test_a_redis_that_lets_us_not_in(redis_url: str, change: Callable[[URL], URL], said: str) -> None:
    if not make_url(redis_url).password:
        pytest.skip("the Redis that was given asks for no password")
    check = only(examine(change(make_url(redis_url))), Finding.REDIS_UNUSABLE)
    assert said in f"{check.found}{check.advice}"
    assert "REDIS_URL" in str(check.advice)
    assert "hush" not in f"{check.found}{check.advice}"


@pytest.fixture
def tls_port() -> Iterator[int]:
    """A port that speaks TLS and nothing else; the embedded server cannot."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            link, _ = listening.accept()
            with link, suppress(OSError):
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket(link, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def test_a_port_for_tls(tls_port: int) -> None:
    check = only(examine(f"redis://127.0.0.1:{tls_port}/0"), Finding.REDIS_UNUSABLE)
    assert "rediss://" in f"{check.found}{check.advice}"


def test_a_full_redis(redis: Redis, redis_url: str) -> None:
    with setting(redis, "maxmemory", "1mb"):
        assert "full" in only(examine(redis_url), Finding.REDIS_REFUSES_WRITES).found


def test_a_replica(redis: Redis, redis_url: str) -> None:
    redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        assert "replica" in only(examine(redis_url), Finding.REDIS_REFUSES_WRITES).found
    finally:
        redis.execute_command("REPLICAOF", "NO", "ONE")


@pytest.mark.parametrize("rights", [("+@read", "+@connection"), ("+@all", "-eval")], ids=["values", "scripts"])
def test_a_user_who_may_not_write(redis: Redis, redis_url: str, rights: tuple[str, ...]) -> None:
    with user(redis, redis_url, *rights) as url:
        assert "lacks a right" in only(examine(url), Finding.REDIS_REFUSES_WRITES).found


def test_a_user_who_may_not_ask_for_the_policy_is_well(redis: Redis, redis_url: str) -> None:
    with user(redis, redis_url, "+@all", "-@admin", "-@dangerous") as url:
        checks = examine(url)
    assert told(checks) == []
    [policy] = named(checks, "policy")
    assert "could not be read" in policy.found


def test_a_policy_that_evicts(redis: Redis, redis_url: str) -> None:
    with setting(redis, "maxmemory-policy", "allkeys-lru"):
        assert "allkeys-lru" in only(examine(redis_url), Finding.POLICY_EVICTS).found


def test_a_policy_that_info_tells_without_config(redis: Redis, redis_url: str) -> None:
    with setting(redis, "maxmemory-policy", "allkeys-lru"), user(redis, redis_url, "+@all", "-config") as url:
        only(examine(url), Finding.POLICY_EVICTS)


def test_little_memory_left(redis: Redis, redis_url: str) -> None:
    used = int(redis.info("memory")["used_memory"])
    with setting(redis, "maxmemory", str(round(used * 1.15))):
        only(examine(redis_url), Finding.MEMORY_TIGHT)


@pytest.mark.parametrize(("ahead", "finding"), [(10, Finding.CLOCK_OFF), (-120, Finding.CLOCK_FAR)], ids=["off", "far"])
@pytest.mark.usefixtures("redis")
def test_clocks_apart(redis_url: str, ahead: float, finding: Finding) -> None:
    assert only(examine(redis_url, ahead), finding).name == "clock redis"
