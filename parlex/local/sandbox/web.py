"""A small HTTP/1.1 server on asyncio: keep-alive, gzip, and answers that can be late, cut short or wrong."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, quote, unquote, urlsplit

_MAX_HEAD = 64 * 1024
_MAX_BODY = 1024 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}  # front servers send others too, such as 520
_GZIP_FROM = 200  # bytes; below that gzip only adds
_BLANKS = b" " * 65536


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    def with_path(self, path: str) -> str:
        """The same target under another path."""
        query = urlsplit(self.target).query
        return f"{quote(path)}?{query}" if query else quote(path)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes on the wire. ``delay`` is in seconds; ``cut`` sends half of the body and closes, ``reset`` nothing.

    ``padding``: so many blanks follow the body, which then has no length and ends with the connection.
    """

    status: int
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    kind: str = "other"
    headers: tuple[tuple[str, str], ...] = ()
    packed: bytes | None = None
    delay: float = 0.0
    cut: bool = False
    reset: bool = False
    padding: int = 0


Handler = Callable[[Request], Answer]
Done = Callable[[Request, Answer, int], None]


def pack(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=1, mtime=0)


@dataclass
class Listener:
    """One host: its handler, its open connections and its socket."""

    handler: Handler
    done: Done = lambda request, answer, sent: None
    lost: Callable[[], None] = lambda: None
    connections: set[Connection] = field(default_factory=set)
    server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> int:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Connection(self), host, port, backlog=512)
        return int(self.server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for connection in tuple(self.connections):
            connection.abort()
        await asyncio.sleep(0)


class Connection(asyncio.Protocol):
    """One connection: requests are answered in their order, each when the one before it is done."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._listener.connections.discard(self)
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
            self._listener.lost()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._work()

    def _work(self) -> None:
        while self._transport is not None and self._waiting is None:
            try:
                request = take_request(self._buffer)
            except ValueError as error:
                refusal = Answer(400, str(error).encode(), "text/plain")
                self._write(None, refusal, close=True)
                return
            if request is None:
                return
            self._answer(request)

    def _answer(self, request: Request) -> None:
        answer = self._listener.handler(request)
        if answer.delay > 0:
            loop = asyncio.get_running_loop()
            self._waiting = loop.call_later(answer.delay, self._late, request, answer)
        else:
            self._write(request, answer)

    def _late(self, request: Request, answer: Answer) -> None:
        self._waiting = None
        self._write(request, answer)
        self._work()

    def _write(self, request: Request | None, answer: Answer, *, close: bool = False) -> None:
        if self._transport is None:
            return
        if answer.reset:
            self._transport.abort()
            return
        close = close or answer.cut or answer.padding > 0 or _says_close(request)
        head, body = render(request, answer, close=close)
        sent = body[: len(body) // 2] if answer.cut else body
        self._transport.write(head + sent)
        if request is not None:
            self._listener.done(request, answer, len(sent))
        if answer.padding:
            self._pad(answer.padding)
        elif close:
            self._transport.close()

    def _pad(self, left: int) -> None:
        """Send the blanks no faster than they are taken."""
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() == 0:
            self._transport.write(_BLANKS[:left])
            left -= len(_BLANKS)
        if left > 0:
            asyncio.get_running_loop().call_later(0.0005, self._pad, left)
        else:
            self._transport.close()


def take_request(buffer: bytearray) -> Request | None:
    """Take one whole request off the buffer; None while it is not complete, ValueError when it cannot be one."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > _MAX_HEAD:
            raise ValueError("headers too long")
        return None
    first, *lines = buffer[:end].decode("latin-1").split("\r\n")
    headers = dict(_header(line) for line in lines)
    length = int(headers.get("content-length", "0"))
    if length > _MAX_BODY:
        raise ValueError("body too long")
    if len(buffer) < end + 4 + length:
        return None
    words = first.split(" ")
    if len(words) != 3:
        raise ValueError("not a request line")
    body = bytes(buffer[end + 4 : end + 4 + length])
    del buffer[: end + 4 + length]
    return Request(words[0], words[1], headers, body)


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _says_close(request: Request | None) -> bool:
    return request is not None and request.headers.get("connection", "").lower() == "close"


def render(request: Request | None, answer: Answer, *, close: bool) -> tuple[bytes, bytes]:
    """Head and body, packed where the client takes gzip. ``Content-Length`` tells the whole even when it is cut."""
    body = answer.body
    headers = [("Content-Type", answer.content_type), *answer.headers]
    packs = request is not None and "gzip" in request.headers.get("accept-encoding", "")
    if packs and len(body) >= _GZIP_FROM and not answer.padding:
        body = answer.packed if answer.packed is not None else pack(body)
        headers.append(("Content-Encoding", "gzip"))
    if not answer.padding:
        headers.append(("Content-Length", str(len(body))))
    headers.append(("Connection", "close" if close else "keep-alive"))
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}",
        *(f"{name}: {value}" for name, value in headers),
    ]
    if answer.status == 304:
        body = b""
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), body
