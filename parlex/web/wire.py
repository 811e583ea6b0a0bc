"""The connections: uvicorn's, with a bound on what a client may take. None of them holds a thread.

A client has so many bytes for the head of a request, so many seconds for a whole request, and has to take an answer at
so many bytes a second; one that does not is ended.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from signal import SIGINT, SIGTERM, signal
from threading import current_thread, main_thread
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from parlex.errors import ConfigurationError
from parlex.serving.problems import Problem
from parlex.web.door import URL_BYTES, headers_of
from parlex.web.problems import response

HEAD_BYTES = 64 * 1024
BACKLOG = 1024

_WORDS = {
    400: "that is no HTTP request",
    408: "the request did not come in time",
    414: f"the address has more than {URL_BYTES} bytes",
    431: f"the headers have more than {HEAD_BYTES} bytes",
    503: "there are too many connections",
}


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for a request, from its first byte, or from the connection, to its last byte; and seconds in which a
    client has to take at least so many bytes of what waits for it. And how many connections there are at most: a
    process has 1,024 descriptors where nobody gives it more."""

    request: float = 20.0
    take: float = 20.0
    take_bytes: int = 64 * 1024
    connections: int = 900


USUAL_PATIENCE = Patience()


class Connection(HttpToolsProtocol):
    """One connection, as uvicorn has it."""

    def __init__(self, patience: Patience, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._patience = patience

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._began: float | None = self.loop.time()  # of the request that is not whole yet
        self._heard = self._head = 0
        self._refused = 400
        self._unsent: tuple[float, int] | None = None
        if len(self.connections) > self._patience.connections:
            self._refuse(503)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._began is not None and self._head == 0:
            self._heard += len(data)
            if self._heard > HEAD_BYTES:
                self._refuse(self._too_large())

    def on_message_begin(self) -> None:
        self._began, self._heard, self._head = self.loop.time(), 0, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if self._head > HEAD_BYTES:
            self._refused = self._too_large()
            raise ValueError("the head is too large")  # the parser's way out, which ends in send_400_response
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._began = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refused)

    def look(self, now: float) -> None:
        """End the connection where the client takes too long."""
        waiting = self.transport.get_write_buffer_size()
        if not waiting:
            self._unsent = None
        elif self._unsent is None:
            self._unsent = now, waiting
        elif now - self._unsent[0] > self._patience.take:
            if self._unsent[1] - waiting < self._patience.take_bytes:
                self.transport.abort()
                return
            self._unsent = now, waiting
        if self._began is not None and now - self._began > self._patience.request:
            if self._heard or self._head:
                self._refuse(408)
            else:
                self.transport.close()

    def leave(self) -> None:
        """The server ends: nobody waits for the rest of a request."""
        if self._began is not None:
            self.transport.abort()

    def _too_large(self) -> int:
        return 414 if len(self.url) > URL_BYTES else 431

    def _refuse(self, status: int) -> None:
        """Answer before there is a request, and hang up; where an answer is under way, only that."""
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()
            return
        answer = response(Problem(status, _WORDS[status]))
        told = [*headers_of(answer), (b"connection", b"close")]
        lines = [name + b": " + value + b"\r\n" for name, value in told]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", bytes(answer.body)]))
        self.transport.close()


class Server(uvicorn.Server):
    """Listens from the beginning. ``stopping`` is called first when it is told to end, so that streams do."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        stopping: Callable[[], None],
        started: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._stopping, self._started = stopping, started
        self._socket = listening(config.host, config.port)

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve(sockets or [self._socket])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        address = self.address
        await super().startup(sockets)
        if self._started is not None:
            self._started(address)

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in self._connections():
                connection.look(now)
        return await super().on_tick(counter)

    def _connections(self) -> list[Connection]:
        return [one for one in self.server_state.connections if isinstance(one, Connection)]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        for connection in self._connections():
            connection.leave()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but that the signal is not sent again at the end: to be told to end is no failure."""
        if current_thread() is not main_thread():
            yield
            return
        before = {number: signal(number, self.handle_exit) for number in (SIGINT, SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal(number, handler)

    def close(self) -> None:
        self._socket.close()


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; ConfigurationError where it cannot."""
    try:
        places: Any = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, place = places[0]
        return socket.create_server(place[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(f"port {port} of {host} cannot be used ({error.strerror}): choose another") from None
