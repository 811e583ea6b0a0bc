"""A client that costs little: requests made beforehand, sent over connections that stay open."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Self

HOST = "127.0.0.1"
_PIECE = 1 << 18  # bytes
_SECONDS = 30.0  # for one answer


def request(port: int, target: str, **headers: str) -> bytes:
    """A GET. An underscore in the name of a header stands for a hyphen."""
    lines = [f"GET {target} HTTP/1.1", f"Host: {HOST}:{port}", "Accept: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


class Connection:
    """One answer at a time: ``send``, then ``receive`` until it is whole."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._got = b""
        self._whole: int | None = None  # bytes of the answer, 0 for one in chunks; None before its head is there
        self.status = 0
        self.head = b""
        self.began = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, request: bytes) -> None:
        self._got, self._whole = b"", None
        self.began = perf_counter()
        self._socket.sendall(request)

    def receive(self) -> bool:
        """Take what has come. Whether the answer is whole."""
        piece = self._socket.recv(_PIECE)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self._got = self._got + piece if self._got else piece
        if self._whole is None:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.head = self._got[:end]
            self.status = int(self.head[9:12])
            self._whole = self._length(end + 4)
        return len(self._got) >= self._whole if self._whole else self._got.endswith(b"\r\n0\r\n\r\n")

    def _length(self, body: int) -> int:
        """Of the whole answer, whose body begins there; 0 where it comes in chunks."""
        if length := self.header("content-length"):
            return body + int(length)
        return body if self.status == 304 else 0

    def ask(self, request: bytes) -> bytes:
        """The body of an answer. RuntimeError for a status but 200."""
        self.send(request)
        while not self.receive():
            pass
        body = self._got.partition(b"\r\n\r\n")[2]
        if self.status != 200:
            raise RuntimeError(f"{self.status} for {request.split()[1].decode()}: {body[:200].decode()}")
        return body if self._whole else b"".join(_chunks(body))

    def header(self, name: str) -> str:
        """Of the last answer; an empty text where it has none. The name in lower case."""
        at = self.head.lower().find(f"\r\n{name}:".encode())
        return self.head[at + len(name) + 3 :].partition(b"\r\n")[0].strip().decode() if at >= 0 else ""


def _chunks(body: bytes) -> Iterable[bytes]:
    while True:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return
        yield body[:length]
        body = body[length + 2 :]


def latencies(port: int, requests: Sequence[bytes], *, connections: int = 1, status: int = 200) -> list[float]:
    """Ask them in their order, each connection the next once it has its answer. Seconds of each.

    RuntimeError for another status.
    """
    waiting, found = iter(requests), []
    opened = [Connection(port) for _ in range(connections)]
    busy = {one.fileno(): one for one in opened}
    try:
        with select.epoll() as ready:
            for one in opened:
                one.send(next(waiting))
                ready.register(one, select.EPOLLIN)
            while busy:
                for number, _ in ready.poll(_SECONDS):
                    one = busy[number]
                    if not one.receive():
                        continue
                    found.append(perf_counter() - one.began)
                    if one.status != status:
                        raise RuntimeError(f"{one.status} where {status} was to come")
                    following = next(waiting, None)
                    if following is None:
                        ready.unregister(one)
                        del busy[number]
                    else:
                        one.send(following)
    finally:
        for one in opened:
            one.__exit__()
    return found
