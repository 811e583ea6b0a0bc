"""Answers with a tag: 304 for who has the body, else the body, kept by its tag and compressed once."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Iterable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from parlex.datasets.served import Cover
from parlex.serving.bodies import Bodies, Body
from parlex.serving.tags import Poller

SMALLEST_GZIP = 500  # bytes; less is not worth it
COVERED = "public, max-age=0, must-revalidate"
UNKEPT = "no-store"


class Answers:
    """Answers a request from what is kept, or makes its body in a thread."""

    def __init__(
        self, poller: Poller, bodies: Bodies, in_thread: Callable[[Callable[[], Body]], Awaitable[Body]]
    ) -> None:
        self._poller, self._bodies, self._in_thread = poller, bodies, in_thread

    async def covered(
        self, request: Request, covers: Iterable[Cover], make: Callable[[], Body], variant: str = ""
    ) -> Response:
        """A body that the history covers: 304 where the client has it, before any SQL. ``variant`` tells apart what
        one address may answer."""
        tag = self._poller.tag(covers, variant)
        headers = {"Cache-Control": COVERED, "Vary": "Accept, Accept-Encoding"}
        if tag is None:
            return _response(await self._in_thread(make), {"Cache-Control": UNKEPT})
        headers |= {"ETag": tag, "Parlex-Seq": str(self._poller.last)}
        if has(request, tag):
            return Response(None, 304, headers)
        address = f"{request.url}"
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
