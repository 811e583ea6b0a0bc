"""Webhooks: signed as Standard Webhooks has it, and sent to no address of our own network.

A name is resolved once, all its addresses are looked at, and the connection goes to one of them: a name that says
something else a moment later changes nothing. No redirect is followed, and no proxy is asked.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any

import httpcore
import httpx

from parlex.fetching.http import retry_after

SECONDS = 15.0  # for all of it: from the name to the end of the answer
ANSWER_LENGTH = 500  # characters of an answer that are kept
SECRET_PREFIX = "whsec_"

Resolve = Callable[[str, int], Sequence[str]]  # the addresses of a host; OSError where there are none


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of sending. ``error`` None: it arrived. ``retry_after``: the seconds that the receiver asks for.
    ``gone``: it wants no more."""

    error: str | None
    status: int | None = None
    answer: str | None = None
    retry_after: float | None = None
    gone: bool = False


def signature(secrets: Iterable[bytes], name: str, timestamp: int, body: bytes) -> str:
    """The header ``webhook-signature``: one for each secret that the receiver may have."""
    content = f"{name}.{timestamp}.".encode() + body
    made = (hmac.digest(secret, content, hashlib.sha256) for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(one).decode()}" for one in made)


def post(url: str, body: bytes, headers: Mapping[str, str], *, private: bool, resolve: Resolve | None = None) -> Sent:
    """Send to one receiver, now. ``private``: it may be on an address that is not public."""
    asked = httpx.URL(url)
    told = {"Host": asked.netloc.decode(), "Content-Length": str(len(body)), "Connection": "close", **headers}
    backend = _Checked(resolve or _resolve, private=private)
    target = httpcore.URL(scheme=asked.raw_scheme, host=asked.raw_host, port=asked.port, target=asked.raw_path)
    try:
        with (
            httpcore.ConnectionPool(_tls(), max_connections=1, network_backend=backend) as pool,
            pool.stream("POST", target, headers=list(told.items()), content=body) as response,
        ):
            return _judged(response, _beginning(response))
    except _Forbidden as error:
        return Sent(str(error))
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        return Sent(f"{type(error).__name__}: {error}"[:ANSWER_LENGTH])


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the internet at large; one that stands for an IPv4 address, as that is."""
    if isinstance(address, IPv6Address):
        if (inner := _inner(address)) is not None:
            return is_public(inner)
        if address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast


def require_public(host: str) -> None:
    """ValueError for a host that is written as an address, in whatever way, which is not public."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return
    for info in found:
        if not is_public(ip_address(info[4][0])):
            raise ValueError(f"{host} is no public address")


_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")


def _inner(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for: mapped, 6to4, Teredo, NAT64, or as it was done long ago."""
    if address in _NAT64 or address in _COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


class _Forbidden(Exception):
    """The receiver is on an address that is not asked."""


class _Checked(httpcore.NetworkBackend):
    """Connects to a host by one of the addresses that were looked at, until ``SECONDS`` are over."""

    def __init__(self, resolve: Resolve, *, private: bool) -> None:
        self._resolve, self._private, self._until = resolve, private, time.monotonic() + SECONDS

    def connect_tcp(self, host: str, port: int, *_: Any, **__: Any) -> httpcore.NetworkStream:
        try:
            addresses = [ip_address(each) for each in self._resolve(host, port)]
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}") from None
        if not self._private and not all(map(is_public, addresses)):
            raise _Forbidden(f"{host} is on an address that is not public (PARLEX_FOLLOW_PRIVATE allows it)")
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return _Bounded(httpcore.SyncBackend().connect_tcp(str(address), port, self._left()), self._left)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(f"not done within {SECONDS:.0f} s")
        return left


class _Bounded(httpcore.NetworkStream):
    """A stream all of which is to be over in time, however slowly its bytes come."""

    def __init__(self, stream: httpcore.NetworkStream, left: Callable[[], float]) -> None:
        self._stream, self._left = stream, left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Bounded(self._stream.start_tls(ssl_context, server_hostname, self._left()), self._left)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _resolve(host: str, port: int) -> Sequence[str]:
    return [str(info[4][0]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # once: reading the certificates takes longer than a request


def _beginning(response: httpcore.Response) -> str:
    read = b""
    for piece in response.iter_stream():
        read += piece
        if len(read) > ANSWER_LENGTH:
            break
    return read.decode("utf-8", "replace").replace("\x00", "")[:ANSWER_LENGTH]


def _judged(response: httpcore.Response, answer: str) -> Sent:
    status = response.status
    said = {name.lower(): value.decode("latin-1") for name, value in response.headers}
    if 200 <= status < 300:
        return Sent(None, status, answer)
    error = f"answered {status}" + (", a redirect, which is not followed" if 300 <= status < 400 else "")
    wait = retry_after(said.get(b"retry-after"), date=said.get(b"date"))
    return Sent(error, status, answer, wait, gone=status == 410)
