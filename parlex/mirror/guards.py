"""What must hold before a list, or a handful of details, is believed.

A source fails in ways that parse: an empty list with status 200, half of the rows, a field gone blank for all. Each
guard names one of them. What fails is parked whole or by field; the last good value stays; the rest lands. Comparing
is done within one session only, since sessions differ: 35-1 names no sponsor for four fifths of its bills.

``empty``      a list without rows, for a session that the mirror holds
``shrunken``   the list lost more than ``guard_max_shrink`` (a tenth) of its rows since the last good sweep, and more
               than two: LEGISinfo withdraws single bills, never a tenth of a session
``malformed``  more than ``guard_max_blanked`` (half) of the rows cannot be read: then the format changed, not the bills
``blanked``    a field lost its value in more than ``guard_max_blanked`` (half) of the rows that had one, or of the
               details of one run, and in at least ``guard_min_rows`` (five) of them: a source does withdraw a date of
               one bill, and the small number is its own evidence
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parlex.answers import counted

WITHDRAWN_AT_ONCE = 2  # bills that may leave a list between two sweeps whatever its size


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From the settings ``PARLEX_GUARD_*``: two shares between 0 and 1, and a number of rows."""

    max_shrink: float
    max_blanked: float
    min_rows: int


@dataclass(frozen=True, slots=True)
class Trip:
    """A guard that did not hold. ``field`` is None where the whole list is meant."""

    guard: str
    reason: str
    field: str | None = None


def check_list(
    *,
    listed: int,
    rejected: int,
    held: int,
    thresholds: Thresholds,
    waived: frozenset[tuple[str, str | None]] = frozenset(),
) -> Trip | None:
    """The guard that the list as a whole breaks. ``listed`` counts good rows, ``held`` those of the last good sweep.

    ``waived`` names the (guard, None) that a person approved for the next sweep.
    """
    rows = listed + rejected
    trips = (_empty(rows, held), _malformed(listed, rejected, thresholds), _shrunken(rows, held, thresholds))
    return next((trip for trip in trips if trip and (trip.guard, None) not in waived), None)


def _empty(rows: int, held: int) -> Trip | None:
    return Trip("empty", f"the list is empty, the mirror holds {held}") if rows == 0 and held else None


def _malformed(listed: int, rejected: int, thresholds: Thresholds) -> Trip | None:
    rows = listed + rejected
    if rejected <= rows * thresholds.max_blanked:
        return None
    return Trip("malformed", f"{rejected} of {counted(rows, 'row')} cannot be read")


def _shrunken(rows: int, held: int, thresholds: Thresholds) -> Trip | None:
    lost = held - rows
    if lost <= max(WITHDRAWN_AT_ONCE, held * thresholds.max_shrink):
        return None
    return Trip("shrunken", f"the list has {counted(rows, 'row')}, {held} were there at the last good sweep")


def blanked_fields(
    pairs: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]], fields: Sequence[str], thresholds: Thresholds
) -> tuple[Trip, ...]:
    """The fields that went blank together, of (held, offered) values by field name."""
    both = list(pairs)
    return tuple(trip for field in fields if (trip := _blanked(field, both, thresholds)))


def _blanked(
    field: str, pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], thresholds: Thresholds
) -> Trip | None:
    had = [offered for held, offered in pairs if held.get(field) is not None]
    return blanked(field, sum(offered.get(field) is None for offered in had), len(had), thresholds)


def blanked(field: str, lost: int, had: int, thresholds: Thresholds) -> Trip | None:
    """Whether a field went blank together in ``lost`` of the ``had`` records that had it."""
    if lost < thresholds.min_rows or lost <= had * thresholds.max_blanked:
        return None
    return Trip("blanked", f"{field} went blank in {lost} of the {had} that had it", field)
