"""A mirror that is filled, and a server on one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from parlex.local.embedded import resolve
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.mirror import history
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.serving.tags import Poller
from parlex.settings import Settings
from parlex.web.context import Streams
from parlex.web.server import prepared
from tests.looking import let_pass

LAST = "2026-07-24"  # the sandbox's last day


def fill(mirror: Resources) -> None:
    """Fetch all that the sandbox has."""
    for session in ("44-1", "45-1"):
        for dataset in ("bills", "votes"):
            assert alone.run_session(mirror.pipeline, SessionId.parse(session), dataset=dataset).failed == 0
    assert alone.run_latest(mirror.pipeline, limit=None, dataset="politicians").status == "success"


@contextmanager
def filled(
    url: str, redis_url: str, home: Path, as_of: str | date, before: str | date | None = None
) -> Iterator[Resources]:
    """A mirror, in an empty database, that holds all that the sandbox has on a day; the sandbox runs beside it.
    ``before``: an earlier day of the sandbox, which the mirror saw two days ago."""
    with Sandbox(as_of=before or as_of) as sandbox:
        settings = Settings(
            database_url=url,
            redis_url=redis_url,
            home=home,
            legisinfo_url=sandbox.legisinfo_url,
            openparliament_url=sandbox.openparliament_url,
            legisinfo_rate=0,
            openparliament_rate=0,
        )
        mirror = Resources(settings, resolve(settings))
        try:
            fill(mirror)
            if before is not None:
                let_pass(mirror, days=2)
                sandbox.move(as_of)
                fill(mirror)
            yield mirror
        finally:
            mirror.close()


@dataclass(frozen=True)
class Served:
    """A server that runs: its address, and the engine that it asks with."""

    address: str
    engine: Engine
    poller: Poller
    streams: Streams

    def wait_for(self, mirror: Resources) -> None:
        """Until the server knows what is the newest line of the mirror's history by now."""
        with mirror.db() as db:
            last = history.last_seq(db)
        assert wait_until(lambda: (self.poller.last or 0) >= last, 10), "the server did not hear of it"


@contextmanager
def serving(mirror: Resources, **more: Any) -> Iterator[Served]:
    """A real server of the mirror, on a free port."""
    with prepared(mirror, host="127.0.0.1", port=0, **more) as (server, context):
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                thread.join(0.02)
                assert thread.is_alive(), "the server ended"
            assert wait_until(lambda: context.poller.ready, 10)
            port = server.servers[0].sockets[0].getsockname()[1]
            yield Served(f"http://127.0.0.1:{port}", context.engine, context.poller, context.streams)
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
