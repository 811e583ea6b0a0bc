"""The instants at which a crontab is due, in the zone that beat itself works in.

Reckoned day by day from the crontab's fields, so that any crontab has its slots, however rare. An hour that the clocks
skip in spring is due when they have been moved; of one that comes twice in autumn the first is meant, unless the
crontab is for every hour.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import takewhile

from celery.schedules import crontab

from parlex.errors import ConfigurationError
from parlex.parliament import OTTAWA

# From one 29 February to the next there can be eight years, as around 2100.
LONGEST_GAP_DAYS = 366 * 8 + 1
_DAY = timedelta(days=1)


class OttawaTime(crontab):
    """A crontab by Ottawa's clocks, whatever zone the rest of the schedule is in: Parliament keeps to them."""

    tz = OTTAWA


def latest_slot(schedule: crontab, now: datetime) -> datetime:
    """The last instant at or before ``now`` at which the schedule was due, in UTC."""
    return next(slots_before(schedule, now))


def next_slot(schedule: crontab, moment: datetime) -> datetime:
    """The first instant after ``moment`` at which the schedule is due, in UTC."""
    return next(slots_after(schedule, moment))


def slots_before(schedule: crontab, moment: datetime) -> Iterator[datetime]:
    """All slots up to and with ``moment``, the latest first. ConfigurationError for a schedule that is never due."""
    for day in _days(schedule, moment, -_DAY):
        slots = _slots_on(schedule, day)
        yield from reversed(slots[: bisect_right(slots, moment)])


def slots_after(schedule: crontab, moment: datetime) -> Iterator[datetime]:
    """All slots after ``moment``, the earliest first. ConfigurationError for a schedule that is never due."""
    for day in _days(schedule, moment, _DAY):
        slots = _slots_on(schedule, day)
        yield from slots[bisect_right(slots, moment) :]


def count_between(schedule: crontab, after: datetime, before: datetime) -> int:
    """How many slots lie between two instants, neither of them counted."""
    return sum(1 for _ in takewhile(lambda slot: slot < before, slots_after(schedule, after)))


def _days(schedule: crontab, moment: datetime, step: timedelta) -> Iterator[date]:
    """The days on which it is due, from that of ``moment`` on. The day before it too: a slot may be late on its day."""
    day = moment.astimezone(schedule.tz).date() - step
    empty = 0
    while empty < LONGEST_GAP_DAYS:
        if _is_due_on(schedule, day):
            yield day
            empty = 0
        day, empty = day + step, empty + 1
    raise ConfigurationError(f"the schedule {schedule!r} is never due")


def _is_due_on(schedule: crontab, day: date) -> bool:
    return (
        day.month in schedule.month_of_year
        and day.day in schedule.day_of_month
        and day.isoweekday() % 7 in schedule.day_of_week
    )


def _slots_on(schedule: crontab, day: date) -> Sequence[datetime]:
    # A crontab of a finer grain than Celery's may name its seconds.
    seconds = tuple(getattr(schedule, "second", (0,)))
    return _instants(day, tuple(schedule.hour), tuple(schedule.minute), seconds, schedule.tz)


@lru_cache(maxsize=128)
def _instants(
    day: date, hours: Sequence[int], minutes: Sequence[int], seconds: Sequence[int], zone: tzinfo
) -> Sequence[datetime]:
    """The instants of a day's times in a zone, in UTC, in order."""
    walls = [
        datetime.combine(day, time(hour, minute, second), zone)
        for hour in hours
        for minute in minutes
        for second in seconds
    ]
    found = {wall.astimezone(UTC) for wall in walls}
    if len(hours) == 24:
        found |= {wall.replace(fold=1).astimezone(UTC) for wall in walls}
    return sorted(found)
