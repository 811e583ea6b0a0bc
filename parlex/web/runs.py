"""``POST /runs``: an operator has the workers fetch, as ``parlex fetch --dispatch`` does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

import structlog
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis import Redis, RedisError
from starlette.responses import Response

from parlex.datasets.dataset import Dataset
from parlex.db.api_keys import OPERATOR
from parlex.parliament import SessionId
from parlex.runs import reads, work
from parlex.runs.run_log import USUAL, RunLog, Transactions
from parlex.web.keys import require
from parlex.web.problems import ANSWER, RETRY_SECONDS, Problem

log = structlog.get_logger(__name__)

Dispatch = Callable[[work.Request], UUID]  # writes the run down, or joins the equal one, and sends its task

REMEMBERED_SECONDS = 24 * 3600  # an Idempotency-Key with its answer
_CLAIMED_SECONDS = 120  # one whose answer is being made
_LONGEST_KEY = 255
_THREADS = 2


class Wanted(BaseModel):
    """What to fetch: the latest, or a whole session. ``dataset`` left out is the first."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dataset: str | None = Field(None, max_length=100, description="which dataset")
    session: str | None = Field(None, pattern=r"^[1-9]\d{0,2}-[1-9]$", description="a whole session, like 45-1")
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(None, description="keys at most; the rest waits")
    companion: Literal["all"] | None = Field(None, description="all: ask the second source for each bill too")


@dataclass(frozen=True, slots=True)
class _Answer:
    run_id: str
    story: dict[str, Any]

    def response(self, path: str) -> Response:
        body = json.dumps(self.story, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {"Location": f"{path}/{self.run_id}", "Cache-Control": "no-store"}
        return Response(body, 202, headers, "application/json")


class Runs:
    """What an operator may start. ``dispatch`` knows the workers, which this does not."""

    def __init__(self, db: Transactions, datasets: dict[str, Dataset], log_: RunLog, redis: Redis, dispatch: Dispatch):
        self._db, self._datasets, self._log, self._redis, self._dispatch = db, datasets, log_, redis, dispatch
        self._limiter: CapacityLimiter | None = None

    async def in_thread(self, start: Callable[[], _Answer]) -> _Answer:
        """Few at a time, and in threads of their own: the broker may take its time."""
        self._limiter = self._limiter or CapacityLimiter(_THREADS)
        return await to_thread.run_sync(start, limiter=self._limiter, abandon_on_cancel=True)

    def start(self, wanted: Wanted, by: str, once: str | None) -> _Answer:
        """The run as it stands. ``once`` is an Idempotency-Key: what is asked again with it is answered as before.

        UsageError for what cannot be asked; Problem 503 where Redis is away, 409 and 422 for a key of another request.
        """
        try:
            self._redis.ping()
            return self._once(wanted, f"parlex:idempotency:{by}:{_digest(once)}") if once else self._start(wanted)
        except RedisError as error:
            log.warning("nothing dispatched", error=type(error).__name__)
            detail = "Redis does not answer, by which the workers are told: nothing was started"
            raise Problem(503, detail, headers={"Retry-After": str(RETRY_SECONDS)}) from None

    def _start(self, wanted: Wanted) -> _Answer:
        first = next(iter(self._datasets))
        dataset = wanted.dataset or first
        if wanted.session is not None:
            session = SessionId.parse(wanted.session)
            request = self._log.session_request(session, wanted.limit, dataset=dataset, companion=wanted.companion)
        else:
            # Of the first dataset the usual number, of others all: as the command has it.
            limit = wanted.limit or (USUAL if dataset == first else None)
            request = self._log.latest_request(limit, dataset=dataset, companion=wanted.companion)
        run_id = self._dispatch(request)
        with self._db() as db:
            story = reads.run_story(db, run_id)
        assert story is not None
        return _Answer(str(run_id), story.as_json())

    def _once(self, wanted: Wanted, place: str) -> _Answer:
        asked = _digest(wanted.model_dump_json())
        if not self._redis.set(place, json.dumps({"asked": asked}), nx=True, ex=_CLAIMED_SECONDS):
            held = json.loads(self._redis.get(place) or "{}")
            if held.get("asked", asked) != asked:
                raise Problem(422, "this Idempotency-Key was given with another body")
            if "answer" not in held:
                raise Problem(409, "the request with this Idempotency-Key is under way", headers={"Retry-After": "1"})
            return _Answer(*held["answer"])
        try:
            answer = self._start(wanted)
        except BaseException:
            with suppress(RedisError):
                self._redis.delete(place)
            raise
        kept = {"asked": asked, "answer": [answer.run_id, answer.story]}
        self._redis.set(place, json.dumps(kept), ex=REMEMBERED_SECONDS)
        return answer


def router(runs: Runs | None) -> APIRouter:
    """``runs`` None: a server that cannot reach the workers; it says so to whoever has a key."""
    found = APIRouter()
    bearer = HTTPBearer(auto_error=False, description="a key that `parlex keys add` printed")
    body = {"required": True, "content": {"application/json": {"schema": Wanted.model_json_schema()}}}
    told = dict.fromkeys((401, 403, 409, 415, 422, 503), ANSWER)
    answers: dict[int | str, dict[str, Any]] = {
        202: {"description": "The run, new or joined.", "headers": {"Location": {"schema": {"type": "string"}}}},
        **{status: {"description": HTTPStatus(status).phrase, **problem} for status, problem in told.items()},
    }

    @found.post(
        "/runs", status_code=202, summary="Have the workers fetch, or join the equal run that is under way.",
        operation_id="start_run", responses=answers, tags=["mirror"], dependencies=[Security(bearer)],
        openapi_extra={"requestBody": body, "parameters": [
            {"in": "header", "name": "Idempotency-Key", "schema": {"type": "string", "maxLength": _LONGEST_KEY}}
        ]},
    )  # fmt: skip
    async def start(request: Request) -> Response:
        key = require(getattr(request.state, "key", None), OPERATOR)
        wanted, once = await _wanted(request), request.headers.get("Idempotency-Key")
        if once is not None and not (0 < len(once) <= _LONGEST_KEY and once.isprintable()):
            raise Problem(422, f"Idempotency-Key must have 1 to {_LONGEST_KEY} characters")
        if runs is None:
            raise Problem(503, "this server does not reach the workers")
        answer = await runs.in_thread(partial(runs.start, wanted, key.id, once))
        return answer.response(request.url.path)

    return found


async def _wanted(request: Request) -> Wanted:
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "the body must be application/json")
    try:
        return Wanted.model_validate_json(await request.body())
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
