"""What the tests of commands may ask for: a mirror whose sources are the sandbox, and a worker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.settings import Settings, environment


@pytest.fixture
def live(make_settings: Callable[..., Settings], sandbox: Sandbox) -> Settings:
    """Settings whose sources are the sandbox."""
    return make_settings(
        legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url, log_level="WARNING"
    )


@pytest.fixture
def worker(live: Settings, tmp_path: Path) -> Iterator[None]:
    """One worker for all queues of ``live``."""
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "control,fetch,persist", "-c", "3"]
    log = tmp_path / "worker.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--without-gossip", "--without-mingle"],
            env=environment(live, REMAP_SIGTERM="SIGQUIT", PARLEX_LOG_LEVEL="INFO"),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    with process:
        try:
            assert wait_until(lambda: "ready." in log.read_text(), 60), log.read_text()
            yield
        finally:
            process.terminate()
