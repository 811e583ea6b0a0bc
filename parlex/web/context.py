"""What every route needs: the database, the tags, the answers, and the format that a client asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from anyio import CapacityLimiter, fail_after, to_thread
from sqlalchemy import Connection, Engine, select
from starlette.requests import Request

from parlex.datasets.served import Served
from parlex.web import formats
from parlex.web.bodies import Answers, Bodies, Body
from parlex.web.problems import RETRY_SECONDS, Problem
from parlex.web.tags import Poller

PREFIX = "/api/v1"
THREADS = 8  # that ask the database; as many connections as its pool has
PATIENCE = 15.0  # seconds; statements end after three, and a database that is frozen ends none

_ACCEPTED = {
    "application/json": formats.JSON,
    "application/x-ndjson": formats.NDJSON,
    "text/csv": formats.CSV,
    "application/atom+xml": formats.ATOM,
    "text/event-stream": formats.EVENTS,
}


@dataclass
class Streams:
    """The streams of events that are open, and what they may cost. ``heartbeat``: seconds."""

    most: int = 200
    heartbeat: float = 15.0
    open: int = 0


@dataclass
class Context:
    engine: Engine
    poller: Poller
    streams: Streams = field(default_factory=Streams)

    def __post_init__(self) -> None:
        self._limiter: CapacityLimiter | None = None
        self.answers = Answers(self.poller, Bodies(), self.in_thread)

    async def in_thread(self, make: Callable[[], Any]) -> Any:
        """Run what asks the database. Threads of its own, so that nothing else waits for them. Problem 503 after
        ``PATIENCE``: the wait for a thread counts too."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(THREADS)
        try:
            with fail_after(PATIENCE):
                return await to_thread.run_sync(make, limiter=self._limiter, abandon_on_cancel=True)
        except TimeoutError:
            detail = "the database does not answer in time, or too many ask at once"
            raise Problem(503, detail, headers={"Retry-After": str(RETRY_SECONDS)}) from None

    def format(self, request: Request, *offered: str) -> str:
        """The suffix of the address, or else what Accept prefers of those that are offered. Problem 406 for others."""
        suffix = request.state.format
        if suffix is not None:
            if suffix not in offered:
                raise Problem(406, f"there is no .{suffix} of this; there is: {', '.join(offered)}")
            return str(suffix)
        return accepted(request.headers.get("Accept", "*/*"), offered)


def key_of(served: Served, request: Request) -> str:
    """The key that the path names. Problem 404 for parts that make none."""
    try:
        return served.key(request.path_params)
    except ValueError as error:
        raise Problem(404, str(error)) from None


def require_held(db: Connection, served: Served, key: str) -> None:
    """Problem 404 where the mirror holds no record of that key."""
    if db.execute(select(served.identity).where(served.identity == key)).first() is None:
        raise not_held(key)


def not_held(key: str) -> Problem:
    return Problem(404, f"the mirror does not hold {key}")


def accepted(accept: str, offered: tuple[str, ...]) -> str:
    """What Accept prefers (RFC 9110, 12.5.1), the first offered where it does not care. Problem 406 for none."""
    best: tuple[float, str] | None = None
    for each in accept.split(","):
        name, *parameters = (part.strip().lower() for part in each.split(";"))
        weight = next((_weight(one[2:]) for one in parameters if one.startswith("q=")), 1.0)
        chosen = _ACCEPTED.get(name)
        if name in ("*/*", "application/*"):
            chosen = offered[0]
        if chosen in offered and weight > 0 and (best is None or weight > best[0]):
            best = (weight, str(chosen))
    if best is None:
        raise Problem(406, f"none of {accept:.200} is offered; there is: {', '.join(offered)}")
    return best[1]


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def json_body(value: Any, **headers: str) -> Body:
    return Body(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(), headers=headers)


def address_with(request: Request, **parameters: Any) -> str:
    """The address of a request with other parameters, and with its suffix."""
    suffix = f".{request.state.format}" if request.state.format else ""
    address = request.url.include_query_params(**parameters)
    return str(address.replace(path=address.path + suffix) if suffix else address)
