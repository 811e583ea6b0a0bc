"""Clients that are slow, and many; and how the server ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import psutil
import pytest

from parlex.errors import ConfigurationError
from parlex.local.locks import wait_until
from parlex.resources import Resources
from parlex.settings import environment
from parlex.web.wire import Patience, listening
from tests.web.serving import Served, serving

ASK = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
ALL = b"GET /api/v1/politicians?limit=500 HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def hasty(held: Resources) -> Iterator[Served]:
    """A server with little patience."""
    with serving(held, patience=Patience(request=1.0, take=1.0)) as served:
        yield served


@contextmanager
def link(served: Served, receive_buffer: int = 0) -> Iterator[socket.socket]:
    url = httpx.URL(served.address)
    with socket.socket() as connection:
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(30)
        connection.connect((url.host, url.port))
        yield connection


def heard(connection: socket.socket) -> str:
    """All until the server hangs up."""
    with connection.makefile("rb") as stream:
        return stream.read().decode()


@pytest.mark.parametrize("begun", [b"GET /livez HTTP/1.1\r\nHo", b"G", ASK + b"GET"])
def test_a_head_that_does_not_end_is_told_so_and_ended(hasty: Served, begun: bytes) -> None:
    with link(hasty) as connection:
        connection.sendall(begun)
        assert "HTTP/1.1 408" in heard(connection)


def test_who_says_nothing_is_ended_without_a_word(hasty: Served) -> None:
    with link(hasty) as connection:
        assert heard(connection) == ""


def test_a_body_that_does_not_end_is_ended_and_holds_up_nobody(hasty: Served) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(link(hasty)) for _ in range(40)]
        for connection in slow:
            connection.sendall(b"POST /api/v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
        assert httpx.get(f"{hasty.address}/api/v1/bills?limit=3").status_code == 200
        for connection in slow:
            assert "HTTP/1.1 20" not in heard(connection)


def test_one_byte_at_a_time_is_not_enough(hasty: Served) -> None:
    """A client that always says a little is no better than one that is silent."""
    with link(hasty) as connection:
        trickle = iter(b"GET /livez HTTP/1.1\r\nX: " + b"x" * 10_000)

        def is_over() -> bool:
            connection.sendall(bytes([next(trickle)]))
            return ended(connection)

        assert wait_until(is_over, 20, every=0.05)
        assert "HTTP/1.1 408" in heard(connection)
    assert httpx.get(f"{hasty.address}/livez").status_code == 200


def ended(connection: socket.socket) -> bool:
    """Whether there is an answer, or an end."""
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) is not None
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(30)


def test_who_does_not_take_the_answer_is_ended(hasty: Served) -> None:
    """One hundred large answers are asked for, and none is read: the kernel's buffers fill, then ours."""
    with link(hasty, receive_buffer=4096) as connection:
        connection.sendall(ALL * 100)
        url = httpx.URL(hasty.address)
        assert wait_until(lambda: not is_open(connection, url.port or 0), 30)


def is_open(connection: socket.socket, port: int) -> bool:
    """Whether the server still has its end."""
    mine = connection.getsockname()
    ends = psutil.Process().net_connections("tcp")
    return any(end.laddr.port == port and end.raddr and end.raddr.port == mine[1] for end in ends)


def test_three_hundred_connections_at_once_are_all_answered(served: Served) -> None:
    async def ask() -> list[int]:
        limits = httpx.Limits(max_connections=300)
        async with httpx.AsyncClient(base_url=served.address, limits=limits, timeout=60) as client:
            paths = [f"/api/v1/bills?limit={number}" for number in range(1, 301)]
            return [answer.status_code for answer in await asyncio.gather(*map(client.get, paths))]

    assert asyncio.run(ask()) == [200] * 300


def test_more_connections_than_there_is_room_for_are_refused_in_words(held: Resources) -> None:
    with serving(held, patience=Patience(connections=3)) as served, ExitStack() as stack:
        open_ = [stack.enter_context(link(served)) for _ in range(3)]
        for connection in open_:
            connection.sendall(ASK)
            assert connection.recv(12) == b"HTTP/1.1 200"
        with link(served) as one_more:
            assert "HTTP/1.1 503" in heard(one_more)


def test_a_port_that_is_taken_is_named() -> None:
    with listening("127.0.0.1", 0) as taken, pytest.raises(ConfigurationError, match="cannot be used"):
        listening("127.0.0.1", taken.getsockname()[1])


@pytest.mark.live
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_in_time(
    make_resources: Callable[..., Resources], number: signal.Signals
) -> None:
    """Also while a client is in the middle of a request, and another does not read."""
    settings = make_resources().settings
    command = [sys.executable, "-m", "parlex", "serve", "--port", "0"]
    options = {"env": environment(settings), "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as process:  # type: ignore[call-overload]
        address = process.stderr.readline().strip()
        assert wait_until(lambda: httpx.get(f"{address}/readyz").status_code == 200, 20)
        url = httpx.URL(address)
        with socket.create_connection((url.host, url.port)) as half, httpx.stream("GET", f"{address}/api/v1/bills"):
            half.sendall(b"POST /api/v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
            process.send_signal(number)
            assert process.wait(5) == 0
        assert "Traceback" not in process.stderr.read()
