"""What people changed in the schedule, as rows: beat takes it up within a minute.

The entries and their usual times stand in celeryconfig.py; here is only which of them are paused, or at another time.
A change counts from when it was made: no slot before it is made up for, and a paused entry goes on at its next slot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.db.models import ScheduleEntryRow
from parlex.errors import UsageError

# The fields of a cron line, with their least and greatest numbers.
_FIELDS = {"minute": (0, 59), "hour": (0, 23), "day_of_month": (1, 31), "month_of_year": (1, 12), "day_of_week": (0, 6)}
_PART = re.compile(r"(?:\*|(?P<first>\d{1,2})(?:-(?P<last>\d{1,2}))?)(?:/(?P<step>[1-9]\d?))?")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True, slots=True)
class Override:
    """``paused_at``: since when it is off, or None; ``cron``: its own time, or None for the usual one."""

    name: str
    paused_at: datetime | None
    cron: str | None
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class EntryRecord(Record):
    """One entry, with what differs. ``usual`` and ``own``: five fields of cron, or ``every N s``.

    ``usual`` is None for an entry that is not in this schedule. ``last_slot``: the newest that has a run; None also for
    entries that make none. ``next_slot``: None while it is paused, and where there are no slots.
    """

    name: str
    usual: str | None
    own: str | None
    paused_since: datetime | None
    last_slot: datetime | None
    next_slot: datetime | None


def overrides(db: Session) -> dict[str, Override]:
    """What differs from celeryconfig.py, by the entries' names."""
    rows = db.scalars(select(ScheduleEntryRow).order_by(ScheduleEntryRow.name))
    return {row.name: Override(row.name, row.paused_at, row.cron, row.changed_at) for row in rows}


def pause(db: Session, name: str) -> None:
    """Send no more ticks of this entry. One that is paused stays so since it was."""
    row = upsert(ScheduleEntryRow).values(name=name, paused_at=func.now(), changed_at=func.now())
    kept = func.coalesce(ScheduleEntryRow.paused_at, func.now())
    db.execute(row.on_conflict_do_update(index_elements=["name"], set_={"paused_at": kept, "changed_at": func.now()}))


def resume(db: Session, name: str) -> None:
    """Go on at the entry's next slot."""
    row = upsert(ScheduleEntryRow).values(name=name, changed_at=func.now())
    db.execute(row.on_conflict_do_update(index_elements=["name"], set_={"paused_at": None, "changed_at": func.now()}))


def move(db: Session, name: str, cron: str | None) -> None:
    """Another time for the entry, as five fields of cron; None for the usual one. UsageError for any other text."""
    if cron is not None:
        cron_fields(cron)
    row = upsert(ScheduleEntryRow).values(name=name, cron=cron, changed_at=func.now())
    db.execute(row.on_conflict_do_update(index_elements=["name"], set_={"cron": cron, "changed_at": func.now()}))


def cron_fields(cron: str) -> dict[str, str]:
    """The five fields of a cron line by name, days of the week as numbers; an entry is due where all five fit.

    UsageError names the field that is wrong.
    """
    words = cron.split()
    if len(words) != len(_FIELDS):
        raise UsageError(f"a time is five fields, like '0 * * * *' (minute hour day month weekday), not {cron!r:.50}")
    found = dict(zip(_FIELDS, words, strict=True))
    found["day_of_week"] = re.sub(
        "|".join(_DAYS), lambda day: str(_DAYS.index(day[0].lower())), found["day_of_week"], flags=re.IGNORECASE
    )
    for name, text in found.items():
        if not all(_fits(part, *_FIELDS[name]) for part in text.split(",")):
            low, high = _FIELDS[name]
            raise UsageError(
                f"{name.replace('_', ' ')} must be *, numbers from {low} to {high}, ranges or steps, not {text!r:.50}"
            )
    return found


def _fits(part: str, low: int, high: int) -> bool:
    read = _PART.fullmatch(part)
    if read is None:
        return False
    numbers = [int(read[name]) for name in ("first", "last") if read[name]]
    return all(low <= number <= high for number in numbers) and numbers == sorted(numbers)
