"""The history as a list that grows at its end: pages, pages that wait for news, and streams; of all, or of one record.

A client keeps one number, the newest that it has dealt with, and asks for what came after. The numbers have no gap and
follow the commits, so that whoever goes on from one misses nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, create_model
from sqlalchemy import Numeric, cast, func, select
from starlette.responses import Response

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import SESSION, Collection, Cover, Expression, Filter, Served, Sort
from parlex.db.models import ChangeRow
from parlex.mirror.history import ChangeRecord
from parlex.web import formats, questions, routes
from parlex.web.bodies import Body
from parlex.web.context import Context, address_with, key_of, require_held
from parlex.web.problems import Problem
from parlex.web.queries import Asked, page
from parlex.web.questions import Parameters
from parlex.web.streams import PART, EventStream, Part

USUAL, MOST = 100, 5_000  # lines of a page
LONGEST_WAIT = 55  # seconds; what stands between often gives up after a minute
WRITTEN_AS = (formats.JSON, formats.NDJSON, formats.CSV, formats.EVENTS)
KEY = r"^[^\x00]+$"
TAG = "changes"

_NAMES = [each.name for each in fields(ChangeRecord)]


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
    fields={name: _PARTS[name] if name in _PARTS else getattr(ChangeRow, name) for name in _NAMES},
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
class _Question:
    """``wanted``: what a line must be of to be told. ``covers``: what the tag and ``next_after`` are made of."""

    after: int
    limit: int
    filters: Mapping[str, str]
    wanted: tuple[Cover, ...]
    covers: tuple[Cover, ...]


def router(context: Context, datasets: Mapping[str, Dataset]) -> APIRouter:
    """``/changes``, and the same below each record."""
    found = APIRouter()
    row = questions.model_of("Change", ChangeRecord)
    next_after = Field(..., description="the number to go on from; beside `next`, which is null at the end")
    listed = questions.list_of("Change", row)
    model = create_model("ChangePage", __base__=listed, next_after=(int, next_after))

    def add(path: str, answer: routes.Answer, help: str, tag: str, parameters: Any, parts: Mapping[str, str]) -> None:
        about: dict[str, Any] = {"model": model, "written_as": WRITTEN_AS, "parameters": parameters, "parts": parts}
        about["problems"] = {409: "The history has no such number: it is of another mirror, or of one restored."}
        routes.get(found, path, answer, help=help, tag=tag, **about)

    everything = _Changes(context, lambda request, query: _of_all(query, datasets))
    add(f"/{LINES.name}", everything.answer, LINES.help, TAG, _parameters(datasets), {})
    for dataset in datasets.values():
        served = dataset.served
        if served is not None:
            one = _Changes(context, _of_record(dataset.name, served), served)
            help = f"The history of one {served.one}, oldest first."
            path = f"/{served.list.name}/{served.path}/{LINES.name}"
            add(path, one.answer, help, served.list.name, _parameters({}), served.example)
    return found


def _parameters(datasets: Mapping[str, Dataset]) -> type[Parameters]:
    """The parameters; without the filters where no dataset is named."""
    after = Field(0, ge=0, le=2**63 - 1, description="only what came after the line of this number")
    limit = Field(USUAL, ge=1, le=MOST, description="lines of a page")
    wait = Field(0, ge=0, le=LONGEST_WAIT, description="where there is nothing: wait so many seconds for it")
    found: dict[str, Any] = {"after": (int, after), "limit": (int, limit), "wait": (int, wait)}
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


def _of_all(query: Any, datasets: Mapping[str, Dataset]) -> _Question:
    given = {name: getattr(query, name) for name in ("dataset", "session", "key")}
    among = (given["dataset"],) if given["dataset"] else tuple(datasets)
    wanted: Iterable[Cover] = ()
    if given["key"]:
        wanted = (Cover(name, key=given["key"]) for name in among)
    elif given["session"] or given["dataset"]:
        wanted = (Cover(name, given["session"]) for name in among)
    asked = {name: value for name, value in given.items() if value is not None}
    # Covered by all lines, since ``next_after`` moves on with each: a filter that nothing matches moves on too.
    return _Question(query.after, query.limit, asked, tuple(wanted), ())


def _of_record(dataset: str, served: Served) -> Callable[[Request, Any], _Question]:
    def question(request: Request, query: Any) -> _Question:
        key = key_of(served, request)
        of = (Cover(dataset, key=key),)
        return _Question(query.after, query.limit, {"dataset": dataset, "key": key}, of, of)

    return question


class _Changes:
    """``served``: of the record that must be held; None for the history as a whole."""

    def __init__(
        self,
        context: Context,
        asked: Callable[[Request, Any], _Question],
        served: Served | None = None,
    ) -> None:
        self._context, self._asked, self._served = context, asked, served

    async def answer(self, request: Request, query: Any) -> Response:
        question = self._asked(request, query)
        format = self._context.format(request, *WRITTEN_AS)
        if format == formats.EVENTS:
            return await self._stream(request, question)
        await self._require_known(question.after)
        await self._news(question, query.wait)
        variant = "" if format == formats.JSON else f".{format}"
        answers = self._context.answers
        return await answers.covered(request, question.covers, lambda: self._page(request, question, format), variant)

    async def _stream(self, request: Request, question: _Question) -> Response:
        last = request.headers.get("Last-Event-ID")
        if last is not None:
            if not last.isascii() or not last.isdecimal() or int(last) >= 2**63:
                raise Problem(422, f"Last-Event-ID: {last[:50]!r} is no number of a line")
            question = replace(question, after=int(last))
        await self._require_known(question.after)
        if self._served is not None:
            await self._context.in_thread(lambda: self._read(question))

        def part(after: int) -> Part:
            return self._read(replace(question, after=after, limit=PART))

        return EventStream(self._context, part, question.wanted, question.after)

    async def _require_known(self, after: int) -> None:
        """Refuse a number that the history does not have yet: it is of another mirror, or of a newer state of this."""
        if after > self._context.poller.newest(()):
            newest = await self._context.in_thread(self._newest)
            if after > newest:
                detail = f"the history ends at {newest}: {after} is of another mirror, or of one that was restored"
                raise Problem(409, detail, kind="other-mirror", newest=newest)

    def _newest(self) -> int:
        with self._context.engine.connect() as db:
            found: int = db.execute(select(func.coalesce(func.max(ChangeRow.seq), 0))).scalar_one()
            return found

    async def _news(self, question: _Question, seconds: int) -> None:
        """Wait for a line that is wanted: on the poller alone, without a thread and without SQL."""
        poller, clock = self._context.poller, asyncio.get_running_loop().time
        until = clock() + seconds
        while poller.newest(question.wanted) <= question.after and not poller.stopping and clock() < until:
            await poller.news(until - clock())

    def _page(self, request: Request, question: _Question, format: str) -> Body:
        found = self._read(question)
        address = address_with(request, after=found.next_after) if found.more else None
        return formats.listed(found.rows, address, format, _NAMES, next_after=found.next_after)

    def _read(self, question: _Question) -> Part:
        seen = self._context.poller.newest(question.covers)  # before the read, which finds all up to there
        asked = Asked(limit=question.limit, filters={**question.filters, "after": question.after}, sort="seq")
        with self._context.engine.connect() as db:
            found = page(db, LINES, asked)
            if self._served is not None and not found.rows:
                require_held(db, self._served, question.filters["key"])
        last: int = json.loads(found.rows[-1])["seq"] if found.rows else question.after
        more = found.next is not None
        return Part(found.rows, last if more else max(last, seen), more)
