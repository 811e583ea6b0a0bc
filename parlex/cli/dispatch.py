"""Sending work to the workers, and watching its rows until it is over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from uuid import UUID

from parlex.errors import ParlexError, UsageError
from parlex.runs.queues import QUEUES

if TYPE_CHECKING:
    from rich.progress import Progress
    from sqlalchemy.orm import Session

    from parlex.cli.bars import Bar
    from parlex.resources import Resources
    from parlex.runs.work import Request

WORKER_SECONDS = 1.0  # how long workers have to answer a ping
POLL_SECONDS = 0.5


def dispatched(
    resources: Resources, requests: Mapping[str, Request], progress: Progress
) -> Iterator[tuple[str, Mapping[str, Any] | UsageError]]:
    """Send all, then wait for them. The rows tell how far each is; the task's own result ends it."""
    from parlex.cli.bars import Bar
    from workers import tasks

    require_workers()
    sent = {asked: (tasks.dispatch(request), Bar(progress, asked)) for asked, request in requests.items()}
    yield from _await_all(resources, sent)


def dispatched_retry(resources: Resources, run_id: UUID, bar: Bar) -> Mapping[str, Any]:
    """What failed in a run, sent to the workers; what that came to. UsageError where nothing can be retried."""
    from workers import tasks

    require_workers()
    resources.pipeline.retry_request(run_id)  # what cannot be retried is refused here, not in a worker
    result = tasks.retry_run.delay(str(run_id))
    ((_, outcome),) = _await_all(resources, {"retry": (result, bar)})
    if isinstance(outcome, UsageError):
        raise outcome
    return outcome


def _await_all(
    resources: Resources, sent: Mapping[str, tuple[Any, Bar]]
) -> Iterator[tuple[str, Mapping[str, Any] | UsageError]]:
    """What each came to, in the order given: figures do not say which session they are of.

    Each round looks at all that are not over, so that no bar stands still while its run goes on.
    """
    from celery.exceptions import TimeoutError as NotYet

    over: set[str] = set()
    for asked, (result, _) in sent.items():
        while asked not in over:
            with suppress(NotYet):
                result.get(timeout=POLL_SECONDS, propagate=False)
            with resources.db() as db:
                over |= {name for name, one in sent.items() if name not in over and _look(db, *one)}
        yield asked, _outcome(result)


def _look(db: Session, result: Any, bar: Bar) -> bool:
    """Move the bar to where the run is. Whether the result is there, which is asked first: the last word is the end."""
    from parlex.runs import reads as run_reads
    from parlex.runs import run_keys

    over = bool(result.ready())
    if over and isinstance(result.result, UsageError):
        bar.remove()
        return True
    run_id = UUID(result.result["run_id"]) if over and result.successful() else run_reads.run_of_task(db, result.id)
    done, total = run_keys.progress(db, run_id) if run_id else (0, 0)
    if total or (run_id and over):  # a run under way that has no keys still asks for its list
        bar(done, total)
    return over


def _outcome(result: Any) -> Mapping[str, Any] | UsageError:
    """The figures, or the error of a task that was asked for what cannot be; any other error is raised."""
    try:
        figures: Mapping[str, Any] = result.get()
    except UsageError as error:
        return error
    return figures


def require_workers() -> None:
    missing = sorted(set(QUEUES) - queues_alive())
    if missing:
        raise ParlexError(f"no worker for {', '.join(missing)}: start `parlex up`, or leave --dispatch out")


def queues_alive() -> set[str]:
    """The queues that some living worker consumes."""
    from kombu.exceptions import OperationalError

    from workers.app import app as celery

    try:
        answers = celery.control.inspect(timeout=WORKER_SECONDS).active_queues() or {}
    except OperationalError:
        return set()
    return {queue["name"] for queues in answers.values() for queue in queues}
