"""What does not go together: divisions that LEGISinfo names, printed versions, sitting days, the order of divisions."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from parlex.datasets.bills import disagreements
from parlex.resources import Resources
from tests.edited import Edited
from tests.looking import SESSION, detail, execute, fetch, fetch_again, fetch_latest, story


def told(mirror: Resources) -> dict[tuple[str | None, str], tuple[Any, Any]]:
    with mirror.db() as db:
        found = list(disagreements.disagreements(db, mirror.datasets["bills"], SESSION))
    return {(each.number, each.field): (each.legisinfo, each.openparliament) for each in found}


@pytest.fixture
def divided(source: Edited, mirror: Resources) -> Resources:
    """With bills and divisions; on the sandbox's last day, when C-4 has passed."""
    while source.sandbox.advance():
        pass
    fetch(mirror)
    fetch_latest(mirror, "votes")
    return mirror


def test_the_sandbox_contradicts_nothing(divided: Resources) -> None:
    assert told(divided) == {}


def test_a_division_that_openparliament_does_not_list(source: Edited, mirror: Resources) -> None:
    source.edit(r"^/votes/\?", lambda page: page | {"objects": [x for x in page["objects"] if x["number"] != 8]})
    fetch(mirror)
    assert told(mirror) == {}  # nothing is known of its divisions yet
    fetch_latest(mirror, "votes")
    ((place, (ours, theirs)),) = told(mirror).items()
    assert place == ("C-4", "divisions.8")
    assert theirs is None
    assert ours == {
        "date": "2025-06-12",
        "bill": "45-1 C-4",
        "description": "2nd reading of Bill C-4, An Act respecting certain affordability measures for Canadians and "
        "another measure",
        "result": "Passed",
        "yea_total": 335,
        "nay_total": 0,
        "paired_total": 6,
    }


@pytest.mark.parametrize(
    ("column", "value"),
    [("yea_total", 1), ("held_on", "2025-06-13"), ("result", "Failed"), ("bill_number", "C-5"), ("bill_number", None)],
)
def test_a_division_that_is_shown_as_another_one(divided: Resources, column: str, value: Any) -> None:
    execute(divided, f"UPDATE votes SET {column} = :value WHERE number = 8", value=value)
    ours, theirs = told(divided)["C-4", "divisions.8"]
    assert [name for name in ours if ours[name] != theirs[name]] == [
        {"held_on": "date", "bill_number": "bill"}.get(column, column)
    ]


def test_what_legisinfo_leaves_out_is_no_difference(source: Edited, divided: Resources) -> None:
    def blank(document: Any) -> Any:
        for row in document[0]["HouseVoteDetails"]:
            row.update(DivisionVotesYeas=None, DivisionSubjectEn="Other words")
        return document

    source.edit(detail("C-4"), blank)
    fetch_again(divided)
    assert told(divided) == {}


def test_a_division_with_what_another_number_has(divided: Resources) -> None:
    execute(
        divided,
        """UPDATE votes v SET held_on = o.held_on, description_en = o.description_en, yea_total = o.yea_total,
        nay_total = o.nay_total, paired_total = o.paired_total, bill_parliament = NULL, bill_session = NULL,
        bill_number = NULL FROM votes o WHERE v.number = 94 AND o.number = 1""",
    )
    found = told(divided)
    assert set(found) == {(None, "divisions.94.repeats"), (None, "divisions.94.order")}
    ours, theirs = found[None, "divisions.94.repeats"]
    assert (ours, set(theirs)) == (None, {"1", "94"})
    assert found[None, "divisions.94.order"] == (None, {"51": "2025-12-03", "94": "2025-05-29"})


def test_motions_of_one_day_may_be_worded_alike(divided: Resources) -> None:
    """As those on the estimates, of which a dozen are put one after the other."""
    execute(
        divided,
        """INSERT INTO votes (parliament, session, number, held_on, description_en, result, yea_total, nay_total,
        paired_total, totals_match, first_seen_at, last_changed_at)
        SELECT parliament, session, 2, held_on, description_en, result, yea_total, nay_total, paired_total, true,
        first_seen_at, last_changed_at FROM votes WHERE number = 1""",
    )
    assert told(divided) == {}


def test_a_day_with_two_numbers_and_a_number_with_two_days(divided: Resources) -> None:
    for entry, number, day in (("a", "975", "2026-01-05"), ("b", "975A", "2026-01-05"), ("c", "975", "2026-01-06")):
        execute(
            divided,
            """INSERT INTO bill_events (parliament, session, number, entry, kind, chamber, day, sitting_number)
            VALUES (45, 1, 'C-4', :entry, 'sitting', 'house', CAST(:day AS date), :sitting)""",
            entry=entry,
            day=day,
            sitting=number,
        )
    assert told(divided) == {
        (None, "sittings.house.2026-01-05"): (["975", "975A"], None),
        (None, "sittings.house.975"): (["2026-01-05", "2026-01-06"], None),
    }


def test_what_has_passed_is_printed(source: Edited, divided: Resources) -> None:
    source.set(detail("C-4"), Publications=[])
    fetch_again(divided)
    assert told(divided) == {
        ("C-4", "publications.as_passed"): ({"third_reading_on": "2025-12-11", "version": None}, None),
        ("C-4", "publications.royal_assent"): ({"royal_assent_on": "2026-03-12", "version": None}, None),
    }
    assert story(divided, "C-4").flags == ("passage_without_text", "assent_without_text")


def test_an_appropriation_bill_needs_no_committee(divided: Resources) -> None:
    """It goes from second reading to the third in one sitting, in a Committee of the Whole."""
    with divided.db() as db:
        query = "SELECT number, flags FROM bills WHERE form = 'appropriation' AND royal_assent_on IS NOT NULL"
        found = {row.number: row.flags for row in db.execute(text(query))}
    assert found
    assert set(map(tuple, found.values())) == {()}
