"""The archive read again: nothing right after a backfill, and exactly what differs where something does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from parlex.datasets.replay import Difference
from parlex.errors import UsageError
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.watch import upkeep
from tests.edited import Edited
from tests.looking import SESSION, again, changes, detail, execute, fetch_again, last_seq, rows, stories, story


def replayed(mirror: Resources, **options: object) -> list[Difference]:
    parts = again(mirror, **options)
    assert not [error for part in parts for error in part.errors]
    return [item for part in parts for item in part.differences]


def test_right_after_a_backfill_nothing_differs(source: Edited, filled: Resources) -> None:
    source.asked.clear()
    parts = again(filled)
    assert (sum(part.records for part in parts), [part.differences for part in parts]) == (60, [()])
    assert not source.asked  # offline


def test_a_row_that_differs_from_its_document_is_shown_and_then_made(filled: Resources) -> None:
    """As after a change of the parser: the row is what the old code made of the document."""
    good = stories(filled)
    execute(filled, "UPDATE bills SET royal_assent_on = '2026-01-01', sponsor_slug = 'nobody' WHERE number = 'C-3'")
    execute(filled, "UPDATE bill_stages SET sittings = 99 WHERE number = 'C-2' AND stage = 'first_reading'")
    before = last_seq(filled)

    found = {(item.number, item.field): (item.old, item.new, item.source) for item in replayed(filled)}
    assert found["C-3", "royal_assent_on"] == ("2026-01-01", "2025-11-20", "legisinfo")
    assert found["C-3", "sponsor_slug"][2] == "openparliament"
    assert found["C-2", "stages.house.first_reading"][0]["sittings"] == 99
    assert last_seq(filled) == before  # only shown

    assert {(item.number, item.field) for item in replayed(filled, apply=True)} == set(found)
    assert replayed(filled) == []
    now = stories(filled)
    for number in ("C-2", "C-3"):
        assert now[number].stages == good[number].stages
        assert now[number].bill.royal_assent_on == good[number].bill.royal_assent_on
        assert now[number].bill.sponsor_slug == good[number].bill.sponsor_slug
    made = changes(filled, before)
    assert {(change.number, change.field, change.kind) for change in made} == {(*each, "reparsed") for each in found}


def test_flags_that_alone_are_judged_otherwise_are_our_reading_and_no_news(filled: Resources) -> None:
    execute(filled, "UPDATE bills SET flags = '{invented}' WHERE number = 'C-3'")
    before = last_seq(filled)
    (found,) = replayed(filled, apply=True)
    assert (found.field, found.old, found.new, found.source) == ("flags", ["invented"], [], None)
    assert story(filled, "C-3").flags == ()
    assert [(change.kind, change.field) for change in changes(filled, before)] == [("reparsed", "flags")]


def test_a_bill_whose_row_is_gone_is_created_from_its_documents(filled: Resources) -> None:
    good = story(filled, "C-3")
    execute(filled, "DELETE FROM bills WHERE number = 'C-3'")
    (found,) = replayed(filled, apply=True)
    assert (found.number, found.kind, found.field) == ("C-3", "created", None)
    assert story(filled, "C-3").stages == good.stages


def test_what_a_guard_withholds_stays_withheld(source: Edited, filled: Resources) -> None:
    source.set(r"/legisinfo/en/bill/", SponsorPersonName=" ")
    fetch_again(filled)
    assert replayed(filled, apply=True) == []
    assert story(filled, "C-2").bill.sponsor_name == "Gary Anandasangaree"


def test_a_session_or_a_time_may_be_chosen(filled: Resources) -> None:
    execute(filled, "UPDATE bills SET sponsor_name = 'Somebody Else' WHERE number IN ('C-2', 'C-3')")
    with pytest.raises(UsageError, match="does not hold session 44-1"):
        replayed(filled, scopes=[str(SessionId(44, 1))])
    assert len(replayed(filled, scopes=[str(SESSION)])) == 2
    assert replayed(filled, since=datetime.now(UTC) + timedelta(hours=1)) == []
    execute(filled, "UPDATE latest_documents SET fetched_at = '2020-03-01' WHERE key = '45-1 C-2'")
    assert [item.number for item in replayed(filled, since=datetime(2021, 1, 1, tzinfo=UTC))] == ["C-3"]


def test_a_document_that_can_be_read_by_now_is_taken(source: Edited, filled: Resources) -> None:
    """Its parking is simulated: a document that today's code reads, refused by the code of then."""
    source.set(detail("C-2"), SponsorPersonName="Somebody Else")
    good = rows(
        filled, "SELECT sha256, url, fetched_at FROM latest_documents WHERE key = '45-1 C-2' AND source = 'legisinfo'"
    )
    fetch_again(filled)
    (newer,) = rows(filled, "SELECT sha256 FROM latest_documents WHERE key = '45-1 C-2' AND source = 'legisinfo'")[0]
    execute(
        filled,
        "UPDATE latest_documents SET sha256 = :sha256, url = :url, fetched_at = :fetched_at"
        " WHERE key = '45-1 C-2' AND source = 'legisinfo'",
        **dict(zip(("sha256", "url", "fetched_at"), good[0], strict=True)),
    )
    execute(filled, "UPDATE bills SET sponsor_name = 'Gary Anandasangaree' WHERE number = 'C-2'")
    execute(
        filled,
        "INSERT INTO quarantine (dataset, scope, key, kind, guard, source, reason, document, opened_at, seen_at)"
        " VALUES ('bills', '45-1', '45-1 C-2', 'document', 'unreadable', 'legisinfo', 'odd', :newer, now(), now())",
        newer=newer,
    )
    (found,) = replayed(filled, apply=True)
    assert (found.field, found.new, found.document) == ("sponsor_name", "Somebody Else", newer)
    assert rows(filled, "SELECT state FROM quarantine") == [("resolved",)]
    standing = rows(filled, "SELECT sha256 FROM latest_documents WHERE key = '45-1 C-2' AND source = 'legisinfo'")
    assert standing == [(newer,)]
    assert replayed(filled) == []


def test_a_document_that_still_cannot_be_read_changes_nothing(source: Edited, filled: Resources) -> None:
    source.set(detail("C-2"), StatusNameEn="At the printer's")
    fetch_again(filled)
    assert replayed(filled, apply=True) == []
    assert rows(filled, "SELECT state FROM quarantine") == [("open",)]


def test_a_parked_document_is_read_from_the_archive(
    source: Edited, filled: Resources, make_resources: object, tmp_path: Path
) -> None:
    source.set(detail("C-2"), StatusNameEn="At the printer's")
    fetch_again(filled)
    archived = make_resources(  # type: ignore[operator]
        legisinfo_url=source.url, openparliament_url=source.url, archive_url=str(tmp_path / "archive")
    )
    upkeep.archive(archived)
    execute(filled, "UPDATE documents SET body = NULL WHERE sha256 = (SELECT document FROM quarantine)")
    assert replayed(archived) == []  # read, and still not to be understood
    assert replayed(filled) == []  # without an archive there is nothing to read


def test_what_an_older_version_read_for_less_is_read_again(filled: Resources) -> None:
    good = stories(filled)
    execute(filled, "DELETE FROM bill_events")
    execute(filled, "UPDATE bills SET form = NULL WHERE number = 'C-4'")
    execute(filled, "UPDATE latest_documents SET reading = 1 WHERE dataset = 'bills'")
    before = last_seq(filled)
    assert upkeep.to_read_again(filled) == len(good)
    assert upkeep.read_again(filled) == len(good)
    assert {number: one.events for number, one in stories(filled).items()} == {n: one.events for n, one in good.items()}
    assert story(filled, "C-4").bill.form == "regular"
    assert {change.kind for change in changes(filled, before)} == {"reparsed"}
    assert (upkeep.to_read_again(filled), upkeep.read_again(filled)) == (0, 0)


def test_a_fetch_tells_what_is_our_reading_from_what_is_news(source: Edited, filled: Resources) -> None:
    """Where the record was not read again before its next change comes."""
    execute(filled, "DELETE FROM bill_events WHERE number = 'C-4'")
    execute(filled, "UPDATE latest_documents SET reading = 1 WHERE key = '45-1 C-4'")
    source.set(detail("C-4"), LongTitleEn="Another Act")
    before = last_seq(filled)
    fetch_again(filled)
    kinds = {(change.field or "").partition(".")[0]: change.kind for change in changes(filled, before)}
    assert kinds == {"events": "reparsed", "title_en": "changed"}
    assert upkeep.to_read_again(filled) == 0
