"""The schedule without code: rows that people write and beat reads."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from parlex.errors import UsageError
from parlex.runs.schedule import cron_fields, move, overrides, pause, resume

NAME = "fetch-latest-bills-hourly"


def test_an_entry_is_paused_and_goes_on(db: Session) -> None:
    assert overrides(db) == {}
    pause(db, NAME)
    db.commit()
    first = overrides(db)[NAME]
    assert first.paused_at == first.changed_at
    pause(db, NAME)
    db.commit()
    assert overrides(db)[NAME].paused_at == first.paused_at  # since it was paused first
    resume(db, NAME)
    db.commit()
    again = overrides(db)[NAME]
    assert again.paused_at is None
    assert again.changed_at > first.changed_at


def test_an_entry_that_is_moved_keeps_its_pause(db: Session) -> None:
    pause(db, NAME)
    move(db, NAME, "15 */2 * * mon-fri")
    db.commit()
    assert overrides(db)[NAME].cron == "15 */2 * * mon-fri"
    assert overrides(db)[NAME].paused_at
    move(db, NAME, None)
    db.commit()
    assert overrides(db)[NAME].cron is None


def test_a_cron_line_is_read_field_by_field() -> None:
    assert cron_fields("0,30 2-4 1 * SUN") == {
        "minute": "0,30",
        "hour": "2-4",
        "day_of_month": "1",
        "month_of_year": "*",
        "day_of_week": "0",
    }


@pytest.mark.parametrize(
    ("cron", "named"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("@daily", "five fields"),
        ("60 * * * *", "minute must be"),
        ("* 24 * * *", "hour must be"),
        ("* * 0 * *", "day of month must be"),
        ("* * * 13 *", "month of year must be"),
        ("* * * * 7", "day of week must be"),
        ("5-1 * * * *", "minute must be"),
        ("*/0 * * * *", "minute must be"),
        ("a * * * *", "minute must be"),
    ],
)
def test_what_is_no_cron_line_is_refused(cron: str, named: str, db: Session) -> None:
    with pytest.raises(UsageError, match=named):
        move(db, NAME, cron)
    assert overrides(db) == {}
