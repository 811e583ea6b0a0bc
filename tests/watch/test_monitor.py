from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from parlex.db.models import HeartbeatRow, QuarantineRow
from parlex.watch.monitor import Report, statistics
from tests import rows
from tests.rows import NOON

HOUR = timedelta(hours=1)
NOW = NOON + HOUR


def report(db: Session, now: datetime = NOW) -> Report:
    db.flush()
    return statistics(db, now - 24 * HOUR, now)


def add_runs(db: Session, *statuses: str, **figures: Any) -> None:
    for status in statuses:
        db.add(rows.run(status=status, **figures))


def test_of_nothing_there_is_no_rate(db: Session) -> None:
    found = report(db)
    assert found.runs == 0
    assert found.success_rate is None
    assert found.mean_duration_seconds is None
    assert found.p95_duration_seconds is None
    assert found.freshness_seconds is None
    assert found.last_good_run is None
    assert found.beat_age_seconds is None


def test_skipped_and_running_runs_are_counted_but_not_in_the_rate(db: Session) -> None:
    add_runs(db, "success", "success", "success", "partial", "failure", "abandoned", "skipped", "running")
    found = report(db)
    assert found.runs == 8
    assert found.by_status == {
        "success": 3,
        "partial": 1,
        "failure": 1,
        "abandoned": 1,
        "skipped": 1,
        "running": 1,
        "revoked": 0,
        "refused": 0,
    }
    assert found.success_rate == 0.5


def test_only_skipped_runs_make_no_rate(db: Session) -> None:
    add_runs(db, "skipped", "running")
    assert report(db).success_rate is None


def test_what_was_asked_for_in_vain_is_no_failure_of_ours(db: Session) -> None:
    add_runs(db, "success")
    add_runs(db, "refused", job="fetch_session_bills", errors=["no source knows session 45-9"])
    add_runs(db, "revoked", job="fetch_session_bills")
    found = report(db)
    assert (found.runs, found.success_rate, found.last_failed_jobs) == (3, 1.0, ())


def test_durations_of_the_runs_that_ended(db: Session) -> None:
    for seconds in range(1, 22):
        add_runs(db, "success", duration_seconds=float(seconds))
    add_runs(db, "skipped", duration_seconds=0.0)
    found = report(db)
    assert found.mean_duration_seconds == pytest.approx(11.0)
    assert found.p95_duration_seconds == pytest.approx(20.0)


def test_records_requests_and_bytes_are_summed(db: Session) -> None:
    figures = {"attempted": 10, "created": 4, "updated": 3, "unchanged": 2, "failed": 1, "deferred": 5}
    add_runs(db, "success", "partial", requests=21, bytes=3_000_000_000, **figures)
    found = report(db)
    assert found.records == {"fetched": 20, "created": 8, "updated": 6, "unchanged": 4, "failed": 2, "deferred": 10}
    assert found.requests == 42
    assert found.bytes == 6_000_000_000


def test_other_times_and_other_datasets_do_not_count(db: Session) -> None:
    add_runs(db, "failure", started_at=NOW - 25 * HOUR)
    add_runs(db, "failure", started_at=NOW + HOUR)
    add_runs(db, "failure", dataset="votes")
    assert report(db).runs == 0
    assert statistics(db, NOW - 24 * HOUR, NOW, dataset="votes").runs == 1


def test_freshness_is_the_age_of_the_last_believed_list_of_the_current_session(db: Session) -> None:
    db.add_all([rows.sweep(NOW - 2 * HOUR), rows.sweep(NOW - HOUR)])
    db.add_all([rows.sweep(NOW, believed=False), rows.sweep(NOW, scope="44-1", is_current=False)])
    found = report(db)
    assert found.freshness_seconds == 3600.0
    assert found.current_session == "45-1"


def test_the_last_good_run_may_lie_before_the_window(db: Session) -> None:
    good = rows.run(started_at=NOW - 50 * HOUR, finished_at=NOW - 49 * HOUR)
    db.add(good)
    add_runs(db, "failure", finished_at=NOW)
    found = report(db)
    assert found.last_good_run is not None
    assert found.last_good_run.run_id == good.run_id
    assert found.last_good_run.finished_at == NOW - 49 * HOUR


def test_beat_s_heartbeat(db: Session) -> None:
    db.add_all([HeartbeatRow(name="beat", seen_at=NOW - timedelta(seconds=30)), HeartbeatRow(name="x", seen_at=NOW)])
    assert report(db).beat_age_seconds == 30.0


def test_a_run_is_stuck_when_nothing_moves_it_though_work_is_due(db: Session) -> None:
    old = {"status": "running", "started_at": NOW - 2 * HOUR, "progress_at": NOW - HOUR}
    stuck, waits, moves = rows.run(**old), rows.run(**old), rows.run(**(old | {"progress_at": NOW}))
    planning = rows.run(**old, next_attempt_at=NOW + HOUR)
    db.add_all([stuck, waits, moves, planning])
    db.flush()
    for run, due in ((stuck, NOW - HOUR), (waits, NOW + HOUR)):
        db.add(rows.run_key(run, "45-1 C-2", 0, next_attempt_at=due))
    found = report(db)
    assert found.stuck_runs == (stuck.run_id,)
    assert any(str(stuck.run_id)[:8] in problem for problem in found.problems)


def test_a_fresh_mirror_without_failures_is_healthy(db: Session) -> None:
    add_runs(db, "failure", started_at=NOW - 2 * HOUR)
    add_runs(db, "success", started_at=NOW - HOUR)
    db.add(rows.sweep(NOW - HOUR))
    assert report(db).problems == ()


@pytest.mark.parametrize("status", ["failure", "abandoned"])
def test_a_job_whose_last_run_failed_is_named(db: Session, status: str) -> None:
    db.add(rows.sweep(NOW))
    add_runs(db, "success", started_at=NOW - HOUR)
    add_runs(db, status, started_at=NOW)
    assert report(db).problems == ("the last run of fetch_latest_bills failed: see parlex runs",)


def test_a_list_that_is_hours_old_is_named(db: Session) -> None:
    db.add(rows.sweep(NOW - 4 * HOUR))
    assert report(db).problems == ("session 45-1 was last listed 4.0 h ago",)


def test_a_beat_that_fell_silent_is_named(db: Session) -> None:
    db.add_all([rows.sweep(NOW), HeartbeatRow(name="beat", seen_at=NOW - HOUR)])
    assert report(db).problems == ("beat was last seen 60 min ago: nothing is scheduled",)


def test_a_mirror_that_never_looked_says_what_to_do(db: Session) -> None:
    assert report(db).problems == ("the current session was never listed: run parlex fetch",)


def test_the_json_has_stable_keys_and_plain_values(db: Session) -> None:
    add_runs(db, "success", finished_at=NOW)
    parked = {"kind": "row", "guard": "malformed", "source": "legisinfo", "reason": "r"}
    db.add(QuarantineRow(dataset="bills", opened_at=NOW, seen_at=NOW, **parked))
    db.add(QuarantineRow(dataset="bills", opened_at=NOW, seen_at=NOW, state="resolved", **parked))
    found = json.loads(json.dumps(report(db).to_dict()))
    assert list(found) == [
        "since",
        "until",
        "dataset",
        "runs",
        "by_status",
        "success_rate",
        "mean_duration_seconds",
        "p95_duration_seconds",
        "records",
        "requests",
        "bytes",
        "current_session",
        "freshness_seconds",
        "last_good_run_id",
        "last_good_run_at",
        "last_failed_jobs",
        "beat_age_seconds",
        "stuck_runs",
        "quarantined",
        "healthy",
        "problems",
    ]
    assert found["until"] == "2026-06-10T13:00:00+00:00"
    assert found["last_good_run_at"] == "2026-06-10T13:00:00+00:00"
    assert found["quarantined"] == 1
