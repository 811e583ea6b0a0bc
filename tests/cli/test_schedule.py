"""The schedule's commands as processes: what they print, what they keep, and what beat makes of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from celery.schedules import crontab
from sqlalchemy import delete
from sqlalchemy.orm import Session

from parlex.db.models import ScheduleEntryRow
from parlex.runs.schedule import move, overrides, pause
from parlex.settings import Settings
from tests import rows
from tests.commands import complaint, objects, run
from workers.beat import effective
from workers.slots import next_slot

HOURLY = "fetch-latest-bills-hourly"
KEYS = ["name", "usual", "own", "paused_since", "last_slot", "next_slot"]


def test_the_list_has_every_entry_with_its_times(settings: Settings, db: Session) -> None:
    slot = datetime(2026, 3, 1, 12, tzinfo=UTC)
    db.add(rows.run(started_at=slot, entry=HOURLY, slot=slot))
    pause(db, "prune")
    move(db, "sweep-sessions-weekly", "0 1 29 2 *")
    db.commit()
    found = {line["name"]: line for line in objects(run(settings, "schedule", "list", "--json"))}
    assert all(list(line) == KEYS for line in found.values())
    hourly, pruned, swept = found[HOURLY], found["prune"], found["sweep-sessions-weekly"]
    assert (hourly["usual"], hourly["own"], hourly["paused_since"]) == ("0 * * * *", None, None)
    assert datetime.fromisoformat(hourly["last_slot"]) == slot
    assert datetime.fromisoformat(hourly["next_slot"]) > datetime.now(UTC)
    since = overrides(db)["prune"].paused_at
    assert (datetime.fromisoformat(pruned["paused_since"]), pruned["next_slot"]) == (since, None)
    assert (swept["usual"], swept["own"]) == ("30 4 * * sunday", "0 1 29 2 *")
    assert swept["next_slot"].startswith("2028-02-29T01:00")
    assert (found["check-alerts"]["usual"], found["check-alerts"]["next_slot"]) == ("every 60 s", None)
    shown = run(settings, "schedule", "list")
    assert shown.stderr.splitlines()[-1] == "1 paused"
    assert run(settings, "schedule").stdout == shown.stdout
    assert all(name in shown.stdout for name in found)


def test_what_a_person_changes_is_what_beat_goes_by(settings: Settings, db: Session) -> None:
    usual = crontab(minute=0)
    assert run(settings, "schedule", "pause", HOURLY).returncode == 0
    assert effective(HOURLY, usual, overrides(db)[HOURLY]) is None
    db.rollback()
    assert run(settings, "schedule", "set", HOURLY, "20 */2 * * *").returncode == 0
    assert overrides(db)[HOURLY].paused_at  # another time is no word to go on
    db.rollback()
    assert run(settings, "schedule", "resume", HOURLY).returncode == 0
    own = effective(HOURLY, usual, overrides(db)[HOURLY])
    assert next_slot(own, datetime(2026, 3, 1, 12, 30, tzinfo=UTC)) == datetime(2026, 3, 1, 14, 20, tzinfo=UTC)
    db.rollback()
    assert run(settings, "schedule", "set", HOURLY, "--usual").returncode == 0
    assert effective(HOURLY, usual, overrides(db)[HOURLY]) is usual


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["pause", "nonsense"], f"known: archive-documents-hourly, {'fetch-latest-bills-daily'}"),
        (["resume", "nonsense"], "'nonsense' is no entry of the schedule"),
        (["set", "nonsense", "--usual"], "'nonsense' is no entry of the schedule"),
        (["pause", "keep-house"], "keep-house always goes on"),
        (["set", HOURLY, "0 25 * * *"], "hour must be"),
        (["set", HOURLY, "0 0 30 2 *"], "'0 0 30 2 *' is never due"),
        (["set", HOURLY], "or --usual"),
        (["set", HOURLY, "0 * * * *", "--usual"], "or --usual"),
    ],
)
def test_wrong_use_changes_nothing(settings: Settings, db: Session, arguments: list[str], told: str) -> None:
    assert told in complaint(run(settings, "schedule", *arguments), 2)
    assert overrides(db) == {}


def test_a_row_of_an_entry_that_only_other_hosts_have_can_be_taken_back(settings: Settings, db: Session) -> None:
    pause(db, "export-nightly")
    db.commit()
    found = {line["name"]: line for line in objects(run(settings, "schedule", "list", "--json"))}
    assert (found["export-nightly"]["usual"], found["export-nightly"]["next_slot"]) == (None, None)
    assert run(settings, "schedule", "resume", "export-nightly").returncode == 0
    assert overrides(db)["export-nightly"].paused_at is None
    db.execute(delete(ScheduleEntryRow))
