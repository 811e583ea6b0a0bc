"""The sandbox with its words changed on the way: a small server in front of it that rewrites what a test says."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from parlex.local.sandbox import Sandbox

Rewrite = Callable[[Any], Any]


class Edited:
    """Both hosts at one address. ``edit`` rewrites the JSON of each answer whose target matches; None answers 404."""

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox = sandbox
        self.url = url
        self.edits: list[tuple[re.Pattern[str], Rewrite]] = []
        self.asked: list[str] = []
        # No connection is kept: a pool that threads share may close one that another thread has just taken up.
        once = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(headers={"Accept": "application/json"}, trust_env=False, limits=once)

    def edit(self, target: str, rewrite: Rewrite) -> None:
        self.edits.append((re.compile(target), rewrite))

    def set(self, target: str, **values: Any) -> None:
        """Give these values to every object of the answers that match."""

        def rewrite(document: Any) -> Any:
            for row in document if isinstance(document, list) else [document]:
                row.update(values)
            return document

        self.edit(target, rewrite)

    def reset(self) -> None:
        """As it was at first: the first day, and nothing rewritten."""
        self.edits.clear()
        self.asked.clear()
        self.sandbox.reset()

    def close(self) -> None:
        self._client.close()

    def answer(self, target: str) -> tuple[int, str, bytes]:
        self.asked.append(target)
        host = self.sandbox.legisinfo_url if target.startswith("/legisinfo") else self.sandbox.openparliament_url
        found = self._client.get(host + target)
        body = found.content
        if found.status_code == 200:
            for pattern, rewrite in self.edits:
                if pattern.search(target):
                    document = rewrite(json.loads(body.decode("utf-8-sig")))
                    if document is None:
                        return 404, "text/html", b"<html></html>"
                    body = json.dumps(document).encode()
        return found.status_code, found.headers["Content-Type"], body


@contextmanager
def edited(sandbox: Sandbox) -> Iterator[Edited]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.daemon_threads = True
    front = Edited(sandbox, f"http://127.0.0.1:{server.server_port}")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content_type, body = front.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        front.close()
