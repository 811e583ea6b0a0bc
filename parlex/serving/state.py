"""The state of the mirror: sessions, freshness, completeness, the looks at lists, the runs. No line of the history
tells of it, so that nobody keeps an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, Text, cast
from sqlalchemy.orm import Session

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
from parlex.serving.bodies import Body, json_body
from parlex.serving.problems import Problem
from parlex.serving.tags import Poller
from parlex.settings import Settings
from parlex.watch import monitor

JUDGED = timedelta(hours=24)  # of runs

Read = Callable[[Session, Any], Any]  # of the parameters

RUNS = Collection(
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
SWEEPS = Collection(
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


@dataclass(frozen=True, slots=True)
class Fact:
    """Something of the whole mirror, by its Python type."""

    help: str
    type: Any
    read: Callable[[Session], Any]


def told(poller: Poller, datasets: Mapping[str, Dataset], settings: Settings) -> dict[str, Fact]:
    """What is told of the whole mirror, without a question."""

    def status(db: Session) -> Any:
        now = datetime.now(UTC)
        judged = monitor.overview(db, now - JUDGED, now, datasets, settings).to_dict()
        mirror = {"mirror": poller.mirror, "epoch": poller.epoch, "seq": poller.last, "version": __version__}
        return as_json({**mirror, **judged})

    held = partial(sessions.sessions, datasets=list(datasets.values()))
    return {
        "sessions": Fact("What is held, session by session.", tuple[SessionRecord, ...], held),
        "status": Fact("How fresh the mirror is, and how its runs of the last 24 hours went.", dict, status),
    }


def completeness(datasets: Mapping[str, Dataset], db: Session, given: Any) -> Iterator[Record]:
    """What each list has against what the mirror holds, of all sessions or of one."""
    for dataset in datasets.values():
        chosen = [scope for scope in dataset.scopes(db) if given["session"] in (None, scope)]
        yield from verify.verify(db, dataset, chosen) if chosen else ()


def run(db: Session, given: Any) -> Any:
    """A run's whole story, by its ``id``. Problem 404 where there is none."""
    try:
        found = reads.run_story(db, UUID(given["id"]))
    except ValueError:
        found = None
    if found is None:
        raise Problem(404, f"there is no run {given['id']:.50}")
    return found


def body(engine: Engine, read: Read, given: Mapping[str, Any]) -> Body:
    """The body of what a function reads: of an object, of a record, or of a list of records."""
    with Session(engine) as db:
        found = read(db, given)
        if isinstance(found, dict):
            return json_body(found)
        if isinstance(found, Record):
            return json_body(found.as_json())
        return json_body({"data": [one.as_json() for one in found], "next": None})
