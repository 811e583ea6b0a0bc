"""The one polite HTTP client: who we are, the host's budget, timeouts, a cap on size, and errors by what to do next.

It never retries: retries live in one layer, above. Each request, redirects too, goes through the throttle.
"""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import overload
from urllib.request import getproxies, proxy_bypass

import httpx

from parlex.answers import counted
from parlex.errors import NotFound, RateLimited, Refused, Retryable, SourceUnavailable, Unacceptable
from parlex.fetching.document import Document
from parlex.fetching.throttle import Throttle, host_of

MAX_REDIRECTS = 5
MAX_RETRY_AFTER = 366 * 86_400.0  # seconds; a host that says more than a year said nothing we can use
_KEEPALIVE = 60.0  # seconds that an idle connection is kept; a polite pace leaves several between two requests
_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})
_DRAIN = 64 * 1024  # bytes of an error page that are read so that its connection can be used again
_PATIENCE = 10  # times the read timeout: a body that drips longer than that is not coming

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_COME_BACK = frozenset({408, 425})
# A wall before the whole site, as a page that wants to see a browser, says nothing of the one document behind it.
_TURNED_AWAY = frozenset({401, 403})
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json")
_SECONDS = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?")
_VALIDATOR = re.compile(r"[\x20-\x7e]{1,1024}")


class Tally:
    """What one run spent at a source: requests sent, and bytes of bodies on the wire. Shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests = 0
        self.bytes = 0

    def add(self, requests: int = 0, bytes: int = 0) -> None:
        with self._lock:
            self.requests += requests
            self.bytes += bytes

    def take(self) -> tuple[int, int]:
        """What was spent since the last taking: requests, bytes."""
        with self._lock:
            taken = self.requests, self.bytes
            self.requests = self.bytes = 0
        return taken


class Client:
    """Thread-safe; one for each process.

    Timeouts are in seconds: ``read_timeout`` between two pieces of an answer, ``answer_timeout`` for a whole one (by
    default ten times the former). ``max_body_bytes`` counts decoded bytes, and wire bytes too.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        throttle: Throttle,
        connect_timeout: float,
        read_timeout: float,
        max_body_bytes: int,
        answer_timeout: float | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._throttle = throttle
        self._max_body_bytes = max_body_bytes
        self._patience = _PATIENCE * read_timeout if answer_timeout is None else answer_timeout
        self._headers = {"User-Agent": user_agent, "Accept": "application/json", "Accept-Encoding": "gzip"}
        self._timeout = httpx.Timeout(read_timeout, connect=connect_timeout).as_dict()
        self._tls = httpx.create_ssl_context()  # once: reading the certificates takes longer than a request
        self._transport = transport
        self._proxies = {} if transport else getproxies()
        self._spare: defaultdict[str | None, deque[httpx.BaseTransport]] = defaultdict(deque)

    def close(self) -> None:
        for spare in self._spare.values():
            while spare:
                spare.pop().close()

    @contextmanager
    def _line(self, url: httpx.URL) -> Iterator[httpx.BaseTransport]:
        """A transport of httpx for one request at a time, with its connections.

        Shared by threads, its pool now and then closes a connection that another thread has just begun to use (it
        takes the answer's first bytes for the server's goodbye), and looks at all connections for each request. A whole
        client of httpx would do for each request what is not wanted here: cookies, redirects, a second parse of the
        address. It takes twice the processor time.
        """
        proxy = self._proxy(url)
        spare = self._spare[proxy]
        try:
            line = spare.pop()
        except IndexError:
            line = self._transport or httpx.HTTPTransport(
                verify=self._tls, proxy=proxy, limits=httpx.Limits(keepalive_expiry=_KEEPALIVE)
            )
        try:
            yield line
        finally:
            spare.append(line)

    def _proxy(self, url: httpx.URL) -> str | None:
        """The proxy that the environment names for this host. A stand-in on this machine is asked without one."""
        named = self._proxies.get(url.scheme) or self._proxies.get("all")
        if not named or url.host in _THIS_MACHINE or proxy_bypass(url.netloc.decode("ascii")):
            return None
        return named if "://" in named else f"http://{named}"

    @overload
    def get(self, url: str, *, tally: Tally, background: bool = False) -> Document: ...

    @overload
    def get(
        self, url: str, *, tally: Tally, etag: str | None, last_modified: str | None, background: bool = False
    ) -> Document | None: ...

    def get(
        self,
        url: str,
        *,
        tally: Tally,
        etag: str | None = None,
        last_modified: str | None = None,
        background: bool = False,
    ) -> Document | None:
        """GET a JSON document; None if it is not modified since the validators given.

        SourceUnavailable, RateLimited: try later. NotFound, Unacceptable: give up. See ``errors`` for which is which.
        """
        asked = httpx.URL(url)
        # Credentials in a base URL become a header here, so that no error, log line or document shows them.
        auth = httpx.BasicAuth(asked.username, asked.password) if asked.userinfo else None
        headers = _conditions(etag, last_modified)
        if asked.userinfo or asked.fragment:  # else the address need not be taken apart once more
            asked = asked.copy_with(userinfo=b"", fragment=None)
        target = asked
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._ask(target, headers, auth, tally, background)
            if not isinstance(answer, httpx.URL):
                return answer
            target = _same_host(asked, answer)
        raise Unacceptable(f"{asked} redirects more than {MAX_REDIRECTS} times")

    def _ask(
        self, url: httpx.URL, headers: dict[str, str], auth: httpx.Auth | None, tally: Tally, background: bool
    ) -> Document | httpx.URL | None:
        """Send one request, and tell the throttle how it went."""
        host = host_of(url)
        self._throttle.acquire(host, background=background)
        tally.add(requests=1)
        try:
            answer = self._send(url, headers, auth, tally)
        except Retryable as error:
            if error.retry_after is not None:
                self._throttle.block(host, error.retry_after)
            if error.retry_after is None or isinstance(error, SourceUnavailable):
                self._throttle.failed(host)
            raise
        except Refused:
            self._throttle.succeeded(host)
            raise
        self._throttle.succeeded(host)
        return answer

    def _send(
        self, url: httpx.URL, headers: dict[str, str], auth: httpx.Auth | None, tally: Tally
    ) -> Document | httpx.URL | None:
        try:
            with self._line(url) as line:
                request = self._request(url, headers, auth)
                response = line.handle_request(request)
                response.request = request
                try:
                    return self._read(response, tally)
                finally:
                    response.close()
        except httpx.TransportError as error:
            raise SourceUnavailable(f"{url} did not answer: {_cause(error)}") from error

    def _request(self, url: httpx.URL, headers: dict[str, str], auth: httpx.Auth | None) -> httpx.Request:
        request = httpx.Request("GET", url, headers=self._headers | headers, extensions={"timeout": self._timeout})
        return next(auth.auth_flow(request)) if auth else request

    def _read(self, response: httpx.Response, tally: Tally) -> Document | httpx.URL | None:
        status, url = response.status_code, response.request.url
        if status != 200:
            self._drain(response, tally)
        if status == 304 and _is_conditional(response.request):
            return None
        if status in _REDIRECTS:
            return _location(response)
        if status != 200:
            raise _error(response)
        content_type = response.headers.get("Content-Type", "")
        if not _JSON.fullmatch(content_type.partition(";")[0].strip().lower()):
            raise SourceUnavailable(f"{url} answered {content_type[:80] or 'no content type'} instead of JSON")
        body = self._body(response, tally)
        return Document(
            url=str(url),
            status=status,
            fetched_at=datetime.now(UTC),
            content_type=content_type,
            body=body,
            etag=_validator(response.headers.get("ETag")),
            last_modified=_validator(response.headers.get("Last-Modified")),
        )

    def _body(self, response: httpx.Response, tally: Tally) -> bytes:
        """Read and decode the body; neither what comes in nor what it unpacks to may pass the cap."""
        url, encoding = response.request.url, response.headers.get("Content-Encoding", "identity").strip().lower()
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced[:20]) > self._max_body_bytes:
            raise self._too_large(url)
        wire = self._wire(response, tally)
        if encoding in ("", "identity"):
            body = b"".join(wire)
        elif encoding in ("gzip", "x-gzip"):
            body = self._gunzip(wire, url)
        else:
            raise Unacceptable(f"{url} came in the encoding {encoding[:40]!r}, which was not asked for")
        if not body:
            raise SourceUnavailable(f"{url} answered 200 with an empty body")
        return body

    def _wire(self, response: httpx.Response, tally: Tally) -> Iterator[bytes]:
        url, deadline, total = response.request.url, time.monotonic() + self._patience, 0
        for chunk in _raw(response):
            tally.add(bytes=len(chunk))
            total += len(chunk)
            if total > self._max_body_bytes:
                raise self._too_large(url)
            if time.monotonic() > deadline:
                raise SourceUnavailable(f"{url} was not there whole after {self._patience:.0f} s")
            yield chunk

    def _gunzip(self, wire: Iterator[bytes], url: httpx.URL) -> bytes:
        out, member = bytearray(), zlib.decompressobj(wbits=31)
        try:
            for data in wire:
                while data:
                    if member.eof:  # gzip allows one member after another
                        member = zlib.decompressobj(wbits=31)
                    # One byte of room above the cap: 0 would mean no bound.
                    out += member.decompress(data, self._max_body_bytes + 1 - len(out))
                    if len(out) > self._max_body_bytes:
                        raise self._too_large(url)
                    data = member.unused_data if member.eof else member.unconsumed_tail
        except zlib.error as error:
            raise SourceUnavailable(f"{url} came with broken gzip: {error}") from error
        if not member.eof:
            raise SourceUnavailable(f"{url} came with gzip cut short")
        return bytes(out)

    def _too_large(self, url: httpx.URL) -> Unacceptable:
        return Unacceptable(f"{url} is larger than {counted(self._max_body_bytes, 'byte')} (PARLEX_MAX_BODY_BYTES)")

    def _drain(self, response: httpx.Response, tally: Tally) -> None:
        """Read a small page of an error to its end: a connection that is left in the middle cannot be kept."""
        try:
            total, deadline = 0, time.monotonic() + self._patience
            for chunk in _raw(response):
                tally.add(bytes=len(chunk))
                total += len(chunk)
                if total > _DRAIN or time.monotonic() > deadline:
                    return
        except httpx.TransportError:
            return  # The status is known, and it says more than this.


def _raw(response: httpx.Response) -> Iterator[bytes]:
    """The bytes on the wire. Unlike ``iter_raw`` this serves the answers of ``httpx.MockTransport`` too."""
    assert isinstance(response.stream, httpx.SyncByteStream)
    yield from response.stream


def retry_after(value: str | None, *, date: str | None = None) -> float | None:
    """Seconds that a Retry-After header asks for; None if it is absent or unreadable (RFC 9110, 10.2.3).

    ``date`` is the answer's own Date header: a moment is measured against the clock of the host that named it.
    What lies in the past is 0.
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        moment = _http_date(text)
        if moment is None:
            return None
        seconds = (moment - (_http_date(date) or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if seconds <= MAX_RETRY_AFTER else None


def _http_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _error(response: httpx.Response) -> Retryable | Refused:
    status, said = response.status_code, f"{response.request.url} answered {response.status_code}"
    wait = retry_after(response.headers.get("Retry-After"), date=response.headers.get("Date"))
    if status == 429:
        return RateLimited(said, retry_after=wait)
    if status >= 500 or status in _COME_BACK or status in _TURNED_AWAY:
        return SourceUnavailable(said, retry_after=wait)
    if status in (404, 410):
        return NotFound(said)
    if status >= 300 and status != 304:
        return Unacceptable(said)
    return SourceUnavailable(f"{said}, which is no document")


def _conditions(etag: str | None, last_modified: str | None) -> dict[str, str]:
    conditions = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    return {name: value for name, value in conditions.items() if value is not None}


def _is_conditional(request: httpx.Request) -> bool:
    return "If-None-Match" in request.headers or "If-Modified-Since" in request.headers


def _validator(value: str | None) -> str | None:
    """A validator that can be sent back as it came; without one, the next request is simply not conditional."""
    return value if value is not None and _VALIDATOR.fullmatch(value) else None


def _location(response: httpx.Response) -> httpx.URL:
    url, location = response.request.url, response.headers.get("Location", "")
    if not location:
        raise Unacceptable(f"{url} redirects to nowhere")
    try:
        return url.join(location)
    except (httpx.InvalidURL, ValueError) as error:
        raise Unacceptable(f"{url} redirects to what is no address") from error


def _same_host(asked: httpx.URL, target: httpx.URL) -> httpx.URL:
    """A redirect stays on the host and port that were asked, and never gives up encryption."""
    shown = target.copy_with(userinfo=b"", fragment=None)
    if target.scheme not in ("http", "https") or (asked.scheme == "https" and target.scheme == "http"):
        raise Unacceptable(f"{asked} redirects to {shown}: from {asked.scheme} to {target.scheme}")
    if (target.host, _port(target)) != (asked.host, _port(asked)) or target.userinfo:
        raise Unacceptable(f"{asked} redirects to {shown}, which is another host")
    return shown


def _port(url: httpx.URL) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _cause(error: httpx.TransportError) -> str:
    text = str(error) or type(error).__name__
    return f"{type(error).__name__}: {text}" if text != type(error).__name__ else text
