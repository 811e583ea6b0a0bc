"""The answer of a list: a page of it, in the format that the client asks for."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from parlex.datasets.served import Collection, Served
from parlex.serving import formats, queries, questions
from parlex.serving.bodies import Body
from parlex.serving.queries import Asked
from parlex.serving.records import key_of, require_held
from parlex.web import routes
from parlex.web.context import Context, address_with

FORMATS = (formats.JSON, formats.NDJSON, formats.CSV)


def add(
    context: Context,
    router: APIRouter,
    path: str,
    collection: Collection,
    *,
    title: str,
    tag: str,
    above: Served | None = None,
    covered: bool = True,
) -> None:
    """Add the route of a list. ``above``: of the record that it is below."""
    columns = list(collection.fields)

    async def answer(request: Request, query: Any) -> Response:
        question = questions.asked(collection, query, key_of(above, request.path_params) if above else None)
        shown = [name for name in columns if question.fields is None or name in question.fields]
        shown += [name for name in question.include if name not in shown]
        format = context.format(request, *FORMATS)
        made = partial(_page, context, request, collection, question, shown, format, above, count=query.count)
        if not covered:
            return await context.answers.uncovered(made)
        variant = "" if format == formats.JSON else f".{format}"
        return await context.answers.covered(request, questions.covers(collection, question), made, variant)

    more = {name: each.type for name, each in collection.includes.items()}
    row = questions.model_of(title, collection.record, *more.items())
    routes.get(
        router,
        path,
        answer,
        help=collection.help,
        tag=tag,
        parameters=questions.parameters(collection),
        parts=above.example if above else None,
        model=questions.list_of(title, row),
        written_as=FORMATS,
    )


def _page(
    context: Context,
    request: Request,
    collection: Collection,
    question: Asked,
    columns: list[str],
    format: str,
    above: Served | None,
    *,
    count: bool,
) -> Body:
    with context.engine.connect() as db:
        page = queries.page(db, collection, question)
        total = queries.count(db, collection, question) if count else None
        if question.parent is not None and not page.rows and above is not None:
            require_held(db, above, question.parent)
    address = address_with(request, cursor=page.next) if page.next else None
    return formats.listed(page.rows, address, format, columns, total)
