"""The shared budget, on a real server. Slots are counted on the server's clock; nothing here waits for them."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable

import pytest
from redis import Redis
from structlog.testing import capture_logs

from parlex.errors import RateLimited, Retryable, SourceUnavailable
from parlex.fetching.throttle import FAILURES, LOOK_EVERY, RedisThrottle, host_of
from tests.throttles import NullThrottle

HOST = "www.parl.test"
SLOT = f"parlex:throttle:slot:{{{HOST}}}"
BLOCKED = f"parlex:throttle:blocked_until:{{{HOST}}}"
CLOSED = f"parlex:throttle:closed_until:{{{HOST}}}"

Make = Callable[..., RedisThrottle]


@pytest.fixture
def make(redis: Redis) -> Make:
    """A throttle of its own, as another process would have it. It does not really sleep."""

    def make(
        per_minute: float = 60.0,
        *,
        retry_delay: float = 60.0,
        max_wait: float = 60.0,
        sleep: Callable[[float], object] = lambda _: None,
    ) -> RedisThrottle:
        return RedisThrottle(
            redis, {HOST: per_minute}, retry_delay=retry_delay, max_wait=max_wait, sleep=lambda s: sleep(s) and None
        )

    return make


def now_of(redis: Redis) -> float:
    seconds, micros = redis.time()
    return float(seconds + micros / 1_000_000)


def next_slot(redis: Redis) -> float:
    return float(redis.get(SLOT)) / 1_000_000


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.parl.ca", "www.parl.ca"),
        ("https://WWW.Parl.ca:443/x?y=z", "www.parl.ca"),
        ("http://user:secret@www.parl.ca:80", "www.parl.ca"),
        ("http://127.0.0.1:8702/", "127.0.0.1:8702"),
    ],
)
def test_a_host_has_one_name(url: str, host: str) -> None:
    assert host_of(url) == host


def test_each_request_takes_one_slot_and_waits_for_it(redis: Redis, make: Make) -> None:
    waits: list[float] = []
    throttle = make(60, sleep=waits.append)
    start = now_of(redis)
    for _ in range(5):
        throttle.acquire(HOST)
    assert next_slot(redis) >= start + 5
    assert waits == sorted(waits)
    assert all(wait <= n for n, wait in enumerate(waits, start=5 - len(waits)))


def test_processes_and_threads_share_one_budget(redis: Redis, redis_url: str) -> None:
    program = """
        import sys, threading
        from redis import Redis
        from parlex.fetching.throttle import RedisThrottle
        def ask():
            for _ in range(5):
                throttle.acquire("www.parl.test")
        throttle = RedisThrottle(
            Redis.from_url(sys.argv[1]), {"www.parl.test": 600.0}, retry_delay=60, sleep=lambda _: None
        )
        threads = [threading.Thread(target=ask) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    """
    start = now_of(redis)
    command = [sys.executable, "-c", textwrap.dedent(program), redis_url]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert next_slot(redis) >= start + 60 * 0.1


def test_nobody_waits_longer_than_is_polite_to_its_thread(redis: Redis, make: Make) -> None:
    throttle = make(1, max_wait=30)
    throttle.acquire(HOST)
    slot = next_slot(redis)
    with pytest.raises(RateLimited, match="budget") as caught:
        throttle.acquire(HOST)
    assert caught.value.retry_after is not None
    assert 30 < caught.value.retry_after <= 60
    assert next_slot(redis) == slot  # who does not wait takes no slot


def test_background_work_leaves_a_fifth_of_the_rate(redis: Redis, make: Make) -> None:
    throttle = make(1, max_wait=0)
    throttle.acquire(HOST, background=True)
    with pytest.raises(RateLimited) as background:
        throttle.acquire(HOST, background=True)
    with pytest.raises(RateLimited) as scheduled:
        throttle.acquire(HOST)
    assert background.value.retry_after is not None
    assert scheduled.value.retry_after is not None
    assert 60 < background.value.retry_after <= 75
    assert scheduled.value.retry_after <= 60


def test_background_work_never_stands_before_scheduled_work(redis: Redis, make: Make) -> None:
    throttle = make(1, max_wait=600)
    throttle.acquire(HOST)
    throttle.acquire(HOST)  # holds the slot a minute ahead
    slot = next_slot(redis)
    with pytest.raises(RateLimited):
        make(1, max_wait=60).acquire(HOST, background=True)
    assert next_slot(redis) == slot


def test_background_work_asks_again_when_the_slot_is_free(redis: Redis, make: Make) -> None:
    waits: list[float] = []

    def pass_time(seconds: float) -> None:
        waits.append(seconds)
        redis.delete(SLOT)

    make(60).acquire(HOST)
    make(60, sleep=pass_time).acquire(HOST, background=True)
    assert len(waits) == 1
    assert 0 < waits[0] <= 1


@pytest.mark.parametrize("per_minute", [60.0, 0.0])
def test_a_host_that_asks_us_to_wait_is_left_alone_by_all(redis: Redis, make: Make, per_minute: float) -> None:
    one, other = make(per_minute), make(per_minute)
    one.acquire(HOST)
    one.block(HOST, 3600)
    one.block(HOST, 5)  # takes nothing back
    for throttle in (one, other):
        with pytest.raises(RateLimited, match="asked us to wait") as caught:
            throttle.acquire(HOST)
        assert caught.value.retry_after is not None
        assert 3000 < caught.value.retry_after <= 3600
    assert 0 < redis.ttl(BLOCKED) <= 3600


def test_blocking_for_no_time_blocks_nobody(redis: Redis, make: Make) -> None:
    throttle = make(0)
    throttle.block(HOST, 0)
    throttle.block(HOST, -1)
    throttle.acquire(HOST)
    assert not redis.exists(BLOCKED)


def test_a_short_block_is_waited_for(redis: Redis, make: Make) -> None:
    waits: list[float] = []

    def pass_time(seconds: float) -> None:
        waits.append(seconds)
        redis.delete(BLOCKED)

    throttle = make(0, sleep=pass_time)
    with capture_logs() as lines:
        for _ in range(2):  # of several who wait for the same, one says so
            throttle.block(HOST, 50)
            throttle.acquire(HOST)
    assert len(waits) == 2
    assert 0 < waits[0] <= 50
    assert [(line["event"], line["host"], line["cause"]) for line in lines] == [
        ("throttle.waits", HOST, "it asked us to wait")
    ]


def test_a_block_that_comes_while_waiting_for_a_slot_counts(redis: Redis, make: Make) -> None:
    throttle = make(60, sleep=lambda _: make(60).block(HOST, 3600))
    make(60).acquire(HOST)
    with pytest.raises(RateLimited, match="asked us to wait"):
        throttle.acquire(HOST)


@pytest.mark.parametrize("per_minute", [6000.0, 0.0])
def test_a_host_that_keeps_failing_is_left_alone_by_all(make: Make, per_minute: float) -> None:
    one, other = make(per_minute), make(per_minute)
    for _ in range(FAILURES - 1):
        one.acquire(HOST)
        one.failed(HOST)
    other.acquire(HOST)
    other.failed(HOST)
    for throttle in (one, other):
        with pytest.raises(SourceUnavailable, match="5 times in a row") as caught:
            throttle.acquire(HOST)
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 60


def test_an_answer_ends_the_row_of_failures(make: Make) -> None:
    one, other = make(0), make(0)
    for throttle in (one, other):
        for _ in range(FAILURES - 1):
            throttle.failed(HOST)
        throttle.acquire(HOST)
        throttle.succeeded(HOST)
    other.failed(HOST)
    one.acquire(HOST)


def test_after_the_pause_one_failure_closes_again_and_one_answer_opens(redis: Redis, make: Make) -> None:
    throttle = make(0)
    for _ in range(FAILURES):
        throttle.failed(HOST)
    redis.delete(CLOSED)  # the pause is over
    throttle.acquire(HOST)
    throttle.failed(HOST)
    with pytest.raises(SourceUnavailable):
        throttle.acquire(HOST)
    redis.delete(CLOSED)
    throttle.acquire(HOST)
    throttle.succeeded(HOST)
    throttle.failed(HOST)
    throttle.acquire(HOST)


def test_without_a_retry_delay_there_is_no_pause(make: Make) -> None:
    throttle = make(0, retry_delay=0)
    for _ in range(2 * FAILURES):
        throttle.failed(HOST)
    throttle.acquire(HOST)


def test_a_host_without_a_rate_costs_few_looks(redis: Redis, make: Make) -> None:
    throttle = make(0)
    redis.config_resetstat()
    began = time.monotonic()
    for _ in range(500):
        throttle.acquire(HOST)
        throttle.succeeded(HOST)
    allowed = 2 + (time.monotonic() - began) / LOOK_EVERY
    stats = redis.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] <= allowed
    assert "cmdstat_del" not in stats
    assert not redis.exists(SLOT)


def test_threads_of_one_throttle_do_not_lose_slots(redis: Redis, make: Make) -> None:
    throttle = make(600)
    start = now_of(redis)
    threads = [threading.Thread(target=lambda: [throttle.acquire(HOST) for _ in range(5)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert next_slot(redis) >= start + 4


def test_what_remains_of_the_next_minute(redis: Redis, make: Make) -> None:
    assert make(0).remaining(HOST) is None
    assert make(60).remaining("elsewhere.test") is None
    throttle = make(60)
    assert throttle.remaining(HOST) == 60
    for _ in range(30):
        throttle.acquire(HOST)
    left = throttle.remaining(HOST)
    assert left is not None
    assert 30 <= left < 60
    slot = next_slot(redis)
    assert throttle.remaining(HOST) is not None
    assert next_slot(redis) == slot  # looking takes nothing
    throttle.block(HOST, 3600)
    assert throttle.remaining(HOST) == 0


def test_without_redis_nothing_is_asked_and_no_error_is_hidden() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with Redis(host="127.0.0.1", port=port, retry=None) as client:
        throttle = RedisThrottle(client, {HOST: 60.0}, retry_delay=60)
        with pytest.raises(Retryable, match="Redis is away"):
            throttle.acquire(HOST)
        throttle.failed(HOST)
        throttle.succeeded(HOST)
        throttle.block(HOST, 5)


def test_the_null_throttle_lets_all_through() -> None:
    throttle = NullThrottle()
    throttle.block(HOST, 3600)
    throttle.failed(HOST)
    throttle.succeeded(HOST)
    throttle.acquire(HOST, background=True)
    assert throttle.remaining(HOST) is None
