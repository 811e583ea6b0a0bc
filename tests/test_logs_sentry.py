"""Errors to a real endpoint that speaks Sentry's protocol, without the secrets that they quote."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from parlex.settings import Settings, environment

CODE = """
import sys
import sentry_sdk, structlog
from parlex import logs
from parlex.settings import settings
logs.configure(settings())
assert logs.report_errors(settings())
with logs.about(run_id="r-1", bill="45-1 C-2"):
    structlog.get_logger("parlex.x").error("closed", error="lost redis://:s3cret@host:1/0")
try:
    password = "s3cret"
    raise ValueError("https://host/?secret_access_key=s3cret&x=1 is wrong")
except ValueError as error:
    sentry_sdk.capture_exception(error)
sentry_sdk.flush(20)
"""


@pytest.fixture
def ingest() -> Iterator[tuple[str, list[str]]]:
    """The DSN, and the bodies that came."""
    came: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = self.headers["Content-Length"]
            body = self.rfile.read(int(length)) if length else self._chunks()
            came.append((gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body).decode())
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def _chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            return body

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://public@127.0.0.1:{server.server_port}/1", came
    server.shutdown()
    thread.join()
    server.server_close()


def python(settings: Settings, code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_errors_arrive_without_secrets(make_settings: Callable[..., Settings], ingest: tuple[str, list[str]]) -> None:
    dsn, came = ingest
    python(make_settings(sentry_dsn=dsn), CODE)
    text = "\n".join(came)
    assert text.count('"level":"error"') + text.count('"level": "error"') >= 2
    assert "ValueError" in text
    assert "45-1 C-2" in text
    assert "secret_access_key=***" in text
    assert "s3cret" not in text


def test_without_a_dsn_it_is_not_even_imported(make_settings: Callable[..., Settings]) -> None:
    python(
        make_settings(),
        "import sys\n"
        "from parlex import logs\nfrom parlex.settings import settings\n"
        "assert not logs.report_errors(settings())\n"
        "import workers.tasks, parlex.cli.app\n"
        "assert 'sentry_sdk' not in sys.modules\n",
    )
