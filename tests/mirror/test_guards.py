"""Each guard at its threshold, on either side."""

from __future__ import annotations

from typing import Any

import pytest

from parlex.mirror.guards import Thresholds, blanked_fields, check_list

USUAL = Thresholds(max_shrink=0.1, max_blanked=0.5, min_rows=5)


def tripped(listed: int, held: int, rejected: int = 0, **options: Any) -> str | None:
    trip = check_list(listed=listed, rejected=rejected, held=held, thresholds=USUAL, **options)
    return trip.guard if trip else None


@pytest.mark.parametrize(
    ("listed", "rejected", "held", "guard"),
    [
        (0, 0, 0, None),  # a session that has not begun
        (0, 0, 1, "empty"),
        (1, 0, 0, None),  # the first sweep
        (90, 0, 100, None),  # a tenth gone
        (89, 0, 100, "shrunken"),
        (8, 0, 10, None),  # two may go whatever the size
        (7, 0, 10, "shrunken"),
        (120, 0, 100, None),
        (50, 50, 100, None),  # half cannot be read
        (49, 51, 100, "malformed"),
        (80, 20, 100, None),  # rows that cannot be read are rows
        (80, 9, 100, "shrunken"),
        (0, 3, 0, "malformed"),
    ],
)
def test_lists(listed: int, rejected: int, held: int, guard: str | None) -> None:
    assert tripped(listed, held, rejected) == guard


def test_a_reason_has_the_numbers_in_it() -> None:
    trip = check_list(listed=7, rejected=0, held=10, thresholds=USUAL)
    assert trip is not None
    assert (trip.field, trip.reason) == (None, "the list has 7 rows, 10 were there at the last good sweep")


def test_what_a_person_approved_is_let_through_and_nothing_else() -> None:
    assert tripped(7, 10, waived=frozenset({("shrunken", None)})) is None
    assert tripped(0, 10, waived=frozenset({("shrunken", None)})) == "empty"
    assert tripped(7, 10, waived=frozenset({("shrunken", "title_en")})) == "shrunken"


def test_thresholds_are_the_settings() -> None:
    strict = Thresholds(max_shrink=0.0, max_blanked=0.0, min_rows=1)
    assert check_list(listed=97, rejected=0, held=100, thresholds=strict) is not None
    assert check_list(listed=99, rejected=1, held=100, thresholds=strict) is not None
    assert blanked_fields([({"day": 1}, {"day": None})], ["day"], strict)


def pairs(kept: int, lost: int, never: int = 0) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [({"day": 1}, {"day": 1})] * kept + [({"day": 1}, {"day": None})] * lost + [({"day": None}, {})] * never


@pytest.mark.parametrize(
    ("kept", "lost", "never", "trips"),
    [
        (0, 4, 0, False),  # too few to be sure
        (0, 5, 0, True),
        (5, 5, 0, False),  # half
        (5, 6, 0, True),
        (100, 6, 0, False),
        (0, 5, 500, True),  # rows that never had a value do not count
        (0, 0, 500, False),
    ],
)
def test_fields_that_go_blank_together(kept: int, lost: int, never: int, trips: bool) -> None:
    found = blanked_fields(pairs(kept, lost, never), ["day", "other"], USUAL)
    assert [trip.field for trip in found] == (["day"] if trips else [])
