"""The legal order of stages, as data, and the bills that break it.

A bill passes first, second and third reading in the chamber it starts in, then in the other one, then receives royal
assent (House of Commons Procedure and Practice, chapter 16; Rules of the Senate, chapter 10). A bill whose days or
status break this order is flagged and still mirrored as the source says: the flag is for readers, the source is not
corrected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

from parlex.answers import as_json
from parlex.datasets.bills.bill import Bill, Stage, StatusCode
from parlex.parliament import Chamber

READINGS: dict[Chamber, tuple[str, ...]] = {
    chamber: tuple(f"{chamber}_{reading}_reading_on" for reading in ("first", "second", "third")) for chamber in Chamber
}

# What must have happened before a status can be true: the chamber's reading, by number, that is behind such a bill.
PASSED_BY_STATUS: dict[StatusCode, tuple[Chamber, int]] = {
    StatusCode.HOUSE_AT_3RD_READING: (Chamber.HOUSE, 2),
    StatusCode.HOUSE_BILL_WAITING_SENATE: (Chamber.HOUSE, 3),
    StatusCode.SENATE_AT_3RD_READING: (Chamber.SENATE, 2),
    StatusCode.SENATE_BILL_WAITING_HOUSE: (Chamber.SENATE, 3),
}


# Before that Parliament printed versions are missing; since then none is, of 384 passages and 273 assents.
VERSIONS_SINCE = 42


def order(chamber: Chamber) -> tuple[str, ...]:
    """The days of a bill that starts in ``chamber``, in their legal order."""
    other = Chamber.SENATE if chamber is Chamber.HOUSE else Chamber.HOUSE
    return (*READINGS[chamber], *READINGS[other], "royal_assent_on")


def flags(bill: Bill) -> tuple[str, ...]:
    """The rules that a bill's days and status break, each as a short name; empty for a bill in order.

    A missing day alone breaks nothing: older records miss many, and reinstated bills skip what their ancestors did.
    """
    return tuple(_broken_rules(bill))


def _broken_rules(bill: Bill) -> Iterator[str]:
    for earlier, later in _inversions(bill):
        yield f"{_short(later)}_before_{_short(earlier)}"
    if bill.royal_assent_on and not _passed_both(bill):
        yield "assent_without_passage"
    if bill.royal_assent_on and bill.status_code is not StatusCode.ROYAL_ASSENT_GIVEN:
        yield "assent_against_status"
    if bill.status_code is StatusCode.ROYAL_ASSENT_GIVEN and not bill.royal_assent_on:
        yield "status_without_assent"
    need = PASSED_BY_STATUS.get(bill.status_code)
    if need and not bill.reinstated_from and getattr(bill, READINGS[need[0]][need[1] - 1]) is None:
        yield "status_ahead_of_days"
    if bill.key.session.parliament >= VERSIONS_SINCE and bill.form is not None:  # else its texts were not read yet
        printed = {one.version for one in bill.publications}
        if getattr(bill, READINGS[bill.chamber][-1]) and "as_passed" not in printed:
            yield "passage_without_text"
        if bill.royal_assent_on and "royal_assent" not in printed:
            yield "assent_without_text"


def _inversions(bill: Bill) -> Iterator[tuple[str, str]]:
    known = [name for name in order(bill.chamber) if getattr(bill, name)]
    return ((first, second) for first, second in pairwise(known) if getattr(bill, second) < getattr(bill, first))


def _passed_both(bill: Bill) -> bool:
    return bool(bill.house_third_reading_on and bill.senate_third_reading_on)


def _short(name: str) -> str:
    return name.removesuffix("_on")


# With these a bill is out of Parliament's hands, and no time runs on.
OVER = frozenset({StatusCode.BILL_DEFEATED, StatusCode.WILL_NOT_BE_PROCEEDED_WITH, StatusCode.PRO_FORMA})


@dataclass(frozen=True, slots=True)
class TimeInStage:
    """How long a bill stood between two of its days. ``until`` is None for the last one, and its ``days`` run on; they
    are None where the bill is over, since no source tells the day on which it died."""

    after: str
    since: date
    until: date | None
    days: int | None


def times_in_stage(bill: Bill, today: date | None) -> tuple[TimeInStage, ...]:
    """The days that a bill spent after each of its milestones, in legal order; the time after royal assent is left out.

    ``today`` ends the last one; None for a bill whose session is over.
    """
    known = [(name, day) for name in order(bill.chamber) if (day := getattr(bill, name))]
    spans = [TimeInStage(_short(a), since, until, (until - since).days) for (a, since), (_, until) in pairwise(known)]
    if known and not bill.royal_assent_on:
        name, since = known[-1]
        over = today is None or bill.status_code in OVER
        spans.append(TimeInStage(_short(name), since, None, None if over or today is None else (today - since).days))
    return tuple(spans)


# How the history names a stage: ``house.committee``, ``royal_assent``; a chamber's second third reading is
# ``house.third_reading.2``.

VALUES = ("state", "completed_on", "committee", "sittings")  # of a stage, besides where it stands


def named(stages: Iterable[Stage]) -> dict[str, dict[str, Any]]:
    """Stages by name, in their order, with their values as JSON has them."""
    return _named((stage.chamber, stage.code, stage) for stage in stages)


def named_rows(rows: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """The same of rows of ``bill_stages``."""
    return _named((row.chamber, row.stage, row) for row in rows)


def _named(stages: Iterable[tuple[str | None, str, Any]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for chamber, code, stage in stages:
        place = f"{chamber}.{code}" if chamber else str(code)
        name, turn = place, 1
        while name in found:
            turn += 1
            name = f"{place}.{turn}"
        found[name] = {field: as_json(getattr(stage, field)) for field in VALUES}
    return found


def place_of(name: str) -> dict[str, str | None]:
    """The chamber and the stage that a name tells, as columns."""
    *chamber, stage = [part for part in name.split(".") if not part.isdigit()]
    return {"chamber": chamber[0] if chamber else None, "stage": stage}
