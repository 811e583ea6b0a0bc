"""The routes of every dataset that declares how it is served: its list, its records, and what is below them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from inspect import Parameter, Signature
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from sqlalchemy import Connection, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from parlex.answers import as_json
from parlex.datasets import provenance
from parlex.datasets.dataset import Dataset
from parlex.datasets.served import CHECKED, Collection, Cover, Served
from parlex.parliament import moment_of
from parlex.web import formats, queries, questions
from parlex.web.bodies import Body
from parlex.web.context import Context, json_body, next_address
from parlex.web.problems import SCHEMA, Problem
from parlex.web.queries import Asked
from parlex.web.questions import Parameters

Answer = Callable[[Request, Any], Awaitable[Response]]


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
        served = self._served
        row = questions.model_of(self._title, served.list.record)
        listed = questions.list_of(self._title, row)
        self._get(f"/{served.list.name}", served.list.help, listed, self._list(served.list), formats=True)
        detail = {name: each.type for name, each in served.detail.items()}
        whole = questions.model_of(f"Whole{self._title}", served.list.record, detail)
        self._get(self._path, f"One {served.one}.", whole, self._one())
        for below in served.below:
            name = f"{self._title}{below.name.title()}"
            of = questions.list_of(name, questions.model_of(name, below.record))
            self._get(f"{self._path}/{below.name}", below.help, of, self._list(below), formats=True)
        for name, told in served.told.items():
            self._get(f"{self._path}/{name}", told.help, None, self._told(name))
        self._get(f"{self._path}/provenance", "Each field with its source, document and time.", None, self._origins())

    def _get(
        self,
        path: str,
        help: str,
        model: type[BaseModel] | None,
        endpoint: Callable[..., Any],
        formats: bool = False,
    ) -> None:
        content: dict[str, Any] = {"application/json": {}} | (
            {"text/csv": {}, "application/x-ndjson": {}} if formats else {}
        )
        problem = {"content": {"application/problem+json": {"schema": SCHEMA}}}
        answers: dict[int | str, dict[str, Any]] = {
            200: {"description": help, "content": content, **({"model": model} if model else {})},
            304: {"description": "The client has it: If-None-Match."},
            404: {"description": "There is no such thing.", **problem},
            422: {"description": "A parameter is wrong.", **problem},
            503: {"description": "The database does not answer, or not in time.", **problem},
        }
        name = path.strip("/").replace("/", "_").replace("{", "").replace("}", "")
        self._router.add_api_route(
            path, endpoint, responses=answers, summary=help, operation_id=name, name=name, response_model=None,
            tags=[self._served.list.name],
        )  # fmt: skip

    # Endpoints.

    def _endpoint(self, answer: Answer, model: type[Parameters] = Parameters, *, below: bool = True) -> Any:
        """A function with the signature that FastAPI reads: the request, the parameters, the parts of the path."""

        async def endpoint(request: Request, query: Any, **parts: str) -> Response:
            return await answer(request, query)

        about = [("request", Request), ("query", Annotated[model, Query()])]
        if below:
            parts = self._served.example.items()
            about += [(name, Annotated[str, Path(examples=[one], max_length=200)]) for name, one in parts]
        named = [Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind) for name, kind in about]
        endpoint.__signature__ = Signature(named)  # type: ignore[attr-defined]
        return endpoint

    def _list(self, collection: Collection) -> Any:
        columns = list(collection.fields)

        async def answer(request: Request, query: Any) -> Response:
            key = self._key(request) if collection.parent else None
            question = questions.asked(collection, query, key)
            shown = [name for name in columns if question.fields is None or name in question.fields]
            made = partial(self._page, request, collection, question, [*shown, *question.include], count=query.count)
            return await self._context.answers.covered(request, questions.covers(collection, question), made)

        return self._endpoint(answer, questions.parameters(collection), below=collection.parent is not None)

    def _page(
        self, request: Request, collection: Collection, question: Asked, columns: list[str], *, count: bool
    ) -> Body:
        format = self._context.format(request, formats.JSON, formats.NDJSON, formats.CSV)
        with self._context.engine.connect() as db:
            page = queries.page(db, collection, question)
            total = queries.count(db, collection, question) if count else None
            if question.parent is not None and not page.rows and question.cursor is None:
                self._require(db, question.parent)
        address = next_address(request, page.next) if page.next else None
        return formats.listed(page.rows, address, format, columns, total)

    def _one(self) -> Any:
        served = self._served
        includes = {name: each for name, each in served.list.includes.items() if name not in served.detail}

        async def answer(request: Request, query: Any) -> Response:
            key = self._key(request)
            moment = getattr(query, "as_of", None)
            if moment is not None:
                return await self._context.answers.uncovered(partial(self._past, key, moment))
            include = questions.split(getattr(query, "include", None)) or ()
            others = [Cover(name) for each in include for name in includes[each].covers]
            covers = [Cover(self._dataset.name, key=key), *others]
            return await self._context.answers.covered(request, covers, partial(self._record, request, key, include))

        return self._endpoint(answer, questions.of_one(self._title, includes, past=served.past is not None))

    def _record(self, request: Request, key: str, include: tuple[str, ...]) -> Body:
        self._context.format(request, formats.JSON)
        with self._context.engine.connect() as db:
            found = queries.record(db, self._served, key, include)
            if found is None:
                raise self._missing(key)
            checked = self._context.checked_at(db, self._dataset, key)
        headers = {"Parlex-Checked-At": as_json(checked)} if checked else {}
        return Body(found.encode(), headers=headers)

    def _past(self, key: str, moment: str) -> Body:
        assert self._served.past is not None
        with Session(self._context.engine) as db:
            self._require(db.connection(), key)
            found = self._served.past(db, key, moment_of(moment))
        if found is None:
            raise Problem(404, f"the mirror did not know {key} then", kind="not-known-yet")
        return json_body({name: value for name, value in found.as_json().items() if name != CHECKED})

    def _told(self, name: str) -> Any:
        told = self._served.told[name]

        async def answer(request: Request, query: Any) -> Response:
            made = partial(self._read, request, told.read, self._key(request))
            covers = [Cover(name) for name in (self._dataset.name, *told.covers)]
            return await self._context.answers.covered(request, covers, made)

        return self._endpoint(answer)

    def _origins(self) -> Any:
        def read(db: Session, key: str) -> Any:
            return {"data": tuple(provenance.provenance(db, self._dataset, key)), "next": None}

        async def answer(request: Request, query: Any) -> Response:
            return await self._context.answers.uncovered(partial(self._read, request, read, self._key(request)))

        return self._endpoint(answer)

    def _read(self, request: Request, read: Callable[[Session, str], Any], key: str) -> Body:
        self._context.format(request, formats.JSON)
        with Session(self._context.engine) as db:
            self._require(db.connection(), key)
            return json_body(as_json(read(db, key)))

    # Keys.

    def _key(self, request: Request) -> str:
        try:
            return self._served.key(request.path_params)
        except ValueError as error:
            raise Problem(404, str(error)) from None

    def _missing(self, key: str) -> Problem:
        return Problem(404, f"the mirror does not hold {key}")

    def _require(self, db: Connection, key: str) -> None:
        if db.execute(select(self._served.identity).where(self._served.identity == key)).first() is None:
            raise self._missing(key)
