"""The budget of each host, kept in Redis and shared by all workers.

Requests to a host are spaced evenly, without bursts (the generic cell rate algorithm with a burst of one), on the clock
of Redis, so that no minute holds more requests than the rate allows, whoever sends them. Two more facts about a host
are shared: until when it asked us to wait, and whether it failed so often that it is left alone for a while.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import httpx
import redis
import structlog

from parlex.errors import BudgetSpent, RateLimited, Retryable, SourceUnavailable

MAX_WAIT = 60.0  # seconds; who would wait longer gives its thread back and comes again
BACKGROUND_SHARE = 0.8  # of the rate; the rest is room for the scheduled runs
FAILURES = 5  # in a row, of whichever worker, before a host is left alone
LOOK_EVERY = 0.25  # seconds between two looks at the shared state of a host without a rate
LONG_WAIT = 3600.0  # seconds; a host that asks for more is told of to people
_MEMORY = 3600  # seconds; failures further apart than that are not one outage

# The answer to one request for a slot: what to do, microseconds to wait, failures in a row.
# A scheduled caller takes the next free slot, even one in the future. A background caller takes a slot only if it is
# free now, else it is told when to ask again: so it never stands in the queue before a scheduled one.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local blocked, closed, failures = unpack(redis.call('MGET', KEYS[1], KEYS[2], KEYS[3]))
failures = tonumber(failures or 0)
if tonumber(blocked or 0) > now then return {1, blocked - now, failures} end
if tonumber(closed or 0) > now then return {2, closed - now, failures} end
local interval, patience, background = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if interval == 0 then return {0, 0, failures} end
local slot = math.max(now, tonumber(redis.call('GET', KEYS[4]) or 0))
if background > 0 then
  slot = math.max(slot, tonumber(redis.call('GET', KEYS[5]) or 0))
  if slot > now then return {3, slot - now, failures} end
  redis.call('SET', KEYS[5], string.format('%.0f', now + background), 'PX', math.ceil(background / 1000) + 1000)
end
if slot - now > patience then return {4, slot - now, failures} end
local till = slot + interval
redis.call('SET', KEYS[4], string.format('%.0f', till), 'PX', math.ceil((till - now) / 1000) + 1000)
return {0, slot - now, failures}
"""

# Never shortens what the host asked for earlier.
_BLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local till = now + tonumber(ARGV[1])
if tonumber(redis.call('GET', KEYS[1]) or 0) >= till then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', till), 'PX', math.ceil((till - now) / 1000))
return 1
"""

_FAILED = """
local failures = redis.call('INCR', KEYS[2])
redis.call('EXPIRE', KEYS[2], ARGV[3])
local pause = tonumber(ARGV[1])
if failures >= tonumber(ARGV[2]) and pause > 0 then
  local time = redis.call('TIME')
  local till = time[1] * 1000000 + time[2] + pause
  redis.call('SET', KEYS[1], string.format('%.0f', till), 'PX', math.ceil(pause / 1000))
end
return failures
"""

_log = structlog.get_logger(__name__)


def host_of(url: str | httpx.URL) -> str:
    """Name the host of a URL as the throttle knows it: ``www.parl.ca``, ``127.0.0.1:8702``.

    One name for one host: in lower case, without credentials and without a port that goes without saying.
    """
    return httpx.URL(url).netloc.decode("ascii")


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds that a host is still left alone: as it asked us (``blocked``), or as it failed too often (``closed``)."""

    blocked: float
    closed: float


def pause(client: redis.Redis, host: str) -> Pause:
    """How long a host is still left alone; 0 where it is not. RedisError where Redis is away."""
    seconds, micros = client.time()
    now = seconds * 1_000_000 + micros
    until = client.mget(_key("blocked_until", host), _key("closed_until", host))
    blocked, closed = (max(0.0, (float(moment or 0) - now) / 1_000_000) for moment in until)
    return Pause(blocked, closed)


class Throttle(Protocol):
    """Who asks a host goes through here first, and says here how it went."""

    def acquire(self, host: str, *, background: bool = False) -> None:
        """Return when the host may be asked; sleep for that up to a minute.

        RateLimited where the host asked to be left alone for longer, BudgetSpent where its budget gives no room for
        longer; SourceUnavailable while the host is left alone after its failures. All say how long.
        """

    def block(self, host: str, seconds: float) -> None:
        """The host asked everybody to stay away that long."""

    def failed(self, host: str) -> None:
        """The host did not answer, or not with what it promises."""

    def succeeded(self, host: str) -> None:
        """The host answered."""

    def remaining(self, host: str) -> float | None:
        """Requests that the next minute still has room for; None where the host has no limit."""

    def blocked(self, host: str) -> float:
        """Seconds for which the host still asks everybody to stay away; 0 where it does not."""

    def lift(self, host: str) -> bool:
        """Forget that the host asked to be left alone, and that it failed; whether there was anything to forget.

        For a person who knows that it answers again.
        """


class _Answer(IntEnum):
    GO = 0
    BLOCKED = 1
    CLOSED = 2
    ASK_AGAIN = 3
    TOO_LONG = 4


@dataclass(frozen=True, slots=True)
class _Look:
    """The shared state of a host as this process saw it last."""

    at: float
    failures: int


class RedisThrottle:
    """The budget shared by every process that uses the same Redis.

    ``rates`` are requests a minute by host (see ``host_of``); a host that is missing, or whose rate is 0, has no limit.
    ``retry_delay`` is how long, in seconds, a host is left alone after five failures in a row.
    """

    def __init__(
        self,
        client: redis.Redis,
        rates: Mapping[str, float],
        *,
        retry_delay: float,
        max_wait: float = MAX_WAIT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rates = rates
        self._retry_delay = retry_delay
        self._max_wait = max_wait
        self._sleep = sleep
        self._redis = client
        self._take = client.register_script(_TAKE)
        self._block = client.register_script(_BLOCK)
        self._failed = client.register_script(_FAILED)
        self._lock = threading.Lock()
        self._looks: dict[str, _Look] = {}
        self._told: dict[str, float] = {}  # until when it was said that a host asked us to wait

    def acquire(self, host: str, *, background: bool = False) -> None:
        if self._lately_open(host):
            return
        waited = 0.0
        while True:
            answer, wait = self._ask(host, self._max_wait - waited, background)
            if answer is _Answer.GO and wait == 0:
                return
            if answer is not _Answer.GO and (answer is _Answer.CLOSED or waited + wait > self._max_wait):
                raise _refusal(host, answer, wait)
            if answer is _Answer.BLOCKED:
                self._tell(host, wait)
            self._sleep(wait)
            waited += wait
            if answer is _Answer.GO and self._still_open(host):
                return

    def block(self, host: str, seconds: float) -> None:
        if seconds <= 0:
            return
        self._note(host, lambda: self._block(keys=[_key("blocked_until", host)], args=[_micros(seconds)]))
        self._forget(host)

    def failed(self, host: str) -> None:
        keys = [_key("closed_until", host), _key("failures", host)]
        self._note(host, lambda: self._failed(keys=keys, args=[_micros(self._retry_delay), FAILURES, _MEMORY]))
        self._forget(host)

    def succeeded(self, host: str) -> None:
        look = self._looks.get(host)
        if look is not None and look.failures == 0:
            return  # Nothing to clear: this saves a round trip for each request that goes well.
        self._note(host, lambda: self._redis.delete(_key("failures", host)))
        self._remember(host, failures=0)

    def remaining(self, host: str) -> float | None:
        rate = self._rates.get(host, 0.0)
        if rate == 0:
            return None
        _, wait = self._ask(host, -1.0, background=False)  # no patience: looks, and takes no slot
        return max(0.0, rate * (1 - wait / 60))

    def blocked(self, host: str) -> float:
        try:
            left: int = self._redis.pttl(_key("blocked_until", host))
        except redis.RedisError as error:
            raise _no_budget(host, error) from error
        return max(left, 0) / 1000

    def lift(self, host: str) -> bool:
        keys = [_key(name, host) for name in ("blocked_until", "closed_until", "failures")]
        try:
            gone: int = self._redis.delete(*keys)
        except redis.RedisError as error:
            raise _no_budget(host, error) from error
        self._forget(host)
        return gone > 0

    def _tell(self, host: str, wait: float) -> None:
        """Say once what all threads wait for, so that nobody takes it for standing still."""
        now = time.monotonic()
        with self._lock:
            known = self._told.get(host, now) > now
            self._told[host] = now + wait
        if not known:
            _log.warning("throttle.waits", host=host, seconds=round(wait), cause="it asked us to wait")

    def _lately_open(self, host: str) -> bool:
        """A host without a rate is looked up a few times a second, not for each of its requests."""
        look = self._looks.get(host)
        if self._rates.get(host, 0.0) or look is None or look.failures:
            return False
        return time.monotonic() - look.at < LOOK_EVERY

    def _still_open(self, host: str) -> bool:
        """After a sleep for a slot: nobody was told meanwhile to stay away."""
        try:
            return not self._redis.exists(_key("blocked_until", host), _key("closed_until", host))
        except redis.RedisError as error:
            raise _no_budget(host, error) from error

    def _ask(self, host: str, patience: float, background: bool) -> tuple[_Answer, float]:
        interval = 60 / self._rates[host] if self._rates.get(host) else 0.0
        names = ("blocked_until", "closed_until", "failures", "slot", "background_slot")
        args = [_micros(interval), _micros(patience), _micros(interval / BACKGROUND_SHARE if background else 0.0)]
        try:
            answer, wait, failures = self._take(keys=[_key(name, host) for name in names], args=args)
        except redis.RedisError as error:
            raise _no_budget(host, error) from error
        if answer == _Answer.GO:
            self._remember(host, failures=failures)
        return _Answer(answer), wait / 1_000_000

    def _note(self, host: str, write: Callable[[], object]) -> None:
        """Write what happened. Redis being away must not hide the error that the caller is about to raise."""
        try:
            write()
        except redis.RedisError as error:
            _log.warning("throttle.not_noted", host=host, error=type(error).__name__)

    def _remember(self, host: str, *, failures: int) -> None:
        with self._lock:
            self._looks[host] = _Look(time.monotonic(), failures)

    def _forget(self, host: str) -> None:
        with self._lock:
            self._looks.pop(host, None)


def _key(name: str, host: str) -> str:
    """The braces keep a host's keys on one node of a Redis cluster, as scripts need them."""
    return f"parlex:throttle:{name}:{{{host}}}"


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _refusal(host: str, answer: _Answer, wait: float) -> Retryable:
    if answer is _Answer.CLOSED:
        said = f"{host} failed {FAILURES} times in a row; left alone for {wait:.0f} s"
        return SourceUnavailable(said, retry_after=wait)
    if answer is _Answer.BLOCKED:
        return RateLimited(f"{host} asked us to wait; {wait:.0f} s are left", retry_after=wait)
    return BudgetSpent(f"the budget for {host} is spent; room in {wait:.0f} s", retry_after=wait)


def _no_budget(host: str, error: redis.RedisError) -> Retryable:
    return Retryable(f"the budget for {host} cannot be read: Redis is away ({type(error).__name__})")
