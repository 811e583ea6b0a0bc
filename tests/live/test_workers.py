"""Real workers on a real broker, a real beat, and what is left when one of them is killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import TimeoutError as NotYet
from celery.result import AsyncResult
from pytest_celery import CeleryTestSetup
from sqlalchemy import text

from parlex.local.locks import wait_until
from tests.live.conftest import QUEUES, ProcessContainer, Stack
from workers.beat import Tick

# Where tests run in several processes, these stay in one: they share their workers.
pytestmark = [pytest.mark.live, pytest.mark.xdist_group("workers")]

LATEST, SESSION = "parlex.fetch_latest_bills", "parlex.fetch_session_bills"
FIGURES = {
    "run_id",
    "status",
    "bills_fetched",
    "created",
    "updated",
    "unchanged",
    "failed",
    "deferred",
    "error_count",
    "duration_seconds",
}


def send(app: Celery, task: str, **kwargs: Any) -> AsyncResult:
    return app.send_task(task, kwargs=kwargs)


@pytest.fixture
def app(celery_setup: CeleryTestSetup) -> Celery:
    assert celery_setup.ready(control=True)
    return celery_setup.app


def test_each_queue_has_its_worker(app: Celery) -> None:
    names = [f"{queue}@test" for queue in QUEUES]
    queues = app.control.inspect(destination=names, timeout=30).active_queues()
    assert {name: [queue["name"] for queue in of] for name, of in queues.items()} == {
        f"{queue}@test": [queue] for queue in QUEUES
    }


def test_a_dispatch_answers_the_final_figures_of_its_run(app: Celery, stack: Stack) -> None:
    figures = send(app, LATEST, limit=10).get(timeout=60)
    assert set(figures) == FIGURES
    assert (figures["status"], figures["created"], figures["bills_fetched"]) == ("success", 10, 10)
    assert figures["deferred"] > 0
    assert stack.value("SELECT count(*) FROM bills") == 10
    log = stack.rows("SELECT run_id::text, carrier, entry, slot FROM fetch_logs")
    assert log == [(figures["run_id"], "worker", None, None)]


def test_a_backfill_goes_through_all_three_queues(app: Celery, stack: Stack, celery_setup: CeleryTestSetup) -> None:
    figures = send(app, SESSION, parliament=44, session=1).get(timeout=60)
    assert (figures["status"], figures["failed"]) == ("success", 0)
    assert figures["created"] == stack.value("SELECT count(*) FROM bills WHERE parliament = 44") > 5
    control, fetch, persist = celery_setup.worker_cluster
    control.assert_log_exists(SESSION)
    fetch.assert_log_exists("parlex.fetch_bills")
    persist.assert_log_exists("parlex.persist_bills")


def test_equal_dispatches_share_one_run(app: Celery, stack: Stack) -> None:
    stack.sandbox.fault("slow", host="legisinfo", path="/bills/json", seconds=1)
    results = [send(app, LATEST, limit=10) for _ in range(3)]
    figures = [result.get(timeout=60) for result in results]
    assert figures[0] == figures[1] == figures[2]
    assert stack.value("SELECT count(*) FROM fetch_logs") == 1
    assert stack.sandbox.stats()["legisinfo"]["kinds"]["list"] == 1


def test_a_run_that_fails_answers_too(app: Celery, stack: Stack) -> None:
    stack.sandbox.fault("error", host="legisinfo")
    figures = send(app, LATEST, limit=10).get(timeout=60)
    assert (figures["status"], figures["bills_fetched"], figures["error_count"]) == ("failure", 0, 1)


def test_details_that_fail_at_first_are_retried_through_the_queues(app: Celery, stack: Stack) -> None:
    stack.sandbox.fault("error", host="legisinfo", path="/bill/", first=4)
    stack.sandbox.fault("error", host="openparliament", path="/bills/45-1/", first=4)
    figures = send(app, LATEST, limit=10).get(timeout=60)
    assert (figures["status"], figures["created"], figures["error_count"]) == ("success", 10, 0)


@pytest.mark.parametrize("kwargs", [{"limit": 0}, {"limit": "many"}])
def test_a_wrong_request_is_raised_where_it_was_made(app: Celery, stack: Stack, kwargs: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="limit must be a whole number"):
        send(app, LATEST, **kwargs).get(timeout=60)
    assert stack.rows("SELECT * FROM fetch_logs") == []


def test_a_shell_beside_the_workers_gets_the_answer(app: Celery, stack: Stack) -> None:
    shell = "from workers.tasks import fetch_latest_bills as f; print(f.delay(limit=10).get(timeout=60)['created'])"
    done = subprocess.run(
        [sys.executable, "-c", shell],
        env=stack.environment,
        cwd=stack.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split()[-1:] == ["10"], done.stderr


def test_the_monitor_answers_what_the_log_says(app: Celery, stack: Stack) -> None:
    send(app, LATEST, limit=10).get(timeout=60)
    report = send(app, "parlex.monitor_fetch_operations", hours_back=1).get(timeout=60)
    assert str(report).count("success") > 0
    assert stack.value("SELECT requests FROM fetch_logs") in _numbers(report)


def _numbers(report: Any) -> list[Any]:
    if isinstance(report, dict):
        return [number for value in report.values() for number in _numbers(value)]
    return [report]


# Killing.


def healed(app: Celery, result: AsyncResult) -> dict[str, Any]:
    """The answer, while keep_house runs again and again as beat would have it."""
    for _ in range(60):
        app.send_task("parlex.keep_house", ignore_result=True)
        try:
            return dict(result.get(timeout=1))
        except NotYet:
            continue
    raise AssertionError("no answer came")


@pytest.mark.parametrize("queue", ["control", "fetch"])
def test_a_run_outlives_a_worker_that_is_killed_while_it_waits_for_a_source(
    app: Celery, stack: Stack, celery_setup: CeleryTestSetup, queue: str
) -> None:
    """Killed in the middle of its work, with all its children; its lease runs out and others take the keys up."""
    path = "/bills/json" if queue == "control" else "/bill/"
    slow = stack.sandbox.fault("slow", host="legisinfo", path=path, seconds=3, first=1)
    result = send(app, LATEST, limit=10)
    worker = celery_setup.worker_cluster[QUEUES.index(queue)]
    assert wait_until(lambda: slow.matched > 0, 30)
    worker.kill()
    assert worker.container.status == "exited"
    worker.container.restart()
    figures = healed(app, result)
    assert (figures["status"], figures["created"], figures["failed"]) == ("success", 10, 0)
    assert stack.value("SELECT count(*) FROM bill_changes WHERE kind = 'created'") == 10
    assert stack.value("SELECT count(*) FROM fetch_logs") == 1


def test_a_run_outlives_a_worker_that_is_killed_while_it_writes(
    app: Celery, stack: Stack, celery_setup: CeleryTestSetup
) -> None:
    persister = celery_setup.worker_cluster[QUEUES.index("persist")]
    with stack.resources.db() as db:
        db.execute(text("LOCK TABLE bills IN EXCLUSIVE MODE"))
        result = send(app, LATEST, limit=10)
        assert wait_until(lambda: stack.value("SELECT count(*) FROM run_keys WHERE state = 'persisting'") == 10, 30)
        persister.kill()
    assert stack.value("SELECT count(*) FROM bills") == 0
    persister.container.restart()
    assert healed(app, result)["created"] == 10
    assert stack.value("SELECT max(seq) = count(*) FROM bill_changes")


def test_messages_that_the_broker_lost_are_sent_again(app: Celery, stack: Stack, celery_setup: CeleryTestSetup) -> None:
    fetcher = celery_setup.worker_cluster[QUEUES.index("fetch")]
    fetcher.kill()
    result = send(app, LATEST, limit=10)
    assert wait_until(lambda: stack.value("SELECT count(sent_at) FROM run_keys") == 10, 30)
    with app.connection_for_write() as connection:
        assert connection.default_channel.queue_purge("fetch") == 1
    fetcher.container.restart()
    assert healed(app, result)["created"] == 10


# Beat.

EVERY_SECOND = '''
import importlib.util
from datetime import UTC, datetime, timedelta
from pathlib import Path

from celery.schedules import crontab

_spec = importlib.util.spec_from_file_location("the_real_one", {real!r})
_real = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_real)
globals().update({{name: value for name, value in vars(_real).items() if not name.startswith("__")}})


class EverySecond(crontab):
    """As a crontab is, but for its grain."""

    second = range(60)


beat_max_loop_interval = 1
beat_schedule = {{
    "each-second": {{"task": "parlex.fetch_latest_bills", "schedule": EverySecond(), "kwargs": {{"limit": 10}}}}
}}
'''


@pytest.fixture
def beats(app: Celery, stack: Stack, tmp_path: Path) -> Iterator[list[ProcessContainer]]:
    """Two of them, as when an old one is slow to go; each ticks every second."""
    import celeryconfig

    (tmp_path / "celeryconfig.py").write_text(EVERY_SECOND.format(real=celeryconfig.__file__))
    nodes = [stack.node(f"beat{n}", "beat", "--pidfile=", prompt="", folder=tmp_path) for n in range(2)]
    try:
        for node in nodes:
            node.start()
        yield nodes
    finally:
        for node in nodes:
            node.teardown()


def test_each_slot_is_one_run_though_two_beats_tick(app: Celery, stack: Stack, beats: list[ProcessContainer]) -> None:
    ended = "SELECT count(*) FROM fetch_logs WHERE status = 'success'"
    assert wait_until(lambda: stack.value(ended) >= 3, 60), [node.logs() for node in beats]
    assert all("Sending due task each-second" in node.logs() for node in beats)
    for node in beats:
        node.teardown()
    send(app, "parlex.monitor_fetch_operations").get(timeout=60)  # behind the last tick on its queue
    slots = stack.rows("SELECT slot, count(*) FROM fetch_logs GROUP BY slot")
    assert len(slots) >= 3
    assert {count for _, count in slots} == {1}
    assert all(slot.microsecond == 0 for slot, _ in slots)
    assert stack.rows("SELECT DISTINCT entry, job FROM fetch_logs") == [("each-second", "fetch_latest_bills")]
    assert stack.value("SELECT count(*) FROM bill_changes WHERE kind = 'created'") == stack.value(
        "SELECT count(*) FROM bills"
    )


def test_a_tick_that_comes_twice_is_one_run(app: Celery, stack: Stack) -> None:
    tick = Tick("hourly", datetime(2026, 6, 10, 12, tzinfo=UTC), missed=2)
    for _ in range(3):
        app.send_task(LATEST, kwargs={"limit": 10}, headers=tick.headers(), ignore_result=True)
    send(app, "parlex.monitor_fetch_operations").get(timeout=60)
    assert stack.rows("SELECT entry, slot, missed_slots FROM fetch_logs") == [("hourly", tick.slot, 2)]


def test_a_tick_whose_entry_still_runs_is_logged_as_skipped(app: Celery, stack: Stack) -> None:
    stack.sandbox.fault("slow", host="legisinfo", path="/bill/", seconds=2)
    for hour in (12, 13):
        tick = Tick("hourly", datetime(2026, 6, 10, hour, tzinfo=UTC))
        app.send_task(LATEST, kwargs={"limit": 2}, headers=tick.headers(), ignore_result=True)
    statuses = "SELECT status FROM fetch_logs ORDER BY slot"
    assert wait_until(lambda: stack.rows(statuses) == [("success",), ("skipped",)], 60)
