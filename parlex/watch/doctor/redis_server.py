"""What ``parlex doctor`` sees of Redis: that it answers and takes writes, its policy, its memory, its clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from redis import Redis, SSLConnection
from redis.exceptions import RedisError, TimeoutError

from parlex.fetching.redis_errors import explain
from parlex.watch.doctor.clock import Clock, skew
from parlex.watch.doctor.findings import Check, Finding, well

TIMEOUT = 5.0  # seconds
TIGHT = 0.8  # of maxmemory


def examine(redis: Redis, clock: Clock) -> Iterator[Check]:
    """Answers first; the rest only where it takes what is written to it."""
    try:
        redis.ping()
    except RedisError as error:
        yield Finding.REDIS_UNUSABLE.check(said(redis, error))
        return
    try:
        _write(redis)
    except RedisError as error:
        yield Finding.REDIS_REFUSES_WRITES.check(said(redis, error))
        return
    yield well("redis", "it answers, and takes writes")
    memory = _memory(redis)
    yield _policy(redis, memory)
    yield _memory_left(memory)
    yield from _clock(redis, clock)


def _write(redis: Redis) -> None:
    """A value and a script, as the budgets of the hosts need them."""
    key = f"parlex:doctor:{uuid4()}"
    try:
        redis.set(key, "1", ex=10)
        redis.eval("return redis.call('GET', KEYS[1])", 1, key)
    finally:
        with suppress(RedisError):  # it expires by itself
            redis.delete(key)


def _memory(redis: Redis) -> dict[str, Any] | None:
    """None where the user may not ask."""
    try:
        found: dict[str, Any] = redis.info("memory")
    except RedisError:
        return None
    return found


def _policy(redis: Redis, memory: dict[str, Any] | None) -> Check:
    try:
        policy = redis.config_get("maxmemory-policy").get("maxmemory-policy")
    except RedisError:  # the user has no right to CONFIG, or the host took it away
        policy = (memory or {}).get("maxmemory_policy")
    if policy is None:
        return well("policy", "it could not be read: Redis's user may not ask CONFIG; it has to be noeviction")
    if policy != "noeviction":
        return Finding.POLICY_EVICTS.check(f"it may evict queues ({policy})")
    return well("policy", "noeviction")


def _memory_left(memory: dict[str, Any] | None) -> Check:
    if memory is None:
        return well("memory", "it could not be read: Redis's user may not ask INFO")
    used, most = int(memory["used_memory"]), int(memory.get("maxmemory", 0))
    if not most:
        return well("memory", f"{_megabytes(used)} used, no maxmemory set")
    told = f"{_megabytes(used)} of {_megabytes(most)} used"
    return Finding.MEMORY_TIGHT.check(told) if used > TIGHT * most else well("memory", told)


def _clock(redis: Redis, clock: Clock) -> Iterator[Check]:
    before = clock.now()
    with suppress(RedisError):  # a user without a right to it; the budgets' scripts may ask all the same
        seconds, micros = redis.time()
        yield skew("redis", datetime.fromtimestamp(seconds + micros / 1e6, UTC), before, clock.now())


def said(redis: Redis, error: RedisError) -> str:
    """The cause in one line, without secrets."""
    if isinstance(error, TimeoutError) and issubclass(redis.connection_pool.connection_class, SSLConnection):
        return "it does not answer by TLS (timed out), as a port without TLS would not: mend REDIS_URL, or start it"
    return explain(error) or f"it fails: {type(error).__name__}"


def _megabytes(count: int) -> str:
    return f"{count / 1024 / 1024:,.1f} MB"
