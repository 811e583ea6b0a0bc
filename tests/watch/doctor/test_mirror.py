"""What the doctor says of workers, beats, hosts and the mirror's own state."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from sqlalchemy import text, update
from sqlalchemy.orm import Session

from parlex.db.models import HeartbeatRow, NotificationRow, QuarantineRow, SweepRow
from parlex.fetching.throttle import RedisThrottle
from parlex.mirror import identity
from parlex.resources import Resources
from parlex.runs import schedule
from parlex.watch import beats, monitor
from parlex.watch.doctor import mirror
from parlex.watch.doctor.findings import Check, Finding
from tests import rows
from tests.watch.doctor.looks import is_of, only, told

HOUR = timedelta(hours=1)
Look = Callable[..., list[Check]]


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def look(make_resources: Callable[..., Resources], db: Session, now: datetime) -> Look:
    """The checks of a mirror that is well, but for what the test has changed; with workers or ``idle``."""
    resources = make_resources()
    db.add_all([rows.sweep(now), rows.run(started_at=now), HeartbeatRow(name=monitor.BEAT, seen_at=now)])
    db.flush()

    def examine(*, idle: bool = False) -> list[Check]:
        db.flush()
        overview = monitor.overview(db, now, now, resources.datasets, resources.settings)
        return list(mirror.examine(db, overview, watched=not idle))

    return examine


def test_a_mirror_that_is_well(look: Look) -> None:
    checks = look()
    assert told(checks) == []
    assert [check.name for check in checks] == ["beat", "freshness"]


# Workers.


def test_no_worker_lives() -> None:
    only([mirror.workers(())], Finding.WORKERS_NONE)


def test_a_queue_without_a_worker() -> None:
    assert (
        only([mirror.workers({"control", "deliver", "persist"})], Finding.WORKERS_MISSING).found
        == "no worker for fetch"
    )
    assert mirror.workers({"control", "deliver", "persist", "fetch"}).state == "ok"


# Beat.


@pytest.mark.parametrize(("idle", "state"), [(False, "fail"), (True, "warn")])
def test_a_beat_that_was_never_seen(look: Look, db: Session, idle: bool, state: str) -> None:
    db.execute(text("delete from heartbeats"))
    assert only(look(idle=idle), Finding.BEAT_NEVER).state == state


@pytest.mark.parametrize(("idle", "state"), [(False, "fail"), (True, "warn")])
def test_a_beat_that_is_silent(look: Look, db: Session, now: datetime, idle: bool, state: str) -> None:
    db.execute(update(HeartbeatRow).values(seen_at=now - timedelta(minutes=6)))
    assert only(look(idle=idle), Finding.BEAT_SILENT).state == state


def test_two_beats_are_named(look: Look, db: Session, now: datetime) -> None:
    beats.note(db, "one:7")
    assert told(look()) == []
    beats.note(db, "two:9")
    check = only(look(), Finding.BEAT_TWICE)
    assert "one:7, two:9" in check.found
    db.execute(update(HeartbeatRow).where(HeartbeatRow.name == "beat one:7").values(seen_at=now - timedelta(minutes=3)))
    assert told(look()) == []


def test_another_mirror_on_the_same_redis_is_named(look: Look, db: Session, now: datetime) -> None:
    identity.note_stranger(db, "7d0c")
    check = only(look(), Finding.MIRRORS_MIXED)
    assert "7d0c" in check.found
    stranger = HeartbeatRow.name == "stranger 7d0c"
    db.execute(update(HeartbeatRow).where(stranger).values(seen_at=now - timedelta(days=2)))
    assert told(look()) == []


# The schedule.


def test_an_entry_that_is_paused_is_named_with_its_time(look: Look, db: Session) -> None:
    schedule.pause(db, "prune")
    schedule.move(db, "sweep-sessions-weekly", "0 1 * * *")
    since = schedule.overrides(db)["prune"].paused_at
    assert since is not None
    check = only(look(), Finding.SCHEDULE_PAUSED)
    assert (check.name, check.found) == ("schedule prune", f"it is paused since {since:%Y-%m-%d %H:%M} UTC")
    schedule.resume(db, "prune")
    assert told(look()) == []


# Freshness.


def test_a_session_that_was_listed_by_its_number_was_listed(look: Look, db: Session) -> None:
    db.execute(update(SweepRow).values(is_current=False))
    assert told(look()) == []


def test_a_mirror_that_was_never_listed(look: Look, db: Session) -> None:
    db.execute(update(SweepRow).values(believed=False))
    only(look(), Finding.FRESHNESS_NEVER)


@pytest.mark.parametrize(("idle", "state"), [(False, "fail"), (True, "warn")])
@pytest.mark.parametrize(
    ("dataset", "scope", "hours", "name"),
    [
        ("bills", "45-1", 4, "freshness"),
        ("votes", "45-1", 4, "freshness votes"),
        ("politicians", "all", 50, "freshness politicians"),
    ],
)
def test_a_list_of_any_dataset_that_is_old(
    look: Look, db: Session, now: datetime, dataset: str, scope: str, hours: int, name: str, idle: bool, state: str
) -> None:
    if dataset == "bills":
        db.execute(update(SweepRow).values(swept_at=now - hours * HOUR))
    else:
        db.add(rows.sweep(now - hours * HOUR, dataset=dataset, source="openparliament", scope=scope))
    check = only(look(idle=idle), Finding.FRESHNESS_STALE)
    assert (check.name, check.state) == (name, state)


@pytest.mark.parametrize(("idle", "state"), [(False, "fail"), (True, "warn")])
def test_a_promise_that_is_not_kept(look: Look, db: Session, now: datetime, idle: bool, state: str) -> None:
    db.add(rows.sweep(now - 20 * 24 * HOUR, scope="44-1"))
    check = only(look(idle=idle), Finding.FRESHNESS_PROMISE)
    assert (check.state, check.found) == (state, "list of bills of 44-1: 20 d old, 14 d are promised")


# Runs, and what waits for a person.


def test_a_run_that_is_stuck(look: Look, db: Session, now: datetime) -> None:
    db.add(rows.run(dataset="votes", status="running", started_at=now - HOUR, progress_at=now - HOUR))
    db.add(rows.sweep(now, dataset="votes", source="openparliament"))
    assert only(look(), Finding.RUNS_STUCK).found == "1 stuck"


@pytest.mark.parametrize("dataset", ["bills", "votes"])
def test_what_waits_in_quarantine(look: Look, db: Session, now: datetime, dataset: str) -> None:
    if dataset != "bills":
        db.add(rows.sweep(now, dataset=dataset, source="openparliament"))
    parked = {"kind": "row", "guard": "malformed", "source": "legisinfo", "reason": "r"}
    db.add(QuarantineRow(dataset=dataset, opened_at=now, seen_at=now, **parked))
    assert only(look(), Finding.QUARANTINE_OPEN).found == f"1 of {dataset} to look at"


def test_a_word_that_nobody_named(look: Look, db: Session, now: datetime) -> None:
    db.add(rows.bill("C-2", status_code="unknown", status_en="At a stage that nobody knew"))
    found = only(look(), Finding.WORDS_UNKNOWN).found
    assert found == "nobody has named 'At a stage that nobody knew'"


def test_alerts_that_did_not_arrive(look: Look, db: Session, now: datetime) -> None:
    lost = {"occasion": "x", "target": "slack:1", "severity": "info", "title": "t", "body": "b"}
    db.add(NotificationRow(**lost, created_at=now, next_attempt_at=now, given_up_at=now))
    only(look(), Finding.MESSAGES_LOST)


# Hosts.


@pytest.fixture
def throttle(redis: Redis) -> RedisThrottle:
    return RedisThrottle(redis, {}, retry_delay=600)


def test_a_host_that_asked_for_a_long_wait(redis: Redis, throttle: RedisThrottle) -> None:
    throttle.block("a.test", 30 * 86400)
    check = only(mirror.hosts(redis, ["a.test", "b.test"]), Finding.HOST_BLOCKED)
    assert check.found == "it asked to be left alone for 720.0 h more"


def test_a_host_that_asked_for_a_short_wait_is_well(redis: Redis, throttle: RedisThrottle) -> None:
    throttle.block("a.test", 600)
    [check] = mirror.hosts(redis, ["a.test"])
    assert (check.state, "asked us to wait" in check.found) == ("ok", True)


def test_a_host_that_keeps_failing(redis: Redis, throttle: RedisThrottle) -> None:
    for _ in range(5):
        throttle.failed("a.test")
    [check] = mirror.hosts(redis, ["a.test"])
    assert is_of(check, Finding.HOST_FAILING)
