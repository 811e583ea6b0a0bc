"""The state of the mirror: sessions, freshness, completeness, the looks at lists, the runs. No line of the history
tells of it, so that nobody keeps an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field, create_model
from sqlalchemy import Text, cast
from sqlalchemy.orm import Session
from starlette.responses import Response

from parlex import __version__
from parlex.answers import Record, as_json
from parlex.datasets import sessions, verify
from parlex.datasets.dataset import Dataset
from parlex.datasets.served import SESSION, Collection, Filter, Sort, instant
from parlex.datasets.sessions import SessionRecord
from parlex.db.models import RunRow, SweepRow
from parlex.runs import reads
from parlex.runs.fetch_logs import STATUSES
from parlex.runs.reads import RunRecord, SweepRecord
from parlex.settings import Settings
from parlex.watch import monitor
from parlex.web import formats, lists, routes
from parlex.web.bodies import Body
from parlex.web.context import Context, json_body
from parlex.web.problems import Problem
from parlex.web.questions import Parameters

TAG = "mirror"
JUDGED = timedelta(hours=24)  # of runs

Read = Callable[[Session, Any], Any]

_RUNS = Collection(
    name="runs",
    help="The runs, newest first.",
    dataset="",
    record=RunRecord,
    source=RunRow.__table__,
    fields={each.name: reads.run_column(each.name) for each in fields(RunRecord)},
    sorts={"started": Sort((instant(RunRow.started_at), cast(RunRow.run_id, Text)), True)},
    filters={
        "dataset": Filter(help="the dataset", where=lambda value: RunRow.dataset == value),
        "status": Filter(
            help="how it ended, or running", where=lambda value: RunRow.status == value, choices=tuple(STATUSES)
        ),
    },
)
_SWEEPS = Collection(
    name="sweeps",
    help="Each look at a source's whole list, newest first: what it listed against what the mirror held.",
    dataset="",
    record=SweepRecord,
    source=SweepRow.__table__,
    fields={each.name: getattr(SweepRow, each.name) for each in fields(SweepRecord)},
    sorts={"swept": Sort((SweepRow.id,), True)},
    filters={
        "dataset": Filter(help="the dataset", where=lambda value: SweepRow.dataset == value),
        "session": Filter(help="the session", where=lambda value: SweepRow.scope == value, pattern=SESSION),
    },
)


def router(context: Context, datasets: Mapping[str, Dataset], settings: Settings) -> APIRouter:
    found = APIRouter()
    for collection, title in ((_RUNS, "Run"), (_SWEEPS, "Sweep")):
        lists.add(context, found, f"/{collection.name}", collection, title=title, tag=TAG, covered=False)

    def add(path: str, help: str, read: Read, parameters: type[Parameters] = Parameters, **parts: str) -> None:
        async def answer(request: Request, query: Any) -> Response:
            context.format(request, formats.JSON)
            given = query.model_dump() | request.path_params
            return await context.answers.uncovered(partial(_read, context, read, given))

        routes.get(found, path, answer, help=help, tag=TAG, parameters=parameters, parts=parts)

    def completeness(db: Session, given: Any) -> Iterator[Record]:
        for dataset in datasets.values():
            chosen = [scope for scope in dataset.scopes(db) if given["session"] in (None, scope)]
            yield from verify.verify(db, dataset, chosen) if chosen else ()

    for name, one in told(context, datasets, settings).items():
        add(f"/{name}", one.help, lambda db, given, read=one.read: read(db))  # type: ignore[misc]
    add("/completeness", "What each list has against what the mirror holds.", completeness, _one_session(None))
    add("/runs/{id}", "A run's whole story.", _run, id="0a1b2c3d-0000-4000-8000-000000000000")
    for dataset in datasets.values():
        for name, survey in dataset.served.surveys.items() if dataset.served else ():

            def read(db: Session, given: Any, dataset: Dataset = dataset, survey: Any = survey) -> Any:
                return survey.read(db, dataset, given["session"])

            add(f"/{name}", survey.help, read, _one_session(...))
    return found


@dataclass(frozen=True, slots=True)
class Fact:
    """Something of the whole mirror, by its Python type."""

    help: str
    type: Any
    read: Callable[[Session], Any]


def told(context: Context, datasets: Mapping[str, Dataset], settings: Settings) -> dict[str, Fact]:
    """What is told of the whole mirror, without a question."""

    def status(db: Session) -> Any:
        now = datetime.now(UTC)
        judged = monitor.overview(db, now - JUDGED, now, datasets, settings).to_dict()
        mirror = {"mirror": context.poller.mirror, "seq": context.poller.last, "version": __version__}
        return as_json({**mirror, **judged})

    held = partial(sessions.sessions, datasets=list(datasets.values()))
    return {
        "sessions": Fact("What is held, session by session.", tuple[SessionRecord, ...], held),
        "status": Fact("How fresh the mirror is, and how its runs of the last 24 hours went.", dict, status),
    }


def _one_session(default: Any) -> type[Parameters]:
    kind: Any = str if default is ... else str | None
    model: type[Parameters] = create_model(
        "SessionParameters" if default is ... else "AnySessionParameters",
        __base__=Parameters,
        session=(kind, Field(default, pattern=SESSION, description="the session, like 45-1")),
    )
    return model


def _read(context: Context, read: Read, given: Mapping[str, Any]) -> Body:
    with Session(context.engine) as db:
        found = read(db, given)
        if isinstance(found, dict):
            return json_body(found)
        if isinstance(found, Record):
            return json_body(found.as_json())
        return json_body({"data": [one.as_json() for one in found], "next": None})


def _run(db: Session, given: Any) -> Any:
    try:
        found = reads.run_story(db, UUID(given["id"]))
    except ValueError:
        found = None
    if found is None:
        raise Problem(404, f"there is no run {given['id']:.50}")
    return found
