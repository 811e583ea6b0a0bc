"""What beat sends and when, what it keeps (nothing), and how it is seen."""

from __future__ import annotations

import pickle
import re
import shelve
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from celery.schedules import crontab
from redis import Redis
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from parlex.db.models import ScheduleEntryRow
from parlex.local.locks import wait_until
from parlex.resources import Resources
from parlex.runs.schedule import Override, pause, resume
from parlex.settings import Settings, environment
from parlex.watch import beats
from tests import rows
from tests.test_door import publish, worker
from tests.test_structure import ROOT
from workers.app import EXPIRES, app
from workers.beat import SlotEntry, SlotScheduler, effective, is_idle
from workers.beat import missed as missed_ticks
from workers.slots import next_slot

KEPT = re.compile(r"parlex\.keep_house\[\S+ succeeded")


class Mark:
    """A pickle that leaves a mark where it is read."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


def test_the_heartbeat_comes_at_once_and_everything_else_in_its_time() -> None:
    with time_machine.travel(datetime(2026, 2, 3, 12, 34, 30, tzinfo=UTC), tick=False):
        scheduler = SlotScheduler(app)
        due = [name for name, entry in scheduler.schedule.items() if entry.is_due().is_due]
        scheduler.close()
    assert due == ["keep-house"]


def test_an_entry_is_due_once_for_each_slot_in_beat_s_own_zone() -> None:
    """14:00 in UTC is 09:00 in Toronto."""
    schedule = crontab(minute=0, hour=9)
    before = datetime(2026, 11, 22, 13, 59, 50, tzinfo=UTC)
    with time_machine.travel(before, tick=False) as clock:
        entry = SlotEntry("daily", "parlex.prune", last_run_at=before, schedule=schedule, app=app)
        schedule.app = SimpleNamespace(timezone=ZoneInfo("America/Toronto"))
        assert entry.is_due() == (False, 10)
        clock.shift(10)
        assert entry.is_due() == (True, 86400)
        entry = entry._next_instance(datetime.now(UTC))
        clock.shift(5)
        assert not entry.is_due().is_due
        clock.shift(timedelta(days=-1))  # a clock that is set back runs nothing twice
        assert not entry.is_due().is_due
        clock.shift(timedelta(days=2))
        assert entry.is_due().is_due


@contextmanager
def beat(
    settings: Settings, log: Path, *options: str, cwd: Path = ROOT, **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "workers.app", "beat", "--pidfile=", *options, "--loglevel=INFO"],
            cwd=cwd,
            env=environment(settings, **({"PYTHONPATH": str(ROOT)} | more)),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def make_beat_settings(make_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    return lambda **changes: make_settings(keep_house_seconds=1, **changes)


@pytest.mark.live
def test_beat_reads_no_file_that_others_may_have_written(
    make_beat_settings: Callable[..., Settings], redis: Redis, tmp_path: Path, log: Path
) -> None:
    """At its old places: the one that -s names, and the one that Celery would take without it."""
    for name in ("old", "celerybeat-schedule"):
        with shelve.open(str(tmp_path / name), protocol=pickle.HIGHEST_PROTOCOL) as store:
            store["entries"] = Mark(tmp_path / "mark")
    kept = {path: path.read_bytes() for path in tmp_path.glob("*") if path != log}
    for options in ((), ("-s", str(tmp_path / "old"))):
        log.write_text("")
        with beat(make_beat_settings(), log, *options, cwd=tmp_path, BEAT_SCHEDULE=str(tmp_path / "old")):
            assert wait_until(lambda: "keep-house" in log.read_text(), 60), log.read_text()
    assert not (tmp_path / "mark").exists()
    assert {path: path.read_bytes() for path in tmp_path.glob("*") if path != log} == kept


@pytest.mark.live
def test_two_beats_are_told_and_one_that_stops_is_forgotten(
    make_beat_settings: Callable[..., Settings], engine: Engine, redis: Redis, log: Path
) -> None:
    def seen() -> list[str]:
        with Session(engine) as db:
            return beats.alive(db, timedelta(seconds=30))

    with beat(make_beat_settings(), log) as first:
        assert wait_until(lambda: len(seen()) == 1, 60), log.read_text()
        assert seen()[0].endswith(f":{first.pid}")
        assert "another beat" not in log.read_text()
        with beat(make_beat_settings(), log) as second:
            assert wait_until(lambda: len(seen()) == 2, 60), log.read_text()
            assert wait_until(lambda: log.read_text().count("another beat is alive") == 2, 60), log.read_text()
            second.terminate()
            second.wait(60)
        assert len(seen()) == 1
        assert first.poll() is None


@pytest.mark.live
def test_beat_sends_on_while_the_database_is_away(
    make_beat_settings: Callable[..., Settings], redis: Redis, log: Path
) -> None:
    settings = make_beat_settings(database_url="postgresql://me:hush@127.0.0.1:1/x")
    with beat(settings, log):
        assert wait_until(lambda: log.read_text().count("Sending due task keep-house") > 2, 60), log.read_text()
    assert "beat leaves no heartbeat" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert "hush" not in log.read_text()


@pytest.mark.live
def test_an_entry_that_is_never_due_ends_beat_in_one_line(
    make_beat_settings: Callable[..., Settings], tmp_path: Path, log: Path
) -> None:
    (tmp_path / "celeryconfig.py").write_text(
        "from importlib.util import module_from_spec, spec_from_file_location\n"
        f"spec = spec_from_file_location('real', {str(ROOT / 'celeryconfig.py')!r})\n"
        "real = module_from_spec(spec)\n"
        "spec.loader.exec_module(real)\n"
        "globals().update({k: v for k, v in vars(real).items() if not k.startswith('__')})\n"
        "beat_schedule['never'] = {'task': 'parlex.prune',\n"
        "  'schedule': real.crontab(minute=0, hour=0, day_of_month=30, month_of_year=2)}\n"
    )
    with beat(make_beat_settings(), log, cwd=tmp_path) as process:
        assert process.wait(60) == 1
    told = log.read_text()
    assert "never due" in told
    assert "entry=never" in told
    assert "Traceback" not in told


# Hosts' clocks.


@pytest.mark.live
@pytest.mark.parametrize("ahead", ["worker", "beat"])
def test_a_host_whose_clock_is_apart_takes_the_messages_of_beat_all_the_same(
    ahead: str, make_beat_settings: Callable[..., Settings], engine: Engine, redis: Redis, tmp_path: Path, log: Path
) -> None:
    """Ten minutes ahead, by which each tick of keep-house would have expired long ago; or will in ten minutes."""
    (tmp_path / "sitecustomize.py").write_text(
        "import datetime, time_machine\n"
        "time_machine.travel(datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=10)).start()\n"
    )
    moved, right = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}, {"PYTHONPATH": str(ROOT)}
    settings, of_beat = make_beat_settings(), log.with_name("beat")
    past = {EXPIRES: (datetime.now(UTC) - timedelta(minutes=5)).isoformat()}
    with worker(settings, log, **(moved if ahead == "worker" else right)):
        publish(settings, "parlex.prune", headers=past)  # and one that beat could not date:
        publish(settings, "parlex.prune")
        with beat(settings, of_beat, **(moved if ahead == "beat" else right)):
            assert wait_until(lambda: len(KEPT.findall(log.read_text())) > 2, 60), log.read_text()
    assert len(re.findall(r"parlex\.prune\[\S+ succeeded", log.read_text())) == 1
    assert "message expired" in log.read_text()
    with Session(engine) as db:
        assert db.scalar(text("select seen_at <= clock_timestamp() from heartbeats where name = 'beat'"))
    assert "Traceback" not in log.read_text()


# What people change.


HOURLY = "fetch-latest-bills-hourly"
NOON = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)


def test_a_paused_entry_is_left_out_and_one_that_was_moved_has_its_own_time() -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        scheduler = SlotScheduler(app)
        usual = set(scheduler.schedule)
        scheduler.follow({HOURLY: Override(HOURLY, NOON, None, NOON)})
        assert set(scheduler.schedule) == usual - {HOURLY}
        scheduler.follow({HOURLY: Override(HOURLY, None, "5 * * * *", NOON)})
        assert set(scheduler.schedule) == usual
        assert not scheduler.schedule[HOURLY].is_due().is_due
        clock.shift(timedelta(minutes=5))
        assert scheduler.schedule[HOURLY].is_due().is_due
        scheduler.follow({HOURLY: Override(HOURLY, None, "0 0 30 2 *", NOON)})  # never due: the usual time
        assert scheduler.schedule[HOURLY].schedule == app.conf.beat_schedule[HOURLY]["schedule"]
        scheduler.follow({"keep-house": Override("keep-house", NOON, None, NOON)})
        assert set(scheduler.schedule) == usual  # beat is always seen


def test_no_slot_from_before_a_change_is_made_up_for(make_resources: Callable[..., Resources]) -> None:
    resources = make_resources()
    schedule = {HOURLY: {"task": "parlex.fetch_latest_bills", "schedule": crontab(minute=0)}}

    def missed() -> list[tuple[datetime, int]]:
        return [(tick.slot, tick.missed) for tick in missed_ticks(schedule, resources)]

    with resources.db() as db:
        db.add(rows.run(entry=HOURLY, slot=NOON.replace(second=0), started_at=NOON, finished_at=NOON))
    later = NOON + timedelta(hours=3, minutes=10)
    with time_machine.travel(later, tick=False):
        assert missed() == [(later.replace(minute=0, second=0), 2)]
        with resources.db() as db:
            db.add(ScheduleEntryRow(name=HOURLY, paused_at=NOON, changed_at=NOON))
        assert missed() == []
        with resources.db() as db:
            db.query(ScheduleEntryRow).update({"paused_at": None, "changed_at": later})
        assert missed() == []
    with time_machine.travel(later + timedelta(hours=2), tick=False):
        assert missed() == [((later + timedelta(hours=2)).replace(minute=0, second=0), 1)]


# While Parliament sits.


SITTING = "fetch-latest-bills-sitting"
TUESDAY = datetime(2026, 3, 10, 15, 7, tzinfo=UTC)  # 11:07 in Ottawa


def sat(resources: Resources, day: date) -> None:
    with resources.db() as db:
        db.add(rows.bill())
        db.flush()
        db.add(rows.bill_event("sitting.1", day=day))


def test_a_tick_while_nobody_sits_is_no_run(make_resources: Callable[..., Resources]) -> None:
    resources = make_resources()
    kwargs = app.conf.beat_schedule[SITTING]["kwargs"]
    assert kwargs["sitting"]
    assert is_idle(kwargs, resources, TUESDAY)
    sat(resources, date(2026, 2, 27))
    assert is_idle(kwargs, resources, TUESDAY)
    with resources.db() as db:
        db.add(rows.bill_event("sitting.2", day=date(2026, 2, 28)))
    assert not is_idle(kwargs, resources, TUESDAY)
    assert not is_idle(app.conf.beat_schedule[HOURLY]["kwargs"], make_resources(), TUESDAY)


def test_the_ticks_of_a_time_without_a_sitting_are_not_made_up_for(make_resources: Callable[..., Resources]) -> None:
    resources = make_resources()
    schedule = {SITTING: app.conf.beat_schedule[SITTING]}
    autumn = datetime(2025, 12, 11, 20, tzinfo=UTC)
    with resources.db() as db:
        db.add(rows.run(entry=SITTING, slot=autumn, started_at=autumn, finished_at=autumn))
    with time_machine.travel(TUESDAY, tick=False):
        assert missed_ticks(schedule, resources) == []
        sat(resources, date(2026, 3, 9))
        (tick,) = missed_ticks(schedule, resources)
    assert (tick.slot, tick.missed, tick.kwargs["sitting"]) == (TUESDAY.replace(minute=0), 0, True)


def test_an_entry_that_is_moved_keeps_to_its_own_clocks() -> None:
    usual = app.conf.beat_schedule[SITTING]["schedule"]
    own = effective(SITTING, usual, Override(SITTING, None, "30 9 * * *", NOON))
    assert next_slot(own, TUESDAY) == datetime(2026, 3, 11, 13, 30, tzinfo=UTC)


@pytest.mark.live
def test_beat_takes_up_a_change_while_it_runs(
    make_beat_settings: Callable[..., Settings], db: Session, redis: Redis, log: Path
) -> None:
    with beat(make_beat_settings(), log):
        assert wait_until(lambda: "keep-house" in log.read_text(), 60), log.read_text()
        pause(db, HOURLY)
        db.commit()
        assert wait_until(lambda: f"paused={HOURLY}" in log.read_text(), 60), log.read_text()
        resume(db, HOURLY)
        db.commit()
        assert wait_until(lambda: "paused=none" in log.read_text(), 60), log.read_text()
