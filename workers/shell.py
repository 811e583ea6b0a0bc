"""``parlex shell``: an IPython with the application, its tasks and the queries at hand."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from celery.exceptions import TimeoutError as NotYet
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from parlex.cli import tables
from parlex.datasets.bills import reads as bill_reads
from parlex.datasets.politicians import reads as politician_reads
from parlex.datasets.votes import reads as vote_reads
from parlex.errors import ParlexError, UsageError
from parlex.mirror import history, sweeps
from parlex.parliament import BillKey, SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs import reads as run_reads
from parlex.watch import monitor
from workers import tasks
from workers.app import app
from workers.app import resources as shared

POLL_SECONDS = 0.5
BANNER = """\
Parlex {version}: {tasks}
  dispatch   result = fetch_latest_bills.delay(limit=50); watch(result); result.get()
  again      retry(RUN_ID) fetches what failed in a run; revoke(result) ends one that is under way
  ask        ask(bill_reads.bills, SessionId(45, 1)); show(RUN_ID); with db() as session: ...
"""


QUERIES = SimpleNamespace(
    **{name: getattr(bill_reads, name) for name in ("bills", "bill")},
    **{name: getattr(politician_reads, name) for name in ("politicians", "politician", "sponsor")},
    **{name: getattr(vote_reads, name) for name in ("votes", "vote", "ballots", "parties")},
    **{name: getattr(run_reads, name) for name in ("runs", "run_story", "find_run", "run_of_task", "sweeps")},
    **{name: getattr(history, name) for name in ("changes", "last_seq")},
    current_session=sweeps.current_session,
)


class Shell:
    """What the names in the shell do. ``result`` is what ``.delay()`` gave, ``run`` a run's id or how it begins."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def names(self) -> dict[str, Any]:
        """Every name that the shell starts with."""
        ours = {task.run.__name__: task for name, task in app.tasks.items() if name.startswith("parlex.")}
        verbs = {name: getattr(self, name) for name in ("ask", "retry", "revoke", "run_of", "show", "watch")}
        modules = {"alone": alone, "monitor": monitor, "queries": QUERIES, "tasks": tasks}
        values = {"app": app, "BillKey": BillKey, "SessionId": SessionId}
        parts = {"db": self.resources.db, "pipeline": self.resources.pipeline, "resources": self.resources}
        return ours | verbs | modules | values | parts

    def ask(self, query: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """The answer of one of ``queries``, in a transaction of its own; what streams as a list."""
        with self.resources.db() as db:
            answer = query(db, *arguments, **options)
            return list(answer) if hasattr(answer, "__next__") else answer

    def watch(self, result: AsyncResult) -> Mapping[str, Any]:
        """Print how far a dispatched fetch is until it is over; its figures. Ctrl-C stops the watching only."""
        told = ""
        while not result.ready():
            told = self._tell(self._progress(result), told)
            time.sleep(POLL_SECONDS)
        figures: Mapping[str, Any] = result.get()
        self._tell(f"{figures['status']}: {figures['bills_fetched']} fetched, {figures['failed']} failed", told)
        return figures

    def _progress(self, result: AsyncResult) -> str:
        run_id = self.run_of(result)
        if run_id is None:
            return "waiting for a worker"
        done, total = self.resources.pipeline.progress(run_id)
        return f"run {str(run_id)[:8]}: " + (f"{done} of {total} done" if total else "asking for the list")

    @staticmethod
    def _tell(now: str, before: str) -> str:
        if now != before:
            print(now)
        return now

    def run_of(self, result: AsyncResult) -> UUID | None:
        """The run that a dispatched task became; None until a worker has taken it up."""
        run_id: UUID | None = self.ask(run_reads.run_of_task, result.id)
        return run_id

    def retry(self, run: str | UUID) -> AsyncResult:
        """Dispatch what failed in a run; watch the result. UsageError where nothing failed."""
        run_id = self._run_id(run)
        self.resources.pipeline.retry_request(run_id)
        return tasks.retry_run.delay(str(run_id))

    def revoke(self, what: AsyncResult | str | UUID) -> str:
        """End a run that is under way, or take back a task that no worker has taken up. What is saved stays."""
        run_id = self.run_of(what) if isinstance(what, AsyncResult) else self._run_id(what)
        if isinstance(what, AsyncResult):
            what.revoke()
        if run_id is None:
            return "revoked before a worker took it up"
        if not self.resources.pipeline.revoke(run_id):
            return f"run {str(run_id)[:8]} is over already"
        tasks.finish(self.resources.pipeline.run(run_id))
        return f"run {str(run_id)[:8]} is ended"

    def show(self, run: str | UUID) -> None:
        """Print a run's whole story."""
        story = self.ask(run_reads.run_story, self._run_id(run))
        if story is None:
            raise UsageError(f"no run {run}")
        for table in tables.run(story):
            tables.console().print(table)

    def _run_id(self, run: str | UUID) -> UUID:
        found: UUID = run if isinstance(run, UUID) else self.ask(run_reads.find_run, run)
        return found


def load() -> dict[str, Any]:
    """The same names for a notebook or a script: ``globals().update(load())``."""
    return Shell(shared()).names()


def start(resources: Resources, version: str, code: str | None = None) -> int:
    """Talk to a person until they leave; with ``code`` run that instead. The exit code."""
    names = Shell(resources).names()
    if code is not None:
        return _run(code, names)
    import IPython
    from traitlets.config import Config

    ours = sorted(name for name, task in names.items() if getattr(task, "name", "").startswith("parlex."))
    config = Config()
    config.TerminalInteractiveShell.banner1 = BANNER.format(version=version, tasks=", ".join(ours))
    return int(IPython.start_ipython(argv=[], user_ns=names, config=config) or 0)


def _run(code: str, names: dict[str, Any]) -> int:
    """1 after an error. One of ours, and an answer that did not come, are one line; any other has its traceback."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell: Any = InteractiveShell.instance(user_ns=names, config=config)
    shell.set_custom_exc((ParlexError, NotYet, OperationalError), _tell_error)
    return 0 if shell.run_cell(code).success else 1


def _tell_error(shell: Any, kind: type[BaseException], error: BaseException, *_: object, **__: object) -> None:
    words = " ".join(str(error).split())
    if isinstance(error, NotYet):
        words = f"no answer yet ({words}): is a worker running? See parlex doctor, or start parlex up"
    print(f"parlex: {words}", file=sys.stderr)
