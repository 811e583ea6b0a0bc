"""Runs in this process, without workers: the caller waits for the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

import structlog

from parlex.db.models import RunRow
from parlex.errors import RateLimited
from parlex.parliament import SessionId
from parlex.runs.fetch_logs import Figures
from parlex.runs.pipeline import Pipeline
from parlex.runs.run_log import USUAL
from parlex.runs.work import Request

log = structlog.get_logger(__name__)

# How long a process looks away when others hold the rest of its run's keys.
HANDED_OVER = 0.5  # seconds
SIGN_OF_LIFE = 30.0  # seconds between two of a process that waits
# The schedule obeys a source that asks for a month; a person who waits in front of a command is told.
PATIENCE = timedelta(hours=1)

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
    """Open a run, or join the equal one under way, and see it to its end.

    UsageError if the request is wrong; RateLimited where a source asks to be left alone for longer than ``PATIENCE``.
    """
    pipeline.abandon_dead()
    opened = pipeline.open_run(request, carrier="process")
    if opened.joined:
        return _watch(pipeline, opened.run.run_id, on_progress)
    try:
        return _carry(pipeline, opened.run, on_progress)
    # Nobody else carries this run on: the log says at once how it ended.
    except KeyboardInterrupt:
        pipeline.revoke(opened.run.run_id)
        raise
    except BaseException as error:
        pipeline.abandon(opened.run.run_id, f"{type(error).__name__}: {error}")
        raise


def _carry(pipeline: Pipeline, run: RunRow, on_progress: Progressed | None) -> Figures:
    def save(keys: Sequence[str]) -> None:
        pipeline.persist(run, keys)
        _tell(pipeline, run.run_id, on_progress)

    while run.status == "running" and not run.planned and pipeline.plan(run).due is None:
        run = pipeline.run(run.run_id)
        _wait_until_due(pipeline, run)
    while (ended := pipeline.close_if_complete(run)) is None:
        if keys := pipeline.take_due(run):
            pipeline.fetch(run, keys, save)
            _tell(pipeline, run.run_id, on_progress)
            continue
        # Somebody ended or paused it, or a source asked to wait, or a worker has the rest: it was sent that by a task
        # that joined this run.
        run = pipeline.run(run.run_id)
        if run.status != "running":
            return pipeline.figures(run.run_id)
        _wait_until_due(pipeline, run)
    return ended


def _wait_until_due(pipeline: Pipeline, run: RunRow) -> None:
    """Sleep until something of the run is due, a while at most, and say that it is alive; while it is paused, until a
    person lets it go on.

    Its row tells how long, each time anew: somebody may have made it due at once.
    """
    if run.paused_at is not None:
        _wait_while_paused(pipeline, run.run_id)
        return
    seconds = pipeline.seconds_until_due(run)
    if seconds is not None and seconds > PATIENCE.total_seconds():
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        raise RateLimited(
            f"a source asks to be left alone until {until:%Y-%m-%d %H:%M} UTC, and run {str(run.run_id)[:8]} does not "
            "wait that long: what is saved stays, fetch again then",
            retry_after=seconds,
        )
    time.sleep(HANDED_OVER if seconds is None else min(seconds, SIGN_OF_LIFE))
    pipeline.touch(run.run_id)


def _wait_while_paused(pipeline: Pipeline, run_id: UUID) -> None:
    """Say that the run is paused, and that its process is alive, until a person lets it go on or ends it."""
    _tell_paused(run_id)
    told = time.monotonic()
    while (run := pipeline.run(run_id)).status == "running" and run.paused_at is not None:
        time.sleep(HANDED_OVER)
        if time.monotonic() - told >= SIGN_OF_LIFE:
            pipeline.touch(run_id)
            told = time.monotonic()


def _tell_paused(run_id: UUID) -> None:
    log.warning("paused", run_id=str(run_id), to_go_on=f"parlex runs resume {str(run_id)[:8]}")


def _watch(pipeline: Pipeline, run_id: UUID, on_progress: Progressed | None) -> Figures:
    """Follow a run that somebody else carries."""
    if pipeline.run(run_id).paused_at is not None:
        _tell_paused(run_id)
    while (current := pipeline.figures(run_id)).status == "running":
        _tell(pipeline, run_id, on_progress)
        time.sleep(HANDED_OVER)
        pipeline.abandon_dead()
    return current


def _tell(pipeline: Pipeline, run_id: UUID, on_progress: Progressed | None) -> None:
    if on_progress is not None:
        on_progress(*pipeline.progress(run_id))
