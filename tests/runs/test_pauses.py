"""Runs that a person pauses: what stops, what lands, what goes on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from parlex.db.models import RunKeyRow, RunRow
from parlex.errors import UsageError
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone, fetch_logs, pauses, run_keys
from parlex.runs.pipeline import FetchReport, PlanReport
from parlex.watch import monitor
from tests import rows
from tests.looking import let_pass
from tests.rows import NOON

HOUR = timedelta(hours=1)
CURRENT = SessionId(45, 1)


def opened(mirror: Resources, limit: int = 6) -> RunRow:
    return mirror.pipeline.open_run(mirror.pipeline.session_request(CURRENT, limit)).run


def counted(mirror: Resources, run: RunRow, state: str) -> int:
    with mirror.db() as db:
        query = select(RunKeyRow).where(RunKeyRow.run_id == run.run_id, RunKeyRow.state == state)
        return len(db.scalars(query).all())


def test_a_paused_run_begins_nothing_and_what_is_under_way_lands(mirror: Resources, sandbox: Sandbox) -> None:
    pipeline, run = mirror.pipeline, opened(mirror)
    pipeline.plan(run)
    keys = pipeline.take_chunk(run)
    fetched = pipeline.fetch(run, keys[:2]).persist
    assert pipeline.pause(run.run_id)

    asked = sandbox.stats()
    assert pipeline.fetch(run, keys) == FetchReport()  # the messages that were sent before it
    assert pipeline.take_chunk(run) == []
    assert pipeline.take_due(run) == []
    assert sandbox.stats() == asked
    let_pass(mirror, minutes=10)
    found = pipeline.recover()
    assert found.fetch == []
    assert [batch.keys for batch in found.persist] == [fetched]

    pipeline.persist(run, fetched)
    assert (counted(mirror, run, "done"), counted(mirror, run, "waiting")) == (2, 4)
    assert pipeline.finish(run) is None


def test_a_run_that_is_resumed_goes_on_to_its_end(mirror: Resources) -> None:
    pipeline, run = mirror.pipeline, opened(mirror)
    pipeline.plan(run)
    sent = pipeline.take_chunk(run)
    pipeline.pause(run.run_id)
    assert pipeline.resume(run.run_id)
    # Their messages found it paused: they are sent anew, and not when somebody misses them.
    keys = pipeline.take_chunk(run)
    assert sorted(keys) == sorted(sent)
    pipeline.persist(run, pipeline.fetch(run, keys).persist)
    ended = pipeline.finish(run)
    assert ended is not None
    assert (ended.figures.status, ended.figures.created) == ("success", 6)


def test_a_run_is_not_planned_while_it_is_paused(mirror: Resources, sandbox: Sandbox) -> None:
    pipeline, run = mirror.pipeline, opened(mirror)
    pipeline.pause(run.run_id)
    assert pipeline.plan(run) == PlanReport()
    let_pass(mirror, minutes=10)
    assert pipeline.recover().plan == ()
    assert not sandbox.stats()["legisinfo"]["kinds"].get("list")
    pipeline.resume(run.run_id)
    assert pipeline.recover().plan == (run.run_id,)
    assert pipeline.plan(run).due == 6


def test_only_a_run_under_way_is_paused_and_only_a_paused_one_resumed(mirror: Resources) -> None:
    pipeline, run = mirror.pipeline, opened(mirror)
    assert not pipeline.resume(run.run_id)
    assert pipeline.pause(run.run_id)
    assert not pipeline.pause(run.run_id)
    assert pipeline.revoke(run.run_id)
    assert not pipeline.resume(run.run_id)
    assert not pipeline.pause(run.run_id)
    with pytest.raises(UsageError, match="in the log"):
        pipeline.pause(UUID(int=0))


@pytest.mark.parametrize("planned", [False, True])
def test_a_command_waits_while_its_run_is_paused_and_says_so(mirror: Resources, planned: bool) -> None:
    """And goes on in the same process."""
    pipeline = mirror.pipeline
    request = pipeline.session_request(CURRENT, 3)
    run_id = pipeline.open_run(request, carrier="process").run.run_id
    if planned:
        pipeline.plan(pipeline.run(run_id))
    pipeline.pause(run_id)
    with capture_logs() as logged, ThreadPoolExecutor(1) as pool:
        figures = pool.submit(alone._carry, pipeline, pipeline.run(run_id), alone._Told(pipeline, run_id, None))
        assert wait_until(lambda: any(line["event"] == "paused" for line in logged), 30)
        assert pipeline.progress(run_id) == (0, 3 if planned else 0)
        pipeline.resume(run_id)
        assert figures.result(60).created == 3


# Clocks.


def dead(db: Session, now: datetime) -> list[UUID]:
    spans: dict[str, Any] = {"process_patience": HOUR, "worker_patience": HOUR, "deadline": 6 * HOUR}
    return [run.run_id for run in fetch_logs.abandon_dead(db, now=now, **spans)]


def open_row(db: Session, **changes: Any) -> UUID:
    usual = {"status": "running", "planned": True, "counted_since": NOON, "paused_for": timedelta()}
    run = rows.run(**(usual | changes))
    db.add(run)
    db.flush()
    db.add(rows.run_key(run, "45-1 C-2", 0, state="waiting"))
    db.flush()
    return run.run_id


def test_a_paused_run_is_neither_dead_nor_late_nor_stuck(db: Session) -> None:
    paused, forgotten = open_row(db), open_row(db)
    pauses.pause(db, paused, now=NOON)
    assert monitor.stuck_runs(db, "bills", NOON + 100 * HOUR) == (forgotten,)
    assert dead(db, NOON + 100 * HOUR) == [forgotten]


def test_its_pause_does_not_count_for_its_deadline(db: Session) -> None:
    run_id = open_row(db)
    pauses.pause(db, run_id, now=NOON + HOUR)
    pauses.resume(db, run_id, now=NOON + 101 * HOUR)
    assert dead(db, NOON + 101 * HOUR) == []  # it is taken for alive when it goes on
    db.execute(update(RunRow).values(progress_at=NOON + 106 * HOUR))
    assert dead(db, NOON + 105.9 * HOUR) == []
    assert dead(db, NOON + 106.1 * HOUR) == [run_id]


def test_a_paused_run_dies_with_its_process(db: Session) -> None:
    run_id = open_row(db, carrier="process")
    pauses.pause(db, run_id, now=NOON)
    assert dead(db, NOON + 2 * HOUR) == [run_id]


def test_a_paused_run_holds_no_scheduled_run_back(db: Session) -> None:
    first = open_row(db, entry="hourly", slot=NOON)
    second = rows.run(status="running", entry="daily", slot=NOON, started_at=NOON + HOUR)
    db.add(second)
    db.flush()
    assert fetch_logs.goes_after_another(db, second)
    assert fetch_logs.entry_runs(db, "hourly")
    pauses.pause(db, first, now=NOON)
    assert not fetch_logs.goes_after_another(db, second)
    assert not fetch_logs.entry_runs(db, "hourly")


def test_what_a_dead_worker_held_is_free_but_not_sent_while_it_is_paused(db: Session) -> None:
    run_id = open_row(db)
    assert run_keys.claim_fetch(db, run_id, ["45-1 C-2"], now=NOON, lease=HOUR)
    pauses.pause(db, run_id, now=NOON)
    later = NOON + 2 * HOUR
    run_keys.free_leases(db, now=later)
    assert run_keys.take_overdue(db, now=later, patience=HOUR, most=10).fetch == []
    pauses.resume(db, run_id, now=later)
    assert [batch.keys for batch in run_keys.take_overdue(db, now=later, patience=HOUR, most=10).fetch] == [
        ("45-1 C-2",)
    ]
