"""The use cases: open, plan, fetch, persist, close. The same below a task and in a process without workers.

Each step claims its work in the database, does it, and writes down what became of it, in short transactions; none is
open while the network is. Running any step twice changes nothing but the log.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import wraps
from itertools import chain
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from parlex import logs
from parlex.db.models import RunRow
from parlex.errors import NotFound, ParlexError, RateLimited, Retryable, SourceUnavailable, UsageError
from parlex.fetching.document import Document
from parlex.fetching.http import Tally
from parlex.mirror import documents
from parlex.mirror.documents import Fetched, Held
from parlex.parliament import Outcome, SessionId
from parlex.resources import Resources
from parlex.runs import fetch_logs, run_keys
from parlex.runs.fetch_logs import Figures, Opened
from parlex.runs.run_keys import Claim, Overdue, Progress
from parlex.runs.work import Asking, Context, Dataset, Plan, Request, Saved, Survey

log = structlog.get_logger(__name__)

RETRY = "retry_failures"

# Keys in one message. Large enough that the pauses between two messages do not count, in which a process has no request
# under way; small enough that a polite one takes half a minute.
CHUNK = 250
POLITE_CHUNK_SECONDS = 30
# Towards a run's end its chunks get smaller, so that its last ones end together and not one long after the others.
SMALLEST_CHUNK = 50
CHUNKS_IN_FLIGHT = 4  # of one run, in each queue, so that a backfill leaves room there for the scheduled runs

# Documents are written while others are still asked for: at least so many keys at a time, and what came in so long.
# Each writing, and each saving of what it wrote, costs some twenty statements whatever its size.
SLICE = 50
SLICE_SECONDS = 0.5

# How long a scheduled run waits before it looks again whether its turn has come.
TAKE_TURNS = timedelta(seconds=5)

# How long a process looks away when others hold the rest of its run's keys.
HANDED_OVER = 0.5  # seconds

# Longer waits are rows that the sweeper sends, not countdowns.
LONGEST_COUNTDOWN = 300.0  # seconds

Progressed = Callable[[int, int], None]


P = ParamSpec("P")
R = TypeVar("R")
Step = Callable[Concatenate[Resources, UUID, P], R]


def now() -> datetime:
    return datetime.now(UTC)


def _about_run(step: Step[P, R]) -> Step[P, R]:
    """Each line that the step writes names its run."""

    @wraps(step)
    def about(resources: Resources, run_id: UUID, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with logs.about(run_id=str(run_id)):
            return step(resources, run_id, *args, **kwargs)

    return about


# Opening.


def latest_request(
    limit: int | None = None, recheck_after_days: int | None = None, *, dataset: str = "bills"
) -> Request:
    """What is new or changed in the current list, most urgent first; without ``limit`` all of it."""
    if limit is not None:
        _positive("limit", limit)
    if recheck_after_days is not None:
        _positive("recheck_after_days", recheck_after_days)
    return Request(f"fetch_latest_{dataset}", dataset, limit=limit, recheck_after_days=recheck_after_days)


def session_request(session: SessionId, limit: int | None = None, *, dataset: str = "bills") -> Request:
    """All of a session that is new or changed."""
    if limit is not None:
        _positive("limit", limit)
    return Request(f"fetch_session_{dataset}", dataset, scope=str(session), limit=limit)


def retry_request(resources: Resources, run_id: UUID) -> Request:
    """What failed in a run, asked for again: its failed keys, or all of it where it never came to have keys.

    What another run has saved meanwhile is not asked for. UsageError where nothing failed, or the run is not over yet.
    """
    with resources.db() as db:
        run = _existing(db, run_id)
        failed = run_keys.failed_keys(db, run_id)
    if run.status == "running":
        raise UsageError(f"run {run_id} is still running")
    if failed:
        scope = run.scope if resources.datasets[run.dataset].by_session else None
        return Request(RETRY, dataset=run.dataset, scope=scope, retry_of=str(run_id))
    if run.status in ("failure", "abandoned"):
        return fetch_logs.request_of(run)
    raise UsageError(f"nothing failed in run {run_id}")


def _existing(db: Session, run_id: UUID) -> RunRow:
    try:
        return fetch_logs.get_run(db, run_id)
    except LookupError as error:
        raise UsageError(str(error)) from None


def _positive(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} must be a whole number of at least 1, not {value!r:.50}")


def open_run(
    resources: Resources,
    request: Request,
    *,
    carrier: fetch_logs.Carrier = "worker",
    entry: str | None = None,
    slot: datetime | None = None,
    missed_slots: int = 0,
    waiter: str | None = None,
) -> Opened:
    """See :func:`parlex.runs.open_run`. UsageError where the dataset does not exist or knows no sessions."""
    dataset = _dataset(resources, request)
    with resources.db() as db:
        return fetch_logs.open_run(
            db,
            request,
            source=dataset.source,
            now=now(),
            carrier=carrier,
            entry=entry,
            slot=slot,
            missed_slots=missed_slots,
            waiter=waiter,
        )


def _dataset(resources: Resources, request: Request) -> Dataset:
    dataset = resources.datasets.get(request.dataset)
    if dataset is None:
        raise UsageError(f"{request.dataset!r} is not a dataset; known: {', '.join(resources.datasets)}")
    if request.scope is not None and not dataset.by_session:
        raise UsageError(f"{request.dataset} have no sessions: leave {request.scope} out")
    return dataset


# Planning.


@_about_run
def plan(resources: Resources, run_id: UUID) -> int | None:
    """Ask for the lists and write down which keys are due; how many these are.

    None, and nothing is done, where the run is planned, closed or in another's hands. Retryable: it is to be called
    again after ``retry_after`` seconds. Any other ParlexError: the run is closed as a failure.
    """
    with resources.db() as db:
        run = fetch_logs.get_run(db, run_id)
        waits = run.entry is not None and fetch_logs.goes_after_another(db, run)
        if waits:
            fetch_logs.put_off(db, run_id, until=now() + TAKE_TURNS)
        else:
            claimed = fetch_logs.claim_planning(db, run_id, now=now(), lease=_lease(resources))
            if claimed is None:
                return None
            run = claimed
            dataset = resources.datasets[run.dataset]
            context = _context(run)
            due = dataset.lists_due(db, context)
    if waits:
        raise Retryable("another run of the same job goes first", retry_after=TAKE_TURNS.total_seconds())
    tally = Tally()
    try:
        resources.settings.require_contact()
        survey = dataset.survey(due, context.request, Asking(tally, context.request.background))
    except Retryable as error:
        raise _planning_again(resources, run, error, tally) from error
    except ParlexError as error:
        _planning_ends(resources, run, error, tally)
        raise
    return _keep_plan(resources, dataset, run, survey, tally)


def _keep_plan(resources: Resources, dataset: Dataset, run: RunRow, survey: Survey, tally: Tally) -> int:
    context = _context(run)
    request = context.request
    try:
        with resources.db() as db:
            plan = _only_failed(db, dataset.plan(db, survey, context), context)
            errors = dataset.keep(db, plan, context)
            due = plan.due if request.limit is None else plan.due[: request.limit]
            deferred = len(plan.due) - len(due)
            fetch_logs.planned(db, run.run_id, plan, due, deferred, errors, now=now())
            _spend(db, run.run_id, tally)
            if plan.failure is not None:
                _close_unbelieved(db, run.run_id, plan.failure)
    except UsageError as error:
        _planning_ends(resources, run, error, tally)
        raise
    log.info("planned", scope=plan.scope, listed=plan.listed, due=len(due), deferred=deferred)
    for reason in errors:
        log.warning("list incomplete", scope=plan.scope, error=reason)
    if plan.failure is not None:
        log.error("closed", status="failure", error=plan.failure)
    return len(due)


def _only_failed(db: Session, plan: Plan, context: Context) -> Plan:
    """The plan, for a retry without all keys but those that failed."""
    if context.request.retry_of is None:
        return plan
    failed = set(run_keys.failed_keys(db, UUID(context.request.retry_of)))
    due = tuple(key for key in plan.due if key.key in failed)
    return replace(plan, due=due)


def _close_unbelieved(db: Session, run_id: UUID, failure: str) -> None:
    fetch_logs.note_errors(db, run_id, [failure])
    fetch_logs.close(db, fetch_logs.get_run(db, run_id), now=now(), status="failure")


def _planning_again(resources: Resources, run: RunRow, error: Retryable, tally: Tally) -> Retryable:
    """Put the planning off, or close the run when its retries are spent. What the caller is to raise."""
    attempts = run.attempt - _asked_to_wait(error)
    spent = attempts > run_keys.MAX_RETRIES
    wait = None if spent else _wait(error, attempts, resources)
    if spent:
        log.error("closed", status="failure", error=str(error))
    else:
        log.warning("retry", what="list", attempt=attempts, wait=wait, error=str(error))
    with resources.db() as db:
        fetch_logs.planning_failed(db, run, now=now(), wait=wait, error=str(error), attempts=attempts)
        _spend(db, run.run_id, tally)
        if spent:
            fetch_logs.close(db, fetch_logs.get_run(db, run.run_id), now=now(), status="failure")
    error.retry_after = wait
    return error


def _planning_ends(resources: Resources, run: RunRow, error: ParlexError, tally: Tally) -> None:
    # A wrong request is its caller's to hear of; it is no trouble for whoever watches the log.
    wrong = isinstance(error, UsageError)
    log.log(logging.DEBUG if wrong else logging.ERROR, "closed", status="failure", error=str(error))
    words = f"{fetch_logs.WRONG}{error}" if wrong else str(error)
    with resources.db() as db:
        fetch_logs.planning_failed(db, run, now=now(), wait=None, error=words, attempts=run.attempt)
        _spend(db, run.run_id, tally)
        fetch_logs.close(db, fetch_logs.get_run(db, run.run_id), now=now(), status="failure")


# Fetching.


HandOver = Callable[[Sequence[str]], object]


@dataclass(frozen=True, slots=True)
class FetchReport:
    """``persist``: keys with something to save. ``retry_after``: seconds until others are due; None: none are soon."""

    persist: tuple[str, ...]
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one source said of one key: a document, nothing new (both None), or an error."""

    key: str
    source: str
    document: Document | None
    error: ParlexError | None


@_about_run
def fetch(resources: Resources, run_id: UUID, keys: Sequence[str], hand_over: HandOver | None = None) -> FetchReport:
    """Ask the sources for those of ``keys`` that are due, and keep the documents.

    ``hand_over`` is told of the keys with something to save a slice at a time, while the sources are still asked for
    the others.
    """
    with resources.db() as db:
        claims = run_keys.claim_fetch(db, run_id, keys, now=now(), lease=_lease(resources))
        if not claims:
            return FetchReport((), None)
        run = fetch_logs.get_run(db, run_id)
        held = documents.held(db, run.dataset, [claim.key for claim in claims])
    with _giving_back(resources, run_id, claims):
        return _fetch(resources, run, claims, held, hand_over)


def _fetch(
    resources: Resources,
    run: RunRow,
    claims: Sequence[Claim],
    held: Mapping[tuple[str, str], Held],
    hand_over: HandOver | None,
) -> FetchReport:
    steps: list[Progress] = []
    with _asking(resources, run, claims, held) as asked:
        for part, answers in _slices(claims, asked):
            kept = _keep_slice(resources, run, part, answers, held, asked.tally)
            persist = _report(kept).persist
            if persist and hand_over is not None:
                hand_over(persist)
            steps += kept
    return _report(steps)


def _slices(claims: Sequence[Claim], asked: Asked) -> Iterator[tuple[list[Claim], list[Answer]]]:
    """The claims in order with their answers, at least ``SLICE`` at a time, and as many more as are there by then.

    Writing many keys costs little more than writing a few: where the answers come quickly, a chunk is one slice.
    """
    rest = deque(claims)
    while rest:
        until, part, answers = time.monotonic() + SLICE_SECONDS, list[Claim](), list[Answer]()
        while rest and (len(part) < SLICE or asked.has(rest[0].key, until - time.monotonic())):
            claim = rest.popleft()
            part.append(claim)
            answers += asked.answers(claim.key)
        yield part, answers


def _keep_slice(
    resources: Resources,
    run: RunRow,
    claims: Sequence[Claim],
    answers: Sequence[Answer],
    held: Mapping[tuple[str, str], Held],
    tally: Tally,
) -> list[Progress]:
    """Keep the documents, and write down what becomes of each key."""
    dataset, run_id = resources.datasets[run.dataset], run.run_id
    with resources.db() as db:
        claims = run_keys.still_held(db, run_id, claims)
        answers = _of_claims(answers, claims)
        _keep_answers(db, dataset, run_id, answers, held)
        before = run_keys.outcomes(db, run_id, [claim.key for claim in claims])
        steps = [_next_step(claim, answers, dataset, resources, before[claim.key]) for claim in claims]
        run_keys.record(db, run_id, steps, now=now())
        _spend(db, run_id, tally, _final_errors(answers, steps, dataset))
        lost = {key: _fingerprint(claims, key) for key in _refused(steps, answers, dataset)}
        if lost:
            dataset.failed(db, lost, _context(run))
    _log_errors(steps)
    return steps


def _log_errors(steps: Iterable[Progress]) -> None:
    """A line for each key whose sources are to be asked again, and for each that is given up."""
    for step in steps:
        if step.state == "failed":
            log.error("failed", bill=step.key, attempt=step.attempt, error=step.error)
        elif step.wants:
            due = step.next_attempt_at.isoformat(timespec="seconds") if step.next_attempt_at else None
            log.warning("retry", bill=step.key, attempt=step.attempt, sources=step.wants, at=due, error=step.error)
        elif step.error:
            log.warning("incomplete", bill=step.key, error=step.error)


def _of_claims(answers: Sequence[Answer], claims: Sequence[Claim]) -> list[Answer]:
    keys = {claim.key for claim in claims}
    return [answer for answer in answers if answer.key in keys]


@contextmanager
def _giving_back(resources: Resources, run_id: UUID, claims: Sequence[Claim]) -> Iterator[None]:
    """Let go of the keys when the work on them ends in an error; else they would lie until their lease runs out.

    A server that is away is nobody's fault. Any other error, the time limit too, may be that of a key.
    """
    try:
        yield
    except BaseException as error:
        blame = None if _is_outage(error) else _words(error)
        # Where the database itself is away, the lease ends it after all.
        with suppress(SQLAlchemyError), resources.db() as db:
            run_keys.give_back(db, run_id, claims, now=now(), blame=blame)
        raise


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        return isinstance(error, OperationalError) or error.connection_invalidated
    return isinstance(error, Retryable | RedisError) or not isinstance(error, Exception)


def _words(error: BaseException) -> str:
    """The kind of an error and the first line of what it says."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:500]


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests under way by key, and what they spend. Whoever takes a key's answers holds them alone."""

    requests: dict[str, list[Future[Answer]]]
    tally: Tally

    def has(self, key: str, patience: float) -> bool:
        """Whether the key's answers are there within so many seconds."""
        return not wait(self.requests[key], max(patience, 0)).not_done

    def answers(self, key: str) -> list[Answer]:
        """The key's answers, waited for."""
        return [request.result() for request in self.requests.pop(key)]


@contextmanager
def _asking(
    resources: Resources, run: RunRow, claims: Sequence[Claim], held: Mapping[tuple[str, str], Held]
) -> Iterator[Asked]:
    """Ask for each key each source that it wants. What was not sent by the end of the block stays unsent."""
    dataset, tally = resources.datasets[run.dataset], Tally()
    asking = Asking(tally, fetch_logs.request_of(run).background)

    def ask(key: str, source: str) -> Answer:
        with logs.about(bill=key):
            try:
                document = dataset.ask(key, source, held.get((key, source)), asking)
            except ParlexError as error:
                return Answer(key, source, None, error)
        return Answer(key, source, document, None)

    def send(key: str, source: str) -> Future[Answer]:
        # What the lines are about does not go over to threads by itself.
        return resources.fetchers.submit(copy_context().run, ask, key, source)

    requests = {claim.key: [send(claim.key, source) for source in claim.wants] for claim in claims}
    try:
        yield Asked(requests, tally)
    finally:
        every = list(chain.from_iterable(requests.values()))
        for request in every:
            request.cancel()
        wait(every)


def _keep_answers(
    db: Session,
    dataset: Dataset,
    run_id: UUID,
    answers: Sequence[Answer],
    held: Mapping[tuple[str, str], Held],
) -> None:
    fetched = [Fetched(a.source, "detail", a.key, a.document) for a in answers if a.document is not None]
    documents.keep_documents(db, fetched, dataset=dataset.name, run_id=run_id)
    quiet = [a for a in answers if a.document is None and a.error is None]
    unchanged = [(a.key, a.source, held[a.key, a.source]) for a in quiet]
    documents.keep_unchanged(db, unchanged, dataset=dataset.name, run_id=run_id, now=now())
    absent = {(a.key, a.source): None for a in answers if _not_yet(a, dataset)}
    documents.mark_checked(db, dataset.name, dict(absent), now())
    failed = [(a.key, a.source) for a in answers if a.error is not None and not _not_yet(a, dataset)]
    documents.mark_failed(db, dataset.name, failed, now())


def _not_yet(answer: Answer, dataset: Dataset) -> bool:
    """A companion that does not know a key will know it later. A deciding source listed it: there a 404 is an
    error."""
    return isinstance(answer.error, NotFound) and answer.source not in dataset.decides


def _final_errors(answers: Sequence[Answer], steps: Sequence[Progress], dataset: Dataset) -> list[str]:
    """The errors that nothing will be done about in this run. What is asked again has not failed yet."""
    again = {(step.key, source) for step in steps for source in step.wants}
    failed = [answer for answer in answers if answer.error is not None and not _not_yet(answer, dataset)]
    return [str(answer.error) for answer in failed if (answer.key, answer.source) not in again]


def _next_step(
    claim: Claim, answers: Iterable[Answer], dataset: Dataset, resources: Resources, before: str | None
) -> Progress:
    """What becomes of a key after its sources were asked.

    Without each deciding source there is nothing to save yet; a companion that failed is asked again after the rest is
    saved. ``before`` is the outcome of what was saved already.
    """
    mine = [answer for answer in answers if answer.key == claim.key]
    errors = [answer for answer in mine if answer.error is not None and not _not_yet(answer, dataset)]
    text = "; ".join(str(answer.error) for answer in errors) or None
    again = [answer for answer in errors if isinstance(answer.error, Retryable)]
    attempt = claim.attempt + any(not _asked_to_wait(answer.error) for answer in again)
    if attempt > run_keys.MAX_RETRIES:
        again = []
    wants = tuple(answer.source for answer in again)
    if not _deciders_failed(errors, dataset) <= set(wants):
        return Progress(claim.key, "failed", (), attempt, None, Outcome.FAILED, text)
    if any(_is_ours(answer.error) for answer in again):
        # Our own trouble is no reason to save a bill without what its companion knows.
        wants = claim.wants
    elif len(errors) < len(mine) and not _deciders_failed(errors, dataset):
        return Progress(claim.key, "fetched", wants, attempt, None, error=text)
    if wants:
        wait = max(_wait(answer.error, attempt, resources) for answer in again)
        return Progress(claim.key, "waiting", wants, attempt, now() + timedelta(seconds=wait), error=text)
    return Progress(claim.key, "done", (), attempt, None, run_keys.combine(before, Outcome.UNCHANGED), text)


def _refused(steps: Iterable[Progress], answers: Sequence[Answer], dataset: Dataset) -> list[str]:
    """Keys that failed for good. Those of a source that was merely away are due again at the next run."""
    final = {a.key for a in answers if a.source in dataset.decides and a.error and not isinstance(a.error, Retryable)}
    return [step.key for step in steps if step.state == "failed" and step.key in final]


def _deciders_failed(errors: Iterable[Answer], dataset: Dataset) -> set[str]:
    return {answer.source for answer in errors} & dataset.decides


def _is_ours(error: ParlexError | None) -> bool:
    """Not the source failed to answer: it could not be asked, since Redis with the budget of its host was away."""
    return isinstance(error, Retryable) and not isinstance(error, SourceUnavailable | RateLimited)


def _asked_to_wait(error: ParlexError | None) -> bool:
    """A source that says how long to wait is obeyed, and that costs no retry."""
    return isinstance(error, RateLimited) and error.retry_after is not None


def _wait(error: ParlexError | None, attempt: int, resources: Resources) -> float:
    delay = run_keys.backoff(max(attempt, 1), resources.settings.retry_delay)
    asked = error.retry_after if isinstance(error, Retryable) else None
    return max(asked, 0.0) if asked is not None and _asked_to_wait(error) else max(delay, asked or 0.0)


def _report(steps: Sequence[Progress]) -> FetchReport:
    waits = [
        (step.next_attempt_at - now()).total_seconds()
        for step in steps
        if step.state == "waiting" and step.next_attempt_at
    ]
    soon = [max(wait, 0.0) for wait in waits if wait <= LONGEST_COUNTDOWN]
    return FetchReport(tuple(s.key for s in steps if s.state == "fetched"), max(soon, default=None))


def _fingerprint(claims: Sequence[Claim], key: str) -> str | None:
    return next(claim.fingerprint for claim in claims if claim.key == key)


# Persisting.


@_about_run
def persist(resources: Resources, run_id: UUID, keys: Sequence[str]) -> float | None:
    """Turn the documents of those of ``keys`` that were fetched into rows.

    Seconds until a source is to be asked again for some of them, None where there is nothing left to ask.
    """
    with resources.db() as db:
        claims = run_keys.claim_persist(db, run_id, keys, now=now(), lease=_lease(resources))
        if not claims:
            return None
        run = fetch_logs.get_run(db, run_id)
    with _giving_back(resources, run_id, claims):
        return _persist(resources, run, claims)


def _persist(resources: Resources, run: RunRow, claims: Sequence[Claim]) -> float | None:
    dataset, run_id = resources.datasets[run.dataset], run.run_id
    with resources.db() as db:
        mine = {claim.key: claim for claim in run_keys.still_held(db, run_id, claims)}
        if not mine:
            return None
        offered = documents.fetched_by_run(db, run.dataset, run_id, mine)
        saved = dataset.save(db, {key: claim.fingerprint for key, claim in mine.items()}, offered, _context(run))
        before = run_keys.outcomes(db, run_id, mine)
        steps = [_last_step(mine[item.key], item, before[item.key], resources) for item in saved]
        run_keys.record(db, run_id, steps, now=now())
        _spend(db, run_id, Tally(), [item.error for item in saved if item.error])
    for item in saved:
        if item.error:
            log.warning("quarantine", bill=item.key, error=item.error)
    waits = [
        (step.next_attempt_at - now()).total_seconds()
        for step in steps
        if step.state == "waiting" and step.next_attempt_at
    ]
    return max((max(wait, 0.0) for wait in waits), default=None)


def _last_step(claim: Claim, saved: Saved, before: str | None, resources: Resources) -> Progress:
    outcome = run_keys.combine(before, saved.outcome)
    if saved.outcome is Outcome.FAILED:
        return Progress(claim.key, "failed", (), claim.attempt, None, outcome, saved.error)
    if claim.wants:
        due = now() + timedelta(seconds=run_keys.backoff(max(claim.attempt, 1), resources.settings.retry_delay))
        return Progress(claim.key, "waiting", claim.wants, claim.attempt, due, outcome, saved.error)
    return Progress(claim.key, "done", (), claim.attempt, None, outcome, saved.error)


# Closing.


@_about_run
def close_if_complete(resources: Resources, run_id: UUID) -> Figures | None:
    """The run's figures if this call closed it; None if it is not complete, or was closed before."""
    with resources.db() as db:
        run = fetch_logs.close_if_complete(db, run_id, now=now())
        if run is None:
            return None
        resources.datasets[run.dataset].complete(db, _context(run))
        figures = fetch_logs.figures(run)
    log.info("closed", **figures.to_dict())
    return figures


def figures(resources: Resources, run_id: UUID) -> Figures:
    """The figures of a run as they stand."""
    with resources.db() as db:
        return fetch_logs.figures(fetch_logs.get_run(db, run_id))


def take_chunk(resources: Resources, run_id: UUID, *, in_flight: int = CHUNKS_IN_FLIGHT) -> list[str]:
    """The next keys of a run to send, within its share of the queue."""
    with resources.db() as db:
        run = fetch_logs.get_run(db, run_id)
        size = chunk_size(resources.datasets[run.dataset])
        return run_keys.take_chunk(
            db, run_id, size=size, smallest=SMALLEST_CHUNK, in_flight=size * in_flight, now=now()
        )


def chunk_size(dataset: Dataset) -> int:
    """Keys in one message: as many as the slowest budget lets through in half a minute."""
    if not dataset.requests_a_minute:
        return CHUNK
    return max(1, min(CHUNK, int(dataset.requests_a_minute * POLITE_CHUNK_SECONDS / 60)))


# Without workers.


def run_latest(
    resources: Resources,
    *,
    limit: int = 50,
    recheck_after_days: int | None = None,
    on_progress: Progressed | None = None,
) -> Figures:
    """Fetch the latest bills in this process and wait for the end."""
    return run_here(resources, latest_request(limit, recheck_after_days), on_progress)


def run_session(
    resources: Resources, session: SessionId, *, limit: int | None = None, on_progress: Progressed | None = None
) -> Figures:
    """Fetch a session's bills in this process and wait for the end."""
    return run_here(resources, session_request(session, limit), on_progress)


def rerun_failures(resources: Resources, run_id: UUID, *, on_progress: Progressed | None = None) -> Figures:
    """Fetch again what failed in a run, in this process, and wait for the end. See :func:`retry_request`."""
    return run_here(resources, retry_request(resources, run_id), on_progress)


def revoke(resources: Resources, run_id: UUID) -> bool:
    """End a run that is under way; whether it was. What it has saved stays."""
    with resources.db() as db:
        _existing(db, run_id)
        return fetch_logs.revoke(db, run_id, now=now())


def run_here(resources: Resources, request: Request, on_progress: Progressed | None = None) -> Figures:
    """Open a run, or join the equal one under way, and see it to its end. UsageError if the request is wrong."""
    abandon_dead(resources)
    opened = open_run(resources, request, carrier="process")
    if opened.joined:
        return _watch(resources, opened.run.run_id, on_progress)
    try:
        return _carry(resources, opened.run.run_id, on_progress)
    except BaseException:
        # Nobody else carries this run on: Ctrl-C or an error ends it, and the log says so at once.
        _abandon(resources, opened.run.run_id)
        raise


def _carry(resources: Resources, run_id: UUID, on_progress: Progressed | None) -> Figures:
    _plan_here(resources, run_id)
    while (ended := close_if_complete(resources, run_id)) is None:
        current = figures(resources, run_id)
        if current.status != "running":
            return current
        _step_here(resources, run_id)
        _tell(resources, run_id, on_progress)
    return ended


def _abandon(resources: Resources, run_id: UUID) -> None:
    with resources.db() as db:
        fetch_logs.abandon(db, run_id, now=now())


def _plan_here(resources: Resources, run_id: UUID) -> None:
    while True:
        try:
            plan(resources, run_id)
            return
        except Retryable as error:
            if error.retry_after is None:
                return
            _wait_alive(resources, run_id, error.retry_after)
        except UsageError:
            raise
        except ParlexError:
            return  # the run is closed, and its row and a line say why


def _step_here(resources: Resources, run_id: UUID) -> None:
    """Work on what is due, or wait until something is."""
    with resources.db() as db:
        run = fetch_logs.get_run(db, run_id)
        size = chunk_size(resources.datasets[run.dataset])
        keys = run_keys.due_keys(db, run_id, size=size, now=now())
        due = run_keys.next_due(db, run_id)
    if keys:
        persist(resources, run_id, fetch(resources, run_id, keys).persist)
    else:
        # Keys that none waits for are in the hands of a worker, who was sent them by a task that joined this run.
        wait = (due - now()).total_seconds() if due is not None else HANDED_OVER
        _wait_alive(resources, run_id, wait)


def _watch(resources: Resources, run_id: UUID, on_progress: Progressed | None) -> Figures:
    """Follow a run that somebody else carries."""
    while (current := figures(resources, run_id)).status == "running":
        _tell(resources, run_id, on_progress)
        time.sleep(0.5)
        abandon_dead(resources)
    return current


def _wait_alive(resources: Resources, run_id: UUID, seconds: float) -> None:
    """Sleep, and say every half minute that the run is alive."""
    until = time.monotonic() + max(seconds, 0.0)
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 30.0))
        with resources.db() as db:
            fetch_logs.touch(db, run_id, now=now())


def _tell(resources: Resources, run_id: UUID, on_progress: Progressed | None) -> None:
    if on_progress is not None:
        with resources.db() as db:
            done, total = run_keys.progress(db, run_id)
        on_progress(done, total)


# Keeping house.


def sweep(resources: Resources, *, patience: timedelta, most: int = 2000) -> Overdue:
    """Free what dead workers held, and find the work that nobody carries, for the caller to send."""
    with resources.db() as db:
        run_keys.free_leases(db, now=now())
        return run_keys.take_overdue(db, now=now(), patience=patience, most=most)


def abandon_dead(resources: Resources) -> list[Figures]:
    """Close the runs that nobody moves any more. Their slots may be run again."""
    settings = resources.settings
    with resources.db() as db:
        dead = fetch_logs.abandon_dead(
            db,
            now=now(),
            process_patience=timedelta(seconds=settings.lease_seconds),
            worker_patience=timedelta(minutes=settings.abandon_after_minutes),
            deadline=timedelta(minutes=settings.run_deadline_minutes),
        )
        return [fetch_logs.figures(run) for run in dead]


def _lease(resources: Resources) -> timedelta:
    return timedelta(seconds=resources.settings.lease_seconds)


def _context(run: RunRow) -> Context:
    request = fetch_logs.request_of(run)
    return Context(
        run_id=run.run_id,
        request=request,
        by_hand=run.entry is None,
        now=now(),
    )


def _spend(db: Session, run_id: UUID, tally: Tally, errors: Sequence[str] = ()) -> None:
    requests, received = tally.take()
    fetch_logs.account(db, run_id, requests=requests, received=received, errors=errors, now=now())
