"""A mirror that is filled, and a server on one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.web.server import prepared

LAST = "2026-07-24"  # the sandbox's last day


def fill(mirror: Resources) -> None:
    """Fetch all that the sandbox has."""
    for session in ("44-1", "45-1"):
        for dataset in ("bills", "votes"):
            assert alone.run_session(mirror.pipeline, SessionId.parse(session), dataset=dataset).failed == 0
    assert alone.run_latest(mirror.pipeline, limit=None, dataset="politicians").status == "success"


@contextmanager
def serving(mirror: Resources) -> Iterator[str]:
    """The address of a real server of the mirror, on a free port."""
    with prepared(mirror, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                thread.join(0.02)
                assert thread.is_alive(), "the server ended"
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
