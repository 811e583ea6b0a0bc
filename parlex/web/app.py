"""The application: routes, errors, and what lives as long as the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from parlex import __version__
from parlex.datasets.dataset import Dataset
from parlex.runs.run_log import Transactions
from parlex.serving import exports, formats, search
from parlex.serving.changes import LINES
from parlex.serving.problems import Problem
from parlex.serving.records import PREFIX
from parlex.serving.runs import Runs
from parlex.serving.state import told
from parlex.settings import Settings
from parlex.web import (
    changes,
    documents,
    feeds,
    forms,
    graph,
    lists,
    problems,
    records,
    routes,
    runs,
    state,
    subscriptions,
)
from parlex.web.conditional import Answers, asked_by
from parlex.web.context import Context
from parlex.web.pages import routes as pages

_SUFFIXES = {f".{name}": name for name in formats.MEDIA_TYPES}


def application(
    context: Context,
    datasets: Mapping[str, Dataset],
    settings: Settings,
    db: Transactions,
    started: Runs | None = None,
) -> ASGIApp:
    """What is held, served; and what an operator may start."""
    poller = context.poller

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        poller.start()
        yield
        poller.stop()

    app = FastAPI(
        title="Parlex", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    problems.install(app)
    app.include_router(feeds.router(context, datasets), prefix=PREFIX)
    app.include_router(changes.router(context, datasets), prefix=PREFIX)
    app.include_router(records.router(context, datasets), prefix=PREFIX)
    app.include_router(runs.router(started), prefix=PREFIX)
    app.include_router(subscriptions.router(db, datasets, settings), prefix=PREFIX)
    app.include_router(subscriptions.links(db), prefix=PREFIX)
    if settings.smtp_url is not None:
        app.include_router(forms.router(db, datasets, settings))
    found, searches, facts = APIRouter(), search.collections(datasets), told(context.poller, datasets, settings)
    for collection in searches:
        lists.add(context, found, "/search", collection, title="Found", tag="search")
    app.include_router(found, prefix=PREFIX)
    beside = [each for dataset in datasets.values() if dataset.served for each in dataset.served.beside]
    app.include_router(graph.router(context, datasets, [*beside, *searches, LINES], facts))
    app.include_router(state.router(context, datasets, facts), prefix=PREFIX)

    async def manifest(request: Request, query: Any) -> Response:
        return await context.answers.uncovered(partial(exports.manifest, settings))

    help = "The files of the newest export with their sums, and the change that they go to."
    routes.get(app.router, "/export/manifest.json", manifest, help=help, tag=state.TAG)
    pages.install(app, context, datasets, settings)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        headers = {"Content-Security-Policy": documents.POLICY}
        return Response(documents.page(app.openapi()), headers=headers, media_type="text/html; charset=utf-8")

    @app.get("/livez", include_in_schema=False)
    async def livez() -> Response:
        return Response("ok\n", media_type="text/plain")

    @app.get("/readyz", include_in_schema=False)
    async def readyz(request: Request) -> Response:
        if (lacking := poller.lacking) is not None:
            raise Problem(503, lacking)
        return Response("ready\n", media_type="text/plain")

    return Front(app, context.answers)


class Front:
    """The suffix of an address says the format, and HEAD is GET without a body. What was asked before and has not
    changed is answered here."""

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self._app, self._answers = app, answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            reads = scope["method"] in ("GET", "HEAD")
            if reads and (answer := self._answers.at_once(scope)) is not None:
                await answer(scope, receive, send)
                return
            path: str = scope["path"]
            stem, dot, suffix = path.rpartition(".")
            format = _SUFFIXES.get(dot + suffix) if path.startswith(PREFIX) else None
            told = {"format": format, "head": scope["method"] == "HEAD", "asked": asked_by(scope, Headers(scope=scope))}
            scope = {**scope, "state": {**scope.get("state", {}), **told}}
            if format is not None:
                scope["path"], scope["raw_path"] = stem, stem.encode()
            if scope["method"] == "HEAD":
                scope["method"] = "GET"
        await self._app(scope, receive, send)
