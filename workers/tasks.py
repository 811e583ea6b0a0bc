"""Doors, not rooms: each task takes its arguments to the pipeline and its answer back.

The tasks that start a run do not return its figures: the run goes on after them, on other queues. They end with
``Ignore``, and whoever closes the run stores the figures as their result, so that ``.get()`` answers them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import kombu.exceptions
from celery import Task, states
from celery.exceptions import Ignore

from parlex.errors import ParlexError, Retryable, UsageError
from parlex.mirror import export
from parlex.parliament import SessionId
from parlex.runs import fetch_logs, pipeline, run_keys
from parlex.runs.work import Request
from parlex.watch import alerts, digest, monitor, notify, upkeep
from workers import beat
from workers.app import app, resources

MOST_KEYS = 1000  # in one message; ours have at most 250
LONGEST_KEY = 100
MOST_HOURS = 24 * 366 * 100


@app.task(bind=True, name="parlex.fetch_latest_bills", ignore_result=False)
def fetch_latest_bills(self: Task, limit: int = 50, recheck_after_days: int | None = None) -> dict[str, Any]:
    """Fetch the current session's bills that are new or changed, newest activity first.

    Answers the run's final figures. ``recheck_after_days`` also takes details that nobody looked at for so long.
    """
    return _start(self, pipeline.latest_request(limit, recheck_after_days))


@app.task(bind=True, name="parlex.fetch_session_bills", ignore_result=False)
def fetch_session_bills(self: Task, parliament: int, session: int, limit: int | None = None) -> dict[str, Any]:
    """Fetch a whole session, 35-1 to the current one. Answers the run's final figures."""
    return _start(self, pipeline.session_request(_session(parliament, session), limit))


@app.task(bind=True, name="parlex.retry_run", ignore_result=False)
def retry_run(self: Task, run_id: str) -> dict[str, Any]:
    """Fetch again what failed in a run. Answers the figures of the run that does so."""
    return _start(self, pipeline.retry_request(resources(), _run(run_id)))


@app.task(bind=True, name="parlex.fetch_latest_politicians", ignore_result=False)
def fetch_latest_politicians(
    self: Task, limit: int | None = 300, recheck_after_days: int | None = None
) -> dict[str, Any]:
    """Fetch the politicians who are new or changed. Answers the run's final figures."""
    return _start(self, pipeline.latest_request(limit, recheck_after_days, dataset="politicians"))


@app.task(bind=True, name="parlex.fetch_latest_votes", ignore_result=False)
def fetch_latest_votes(self: Task, limit: int | None = 100, recheck_after_days: int | None = None) -> dict[str, Any]:
    """Fetch the current session's divisions that are new or changed, with their ballots, newest first."""
    return _start(self, pipeline.latest_request(limit, recheck_after_days, dataset="votes"))


@app.task(bind=True, name="parlex.fetch_session_votes", ignore_result=False)
def fetch_session_votes(self: Task, parliament: int, session: int, limit: int | None = None) -> dict[str, Any]:
    """Fetch a whole session's divisions and ballots, 38-1 to the current one. Answers the run's final figures."""
    return _start(self, pipeline.session_request(_session(parliament, session), limit, dataset="votes"))


@app.task(name="parlex.plan_run")
def plan_run(run_id: str) -> None:
    """Plan a run that is in the log, and send its first chunks."""
    _carry_on(_run(run_id))


@app.task(name="parlex.fetch_bills")
def fetch_bills(run_id: str, keys: list[str]) -> None:
    """Fetch the documents of these keys of a run."""
    run = _run(run_id)
    report = pipeline.fetch(resources(), run, _keys(keys), lambda fetched: _send_persist(run_id, fetched))
    _send_chunks(run)
    if not report.persist:  # else it cannot be over yet; whoever saves them looks
        _finish(run)
    if report.retry_after is not None:
        raise Retryable("some keys are due again", retry_after=report.retry_after)


@app.task(name="parlex.persist_bills")
def persist_bills(run_id: str, keys: list[str]) -> None:
    """Turn the documents of these keys of a run into rows."""
    run = _run(run_id)
    retry_after = pipeline.persist(resources(), run, _keys(keys))
    if retry_after is not None and retry_after <= pipeline.LONGEST_COUNTDOWN:
        fetch_bills.apply_async((run_id, keys), countdown=retry_after)
    _send_chunks(run)
    _finish(run)


@app.task(name="parlex.sweep_sessions")
def sweep_sessions() -> list[str]:
    """List every session held, one request each, and fetch what differs. Answers the ids of the runs."""
    return [_open_and_plan(request) for request in upkeep.session_requests(resources())]


@app.task(bind=True, name="parlex.monitor_fetch_operations", ignore_result=False)
def monitor_fetch_operations(self: Task, hours_back: int = 24) -> dict[str, Any]:
    """What the runs of the last hours came to: totals, success rate, durations, freshness, requests.

    A tick of the schedule also posts the digest to ``PARLEX_ALERT_URLS``.
    """
    _within("hours_back", hours_back, MOST_HOURS)
    now = datetime.now(UTC)
    tick = beat.tick_of(self.request)
    to = notify.targets(resources().settings) if tick else {}
    with resources().db() as db:
        report = monitor.statistics(db, now - timedelta(hours=hours_back), now)
        if tick:
            digest.post(db, report, to, occasion=f"digest {tick.slot.isoformat()}")
    if to:
        notify.deliver(resources(), to, now=now)
    return report.to_dict()


@app.task(name="parlex.monitor_politician_operations", ignore_result=False)
def monitor_politician_operations(hours_back: int = 24) -> dict[str, Any]:
    """What the runs of politicians came to in the last hours; they are listed daily."""
    now = datetime.now(UTC)
    since, patience = now - timedelta(hours=hours_back), timedelta(hours=50)
    with resources().db() as db:
        return monitor.statistics(db, since, now, dataset="politicians", stale_after=patience).to_dict()


@app.task(name="parlex.mirror.export", ignore_result=False)
def export_mirror() -> dict[str, Any] | None:
    """Export everything to ``PARLEX_EXPORT_URL``. Answers the manifest, None where there is no such place."""
    url = resources().settings.export_url
    if url is None:
        return None
    return export.export(resources().engine, resources().datasets.values(), url.get_secret_value()).to_dict()


@app.task(name="parlex.check_alerts")
def check_alerts() -> None:
    """Look for trouble, tell of what is new or over, and send again what did not arrive."""
    alerts.check(resources())


@app.task(name="parlex.prune", ignore_result=False)
def prune() -> dict[str, int]:
    """Delete logs and documents that are older than the settings keep them. Answers how many of each."""
    return upkeep.prune(resources())


@app.task(name="parlex.archive_documents", ignore_result=False)
def archive_documents(most: int = 2000) -> int:
    """Write documents that the archive lacks, at most so many at a time. Answers how many; 0 without an archive."""
    _within("most", most, 1_000_000)
    return upkeep.archive(resources(), most=most)


@app.task(bind=True, name="parlex.keep_house")
def keep_house(self: Task) -> None:
    """Send again what is overdue, close what is dead, run missed slots, and leave a heartbeat."""
    upkeep.heartbeat(resources(), "beat")
    for dead in pipeline.abandon_dead(resources()):
        _deliver(UUID(dead.run_id))
    patience = timedelta(seconds=resources().settings.resend_after_seconds)
    overdue = pipeline.sweep(resources(), patience=patience)
    for run_id in overdue.plan:
        plan_run.delay(str(run_id))
    _send_overdue(fetch_bills, overdue.fetch)
    _send_overdue(persist_bills, overdue.persist)
    for run_id in upkeep.open_runs(resources()):
        _send_chunks(run_id)
        _finish(run_id)
    for run_id in upkeep.undelivered(resources(), patience):
        _deliver(run_id)
    for tick in beat.missed(app.conf.beat_schedule, resources()):
        app.send_task(tick.task, kwargs=tick.kwargs, headers=tick.headers())


# What a message says is checked here: whoever reaches the broker can send one, and old ones outlive their run.


def _run(run_id: object) -> UUID:
    try:
        found = UUID(run_id if isinstance(run_id, str) else "")
    except ValueError:
        raise UsageError(f"{run_id!r:.50} is not the id of a run") from None
    if not upkeep.is_known(resources(), found):
        raise UsageError(f"no run {found} is in the log")
    return found


def _keys(keys: object) -> list[str]:
    if not isinstance(keys, list) or not 1 <= len(keys) <= MOST_KEYS:
        raise UsageError(f"keys must be a list of 1 to {MOST_KEYS} bills")
    for key in keys:
        if not isinstance(key, str) or not key.isprintable() or not 0 < len(key) <= LONGEST_KEY:
            raise UsageError(f"a key must be text like '45-1 C-2', not {key!r:.50}")
    return keys


def _within(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise UsageError(f"{name} must be a whole number from 1 to {most}, not {value!r:.50}")


def _session(parliament: int, session: int) -> SessionId:
    _within("parliament", parliament, 999)
    _within("session", session, 9)
    try:
        return SessionId.parse(f"{parliament}-{session}")
    except ValueError as error:
        raise UsageError(str(error)) from None


def _start(task: Task, request: Request) -> dict[str, Any]:
    """Open or join the run; answer its figures if it is over, else leave the answer to whoever closes it."""
    tick = beat.tick_of(task.request)
    opened = pipeline.open_run(
        resources(),
        request,
        entry=tick.entry if tick else None,
        slot=tick.slot if tick else None,
        missed_slots=tick.missed if tick else 0,
        waiter=None if tick else task.request.id,
    )
    if opened.open and (not opened.joined or not opened.run.planned):
        _carry_on(opened.run.run_id, task.request.id)
    figures = pipeline.figures(resources(), opened.run.run_id)
    if figures.status == "running":
        raise Ignore
    return figures.to_dict()


def _carry_on(run_id: UUID, task_id: str | None = None) -> None:
    """Plan the run and send its first chunks. A run that could not be planned is closed, and its figures are the
    answer.

    A wrong request is raised in the task that made it, and answered with the figures to all others that joined it.
    """
    due: int | None = 0
    try:
        due = pipeline.plan(resources(), run_id)
    except Retryable as error:
        if error.retry_after is not None:
            plan_run.apply_async((str(run_id),), countdown=min(error.retry_after, pipeline.LONGEST_COUNTDOWN))
            return
    except UsageError:
        _deliver(run_id, leave_out=task_id)
        raise
    except ParlexError:
        # The run says why; the figures are the answer.
        pass
    if due != 0:  # None: somebody else planned it
        _send_chunks(run_id)
    _finish(run_id)


def _open_and_plan(request: Request) -> str:
    opened = pipeline.open_run(resources(), request)
    plan_run.delay(str(opened.run.run_id))
    return str(opened.run.run_id)


def _send_chunks(run_id: UUID) -> None:
    while keys := pipeline.take_chunk(resources(), run_id):
        fetch_bills.delay(str(run_id), keys)


def _send_persist(run_id: str, keys: Sequence[str]) -> None:
    try:
        persist_bills.delay(run_id, list(keys))
    except kombu.exceptions.OperationalError as error:
        raise Retryable(f"the broker is away: {error}") from error


def _send_overdue(task: Task, batches: Iterable[run_keys.Batch]) -> None:
    for batch in batches:
        task.delay(str(batch.run_id), list(batch.keys))


def _finish(run_id: UUID) -> None:
    if pipeline.close_if_complete(resources(), run_id) is not None or upkeep.is_closed(resources(), run_id):
        _deliver(run_id)


def _deliver(run_id: UUID, leave_out: str | None = None) -> None:
    """Give the figures to the tasks that wait for them, and let Flower know that they succeeded."""
    figures, waiting = upkeep.take_waiters(resources(), run_id)
    waiters = [task_id for task_id in waiting if task_id != leave_out]
    for task_id in waiters:
        app.backend.store_result(task_id, figures.to_dict(), states.SUCCESS)
    _tell_flower(waiters, figures)
    upkeep.mark_delivered(resources(), run_id)


def _tell_flower(task_ids: Iterable[str], figures: fetch_logs.Figures) -> None:
    with app.events.default_dispatcher() as dispatcher:
        for task_id in task_ids:
            dispatcher.send("task-succeeded", uuid=task_id, result=repr(figures), runtime=figures.duration_seconds)


# The task that does what a request asks for, by the request's job.
JOBS: dict[str, Task] = {
    "fetch_latest_bills": fetch_latest_bills,
    "fetch_session_bills": fetch_session_bills,
    "fetch_latest_politicians": fetch_latest_politicians,
    "fetch_latest_votes": fetch_latest_votes,
    "fetch_session_votes": fetch_session_votes,
}
