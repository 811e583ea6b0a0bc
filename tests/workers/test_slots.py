"""The slots of a crontab: any crontab, in any zone, also on the days on which clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab

from parlex.errors import ConfigurationError
from workers.slots import OttawaTime, count_between, latest_slot, next_slot, slots_after, slots_before


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def in_zone(zone: str, **fields: Any) -> crontab:
    """A crontab of an application that works in this zone."""
    return crontab(app=SimpleNamespace(timezone=ZoneInfo(zone)), **fields)


@pytest.mark.parametrize(
    ("fields", "now", "latest", "following"),
    [
        ({"minute": 0}, "2026-11-22T11:00", "2026-11-22T11:00", "2026-11-22T12:00"),
        ({"minute": 20}, "2026-11-22T11:19:59", "2026-11-22T10:20", "2026-11-22T11:20"),
        ({"minute": 0, "hour": 2}, "2026-11-22T01:00", "2026-11-21T02:00", "2026-11-22T02:00"),
        (
            {"minute": 30, "hour": 4, "day_of_week": "sunday"},
            "2026-11-25T00:00",
            "2026-11-22T04:30",
            "2026-11-29T04:30",
        ),
        ({"minute": 0, "hour": 6, "day_of_month": 1}, "2026-11-22T00:00", "2026-11-01T06:00", "2026-12-01T06:00"),
        ({"minute": 0, "hour": 0, "day_of_month": 31}, "2026-06-15T00:00", "2026-05-31T00:00", "2026-07-31T00:00"),
        (
            {"minute": 0, "hour": 0, "day_of_month": 29, "month_of_year": 2},
            "2026-06-15T00:00",
            "2024-02-29T00:00",
            "2028-02-29T00:00",
        ),
    ],
)
def test_any_crontab_has_its_slots(fields: dict[str, Any], now: str, latest: str, following: str) -> None:
    schedule = in_zone("UTC", **fields)
    assert latest_slot(schedule, at(now)) == at(latest)
    assert next_slot(schedule, at(now)) == at(following)


def test_slots_are_in_the_zone_of_beat() -> None:
    """22:21 in Toronto is 03:21 of the next day in UTC, and in summer 02:21."""
    schedule = in_zone("America/Toronto", minute=21, hour=22)
    assert latest_slot(schedule, at("2026-11-22T12:00")) == at("2026-11-22T03:21")
    assert next_slot(schedule, at("2026-07-01T12:00")) == at("2026-07-02T02:21")


def test_an_hour_that_is_skipped_is_due_when_the_clocks_have_moved() -> None:
    """On 8 March 2026 the clocks of Toronto go from 02:00 to 03:00, which is 07:00 in UTC."""
    schedule = in_zone("America/Toronto", minute=0, hour=2)
    slots = list(islice(slots_after(schedule, at("2026-03-07T00:00")), 3))
    assert slots == [at("2026-03-07T07:00"), at("2026-03-08T07:00"), at("2026-03-09T06:00")]


def test_an_hour_that_comes_twice_counts_once_unless_every_hour_counts() -> None:
    """On 1 November 2026 the clocks of Toronto go from 02:00 back to 01:00, which is 06:00 in UTC."""
    daily, hourly = in_zone("America/Toronto", minute=30, hour=1), in_zone("America/Toronto", minute=30)
    assert list(islice(slots_after(daily, at("2026-11-01T00:00")), 2)) == [
        at("2026-11-01T05:30"),
        at("2026-11-02T06:30"),
    ]
    hours = list(islice(slots_after(hourly, at("2026-11-01T04:00")), 4))
    assert hours == [at("2026-11-01T04:30") + timedelta(hours=n) for n in range(4)]


def test_slots_before_are_the_slots_after_turned_round() -> None:
    schedule = in_zone("America/St_Johns", minute="*/7", hour="1-3")
    start, end = at("2026-10-25T00:00"), at("2026-11-05T00:00")
    forwards = [slot for slot in islice(slots_after(schedule, start), 1000) if slot <= end]
    backwards = [slot for slot in islice(slots_before(schedule, end), 1000) if slot > start]
    assert forwards == backwards[::-1]
    assert count_between(schedule, start, forwards[-1]) == len(forwards) - 1


def test_a_schedule_that_is_never_due_is_named() -> None:
    never = in_zone("UTC", minute=0, hour=0, day_of_month=30, month_of_year=2)
    with pytest.raises(ConfigurationError, match="never due"):
        next_slot(never, at("2026-01-01T00:00"))


@pytest.mark.parametrize(
    ("day", "opens"),
    [
        ("2026-03-06", "2026-03-06T15:00"),  # the Friday before the clocks go forward, and the Monday after it
        ("2026-03-09", "2026-03-09T14:00"),
        ("2026-10-30", "2026-10-30T14:00"),  # the Friday before they go back, and the Monday after it
        ("2026-11-02", "2026-11-02T15:00"),
    ],
)
def test_a_sitting_day_has_its_ticks_by_ottawa_s_clocks(day: str, opens: str) -> None:
    schedule = OttawaTime(minute="*/10", hour="10-23", day_of_week="mon-fri")
    first = at(opens)
    found = list(islice(slots_after(schedule, first - timedelta(hours=3)), 85))
    assert found[:84] == [first + timedelta(minutes=10 * n) for n in range(84)]
    assert found[84] > first + timedelta(hours=14)
