"""Day by day through a session whose changes are known: each is recorded, once, and nothing else is."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import date
from typing import Any

from sqlalchemy import text

from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from tests.conformance.conftest import FOLDER, StandIn

SESSION = SessionId(43, 1)
FIELDS = {
    "StatusNameEn": "status_en",
    "PassedHouseFirstReadingDateTime": "house_first_reading_on",
    "PassedHouseSecondReadingDateTime": "house_second_reading_on",
    "PassedHouseThirdReadingDateTime": "house_third_reading_on",
    "PassedSenateFirstReadingDateTime": "senate_first_reading_on",
    "PassedSenateSecondReadingDateTime": "senate_second_reading_on",
    "PassedSenateThirdReadingDateTime": "senate_third_reading_on",
    "ReceivedRoyalAssentDateTime": "royal_assent_on",
    "StatuteYear": "statute_year",
    "StatuteChapter": "statute_chapter",
}
UNKEPT = {"StatusId"}  # the text and our code say it

Recorded = tuple[str, str, str | None, Any, Any]  # number, kind, field, old, new


def expected_by_day() -> dict[str, set[Recorded]]:
    found: dict[str, set[Recorded]] = defaultdict(set)
    for line in (FOLDER / "data-replay" / "expected_changes.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["kind"] == "new":
            found[row["date"]].add((row["number"], "created", None, None, None))
        elif row["field"] not in UNKEPT:
            values = as_kept(row["field"], row["from"]), as_kept(row["field"], row["to"])
            found[row["date"]].add((row["number"], "changed", FIELDS[row["field"]], *values))
    return dict(found)


def as_kept(field: str, value: Any) -> Any:
    """Days without their time, no sentinels, and no statute 0."""
    if field.endswith("DateTime"):
        return None if value is None or value.startswith("0001-01-01") else date.fromisoformat(value[:10]).isoformat()
    return value or None


def recorded(mirror: Resources, run_id: str) -> list[Recorded]:
    query = "SELECT number, kind, field, old, new FROM bill_changes WHERE run_id = :run_id ORDER BY seq"
    with mirror.db() as db:
        rows = [tuple(row) for row in db.execute(text(query), {"run_id": run_id})]
    return [row for row in rows if row[2] is None or row[2] in FIELDS.values()]


def test_each_day_records_its_changes_and_no_other(replay: StandIn, mirror: Resources) -> None:
    days = expected_by_day()
    for day, expected in sorted(days.items()):
        replay.as_of(day)
        run = alone.run_session(mirror.pipeline, SESSION)
        assert run.status == "success", day
        found = recorded(mirror, run.run_id)
        assert len(found) == len(set(found)), day
        assert set(found) == expected, day
        assert recorded(mirror, alone.run_session(mirror.pipeline, SESSION).run_id) == [], day
    with mirror.db() as db:
        assert db.scalar(text("SELECT count(*) FROM bills")) == replay.state()["bills"]
        assert db.scalar(text("SELECT count(*) = max(seq) FROM bill_changes"))


def test_a_long_absence_is_caught_up_in_one_run(replay: StandIn, mirror: Resources) -> None:
    days = expected_by_day()
    replay.as_of(min(days))
    alone.run_session(mirror.pipeline, SESSION)
    replay.as_of(max(days))
    run = alone.run_session(mirror.pipeline, SESSION)
    assert (run.status, run.created, run.updated) == ("success", replay.state()["bills"] - 2, 0)
    new = {row[0] for day in days.values() for row in day if row[1] == "created"} - {"C-1", "S-1"}
    assert {row[0] for row in recorded(mirror, run.run_id) if row[1] == "created"} == new


def test_a_limit_takes_the_newest_and_defers_the_rest(replay: StandIn, mirror: Resources) -> None:
    run = alone.run_latest(mirror.pipeline, limit=10)
    assert (run.status, run.created, run.deferred) == ("success", 10, replay.state()["bills"] - 10)
    query = """
        SELECT min(h.activity_on) >= max(o.activity_on)
        FROM listings h, listings o, bills b
        WHERE h.source = 'legisinfo' AND o.source = 'legisinfo' AND h.key = '43-1 ' || b.number
          AND NOT EXISTS (SELECT FROM bills c WHERE o.key = '43-1 ' || c.number)
    """
    with mirror.db() as db:
        assert db.scalar(text(query))
