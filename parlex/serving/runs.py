"""What an operator may have the workers fetch, as ``parlex fetch --dispatch`` does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import structlog
from pydantic import BaseModel, ConfigDict, Field
from redis import Redis, RedisError

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import SESSION
from parlex.parliament import SessionId
from parlex.runs import reads, work
from parlex.runs.run_log import USUAL, RunLog, Transactions
from parlex.serving.problems import Problem, away
from parlex.serving.threads import Threads

log = structlog.get_logger(__name__)

Dispatch = Callable[[work.Request], UUID]  # writes the run down, or joins the equal one, and sends its task

REMEMBERED_SECONDS = 24 * 3600  # an Idempotency-Key with its answer
_CLAIMED_SECONDS = 120  # one whose answer is being made
LONGEST_KEY = 255
_THREADS = 2


class Wanted(BaseModel):
    """What to fetch: the latest, or a whole session. ``dataset`` left out is the first."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dataset: str | None = Field(None, max_length=100, description="which dataset")
    session: str | None = Field(None, pattern=SESSION, description="a whole session, like 45-1")
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(None, description="keys at most; the rest waits")


@dataclass(frozen=True, slots=True)
class Started:
    """A run, new or joined, and its story as it stands."""

    run_id: str
    story: dict[str, Any]


class Runs:
    """What an operator may start. ``dispatch`` knows the workers, which this does not."""

    def __init__(self, db: Transactions, datasets: dict[str, Dataset], log_: RunLog, redis: Redis, dispatch: Dispatch):
        self._db, self._datasets, self._log, self._redis, self._dispatch = db, datasets, log_, redis, dispatch
        self._threads = Threads(_THREADS)

    async def start(self, wanted: Wanted, by: str, once: str | None) -> Started:
        """As it is made; few at a time, since the broker may take its time."""
        return await self._threads.run(partial(self.make, wanted, by, once))

    def make(self, wanted: Wanted, by: str, once: str | None) -> Started:
        """The run as it stands. ``once`` is an Idempotency-Key: what is asked again with it is answered as before.

        UsageError for what cannot be asked; Problem 503 where Redis is away, 409 and 422 for a key of another request.
        """
        try:
            self._redis.ping()
            return self._once(wanted, f"parlex:idempotency:{by}:{_digest(once)}") if once else self._start(wanted)
        except RedisError as error:
            log.warning("nothing dispatched", error=type(error).__name__)
            raise away("Redis does not answer, by which the workers are told: nothing was started") from None

    def _start(self, wanted: Wanted) -> Started:
        first = next(iter(self._datasets))
        dataset = wanted.dataset or first
        if wanted.session is not None:
            request = self._log.session_request(SessionId.parse(wanted.session), wanted.limit, dataset=dataset)
        else:
            # Of the first dataset the usual number, of others all: as the command has it.
            limit = wanted.limit or (USUAL if dataset == first else None)
            request = self._log.latest_request(limit, dataset=dataset)
        run_id = self._dispatch(request)
        with self._db() as db:
            story = reads.run_story(db, run_id)
        assert story is not None
        return Started(str(run_id), story.as_json())

    def _once(self, wanted: Wanted, place: str) -> Started:
        asked = _digest(wanted.model_dump_json())
        if not self._redis.set(place, json.dumps({"asked": asked}), nx=True, ex=_CLAIMED_SECONDS):
            held = json.loads(self._redis.get(place) or "{}")
            if held.get("asked", asked) != asked:
                raise Problem(422, "this Idempotency-Key was given with another body")
            if "answer" not in held:
                raise Problem(409, "the request with this Idempotency-Key is under way", headers={"Retry-After": "1"})
            return Started(*held["answer"])
        try:
            answer = self._start(wanted)
        except BaseException:
            with suppress(RedisError):
                self._redis.delete(place)
            raise
        kept = {"asked": asked, "answer": [answer.run_id, answer.story]}
        self._redis.set(place, json.dumps(kept), ex=REMEMBERED_SECONDS)
        return answer


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
