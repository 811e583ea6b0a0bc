"""The history over HTTP: pages, pages that wait for news, and streams; of all, or of one record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field, create_model
from starlette.responses import Response

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Served
from parlex.mirror.history import ChangeRecord
from parlex.serving import changes, formats, questions
from parlex.serving.bodies import Body
from parlex.serving.changes import LINES, Question
from parlex.serving.problems import Problem
from parlex.serving.records import key_of
from parlex.web import routes
from parlex.web.context import Context, address_with
from parlex.web.streams import PART, EventStream

WRITTEN_AS = (formats.JSON, formats.NDJSON, formats.CSV, formats.EVENTS)


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

    everything = _Changes(context, lambda request, query: changes.of_all(query, datasets))
    add(f"/{LINES.name}", everything.answer, LINES.help, LINES.name, changes.parameters(datasets), {})
    for dataset in datasets.values():
        if served := dataset.served:
            one = _Changes(context, partial(_of_record, served))
            help = f"The history of one {served.one}, oldest first."
            path = f"/{served.list.name}/{served.path}/{LINES.name}"
            add(path, one.answer, help, served.list.name, changes.parameters({}), served.example)
    return found


def _of_record(served: Served, request: Request, query: Any) -> Question:
    return changes.of_record(query, served, key_of(served, request.path_params))


class _Changes:
    def __init__(self, context: Context, asked: Callable[[Request, Any], Question]) -> None:
        self._context, self._asked = context, asked

    async def answer(self, request: Request, query: Any) -> Response:
        question = self._asked(request, query)
        format = self._context.format(request, *WRITTEN_AS)
        if format == formats.EVENTS:
            return await self._stream(request, question)
        await self._require_known(question)
        await self._news(question, query.wait)
        variant = "" if format == formats.JSON else f".{format}"
        made = partial(self._page, request, question, format)
        # A remembered answer would not wait, nor look whether there is a line of that number.
        answers = self._context.answers
        return await answers.covered(request, question.covers, made, variant, remembered=False)

    async def _stream(self, request: Request, question: Question) -> Response:
        last = request.headers.get("Last-Event-ID")
        if last is not None:
            if not last.isascii() or not last.isdecimal() or int(last) >= 2**63:
                raise Problem(422, f"Last-Event-ID: {last[:50]!r} is no number of a line")
            question = replace(question, after=int(last))
        await self._require_known(question)
        if question.served is not None:
            await self._context.in_thread(partial(self._read, question))

        def part(after: int) -> changes.Part:
            return self._read(replace(question, after=after, limit=PART))

        return EventStream(self._context, part, question.wanted, question.after)

    async def _require_known(self, question: Question) -> None:
        """Refuse a number that the history does not have yet: it is of another mirror, or of a newer state of this."""
        after, epoch = question.after, self._context.poller.epoch
        if question.epoch is not None and epoch is not None and question.epoch != epoch:
            detail = f"the mirror was restored: it is in the epoch {epoch}, and {after} is a number of {question.epoch}"
            raise Problem(409, detail, kind="other-mirror", epoch=epoch)
        if after > self._context.poller.newest(()):
            newest = await self._context.in_thread(partial(changes.newest, self._context.engine))
            if after > newest:
                detail = f"the history ends at {newest}: {after} is of another mirror, or of one that was restored"
                raise Problem(409, detail, kind="other-mirror", newest=newest)

    async def _news(self, question: Question, seconds: int) -> None:
        """Wait for a line that is wanted: on the poller alone, without a thread and without SQL."""
        poller, clock = self._context.poller, asyncio.get_running_loop().time
        until = clock() + seconds
        while poller.newest(question.wanted) <= question.after and not poller.stopping and clock() < until:
            await poller.news(until - clock())

    def _page(self, request: Request, question: Question, format: str) -> Body:
        found = self._read(question)
        address = address_with(request, after=found.next_after) if found.more else None
        body = formats.listed(found.rows, address, format, changes.NAMES, next_after=found.next_after)
        return replace(body, headers={**body.headers, "Parlex-Epoch": found.epoch}) if found.epoch else body

    def _read(self, question: Question) -> changes.Part:
        return changes.read(self._context.engine, self._context.poller, question)
