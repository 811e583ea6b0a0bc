"""The processes of a Parlex as its Procfile starts them, each started again when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import psutil

from parlex.local.locks import wait_until

ROOT = Path(__file__).resolve().parents[2]
# How long an event may take, in seconds: no test passes or fails by it, however busy the machine is.
BOUND = 240.0
RESTART_AFTER = 0.3  # seconds; a supervisor takes its time too
WORKERS = {"control": 1, "fetch": 2, "persist": 1, "deliver": 1}  # queue: processes that work on it


class Member:
    """One program through all its lives, and the file that takes what they say."""

    def __init__(self, name: str, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.arguments = arguments
        self.environment = environment
        self.log = log
        self.wanted = True
        self.exits: list[int] = []
        self.pid = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_at = 0.0

    def tend(self) -> None:
        """Start it if it does not run and is wanted."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self.exits.append(code)
            self._process = None
            self._ended_at = time.monotonic()
        if self._process is None and self.wanted and time.monotonic() - self._ended_at > RESTART_AFTER:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "celery", *self.arguments],
                    cwd=ROOT,
                    env=dict(self.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self.pid = self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def signal(self, number: int) -> None:
        """To the process itself, not to its children."""
        if self._process is not None:
            self._process.send_signal(number)

    def children(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    @contextmanager
    def held(self) -> Iterator[None]:
        """It takes no message while the block lasts; its children end what they have."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def end(self) -> None:
        self.kill_group()
        if self._process is not None:
            self._process.wait()

    def kill_group(self) -> None:
        if not self.pid:
            return  # it was never started, and group 0 is our own
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def kill(self, random: Random) -> str:
        """SIGKILL to one child (as an out-of-memory killer does), to the parent alone, or to all of them."""
        children = self.children()
        how = random.choice(["child", "parent", "all"] if children else ["all"])
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if how == "child":
                random.choice(children).kill()
            elif how == "parent":
                os.kill(self.pid, signal.SIGKILL)
            else:
                self.kill_group()
        return how


class Crew:
    """Workers and beat while the block lasts."""

    def __init__(self, folder: Path, environment: Mapping[str, str], host: str = "chaos") -> None:
        self._folder = folder
        self._host = host
        self._environment = dict(environment)
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._members: dict[str, Member] = {}
        self._thread = threading.Thread(target=self._tend, name="crew")

    def __enter__(self) -> Crew:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        for member in self._members.values():
            member.end()

    def __getitem__(self, name: str) -> Member:
        return self._members[name]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._members.values())

    def hire_all(self) -> None:
        for queue in WORKERS:
            self.hire_worker(queue)
        self.hire_beat("beat")

    def hire_worker(self, queue: str, processes: int | None = None, **environment: str) -> None:
        name = ["-Q", queue, "-n", f"{queue}@{self._host}", "-c", str(processes or WORKERS[queue])]
        options = ["--without-gossip", "--without-mingle", "--loglevel=INFO"]
        options += ["-P", "threads"] if queue == "deliver" else []
        self._hire(queue, ["-A", "workers.app", "worker", *name, *options], environment)

    def hire_beat(self, name: str, app: str = "tests.chaos.housekeeping") -> None:
        self._hire(name, ["-A", app, "beat", "--pidfile=", "--loglevel=INFO"], {})

    def dismiss(self, *names: str) -> None:
        """End them at once and for good, until they are hired again."""
        with self._lock:
            members = [self._members[name] for name in names]
            for member in members:
                member.wanted = False
                member.kill_group()
        assert wait_until(lambda: not any(member.runs for member in members), BOUND)

    def _hire(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        if name in self._members:
            self.dismiss(name)
        with self._lock:
            told = self._environment | dict(environment)
            self._members[name] = Member(name, arguments, told, self._folder / f"{name}.log")

    def _tend(self) -> None:
        while not self._ending.wait(0.05):
            with self._lock:
                for member in self._members.values():
                    member.tend()

    def said(self) -> str:
        """Everything that the processes wrote."""
        return "".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log")))
