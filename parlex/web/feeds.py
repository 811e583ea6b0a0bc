"""The routes of the Atom feeds: of everything, of each list, and of each record."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import Field, create_model
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Cover
from parlex.serving import changes, feeds, formats
from parlex.serving.formats import accepted
from parlex.serving.questions import Parameters
from parlex.serving.records import key_of
from parlex.web import routes
from parlex.web.context import Context, address_with

USUAL, MOST = 50, 500  # entries of a feed; /changes has them all
SUFFIX = f".{formats.ATOM}"
_TYPE = formats.MEDIA_TYPES[formats.ATOM]


class FeedRoute(APIRoute):
    """A route that is taken where Atom is asked for, by the suffix or by Accept."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or not _wanted(scope):
            return Match.NONE, {}
        return super().matches({**scope, "path": scope["path"] + SUFFIX})


def _wanted(scope: Scope) -> bool:
    suffix = scope["state"]["format"]
    if suffix is not None:
        return bool(suffix == formats.ATOM)
    accept = Headers(scope=scope).get("Accept", "")
    return _TYPE in accept.lower() and accepted(accept, tuple(formats.MEDIA_TYPES)) == formats.ATOM


def router(context: Context, datasets: Mapping[str, Dataset]) -> APIRouter:
    """The feeds of everything, of each list, and of each record."""
    found = APIRouter(route_class=FeedRoute)
    told = {name for dataset in datasets.values() for name in dataset.told_fields}

    def add(path: str, help: str, of: Dataset | None, parts: Mapping[str, str], more: Mapping[str, Any]) -> None:
        fields = sorted(of.told_fields if of else told)
        name = path.strip("/").replace("/", " ").replace("{", "").replace("}", "").title().replace(" ", "")
        answer = _Feed(context, datasets, of, one=bool(parts)).answer
        parameters = _parameters(f"{name}FeedParameters", fields, more)
        about: dict[str, Any] = {"parameters": parameters, "parts": parts, "written_as": (formats.ATOM,)}
        routes.get(found, path + SUFFIX, answer, help=help, tag="feeds", **about)

    filters = changes.filters(datasets)
    add("/changes", "A feed of everything.", None, {}, filters)
    for dataset in datasets.values():
        if served := dataset.served:
            path = f"/{served.list.name}"
            scoped = {"session": filters["session"]} if served.list.scope else {}
            add(path, f"A feed of the {served.list.name}.", dataset, {}, scoped)
            add(f"{path}/{served.path}", f"A feed of one {served.one}.", dataset, served.example, {})
    return found


def _parameters(title: str, fields: list[str], more: Mapping[str, Any]) -> type[Parameters]:
    found: dict[str, Any] = dict(more)
    found["lang"] = (Literal[feeds.LANGUAGES], Field("en", description="the language"))
    found["limit"] = (int, Field(USUAL, ge=1, le=MOST, description="entries; /changes has all"))
    if fields:
        found["field"] = (Literal[tuple(fields)] | None, Field(None, description="only where this changed"))
    model: type[Parameters] = create_model(title, __base__=Parameters, **found)
    return model


class _Feed:
    """``of``: the dataset it is of, or all. ``one``: whether it is of one record, which the path names."""

    def __init__(self, context: Context, datasets: Mapping[str, Dataset], of: Dataset | None, *, one: bool) -> None:
        self._context, self._datasets, self._of = context, datasets, of
        self._served = of.served if of and one else None

    async def answer(self, request: Request, query: Any) -> Response:
        given = {name: value for name, value in query.model_dump().items() if value is not None}
        if self._of is not None:
            given["dataset"] = self._of.name
        if self._served is not None:
            given["key"] = key_of(self._served, request.path_params)
        dataset = given.get("dataset")
        key = given.get("key")
        covers = [Cover(dataset, None if key else given.get("session"), key)] if dataset else []
        about = {"address": address_with(request), "base": f"{request.base_url}".rstrip("/")}
        make = partial(feeds.feed, self._context.engine, self._datasets, given, self._served, **about)
        return await self._context.answers.covered(request, covers, make, SUFFIX)
