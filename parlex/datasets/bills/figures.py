"""A session in figures: how far its bills had come month by month, and how long they took, by kind."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from parlex.answers import Record
from parlex.datasets.bills.reads import BillRecord

STEPS = ("introduced", "second", "passed", "both", "assent")  # how far a bill can have come


@dataclass(frozen=True, slots=True)
class MonthRecord(Record):
    """How many bills had come how far, by STEPS, and no further, at the end of a month."""

    last: date
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class KindRecord(Record):
    """How many days the bills of a kind took from introduction to royal assent, the shortest first."""

    bill_type: str
    days: tuple[int, ...]

    @property
    def middle(self) -> float:
        return statistics.median(self.days)

    @property
    def longest(self) -> int:
        return self.days[-1]


def months(bills: Sequence[BillRecord], today: date) -> tuple[MonthRecord, ...]:
    """From the first day that is known to the month of the last one on which anything happened."""
    courses = [_steps(bill) for bill in bills]
    days = [day for course in courses for day in course if day]
    found, last = list[MonthRecord](), _end(min(days, default=today))
    while last <= min(_end(max(days, default=today)), _end(today)):
        at = [max((n for n, day in enumerate(course) if day and day <= last), default=None) for course in courses]
        found.append(MonthRecord(last, tuple(at.count(n) for n in range(len(STEPS)))))
        last = _end(last + timedelta(days=1))
    return tuple(found)


def kinds(bills: Sequence[BillRecord]) -> tuple[KindRecord, ...]:
    """The kinds of which a bill became law, the quickest first."""
    took: dict[str, list[int]] = {}
    for bill in bills:
        if bill.introduced_on and bill.royal_assent_on:
            took.setdefault(bill.bill_type, []).append((bill.royal_assent_on - bill.introduced_on).days)
    return tuple(sorted((KindRecord(name, tuple(sorted(days))) for name, days in took.items()), key=lambda k: k.middle))


def _steps(bill: BillRecord) -> tuple[date | None, ...]:
    other = "senate" if bill.chamber == "house" else "house"
    passed, both = (getattr(bill, f"{chamber}_third_reading_on") for chamber in (bill.chamber, other))
    second = getattr(bill, f"{bill.chamber}_second_reading_on")
    return bill.introduced_on, second, passed, max(passed, both) if passed and both else None, bill.royal_assent_on


def _end(day: date) -> date:
    """The last day of a day's month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
