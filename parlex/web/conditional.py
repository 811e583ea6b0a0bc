"""Answers with a tag: 304 for who has the body, else the body, kept by its tag and compressed once."""

from __future__ import annotations

import gzip
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from parlex.datasets.served import Cover
from parlex.serving.bodies import Bodies, Body
from parlex.serving.tags import Poller

SMALLEST_GZIP = 500  # bytes; less is not worth it
COVERED = "public, max-age=0, must-revalidate"
UNKEPT = "no-store"

Asked = tuple[str, str, bytes, bytes, str]  # see asked_by
_REMEMBERED, _LONGEST = 4096, 1000  # addresses, and bytes of one
_GZIP = "gzip"


@dataclass(frozen=True, slots=True)
class _Known:
    """What an address was found to ask for: whose history covers its body, and which of its bodies it is."""

    covers: tuple[Cover, ...]
    variant: str
    address: str


class Answers:
    """Answers a request from what is kept, or makes its body in a thread.

    What an address asks for is remembered, so that who polls it is answered without its being understood anew.
    """

    def __init__(
        self, poller: Poller, bodies: Bodies, in_thread: Callable[[Callable[[], Body]], Awaitable[Body]]
    ) -> None:
        self._poller, self._bodies, self._in_thread = poller, bodies, in_thread
        self._known: OrderedDict[Asked, _Known] = OrderedDict()

    def at_once(self, scope: Scope) -> Response | None:
        """The answer to what was asked before, where the client has its body or it is kept; None for all else."""
        headers = Headers(scope=scope)
        known = self._known.get(asked_by(scope, headers))
        tag = self._poller.tag(known.covers, known.variant) if known else None
        return self._at_hand(known, tag, headers) if known and tag else None

    async def covered(
        self,
        request: Request,
        covers: Iterable[Cover],
        make: Callable[[], Body],
        variant: str = "",
        *,
        remembered: bool = True,
    ) -> Response:
        """A body that the history covers: 304 where the client has it, before any SQL. ``variant`` tells apart what
        one address may answer. ``remembered`` False: there is more to look at than the tag, each time."""
        known = _Known(tuple(covers), variant, str(request.url))
        tag = self._poller.tag(known.covers, variant)
        if tag is None:
            return await self.uncovered(make)
        answer = self._at_hand(known, tag, request.headers)
        if answer is None:
            body = await self._in_thread(make)
            self._bodies.keep(known.address, tag, "", body)
            answer = self._encoded(known, tag, body, request.headers)
        asked: Asked = request.state.asked
        if remembered and sum(map(len, asked)) <= _LONGEST:
            self._known[asked] = known
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return answer

    async def uncovered(self, make: Callable[[], Body]) -> Response:
        """A body of what no line of the history tells: nobody keeps it."""
        return _response(await self._in_thread(make), {"Cache-Control": UNKEPT})

    def _at_hand(self, known: _Known, tag: str, headers: Headers) -> Response | None:
        """304, or the body that is kept; None where it has to be made."""
        if has(headers, tag):
            return Response(None, 304, self._told(tag))
        if accepts_gzip(headers) and (packed := self._bodies.get(known.address, tag, _GZIP)):
            return _response(packed, self._told(tag))
        body = self._bodies.get(known.address, tag, "")
        return self._encoded(known, tag, body, headers) if body else None

    def _encoded(self, known: _Known, tag: str, body: Body, headers: Headers) -> Response:
        if len(body.content) >= SMALLEST_GZIP and accepts_gzip(headers):
            packed = gzip.compress(body.content, 6, mtime=0)
            body = Body(packed, body.media_type, {**body.headers, "Content-Encoding": _GZIP})
            self._bodies.keep(known.address, tag, _GZIP, body)
        return _response(body, self._told(tag))

    def _told(self, tag: str) -> dict[str, str]:
        seq = str(self._poller.last)
        return {"Cache-Control": COVERED, "Vary": "Accept, Accept-Encoding", "ETag": tag, "Parlex-Seq": seq}


def asked_by(scope: Scope, headers: Headers) -> Asked:
    """What a covered answer to a request is made of, beside its tag: the address with its suffix, and Accept."""
    host, accept = headers.get("Host", ""), headers.get("Accept", "*/*")
    return scope["scheme"], host, scope["raw_path"], scope["query_string"], accept


def has(headers: Headers, tag: str) -> bool:
    """Whether the client has the body of this tag: If-None-Match, compared weakly (RFC 9110, 13.1.2)."""
    wanted = headers.get("If-None-Match")
    if wanted is None:
        return False
    opaque = tag.removeprefix("W/")
    return wanted.strip() == "*" or opaque in (each.strip().removeprefix("W/") for each in wanted.split(","))


def accepts_gzip(headers: Headers) -> bool:
    """By Accept-Encoding; ``gzip;q=0`` refuses it."""
    for each in headers.get("Accept-Encoding", "").split(","):
        name, _, weight = each.partition(";")
        if name.strip().lower() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _response(body: Body, headers: Mapping[str, str]) -> Response:
    return Response(body.content, 200, {**headers, **body.headers}, body.media_type)
