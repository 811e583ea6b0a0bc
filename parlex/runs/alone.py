"""Runs in this process, without workers: the caller waits for the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

import structlog

from parlex.db.models import RunRow
from parlex.errors import RateLimited
from parlex.parliament import SessionId
from parlex.runs.fetch_logs import Figures, Opened
from parlex.runs.pipeline import Pipeline
from parlex.runs.run_log import USUAL
from parlex.runs.work import Request

log = structlog.get_logger(__name__)

# How long a process looks away when others hold the rest of its run's keys.
HANDED_OVER = 0.5  # seconds
SIGN_OF_LIFE = 30.0  # seconds between two of a process that is paused
TOLD_AGAIN = 5.0  # seconds after which a process that waits says for how long still
# The schedule obeys a source that asks for a month; a person who waits in front of a command is told.
PATIENCE = timedelta(hours=1)

ASKING = "asking for the list"


class Watcher(Protocol):
    """Whoever wants to know how far a run is."""

    def __call__(self, done: int, total: int) -> None:
        """So many of its keys have ended, of so many."""

    def say(self, doing: str) -> None:
        """What it does, or waits for, where no key ends meanwhile."""


@dataclass(frozen=True, slots=True)
class _Told:
    """How far a run is, told to its watcher if it has one."""

    pipeline: Pipeline
    run_id: UUID
    watcher: Watcher | None

    def progress(self) -> None:
        if self.watcher is not None:
            self.watcher(*self.pipeline.progress(self.run_id))

    def say(self, doing: str) -> None:
        if self.watcher is not None:
            self.watcher.say(doing)


def run_latest(
    pipeline: Pipeline,
    *,
    limit: int | Literal["usual"] | None = USUAL,
    recheck_after_days: int | None = None,
    dataset: str = "bills",
    sitting: bool = False,
    watcher: Watcher | None = None,
) -> Figures:
    """Fetch what is new or changed in the current list. See :meth:`Pipeline.latest_request`."""
    request = pipeline.latest_request(limit, recheck_after_days, dataset=dataset, sitting=sitting)
    return run_here(pipeline, request, watcher)


def run_session(
    pipeline: Pipeline,
    session: SessionId,
    *,
    limit: int | None = None,
    dataset: str = "bills",
    watcher: Watcher | None = None,
) -> Figures:
    """Fetch a session. See :meth:`Pipeline.session_request`."""
    return run_here(pipeline, pipeline.session_request(session, limit, dataset=dataset), watcher)


def rerun_failures(pipeline: Pipeline, run_id: UUID, *, watcher: Watcher | None = None) -> Figures:
    """Fetch again what failed in a run. See :meth:`Pipeline.retry_request`."""
    return run_here(pipeline, pipeline.retry_request(run_id), watcher)


def run_here(pipeline: Pipeline, request: Request, watcher: Watcher | None = None) -> Figures:
    """Open a run, or join the equal one under way, and see it to its end. One whose process is gone goes on here.

    UsageError if the request is wrong; RateLimited where a source asks to be left alone for longer than ``PATIENCE``.
    """
    pipeline.abandon_dead()
    figures = None
    while figures is None:
        opened = pipeline.open_run(request, carrier="process")
        told = _Told(pipeline, opened.run.run_id, watcher)
        with pipeline.carrying(opened) as mine:
            figures = _see_through(pipeline, opened, told) if mine else _watch(pipeline, opened.run, told)
    return figures


def _see_through(pipeline: Pipeline, opened: Opened, told: _Told) -> Figures:
    run = opened.run
    try:
        return _carry(pipeline, run, told, taken_up=opened.joined)
    # Nobody else carries this run on: the log says at once how it ended. Ctrl-C or TERM is no trouble to tell of.
    except (KeyboardInterrupt, SystemExit):
        pipeline.revoke(run.run_id)
        raise
    except BaseException as error:
        pipeline.abandon(run.run_id, f"{type(error).__name__}: {error}")
        raise


def _carry(pipeline: Pipeline, run: RunRow, told: _Told, *, taken_up: bool = False) -> Figures:
    """``taken_up``: another process began it."""

    def save(keys: Sequence[str]) -> None:
        pipeline.persist(run, keys)
        told.progress()

    error, waits = None, False
    while run.status == "running" and not run.planned:
        if not waits:
            told.say(ASKING)
        report = pipeline.plan(run)
        if report.due is not None:
            break
        run, error = pipeline.run(run.run_id), report.error or error
        waits = _wait_until_due(pipeline, run, told, error)
    told.progress()
    if taken_up and (keys := pipeline.unsaved(run)):
        save(keys)
    while (ended := pipeline.close_if_complete(run)) is None:
        if keys := pipeline.take_due(run):
            told.progress()
            pipeline.fetch(run, keys, save)
            told.progress()
            continue
        # Somebody ended or paused it, or a source asked to wait, or a worker has the rest: it was sent that by a task
        # that joined this run.
        run = pipeline.run(run.run_id)
        if run.status != "running":
            return pipeline.figures(run.run_id)
        _wait_until_due(pipeline, run, told)
    return ended


def _wait_until_due(pipeline: Pipeline, run: RunRow, told: _Told, error: str | None = None) -> bool:
    """Sleep until something of the run is due, a while at most, and say that it is alive; while it is paused, until a
    person lets it go on. Whether it still waits.

    Its row tells how long, each time anew: somebody may have made it due at once. ``error`` is what the planning waits
    for.
    """
    if run.paused_at is not None:
        _wait_while_paused(pipeline, run.run_id, told)
        return False
    due = pipeline.next_try(run)
    if due is not None and due.seconds > PATIENCE.total_seconds():
        until = datetime.now(UTC) + timedelta(seconds=due.seconds)
        raise RateLimited(
            f"a source asks to be left alone until {until:%Y-%m-%d %H:%M} UTC, and run {str(run.run_id)[:8]} does not "
            "wait that long: what is saved stays, fetch again then",
            retry_after=due.seconds,
        )
    if due is None:
        told.progress()
        told.say("a worker has the rest")
    elif due.seconds > 1:
        told.say(str(replace(due, error=due.error or error)))
    time.sleep(HANDED_OVER if due is None else min(due.seconds, TOLD_AGAIN))
    pipeline.touch(run.run_id)
    return due is not None and due.seconds > TOLD_AGAIN


def _wait_while_paused(pipeline: Pipeline, run_id: UUID, told: _Told) -> None:
    """Say that the run is paused, and that its process is alive, until a person lets it go on or ends it."""
    log.warning("paused", run_id=str(run_id), to_go_on=_to_go_on(run_id))
    told.say(doing(pipeline, pipeline.run(run_id)))
    touched = time.monotonic()
    while (run := pipeline.run(run_id)).status == "running" and run.paused_at is not None:
        time.sleep(HANDED_OVER)
        if time.monotonic() - touched >= SIGN_OF_LIFE:
            pipeline.touch(run_id)
            touched = time.monotonic()


def _watch(pipeline: Pipeline, run: RunRow, told: _Told) -> Figures | None:
    """Follow a run that somebody else carries; None once nobody does."""
    run_id = run.run_id
    if pipeline.run(run_id).paused_at is not None:
        log.warning("paused", run_id=str(run_id), to_go_on=_to_go_on(run_id))
    while (run := pipeline.run(run_id)).status == "running":
        if pipeline.is_orphan(run_id):
            return None
        if run.planned:
            told.progress()
        told.say(doing(pipeline, run))
        time.sleep(HANDED_OVER)
        pipeline.abandon_dead()
    return pipeline.figures(run_id)


def doing(pipeline: Pipeline, run: RunRow) -> str:
    """What a run that others carry waits for, by its rows; nothing while its keys are under way."""
    if run.paused_at is not None:
        return f"paused; to go on: {_to_go_on(run.run_id)}"
    if not run.planned and run.lease_until is not None:
        return ASKING
    due = pipeline.next_try(run)
    if due is not None and due.seconds > 1:
        return str(due)
    return "" if run.planned else "waiting for a worker"


def _to_go_on(run_id: UUID) -> str:
    return f"parlex runs resume {str(run_id)[:8]}"
