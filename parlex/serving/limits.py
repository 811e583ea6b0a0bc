"""How often a client may ask: the generic cell rate algorithm, as the budget of a host has it (fetching/throttle.py).

A decision is made in this process and waits for nothing, so that a 304 costs no word with Redis. What was taken is told
to Redis a few times a second, which answers what all processes together gave the same client. So several processes
share one limit, but for what they give within such a moment. Without Redis each has a limit of its own.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from dataclasses import dataclass

import structlog
from redis import Redis, RedisError

log = structlog.get_logger(__name__)

WINDOW = 60.0  # seconds; a quota may be taken at once, and comes back evenly over so long
SHARE_SECONDS = 0.25
MOST_CLIENTS = 50_000  # that are remembered
_AT_ONCE = 500  # clients in one word with Redis
_ROUNDING = 1e-6

# By the clock of Redis: for each client the microseconds until its quota is whole again, after what it took here.
_ADD = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for i, key in ipairs(KEYS) do
  local till = math.max(now, tonumber(redis.call('GET', key) or 0)) + tonumber(ARGV[i])
  redis.call('SET', key, string.format('%.0f', till), 'PX', math.ceil((till - now) / 1000) + 1000)
  answers[i] = till - now
end
return answers
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """``remaining``: requests that are left now. ``seconds``: until the next one is allowed, or, where this one was,
    until the quota is whole again."""

    allowed: bool
    remaining: int
    seconds: float


class Limits:
    """What each client took. ``redis``: where the processes meet; None for one that stands alone."""

    def __init__(self, redis: Redis | None = None) -> None:
        self._redis = redis
        self._add = redis.register_script(_ADD) if redis is not None else None
        self._lock = threading.Lock()
        self._till: dict[str, float] = {}  # when the quota is whole again, by the monotonic clock
        self._untold: dict[str, float] = {}  # seconds of the window that Redis has not heard of
        self._stopped = threading.Event()
        self._away = False

    def start(self) -> None:
        if self._redis is not None:
            threading.Thread(target=self._run, name="limits", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def take(self, client: str, quota: int) -> Verdict:
        """Whether the client may ask once more; ``quota`` is in requests a minute."""
        now, interval = time.monotonic(), WINDOW / quota
        with self._lock:
            till = max(now, self._till.get(client, 0.0)) + interval
            left = WINDOW - (till - now)
            if left < -_ROUNDING:
                return Verdict(False, 0, -left)
            if client not in self._till and len(self._till) >= MOST_CLIENTS:
                self._forget(now)
            self._till[client] = till
            if self._redis is not None:
                self._untold[client] = self._untold.get(client, 0.0) + interval
        return Verdict(True, int(left / interval + _ROUNDING), till - now)

    def _forget(self, now: float) -> None:
        """Those whose quota is whole; all, where that leaves too many: rather that than memory without an end."""
        self._till = {client: till for client, till in self._till.items() if till > now}
        if len(self._till) > MOST_CLIENTS // 2:
            self._till.clear()

    def _run(self) -> None:
        while not self._stopped.wait(SHARE_SECONDS):
            try:
                self.share()
            except (RedisError, ValueError) as error:  # a client that is closed meanwhile raises the latter
                if not self._away:
                    log.warning("limits not shared", error=type(error).__name__)
                self._away = True
            else:
                self._away = False

    def share(self) -> None:
        """Tell Redis what was taken, and learn what others gave. RedisError where it is away."""
        with self._lock:
            untold, self._untold = list(self._untold.items()), {}
        for begin in range(0, len(untold), _AT_ONCE):
            some = untold[begin : begin + _AT_ONCE]
            keys = [f"parlex:limit:{client}" for client, _ in some]
            assert self._add is not None
            answers = self._add(keys=keys, args=[round(taken * 1_000_000) for _, taken in some])
            now = time.monotonic()
            with self._lock:
                for (client, _), micros in zip(some, answers, strict=True):
                    self._till[client] = max(self._till.get(client, 0.0), now + micros / 1_000_000)


def client_of(host: str) -> str:
    """Who asks, by an address: of IPv6 the network of 64 bits, since a single client has all of it."""
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


def is_local(host: str) -> bool:
    """Whether an address is that of this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
