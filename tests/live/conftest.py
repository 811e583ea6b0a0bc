"""pytest-celery's clusters on processes instead of containers, so that they run wherever the tests do.

A node wraps a ``ProcessContainer``, which has what the plugin asks of a container: kill, restart, logs, status.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kombu
import pytest
from celery import Celery
from psycopg2.errors import DeadlockDetected
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestBackend,
    CeleryTestBroker,
    CeleryTestWorker,
    CeleryWorkerCluster,
)
from redis import Redis
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from parlex.local.embedded import resolve
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.resources import Resources
from parlex.settings import Settings, environment

QUEUES = ("control", "fetch", "persist")
TABLES = "bills, changes, counters, listings, sweeps, documents, latest_documents, fetch_logs, quarantine, heartbeats"


class ProcessContainer:
    """A process under the names by which pytest-celery knows a container."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], folder: Path, prompt: str) -> None:
        self.name = self.id = name
        self._command = [sys.executable, "-m", "celery", "-A", "workers.app", *command]
        self._environment = environment
        self._folder = folder
        self._prompt = prompt
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,  # so that a kill takes the children too
            )

    @property
    def status(self) -> str:
        return "running" if self._process and self._process.poll() is None else "exited"

    def ready(self) -> bool:
        return wait_until(lambda: self._prompt in self.logs() or self.status != "running", 60) and (
            self.status == "running"
        )

    def logs(self) -> str:
        return self._log.read_text(errors="replace")

    def kill(self, signal: str | int = "SIGKILL") -> None:
        assert self._process is not None
        os.killpg(self._process.pid, _number(signal))
        self._process.wait()

    def restart(self, timeout: float | None = None) -> None:
        if self.status == "running":
            self.kill()
        self.start()
        assert self.ready(), self.logs()

    def reload(self) -> None: ...

    def teardown(self) -> None:
        """Nothing that was started here stays: whoever does not leave in time is killed."""
        self.ask_to_leave()
        if not wait_until(lambda: self.status != "running", 20):
            self.kill()

    def ask_to_leave(self) -> None:
        if self._process is not None and self.status == "running":
            self._process.terminate()


def _number(wanted: str | int) -> int:
    return signal.Signals[wanted] if isinstance(wanted, str) else wanted


class ServerContainer:
    """The Valkey of the tests, which is there already."""

    name = id = "valkey"
    status = "running"

    def __init__(self, url: str) -> None:
        self.celeryconfig = {"url": url, "host_url": url}

    def ready(self) -> bool:
        with Redis.from_url(self.celeryconfig["url"]) as redis:
            return bool(redis.ping())

    def teardown(self) -> None: ...


@dataclass(frozen=True)
class Stack:
    """Sources, a mirror, and the environment of the processes that work on it."""

    sandbox: Sandbox
    resources: Resources
    environment: dict[str, str]
    folder: Path

    def rows(self, query: str, **values: Any) -> list[tuple[Any, ...]]:
        with self.resources.db() as db:
            return [tuple(row) for row in db.execute(text(query), values)]

    def value(self, query: str, **values: Any) -> Any:
        return self.rows(query, **values)[0][0]

    def node(self, name: str, *command: str, prompt: str, folder: Path | None = None) -> ProcessContainer:
        return ProcessContainer(name, list(command), self.environment, folder or self.folder, prompt)


@pytest.fixture(scope="module")
def _stack(
    new_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("live")
    with ExitStack() as closing:
        redis = closing.enter_context(Redis.from_url(redis_url))
        redis.flushdb()
        closing.callback(redis.flushdb)
        sandbox = closing.enter_context(Sandbox())
        settings = Settings(
            database_url=closing.enter_context(new_database()),
            redis_url=redis_url,
            home=folder / "home",
            legisinfo_url=sandbox.legisinfo_url,
            openparliament_url=sandbox.openparliament_url,
            legisinfo_rate=0,
            openparliament_rate=0,
            retry_delay=0,
            lease_seconds=2,
            resend_after_seconds=2,
        )
        resources = Resources(settings, resolve(settings))
        closing.callback(resources.close)
        yield Stack(sandbox, resources, environment(settings), folder)


@pytest.fixture(scope="module")
def _workers(_stack: Stack) -> Iterator[dict[str, ProcessContainer]]:
    """A worker for each queue, as in the Procfile."""
    nodes = {
        queue: _stack.node(
            f"{queue}@test", "worker", "-Q", queue, "-n", f"{queue}@test", "-c", "1", "--without-gossip",
            "--without-mingle", prompt="ready.",
        )
        for queue in QUEUES
    }  # fmt: skip
    try:
        for node in nodes.values():
            node.start()
        yield nodes
    finally:
        for node in nodes.values():
            node.ask_to_leave()
        for node in nodes.values():
            node.teardown()


@pytest.fixture
def processes(_stack: Stack, _workers: dict[str, ProcessContainer]) -> dict[str, ProcessContainer]:
    """The workers by queue, those that a test killed started again."""
    for node in _workers.values():
        if node.status != "running":
            node.start()
    assert all(node.ready() for node in _workers.values()), [node.logs() for node in _workers.values()]
    return _workers


@pytest.fixture
def stack(_stack: Stack) -> Stack:
    """With an empty mirror, and sources that behave and stand at their first day."""
    _stack.sandbox.reset()

    def emptied() -> bool:
        try:
            with _stack.resources.db() as db:
                db.execute(text(f"TRUNCATE {TABLES} CASCADE"))
        except OperationalError as error:
            # The sweeper reads these tables in another order; one of the two may have to begin again.
            if isinstance(error.orig, DeadlockDetected):
                return False
            raise
        return True

    assert wait_until(emptied, 30)
    return _stack


# What pytest-celery asks for.


@pytest.fixture
def celery_broker_cluster(redis_url: str) -> CeleryBrokerCluster:
    return CeleryBrokerCluster(CeleryTestBroker(ServerContainer(redis_url)))


@pytest.fixture
def celery_backend_cluster(redis_url: str) -> CeleryBackendCluster:
    return CeleryBackendCluster(CeleryTestBackend(ServerContainer(redis_url)))


@contextmanager
def celery_on(redis_url: str) -> Iterator[Celery]:
    """An application with the project's own configuration, on that Redis."""
    app = Celery("tests", set_as_current=False)
    app.config_from_object("celeryconfig")
    app.conf.update(broker_url=redis_url, result_backend=redis_url)
    yield app
    # A result that goes unsubscribes itself, and opens a connection for that where none is left: all of them go first.
    # The backend keeps those that were waited for; the others may be in a circle.
    app.backend._pending_results.concrete.clear()
    gc.collect()
    app.backend.result_consumer.stop()
    app.backend.client.close()
    kombu.pools.reset()
    app.close()


@pytest.fixture(scope="module")
def _app(redis_url: str) -> Iterator[Celery]:
    with celery_on(redis_url) as app:
        yield app


@pytest.fixture
def celery_setup_app(_app: Celery) -> Celery:
    return _app


@pytest.fixture
def celery_worker_cluster(
    stack: Stack, processes: dict[str, ProcessContainer], celery_setup_app: Celery
) -> CeleryWorkerCluster:
    return CeleryWorkerCluster(*(CeleryTestWorker(node, celery_setup_app) for node in processes.values()))
