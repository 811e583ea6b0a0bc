"""Parlex as its users run it: ``parlex up`` with embedded servers in a temporary home, and a shell that dispatches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from bench import processes
from bench.stand_in import ROOT, StandIn
from parlex.db import migrate
from parlex.local import embedded
from parlex.local.supervisor import QUEUES, Stack
from parlex.settings import Settings, environment

# What a mirror has learnt; emptied before each backfill.
TABLES = (
    "bills, changes, counters, listings, sweeps, documents, document_fetches, latest_documents, fetch_logs, quarantine"
)


class Child:
    """A process that answers one line of JSON to each line of JSON."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> None:
        self._log = log.open("a")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=env, cwd=cwd, text=True
        )

    def ask(self, **what: Any) -> dict[str, Any]:
        """ChildProcessError with the last of its output when it fails."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ChildProcessError(_last_lines(Path(self._log.name)))
        answer: dict[str, Any] = json.loads(line)
        return answer

    def pids(self) -> list[int]:
        return processes.descendants(self._process.pid)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text().strip().splitlines()[-3:]) or "it ended without a word"


@dataclass(frozen=True)
class Servers:
    """A private PostgreSQL and Redis, and two databases: the mirror's, and one for the rivals and the limits."""

    settings: Settings
    home: Path
    rivals_url: str  # for libpq
    engine: Engine

    def rows(self, query: str, **values: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(query), values))

    def execute(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def vacuum(self) -> None:
        """As autovacuum would in time: with statistics of an empty table, plans would be those of an empty table."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))

    def postgres(self) -> list[int]:
        """The processes of the database server."""
        postmaster = self.settings.home / "postgres" / "data" / "postmaster.pid"
        return processes.descendants(int(postmaster.read_text().split()[0]))

    def empty(self) -> None:
        """A worker that just delivered its result may still write a line: then once more."""
        for attempt in range(5):
            try:
                return self.execute(f"TRUNCATE {TABLES} RESTART IDENTITY CASCADE")
            except OperationalError:
                if attempt == 4:
                    raise
        return None


@contextmanager
def servers(stand_in: StandIn) -> Iterator[Servers]:
    with tempfile.TemporaryDirectory(prefix="parlex-bench-") as folder, ExitStack() as stack:
        home = Path(folder)
        home.chmod(0o755)  # PostgreSQL may run as nobody
        begun = Settings(home=home / "home")
        addresses = stack.enter_context(embedded.servers(begun))
        admin = make_url(addresses.database_url)
        engine = create_engine(admin, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CREATE DATABASE bench"))
            connection.execute(text("CREATE DATABASE rivals"))
        engine.dispose()
        mirror_url = admin.set(database="bench").render_as_string(hide_password=False)
        migrate.upgrade(mirror_url)
        settings = Settings(
            database_url=mirror_url,
            redis_url=addresses.redis_url,
            home=home / "home",
            legisinfo_url=stand_in.legisinfo,
            openparliament_url=stand_in.openparliament,
            legisinfo_rate=0,
            web_rate=0,
            openparliament_rate=0,
            log_level="WARNING",
        )
        rivals_url = admin.set(drivername="postgresql", database="rivals").render_as_string(hide_password=False)
        engine = create_engine(mirror_url)
        stack.callback(engine.dispose)
        yield Servers(settings, home, rivals_url, engine)


class Mirror:
    """The running workers, and the shell beside them."""

    def __init__(self, stack: Stack, shell: Child, keeper: int) -> None:
        self.stack = stack
        self._shell = shell
        self._keeper = keeper

    def fetch_sessions(self, sessions: Sequence[str], *, limit: int | None = None) -> dict[str, Any]:
        """Dispatch a backfill of each session at once, and wait for all their figures."""
        calls = [[*map(int, session.split("-")), *([limit] if limit else [])] for session in sessions]
        return self.ask("parlex.fetch_session_bills", calls)

    def fetch_latest(self, limit: int = 50) -> dict[str, Any]:
        return self.ask("parlex.fetch_latest_bills", [[limit]])

    def ask(self, task: str, calls: Sequence[Sequence[Any]]) -> dict[str, Any]:
        return self._shell.ask(task=task, calls=calls, timeout=300)

    def pids(self) -> list[int]:
        """The keeper, the workers and their processes, beat and Flower."""
        return processes.descendants(self._keeper)

    def workers(self) -> list[int]:
        """The workers alone: the keeper names each child, and they pass the name on to their own."""
        return [pid for pid in self.pids() if processes.name(pid).removeprefix("parlex ") in QUEUES]


@contextmanager
def mirror(servers: Servers, *, beat: bool = False) -> Iterator[Mirror]:
    """A whole stack. Beat is left out unless asked for, so that no tick falls into a measurement."""
    with (servers.home / "stack.log").open("a") as log, ExitStack() as closing:
        before = set(processes.descendants(os.getpid()))
        stack = closing.enter_context(Stack(servers.settings, flower_port=0, beat=beat, out=log))
        if not stack.wait_ready(60):
            raise TimeoutError(_last_lines(servers.home / "stack.log"))
        new = [pid for pid in processes.descendants(os.getpid()) if pid not in before]
        keeper = next(pid for pid in new if "parlex.local.keeper" in processes.command(pid))
        shell = Child([sys.executable, "-m", "bench.shell"], stack.environment(), ROOT, servers.home / "shell.log")
        closing.callback(shell.close)
        yield Mirror(stack, shell, keeper)


def worker_environment(servers: Servers) -> dict[str, str]:
    return environment(servers.settings)
