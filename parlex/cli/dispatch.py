"""Sending work to the workers, and watching its rows until it is over.

The run is written down before anything is sent. So a broker that loses the message, or is away for a while, loses
nothing but time: whoever keeps house sends it again, and the rows alone tell how far the run is and how it ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from parlex.cli.frame import note
from parlex.errors import ParlexError, UsageError
from parlex.runs.queues import RUNS

if TYPE_CHECKING:
    from parlex.cli.bars import Bar, Bars
    from parlex.db.models import RunRow
    from parlex.resources import Resources
    from parlex.runs.work import Request

WORKER_SECONDS = 1.0  # how long workers have to answer a ping
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: its figures as ``--json`` prints them, and its first errors."""

    figures: Mapping[str, Any]
    errors: tuple[str, ...]


def ended(run: RunRow) -> Ended | None:
    """How a run ended, None while it is under way. UsageError if it asked for what cannot be."""
    from parlex.runs import fetch_logs

    if run.status == "running":
        return None
    errors = tuple(map(str, run.errors))
    if run.status == "refused":
        raise UsageError("; ".join(errors))
    return Ended(fetch_logs.figures(run).to_dict(), errors)


def dispatched(
    resources: Resources, requests: Mapping[str, Request], bars: Bars, sent: dict[str, UUID]
) -> Iterator[tuple[str, Ended | UsageError]]:
    """Send all, then watch them: what each came to, in the order given. ``sent`` is told the run of each."""
    require_workers()
    watched = {}
    for asked, request in requests.items():
        sent[asked] = send(resources, request)
        watched[asked] = bars.add(asked)
    outcomes: dict[str, Ended | UsageError] = {}
    for asked in requests:
        while asked not in outcomes:
            # Each round looks at all that are not over, so that no bar stands still while its run goes on.
            for name in watched.keys() - outcomes.keys():
                if outcome := _look(resources, sent[name], watched[name]):
                    outcomes[name] = outcome
            if asked not in outcomes:
                time.sleep(POLL_SECONDS)
        if isinstance(outcomes[asked], UsageError):
            bars.remove(watched[asked])
        yield asked, outcomes[asked]


def send(resources: Resources, request: Request) -> UUID:
    """Write the run down, or join the equal one under way, and send its task. UsageError for what no task does."""
    from kombu.exceptions import OperationalError

    from workers import tasks

    if request.job not in tasks.JOBS:
        raise UsageError(f"no task does {request.job}: see parlex fetch --help")
    run = resources.pipeline.open_run(request).run
    if not run.planned:
        try:
            tasks.dispatch(request)
        except OperationalError as error:
            note(f"the broker is away ({_reason(error)}): the run is written down, and is sent when it is back")
    return run.run_id


def _look(resources: Resources, run_id: UUID, bar: Bar) -> Ended | UsageError | None:
    """Move the bar to where the run is; how it ended, None while it is under way."""
    from parlex.runs import alone

    # The row first: that it is over is its last word, and the keys told after it are all there will be.
    run = resources.pipeline.run(run_id)
    done, total = resources.pipeline.progress(run_id)
    try:
        outcome = ended(run)
    except UsageError as error:
        return error
    if total or outcome:
        bar(done, total)
    if outcome is None:
        bar.say(alone.doing(resources.pipeline, run))
    bar.over = outcome is not None
    return outcome


def require_workers() -> None:
    """ParlexError unless each queue of the runs has a worker that answers."""
    missing = sorted(set(RUNS) - queues_alive(quietly=False))
    if missing:
        raise ParlexError(f"no worker for {', '.join(missing)}: start `parlex up`, or leave --dispatch out")


def queues_alive(*, quietly: bool = True) -> set[str]:
    """The queues that some living worker consumes. Without Redis none, or, unless ``quietly``, ParlexError."""
    from kombu.exceptions import OperationalError

    from workers.app import app as celery

    try:
        answers = celery.control.inspect(timeout=WORKER_SECONDS).active_queues() or {}
    except OperationalError as error:
        if quietly:
            return set()
        raise ParlexError(f"Redis cannot be used ({_reason(error)}): start it, or mend REDIS_URL") from error
    return {queue["name"] for queues in answers.values() for queue in queues}


def _reason(error: Exception) -> str:
    from parlex import logs

    return str(logs.redact(str(error).strip().splitlines()[0])) if str(error).strip() else type(error).__name__
