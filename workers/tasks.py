"""Doors, not rooms: each task takes its arguments to the pipeline and its answer back.

The tasks that start a run do not return its figures: the run goes on after them, on other queues. They end with
``Ignore``, and whoever closes the run stores the figures as their result, so that ``.get()`` answers them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import kombu.exceptions
from celery import Task, current_task, states
from celery.exceptions import Ignore
from celery.result import AsyncResult

from parlex.datasets.bills.dataset import BillDataset
from parlex.datasets.politicians.dataset import PoliticianDataset
from parlex.datasets.votes.dataset import VoteDataset
from parlex.db.clock import Clock
from parlex.db.models import RunRow
from parlex.errors import Retryable, UsageError
from parlex.follow import passes
from parlex.mirror import export
from parlex.parliament import SessionId
from parlex.runs import run_keys
from parlex.runs.fetch_logs import Ended
from parlex.runs.run_log import RETRY
from parlex.runs.steps import LONGEST_COUNTDOWN, Again
from parlex.runs.work import Request
from parlex.settings import settings
from parlex.watch import alerts, digest, monitor, notify, upkeep
from workers import beat
from workers.app import EXPIRES, app, resources

MOST_KEYS = 1000  # in one message; ours have at most 250
LONGEST_KEY = 100
MOST_HOURS = 24 * 366 * 100
READING = timedelta(seconds=45)  # of what stands, again; a batch more at most, which is well within a task's limit


@app.task(bind=True, name="parlex.fetch_latest_bills", ignore_result=False)
def fetch_latest_bills(
    self: Task,
    limit: int | None = BillDataset.usual_limit,
    recheck_after_days: int | None = None,
    companion: str | None = None,
    sitting: bool = False,
) -> dict[str, Any] | None:
    """Fetch the current session's bills that are new or changed, newest activity first.

    Answers the run's final figures. ``recheck_after_days`` also takes details that nobody looked at for so long.
    ``companion="all"`` also asks OpenParliament for each bill, where it is asked only what does not follow otherwise.
    ``sitting`` takes those of bills that are alive, where nobody looked since a chamber sat; a tick with it does
    nothing, and answers None, while none has sat for ten days.
    """
    if beat.tick_of(self.request) and beat.is_idle({"sitting": sitting}, resources(), datetime.now(UTC)):
        return None
    pipeline = resources().pipeline
    request = pipeline.latest_request(limit, recheck_after_days, companion=companion, sitting=sitting)
    return _start(self, request)


@app.task(bind=True, name="parlex.fetch_session_bills", ignore_result=False)
def fetch_session_bills(
    self: Task, parliament: int, session: int, limit: int | None = None, companion: str | None = None
) -> dict[str, Any]:
    """Fetch a whole session, 35-1 to the current one. Answers the run's final figures.

    ``companion="all"`` also asks OpenParliament for each bill, where it is asked only what does not follow otherwise.
    """
    request = resources().pipeline.session_request(_session(parliament, session), limit, companion=companion)
    return _start(self, request)


@app.task(bind=True, name="parlex.retry_run", ignore_result=False)
def retry_run(self: Task, run_id: str) -> dict[str, Any]:
    """Fetch again what failed in a run. Answers the figures of the run that does so."""
    return _start(self, resources().pipeline.retry_request(_id(run_id)))


@app.task(bind=True, name="parlex.fetch_latest_politicians", ignore_result=False)
def fetch_latest_politicians(
    self: Task, limit: int | None = PoliticianDataset.usual_limit, recheck_after_days: int | None = None
) -> dict[str, Any]:
    """Fetch the politicians who are new or changed. Answers the run's final figures."""
    return _start(self, resources().pipeline.latest_request(limit, recheck_after_days, dataset="politicians"))


@app.task(bind=True, name="parlex.fetch_latest_votes", ignore_result=False)
def fetch_latest_votes(
    self: Task, limit: int | None = VoteDataset.usual_limit, recheck_after_days: int | None = None
) -> dict[str, Any]:
    """Fetch the current session's divisions that are new or changed, with their ballots, newest first."""
    return _start(self, resources().pipeline.latest_request(limit, recheck_after_days, dataset="votes"))


@app.task(bind=True, name="parlex.fetch_session_votes", ignore_result=False)
def fetch_session_votes(self: Task, parliament: int, session: int, limit: int | None = None) -> dict[str, Any]:
    """Fetch a whole session's divisions and ballots, 38-1 to the current one. Answers the run's final figures."""
    return _start(self, resources().pipeline.session_request(_session(parliament, session), limit, dataset="votes"))


@app.task(name="parlex.plan_run")
def plan_run(run_id: str) -> None:
    """Plan a run that is in the log, and send its first chunks."""
    _carry_on(_run(run_id))


@app.task(name="parlex.fetch_bills")
def fetch_bills(run_id: str, keys: list[str]) -> None:
    """Fetch the documents of these keys of a run."""
    run = _run(run_id)
    report = resources().pipeline.fetch(run, _keys(keys), lambda fetched: _send_persist(run_id, fetched))
    _send_again(run_id, report.again)
    _send_chunks(run)
    if not report.persist:  # else it cannot be over yet; whoever saves them looks
        finish(run)


@app.task(name="parlex.persist_bills")
def persist_bills(run_id: str, keys: list[str]) -> None:
    """Turn the documents of these keys of a run into rows."""
    run = _run(run_id)
    _send_again(run_id, resources().pipeline.persist(run, _keys(keys)))
    _send_chunks(run)
    finish(run)


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
        since, shared = now - timedelta(hours=hours_back), resources()
        overview = monitor.overview(db, since, now, shared.datasets, shared.settings)
        if tick:
            digest.post(db, shared.datasets, overview, to, occasion=f"digest {tick.slot.isoformat()}")
    if to:
        notify.deliver(resources(), to, now=now)
    return overview.to_dict()


@app.task(name="parlex.monitor_politician_operations", ignore_result=False)
def monitor_politician_operations(hours_back: int = 24) -> dict[str, Any]:
    """What the runs of politicians came to in the last hours; they are listed daily."""
    now = datetime.now(UTC)
    since, politicians = now - timedelta(hours=hours_back), resources().datasets["politicians"]
    with resources().db() as db:
        return monitor.statistics(db, since, now, politicians, resources().settings).to_dict()


@app.task(name="parlex.export", ignore_result=False)
def export_mirror() -> dict[str, Any] | None:
    """Export everything to ``PARLEX_EXPORT_URL``. Answers the manifest, None where there is no such place."""
    url = resources().settings.export_url
    if url is None:
        return None
    return export.export(resources().engine, resources().datasets.values(), url.get_secret_value()).to_dict()


@app.task(name="parlex.check_alerts", send_events=False)  # each minute: it would hide all else in Flower
def check_alerts() -> None:
    """Look for trouble, tell of what is new or over, and send again what did not arrive."""
    alerts.check(resources())


@app.task(name="parlex.deliver", send_events=False)  # as often: whenever a run is over, and with each heartbeat
def deliver() -> int:
    """Tell subscribers what is news for them, and send again what is due. Answers how many messages arrived."""
    return passes.run(resources())


@app.task(name="parlex.prune", ignore_result=False)
def prune() -> dict[str, int]:
    """Delete logs and documents that are older than the settings keep them. Answers how many of each."""
    return upkeep.prune(resources())


@app.task(name="parlex.archive_documents", ignore_result=False)
def archive_documents(most: int = 2000) -> int:
    """Write documents that the archive lacks, at most so many at a time. Answers how many; 0 without an archive."""
    _within("most", most, 1_000_000)
    return upkeep.archive(resources(), most=most)


@app.task(name="parlex.read_again", ignore_result=False)
def read_again() -> int:
    """Read again, offline, what an older version read for less. Answers how many records; the rest is for the next."""
    return upkeep.read_again(resources(), within=READING)


@app.task(bind=True, name="parlex.keep_house", send_events=False)
def keep_house(self: Task) -> None:
    """Send again what is overdue, close what is dead, run missed slots, and leave a heartbeat."""
    pipeline = resources().pipeline
    upkeep.heartbeat(resources(), "beat")
    for run in pipeline.abandon_dead():
        finish(run)
    overdue = pipeline.recover()
    for run_id in overdue.plan:
        plan_run.delay(str(run_id))
    _send_overdue(fetch_bills, overdue.fetch)
    _send_overdue(persist_bills, overdue.persist)
    for run in pipeline.open_runs():
        _send_chunks(run)
        finish(run)
    for run in pipeline.undelivered():
        finish(run)
    if upkeep.to_read_again(resources()):
        _send_for(read_again, READING)
    for tick in beat.missed(app.conf.beat_schedule, resources()):
        app.send_task(tick.task, kwargs=tick.kwargs, headers=tick.headers())
    send_deliver()


# Which task does the work of a request.
JOBS: dict[str, Task] = {
    "fetch_latest_bills": fetch_latest_bills,
    "fetch_session_bills": fetch_session_bills,
    "fetch_latest_politicians": fetch_latest_politicians,
    "fetch_latest_votes": fetch_latest_votes,
    "fetch_session_votes": fetch_session_votes,
    RETRY: retry_run,
}


def dispatch(request: Request) -> AsyncResult:
    """Send the task that does a request. UsageError where there is none."""
    task = JOBS.get(request.job)
    if task is None:
        raise UsageError(f"no task does {request.job}: see parlex fetch --help")
    if request.retry_of is not None:
        return task.delay(request.retry_of)
    if request.scope is None:
        given = {name: value for name, value in request.params().items() if name != "limit"}
        return task.delay(limit=request.limit, **given)
    given = {"companion": request.companion} if request.companion is not None else {}
    session = SessionId.parse(request.scope)
    return task.delay(session.parliament, session.session, limit=request.limit, **given)


# What a message says is checked here: whoever reaches the broker can send one, and old ones outlive their run.


def _run(run_id: object) -> RunRow:
    return resources().pipeline.run(_id(run_id))


def _id(run_id: object) -> UUID:
    try:
        return UUID(run_id if isinstance(run_id, str) else "")
    except ValueError:
        raise UsageError(f"{run_id!r:.50} is not the id of a run") from None


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
    opened = resources().pipeline.open_run(
        request,
        entry=tick.entry if tick else None,
        slot=tick.slot if tick else None,
        missed_slots=tick.missed if tick else 0,
        waiter=None if tick else task.request.id,
    )
    if opened.open and (not opened.joined or not opened.run.planned):
        _carry_on(opened.run, task.request.id)
    figures = resources().pipeline.figures(opened.run.run_id)
    if figures.status == "running":
        raise Ignore
    return figures.to_dict()


def _carry_on(run: RunRow, task_id: str | None = None) -> None:
    """Plan the run and send its first chunks. A run that could not be planned is closed, and its figures are the
    answer.

    A wrong request is raised in the task that made it, and answered with the figures to all others that joined it.
    """
    try:
        report = resources().pipeline.plan(run)
    except UsageError:
        finish(run, leave_out=task_id)
        raise
    if report.retry_after is not None:
        _send_later(plan_run, report.retry_after, str(run.run_id))
        return
    if report.due != 0:  # None: somebody else planned it
        _send_chunks(run)
    finish(run)


def _open_and_plan(request: Request) -> str:
    opened = resources().pipeline.open_run(request)
    plan_run.delay(str(opened.run.run_id))
    return str(opened.run.run_id)


def _send_chunks(run: RunRow) -> None:
    while keys := resources().pipeline.take_chunk(run):
        fetch_bills.delay(str(run.run_id), keys)


def _send_persist(run_id: str, keys: Sequence[str]) -> None:
    try:
        persist_bills.delay(run_id, list(keys))
    except kombu.exceptions.OperationalError as error:
        raise Retryable(f"the broker is away: {error}") from error


def _send_again(run_id: str, again: Again | None) -> None:
    if again is not None:
        _send_later(fetch_bills, again.seconds, run_id, list(again.keys))


def _send_later(task: Task, seconds: float, *args: Any) -> None:
    """A countdown, for what its row says is due soon. What is due later, and what a lost message stood for, the sweeper
    sends."""
    task.apply_async(args, countdown=min(seconds, LONGEST_COUNTDOWN))


def _send_overdue(task: Task, batches: Iterable[run_keys.Batch]) -> None:
    for batch in batches:
        task.delay(str(batch.run_id), list(batch.keys))


def finish(run: RunRow, leave_out: str | None = None) -> None:
    """Close the run if its work is done. Once it is over, give the figures to the tasks that wait for them, but for one
    that answers itself."""
    ended = resources().pipeline.finish(run)
    if ended is not None:
        waiters = tuple(task_id for task_id in ended.waiters if task_id != leave_out)
        _deliver(run.run_id, replace(ended, waiters=waiters))
        send_deliver()


def send_deliver() -> None:
    """Have a worker look for news, where somebody wants any. What comes too late the next heartbeat sends again."""
    if passes.are_wanted(resources()):
        _send_for(deliver, timedelta(seconds=settings().keep_house_seconds))


def _send_for(task: Task, lasts: timedelta) -> None:
    """A message that is worth nothing after so long, by the database's clock: see :data:`workers.app.EXPIRES`."""
    with resources().db() as db:
        until = Clock(db).now() + lasts
    task.apply_async(headers={EXPIRES: until.isoformat()})


def _deliver(run_id: UUID, ended: Ended) -> None:
    for task_id in ended.waiters:
        app.backend.store_result(task_id, ended.figures.to_dict(), states.SUCCESS)
    _tell_flower(ended)
    resources().pipeline.mark_delivered(run_id)


def _tell_flower(ended: Ended) -> None:
    # By the worker that we are in; else Flower would show one more.
    here = current_task.request.hostname if current_task else None
    with app.events.default_dispatcher(hostname=here) as dispatcher:
        for task_id in ended.waiters:
            dispatcher.send(
                "task-succeeded",
                uuid=task_id,
                result=repr(ended.figures),
                runtime=ended.figures.duration_seconds,
            )
