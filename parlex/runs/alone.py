"""Runs in this process, without workers: the caller waits for the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal
from uuid import UUID

from parlex.db.models import RunRow
from parlex.parliament import SessionId
from parlex.runs.fetch_logs import Figures
from parlex.runs.pipeline import Pipeline
from parlex.runs.run_log import USUAL
from parlex.runs.work import Request

# How long a process looks away when others hold the rest of its run's keys.
HANDED_OVER = 0.5  # seconds
SIGN_OF_LIFE = 30.0  # seconds between two of a process that waits

Progressed = Callable[[int, int], None]


def run_latest(
    pipeline: Pipeline,
    *,
    limit: int | Literal["usual"] | None = USUAL,
    recheck_after_days: int | None = None,
    dataset: str = "bills",
    on_progress: Progressed | None = None,
) -> Figures:
    """Fetch what is new or changed in the current list. See :meth:`Pipeline.latest_request`."""
    return run_here(pipeline, pipeline.latest_request(limit, recheck_after_days, dataset=dataset), on_progress)


def run_session(
    pipeline: Pipeline,
    session: SessionId,
    *,
    limit: int | None = None,
    dataset: str = "bills",
    on_progress: Progressed | None = None,
) -> Figures:
    """Fetch a session. See :meth:`Pipeline.session_request`."""
    return run_here(pipeline, pipeline.session_request(session, limit, dataset=dataset), on_progress)


def rerun_failures(pipeline: Pipeline, run_id: UUID, *, on_progress: Progressed | None = None) -> Figures:
    """Fetch again what failed in a run. See :meth:`Pipeline.retry_request`."""
    return run_here(pipeline, pipeline.retry_request(run_id), on_progress)


def run_here(pipeline: Pipeline, request: Request, on_progress: Progressed | None = None) -> Figures:
    """Open a run, or join the equal one under way, and see it to its end. UsageError if the request is wrong."""
    pipeline.abandon_dead()
    opened = pipeline.open_run(request, carrier="process")
    if opened.joined:
        return _watch(pipeline, opened.run.run_id, on_progress)
    try:
        return _carry(pipeline, opened.run, on_progress)
    except BaseException:
        # Nobody else carries this run on: Ctrl-C or an error ends it, and the log says so at once.
        pipeline.abandon(opened.run.run_id)
        raise


def _carry(pipeline: Pipeline, run: RunRow, on_progress: Progressed | None) -> Figures:
    while (run := pipeline.run(run.run_id)).status == "running":
        if not run.planned:
            if pipeline.plan(run).due is None:
                _wait_until_due(pipeline, run.run_id)
        elif (ended := pipeline.close_if_complete(run)) is not None:
            return ended
        elif keys := pipeline.take_due(run):
            pipeline.persist(run, pipeline.fetch(run, keys).persist)
            _tell(pipeline, run.run_id, on_progress)
        else:
            # Either a source asked to wait, or a worker has the rest: it was sent them by a task that joined this run.
            _wait_until_due(pipeline, run.run_id)
    return pipeline.figures(run.run_id)


def _wait_until_due(pipeline: Pipeline, run_id: UUID) -> None:
    """Sleep until something of the run is due, and say now and then that it is alive."""
    seconds = pipeline.seconds_until_due(pipeline.run(run_id))
    until = time.monotonic() + (HANDED_OVER if seconds is None else seconds)
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, SIGN_OF_LIFE))
        pipeline.touch(run_id)


def _watch(pipeline: Pipeline, run_id: UUID, on_progress: Progressed | None) -> Figures:
    """Follow a run that somebody else carries."""
    while (current := pipeline.figures(run_id)).status == "running":
        _tell(pipeline, run_id, on_progress)
        time.sleep(HANDED_OVER)
        pipeline.abandon_dead()
    return current


def _tell(pipeline: Pipeline, run_id: UUID, on_progress: Progressed | None) -> None:
    if on_progress is not None:
        on_progress(*pipeline.progress(run_id))
