"""Runs of a process that dies without a word: killed, or with no room left to write one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from parlex.db.clock import Clock
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone, run_keys
from parlex.settings import environment
from tests.looking import rows

CURRENT = SessionId(45, 1)


@contextmanager
def backfill(mirror: Resources) -> Iterator[subprocess.Popen[bytes]]:
    """``parlex backfill`` in a process of its own, killed at the end of the block."""
    urls = {"DATABASE_URL": mirror.addresses.database_url, "REDIS_URL": mirror.addresses.redis_url}
    command = [sys.executable, "-m", "parlex", "backfill", str(CURRENT)]
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment(mirror.settings, **urls), **silent) as process:
        try:
            yield process
        finally:
            process.kill()


def states(mirror: Resources) -> set[str]:
    return {state for (state,) in rows(mirror, "SELECT state FROM run_keys")}


AT: dict[str, tuple[dict[str, Any], Callable[[Resources], bool]]] = {
    "planning": ({"path": "/bills/"}, lambda mirror: bool(rows(mirror, "SELECT FROM fetch_logs WHERE attempt = 1"))),
    "fetching": ({"path": "/bill/", "skip": 30}, lambda mirror: {"done", "fetching"} <= states(mirror)),
}


@pytest.mark.parametrize("at", AT)
def test_the_next_command_takes_up_the_run_of_one_that_was_killed(sandbox: Sandbox, mirror: Resources, at: str) -> None:
    """At once: the leases of the dead one would hold it up for three minutes, and then the run would be abandoned."""
    slow, reached = AT[at]
    sandbox.fault("slow", seconds=60, **slow)
    with backfill(mirror):
        assert wait_until(lambda: reached(mirror), 60)
    sandbox.clear_faults()
    figures = alone.run_session(mirror.pipeline, CURRENT)
    assert rows(mirror, "SELECT run_id::text, status, failed FROM fetch_logs") == [(figures.run_id, "success", 0)]
    assert states(mirror) == {"done"}


def test_who_watches_a_run_takes_it_up_when_its_process_is_killed(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.fault("slow", seconds=60, path="/bill/", skip=30)
    with ThreadPoolExecutor(1) as pool:
        with backfill(mirror):
            assert wait_until(lambda: "done" in states(mirror), 60)
            watching = pool.submit(alone.run_session, mirror.pipeline, CURRENT)
            assert not watching.done()
        sandbox.clear_faults()
        figures = watching.result(120)
    assert rows(mirror, "SELECT run_id::text, status, failed FROM fetch_logs") == [(figures.run_id, "success", 0)]


def test_what_a_dead_process_fetched_is_saved_by_the_next(sandbox: Sandbox, mirror: Resources) -> None:
    """Its documents are there; no source is asked for them again."""
    pipeline = mirror.pipeline
    run = pipeline.open_run(pipeline.session_request(CURRENT), carrier="process").run
    pipeline.plan(run)
    keys = pipeline.take_due(run)[:5]
    assert set(pipeline.fetch(run, keys).persist) == set(keys)
    asked = sandbox.stats()["legisinfo"]["kinds"]["detail"]
    figures = alone.run_session(pipeline, CURRENT)
    assert (figures.run_id, figures.status) == (str(run.run_id), "success")
    assert sandbox.stats()["legisinfo"]["kinds"]["detail"] == asked + figures.created - len(keys)


def test_a_run_whose_process_lives_is_left_to_it(sandbox: Sandbox, mirror: Resources) -> None:
    pipeline = mirror.pipeline
    request = pipeline.session_request(CURRENT)
    opened = pipeline.open_run(request, carrier="process")
    run = opened.run
    with pipeline.carrying(opened) as mine:
        assert mine
        pipeline.plan(run)
        joined = pipeline.open_run(request)
        assert (joined.joined, joined.run.carrier, pipeline.is_orphan(run.run_id)) == (True, "process", False)
        with pipeline.carrying(joined) as another:
            assert not another
    assert pipeline.is_orphan(run.run_id)


def test_the_workers_take_up_the_run_of_a_dead_process(sandbox: Sandbox, mirror: Resources) -> None:
    """Also what it held."""
    pipeline = mirror.pipeline
    request = pipeline.session_request(CURRENT)
    run = pipeline.open_run(request, carrier="process").run
    pipeline.plan(run)
    keys = pipeline.take_due(run)
    with mirror.db() as db:
        held = run_keys.claim_fetch(db, run.run_id, keys[:5], now=Clock(db).now(), lease=timedelta(hours=1))
    assert len(held) == 5
    opened = pipeline.open_run(request)
    assert (opened.run.run_id, opened.run.carrier) == (run.run_id, "worker")
    assert pipeline.take_chunk(run)[:5] == keys[:5]
    assert rows(mirror, "SELECT DISTINCT claims FROM run_keys") == [(0,)]
