"""Which source wins which field, and what a blank means."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date
from typing import Any

import pytest

from parlex.datasets.bills.bill import Bill, BillType, LegisinfoBill, Milestones, OpenParliamentBill, StatusCode
from parlex.datasets.bills.merge import RULES, merge, origin
from parlex.parliament import BillKey, Chamber

KEY = BillKey.parse("45-1 C-2")
NO_DAYS = Milestones(None, None, None, None, None, None, None)


def spine(**changes: Any) -> LegisinfoBill:
    blank: dict[str, Any] = dict.fromkeys(LegisinfoBill.__dataclass_fields__)
    usual = {
        "key": KEY,
        "legisinfo_id": 7,
        "title_en": "An Act",
        "title_fr": "Loi",
        "status_code": StatusCode.HOUSE_IN_COMMITTEE,
        "status_en": "In committee",
        "status_fr": "En comité",
        "bill_type": BillType.PRIVATE_MEMBERS,
        "chamber": Chamber.HOUSE,
        "is_government": False,
        "is_pro_forma": False,
        "milestones": NO_DAYS,
        "stages": (),
    }
    return LegisinfoBill(**(blank | usual | changes))


def companion(**changes: Any) -> OpenParliamentBill:
    blank: dict[str, Any] = dict.fromkeys(OpenParliamentBill.__dataclass_fields__)
    return OpenParliamentBill(**(blank | {"key": KEY, "chamber": Chamber.HOUSE} | changes))


def test_every_field_of_a_bill_has_a_rule() -> None:
    assert set(RULES) == {field.name for field in fields(Bill)} - {"key"}


@pytest.mark.parametrize("field", ["short_title_en", "short_title_fr", "text_url"])
def test_the_companion_stands_in_where_the_spine_is_blank(field: str) -> None:
    other = companion(**{field: "theirs"})
    assert getattr(merge(spine(), other), field) == "theirs"
    assert origin(field, spine(), other) == "openparliament"
    assert getattr(merge(spine(**{field: "ours"}), other), field) == "ours"
    assert origin(field, spine(**{field: "ours"}), other) == "legisinfo"


def test_the_slug_is_the_companions_alone() -> None:
    assert merge(spine(), companion(sponsor_slug="jane-doe")).sponsor_slug == "jane-doe"
    assert merge(spine(), None).sponsor_slug is None


def test_the_companions_word_on_law_and_introduction_does_not_count() -> None:
    merged = merge(spine(), companion(is_law=True, introduced_on=date(2026, 1, 1), status_code="RoyalAssentGiven"))
    assert (merged.royal_assent_on, merged.introduced_on) == (None, None)
    assert merged.status_code is StatusCode.HOUSE_IN_COMMITTEE


def test_introduced_is_the_earlier_first_reading() -> None:
    days = replace(NO_DAYS, house_first_reading_on=date(2026, 3, 1), senate_first_reading_on=date(2026, 1, 1))
    assert merge(spine(milestones=days), None).introduced_on == date(2026, 1, 1)


def test_without_a_companion_the_spine_alone_makes_a_bill() -> None:
    merged = merge(spine(legisinfo_id=9, summary_en="What it does"), None)
    assert (merged.legisinfo_id, merged.summary_en, merged.text_url) == (9, "What it does", None)


@pytest.mark.parametrize("is_government", [True, False])
def test_government_bills_are_those_of_legisinfo(is_government: bool) -> None:
    assert merge(spine(is_government=is_government), None).is_government is is_government


def test_relatives_read_as_keys() -> None:
    merged = merge(spine(reinstated_from=BillKey.parse("44-1 C-7")), None)
    assert (merged.reinstated_from, merged.reinstated_as) == ("44-1 C-7", None)
