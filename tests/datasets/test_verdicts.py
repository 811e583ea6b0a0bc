"""What was not believed, and what a person's word on it does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from parlex.datasets import verdicts
from parlex.datasets.provenance import provenance
from parlex.datasets.replay import Difference
from parlex.errors import UsageError
from parlex.mirror.quarantine import QuarantineRecord
from parlex.resources import Resources
from parlex.runs import reads as run_reads
from tests.edited import Edited
from tests.looking import (
    LIST,
    SESSION,
    changes,
    detail,
    execute,
    fetch,
    fetch_again,
    last_seq,
    outdate,
    rows,
    step,
    story,
    verified,
)

DETAILS = r"/legisinfo/en/bill/"


def entries(mirror: Resources, state: str | None = "open") -> list[QuarantineRecord]:
    with mirror.db() as db:
        return list(verdicts.entries(db, state=state))


def approve(mirror: Resources, number: int) -> tuple[Difference, ...]:
    with mirror.db() as db:
        return verdicts.approve(db, mirror.datasets, number, now=datetime.now(UTC))


def reject(mirror: Resources, number: int) -> None:
    with mirror.db() as db:
        verdicts.reject(db, mirror.datasets, number, now=datetime.now(UTC))


def of(mirror: Resources, key: str) -> QuarantineRecord:
    (found,) = [entry for entry in entries(mirror, None) if entry.key == key]
    return found


# Fields.


@pytest.fixture
def nameless(source: Edited, filled: Resources) -> Iterator[Resources]:
    """The mirror after every sponsor's name went blank at once."""
    source.set(DETAILS, SponsorPersonName=" ")
    assert fetch_again(filled).status == "partial"
    return filled


def test_blanks_that_come_together_wait_for_a_person(nameless: Resources) -> None:
    assert story(nameless, "C-2").bill.sponsor_name == "Gary Anandasangaree"
    found = of(nameless, "45-1 C-2")
    assert (found.kind, found.guard, found.field, found.held) == (
        "field",
        "blanked",
        "sponsor_name",
        "Gary Anandasangaree",
    )
    assert not [change for change in changes(nameless) if change.kind == "changed"]


def test_the_same_blank_is_counted_and_not_opened_again(nameless: Resources) -> None:
    before = len(entries(nameless))
    fetch_again(nameless)
    assert (len(entries(nameless)), of(nameless, "45-1 C-2").seen_count) == (before, 2)


def test_an_approved_blank_is_taken_over_at_once(source: Edited, nameless: Resources) -> None:
    source.asked.clear()
    (made,) = approve(nameless, of(nameless, "45-1 C-2").id)
    assert (made.kind, made.field, made.old, made.new) == ("changed", "sponsor_name", "Gary Anandasangaree", None)
    assert story(nameless, "C-2").bill.sponsor_name is None
    assert story(nameless, "C-3").bill.sponsor_name is not None
    (last,) = [change for change in changes(nameless) if change.kind != "created"]
    assert (last.number, last.kind, last.field, last.new) == ("C-2", "changed", "sponsor_name", None)
    assert not source.asked  # from the document that is there

    fetch_again(nameless)
    assert story(nameless, "C-2").bill.sponsor_name is None


def test_a_rejected_blank_is_kept_out_for_good(nameless: Resources) -> None:
    for entry in entries(nameless):
        reject(nameless, entry.id)
    again = fetch_again(nameless)
    assert story(nameless, "C-2").bill.sponsor_name == "Gary Anandasangaree"
    # It is settled: no error of later runs, and not open again.
    assert (again.status, again.error_count, entries(nameless)) == ("success", 0, [])


def test_a_value_settles_it_whatever_was_decided(source: Edited, nameless: Resources) -> None:
    reject(nameless, of(nameless, "45-1 C-2").id)
    source.edits.clear()
    source.set(detail("C-2"), SponsorPersonName="Somebody Else")
    fetch_again(nameless)
    assert story(nameless, "C-2").bill.sponsor_name == "Somebody Else"
    assert entries(nameless) == []
    assert of(nameless, "45-1 C-2").state == "resolved"
    assert "(rejected by a person at " in of(nameless, "45-1 C-2").reason
    with pytest.raises(UsageError, match="has resolved itself"):
        approve(nameless, of(nameless, "45-1 C-2").id)


def test_one_bill_that_goes_blank_is_the_source_s_word(source: Edited, filled: Resources) -> None:
    source.set(detail("C-2"), SponsorPersonName=" ")
    fetch_again(filled)
    assert story(filled, "C-2").bill.sponsor_name is None
    assert entries(filled) == []


def test_what_a_revoked_run_saw_go_blank_is_judged_with_what_the_next_one_sees(
    source: Edited, filled: Resources
) -> None:
    source.set(DETAILS, SponsorPersonName=" ")
    outdate(filled)
    run = filled.pipeline.open_run(filled.pipeline.session_request(SESSION), carrier="process").run
    filled.pipeline.plan(run)
    first = filled.pipeline.take_due(run)[:4]
    for key in first:
        step(filled, run, key)
    assert [(entry.key, entry.state) for entry in entries(filled, "pending")] == [
        (key, "pending") for key in reversed(first)
    ]
    filled.pipeline.revoke(run.run_id)
    assert entries(filled) == []

    rest = fetch(filled)
    assert rows(filled, "SELECT count(*) FROM bills WHERE sponsor_name IS NULL") == [(0,)]
    assert (rest.status, len(entries(filled)), entries(filled, "pending")) == ("partial", 60, [])


def test_a_blank_that_nobody_can_judge_yet_is_told_of_as_such(source: Edited, filled: Resources) -> None:
    source.set(detail("C-2"), SponsorPersonName=" ")
    outdate(filled)
    run = filled.pipeline.open_run(filled.pipeline.session_request(SESSION), carrier="process").run
    filled.pipeline.plan(run)
    for key in filled.pipeline.take_due(run):
        step(filled, run, key)
    assert "until the end of a run tells for how many" in of(filled, "45-1 C-2").reason
    (told,) = verified(filled)
    assert (told.complete, told.pending, told.quarantined) == (True, ("45-1 C-2",), ())
    with filled.db() as db:
        origins = {origin.field: origin for origin in provenance(db, filled.datasets["bills"], "45-1 C-2")}
        story = run_reads.run_story(db, run.run_id)
    assert (origins["sponsor_name"].value, origins["sponsor_name"].withheld) == ("Gary Anandasangaree", True)
    assert story is not None
    assert [row.state for row in story.quarantine] == ["pending"]
    assert "quarantine: 45-1 C-2, blanked, not judged yet" in [event.event for event in story.timeline]

    assert filled.pipeline.close_if_complete(run) is not None
    (told,) = verified(filled)
    assert (told.complete, told.pending) == (True, ())


def test_the_few_of_a_revoked_run_are_believed_at_the_end_of_the_next_one(source: Edited, filled: Resources) -> None:
    source.set(detail("C-2"), SponsorPersonName=" ")
    outdate(filled)
    run = filled.pipeline.open_run(filled.pipeline.session_request(SESSION), carrier="process").run
    filled.pipeline.plan(run)
    step(filled, run, "45-1 C-2")
    filled.pipeline.revoke(run.run_id)
    assert story(filled, "C-2").bill.sponsor_name == "Gary Anandasangaree"
    fetch(filled)
    assert story(filled, "C-2").bill.sponsor_name is None
    assert entries(filled, None) == []


def test_blanks_that_wait_for_a_person_are_evidence_for_a_run_of_few(source: Edited, filled: Resources) -> None:
    source.set(r"/legisinfo/en/bill/45-1/c-", SponsorPersonName=" ")
    assert fetch_again(filled).status == "partial"
    source.set(detail("S-2"), SponsorPersonName=" ")
    execute(filled, "UPDATE listings SET fetched_fingerprint = 'older' WHERE source = 'legisinfo' AND key = '45-1 S-2'")
    run = fetch(filled)
    assert (run.bills_fetched, run.status) == (1, "partial")
    assert story(filled, "S-2").bill.sponsor_name is not None
    assert of(filled, "45-1 S-2").state == "open"


def test_a_decision_is_made_once(nameless: Resources) -> None:
    number = of(nameless, "45-1 C-2").id
    reject(nameless, number)
    with pytest.raises(UsageError, match="rejected already"):
        reject(nameless, number)
    approve(nameless, number)  # a person may think again while the matter lasts
    assert story(nameless, "C-2").bill.sponsor_name is None
    with pytest.raises(UsageError, match="the history has the old value"):
        reject(nameless, number)


# Lists.


def test_a_list_that_shrank_is_believed_once_it_is_approved(source: Edited, filled: Resources) -> None:
    source.edit(LIST, lambda found: found[:30])
    with capture_logs() as logs:
        assert fetch(filled).status == "failure"
    assert [(line["guard"], line["scope"]) for line in logs if line["event"] == "alert guard"] == [("shrunken", "45-1")]
    (entry,) = entries(filled)
    assert (entry.kind, entry.guard, entry.scope, entry.key) == ("sweep", "shrunken", "45-1", None)
    assert approve(filled, entry.id) == ()

    assert fetch(filled).status == "success"
    assert rows(filled, "SELECT count(*) FROM bills WHERE withdrawn") == [(30,)]
    source.edit(LIST, lambda found: found[:10])
    assert fetch(filled).status == "failure"  # the word was for one list


def test_a_list_that_was_rejected_stays_refused(source: Edited, filled: Resources) -> None:
    source.edit(LIST, lambda found: [])
    fetch(filled)
    (entry,) = entries(filled)
    reject(filled, entry.id)
    assert fetch(filled).status == "failure"
    assert entries(filled) == []  # known, and not open again
    assert rows(filled, "SELECT count(*) FROM bills WHERE withdrawn") == [(0,)]

    source.edits.clear()
    assert fetch(filled).status == "success"
    source.edit(LIST, lambda found: [])
    fetch(filled)
    assert [found.guard for found in entries(filled)] == ["empty"]  # another time is another matter


def test_a_field_of_the_list_that_went_blank_stays_open_until_it_is_decided(source: Edited, filled: Resources) -> None:
    source.set(LIST, ShortTitleEn="")
    source.set(DETAILS, ShortTitleEn="")
    source.edit(r"^/bills/45-1/", lambda bill: bill | {"short_title": bill["short_title"] | {"en": ""}})
    with capture_logs() as logs:
        assert fetch(filled).status == "partial"
    assert [(line["guard"], line["field"]) for line in logs if line["log_level"] == "error"] == [
        ("blanked", "short_title_en")
    ]
    (entry,) = entries(filled)
    assert (entry.kind, entry.guard, entry.field) == ("sweep", "blanked", "short_title_en")
    fetch(filled)
    (entry,) = entries(filled)
    assert entry.seen_count == 2

    approve(filled, entry.id)
    fetch(filled)
    # Now the lines say so, the details are asked for, and there each bill's blank is guarded in its turn.
    assert {(found.kind, found.field) for found in entries(filled)} == {("field", "short_title_en")}


# What cannot be read.


def test_nothing_is_approved_that_cannot_be_read(source: Edited, filled: Resources) -> None:
    source.set(detail("C-2"), StatusId=1)
    source.edit(LIST, lambda found: [row | {"LongTitleFr": ""} if row["NumberCode"] == "C-3" else row for row in found])
    fetch_again(filled)
    document, row = of(filled, "45-1 C-2"), of(filled, "45-1 C-3")
    assert (document.kind, row.kind) == ("document", "row")
    for entry in (document, row):
        with pytest.raises(UsageError, match="mend the parser"):
            approve(filled, entry.id)
        reject(filled, entry.id)
    assert entries(filled) == []


def test_what_is_not_there(filled: Resources) -> None:
    with pytest.raises(UsageError, match="nothing in quarantine has the number 77"):
        approve(filled, 77)
    with filled.db() as db, pytest.raises(UsageError, match="'lost' is not a state"):
        list(verdicts.entries(db, state="lost"))


def test_entries_of_a_session(source: Edited, filled: Resources) -> None:
    source.edit(LIST, lambda found: [])
    fetch(filled)
    with filled.db() as db:
        assert len(list(verdicts.entries(db, session=SESSION))) == 1
        assert list(verdicts.entries(db, session=type(SESSION)(44, 1))) == []
        assert list(verdicts.entries(db, limit=0)) == []
    assert last_seq(filled) == 60
    assert datetime.now(UTC) > entries(filled)[0].seen_at
