"""The use cases: open, plan, fetch, persist, close. The same below a task and in a process without workers.

Each step claims its work in the database, does it, and writes down what became of it, in short transactions; none is
open while the network is. Running any step twice changes nothing but the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from parlex import logs
from parlex.db.clock import Clock
from parlex.db.models import RunRow
from parlex.errors import ParlexError, Retryable, UsageError
from parlex.fetching.http import Tally
from parlex.mirror import documents
from parlex.mirror.documents import Held
from parlex.runs import fetch_logs, run_keys, steps
from parlex.runs.asking import Reply, asked, keep_replies, slices
from parlex.runs.preview import Preview, preview
from parlex.runs.run_keys import Claim, Progress
from parlex.runs.run_log import Patience, RunLog, Transactions, tell_errors
from parlex.runs.steps import LONGEST_COUNTDOWN, Again
from parlex.runs.work import Asking, Context, Dataset, Due, Plan, Request, Survey

log = structlog.get_logger(__name__)

# Keys in one message. Large enough that the pauses between two messages do not count, in which a process has no request
# under way; small enough that a polite one takes half a minute.
CHUNK = 250
POLITE_CHUNK_SECONDS = 30
# Towards a run's end its chunks get smaller, so that its last ones end together and not one long after the others.
SMALLEST_CHUNK = 50
CHUNKS_IN_FLIGHT = 4  # of one run, in each queue, so that a backfill leaves room there for the scheduled runs

# How long a scheduled run waits before it looks again whether its turn has come.
TAKE_TURNS = timedelta(seconds=5)

HandOver = Callable[[Sequence[str]], object]


@dataclass(frozen=True, slots=True)
class PlanReport:
    """``due``: keys to fetch now; None where the run is planned, closed or in another's hands, or is put off.

    ``retry_after``: seconds until it is to be planned again; None where it is not, or not soon: its row says when.
    ``error``: why it is put off.
    """

    due: int | None = None
    retry_after: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class FetchReport:
    """``persist``: keys with something to save. ``again``: those whose sources are to be asked again soon."""

    persist: tuple[str, ...] = ()
    again: Again | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """What the steps of one message share: the run, its dataset, and the time."""

    run: RunRow
    dataset: Dataset
    clock: Clock

    @property
    def run_id(self) -> UUID:
        return self.run.run_id

    @property
    def context(self) -> Context:
        return Context(self.run_id, fetch_logs.request_of(self.run), self.run.entry is None, self.clock.now())


class Pipeline(RunLog):
    """Moves runs, of every dataset alike. A step is told its run by the row that :meth:`run` or :meth:`open_run` gave;
    of that row a step reads only what never changes."""

    def __init__(
        self,
        db: Transactions,
        datasets: Mapping[str, Dataset],
        patience: Patience,
        *,
        fetchers: Callable[[], ThreadPoolExecutor],
        require_contact: Callable[[], None],
    ) -> None:
        super().__init__(db, datasets, patience)
        self._fetchers = fetchers  # a call, since threads do not outlive a fork
        self._require_contact = require_contact

    # Planning.

    def plan(self, run: RunRow) -> PlanReport:
        """Ask for the lists and write down which keys are due.

        UsageError where the request turns out to be wrong: the run is closed as refused. Any other error closes it as a
        failure, or puts the planning off.
        """
        with logs.about(run_id=str(run.run_id)):
            with self._db() as db:
                clock = Clock(db)
                if run.entry is not None and fetch_logs.goes_after_another(db, run):
                    fetch_logs.put_off(db, run.run_id, until=clock.now() + TAKE_TURNS)
                    return PlanReport(retry_after=TAKE_TURNS.total_seconds())
                claimed = fetch_logs.claim_planning(db, run.run_id, now=clock.now(), lease=self._patience.lease)
                if claimed is None:
                    return PlanReport()
                work = _Work(claimed, self._datasets[run.dataset], clock)
                due = work.dataset.lists_due(db, work.context)
            return self._plan(work, due)

    def preview(self, request: Request) -> Preview:
        """What a run would come to; nothing is written. See :func:`parlex.runs.preview.preview`."""
        dataset = self._asked(request)
        self._require_contact()
        return preview(self._db, dataset, request)

    def _plan(self, work: _Work, due: frozenset[str]) -> PlanReport:
        request, tally = work.context.request, Tally()
        try:
            self._require_contact()
            survey = work.dataset.survey(due, request, Asking(tally, request.background))
            return self._keep_plan(work, survey, tally)
        except Retryable as error:
            return self._plan_again(work, error, tally)
        except UsageError as error:
            # It is its caller's to hear of; it is no trouble for whoever watches the log.
            self._plan_ends(work, error, tally, "refused", logging.DEBUG)
            raise
        except ParlexError as error:
            self._plan_ends(work, error, tally, "failure", logging.ERROR)
            return PlanReport(due=0)

    def _keep_plan(self, work: _Work, survey: Survey, tally: Tally) -> PlanReport:
        with self._db() as db:
            context = work.context
            plan = work.dataset.plan(db, survey, context)
            errors = work.dataset.keep(db, plan, context)
            wanted = _wanted(db, plan, context.request)
            due = wanted[: context.request.limit]
            deferred = len(wanted) - len(due)
            fetch_logs.planned(db, work.run_id, plan, due, deferred, now=context.now)
            self._spend(db, work, tally, [*errors, *([plan.failure] if plan.failure else [])])
            if plan.failure is not None:
                fetch_logs.close(db, fetch_logs.lock(db, work.run_id), now=work.clock.now(), status="failure")
        log.info("planned", scope=plan.scope, listed=plan.listed, due=len(due), deferred=deferred)
        for reason in errors:
            log.warning("list incomplete", scope=plan.scope, error=reason)
        if plan.failure is not None:
            log.error("closed", status="failure", error=plan.failure)
        return PlanReport(due=len(due))

    def _plan_again(self, work: _Work, error: Retryable, tally: Tally) -> PlanReport:
        """Put the planning off, or close the run when its retries are spent."""
        attempts = work.run.attempt - steps.asked_to_wait(error)
        if attempts > run_keys.MAX_RETRIES:
            self._plan_ends(work, error, tally, "failure", logging.ERROR)
            return PlanReport(due=0)
        wait = steps.wait_before(error, attempts, self._patience.retry_delay)
        log.warning("retry", what="list", attempt=attempts, wait=wait, error=str(error))
        with self._db() as db:
            until = work.clock.now() + timedelta(seconds=wait)
            fetch_logs.plan_later(db, work.run_id, until=until, attempts=attempts, now=work.clock.now())
            self._spend(db, work, tally)
        return PlanReport(retry_after=wait if wait <= LONGEST_COUNTDOWN else None, error=str(error))

    def _plan_ends(self, work: _Work, error: ParlexError, tally: Tally, status: str, level: int) -> None:
        log.log(level, "closed", status=status, error=str(error))
        with self._db() as db:
            self._spend(db, work, tally, [str(error)])
            fetch_logs.close(db, fetch_logs.lock(db, work.run_id), now=work.clock.now(), status=status)

    # Fetching.

    def take_chunk(self, run: RunRow, *, in_flight: int = CHUNKS_IN_FLIGHT) -> list[str]:
        """The next keys of a run to send, within its share of the queue."""
        size = chunk_size(self._datasets[run.dataset])
        with self._db() as db:
            return run_keys.take_chunk(
                db,
                run.run_id,
                size=size,
                smallest=SMALLEST_CHUNK,
                in_flight=size * in_flight,
                now=Clock(db).now(),
            )

    def take_due(self, run: RunRow) -> list[str]:
        """The keys of a run that a process without workers is to fetch next."""
        with self._db() as db:
            size = chunk_size(self._datasets[run.dataset])
            return run_keys.due_keys(db, run.run_id, size=size, now=Clock(db).now())

    def fetch(self, run: RunRow, keys: Sequence[str], hand_over: HandOver | None = None) -> FetchReport:
        """Ask the sources for those of ``keys`` that are due, and keep the documents.

        ``hand_over`` is told of the keys with something to save a slice at a time, while the sources are still asked
        for the others.
        """
        with logs.about(run_id=str(run.run_id)):
            with self._db() as db:
                work = _Work(run, self._datasets[run.dataset], Clock(db))
                lease = self._patience.lease
                claims = run_keys.claim_fetch(db, run.run_id, keys, now=work.clock.now(), lease=lease)
                if not claims:
                    return FetchReport()
                held = documents.held(db, run.dataset, [claim.key for claim in claims])
            with self._giving_back(work, claims):
                return self._fetch(work, claims, held, hand_over)

    def _fetch(
        self, work: _Work, claims: Sequence[Claim], held: Mapping[tuple[str, str], Held], hand_over: HandOver | None
    ) -> FetchReport:
        taken: list[Progress] = []
        asking = Asking(Tally(), work.context.request.background)
        with asked(work.dataset, claims, held, asking, self._fetchers()) as under_way:
            for part, replies in slices(claims, under_way):
                kept = self._keep_slice(work, part, replies, held, asking.tally)
                persist = _fetched(kept)
                if persist and hand_over is not None:
                    hand_over(persist)
                taken += kept
        return FetchReport(_fetched(taken), steps.again_soon(taken, work.clock.now()))

    def _keep_slice(
        self,
        work: _Work,
        claims: Sequence[Claim],
        replies: Sequence[Reply],
        held: Mapping[tuple[str, str], Held],
        tally: Tally,
    ) -> list[Progress]:
        """Keep the documents, and write down what becomes of each key."""
        dataset, decides, delay = work.dataset, work.dataset.decides, self._patience.retry_delay
        with self._db() as db:
            mine = {claim.key: claim for claim in run_keys.still_held(db, work.run_id, claims)}
            replies = [reply for reply in replies if reply.key in mine]
            now = work.clock.now()
            keep_replies(db, dataset, work.run_id, replies, held, now)
            before = run_keys.outcomes(db, work.run_id, mine)
            taken = [
                steps.after_asking(claim, replies, decides, before[key], retry_delay=delay, now=now)
                for key, claim in mine.items()
            ]
            run_keys.record(db, work.run_id, taken, now=now)
            self._spend(db, work, tally, steps.final_errors(replies, taken, decides))
            lost = {key: mine[key].fingerprint for key in steps.refused(taken, replies, decides)}
            if lost:
                dataset.failed(db, lost, work.context)
        _log_errors(dataset.name, taken)
        return taken

    # Persisting.

    def persist(self, run: RunRow, keys: Sequence[str]) -> Again | None:
        """Turn the documents of those of ``keys`` that were fetched into rows. Those of them whose companion is to be
        asked again soon."""
        with logs.about(run_id=str(run.run_id)):
            with self._db() as db:
                work = _Work(run, self._datasets[run.dataset], Clock(db))
                lease = self._patience.lease
                claims = run_keys.claim_persist(db, run.run_id, keys, now=work.clock.now(), lease=lease)
            if not claims:
                return None
            with self._giving_back(work, claims):
                return self._persist(work, claims)

    def _persist(self, work: _Work, claims: Sequence[Claim]) -> Again | None:
        dataset, run_id, delay = work.dataset, work.run_id, self._patience.retry_delay
        with self._db() as db:
            mine = {claim.key: claim for claim in run_keys.still_held(db, run_id, claims)}
            if not mine:
                return None
            context = work.context
            offered = documents.fetched_by_run(db, dataset.name, run_id, mine)
            saved = dataset.save(db, {key: claim.fingerprint for key, claim in mine.items()}, offered, context)
            before = run_keys.outcomes(db, run_id, mine)
            taken = [
                steps.after_saving(mine[item.key], item, before[item.key], retry_delay=delay, now=context.now)
                for item in saved
            ]
            run_keys.record(db, run_id, taken, now=context.now)
            self._spend(db, work, Tally(), [item.error for item in saved if item.error])
        tell_errors(dataset, saved)
        return steps.again_soon(taken, work.clock.now())

    # Parts of the steps.

    @contextmanager
    def _giving_back(self, work: _Work, claims: Sequence[Claim]) -> Iterator[None]:
        """Let go of the keys when the work on them ends in an error; else they would lie until their lease runs out.

        A server that is away is nobody's fault. Any other error, the time limit too, may be that of a key.
        """
        try:
            yield
        except BaseException as error:
            blame = None if _is_outage(error) else _words(error)
            # Where the database itself is away, the lease ends it after all.
            with suppress(SQLAlchemyError), self._db() as db:
                run_keys.give_back(db, work.run_id, claims, now=work.clock.now(), blame=blame)
            raise

    @staticmethod
    def _spend(db: Session, work: _Work, tally: Tally, errors: Sequence[str] = ()) -> None:
        requests, received = tally.take()
        now = work.clock.now()
        fetch_logs.account(db, work.run_id, requests=requests, received=received, errors=errors, now=now)


def chunk_size(dataset: Dataset) -> int:
    """Keys in one message: as many as the slowest budget lets through in half a minute."""
    if not dataset.requests_a_minute:
        return CHUNK
    return max(1, min(CHUNK, int(dataset.requests_a_minute * POLITE_CHUNK_SECONDS / 60)))


def _wanted(db: Session, plan: Plan, request: Request) -> tuple[Due, ...]:
    """What is due; for a retry nothing but what failed."""
    if request.retry_of is None:
        return plan.due
    failed = set(run_keys.failed_keys(db, UUID(request.retry_of)))
    return tuple(one for one in plan.due if one.key in failed)


def _fetched(taken: Iterable[Progress]) -> tuple[str, ...]:
    return tuple(step.key for step in taken if step.state == "fetched")


def _log_errors(dataset: str, taken: Iterable[Progress]) -> None:
    """A line for each key whose sources are to be asked again, and for each that is given up."""
    for step in taken:
        about = {"dataset": dataset, "key": step.key}
        if step.state == "failed":
            log.error("failed", **about, attempt=step.attempt, error=step.error)
        elif step.wants:
            due = step.next_attempt_at.isoformat(timespec="seconds") if step.next_attempt_at else None
            log.warning("retry", **about, attempt=step.attempt, sources=step.wants, at=due, error=step.error)
        elif step.error:
            log.warning("incomplete", **about, error=step.error)


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        return isinstance(error, OperationalError) or error.connection_invalidated
    return isinstance(error, Retryable | RedisError) or not isinstance(error, Exception)


def _words(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]
