"""The routes of every dataset that declares how it is served: its list, its records, and what is below them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Cover, Served, Told
from parlex.serving import formats, questions, records
from parlex.serving.bodies import Body
from parlex.web import lists, routes
from parlex.web.context import Context
from parlex.web.routes import Answer


def router(context: Context, datasets: Mapping[str, Dataset]) -> APIRouter:
    """The routes of those of ``datasets`` that declare how they are served."""
    found = APIRouter()
    for dataset in datasets.values():
        if dataset.served is not None:
            _Routes(context, found, dataset, dataset.served).add()
    return found


class _Routes:
    def __init__(self, context: Context, router: APIRouter, dataset: Dataset, served: Served) -> None:
        self._context, self._router, self._dataset, self._served = context, router, dataset, served
        self._title = served.one.title()
        self._path = f"/{served.list.name}/{served.path}"

    def add(self) -> None:
        served, name = self._served, self._served.list.name
        lists.add(self._context, self._router, f"/{name}", served.list, title=self._title, tag=name)
        for beside in served.beside:
            row = beside.record.__name__.removesuffix("Record")
            lists.add(self._context, self._router, f"/{beside.name}", beside, title=row, tag=name)
        self._one()
        for below in served.below:
            path, title = f"{self._path}/{below.name}", f"{self._title}{below.name.title()}"
            lists.add(self._context, self._router, path, below, title=title, tag=name, above=served)
        for each, told in served.told.items():
            self._get(f"{self._path}/{each}", told.help, self._told(told))
        self._get(f"{self._path}/provenance", "Each field with its source, document and time.", self._origins)

    def _get(self, path: str, help: str, answer: Answer, **about: Any) -> None:
        async def as_json(request: Request, query: Any) -> Response:
            self._context.format(request, formats.JSON)
            return await answer(request, query)

        parts = self._served.example
        routes.get(self._router, path, as_json, help=help, tag=self._served.list.name, parts=parts, **about)

    # Answers.

    def _one(self) -> None:
        served = self._served
        includes = {name: each for name, each in served.list.includes.items() if name not in served.detail}

        async def answer(request: Request, query: Any) -> Response:
            key, engine = self._key(request), self._context.engine
            moment = getattr(query, "as_of", None)
            if moment is not None:
                made = partial(records.past, engine, served, key, moment.isoformat())
                return await self._context.answers.uncovered(made)
            include = questions.split(getattr(query, "include", None)) or ()
            others = [Cover(name) for each in include for name in includes[each].covers]
            covers = [Cover(self._dataset.name, key=key), *others]
            made = partial(records.whole, engine, self._dataset, served, key, include)
            return await self._context.answers.covered(request, covers, made)

        more = {name: each.type for name, each in {**served.detail, **includes}.items()}
        self._get(
            self._path,
            f"One {served.one}.",
            answer,
            parameters=questions.of_one(self._title, includes, past=served.past is not None),
            model=questions.model_of(f"Whole{self._title}", served.list.record, *more.items()),
        )

    def _told(self, told: Told) -> Answer:
        async def answer(request: Request, query: Any) -> Response:
            covers = [Cover(name) for name in (self._dataset.name, *told.covers)]
            return await self._context.answers.covered(request, covers, self._read(request, told.read))

        return answer

    async def _origins(self, request: Request, query: Any) -> Response:
        return await self._context.answers.uncovered(self._read(request, records.origins(self._dataset)))

    def _read(self, request: Request, read: Callable[[Session, str], Any]) -> Callable[[], Body]:
        return partial(records.told, self._context.engine, self._served, self._key(request), read)

    def _key(self, request: Request) -> str:
        return records.key_of(self._served, request.path_params)
