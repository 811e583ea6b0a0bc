"""A bill as it was known at any moment, and where each of its fields comes from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from parlex.datasets.bills import merge, past
from parlex.datasets.bills import reads as bill_reads
from parlex.datasets.bills.reads import BillStory
from parlex.datasets.provenance import Origin, provenance
from parlex.errors import UsageError
from parlex.parliament import BillKey, SessionId, moment_of, start_of
from parlex.resources import Resources
from parlex.runs import alone
from tests.edited import Edited
from tests.looking import (
    LIST,
    SESSION,
    changes,
    detail,
    execute,
    fetch,
    fetch_again,
    fetch_all,
    rows,
    stories,
    story,
)


def known(mirror: Resources, moment: datetime, number: str) -> BillStory | None:
    with mirror.db() as db:
        return past.as_of(db, BillKey(SESSION, number), moment)


def unlooked(found: BillStory) -> BillStory:
    """Without when it was last looked at, which the past does not keep."""
    return replace(found, bill=replace(found.bill, last_checked_at=None))


def test_every_state_that_was_ever_known_comes_back(source: Edited, mirror: Resources) -> None:
    """The sandbox from its first day to its last, a bill withdrawn and back, a stage that comes and goes."""
    past: list[tuple[datetime, dict[str, BillStory]]] = []

    def look() -> None:
        fetch(mirror)
        past.append((datetime.now(UTC), stories(mirror)))

    look()
    source.edit(LIST, lambda found: [row for row in found if row["NumberCode"] != "C-4"])
    look()
    source.edits.clear()
    while source.sandbox.advance():
        look()
    source.edit(detail("C-2"), _without_second_reading)
    fetch_again(mirror)
    past.append((datetime.now(UTC), stories(mirror)))
    source.edits.clear()
    fetch_again(mirror)
    past.append((datetime.now(UTC), stories(mirror)))

    assert len({change.kind for change in changes(mirror)}) == 4  # created, changed, withdrawn, reappeared
    for moment, then in past:
        for number, bill in then.items():
            assert known(mirror, moment, number) == unlooked(bill), (number, moment)


def _without_second_reading(document: Any) -> Any:
    house = document[0]["BillStages"]["HouseBillStages"]
    document[0]["BillStages"]["HouseBillStages"] = [stage for stage in house if stage["BillStageId"] != 60030]
    return document


def test_a_bill_is_not_known_before_it_was_seen(filled: Resources) -> None:
    seen = story(filled, "C-2").bill.first_seen_at
    assert known(filled, seen, "C-2") is not None
    assert known(filled, seen - timedelta(microseconds=1), "C-2") is None
    assert known(filled, seen, "C-999") is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01", datetime(2026, 3, 2, 4, 59, 59, 999999, tzinfo=UTC)),  # winter: five hours behind
        ("2026-07-01", datetime(2026, 7, 2, 3, 59, 59, 999999, tzinfo=UTC)),  # summer: four
        ("2026-03-01T12:00:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01 12:00", datetime(2026, 3, 1, 17, tzinfo=UTC)),
    ],
)
def test_a_day_is_its_end_in_ottawa(text: str, moment: datetime) -> None:
    assert moment_of(text) == moment


def test_a_time_that_something_starts_from_is_the_beginning_of_the_day() -> None:
    assert start_of("2026-03-01") == datetime(2026, 3, 1, 5, tzinfo=UTC)
    assert start_of("2026-03-01T12:00:00Z") == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "2026-13-01", "", "9999-12-31"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError, match="is no moment"):
        moment_of(text)


def test_an_edge_of_a_day(filled: Resources) -> None:
    """A change at half past four in the morning UTC belongs to the day before in Ottawa."""
    execute(filled, "UPDATE bills SET first_seen_at = '2026-02-01' WHERE number = 'C-2'")
    execute(filled, "UPDATE bills SET sponsor_name = 'New' WHERE number = 'C-2'")
    execute(filled, "UPDATE changes SET observed_at = '2026-02-01' WHERE key = '45-1 C-2'")
    execute(
        filled,
        "INSERT INTO changes (seq, dataset, key, kind, field, old, new, observed_at)"
        " VALUES (1000, 'bills', '45-1 C-2', 'changed', 'sponsor_name', '\"Old\"', '\"New\"', '2026-03-02T04:30:00Z')",
    )
    for day, name in (("2026-02-28", "Old"), ("2026-03-01", "New")):
        found = known(filled, moment_of(day), "C-2")
        assert found is not None
        assert found.bill.sponsor_name == name
    then = known(filled, moment_of("2026-02-28"), "C-2")
    assert then is not None
    assert then.bill.last_changed_at == datetime(2026, 2, 1, tzinfo=UTC)


def test_time_runs_on_only_while_the_session_does(filled: Resources) -> None:
    now = datetime(2026, 9, 1, 2, tzinfo=UTC)  # still 31 August in Ottawa
    execute(filled, "UPDATE bills SET first_seen_at = '2026-08-01'")
    with filled.db() as db:
        bill = bill_reads.bill(db, BillKey(SESSION, "C-2"))
        assert bill is not None
        (span,) = past.times_in_stage(db, bill, now)
        assert (span.after, span.since, span.until) == ("house_first_reading", date(2025, 6, 3), None)
        assert span.days == (date(2026, 8, 31) - date(2025, 6, 3)).days

    alone.run_session(filled.pipeline, SessionId(44, 1))
    with filled.db() as db:
        numbers = [found.number for found in bill_reads.bills(db, SessionId(44, 1)) if not found.royal_assent_on]
        old = bill_reads.bill(db, BillKey(SessionId(44, 1), numbers[-1]))
        assert old is not None
        *_, last = past.times_in_stage(db, old, now + timedelta(days=365))
        assert (last.until, last.days) == (None, None)


# Where it comes from.


def origins(mirror: Resources, number: str) -> dict[str, Origin]:
    with mirror.db() as db:
        return {origin.field: origin for origin in provenance(db, mirror.datasets["bills"], f"{SESSION} {number}")}


def test_each_field_has_its_source_document_and_time(source: Edited, filled: Resources) -> None:
    found = origins(filled, "C-2")
    assert list(found) == list(merge.RULES)
    kept = {
        (name, sha256): (url, fetched_at)
        for name, sha256, url, fetched_at in rows(
            filled, "SELECT source, sha256, url, fetched_at FROM document_fetches WHERE key = '45-1 C-2'"
        )
    }
    assert [field for field, origin in found.items() if origin.document is None] == ["sponsor_slug"], "which is derived"
    for origin in found.values():
        assert origin.document is None or kept[origin.source, str(origin.document)] == (origin.url, origin.fetched_at)
        assert origin.since == story(filled, "C-2").bill.first_seen_at
        assert (origin.stands_in, origin.withheld) == (False, False)
    assert (found["title_en"].source, found["sponsor_slug"].source) == ("legisinfo", "openparliament")
    assert found["sponsor_slug"].value == "gary-anandasangaree"
    assert len(found["stages"].value) == 8


def test_a_source_that_stands_in_is_named(source: Edited, filled: Resources) -> None:
    source.set(detail("C-2"), ShortTitleEn="")
    fetch_all(filled)
    fetch_again(filled)
    found = origins(filled, "C-2")["short_title_en"]
    assert (found.value, found.source, found.stands_in) == ("Strong Borders Act", "openparliament", True)
    assert f"{source.url}/bills/45-1/C-2/" in str(found.url)


def test_a_changed_field_tells_since_when(source: Edited, filled: Resources) -> None:
    source.set(detail("C-2"), SponsorPersonName="Somebody Else")
    fetch_again(filled)
    found = origins(filled, "C-2")
    assert found["sponsor_name"].since > found["title_en"].since
    assert found["sponsor_name"].fetched_at == found["title_en"].fetched_at


def test_a_withheld_field_keeps_the_document_that_it_came_with(source: Edited, filled: Resources) -> None:
    before = origins(filled, "C-2")["sponsor_name"]
    source.set(r"/legisinfo/en/bill/", SponsorPersonName=" ")
    fetch_again(filled)
    found = origins(filled, "C-2")
    assert found["sponsor_name"].withheld
    assert replace(found["sponsor_name"], withheld=False) == before
    assert found["title_en"].document != before.document


def test_a_companion_that_never_answered_has_no_document(source: Edited, mirror: Resources) -> None:
    source.edit(r"^/bills/45-1/", lambda bill: None)
    source.edit(r"^/politicians/", lambda page: page | {"objects": []})
    fetch(mirror)
    found = origins(mirror, "C-2")["sponsor_slug"]
    assert (found.value, found.source, found.document, found.fetched_at) == (None, "openparliament", None, None)


def test_a_bill_that_is_not_held(filled: Resources) -> None:
    with pytest.raises(UsageError, match="does not hold 45-1 C-999"):
        origins(filled, "C-999")
