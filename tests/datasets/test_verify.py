"""Whether the copy is complete, told from the rows, and by asking again."""

from __future__ import annotations

import pytest

from parlex.datasets.kind import Flagged
from parlex.datasets.verify import Completeness
from parlex.errors import UsageError
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from tests import looking
from tests.edited import Edited
from tests.looking import LIST, SESSION, companion, detail, execute, fetch, fetch_again, last_seq, sampled

BILLS = 60


def verified(mirror: Resources) -> Completeness:
    (found,) = looking.verified(mirror, str(SESSION))
    return found


def without(*numbers: str):  # type: ignore[no-untyped-def]
    """A list that lacks these bills."""
    return lambda rows: [row for row in rows if row["NumberCode"] not in numbers]


def test_a_session_that_is_held_whole(filled: Resources) -> None:
    found = verified(filled)
    assert (found.complete, found.listed, found.held) == (True, BILLS, BILLS)
    assert (found.missing, found.extra, found.stale, found.quarantined, found.withdrawn) == ((), (), (), (), ())
    assert (found.only["legisinfo"], found.only["openparliament"], found.refused_at) == ((), (), None)


def test_bills_that_were_deferred_are_missing(mirror: Resources) -> None:
    alone.run_session(mirror.pipeline, SESSION, limit=50)
    found = verified(mirror)
    assert (found.complete, found.held, len(found.missing)) == (False, 50, 10)
    fetch(mirror)
    assert verified(mirror).complete


def test_a_bill_that_nobody_lists_is_extra(filled: Resources) -> None:
    execute(filled, "UPDATE listings SET gone_at = now() WHERE key = '45-1 C-3' AND source = 'legisinfo'")
    found = verified(filled)
    assert (found.complete, found.extra) == (False, ("45-1 C-3",))


def test_a_withdrawn_bill_is_told_and_no_fault(source: Edited, filled: Resources) -> None:
    source.edit(LIST, without("C-3"))
    fetch(filled)
    found = verified(filled)
    assert (found.complete, found.listed, found.held, found.withdrawn) == (True, 59, 59, ("45-1 C-3",))
    # The companion still shows it: told as such, and no error.
    assert found.only["openparliament"] == ("45-1 C-3",)


def test_what_only_legisinfo_has(source: Edited, mirror: Resources) -> None:
    def shorter(page: dict[str, list[dict[str, str]]]) -> object:
        return page | {"objects": [row for row in page["objects"] if row["number"] != "C-4"]}

    source.edit(r"^/bills/\?", shorter)
    fetch(mirror)
    found = verified(mirror)
    assert (found.complete, found.only["legisinfo"], found.only["openparliament"]) == (True, ("45-1 C-4",), ())


def test_a_detail_that_is_older_than_its_line_is_stale(source: Edited, filled: Resources) -> None:
    def retitled(rows: list[dict[str, str]]) -> object:
        for row in rows:
            row["LongTitleEn"] += " again" * (row["NumberCode"] == "C-2")
        return rows

    source.edit(LIST, retitled)
    source.edit(detail("C-2"), lambda document: None)
    fetch(filled)
    found = verified(filled)
    assert (found.complete, found.missing, found.stale) == (False, (), ("45-1 C-2",))


def test_a_list_that_was_refused(source: Edited, filled: Resources) -> None:
    source.edit(LIST, lambda rows: rows[:30])
    fetch(filled)
    found = verified(filled)
    assert (found.complete, found.held, found.missing, found.extra) == (False, BILLS, (), ())
    assert found.refused_at is not None
    assert found.swept_at is not None
    assert found.swept_at < found.refused_at
    assert "shrunken" in str(found.refused_reason)
    assert found.quarantined == ("list",)

    source.edits.clear()
    fetch(filled)
    assert verified(filled).complete


def test_a_row_that_cannot_be_read_is_missing_until_it_can(source: Edited, mirror: Resources) -> None:
    def unknown(rows: list[dict[str, str]]) -> object:
        rows[3]["LongTitleFr"] = ""
        return rows

    source.edit(LIST, unknown)
    fetch(mirror)
    found = verified(mirror)
    assert (found.complete, found.listed, found.missing, found.quarantined) == (
        False,
        BILLS,
        ("45-1 S-4",),
        ("45-1 S-4",),
    )
    source.edits.clear()
    fetch(mirror)
    assert verified(mirror).complete


def test_doubled_rows_and_flagged_bills_are_told(source: Edited, mirror: Resources) -> None:
    source.edit(LIST, lambda rows: [*rows, rows[0]])
    source.set(detail("C-2"), PassedHouseThirdReadingDateTime="2025-06-01T10:00:00")
    fetch(mirror)
    found = verified(mirror)
    assert found.doubled == ("45-1 S-1",)
    assert found.flagged == (
        Flagged("45-1 C-2", ("house_third_reading_before_house_first_reading", "passage_without_text")),
    )


def test_a_session_that_nobody_holds(filled: Resources) -> None:
    with pytest.raises(UsageError, match="does not hold session 44-1"):
        looking.verified(filled, "44-1")


def test_every_session_that_is_known(filled: Resources) -> None:
    alone.run_session(filled.pipeline, SessionId(44, 1))
    assert [found.scope for found in looking.verified(filled)] == ["44-1", "45-1"]


# Asking again.


def test_a_clean_sample(source: Edited, filled: Resources) -> None:
    source.asked.clear()
    found = sampled(filled, 5, seed=1)
    assert (found.clean, len(found.bills), found.requests) == (True, 5, 10)
    assert len(source.asked) == 10
    assert sampled(filled, 5, seed=1).bills == found.bills
    assert len(sampled(filled, 100).bills) == BILLS


def test_a_sample_compares_field_by_field_and_writes_nothing(source: Edited, filled: Resources) -> None:
    execute(filled, "UPDATE bills SET sponsor_name = 'Somebody Else' WHERE number = 'C-2'")
    source.set(companion("C-3"), sponsor_politician_url="/politicians/somebody-else/")
    source.edit(detail("C-4"), lambda document: None)
    source.edit(companion("C-5"), lambda document: None)  # not shown any more: it says nothing
    before = last_seq(filled)

    found = sampled(filled, BILLS)
    differing = {(item.key, item.field) for item in found.mismatches}
    assert differing == {("45-1 C-2", "sponsor_name"), ("45-1 C-3", "sponsor_slug"), ("45-1 C-4", None)}
    (sponsor,) = [item for item in found.mismatches if item.field == "sponsor_name"]
    assert (sponsor.mirror, sponsor.source) == ("Somebody Else", "Gary Anandasangaree")
    (gone,) = [item for item in found.mismatches if item.error]
    assert "45-1/c-4" in str(gone.error)
    assert last_seq(filled) == before
    assert not found.clean
    assert not found.of(filled.datasets["bills"], "45-1").clean
    assert found.of(filled.datasets["bills"], "44-1").clean


def test_a_field_that_is_withheld_is_no_mismatch(source: Edited, filled: Resources) -> None:
    source.set(r"/legisinfo/en/bill/", SponsorPersonName=" ")
    fetch_again(filled)
    assert sampled(filled, BILLS).clean


def test_a_sample_of_nothing_is_refused(filled: Resources) -> None:
    with pytest.raises(UsageError, match="at least 1 bill"):
        sampled(filled, 0)
