"""The client against a real server on loopback that misbehaves in each way a source may."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from parlex.errors import (
    NotFound,
    ParlexError,
    RateLimited,
    Retryable,
    SourceUnavailable,
    Unacceptable,
)
from parlex.fetching.http import MAX_RETRY_AFTER, Client, Tally, retry_after

CAP = 1_000_000
BODY = b'\xef\xbb\xbf[{"Id": 1, "title": "\xc3\xa9t\xc3\xa9"}]'

Route = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers a path by the function that the test put there."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.server.routes[self.path](self)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.head(status, Content_Length=str(len(body)), **headers)
        self.wfile.write(body)

    def head(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def json(self, body: bytes = BODY, **headers: str) -> None:
        self.answer(200, body, **({"Content_Type": "application/json"} | headers))

    def log_message(self, format: str, *args: Any) -> None: ...


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.routes: dict[str, Route] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client hangs up on purpose in many of these tests."""


class Recorder:
    """A throttle that lets all through and writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def acquire(self, host: str, *, background: bool = False) -> None:
        self.calls.append(("acquire", host, background))

    def block(self, host: str, seconds: float) -> None:
        self.calls.append(("block", host, seconds))

    def failed(self, host: str) -> None:
        self.calls.append(("failed", host))

    def succeeded(self, host: str) -> None:
        self.calls.append(("succeeded", host))

    def remaining(self, host: str) -> float | None:
        return None

    @property
    def told(self) -> list[str]:
        return [name for name, *_ in self.calls]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.stopping.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def throttle() -> Recorder:
    return Recorder()


@pytest.fixture
def make_client(throttle: Recorder) -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(**changes: Any) -> Client:
        usual = {"connect_timeout": 5.0, "read_timeout": 20.0, "max_body_bytes": CAP, "throttle": throttle}
        made.append(Client(user_agent="parlex/1.2.3 (+tests@example.org)", **(usual | changes)))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: Callable[..., Client]) -> Client:
    return make_client()


@pytest.fixture
def tally() -> Tally:
    return Tally()


def test_a_good_answer_is_a_document(server: Server, client: Client, tally: Tally) -> None:
    headers = {"Content_Type": "application/json; charset=utf-8", "ETag": '"v1"'}
    server.routes["/a?b=c"] = lambda h: h.json(Last_Modified="Sun, 22 Nov 2026 10:00:00 GMT", **headers)

    before = datetime.now(UTC)
    document = client.get(f"{server.url}/a?b=c", tally=tally)

    assert (document.url, document.status, document.body) == (f"{server.url}/a?b=c", 200, BODY)
    assert document.content_type == "application/json; charset=utf-8"
    assert (document.etag, document.last_modified) == ('"v1"', "Sun, 22 Nov 2026 10:00:00 GMT")
    assert before <= document.fetched_at <= datetime.now(UTC)
    assert (tally.requests, tally.bytes) == (1, len(BODY))


def test_it_says_who_asks_and_for_what(server: Server, client: Client, tally: Tally) -> None:
    server.routes["/"] = Handler.json
    client.get(server.url, tally=tally)
    ((_, headers),) = server.seen
    assert headers["user-agent"] == "parlex/1.2.3 (+tests@example.org)"
    assert headers["accept"] == "application/json"
    assert headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    ("url", "type_"),
    [("/json", "application/json"), ("/ld", "Application/LD+JSON;charset=utf-8"), ("/v1", "application/vnd.a.v1+json")],
)
def test_the_json_family_is_taken(server: Server, client: Client, tally: Tally, url: str, type_: str) -> None:
    server.routes[url] = lambda h: h.json(Content_Type=type_)
    assert client.get(server.url + url, tally=tally).body == BODY


@pytest.mark.parametrize("type_", ["text/html; charset=utf-8", "text/json", "application/jsonp", "application/xml", ""])
def test_another_type_with_200_is_no_answer(server: Server, client: Client, tally: Tally, type_: str) -> None:
    server.routes["/"] = lambda h: h.json(b"<html>One moment</html>", Content_Type=type_)
    with pytest.raises(SourceUnavailable, match=type_.partition(";")[0] or "no content type"):
        client.get(server.url, tally=tally)


def test_gzip_is_unpacked_and_counted_as_it_came(server: Server, client: Client, tally: Tally) -> None:
    packed = gzip.compress(BODY * 100)
    server.routes["/"] = lambda h: h.json(packed, Content_Encoding="gzip")
    assert client.get(server.url, tally=tally).body == BODY * 100
    assert tally.bytes == len(packed)


def test_gzip_may_have_several_members(server: Server, client: Client, tally: Tally) -> None:
    server.routes["/"] = lambda h: h.json(gzip.compress(b"[1,") + gzip.compress(b"2]"), Content_Encoding="gzip")
    assert client.get(server.url, tally=tally).body == b"[1,2]"


def test_an_encoding_that_nobody_asked_for_is_refused(server: Server, client: Client, tally: Tally) -> None:
    server.routes["/"] = lambda h: h.json(zlib.compress(BODY), Content_Encoding="deflate")
    with pytest.raises(Unacceptable, match="deflate"):
        client.get(server.url, tally=tally)


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (500, SourceUnavailable, "failed"),
        (502, SourceUnavailable, "failed"),
        (503, SourceUnavailable, "failed"),
        (408, SourceUnavailable, "failed"),
        (425, SourceUnavailable, "failed"),
        (429, RateLimited, "failed"),
        (204, SourceUnavailable, "failed"),
        (206, SourceUnavailable, "failed"),
        (304, SourceUnavailable, "failed"),
        (404, NotFound, "succeeded"),
        (410, NotFound, "succeeded"),
        (400, Unacceptable, "succeeded"),
        (401, SourceUnavailable, "failed"),
        (403, SourceUnavailable, "failed"),
        (406, Unacceptable, "succeeded"),
        (300, Unacceptable, "succeeded"),
    ],
)
def test_each_status_says_what_to_do(
    server: Server, client: Client, tally: Tally, throttle: Recorder, status: int, error: type[ParlexError], told: str
) -> None:
    page = b"" if status in (204, 304) else b"<html>no</html>"
    server.routes["/x"] = lambda h: h.answer(status, page, Content_Type="text/html")
    with pytest.raises(ParlexError, match=str(status)) as caught:
        client.get(f"{server.url}/x", tally=tally)
    assert type(caught.value) is error
    assert getattr(caught.value, "retry_after", None) is None
    assert throttle.told == ["acquire", told]
    assert tally.requests == 1


@pytest.mark.parametrize(("status", "error"), [(429, RateLimited), (503, SourceUnavailable)])
@pytest.mark.parametrize(
    ("header", "seconds"), [("7200", 7200.0), ("1.5", 1.5), ("Sun, 22 Nov 2026 13:00:00 GMT", 3600.0), ("-3", 0.0)]
)
def test_retry_after_reaches_the_caller_and_every_other_worker(
    server: Server,
    client: Client,
    tally: Tally,
    throttle: Recorder,
    status: int,
    error: type[Retryable],
    header: str,
    seconds: float,
) -> None:
    def refuse(h: Handler) -> None:
        h.send_response_only(status)
        h.send_header("Date", "Sun, 22 Nov 2026 12:00:00 GMT")
        h.send_header("Retry-After", header)
        h.send_header("Content-Length", "0")
        h.end_headers()

    server.routes["/"] = refuse
    with pytest.raises(error) as caught:
        client.get(server.url, tally=tally)
    assert caught.value.retry_after == seconds
    assert ("block", server.url.removeprefix("http://"), seconds) in throttle.calls


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        ("1e3", None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("+5", 5.0),
        ("-5", 0.0),
        (str(int(MAX_RETRY_AFTER)), MAX_RETRY_AFTER),
        ("99999999999", None),
        ("9" * 400, None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 12:00:30 -0000", 30.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2020 12:00:00 GMT", 0.0),
        ("Sun, 22 Nov 9999 12:00:00 GMT", None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, date="Sun, 22 Nov 2026 12:00:00 GMT") == seconds


def test_a_moment_is_measured_by_our_clock_where_the_host_shows_none() -> None:
    assert retry_after("Sun, 22 Nov 2020 12:00:00 GMT") == 0.0
    assert retry_after("Fri, 22 Nov 2999 12:00:00 GMT", date="nonsense") is None


def _reset(h: Handler) -> None:
    h.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for part in (h.rfile, h.wfile, h.connection):  # the last one to go sends the reset
        part.close()
    h.close_connection = True


def _cut(h: Handler) -> None:
    h.head(200, Content_Type="application/json", Content_Length=str(len(BODY)))
    h.wfile.write(BODY[:5])
    h.close_connection = True


def _hang(h: Handler) -> None:
    h.server.stopping.wait(30)


def _stall(h: Handler) -> None:
    h.head(200, Content_Type="application/json", Content_Length="100")
    h.wfile.write(b"[")
    h.wfile.flush()
    _hang(h)


def _cut_gzip(h: Handler) -> None:
    h.json(gzip.compress(BODY * 100)[:-9], Content_Encoding="gzip")


def _no_gzip(h: Handler) -> None:
    h.json(BODY, Content_Encoding="gzip")


def _empty(h: Handler) -> None:
    h.json(b"")


def _no_http(h: Handler) -> None:
    h.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n")
    h.close_connection = True


@pytest.mark.parametrize("fault", [_reset, _cut, _hang, _stall, _cut_gzip, _no_gzip, _empty, _no_http])
def test_a_broken_answer_is_the_source_being_away(
    server: Server, make_client: Callable[..., Client], tally: Tally, throttle: Recorder, fault: Route
) -> None:
    server.routes["/broken"] = fault
    client = make_client(read_timeout=0.2 if fault in (_hang, _stall) else 20.0)
    with pytest.raises(SourceUnavailable, match="/broken") as caught:
        client.get(f"{server.url}/broken", tally=tally)
    assert ("Timeout" in str(caught.value)) == (fault in (_hang, _stall))
    assert throttle.told == ["acquire", "failed"]
    assert tally.requests == 1


def test_a_body_that_drips_for_ever_is_given_up(
    server: Server, make_client: Callable[..., Client], tally: Tally
) -> None:
    def drip(h: Handler) -> None:
        h.head(200, Content_Type="application/json", Transfer_Encoding="chunked")
        while not h.server.stopping.wait(0.01):
            h.wfile.write(b"1\r\n \r\n")

    server.routes["/"] = drip
    with pytest.raises(SourceUnavailable, match="not there whole after"):
        make_client(answer_timeout=0.3).get(server.url, tally=tally)


def test_nobody_listening_is_the_source_being_away(client: Client, tally: Tally, throttle: Recorder) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(SourceUnavailable, match="did not answer"):
        client.get(f"http://127.0.0.1:{port}/", tally=tally)
    assert throttle.told == ["acquire", "failed"]


def test_a_redirect_on_the_same_host_is_followed_and_counted(
    server: Server, client: Client, tally: Tally, throttle: Recorder
) -> None:
    server.routes["/C-2"] = lambda h: h.answer(301, Location="/c-2")
    server.routes["/c-2"] = lambda h: h.answer(302, Location=f"{server.url}/there")
    server.routes["/there"] = Handler.json
    document = client.get(f"{server.url}/C-2", tally=tally, background=True)
    assert document.url == f"{server.url}/there"
    assert tally.requests == 3
    assert [call for call in throttle.calls if call[0] == "acquire"] == [
        ("acquire", server.url.removeprefix("http://"), True)
    ] * 3


def test_a_redirect_loop_ends_after_five(server: Server, client: Client, tally: Tally) -> None:
    server.routes["/"] = lambda h: h.answer(302, Location="/")
    with pytest.raises(Unacceptable, match="more than 5 times"):
        client.get(f"{server.url}/", tally=tally)
    assert tally.requests == 6


@pytest.mark.parametrize(
    "location",
    [
        "http://example.org/",
        "//example.org/",
        "http://127.0.0.1:1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "http://[",
        "",
    ],
)
def test_a_redirect_elsewhere_is_refused_unasked(server: Server, client: Client, tally: Tally, location: str) -> None:
    server.routes["/"] = lambda h: h.answer(302, Location=location)
    with pytest.raises(Unacceptable, match="redirects to"):
        client.get(f"{server.url}/", tally=tally)
    assert tally.requests == 1


def test_a_redirect_never_gives_up_encryption(make_client: Callable[..., Client], tally: Tally) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(301, headers={"Location": "http://www.parl.test:443/x"})

    client = make_client(transport=httpx.MockTransport(answer))
    with pytest.raises(Unacceptable, match="from https to http"):
        client.get("https://www.parl.test/x", tally=tally)
    assert asked == ["https://www.parl.test/x"]


def test_a_huge_body_is_left_where_it_is(server: Server, client: Client, tally: Tally) -> None:
    sent = 0

    def huge(h: Handler) -> None:
        nonlocal sent
        h.head(200, Content_Type="application/json", Transfer_Encoding="chunked")
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        for _ in range(200 * 16):
            h.wfile.write(piece)
            sent += 65536

    server.routes["/"] = huge
    with pytest.raises(Unacceptable, match="larger than 1,000,000 bytes"):
        client.get(server.url, tally=tally)
    assert tally.bytes <= CAP + 2 * 65536
    assert sent < 50_000_000  # what fits the buffers of the two sockets


def test_an_announced_size_is_enough_to_refuse(server: Server, client: Client, tally: Tally) -> None:
    server.routes["/"] = lambda h: h.head(200, Content_Type="application/json", Content_Length="200000000")
    with pytest.raises(Unacceptable, match="larger than"):
        client.get(server.url, tally=tally)
    assert tally.bytes == 0


def test_a_body_of_exactly_the_cap_is_taken(server: Server, client: Client, tally: Tally) -> None:
    server.routes["/plain"] = lambda h: h.json(b" " * CAP)
    server.routes["/gzip"] = lambda h: h.json(gzip.compress(b" " * CAP), Content_Encoding="gzip")
    server.routes["/more"] = lambda h: h.json(gzip.compress(b" " * (CAP + 1)), Content_Encoding="gzip")
    assert len(client.get(f"{server.url}/plain", tally=tally).body) == CAP
    assert len(client.get(f"{server.url}/gzip", tally=tally).body) == CAP
    with pytest.raises(Unacceptable):
        client.get(f"{server.url}/more", tally=tally)


def test_a_gzip_bomb_costs_no_memory(server: Server, client: Client, tally: Tally) -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(1_000_000)) for _ in range(100)) + packer.flush()
    server.routes["/"] = lambda h: h.json(bomb, Content_Encoding="gzip")
    tracemalloc.start()
    try:
        with pytest.raises(Unacceptable, match="larger than"):
            client.get(server.url, tally=tally)
        assert tracemalloc.get_traced_memory()[1] < 8 * CAP
    finally:
        tracemalloc.stop()


def test_not_modified_is_none(server: Server, client: Client, tally: Tally) -> None:
    server.routes["/"] = lambda h: h.answer(304)
    assert client.get(server.url, tally=tally, etag='"v1"', last_modified="Sun, 22 Nov 2026 10:00:00 GMT") is None
    assert client.get(server.url, tally=tally, etag='"v1"', last_modified=None) is None
    (_, both), (_, one) = server.seen
    assert (both["if-none-match"], both["if-modified-since"]) == ('"v1"', "Sun, 22 Nov 2026 10:00:00 GMT")
    assert one["if-none-match"] == '"v1"'
    assert "if-modified-since" not in one


def test_a_validator_that_could_not_be_sent_back_is_dropped(server: Server, client: Client, tally: Tally) -> None:
    server.routes["/"] = lambda h: h.json(ETag='"é"')
    assert client.get(server.url, tally=tally).etag is None


def test_one_connection_serves_many_requests(server: Server, client: Client, tally: Tally) -> None:
    server.routes["/"] = Handler.json
    server.routes["/missing"] = lambda h: h.answer(404, b"<html>no</html>" * 100, Content_Type="text/html")
    for _ in range(5):
        client.get(server.url, tally=tally)
        with pytest.raises(NotFound):
            client.get(f"{server.url}/missing", tally=tally)
    assert len(server.seen) == 10
    assert server.connections == 1


def test_sixteen_requests_are_in_flight_at_once_and_their_connections_are_kept(
    server: Server, client: Client, tally: Tally
) -> None:
    together = threading.Barrier(16)

    def wait_for_all(h: Handler) -> None:
        together.wait(20)
        h.json()

    server.routes["/"] = wait_for_all
    with ThreadPoolExecutor(16) as pool:
        for _ in range(3):
            documents = list(pool.map(lambda _: client.get(server.url, tally=tally), range(16)))
            assert {document.body for document in documents} == {BODY}
    assert (tally.requests, tally.bytes) == (48, 48 * len(BODY))
    assert server.connections == 16


@pytest.mark.parametrize(
    ("around", "through"), [("", True), ("www.parl.test", False), (".parl.test", False), ("other.test", True)]
)
def test_the_proxy_of_the_environment_is_used_for_others_and_never_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    make_client: Callable[..., Client],
    tally: Tally,
    around: str,
    through: bool,
) -> None:
    elsewhere = "http://www.parl.test/doc"
    server.routes["/doc"] = server.routes[elsewhere] = Handler.json
    for name, value in {"http_proxy": server.url, "no_proxy": around}.items():
        monkeypatch.setenv(name, value)
        monkeypatch.delenv(name.upper(), raising=False)
    client = make_client()

    client.get(f"{server.url}/doc", tally=tally)
    if through:
        client.get(elsewhere, tally=tally)
    else:
        with pytest.raises(SourceUnavailable, match="did not answer"):
            client.get(elsewhere, tally=tally)

    # A proxy is asked for a whole address, a host only for its path.
    assert [path for path, _ in server.seen] == ["/doc", elsewhere][: 1 + through]


def test_credentials_are_sent_and_never_shown(server: Server, client: Client, tally: Tally) -> None:
    server.routes["/ok"] = Handler.json
    server.routes["/bad"] = lambda h: h.answer(500)
    server.routes["/away"] = lambda h: h.answer(302, Location="http://user:hunter2@example.org/")
    base = server.url.replace("http://", "http://user:hunter2@")

    document = client.get(f"{base}/ok", tally=tally)
    assert document.url == f"{server.url}/ok"
    assert server.seen[0][1]["authorization"].startswith("Basic ")
    for path in ("/bad", "/away"):
        with pytest.raises(ParlexError) as caught:
            client.get(base + path, tally=tally)
        assert "hunter2" not in str(caught.value)


def test_what_the_throttle_refuses_is_not_sent(
    server: Server, make_client: Callable[..., Client], tally: Tally
) -> None:
    class Spent(Recorder):
        def acquire(self, host: str, *, background: bool = False) -> None:
            raise RateLimited("spent", retry_after=90.0)

    throttle = Spent()
    with pytest.raises(RateLimited):
        make_client(throttle=throttle).get(server.url, tally=tally)
    assert (tally.requests, server.seen, throttle.calls) == (0, [], [])
