"""What every route needs: the database, the tags, the answers, and the format that a client asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine
from starlette.requests import Request

from parlex.serving.bodies import Bodies
from parlex.serving.formats import accepted
from parlex.serving.problems import Problem, away
from parlex.serving.tags import Poller
from parlex.serving.threads import Threads
from parlex.web.conditional import Answers

THREADS = 8  # that ask the database; as many connections as its pool has
PATIENCE = 15.0  # seconds; statements end after three, and a database that is frozen ends none


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
        self._threads = Threads(THREADS, PATIENCE)
        self.answers = Answers(self.poller, Bodies(), self.in_thread)

    async def in_thread(self, make: Callable[[], Any]) -> Any:
        """Run what asks the database. Problem 503 after ``PATIENCE``: the wait for a thread counts too."""
        try:
            return await self._threads.run(make)
        except TimeoutError:
            raise away("the database does not answer in time, or too many ask at once") from None

    def format(self, request: Request, *offered: str) -> str:
        """The suffix of the address, or else what Accept prefers of those that are offered. Problem 406 for others."""
        suffix = request.state.format
        if suffix is not None:
            if suffix not in offered:
                raise Problem(406, f"there is no .{suffix} of this; there is: {', '.join(offered)}")
            return str(suffix)
        return accepted(request.headers.get("Accept", "*/*"), offered)


def address_with(request: Request, **parameters: Any) -> str:
    """The address of a request with other parameters, and with its suffix."""
    suffix = f".{request.state.format}" if request.state.format else ""
    address = request.url.include_query_params(**parameters)
    return str(address.replace(path=address.path + suffix) if suffix else address)
