"""The server: uvicorn with the application, until TERM or Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket

import uvicorn

from parlex.db.engine import build_reading_engine
from parlex.db.migrate import head
from parlex.resources import Resources
from parlex.web.app import application
from parlex.web.context import THREADS, Context
from parlex.web.tags import Poller

STATEMENT_SECONDS = 3.0
GRACE_SECONDS = 3  # for answers under way at the end; streams end at once
KEEP_ALIVE_SECONDS = 75


def serve(resources: Resources, *, host: str, port: int) -> None:
    """Serve what is held until the process is told to end. ``port`` 0 takes a free one."""
    with prepared(resources, host=host, port=port) as (server, _):
        server.run()


class Server(uvicorn.Server):
    """Ends those who wait for news before it waits for the answers under way."""

    def __init__(self, config: uvicorn.Config, poller: Poller) -> None:
        super().__init__(config)
        self._poller = poller

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self._poller.stop()
        await super().shutdown(sockets)


@contextmanager
def prepared(resources: Resources, *, host: str, port: int) -> Iterator[tuple[uvicorn.Server, Context]]:
    """A server that listens once it is run, on its own few connections that cannot write; and what its routes need."""
    database_url = resources.addresses.database_url
    engine = build_reading_engine(database_url, pool_size=THREADS + 1, statement_seconds=STATEMENT_SECONDS)
    context = Context(engine, Poller(engine, head()))
    config = uvicorn.Config(
        application(context, resources.datasets, resources.settings),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        lifespan="on",
    )
    try:
        yield Server(config, context.poller), context
    finally:
        engine.dispose()
