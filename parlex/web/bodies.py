"""Bodies: made once, kept by their tag, compressed once; and the answers that are made of them."""

from __future__ import annotations

import gzip
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from parlex.datasets.served import Cover
from parlex.web.tags import Poller

KEPT_BYTES = 64 * 1024 * 1024
SMALLEST_GZIP = 500  # bytes; less is not worth it
COVERED = "public, max-age=0, must-revalidate"
UNKEPT = "no-store"


@dataclass(frozen=True, slots=True)
class Body:
    content: bytes
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Bodies:
    """An LRU of bodies by address, tag and encoding."""

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self._most, self._size = most, 0
        self._kept: OrderedDict[tuple[str, str, str], Body] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, address: str, tag: str, encoding: str) -> Body | None:
        with self._lock:
            found = self._kept.get((address, tag, encoding))
            if found is not None:
                self._kept.move_to_end((address, tag, encoding))
            return found

    def keep(self, address: str, tag: str, encoding: str, body: Body) -> None:
        with self._lock:
            before = self._kept.pop((address, tag, encoding), None)
            self._size += len(body.content) - (len(before.content) if before else 0)
            self._kept[address, tag, encoding] = body
            while self._size > self._most:
                _, old = self._kept.popitem(last=False)
                self._size -= len(old.content)


class Answers:
    """Answers a request from what is kept, or makes its body in a thread."""

    def __init__(
        self, poller: Poller, bodies: Bodies, in_thread: Callable[[Callable[[], Body]], Awaitable[Body]]
    ) -> None:
        self._poller, self._bodies, self._in_thread = poller, bodies, in_thread

    async def covered(self, request: Request, covers: Iterable[Cover], make: Callable[[], Body]) -> Response:
        """A body that the history covers: 304 where the client has it, before any SQL."""
        tag = self._poller.tag(covers)
        headers = {"Cache-Control": COVERED, "Vary": "Accept, Accept-Encoding"}
        if tag is None:
            return _response(await self._in_thread(make), {"Cache-Control": UNKEPT})
        headers |= {"ETag": tag, "Parlex-Seq": str(self._poller.last)}
        if has(request, tag):
            return Response(None, 304, headers)
        address = f"{request.url}#{request.state.format}"
        encoding = "gzip" if accepts_gzip(request) else ""
        body = self._bodies.get(address, tag, encoding)
        if body is None:
            body = self._bodies.get(address, tag, "") or await self._in_thread(make)
            self._bodies.keep(address, tag, "", body)
            if encoding and len(body.content) >= SMALLEST_GZIP:
                packed = gzip.compress(body.content, 6, mtime=0)
                body = Body(packed, body.media_type, {**body.headers, "Content-Encoding": "gzip"})
                self._bodies.keep(address, tag, encoding, body)
        return _response(body, headers)

    async def uncovered(self, make: Callable[[], Body]) -> Response:
        """A body of what no line of the history tells: nobody keeps it."""
        return _response(await self._in_thread(make), {"Cache-Control": UNKEPT})


def has(request: Request, tag: str) -> bool:
    """Whether the client has the body of this tag: If-None-Match, compared weakly (RFC 9110, 13.1.2)."""
    wanted = request.headers.get("If-None-Match")
    if wanted is None:
        return False
    opaque = tag.removeprefix("W/")
    return wanted.strip() == "*" or opaque in (each.strip().removeprefix("W/") for each in wanted.split(","))


def accepts_gzip(request: Request) -> bool:
    """By Accept-Encoding; ``gzip;q=0`` refuses it."""
    for each in request.headers.get("Accept-Encoding", "").split(","):
        name, _, weight = each.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _response(body: Body, headers: Mapping[str, str]) -> Response:
    return Response(body.content, 200, {**headers, **body.headers}, body.media_type)
