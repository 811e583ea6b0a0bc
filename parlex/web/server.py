"""The server: uvicorn with the application behind the door, until TERM or Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn

from parlex.db.engine import build_reading_engine
from parlex.db.migrate import head
from parlex.resources import Resources
from parlex.serving.keys import Keys
from parlex.serving.limits import Limits
from parlex.serving.runs import Dispatch, Runs
from parlex.serving.tags import Poller
from parlex.settings import UNREACHABLE, Settings
from parlex.web.app import application
from parlex.web.context import THREADS, Context
from parlex.web.door import Door, Rates
from parlex.web.wire import USUAL_PATIENCE, Connection, Patience, Server

STATEMENT_SECONDS = 3.0
GRACE_SECONDS = 2  # for answers under way at the end; streams end at once
KEEP_ALIVE_SECONDS = 75


def serve(
    resources: Resources, *, host: str, port: int, dispatch: Dispatch, started: Callable[[str], None] | None = None
) -> None:
    """Serve what is held until the process is told to end. ``port`` 0 takes a free one; ``started`` is told the
    address. ConfigurationError where nobody may listen there."""
    with prepared(resources, host=host, port=port, dispatch=dispatch, started=started) as (server, _):
        server.run()


@contextmanager
def prepared(
    resources: Resources,
    *,
    host: str,
    port: int,
    dispatch: Dispatch | None = None,
    started: Callable[[str], None] | None = None,
    patience: Patience = USUAL_PATIENCE,
) -> Iterator[tuple[Server, Context]]:
    """A server that answers once it is run; and what its routes need.

    What is served is read on a few connections of its own, that cannot write. Keys and runs have the two of
    ``resources``. ``dispatch`` None: nobody can start a run.
    """
    database_url, settings = resources.addresses.database_url, resources.settings
    engine = build_reading_engine(database_url, pool_size=THREADS + 1, statement_seconds=STATEMENT_SECONDS)
    context = Context(engine, Poller(engine, head()))
    runs = dispatch and Runs(resources.db, resources.datasets, resources.pipeline, resources.redis, dispatch)
    limits = Limits(None if resources.addresses.redis_url == UNREACHABLE else resources.redis)
    rates = Rates(settings.web_rate, settings.web_key_rate)
    app = Door(application(context, resources.datasets, settings, runs), limits, Keys(resources.db), rates)
    config = _config(app, settings, host, port, patience)
    server = Server(config, stopping=context.poller.stop, started=started)
    limits.start()
    try:
        yield server, context
    finally:
        limits.stop()
        server.close()
        engine.dispose()


def _config(app: Door, settings: Settings, host: str, port: int, patience: Patience) -> uvicorn.Config:
    connection: Any = partial(Connection, patience)
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=connection,
        ws="none",
        # The client is the right-most of X-Forwarded-For that is no proxy of ours; nobody else is believed.
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        lifespan="on",
    )
