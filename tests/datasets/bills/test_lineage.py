"""The life of bills over prorogations. The rows are made by hand: what links them is two texts on each."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from sqlalchemy.orm import Session

from parlex.datasets.bills import lineage
from parlex.datasets.bills.lineage import LifeDay
from parlex.errors import UsageError
from parlex.parliament import BillKey
from tests import rows


def hold(db: Session, key: str, **changes: Any) -> None:
    at = BillKey.parse(key)
    db.add(rows.bill(at.number, parliament=at.session.parliament, session=at.session.session, **changes))
    db.flush()


def line(db: Session, key: str) -> list[tuple[str, str, bool]]:
    found = lineage.lineage(db, BillKey.parse(key)).line
    return [(life.key, life.relation, life.held) for life in found]


def inherited(db: Session, key: str) -> date | None:
    answer = lineage.introduced_inherited_on(db, BillKey.parse(key))
    if (at := BillKey.parse(key)) is not None:
        assert lineage.lineage(db, at).introduced_inherited_on == answer  # both ways of asking agree
    return answer


@pytest.fixture
def three(db: Session) -> Session:
    """A bill of three sessions that kept neither its number nor, after the first one, its introduction."""
    hold(db, "37-1 C-15", introduced_on=date(2001, 3, 14), house_first_reading_on=date(2001, 3, 14))
    db.flush()
    hold(
        db,
        "37-2 C-10",
        reinstated_from="37-1 C-15",
        reinstated_as="37-3 C-22",
        house_third_reading_on=date(2002, 10, 9),
    )
    hold(db, "37-3 C-22", reinstated_from="37-2 C-10", royal_assent_on=date(2004, 4, 1))
    return db


@pytest.mark.parametrize("key", ["37-1 C-15", "37-2 C-10", "37-3 C-22"])
def test_the_whole_line_from_each_of_its_bills(three: Session, key: str) -> None:
    found = line(three, key)
    assert [name for name, _, _ in found] == ["37-1 C-15", "37-2 C-10", "37-3 C-22"]
    relations = [relation for _, relation, _ in found]
    here = relations.index("self")
    assert found[here][0] == key
    assert set(relations[:here]) <= {"ancestor"}
    assert set(relations[here + 1 :]) <= {"descendant"}


def test_its_days_in_order(three: Session) -> None:
    found = lineage.lineage(three, BillKey.parse("37-2 C-10"))
    assert found.timeline == (
        LifeDay(date(2001, 3, 14), "37-1 C-15", "house_first_reading_on"),
        LifeDay(date(2002, 10, 9), "37-2 C-10", "house_third_reading_on"),
        LifeDay(date(2004, 4, 1), "37-3 C-22", "royal_assent_on"),
    )
    assert (found.first_on, found.last_on) == (date(2001, 3, 14), date(2004, 4, 1))
    assert found.days == (date(2004, 4, 1) - date(2001, 3, 14)).days


def test_an_introduction_is_inherited_over_several_prorogations(three: Session) -> None:
    assert inherited(three, "37-3 C-22") == date(2001, 3, 14)
    assert inherited(three, "37-2 C-10") == date(2001, 3, 14)
    assert inherited(three, "37-1 C-15") is None  # it has its own


def test_the_nearest_ancestor_that_has_a_day_counts(db: Session) -> None:
    hold(db, "40-1 C-2", introduced_on=date(2008, 11, 20))
    hold(db, "40-2 C-3", reinstated_from="40-1 C-2", introduced_on=date(2009, 1, 27))
    hold(db, "40-3 C-4", reinstated_from="40-2 C-3")
    assert inherited(db, "40-3 C-4") == date(2009, 1, 27)
    assert inherited(db, "40-2 C-3") is None


def test_an_ancestor_that_is_not_held_is_named_and_gives_no_day(db: Session) -> None:
    hold(db, "43-2 C-7", reinstated_from="43-1 C-7")
    assert line(db, "43-2 C-7") == [("43-1 C-7", "ancestor", False), ("43-2 C-7", "self", True)]
    assert inherited(db, "43-2 C-7") is None


def test_a_link_that_only_the_other_end_has_is_followed(db: Session) -> None:
    hold(db, "43-1 C-7", reinstated_as="43-2 C-7", introduced_on=date(2020, 2, 24))
    hold(db, "43-2 C-7")
    assert [name for name, _, _ in line(db, "43-2 C-7")] == ["43-1 C-7", "43-2 C-7"]
    assert inherited(db, "43-2 C-7") == date(2020, 2, 24)


def test_a_bill_with_no_relatives(db: Session) -> None:
    hold(db, "45-1 C-2")
    found = lineage.lineage(db, BillKey.parse("45-1 C-2"))
    assert [life.key for life in found.line] == ["45-1 C-2"]
    assert (found.timeline, found.days, found.introduced_inherited_on) == ((), None, None)


def test_links_that_lead_in_a_circle_end(db: Session) -> None:
    hold(db, "43-1 C-7", reinstated_from="43-2 C-7", reinstated_as="43-2 C-7")
    hold(db, "43-2 C-7", reinstated_from="43-1 C-7", reinstated_as="43-1 C-7")
    assert {name for name, _, _ in line(db, "43-1 C-7")} == {"43-1 C-7", "43-2 C-7"}


def test_a_bill_that_is_not_held(db: Session) -> None:
    with pytest.raises(UsageError, match="does not hold 43-2 C-7"):
        lineage.lineage(db, BillKey.parse("43-2 C-7"))
    assert lineage.introduced_inherited_on(db, BillKey.parse("43-2 C-7")) is None
