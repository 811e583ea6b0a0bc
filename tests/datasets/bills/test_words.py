"""A new word upstream freezes no bill: it lands as it is written, and a person names it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from parlex.datasets.bills import words
from parlex.datasets.bills.bill import StatusCode
from parlex.datasets.bills.dataset import BillDataset
from parlex.errors import UsageError
from parlex.local.sandbox.faults import NEW_STATUS
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs.fetch_logs import Figures
from parlex.watch import alerts, monitor
from tests.edited import Edited
from tests.looking import LIST, SESSION, again, changes, detail, fetch, last_seq, let_pass, rows, story

UNKNOWN = "SELECT number FROM bills WHERE status_code = 'unknown' ORDER BY number"
NEW_TYPE = "House Citizens’ Bill"


def name(mirror: Resources, kind: str, said: str, code: str) -> None:
    """As a person does while nothing runs: the next run gives the code."""
    with mirror.db() as db:
        words.add(db, kind, said, code, by="somebody")


def as_they_were(mirror: Resources) -> list[tuple[Any, ...]]:
    """Everything but what a new status changes."""
    left_out = "'status_code', 'status_en', 'flags', 'last_changed_at', 'first_seen_at'"
    return rows(mirror, f"SELECT to_jsonb(bills) - ARRAY[{left_out}] AS row FROM bills ORDER BY key")


@pytest.fixture
def renamed(source: Edited, mirror: Resources) -> tuple[list[Any], Figures]:
    """A mirror whose source gave the status of a third of the bills another name; the bills before."""
    fetch(mirror)
    before = as_they_were(mirror)
    source.sandbox.fault("new_status", host="legisinfo", share=30)
    return before, fetch(mirror)


def test_a_status_with_a_new_name_on_many_rows(
    source: Edited, mirror: Resources, renamed: tuple[list[Any], Figures]
) -> None:
    before, run = renamed
    new = [number for (number,) in rows(mirror, UNKNOWN)]
    assert 10 < len(new) < 30
    assert (run.status, run.failed, run.updated) == ("success", 0, len(new)), "they alone are asked for"
    assert as_they_were(mirror) == before, "every other fact"
    assert rows(mirror, "SELECT count(*) FROM quarantine") == [(0,)]
    for number in new:
        found = story(mirror, number)
        assert found.bill.status_en == NEW_STATUS
        assert "unknown_status" in found.flags
    flagged = "SELECT number FROM bills WHERE 'unknown_status' = ANY(flags) ORDER BY number"
    assert [number for (number,) in rows(mirror, flagged)] == new
    assert fetch(mirror).bills_fetched == 0, "and not at each tick"


def test_a_new_mirror_lands_them_too(source: Edited, mirror: Resources) -> None:
    source.sandbox.fault("new_status", host="legisinfo")
    run = fetch(mirror)
    assert (run.status, run.created) == ("success", len(rows(mirror, UNKNOWN)))


def test_it_is_told_once_and_one_for_all(source: Edited, mirror: Resources, renamed: tuple[list[Any], Figures]) -> None:
    count = len(rows(mirror, UNKNOWN))
    news = alerts.check(mirror)
    (told,) = (row for row in news.opened if row.rule == "unknown_word")
    assert NEW_STATUS in told.headline
    assert f"{count} records" in told.detail
    let_pass(mirror, hours=48)
    later = alerts.check(mirror)
    assert not [row for row in (*later.opened, *later.lasting, *later.grown) if row.rule == "unknown_word"]
    with mirror.db() as db:
        now = datetime.now(UTC)
        found = monitor.statistics(db, now, now, mirror.datasets["bills"], mirror.settings)
    assert [(one.kind, one.text, one.records) for one in found.unknown_words] == [("status", NEW_STATUS, count)]
    assert any(NEW_STATUS in line for line in found.problems)


def test_the_next_run_gives_the_code_that_a_person_named(
    source: Edited, mirror: Resources, renamed: tuple[list[Any], Figures]
) -> None:
    new, seq = rows(mirror, UNKNOWN), last_seq(mirror)
    name(mirror, "status", NEW_STATUS, "HouseInCommittee")
    source.asked.clear()
    run = fetch(mirror)
    assert (run.status, run.bills_fetched) == ("success", 0)
    assert len(source.asked) == 1, "the list"
    assert rows(mirror, UNKNOWN) == []
    found = [one for one in changes(mirror, seq) if one.field == "status_code"]
    assert {(one.kind, one.old, one.new) for one in found} == {("reparsed", "unknown", "HouseInCommittee")}
    assert sorted(one.number for one in found if one.number) == [number for (number,) in new]
    assert rows(mirror, "SELECT count(*) FROM bills WHERE 'unknown_status' = ANY(flags)") == [(0,)]
    assert fetch(mirror).bills_fetched == 0


def test_a_replay_gives_it_too(source: Edited, mirror: Resources, renamed: tuple[list[Any], Figures]) -> None:
    seq = last_seq(mirror)
    name(mirror, "status", NEW_STATUS, "house_paused")
    again(mirror, apply=True)
    assert rows(mirror, UNKNOWN) == []
    found = {(one.kind, one.new) for one in changes(mirror, seq) if one.field == "status_code"}
    assert found == {("reparsed", "house_paused")}
    assert last_seq(mirror) > seq
    seq = last_seq(mirror)
    again(mirror, apply=True)
    assert last_seq(mirror) == seq


def test_a_word_is_named_otherwise_and_its_name_is_forgotten(
    source: Edited, mirror: Resources, renamed: tuple[list[Any], Figures]
) -> None:
    new = rows(mirror, UNKNOWN)
    dataset, now = mirror.datasets["bills"], datetime.now(UTC)
    assert isinstance(dataset, BillDataset)
    codes = f"SELECT DISTINCT status_code FROM bills WHERE status_en = '{NEW_STATUS}'"
    for code in ("HouseInCommittee", "SenateInCommittee"):
        name(mirror, "status", NEW_STATUS, code)
        with mirror.db() as db:
            assert dataset.rename(db, None, now) == len(new)
        assert rows(mirror, codes) == [(code,)]
    with mirror.db() as db:
        words.remove(db, "status", NEW_STATUS)
        assert dataset.rename(db, None, now, [NEW_STATUS]) == len(new)
    assert rows(mirror, UNKNOWN) == new


def test_a_status_that_the_list_knows_before_the_details_do(source: Edited, mirror: Resources) -> None:
    """They are asked for again in a day, and are settled once a person has named it as what they say."""

    def rename(page: Any) -> Any:
        for row in page:
            row["StatusNameEn"] = NEW_STATUS if row["NumberCode"] == "C-2" else row["StatusNameEn"]
        return page

    fetch(mirror)
    source.edit(LIST, rename)
    assert alone.run_latest(mirror.pipeline).bills_fetched == 1
    code = str(story(mirror, "C-2").bill.status_code)
    let_pass(mirror, hours=25)
    assert fetch(mirror).bills_fetched == 1
    name(mirror, "status", NEW_STATUS, code)
    let_pass(mirror, hours=25)
    assert fetch(mirror).bills_fetched == 1
    let_pass(mirror, hours=25)
    assert fetch(mirror).bills_fetched == 0


def test_a_type_that_nobody_named(source: Edited, mirror: Resources) -> None:
    source.set(detail("C-2"), BillDocumentTypeNameEn=NEW_TYPE, BillDocumentTypeId=4711, IsGovernmentBill=True)
    fetch(mirror)
    found = story(mirror, "C-2")
    assert (found.bill.bill_type, found.bill.is_government, found.flags[-1:]) == (NEW_TYPE, True, ("unknown_type",))
    name(mirror, "type", "House Citizens' Bill", "citizens_bill")
    again(mirror, apply=True)
    found = story(mirror, "C-2")
    assert (found.bill.bill_type, "unknown_type" in found.flags) == ("citizens_bill", False)


@pytest.mark.parametrize(
    "values",
    [
        {"StatusNameEn": "  "},
        {"StatusNameFr": ""},
        {"BillDocumentTypeNameEn": ""},
        {"StatusNameEn": None},
        {"StatusId": 341},
        {"StatusNameEn": 7},
        {"BillDocumentTypeId": 80760},
        {"NumberCode": "C-3"},
        {"LongTitleFr": ""},
    ],
)
def test_what_is_wrong_is_refused_as_ever(source: Edited, mirror: Resources, values: dict[str, Any]) -> None:
    """A missing language, an identity that does not fit, a type error, an id that does not go with a known text."""
    source.set(detail("C-2"), **values)
    run = fetch(mirror)
    assert (run.status, run.failed) == ("partial", 1)
    assert rows(mirror, "SELECT key, kind FROM quarantine") == [(f"{SESSION} C-2", "document")]


@pytest.mark.parametrize(
    ("kind", "said", "code", "wrong"),
    [
        ("colour", "Red", "red", "no kind of word"),
        ("status", "  ", "house_paused", "as LEGISinfo writes it"),
        ("status", "Bill defeated", "house_paused", "known already, as BillDefeated"),
        ("status", "New", "unknown", "is no code"),
        ("status", "New", "HousePaused", "is no code"),
        ("type", "New", "BillDefeated", "is no code"),
    ],
)
def test_what_cannot_be_a_word(mirror: Resources, kind: str, said: str, code: str, wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong):
        name(mirror, kind, said, code)
    with mirror.db() as db, pytest.raises(UsageError):
        words.remove(db, "status", "Never named")


def test_a_new_code_is_told_apart(mirror: Resources) -> None:
    with mirror.db() as db:
        assert words.add(db, "status", "New", "house_paused", by="somebody")
        assert not words.add(db, "status", "New", StatusCode.HOUSE_IN_COMMITTEE, by="somebody")
        assert "house_paused" not in words.codes(db, "status")
        assert words.codes(db, "status")[-1] == "unknown"
        (found,) = words.words(db)
    assert (found.source, found.text, found.code, found.added_by) == (
        "legisinfo",
        "New",
        "HouseInCommittee",
        "somebody",
    )
