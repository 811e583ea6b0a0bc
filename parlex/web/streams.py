"""Server-sent events: the lines of the history as they come. While nothing comes, a stream holds no thread and no
connection to the database; a reader who is slow is waited for, with one part of the history in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from parlex.datasets.served import Cover
from parlex.serving.changes import Part
from parlex.serving.formats import EVENTS, MEDIA_TYPES, one_line
from parlex.serving.problems import RETRY_SECONDS, Problem
from parlex.web.context import Context
from parlex.web.problems import response

log = structlog.get_logger(__name__)

PART = 100  # lines read at once
AGAIN_SECONDS = 30  # after which one may ask again where there are too many

_HEADERS = {"Cache-Control": "no-store", "Vary": "Accept", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """A stream from ``after`` on of lines of what is ``wanted``, of everything where nothing is."""

    def __init__(self, context: Context, read: Callable[[int], Part], wanted: tuple[Cover, ...], after: int) -> None:
        super().__init__(self._events(), headers=_HEADERS, media_type=MEDIA_TYPES[EVENTS])
        self._context, self._read, self._wanted, self._after = context, read, wanted, after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streams = self._context.streams
        if scope["state"]["head"]:
            await Response(headers=self.headers)(scope, receive, send)
            return
        if streams.open >= streams.most:
            again = {"Retry-After": str(AGAIN_SECONDS)}
            full = Problem(503, f"{streams.most} streams are open, and more are not: ask again later", headers=again)
            await response(full)(scope, receive, send)
            return
        streams.open += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            streams.open -= 1

    async def _events(self) -> AsyncIterator[str]:
        context, clock = self._context, asyncio.get_running_loop().time
        poller, due = context.poller, 0.0
        epoch = poller.epoch
        while not poller.stopping and poller.epoch == epoch:  # who asks again after a restore is told of it
            seen = poller.newest(())
            if poller.newest(self._wanted) > self._after:
                try:
                    part: Part = await context.in_thread(lambda: self._read(self._after))
                except SQLAlchemyError as error:
                    log.warning("stream unread", error=str(error).splitlines()[0])
                    await poller.news(RETRY_SECONDS)
                    continue
                self._after = part.next_after
                if part.rows:
                    yield "".join(map(_event, part.rows))
                    due = clock() + context.streams.heartbeat
                continue
            if clock() >= due:
                if due and poller.ready and seen < self._after:
                    return  # the history is shorter than it was: it was restored, and whoever asks again is told so
                self._after = max(self._after, seen)
                yield f": {self._after}\nid: {self._after}\n\n"  # how far it went, though nothing was for the reader
                due = clock() + context.streams.heartbeat
            await poller.news(due - clock())


def _event(row: str) -> str:
    # The number is the first field of a row.
    number = row[row.index(":") + 1 : row.index(",")]
    return f"id: {number}\ndata: {one_line(row)}\n\n"
