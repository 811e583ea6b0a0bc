"""Nothing stuck, nothing missed: dead runs, missed slots, the heartbeat, and clocks that jump."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import time_machine
from celery.schedules import crontab

from parlex.local.locks import wait_until
from parlex.resources import Resources
from parlex.settings import environment
from tests.chaos.crew import BOUND, ROOT
from tests.chaos.site import Site
from workers import beat

HOURLY, DAILY = "fetch-latest-bills-hourly", "fetch-latest-bills-daily"


def due_entry(now: datetime) -> tuple[str, datetime, timedelta]:
    """An entry whose latest slot is old enough to count as missed, that slot, and how far its slots are apart."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    if now - hour > beat.GRACE + timedelta(seconds=30):
        return HOURLY, hour, timedelta(hours=1)
    day = hour.replace(hour=2)
    return DAILY, day if day <= now - beat.GRACE else day - timedelta(days=1), timedelta(days=1)


def test_a_dead_run_is_abandoned_and_its_slot_is_run_again(site: Site) -> None:
    """Nobody fetches: after ``abandon_after_minutes`` the run is closed, and the sweeper sends its slot again."""
    site.begin(Random(1), "new")
    entry, slot, _ = due_entry(datetime.now(UTC))
    site.crew.dismiss("fetch")
    site.crew.hire_worker("control", PARLEX_ABANDON_AFTER_MINUTES="0.2", PARLEX_LEASE_SECONDS="8")
    status = "SELECT status, planned FROM fetch_logs WHERE entry = %s ORDER BY started_at"
    try:
        site.tick(entry, slot.isoformat(), limit=50)
        assert wait_until(lambda: ("abandoned", True) in site.reader.rows(status, entry), BOUND, every=0.2)
        seconds = site.reader.value("SELECT min(duration_seconds) FROM fetch_logs WHERE status = 'abandoned'")
        assert seconds >= 12
    finally:
        site.crew.hire_worker("control")
        site.crew.hire_worker("fetch")
    again = "SELECT status, slot FROM fetch_logs WHERE entry = %s AND status <> 'abandoned'"
    assert wait_until(lambda: site.reader.rows(again, entry) == [("success", slot)], BOUND, every=0.2), site.crew_says()
    assert site.reader.judge(site.right["new"]).duplicates == 0


def test_slots_missed_while_all_was_down_are_one_run_that_says_so(site: Site) -> None:
    site.begin(Random(1), "new")
    entry, slot, step = due_entry(datetime.now(UTC))
    site.tick(entry, (slot - 4 * step).isoformat(), limit=20)
    assert wait_until(site.reader.settled, BOUND, every=0.1), site.crew_says()
    names = [member.name for member in site.crew]
    site.crew.dismiss(*names)
    site.crew.hire_all()
    caught = "SELECT slot, missed_slots, status FROM fetch_logs WHERE entry = %s AND slot > %s"
    right = [(slot, 3, "success")]
    assert wait_until(lambda: site.reader.rows(caught, entry, slot - 4 * step) == right, BOUND, every=0.2), (
        site.reader.rows(caught, entry, slot - 4 * step)
    )
    run_id = site.reader.value("SELECT run_id::text FROM fetch_logs WHERE missed_slots = 3")
    assert "catching up on 3 missed before it" in parlex(site, "runs", "show", run_id)


def test_a_silent_beat_is_told_from_no_change(site: Site) -> None:
    site.begin(Random(1), "new")
    site.backfill()
    assert wait_until(site.reader.settled, BOUND, every=0.1)
    assert checks(site)["beat"]["state"] == "ok"
    site.crew.dismiss("beat")
    try:
        site.await_task("control", site.send("parlex.keep_house", "control"))  # after the last of beat's
        site.reader.rows("UPDATE heartbeats SET seen_at = now() - interval '7 minutes'")
        found = checks(site)
        assert (found["beat"]["state"], found["freshness"]["state"]) != ("ok", "ok")
        assert found["beat"]["state"] == "fail"
        assert "7 min ago" in found["beat"]["found"]
        assert "nothing is scheduled" in parlex(site, "monitor", "--json", fails=True)
    finally:
        site.crew.hire_beat("beat")
    assert wait_until(site.alive, BOUND)
    assert checks(site)["beat"]["state"] == "ok"


def checks(site: Site) -> dict[str, dict[str, Any]]:
    lines = parlex(site, "doctor", "--json", fails=None).splitlines()
    return {check["name"]: check for check in map(json.loads, lines)}


def parlex(site: Site, *arguments: str, fails: bool | None = False) -> str:
    urls = {"DATABASE_URL": site.addresses.database_url, "REDIS_URL": site.addresses.redis_url}
    done = subprocess.run(
        [sys.executable, "-m", "parlex", *arguments],
        cwd=ROOT,
        env=environment(site.settings, COLUMNS="200", **urls),
        capture_output=True,
        text=True,
        check=False,
    )
    assert fails is None or bool(done.returncode) == fails, done.stderr
    return done.stdout


# The clock. What beat and the sweeper make of the time is a function of the moment, tried here; test_clocks.py moves
# the clocks of running workers.


@pytest.mark.chaos_short
@pytest.mark.parametrize(
    ("now", "slot"),
    [
        ("2026-11-22T10:59:59+00:00", "2026-11-22T10:00:00+00:00"),
        ("2026-11-22T11:00:00+00:00", "2026-11-22T11:00:00+00:00"),
        ("2026-11-22T11:00:01+00:00", "2026-11-22T11:00:00+00:00"),
        # Canada's clocks go back on 2026-11-01 and forward on 2026-03-08; Europe's on 2026-10-25 and 2026-03-29.
        ("2026-11-01T06:30:00+00:00", "2026-11-01T06:00:00+00:00"),
        ("2026-11-01T05:30:00+00:00", "2026-11-01T05:00:00+00:00"),
        ("2026-03-08T07:00:00+00:00", "2026-03-08T07:00:00+00:00"),
        ("2026-10-25T01:30:00+00:00", "2026-10-25T01:00:00+00:00"),
        ("2027-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"),
    ],
)
def test_a_slot_is_an_instant_whatever_the_clocks_of_people_do(now: str, slot: str) -> None:
    with time_machine.travel(datetime.fromisoformat(now), tick=False):
        found = beat.latest_slot(crontab(minute=0), datetime.now(UTC))
    assert found == datetime.fromisoformat(slot)


@pytest.mark.chaos_short
@pytest.mark.parametrize("change", ["2026-03-08", "2026-11-01", "2026-03-29", "2026-10-25"])
def test_a_day_on_which_clocks_change_has_twenty_four_slots(change: str) -> None:
    start = datetime.fromisoformat(f"{change}T00:30:00+00:00")
    moments = [start + timedelta(minutes=10 * step) for step in range(6 * 24)]
    slots = set()
    for moment in moments:
        with time_machine.travel(moment, tick=False):
            slots.add(beat.latest_slot(crontab(minute=0), moment))
    # From 00:00 of the day to 00:00 of the next, which the last moment belongs to.
    assert slots == {start.replace(minute=0) + timedelta(hours=hour) for hour in range(25)}


@pytest.mark.chaos_short
def test_a_clock_that_goes_back_over_a_slot_runs_it_once(make_resources: Any) -> None:
    """An hour back, the tick of 11:00 comes twice; forward over three slots, one run stands for them."""
    from parlex.runs import fetch_logs

    resources: Resources = make_resources()
    request = resources.pipeline.latest_request(5)
    schedule = {HOURLY: {"task": "parlex.fetch_latest_bills", "schedule": crontab(minute=0), "kwargs": {"limit": 5}}}
    opened = []
    for now in ("2026-11-22T11:00:01+00:00", "2026-11-22T10:59:58+00:00", "2026-11-22T11:00:01+00:00"):
        moment = datetime.fromisoformat(now)
        slot = beat.latest_slot(crontab(minute=0), moment)
        with time_machine.travel(moment, tick=False):
            opened.append(resources.pipeline.open_run(request, entry=HOURLY, slot=slot))
    assert [one.joined for one in opened] == [False, False, True]
    assert opened[2].run.run_id == opened[0].run.run_id
    with resources.db() as db:
        fetch_logs.close(db, fetch_logs.get_run(db, opened[0].run.run_id), now=datetime.now(UTC))
    with time_machine.travel(datetime.fromisoformat("2026-11-22T15:10:00+00:00"), tick=False):
        (tick,) = beat.missed(schedule, resources)
    assert (tick.slot, tick.missed) == (datetime.fromisoformat("2026-11-22T15:00:00+00:00"), 3)


@pytest.mark.chaos_short
def test_missed_slots_wait_for_a_run_that_was_interrupted(make_resources: Any) -> None:
    """Beside it their tick would be skipped, and they would never be run."""
    from parlex.runs import fetch_logs

    resources: Resources = make_resources()
    schedule = {HOURLY: {"task": "parlex.fetch_latest_bills", "schedule": crontab(minute=0), "kwargs": {"limit": 5}}}
    slot = datetime.fromisoformat("2026-11-22T11:00:00+00:00")
    run = resources.pipeline.open_run(resources.pipeline.latest_request(5), entry=HOURLY, slot=slot).run
    with time_machine.travel(slot + timedelta(hours=3, minutes=10), tick=False):
        assert beat.missed(schedule, resources) == []
        with resources.db() as db:
            fetch_logs.close(db, fetch_logs.get_run(db, run.run_id), now=datetime.now(UTC))
        (tick,) = beat.missed(schedule, resources)
    assert (tick.slot, tick.missed) == (slot + timedelta(hours=3), 2)


@pytest.mark.chaos_short
def test_an_entry_whose_only_run_was_abandoned_is_run_again(make_resources: Any) -> None:
    from parlex.runs import fetch_logs

    resources: Resources = make_resources()
    schedule = {HOURLY: {"task": "parlex.fetch_latest_bills", "schedule": crontab(minute=0), "kwargs": {"limit": 5}}}
    slot = datetime.fromisoformat("2026-11-22T11:00:00+00:00")
    with time_machine.travel(slot + timedelta(minutes=10), tick=False):
        assert beat.missed(schedule, resources) == []
        run = resources.pipeline.open_run(resources.pipeline.latest_request(5), entry=HOURLY, slot=slot).run
        assert beat.missed(schedule, resources) == []
        with resources.db() as db:
            fetch_logs.abandon(db, run.run_id, "it died", now=datetime.now(UTC))
        (tick,) = beat.missed(schedule, resources)
        assert (tick.slot, tick.missed) == (slot, 0)
        assert (
            resources.pipeline.open_run(resources.pipeline.latest_request(5), entry=HOURLY, slot=slot).joined is False
        )
