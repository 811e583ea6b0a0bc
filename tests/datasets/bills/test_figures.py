"""A session in figures, of bills made by hand."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from typing import Any

from parlex.datasets.bills import figures
from parlex.datasets.bills.reads import BillRecord


def bill(chamber: str = "house", **days: date) -> BillRecord:
    usual: dict[str, Any] = dict.fromkeys(field.name for field in fields(BillRecord))
    return BillRecord(**usual | {"chamber": chamber, "bill_type": f"{chamber} bill", "withdrawn": False} | days)


LAW = bill(
    introduced_on=date(2026, 1, 5),
    house_second_reading_on=date(2026, 1, 20),
    house_third_reading_on=date(2026, 2, 3),
    senate_third_reading_on=date(2026, 3, 3),
    royal_assent_on=date(2026, 3, 4),
)
IN_THE_HOUSE = bill(
    "senate",
    introduced_on=date(2026, 2, 1),
    senate_second_reading_on=date(2026, 2, 2),
    senate_third_reading_on=date(2026, 2, 27),
)


def test_a_bill_is_counted_at_the_furthest_step_by_the_end_of_each_month() -> None:
    found = figures.months([LAW, IN_THE_HOUSE], date(2026, 11, 26))
    assert [(month.last, month.counts) for month in found] == [
        (date(2026, 1, 31), (0, 1, 0, 0, 0)),
        (date(2026, 2, 28), (0, 0, 2, 0, 0)),
        (date(2026, 3, 31), (0, 0, 1, 0, 1)),
    ]


def test_a_bill_without_days_is_nowhere_and_a_month_to_come_is_none() -> None:
    assert [month.total for month in figures.months([LAW, bill()], date(2026, 2, 10))] == [1, 1]
    assert [month.total for month in figures.months([bill()], date(2026, 2, 10))] == [0]


def test_how_long_laws_took_by_kind() -> None:
    quick = bill("senate", introduced_on=date(2026, 1, 5), royal_assent_on=date(2026, 1, 8))
    found = figures.kinds([LAW, IN_THE_HOUSE, quick])
    assert [(kind.bill_type, kind.days, kind.middle, kind.longest) for kind in found] == [
        ("senate bill", (3,), 3, 3),
        ("house bill", (58,), 58, 58),
    ]
