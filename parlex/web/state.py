"""The routes of the state of the mirror."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field, create_model
from sqlalchemy.orm import Session
from starlette.responses import Response

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import SESSION
from parlex.serving import formats, state
from parlex.serving.questions import Parameters
from parlex.serving.state import RUNS, SWEEPS, Fact, Read
from parlex.web import lists, routes
from parlex.web.context import Context

TAG = "mirror"


def router(context: Context, datasets: Mapping[str, Dataset], facts: Mapping[str, Fact]) -> APIRouter:
    found = APIRouter()
    for collection, title in ((RUNS, "Run"), (SWEEPS, "Sweep")):
        lists.add(context, found, f"/{collection.name}", collection, title=title, tag=TAG, covered=False)

    def add(path: str, help: str, read: Read, parameters: type[Parameters] = Parameters, **parts: str) -> None:
        async def answer(request: Request, query: Any) -> Response:
            context.format(request, formats.JSON)
            given = query.model_dump() | request.path_params
            return await context.answers.uncovered(partial(state.body, context.engine, read, given))

        routes.get(found, path, answer, help=help, tag=TAG, parameters=parameters, parts=parts)

    for name, one in facts.items():
        add(f"/{name}", one.help, lambda db, given, read=one.read: read(db))  # type: ignore[misc]
    completeness = partial(state.completeness, datasets)
    add("/completeness", "What each list has against what the mirror holds.", completeness, _one_session(None))
    add("/runs/{id}", "A run's whole story.", state.run, id="0a1b2c3d-0000-4000-8000-000000000000")
    for dataset in datasets.values():
        for name, survey in dataset.served.surveys.items() if dataset.served else ():

            def read(db: Session, given: Any, dataset: Dataset = dataset, survey: Any = survey) -> Any:
                return survey.read(db, dataset, given["session"])

            add(f"/{name}", survey.help, read, _one_session(...))
    return found


def _one_session(default: Any) -> type[Parameters]:
    kind: Any = str if default is ... else str | None
    model: type[Parameters] = create_model(
        "SessionParameters" if default is ... else "AnySessionParameters",
        __base__=Parameters,
        session=(kind, Field(default, pattern=SESSION, description="the session, like 45-1")),
    )
    return model
