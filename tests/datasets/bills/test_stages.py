"""The legal order of stages, and the bills that break it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from parlex.datasets.bills.bill import Bill, BillType, StatusCode
from parlex.datasets.bills.stages import flags, order, times_in_stage
from parlex.parliament import BillKey, Chamber

JANUARY, MARCH, MAY, JULY = (date(2026, month, 1) for month in (1, 3, 5, 7))
READINGS = [f"{chamber}_{reading}_reading_on" for chamber in Chamber for reading in ("first", "second", "third")]


def bill(**changes: Any) -> Bill:
    number = changes.pop("number", "C-2")
    blank: dict[str, Any] = dict.fromkeys(Bill.__dataclass_fields__)
    usual = {
        "key": BillKey.parse(f"45-1 {number}"),
        "title_en": "An Act",
        "title_fr": "Loi",
        "status_code": StatusCode.HOUSE_IN_COMMITTEE,
        "bill_type": BillType.HOUSE_GOVERNMENT,
        "chamber": Chamber.HOUSE if number.startswith("C") else Chamber.SENATE,
        "stages": (),
    }
    return Bill(**(blank | usual | changes))


def law(**changes: Any) -> Bill:
    passed = dict.fromkeys(READINGS, JANUARY)
    return bill(**(passed | {"royal_assent_on": MARCH, "status_code": StatusCode.ROYAL_ASSENT_GIVEN} | changes))


def test_a_bill_goes_through_its_own_chamber_first() -> None:
    assert order(Chamber.HOUSE)[0] == "house_first_reading_on"
    assert order(Chamber.SENATE)[:4] == (
        "senate_first_reading_on",
        "senate_second_reading_on",
        "senate_third_reading_on",
        "house_first_reading_on",
    )
    assert order(Chamber.SENATE)[-1] == "royal_assent_on"


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, ()),
        ({"house_first_reading_on": JANUARY}, ()),
        ({"house_second_reading_on": JANUARY}, ()),  # a missing day breaks nothing
        ({"house_first_reading_on": JANUARY, "house_second_reading_on": JANUARY}, ()),  # the same day is in order
        (
            {"house_first_reading_on": MARCH, "house_second_reading_on": JANUARY},
            ("house_second_reading_before_house_first_reading",),
        ),
        (
            {"number": "S-2", "senate_third_reading_on": MARCH, "house_first_reading_on": JANUARY},
            ("house_first_reading_before_senate_third_reading",),
        ),
        ({"number": "C-2", "senate_first_reading_on": MARCH, "house_first_reading_on": JANUARY}, ()),
        ({"status_code": StatusCode.HOUSE_AT_3RD_READING}, ("status_ahead_of_days",)),
        ({"status_code": StatusCode.HOUSE_AT_3RD_READING, "house_second_reading_on": MARCH}, ()),
        ({"status_code": StatusCode.HOUSE_AT_3RD_READING, "reinstated_from": "44-1 C-7"}, ()),
        ({"status_code": StatusCode.ROYAL_ASSENT_GIVEN}, ("status_without_assent",)),
    ],
)
def test_flags(changes: dict[str, Any], broken: tuple[str, ...]) -> None:
    assert flags(bill(**changes)) == broken


def test_a_law_in_order_has_no_flag() -> None:
    assert flags(law()) == ()


def test_an_assent_that_nothing_led_to() -> None:
    assert flags(law(senate_third_reading_on=None)) == ("assent_without_passage",)
    # Thirteen records are like this.
    assert flags(law(status_code=StatusCode.OUTSIDE_ORDER_PRECEDENCE)) == ("assent_against_status",)


def test_times_between_the_days_run_on_for_a_bill_that_is_alive() -> None:
    spans = times_in_stage(bill(house_first_reading_on=JANUARY, house_second_reading_on=MARCH), today=MAY)
    assert [(span.after, span.days, span.until) for span in spans] == [
        ("house_first_reading", 59, MARCH),
        ("house_second_reading", 61, None),
    ]


def test_times_end_with_royal_assent() -> None:
    spans = times_in_stage(bill(house_third_reading_on=JANUARY, royal_assent_on=MARCH), today=JULY)
    assert [(span.after, span.days) for span in spans] == [("house_third_reading", 59)]


def test_a_bill_without_days_has_no_times() -> None:
    assert times_in_stage(bill(), today=JULY) == ()
