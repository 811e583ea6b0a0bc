"""Receivers of webhooks on loopback, who believe nothing but a signature that the standard's own library verifies."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


@dataclass
class Receiver:
    """``answers``: what it answers, asked for each request that is well signed: a status, and headers; with status 0 it
    hangs up. ``path``: one of several on one server. ``got``: (id, body) of what it answered with 2xx;
    ``asked``: of all that was well signed."""

    url: str
    secret: str = ""
    answers: Callable[[], tuple[int, dict[str, str]]] = lambda: (204, {})
    seconds: float = 0.0
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    got: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    forged: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        try:
            Webhook(self.secret).verify(body.decode(), headers)
        except Exception as error:  # noqa: BLE001 - whatever the library finds wrong
            with self.lock:
                self.forged.append(repr(error))
            return 401, {}
        status, more = self.answers()
        said = (headers["webhook-id"], json.loads(body))
        with self.lock:
            self.asked.append(said)
            self.headers.append(headers | {"size": str(len(body))})
            if 200 <= status < 300:
                self.got.append(said)
        time.sleep(self.seconds)
        return status, more

    def seqs(self) -> list[int]:
        """The lines that it took, each once, in the order in which they came first."""
        return list(dict.fromkeys(line["seq"] for _, body in list(self.got) for line in body["changes"]))


class Receivers:
    """As many as are made, on one port."""

    def __init__(self, port: int) -> None:
        self.port, self._by_path = port, dict[str, Receiver]()

    def make(self, **about: Any) -> Receiver:
        path = f"/hook/{len(self._by_path)}"
        made = self._by_path[path] = Receiver(f"http://127.0.0.1:{self.port}{path}", **about)
        return made

    def at(self, path: str) -> Receiver:
        return self._by_path[path]


@contextmanager
def receiving() -> Iterator[Receivers]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, more = found.at(self.path).take({k.lower(): v for k, v in self.headers.items()}, body)
            if not status:
                return  # the connection ends without an answer
            self.send_response(status)
            for name, value in {"Content-Length": "0", **more}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # who sends may be killed

    server = Server(("127.0.0.1", 0), Handler)
    found = Receivers(server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
