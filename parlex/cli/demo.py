"""``parlex demo``: the main job end to end, offline, on real parts, in a temporary folder and on free ports.

Embedded PostgreSQL and Valkey, real workers, beat and Flower, and the sandbox in place of the two sources. What it asks
for goes through ``parlex fetch --dispatch``, as a user would send it. Nothing is left behind.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import httpx
from rich.console import Console, RenderableType
from rich.table import Table
from sqlalchemy.orm import Session

from parlex.answers import counted
from parlex.cli.tables import bills as bill_tables
from parlex.cli.tables import layout
from parlex.cli.tables import mirror as mirror_tables
from parlex.cli.tables import operate as operate_tables
from parlex.datasets.bills import reads as bill_reads
from parlex.errors import ParlexError
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.local.supervisor import QUEUES, Stack
from parlex.mirror import history, sweeps
from parlex.resources import Resources, open_database
from parlex.runs import reads as run_reads
from parlex.runs.reads import RunRecord
from parlex.settings import Settings, load
from parlex.watch import monitor

LIMIT = 100  # more than the sandbox's current session holds
STEPS = 3  # days on which some bill changes, to move forward by
READY_SECONDS = 60.0
FETCH_SECONDS = 120.0
FLOWER_SECONDS = 30.0
LOG_LINES = 30  # of the processes, shown when something failed


class StepFailed(ParlexError):
    """A step of the demo did not come out as it should."""


def run() -> int:
    """Show it; 0, or 1 if any step failed. ConfigurationError, before anything starts, for a setting to be mended."""
    began = time.monotonic()
    given = load()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a TERM, too, stops what was started
    # Directly in the system's temporary folder: run by root, PostgreSQL becomes another user, who has to reach it.
    with TemporaryDirectory(prefix="parlex-demo-") as folder:
        log = Path(folder) / "log"
        try:
            with log.open("w") as out, Sandbox() as sandbox:
                _show(sandbox, _settings(given, Path(folder), sandbox), out)
        except (ParlexError, httpx.HTTPError) as error:
            print(*log.read_text().splitlines()[-LOG_LINES:], sep="\n", file=sys.stderr)
            print(f"parlex: the demo failed: {error}", file=sys.stderr)
            return 1
    print(f"\nEverything is stopped, nothing is left behind. {time.monotonic() - began:.0f} s in all.")
    return 0


def _settings(given: Settings, folder: Path, sandbox: Sandbox) -> Settings:
    """Whatever the environment says, the demo touches no database, no source and no bucket of the user."""
    changes = {
        "database_url": None,
        "redis_url": None,
        "archive_url": None,
        "export_url": None,
        "alert_urls": None,
        "sentry_dsn": None,
        "home": folder / "home",
        "legisinfo_url": sandbox.legisinfo_url,
        "openparliament_url": sandbox.openparliament_url,
        "legisinfo_rate": 0.0,
        "openparliament_rate": 0.0,
        "contact": None,
        "retry_delay": 1.0,
    }
    return given.model_copy(update=changes)


def _show(sandbox: Sandbox, settings: Settings, out: Any) -> None:
    console = layout.console()
    console.print("Starting PostgreSQL, Valkey, three workers, beat and Flower against the sandbox ...")
    with Stack(settings, flower_port=0, web_port=0, out=out) as stack:
        demo = _Demo(console, sandbox, stack, settings)
        for line in stack.describe():
            console.print(f"  {line}")
        demo.wait_ready()
        demo.fetch_first()
        demo.fetch_again()
        demo.fetch_nothing_new()
        demo.ask_flower()
        demo.judge()
        demo.show_pages()
        console.print("\nStopping everything ...")


@dataclass
class _Demo:
    """The steps, each printed, each checked."""

    console: Console
    sandbox: Sandbox
    stack: Stack
    settings: Settings
    spent: dict[str, RunRecord] = field(default_factory=dict)
    seen: int = 0  # the newest change shown

    def wait_ready(self) -> None:
        _require(self.stack.wait_ready(READY_SECONDS), f"not every worker was ready within {READY_SECONDS:.0f} s")

    def fetch_first(self) -> None:
        self._title(f"The bills of the current session, as of {self.sandbox.as_of}")
        self._fetch("first fetch")
        with self._db() as db:
            bills = list(bill_reads.bills(db, sweeps.current_session(db)))
            self.seen = history.last_seq(db)
        self._print(bill_tables.bills(bills))
        _require(len(bills) > 0, "no bill is held")

    def fetch_again(self) -> None:
        moved = sum(self.sandbox.advance() for _ in range(STEPS))
        _require(moved == STEPS, "the sandbox did not move forward")
        self._title(f"What changed by {self.sandbox.as_of}")
        self._fetch("after changes")
        with self._db() as db:
            # Not of this run alone: at the full hour, beat sends one of its own.
            changes = list(history.changes(db, self.seen))
        shown = [change for change in changes if change.field is None or _is_shown(change.field)]
        self._print(mirror_tables.changes(shown))
        bills = {(change.parliament, change.session, change.number) for change in changes}
        told = f"{counted(len(changes), 'change')} of {counted(len(bills), 'bill')}"
        self.console.print(f"  {told}; here: new bills, statuses and days")
        _require(len(changes) > 0, "no bill changed")

    def fetch_nothing_new(self) -> None:
        self._title("What each run took; in the last one nothing had changed")
        figures = self._fetch("nothing new")
        _require(figures["bills_fetched"] == 0, "bills were fetched although nothing had changed")
        table = Table(box=None)
        for name in ("Fetch", "Requests", "Bills", "Created", "Updated", "Seconds"):
            table.add_column(name, justify="left" if name == "Fetch" else "right")
        for name, run in self.spent.items():
            numbers = (run.requests, run.bills_fetched, run.created, run.updated)
            table.add_row(name, *map(str, numbers), f"{run.duration_seconds or 0:.1f}")
        self._print(table)

    def ask_flower(self) -> None:
        self._title(f"Flower at {self.stack.flower_url}, behind a password")
        _require(wait_until(self._flower_knows_queues, FLOWER_SECONDS), "Flower does not show every queue")
        queues = self._queue_lengths()
        workers = self._flower("workers?status=true")
        for queue in sorted(QUEUES):
            alive = [name for name, is_alive in workers.items() if is_alive and name.startswith(f"{queue}@")]
            self.console.print(f"  queue {queue:8} {queues[queue]} waiting, worker {', '.join(alive) or '-'}")
            _require(len(alive) == 1, f"Flower does not show the worker of queue {queue}")

    def judge(self) -> None:
        self._title("The monitor")
        now = datetime.now(UTC)
        resources = Resources(self.settings, self.stack.addresses)
        with closing(resources), resources.db() as db:
            found = monitor.overview(db, now - timedelta(hours=1), now, resources.datasets, self.settings)
        for table in operate_tables.monitor(found):
            self._print(table)
        _require(found.healthy, "; ".join(found.problems))

    def show_pages(self) -> None:
        """Ask for the front page; where somebody sits at the terminal, stay until they have looked."""
        self._title("The pages")
        page = httpx.get(f"{self.stack.web_url}/en/", timeout=10)
        _require(page.status_code == httpx.codes.OK, f"the front page answers {page.status_code}")
        self.console.print(f"  {self.stack.web_url}/")
        if sys.stdin.isatty() and sys.stdout.isatty():
            with contextlib.suppress(EOFError):
                input("  Look at them, then press Enter to stop everything. ")

    def _fetch(self, name: str) -> dict[str, Any]:
        """Dispatch to the workers, wait for the figures, note what the run spent."""
        command = [sys.executable, "-m", "parlex", "fetch", "--limit", str(LIMIT), "--dispatch", "--json"]
        try:
            done = subprocess.run(
                command,
                env=self.stack.environment(),
                capture_output=True,
                text=True,
                timeout=FETCH_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StepFailed(f"{name}: no answer within {FETCH_SECONDS:.0f} s") from None
        _require(done.returncode == 0, f"{name}: {(done.stdout + done.stderr).strip()}")
        figures: dict[str, Any] = json.loads(done.stdout)
        with self._db() as db:
            story = run_reads.run_story(db, UUID(figures["run_id"]))
        _require(story is not None and story.run.status == "success", f"{name}: the log does not tell of a success")
        assert story is not None
        self.spent[name] = story.run
        return figures

    def _flower(self, what: str) -> Mapping[str, Any]:
        user, _, password = self.stack.flower_auth.partition(":")
        answer = httpx.get(f"{self.stack.flower_url}/api/{what}", auth=(user, password), timeout=10)
        found: Mapping[str, Any] = answer.raise_for_status().json()
        return found

    def _flower_knows_queues(self) -> bool:
        """Flower learns the queues from the workers, when it is asked to ask them."""
        self._flower("workers?refresh=true")
        return set(QUEUES) <= set(self._queue_lengths())

    def _queue_lengths(self) -> dict[str, int]:
        return {queue["name"]: queue["messages"] for queue in self._flower("queues/length")["active_queues"]}

    def _db(self) -> AbstractContextManager[Session]:
        """For one step: the next may find the database restarted."""
        return open_database(self.stack.addresses.database_url)

    def _title(self, text: str) -> None:
        self.console.print(f"\n== {text}")

    def _print(self, table: RenderableType) -> None:
        self.console.print(table)


def _is_shown(field: str) -> bool:
    return field == "status_en" or (field.endswith("_on") and not field.startswith("stages."))


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise StepFailed(otherwise)
