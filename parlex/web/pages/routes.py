"""The routes of the pages, in both languages, and what else a browser or a search engine asks a site for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import LANGUAGES, Cover
from parlex.errors import UsageError
from parlex.serving import paths
from parlex.serving.problems import Problem
from parlex.settings import Settings
from parlex.web import problems
from parlex.web.context import Context
from parlex.web.pages import bill, bills, changes, figures, front, members, mirror, records, simple, votes
from parlex.web.pages.site import MEDIA_TYPE, Covers, Read, Site, View, current_session
from parlex.web.pages.sitemap import install as install_sitemap

_YEAR = "public, max-age=31536000, immutable"
# The pages of our own making; every other dataset has those of records.py.
_LISTS: dict[str, Read] = {
    "bills": bills.read,
    "votes": records.list_of("votes", "votes.html"),
    "politicians": records.list_of("politicians", "members.html"),
}
_RECORDS: dict[str, Read] = {"bills": bill.read, "votes": votes.read, "politicians": members.read}
_PAGES: dict[str, Read] = {
    "front": front.read,
    "search": simple.find,
    "follow": simple.follow,
    "data": simple.data,
    "mirror": mirror.read,
    "survey": mirror.survey,
}
# Datasets beside its own that a record's page tells of.
_TOLD = {"bills": ("votes", "politicians"), "votes": ("politicians", "bills"), "politicians": ("votes", "bills")}


def install(app: FastAPI, context: Context, datasets: Mapping[str, Dataset], settings: Settings) -> None:
    """Add the pages to an application, each language as one of its own, with errors of its own."""
    site = Site(context, datasets, settings)
    for lang in LANGUAGES:
        app.mount(f"/{lang}", _application(site, lang), name=f"pages-{lang}")
        app.add_route(f"/{lang}", _redirect(f"/{lang}/"), include_in_schema=False)

    async def choice(request: Request) -> Response:
        view = View("choice.html", "Parlex", {lang: f"/{lang}/" for lang in LANGUAGES})
        page = site.render("en", request, view)
        return site.with_policy(Response(page, media_type=MEDIA_TYPE), ", ".join(LANGUAGES))

    async def style(request: Request) -> Response:
        return Response(site.style, headers={"Cache-Control": _YEAR}, media_type="text/css; charset=utf-8")

    async def icon(request: Request) -> Response:
        return Response(site.icon, headers={"Cache-Control": "public, max-age=86400"}, media_type="image/svg+xml")

    app.add_route("/", choice, include_in_schema=False)
    app.add_route("/icon.svg", icon, include_in_schema=False)
    app.add_route("/style.{look}.css", style, include_in_schema=False)
    install_sitemap(app, site)


def _redirect(to: str) -> Any:
    async def redirect(request: Request) -> Response:
        return RedirectResponse(to, 308)

    return redirect


def _application(site: Site, lang: str) -> Starlette:
    found: list[Route] = []

    def add(path: str, read: Read, covers: Covers | None = None) -> None:
        found.append(Route(path, site.endpoint(lang, read, covers)))

    for name, read in _PAGES.items():
        add(paths.pattern(lang, name), read)
    everything = [Cover(name) for name in site.datasets]
    add(paths.pattern(lang, "changes"), changes.read, lambda parts, query: everything)
    add(paths.pattern(lang, "session"), figures.read, lambda parts, query: [Cover("bills")])
    for name, dataset in site.datasets.items():
        served = records.served(dataset)
        base = paths.list_path(lang, dataset).removeprefix(f"/{lang}")
        scoped = served.list.scope is not None
        if scoped:
            found.append(Route(base, _to_current(site, lang, dataset)))
        add(f"{base}/{{session}}" if scoped else base, _LISTS.get(name, records.list_of(name)), _of_list(dataset))
        one = f"{base}/{served.path}"
        add(one, _RECORDS.get(name, records.record_of(name)), _of_record(dataset))
        add(f"{one}/{getattr(paths.BELOW['history'], lang)}", records.history_of(name), _of_record(dataset))
        add(f"{one}/{getattr(paths.BELOW['sources'], lang)}", records.sources_of(name))
    handlers: dict[Any, Any] = {}
    for kind in (HTTPException, Problem, UsageError, SQLAlchemyError, Exception):
        handlers[kind] = _failed(site, lang)
    return Starlette(routes=found, exception_handlers=handlers)


def _to_current(site: Site, lang: str, dataset: Dataset) -> Any:
    """A list without its session is that of the current one: an address that moves on, and no page."""

    def session() -> str | None:
        with Session(site.context.engine) as db:
            return current_session(db, site.datasets.values())

    async def redirect(request: Request) -> Response:
        found: str | None = await site.context.in_thread(session)
        base = paths.list_path(lang, dataset)
        return RedirectResponse(f"{base}/{found}" if found else f"/{lang}/", 307, {"Cache-Control": "no-store"})

    return redirect


def _of_list(dataset: Dataset) -> Covers:
    def covers(parts: Mapping[str, str], query: QueryParams) -> Sequence[Cover]:
        return [Cover(dataset.name, parts.get("session")), Cover("politicians")]

    return covers


def _of_record(dataset: Dataset) -> Covers:
    """Of a record's page, which tells of other records too; none of how it stood once."""

    def covers(parts: Mapping[str, str], query: QueryParams) -> Sequence[Cover] | None:
        return None if query.get("as_of") else [Cover(name) for name in (dataset.name, *_TOLD.get(dataset.name, ()))]

    return covers


def _failed(site: Site, lang: str) -> Any:
    async def failed(request: Request, error: Exception) -> Response:
        problem = problems.problem_of(request, error)
        kind = {404: "missing", 422: "wrong", 409: "wrong"}.get(problem.status, "failed")
        view = View(
            "error.html",
            str(site.tongues[lang].say(f"error.{kind}")),
            {each: f"/{each}/" for each in LANGUAGES},
            {"kind": kind, "status": problem.status, "detail": problem.detail},
            found=False,
        )
        headers = {"Cache-Control": "no-store", **problem.headers}
        page = Response(site.render(lang, request, view), problem.status, headers, MEDIA_TYPE)
        return site.with_policy(page, lang)

    return failed
