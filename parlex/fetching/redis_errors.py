"""What an error of Redis means, as one line that a person can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator

from redis import exceptions

MEND = "mend REDIS_URL"
AWAY = "Redis does not answer"

# By kind where redis-py has one, by Redis's own sentence elsewhere. The first that fits is meant.
_SENTENCES = [
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate",
        f"Redis's certificate is of an authority not known here: set SSL_CERT_FILE, or {MEND}",
    ),
    (r"WRONG_VERSION_NUMBER|RECORD_LAYER|\[SSL", f"no TLS connection to Redis (redis:// speaks none): {MEND}"),
    (r"Connection refused", f"{AWAY} (connection refused): start it, or {MEND}"),
    (r"Name or service not known|name resolution|nodename", f"{AWAY}: its host name is not known here: {MEND}"),
    (r"No route to host|unreachable", f"{AWAY} (no way to it): look at the network, or {MEND}"),
    (r"closed|reset by peer", f"{AWAY} (it closed the connection): a port for TLS wants rediss://; {MEND}"),
    (r"DB index is out of range|invalid DB index", f"Redis has no database of that number: {MEND}"),
    (r"max number of clients", "Redis takes no more connections: raise maxclients, or end some"),
    (r"MISCONF|to persist|save RDB", "Redis refuses writes: it cannot save to its disk; look at its log"),
    (
        r"NOAUTH|Authentication required|must be called with the client already authenticated",
        f"Redis asks for a password, and REDIS_URL has none: {MEND}",
    ),
]
_HEALS = re.compile(r"connection refused|no way to it|closed the connection|timed out|no more connections|is loading")


def explain(error: BaseException) -> str | None:
    """The cause and what to do, in one line without secrets; None for what is no trouble with the server.

    Takes errors of redis-py and of anything that was raised from one, as kombu does.
    """
    return next((told for one in _chain(error) if (told := _cause_of(one))), None)


def can_heal(error: BaseException) -> bool:
    """Whether the same call may succeed later though nobody mends anything. A wrong password stays wrong."""
    told = explain(error)
    return told is not None and _HEALS.search(told) is not None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _cause_of(error: BaseException) -> str | None:
    if not isinstance(error, exceptions.RedisError):
        return None
    text = str(error)
    if isinstance(error, exceptions.OutOfMemoryError):
        return "Redis is full and refuses writes: raise maxmemory, or make room"
    if isinstance(error, exceptions.ReadOnlyError):
        return f"Redis is a read-only replica: name the primary in REDIS_URL, or {MEND}"
    if isinstance(error, exceptions.BusyLoadingError):
        return f"{AWAY}: it is loading its data"
    if isinstance(error, exceptions.NoPermissionError):
        return f"Redis's user lacks a right ({_first_line(text)}): see docs/deployment.md for those it needs"
    for pattern, told in _SENTENCES:
        if re.search(pattern, text, re.IGNORECASE):
            return told
    if isinstance(error, exceptions.AuthenticationError):
        return f"Redis refuses the user or the password: {MEND}"
    if isinstance(error, exceptions.InvalidResponse):
        return f"what answers at the address of Redis is no Redis: {MEND}"
    if isinstance(error, exceptions.TimeoutError):
        return f"{AWAY} (timed out): start it, or {MEND}"
    return f"{AWAY}: start it, or {MEND}" if isinstance(error, exceptions.ConnectionError) else None


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
