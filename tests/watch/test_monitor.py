from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from parlex.datasets.dataset import Dataset
from parlex.db.models import HeartbeatRow, QuarantineRow
from parlex.resources import Resources
from parlex.settings import Settings
from parlex.watch import monitor
from parlex.watch.monitor import Overview, Report
from tests import rows
from tests.rows import NOON

HOUR = timedelta(hours=1)
NOW = NOON + HOUR


@dataclass
class Look:
    """How the tests look: at one dataset, or at all."""

    datasets: dict[str, Dataset]
    settings: Settings

    def at(self, db: Session, name: str = "bills", now: datetime = NOW) -> Report:
        db.flush()
        return monitor.statistics(db, now - 24 * HOUR, now, self.datasets[name], self.settings)

    def over(self, db: Session, now: datetime = NOW) -> Overview:
        db.flush()
        return monitor.overview(db, now - 24 * HOUR, now, self.datasets, self.settings)


@pytest.fixture
def look(make_resources: Callable[..., Resources]) -> Look:
    resources = make_resources()
    return Look(resources.datasets, resources.settings)


def add_runs(db: Session, *statuses: str, **figures: Any) -> None:
    for status in statuses:
        db.add(rows.run(status=status, **figures))


def test_of_nothing_there_is_no_rate(look: Look, db: Session) -> None:
    found = look.at(db)
    assert found.runs == 0
    assert found.success_rate is None
    assert found.mean_duration_seconds is None
    assert found.p95_duration_seconds is None
    assert found.freshness_seconds is None
    assert found.last_good_run is None
    assert found.beat_age_seconds is None


def test_skipped_and_running_runs_are_counted_but_not_in_the_rate(look: Look, db: Session) -> None:
    add_runs(db, "success", "success", "success", "partial", "failure", "abandoned", "skipped", "running")
    found = look.at(db)
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


def test_only_skipped_runs_make_no_rate(look: Look, db: Session) -> None:
    add_runs(db, "skipped", "running")
    assert look.at(db).success_rate is None


def test_what_a_person_ended_or_asked_in_vain_is_no_failure_of_ours(look: Look, db: Session) -> None:
    add_runs(db, "success")
    add_runs(db, "revoked", "refused", job="fetch_session_bills")
    found = look.at(db)
    assert (found.by_status["revoked"], found.by_status["refused"]) == (1, 1)
    assert (found.success_rate, found.last_failed_jobs) == (1.0, ())


def test_durations_of_the_runs_that_ended(look: Look, db: Session) -> None:
    for seconds in range(1, 22):
        add_runs(db, "success", duration_seconds=float(seconds))
    add_runs(db, "skipped", duration_seconds=0.0)
    found = look.at(db)
    assert found.mean_duration_seconds == pytest.approx(11.0)
    assert found.p95_duration_seconds == pytest.approx(20.0)


def test_records_requests_and_bytes_are_summed(look: Look, db: Session) -> None:
    figures = {"attempted": 10, "created": 4, "updated": 3, "unchanged": 2, "failed": 1, "deferred": 5}
    add_runs(db, "success", "partial", requests=21, bytes=3_000_000_000, **figures)
    found = look.at(db)
    assert found.records == {"fetched": 20, "created": 8, "updated": 6, "unchanged": 4, "failed": 2, "deferred": 10}
    assert found.requests == 42
    assert found.bytes == 6_000_000_000


def test_other_times_and_other_datasets_do_not_count(look: Look, db: Session) -> None:
    add_runs(db, "failure", started_at=NOW - 25 * HOUR)
    add_runs(db, "failure", started_at=NOW + HOUR)
    add_runs(db, "failure", dataset="votes")
    assert look.at(db).runs == 0
    assert look.at(db, "votes").runs == 1


def test_freshness_is_the_age_of_the_last_believed_list_of_the_current_session(look: Look, db: Session) -> None:
    db.add_all([rows.sweep(NOW - 2 * HOUR), rows.sweep(NOW - HOUR)])
    db.add_all([rows.sweep(NOW, believed=False), rows.sweep(NOW, scope="44-1", is_current=False)])
    db.add(rows.sweep(NOW, source="openparliament", is_current=False))
    found = look.at(db)
    assert found.freshness_seconds == 3600.0
    assert found.current_session == "45-1"


def test_a_session_that_was_listed_by_its_number_was_listed(look: Look, db: Session) -> None:
    db.add_all([rows.sweep(NOW - HOUR, is_current=False), rows.sweep(NOW - 5 * HOUR, scope="9-1")])
    found = look.at(db)
    assert (found.current_session, found.freshness_seconds) == ("45-1", 3600.0)


def test_the_last_good_run_may_lie_before_the_window(look: Look, db: Session) -> None:
    good = rows.run(started_at=NOW - 50 * HOUR, finished_at=NOW - 49 * HOUR)
    db.add(good)
    add_runs(db, "failure", finished_at=NOW)
    found = look.at(db)
    assert found.last_good_run is not None
    assert found.last_good_run.run_id == good.run_id
    assert found.last_good_run.finished_at == NOW - 49 * HOUR


def test_beat_s_heartbeat(look: Look, db: Session) -> None:
    db.add_all([HeartbeatRow(name="beat", seen_at=NOW - timedelta(seconds=30)), HeartbeatRow(name="x", seen_at=NOW)])
    assert look.at(db).beat_age_seconds == 30.0


def test_a_run_is_stuck_when_nothing_moves_it_though_work_is_due(look: Look, db: Session) -> None:
    old = {"status": "running", "started_at": NOW - 2 * HOUR, "progress_at": NOW - HOUR}
    stuck, waits, moves = rows.run(**old), rows.run(**old), rows.run(**(old | {"progress_at": NOW}))
    planning = rows.run(**old, next_attempt_at=NOW + HOUR)
    db.add_all([stuck, waits, moves, planning])
    db.flush()
    for run, due in ((stuck, NOW - HOUR), (waits, NOW + HOUR)):
        db.add(rows.run_key(run, "45-1 C-2", 0, next_attempt_at=due))
    found = look.at(db)
    assert found.stuck_runs == (stuck.run_id,)
    assert any(str(stuck.run_id)[:8] in problem for problem in found.problems)


def test_a_fresh_mirror_without_failures_is_healthy(look: Look, db: Session) -> None:
    add_runs(db, "failure", started_at=NOW - 2 * HOUR)
    add_runs(db, "success", started_at=NOW - HOUR)
    db.add(rows.sweep(NOW - HOUR))
    assert look.at(db).problems == ()


@pytest.mark.parametrize("status", ["failure", "abandoned"])
def test_a_job_whose_last_run_failed_is_named(look: Look, db: Session, status: str) -> None:
    db.add(rows.sweep(NOW))
    add_runs(db, "success", started_at=NOW - HOUR)
    add_runs(db, status, started_at=NOW)
    assert "the last run of fetch_latest_bills failed: see parlex runs" in look.at(db).problems


def test_a_list_that_is_hours_old_is_named(look: Look, db: Session) -> None:
    db.add(rows.sweep(NOW - 4 * HOUR))
    assert look.at(db).problems == ("the bills of 45-1 were last listed 4.0 h ago",)


def test_a_beat_that_fell_silent_is_named(look: Look, db: Session) -> None:
    db.add_all([rows.sweep(NOW), HeartbeatRow(name="beat", seen_at=NOW - HOUR)])
    assert look.at(db).problems == ("beat was last seen 60 min ago: nothing is scheduled",)


def test_a_mirror_that_never_looked_says_what_to_do(look: Look, db: Session) -> None:
    assert look.at(db).problems == (
        "the bills of the current session were never listed: run parlex fetch --dataset bills",
    )


@pytest.mark.parametrize(("good", "bad", "healthy"), [(8, 2, True), (7, 2, False), (2, 2, True)])
def test_a_low_success_rate_is_named(look: Look, db: Session, good: int, bad: int, healthy: bool) -> None:
    db.add(rows.sweep(NOW))
    add_runs(db, *["partial"] * bad, started_at=NOW - 2 * HOUR)
    add_runs(db, *["success"] * good, started_at=NOW - HOUR)
    problems = () if healthy else (f"{good} of {good + bad} runs of bills were a success: see parlex runs",)
    assert look.at(db).problems == problems


def test_abandoned_runs_are_named(look: Look, db: Session) -> None:
    db.add(rows.sweep(NOW))
    add_runs(db, *["abandoned"] * 2, started_at=NOW - 2 * HOUR)
    add_runs(db, *["success"] * 20, started_at=NOW - HOUR)
    assert look.at(db).problems == ("2 runs were abandoned (bills): see parlex runs",)


# Every dataset.

EVERY = [
    ("bills", "legisinfo", "45-1", "bills of 45-1", 3),
    ("politicians", "openparliament", "all", "politicians", 49),
    ("votes", "openparliament", "45-1", "votes of 45-1", 3),
]
DATASETS = pytest.mark.parametrize(("name", "source", "scope", "called", "hours"), EVERY)


@DATASETS
def test_a_dataset_that_is_not_listed_any_more_is_unhealthy(
    look: Look, db: Session, name: str, source: str, scope: str, called: str, hours: int
) -> None:
    db.add(rows.sweep(NOW, dataset=name, source=source, scope=scope))
    later = NOW + 40 * 24 * HOUR
    if name != "bills":
        db.add_all([rows.sweep(NOW + hours * HOUR), rows.sweep(later)])
    assert look.over(db, NOW + hours * HOUR).healthy
    found = look.over(db, later)
    assert found.problems == (f"the {called} were last listed 960.0 h ago",)
    assert not found.healthy


@DATASETS
@pytest.mark.parametrize("default", [3.0, 5.0])
def test_the_threshold_is_the_setting_s_scaled_to_the_schedule(
    look: Look, db: Session, name: str, source: str, scope: str, called: str, hours: int, default: float
) -> None:
    look.settings = look.settings.model_copy(update={"alert_stale_hours": default})
    db.add(rows.sweep(NOW, dataset=name, source=source, scope=scope))
    limit = NOW + (hours + default - 3) * HOUR
    assert not look.at(db, name, limit).is_stale
    assert look.at(db, name, limit + timedelta(minutes=1)).is_stale


def test_what_was_never_begun_nags_nobody(look: Look, db: Session) -> None:
    db.add(rows.sweep(NOW))
    add_runs(db, "refused", "revoked", "skipped", dataset="votes")
    assert [report.dataset for report in look.over(db).reports] == ["bills"]
    add_runs(db, "failure", dataset="votes", job="fetch_latest_votes", started_at=NOW - 25 * HOUR)
    found = look.over(db)
    assert [report.dataset for report in found.reports] == ["bills", "votes"]
    assert found.problems == ("the votes of the current session were never listed: run parlex fetch --dataset votes",)


def test_the_first_dataset_counts_always(look: Look, db: Session) -> None:
    db.add(rows.sweep(NOW, dataset="votes", source="openparliament"))
    assert look.over(db).problems == (
        "the bills of the current session were never listed: run parlex fetch --dataset bills",
    )


def test_all_is_one_object_with_the_others_in_it(look: Look, db: Session) -> None:
    db.add_all([rows.sweep(NOW), rows.sweep(NOW, dataset="votes", source="openparliament", scope="44-1")])
    db.add(HeartbeatRow(name="beat", seen_at=NOW - HOUR))
    found = json.loads(json.dumps(look.over(db).to_dict()))
    assert (found["dataset"], found["current_session"]) == ("bills", "45-1")
    [votes] = found["datasets"]
    assert (votes["dataset"], votes["current_session"]) == ("votes", "44-1")
    assert set(found) == {*votes, "datasets"}
    assert (found["healthy"], found["problems"]) == (False, ["beat was last seen 60 min ago: nothing is scheduled"])


def test_the_json_has_stable_keys_and_plain_values(look: Look, db: Session) -> None:
    add_runs(db, "success", finished_at=NOW)
    parked = {"kind": "row", "guard": "malformed", "source": "legisinfo", "reason": "r"}
    db.add(QuarantineRow(dataset="bills", opened_at=NOW, seen_at=NOW, **parked))
    db.add(QuarantineRow(dataset="bills", opened_at=NOW, seen_at=NOW, state="resolved", **parked))
    found = json.loads(json.dumps(look.at(db).to_dict()))
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
        "freshness",
        "beat_age_seconds",
        "stuck_runs",
        "quarantined",
        "unknown_words",
        "healthy",
        "problems",
    ]
    assert found["until"] == "2026-06-10T13:00:00+00:00"
    assert found["last_good_run_at"] == "2026-06-10T13:00:00+00:00"
    assert found["quarantined"] == 1
