"""When Parliament sits, by what is held, in Ottawa's time."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from sqlalchemy.orm import Session

from parlex.datasets import sitting
from tests import rows

MONDAY = datetime(2026, 3, 9, 12, tzinfo=UTC)  # 08:00 in Ottawa, whose clocks went forward on Sunday


def sat(db: Session, *days: str, chamber: str = "house") -> None:
    db.add(rows.bill())
    db.flush()
    db.add_all(rows.bill_event(f"sitting.{day}", day=date.fromisoformat(day), chamber=chamber) for day in days)
    db.flush()


def test_nobody_sits_where_nothing_is_known(db: Session) -> None:
    assert not sitting.is_sitting(db, MONDAY)
    assert sitting.last_morning(db, MONDAY) is None


@pytest.mark.parametrize(
    ("day", "sits"), [("2026-02-26", False), ("2026-02-27", True), ("2026-03-09", True), ("2026-03-10", False)]
)
def test_a_chamber_sits_while_it_sat_within_ten_days(db: Session, day: str, sits: bool) -> None:
    sat(db, day, chamber="senate")
    assert sitting.is_sitting(db, MONDAY) is sits


@pytest.mark.parametrize(
    ("now", "morning"),
    [
        ("2026-03-06T23:00-05:00", None),  # on the day itself
        ("2026-03-07T05:59-05:00", None),
        ("2026-03-07T06:00-05:00", "2026-03-07T11:00"),
        ("2026-03-09T05:59-04:00", "2026-03-07T11:00"),  # over a weekend, and over the night of the clocks
        ("2026-03-10T06:00-04:00", "2026-03-10T10:00"),
    ],
)
def test_the_morning_after_a_sitting_is_ottawa_s(db: Session, now: str, morning: str | None) -> None:
    sat(db, "2026-03-06", "2026-03-09")
    found = sitting.last_morning(db, datetime.fromisoformat(now))
    assert found == (datetime.fromisoformat(morning).replace(tzinfo=UTC) if morning else None)
