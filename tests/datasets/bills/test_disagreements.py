"""Where the two sources differ, and how long one comes after the other."""

from __future__ import annotations

from typing import Any

from parlex.datasets.bills import disagreements
from parlex.datasets.bills.disagreements import Lag
from parlex.parliament import SessionId
from parlex.resources import Resources
from tests.edited import Edited
from tests.looking import SESSION, companion, execute, fetch, fetch_all


def differing(mirror: Resources, session: SessionId | None = None) -> dict[tuple[str, str], tuple[Any, Any]]:
    with mirror.db() as db:
        found = list(disagreements.disagreements(db, mirror.datasets["bills"], session))
    return {(each.number, each.field): (each.legisinfo, each.openparliament) for each in found}


def lag(mirror: Resources) -> Lag:
    with mirror.db() as db:
        (found,) = disagreements.lags(db, SESSION)
    return found


def test_both_values_of_each_field_that_differs(source: Edited, mirror: Resources) -> None:
    source.set(companion("C-2"), introduced="2025-06-04", law=True, home_chamber="Senate", legisinfo_id=7)
    source.edit(companion("C-3"), lambda bill: bill | {"name": {"en": "Another Act", "fr": bill["name"]["fr"]}})
    source.set(companion("C-5"), introduced=None)
    fetch_all(mirror)

    found = differing(mirror)
    assert found["C-2", "introduced_on"] == ("2025-06-03", "2025-06-04")
    assert found["C-2", "royal_assent_on"] == (None, True)
    assert found["C-2", "chamber"] == ("house", "senate")
    assert found["C-2", "legisinfo_id"] == (13543613, 7)
    assert found["C-3", "title_en"][1] == "Another Act"
    assert found["C-5", "introduced_on"][1] is None
    assert len(found) == 6
    assert differing(mirror, SESSION) == found
    assert differing(mirror, SessionId(44, 1)) == {}


def test_a_law_that_only_one_of_them_knows(source: Edited, mirror: Resources) -> None:
    source.set(companion("C-3"), law=None)
    fetch_all(mirror)
    assert differing(mirror) == {("C-3", "royal_assent_on"): ("2025-11-20", None)}


def test_quotes_dashes_and_blanks_are_no_difference(source: Edited, mirror: Resources) -> None:
    def typed(bill: Any) -> Any:
        name = {
            language: f"  {text}  ".replace("'", "’").replace(" ", "\u00a0 ") for language, text in bill["name"].items()
        }
        return bill | {"name": name}

    source.edit(r"^/bills/45-1/", typed)
    fetch_all(mirror)
    assert differing(mirror) == {}


def test_what_one_of_them_lacks_is_no_difference(source: Edited, mirror: Resources) -> None:
    blank = {"en": "", "fr": ""}
    source.edit(
        r"^/bills/45-1/",
        lambda bill: bill | {"short_title": blank, "text_url": None, "legisinfo_id": None, "status_code": ""},
    )
    fetch_all(mirror)
    assert differing(mirror) == {}


def test_without_a_detail_the_line_of_the_list_speaks(source: Edited, mirror: Resources) -> None:
    def edit(page: Any) -> Any:
        for one in page["objects"]:
            one |= {"C-2": {"introduced": None, "legisinfo_id": None}, "C-3": {"introduced": "2025-06-04"}}.get(
                one["number"], {}
            )
        return page

    source.edit(r"^/bills/\?", edit)
    source.edit(r"^/bills/45-1/", lambda bill: None)
    fetch(mirror)
    assert differing(mirror) == {
        ("C-2", "introduced_on"): ("2025-06-03", None),
        ("C-3", "introduced_on"): ("2025-06-05", "2025-06-04"),
    }


def test_a_sponsor_whom_the_two_do_not_name_alike(source: Edited, mirror: Resources) -> None:
    source.set(companion("C-2"), sponsor_politician_url="/politicians/mark-carney/")
    fetch_all(mirror)
    assert differing(mirror) == {("C-2", "sponsor_slug"): ("gary-anandasangaree", "mark-carney")}


def test_bills_of_the_first_look_measure_no_lag(filled: Resources) -> None:
    found = lag(filled)
    assert (found.bills, found.median_seconds, found.longest, found.waiting) == (0, None, None, ())


def test_the_lag_of_bills_that_came_later(filled: Resources) -> None:
    later = (("C-2", 0), ("C-3", 86_400), ("C-4", 3 * 86_400))
    for number, seconds in later:
        execute(
            filled,
            "UPDATE listings SET first_seen_at = '2100-01-01'::timestamptz"
            " + make_interval(secs => CASE source WHEN 'openparliament' THEN :seconds ELSE 0 END)"
            " WHERE key = :key",
            seconds=seconds,
            key=f"45-1 {number}",
        )
    execute(filled, "DELETE FROM listings WHERE key = '45-1 C-5' AND source = 'openparliament'")
    found = lag(filled)
    assert (found.bills, found.median_seconds) == (3, 86_400.0)
    assert (found.longest, found.longest_seconds) == ("45-1 C-4", 3 * 86_400.0)
    assert found.waiting == ("45-1 C-5",)


def test_sessions_that_openparliament_does_not_have_are_left_out(filled: Resources) -> None:
    execute(filled, "UPDATE sweeps SET scope = '36-2'")
    with filled.db() as db:
        assert disagreements.lags(db) == []
