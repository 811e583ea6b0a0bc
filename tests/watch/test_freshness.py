"""What is promised of how fresh the mirror is, and whether it is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from parlex.parliament import OTTAWA
from parlex.resources import Resources
from parlex.watch.freshness import Freshness, freshness
from parlex.watch.monitor import statistics
from tests import rows

TUESDAY = datetime(2026, 3, 10, 15, tzinfo=OTTAWA)
HOUR = timedelta(hours=1)


@pytest.fixture
def mirror(make_resources: Callable[..., Resources]) -> Resources:
    return make_resources()


def look(mirror: Resources, db: Session, now: datetime = TUESDAY) -> dict[str, Freshness]:
    db.flush()
    return {line.subject: line for line in freshness(db, mirror.datasets.values(), mirror.settings, now)}


def sat(db: Session, *days: date) -> None:
    db.add(rows.bill("C-99", status_code="ProForma"))
    db.flush()
    db.add_all(rows.bill_event(f"sitting.{day}", number="C-99", day=day) for day in days)


def listed(db: Session, at: datetime, scope: str = "45-1", source: str = "legisinfo") -> None:
    db.add(rows.sweep(scope=scope, source=source, swept_at=at))


def looked_at(db: Session, number: str, at: datetime) -> None:
    db.add(rows.bill(number))
    db.add(rows.latest_document(number, checked_at=at))


def test_nothing_is_promised_of_what_was_never_listed(mirror: Resources, db: Session) -> None:
    assert look(mirror, db) == {}


@pytest.mark.parametrize(
    ("now", "age", "kept"),
    [
        (TUESDAY, timedelta(minutes=29), True),
        (TUESDAY, timedelta(minutes=31), False),
        (TUESDAY.replace(hour=10, minute=29), timedelta(minutes=31), True),  # the first ticks are still to come
        (TUESDAY.replace(hour=9), 3 * HOUR, True),
        (TUESDAY.replace(hour=9), timedelta(hours=3, seconds=1), False),
        (TUESDAY.replace(day=14), 3 * HOUR, True),  # a Saturday
        (TUESDAY.replace(day=24), 3 * HOUR, True),  # no chamber has sat for ten days
    ],
)
def test_the_current_list_is_promised_each_half_hour_while_parliament_sits(
    mirror: Resources, db: Session, now: datetime, age: timedelta, kept: bool
) -> None:
    sat(db, date(2026, 3, 9))
    listed(db, now - age)
    found = look(mirror, db, now)["list of bills of 45-1"]
    assert (found.kept, found.age_seconds) == (kept, age.total_seconds())


def test_an_older_session_s_list_is_promised_each_week(mirror: Resources, db: Session) -> None:
    listed(db, TUESDAY)
    listed(db, TUESDAY - timedelta(days=14), "44-1")
    listed(db, TUESDAY - timedelta(days=15), "43-2")
    found = look(mirror, db)
    assert {name: (line.state, line.kept) for name, line in found.items()} == {
        "list of bills of 45-1": ("adjourned", True),
        "list of bills of 44-1": ("over", True),
        "list of bills of 43-2": ("over", False),
    }


def test_the_companion_s_list_is_promised_each_day(mirror: Resources, db: Session) -> None:
    listed(db, TUESDAY)
    listed(db, TUESDAY - timedelta(hours=50), source="openparliament")
    assert not look(mirror, db)["openparliament of bills of 45-1"].kept


def test_details_are_promised_on_the_morning_after_a_sitting(mirror: Resources, db: Session) -> None:
    """Until six hours after that morning they may be of the morning before."""
    sat(db, date(2026, 3, 5), date(2026, 3, 9))
    listed(db, TUESDAY)
    looked_at(db, "C-2", datetime(2026, 3, 6, 6, 30, tzinfo=OTTAWA))
    looked_at(db, "C-3", TUESDAY)
    name = "details of bills of 45-1"
    assert look(mirror, db, TUESDAY.replace(hour=11, minute=59))[name].kept
    assert not look(mirror, db, TUESDAY.replace(hour=12))[name].kept


def test_details_are_promised_each_week_while_parliament_does_not_sit(mirror: Resources, db: Session) -> None:
    now = TUESDAY.astimezone(UTC)
    listed(db, now)
    looked_at(db, "C-2", now - timedelta(days=9))
    name = "details of bills of 45-1"
    assert look(mirror, db)[name].kept
    looked_at(db, "C-3", now - timedelta(days=9, seconds=1))
    assert not look(mirror, db)[name].kept


def test_a_broken_promise_is_a_problem_that_names_it(mirror: Resources, db: Session) -> None:
    listed(db, TUESDAY)
    listed(db, TUESDAY - timedelta(days=20), "44-1")
    db.flush()
    report = statistics(db, TUESDAY - HOUR, TUESDAY, mirror.datasets["bills"], mirror.settings)
    assert report.problems == ("not as fresh as promised: list of bills of 44-1: 20 d old, 14 d are promised",)
    assert [line["kept"] for line in report.to_dict()["freshness"]] == [True, False]


def test_the_schedule_keeps_what_is_promised(mirror: Resources) -> None:
    from celeryconfig import beat_schedule

    daily = beat_schedule["fetch-latest-bills-daily"]["kwargs"]["recheck_after_days"]
    politicians = beat_schedule["fetch-latest-politicians-daily"]["kwargs"]["recheck_after_days"]
    promised = {name: dataset.looked_at_every for name, dataset in mirror.datasets.items()}
    assert promised == {"bills": timedelta(days=daily), "politicians": timedelta(days=politicians), "votes": None}
