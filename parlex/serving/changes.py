"""The history as a list that grows at its end; of all, or of one record.

A client keeps one number, the newest that it has dealt with, and asks for what came after. The numbers have no gap and
follow the commits, so that whoever goes on from one misses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from pydantic import Field, create_model
from sqlalchemy import Engine, Numeric, cast, func, select

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import SESSION, Collection, Cover, Expression, Filter, Served, Sort
from parlex.db.models import ChangeRow
from parlex.mirror.history import ChangeRecord
from parlex.serving.queries import Asked, page
from parlex.serving.questions import Parameters
from parlex.serving.records import require_held
from parlex.serving.tags import Poller

USUAL, MOST = 100, 5_000  # lines of a page
LONGEST_WAIT = 55  # seconds; what stands between often gives up after a minute
KEY = r"^[^\x00]+$"

NAMES = [each.name for each in fields(ChangeRecord)]


def _part(pattern: str) -> Expression:
    """A part of a key, by the rule of :func:`parlex.mirror.history.parts`; null where it has none."""
    return func.substring(ChangeRow.key, pattern)


_PARTS = {
    "parliament": cast(_part(r"^(\d+)-\d+ [^\n]+$"), Numeric),
    "session": cast(_part(r"^\d+-(\d+) [^\n]+$"), Numeric),
    "number": _part(r"^\d+-\d+ ([^\n]+)$"),
}
LINES = Collection(
    name="changes",
    help="The history: one line for each field that changed, oldest first.",
    dataset="",
    record=ChangeRecord,
    source=ChangeRow.__table__,
    fields={name: _PARTS[name] if name in _PARTS else getattr(ChangeRow, name) for name in NAMES},
    sorts={"seq": Sort((ChangeRow.seq.expression,))},
    filters={
        "after": Filter(type=int, help="after that number", where=lambda value: ChangeRow.seq > value),
        "dataset": Filter(help="of that dataset", where=lambda value: ChangeRow.dataset == value),
        "session": Filter(
            help="of that session", where=lambda value: func.split_part(ChangeRow.key, " ", 1) == value, pattern=SESSION
        ),
        "key": Filter(help="of that key", where=lambda value: ChangeRow.key == value, pattern=KEY),
    },
)


@dataclass(frozen=True, slots=True)
class Question:
    """``wanted``: what a line must be of to be told. ``covers``: what the tag and ``next_after`` are made of.
    ``served``: of the record that must be held; None for the history as a whole. ``epoch``: in which ``after`` was
    told, where the client says so."""

    after: int
    limit: int
    filters: Mapping[str, str]
    wanted: tuple[Cover, ...]
    covers: tuple[Cover, ...]
    served: Served | None = None
    epoch: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Lines as JSON, and the number to go on from, in which epoch. ``more``: there is more now."""

    rows: list[str]
    next_after: int
    more: bool
    epoch: str | None


def parameters(datasets: Mapping[str, Dataset]) -> type[Parameters]:
    """The parameters; without the filters where no dataset is named."""
    after = Field(0, ge=0, le=2**63 - 1, description="only what came after the line of this number")
    limit = Field(USUAL, ge=1, le=MOST, description="lines of a page")
    wait = Field(0, ge=0, le=LONGEST_WAIT, description="where there is nothing: wait so many seconds for it")
    help = "the epoch in which `after` was told, from Parlex-Epoch: where the mirror was restored since, 409"
    epoch = Field(None, pattern="^[0-9a-f]{8}$", description=help)
    found: dict[str, Any] = {"after": (int, after), "limit": (int, limit), "wait": (int, wait)}
    found["epoch"] = (str | None, epoch)
    if datasets:
        found |= filters(datasets)
    title = "ChangesParameters" if datasets else "RecordChangesParameters"
    model: type[Parameters] = create_model(title, __base__=Parameters, **found)
    return model


def filters(datasets: Mapping[str, Dataset]) -> dict[str, Any]:
    """The parameters that say of what the lines are to be."""
    key = Field(None, max_length=200, pattern=KEY, description="only of this key, like `45-1 C-2` or `mark-carney`")
    return {
        "dataset": (Literal[tuple(datasets)] | None, Field(None, description="only of this dataset")),
        "session": (str | None, Field(None, pattern=SESSION, description="only of this session, like 45-1")),
        "key": (str | None, key),
    }


def of_all(query: Any, datasets: Mapping[str, Dataset]) -> Question:
    """The question that the parameters make."""
    given = {name: getattr(query, name) for name in ("dataset", "session", "key")}
    among = (given["dataset"],) if given["dataset"] else tuple(datasets)
    wanted: Iterable[Cover] = ()
    if given["key"]:
        wanted = (Cover(name, key=given["key"]) for name in among)
    elif given["session"] or given["dataset"]:
        wanted = (Cover(name, given["session"]) for name in among)
    asked = {name: value for name, value in given.items() if value is not None}
    # Covered by all lines, since ``next_after`` moves on with each: a filter that nothing matches moves on too.
    return Question(query.after, query.limit, asked, tuple(wanted), (), epoch=query.epoch)


def of_record(query: Any, served: Served, key: str) -> Question:
    """The question that the parameters make of one record."""
    dataset = served.list.dataset
    of = (Cover(dataset, key=key),)
    return Question(query.after, query.limit, {"dataset": dataset, "key": key}, of, of, served, query.epoch)


def newest(engine: Engine) -> int:
    """The number of the newest line; 0 before the first one."""
    with engine.connect() as db:
        found: int = db.execute(select(func.coalesce(func.max(ChangeRow.seq), 0))).scalar_one()
        return found


def read(engine: Engine, poller: Poller, question: Question) -> Part:
    """The lines of a question. Problem 404 where it is of a record that is not held."""
    seen, epoch = poller.newest(question.covers), poller.epoch  # before the read, which finds all up to there
    asked = Asked(limit=question.limit, filters={**question.filters, "after": question.after}, sort="seq")
    with engine.connect() as db:
        found = page(db, LINES, asked)
        if question.served is not None and not found.rows:
            require_held(db, question.served, question.filters["key"])
    last: int = json.loads(found.rows[-1])["seq"] if found.rows else question.after
    more = found.next is not None
    return Part(found.rows, last if more else max(last, seen), more, epoch)
