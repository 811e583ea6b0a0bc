"""The outermost layer: who asks, how often, how much; and what every answer says beside itself."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any
from uuid import uuid4

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parlex import logs
from parlex.answers import counted
from parlex.serving.keys import Key, Keys
from parlex.serving.limits import WINDOW, Limits, Verdict, client_of, is_local
from parlex.serving.problems import Problem
from parlex.web.problems import response

log = structlog.get_logger(__name__)

URL_BYTES = 8 * 1024
BODY_BYTES = 64 * 1024
BODY_SECONDS = 10.0  # for a client to send its body
UNLIMITED = ("/livez", "/readyz")
USUAL_RATE = 600  # requests a minute of a client from elsewhere, where no setting says otherwise

SECURITY = (
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"cross-origin"),
)
_READS = ("GET", "HEAD", "OPTIONS")
_EXPOSED = (
    b"Content-Encoding, ETag, Link, Parlex-Checked-At, Parlex-Epoch, Parlex-Next-After, Parlex-Seq, "
    b"RateLimit, RateLimit-Policy, Request-Id, Retry-After, Vary"
)
_CORS = ((b"access-control-allow-origin", b"*"), (b"access-control-expose-headers", _EXPOSED))
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, If-None-Match, Last-Event-ID, Request-Id",
    "Access-Control-Max-Age": "86400",
    "Cache-Control": "no-store",
}
_REQUEST_ID = re.compile(rb"[\w.:/+=-]{1,100}", re.ASCII)
_HOST = re.compile(rb"[a-zA-Z0-9._-]{1,253}(:\d{1,5})?|\[[0-9a-fA-F:.]{2,45}\](:\d{1,5})?")
_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


@dataclass(frozen=True, slots=True)
class Rates:
    """Requests a minute; 0: no limit. ``anonymous`` None: the usual one, and none for this machine itself."""

    anonymous: int | None = None
    key: int = 6000


@dataclass(slots=True)
class _Asked:
    """One request on its way, and what its answer says beside itself."""

    scope: Scope
    headers: Mapping[bytes, bytes]
    more: list[tuple[bytes, bytes]] = field(default_factory=list)
    status: int | None = None
    complete: bool = False

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def host(self) -> str:
        client = self.scope.get("client")
        return str(client[0]) if client else ""


class Door:
    def __init__(self, app: ASGIApp, limits: Limits, keys: Keys, rates: Rates) -> None:
        self._app, self._limits, self._keys, self._rates = app, limits, keys, rates
        self._told = logging.getLogger(__name__)
        self._unnamed: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = _Asked(scope, dict(scope["headers"]))
        given = asked.headers.get(b"request-id", b"")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex.encode()
        asked.more += (*(_CORS if asked.method in _READS else ()), (b"request-id", request_id))
        began = time.perf_counter()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                asked.status = message["status"]
                own = message["headers"] = list(message.get("headers", ()))
                names = {name for name, _ in own}
                own += [each for each in (*SECURITY, *asked.more) if each[0] not in names]
            else:
                asked.complete = not message.get("more_body", False)
            await send(message)

        with logs.about(request_id=request_id.decode("ascii")):
            await self._let_in(asked, receive, answer)
            if self._told.isEnabledFor(logging.DEBUG):
                seconds = round(time.perf_counter() - began, 4)
                about = {"client": asked.host, "method": asked.method, "path": scope["path"]}
                log.debug("answered", **about, status=asked.status, seconds=seconds)

    async def _let_in(self, asked: _Asked, receive: Receive, send: Send) -> None:
        try:
            _look(asked)
            if asked.method == "OPTIONS" and b"access-control-request-method" in asked.headers:
                await Response(None, 204, _PREFLIGHT)(asked.scope, receive, send)
                return
            key = await self._whose(asked)
            asked.scope["state"] = {**asked.scope.get("state", {}), "key": key}
            if asked.method not in _READS:
                receive = await _whole(receive)
            await self._app(asked.scope, receive, send)
        except Problem as problem:
            await response(problem)(asked.scope, receive, send)
        except _Gone:
            return
        except asyncio.CancelledError:
            # Only the end of the server does that, to what takes longer than its grace.
            if asked.status is None:
                await response(Problem(503, "the server ends"))(asked.scope, receive, send)
        except Exception as error:
            # What the application has answered, it has logged too.
            if asked.status is None:
                log.error("request failed", path=asked.scope["path"], exc_info=error)
                failed = Problem(500, "the server failed; the log says more")
                await response(failed)(asked.scope, receive, send)
            elif not asked.complete:
                raise

    async def _whose(self, asked: _Asked) -> Key | None:
        """Who asks, where that is not too often. Problem 429, or 401 for a key that is wrong."""
        if asked.scope["path"] in UNLIMITED:
            return None
        self._look_for_proxies(asked)
        if (authorization := asked.headers.get(b"authorization")) is None:
            self._take(asked, *self._anonymous(asked))
            return None
        try:
            key = await self._keys.whose(authorization.decode("latin-1"))
        except Problem:
            # Who tries keys is limited as who has none.
            self._take(asked, *self._anonymous(asked))
            raise
        if key is None:
            self._take(asked, *self._anonymous(asked))
        else:
            self._take(asked, "key", f"key:{key.id}", self._rates.key)
        return key

    def _anonymous(self, asked: _Asked) -> tuple[str, str, int]:
        rate = self._rates.anonymous
        if rate is None:
            rate = 0 if is_local(asked.host) else USUAL_RATE
        return "client", client_of(asked.host), rate

    def _take(self, asked: _Asked, policy: str, client: str, quota: int) -> None:
        """Count the request. The headers are those of draft-ietf-httpapi-ratelimit-headers-10."""
        if quota == 0:
            return
        verdict = self._limits.take(client, quota)
        asked.more.append((b"ratelimit-policy", f'"{policy}";q={quota};w={WINDOW:.0f}'.encode()))
        asked.more.append((b"ratelimit", f'"{policy}";r={verdict.remaining};t={_seconds(verdict)}'.encode()))
        if not verdict.allowed:
            detail = f"more than {quota} a minute: ask again in {counted(_seconds(verdict), 'second')}"
            headers = {"Retry-After": str(_seconds(verdict))}
            raise Problem(429, detail, kind=_EXCEEDED, headers=headers, **{"violated-policies": [policy]})

    def _look_for_proxies(self, asked: _Asked) -> None:
        """Uvicorn has put the client in the place of a proxy that is named. One that is not is told of once."""
        if b"x-forwarded-for" in asked.headers and is_local(asked.host) and asked.host not in self._unnamed:
            self._unnamed.add(asked.host)
            log.warning("a proxy that PARLEX_WEB_PROXIES does not name: its clients are taken for one", at=asked.host)


class _Gone(Exception):
    """The client is no longer there."""


def _look(asked: _Asked) -> None:
    """Problem for what is too large, or names no host that could be one: addresses in answers are made of it."""
    if len(asked.scope["raw_path"]) + len(asked.scope["query_string"]) + 1 > URL_BYTES:
        raise Problem(414, f"the address has more than {URL_BYTES} bytes")
    host = asked.headers.get(b"host")
    if host is not None and not _HOST.fullmatch(host):
        raise Problem(400, "the header Host is no name of a host")
    length = asked.headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length[:20]) > BODY_BYTES:
        raise _too_large()


async def _whole(receive: Receive) -> Receive:
    """The body, read before anybody works on it: a client that is slow to send holds nothing but its connection."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = b"".join([piece async for piece in _pieces(receive)])
    except TimeoutError:
        raise Problem(408, f"the body did not come within {BODY_SECONDS:.0f} s") from None
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


async def _pieces(receive: Receive) -> Any:
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        piece, more = message.get("body", b""), message.get("more_body", False)
        size += len(piece)
        if size > BODY_BYTES:
            raise _too_large()
        yield piece


def _too_large() -> Problem:
    return Problem(413, f"the body has more than {BODY_BYTES} bytes")


def _seconds(verdict: Verdict) -> int:
    """Whole seconds, and never too few of them."""
    return max(1, ceil(verdict.seconds))


def headers_of(response: Response) -> Iterable[tuple[bytes, bytes]]:
    """Those of an answer that is given before there is a request."""
    return (*response.raw_headers, *SECURITY, *_CORS, (b"request-id", uuid4().hex.encode()))
