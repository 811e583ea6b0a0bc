"""The commands about the mirror, as a user has them: what they print, and how they exit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from parlex.resources import Resources
from tests.commands import run
from tests.edited import Edited
from tests.looking import LIST, execute, fetch, fetch_again, fetch_all, last_seq, rows, story


def objects(mirror: Resources, *arguments: str, code: int = 0, **changes: str) -> list[dict[str, Any]]:
    """What a command prints with --json."""
    done = run(mirror.settings, *arguments, "--json", **changes)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def refused(mirror: Resources, *arguments: str, code: int = 2) -> str:
    """The one line on standard error of a command that does nothing."""
    done = run(mirror.settings, *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    return done.stderr


def test_verify(source: Edited, filled: Resources) -> None:
    (found,) = objects(filled, "verify", "45-1", "--deep", "3", "--seed", "1")
    assert (found["session"], found["complete"], found["listed"], found["held"]) == ("45-1", True, 60, 60)
    assert (len(found["deep"]["bills"]), found["deep"]["mismatches"]) == (3, [])

    execute(filled, "DELETE FROM bills WHERE number = 'C-3'")
    (found,) = objects(filled, "verify", code=1)
    assert (found["complete"], found["missing"], found["deep"]) == (False, ["45-1 C-3"], None)
    shown = run(filled.settings, "verify")
    assert shown.returncode == 1
    assert "45-1 C-3" in shown.stdout
    assert "parlex backfill 44-1" in refused(filled, "verify", "44-1")


def test_a_sample_that_differs_is_a_finding(filled: Resources) -> None:
    execute(filled, "UPDATE bills SET sponsor_name = 'Somebody Else'")
    (found,) = objects(filled, "verify", "--deep", "2", code=1)
    assert found["complete"]
    assert {item["mirror"] for item in found["deep"]["mismatches"]} == {"Somebody Else"}


def test_one_bill_in_every_light(source: Edited, filled: Resources) -> None:
    seen = story(filled, "C-2").bill.last_changed_at
    source.set(r"/c-2/json", SponsorPersonName="Somebody Else")
    fetch_again(filled)

    (now,) = objects(filled, "bill", "45-1", "c-2", "--provenance", "--lineage")
    assert now["sponsor_name"] == "Somebody Else"
    assert now["introduced_inherited_on"] is None
    assert [span["after"] for span in now["time_in_stage"]] == ["house_first_reading"]
    assert {origin["field"]: origin["source"] for origin in now["provenance"]}["sponsor_slug"] == "openparliament"
    assert [life["key"] for life in now["lineage"]["line"]] == ["45-1 C-2"]

    (then,) = objects(filled, "bill", "45-1", "C-2", "--as-of", seen.isoformat())
    assert (then["sponsor_name"], then["as_of"]) == ("Gary Anandasangaree", seen.isoformat())
    shown = run(filled.settings, "bill", "45-1", "C-2", "--as-of", seen.isoformat())
    assert "Gary Anandasangaree" in shown.stdout
    assert "Somebody Else" not in shown.stdout
    assert "did not know 45-1 C-2 then: it first saw it at" in refused(
        filled, "bill", "45-1", "C-2", "--as-of", "2020-03-01", code=1
    )
    assert "is no moment" in refused(filled, "bill", "45-1", "C-2", "--as-of", "soon")
    assert "leave --as-of out" in refused(filled, "bill", "45-1", "C-2", "--as-of", "2020-03-01", "--lineage")


def test_fetching_is_advised_only_where_it_helps(filled: Resources) -> None:
    assert "session 45-1 is held, and has no bill C-9999" in refused(filled, "bill", "45-1", "C-9999")
    execute(filled, "DELETE FROM bills WHERE number = 'C-3'")
    assert "to fetch: parlex backfill 45-1" in refused(filled, "bill", "45-1", "C-3")
    assert "to fetch: parlex backfill 44-1" in refused(filled, "bill", "44-1", "C-2")
    execute(filled, "UPDATE sweeps SET is_current = true")
    assert "no session 99-9 is known: the current one is 45-1" in refused(filled, "bill", "99-9", "C-2")
    assert "no session 99-9 is known: the current one is 45-1" in refused(filled, "vote", "99-9", "1")
    for command in ("bills", "votes"):
        asked = run(filled.settings, command, "--session", "99-9")
        assert (asked.returncode, asked.stdout, "parlex" in asked.stderr) == (0, "", False)
        assert "no session 99-9 is known: the current one is 45-1" in asked.stderr


def test_quarantine(source: Edited, filled: Resources) -> None:
    source.set(r"/legisinfo/en/bill/", SponsorPersonName=" ")
    fetch_again(filled)
    entries = {entry["key"]: entry["id"] for entry in objects(filled, "quarantine", "list")}
    first, second, third = (str(entries[key]) for key in ("45-1 C-2", "45-1 C-3", "45-1 C-4"))
    (shown,) = objects(filled, "quarantine", "show", first)
    assert (shown["field"], shown["held"]) == ("sponsor_name", "Gary Anandasangaree")

    (approved,) = objects(filled, "quarantine", "approve", first)
    assert approved["state"] == "approved"
    assert [(item["field"], item["new"]) for item in approved["changed"]] == [("sponsor_name", None)]
    assert story(filled, "C-2").bill.sponsor_name is None
    # All or none: the first of these could be decided, the second was.
    assert "approved already" in refused(filled, "quarantine", "approve", second, first)
    assert story(filled, "C-3").bill.sponsor_name is not None
    rejected = objects(filled, "quarantine", "reject", second, third)
    assert [entry["state"] for entry in rejected] == ["rejected", "rejected"]
    assert len(objects(filled, "quarantine", "list", "--state", "all")) == len(entries)
    assert len(objects(filled, "quarantine", "list")) == len(entries) - 3
    assert "has the number 999" in refused(filled, "quarantine", "show", "999")


def test_replay(filled: Resources) -> None:
    assert objects(filled, "replay") == []
    execute(filled, "UPDATE bills SET sponsor_name = 'Somebody Else' WHERE number = 'C-2'")
    (shown,) = objects(filled, "replay", "--session", "45-1")
    assert (shown["number"], shown["kind"], shown["old"]) == ("C-2", "reparsed", "Somebody Else")
    before = last_seq(filled)
    assert objects(filled, "replay", "--apply", "--since", "2020-03-01") == [shown]
    (change,) = objects(filled, "changes", "--after", str(before))
    assert (change["kind"], change["field"], change["new"]) == ("reparsed", "sponsor_name", "Gary Anandasangaree")
    assert "no change" in run(filled.settings, "replay").stderr


@pytest.mark.parametrize("command", [["verify"], ["replay", "--session"], ["disagreements", "--session"]])
def test_a_session_that_is_not_held_is_wrong_use_alike(filled: Resources, command: list[str]) -> None:
    """And what no source can have is not advised."""
    held = "the mirror does not hold session"
    assert f"{held} 99-9; if there is such a session, to fetch: parlex backfill 99-9\n" in refused(
        filled, *command, "99-9"
    )
    execute(filled, "UPDATE sweeps SET is_current = true")
    assert f"{held} 44-1; to fetch: parlex backfill 44-1\n" in refused(filled, *command, "44-1")
    assert f"{held} 99-9; no session 99-9 is known: the current one is 45-1\n" in refused(filled, *command, "99-9")
    assert f"{held} 44-2; there is no session 44-2: Parliament 44 had 1 session\n" in refused(filled, *command, "44-2")
    assert "sessions with bills begin with 35-1" in refused(filled, *command, "34-1")


def test_a_sample_without_a_difference_is_one_line(filled: Resources) -> None:
    shown = run(filled.settings, "verify", "--deep", "1").stdout.splitlines()
    assert shown[-1] == "1 bill asked for again: no difference"


def test_disagreements(source: Edited, mirror: Resources) -> None:
    source.set(r"^/bills/45-1/C-2/", introduced="2025-06-04")
    fetch_all(mirror)
    (found,) = objects(mirror, "disagreements", "--session", "45-1")
    assert (found["number"], found["field"]) == ("C-2", "introduced_on")
    assert (found["legisinfo"], found["openparliament"]) == ("2025-06-03", "2025-06-04")
    (lag,) = objects(mirror, "disagreements", "--lag")
    assert (lag["session"], lag["bills"], lag["waiting"]) == ("45-1", 0, [])


def test_archive(filled: Resources, tmp_path: Path) -> None:
    assert "PARLEX_ARCHIVE_URL is not set" in refused(filled, "archive")
    done = run(filled.settings, "archive", PARLEX_ARCHIVE_URL=str(tmp_path / "archive"))
    assert done.returncode == 0, done.stderr
    written = len(list((tmp_path / "archive").glob("*/*.json.zz")))
    assert [(written,)] == rows(filled, "SELECT count(*) FROM documents WHERE archived_at IS NOT NULL")
    assert f"{written} documents written" in done.stderr


@pytest.mark.parametrize("command", ["verify", "replay", "disagreements", "quarantine"])
def test_each_command_explains_itself(filled: Resources, command: str) -> None:
    assert run(filled.settings, command, "--help").returncode == 0


def test_a_list_in_quarantine_is_named_by_verify(source: Edited, filled: Resources) -> None:
    source.edit(LIST, lambda found: [])
    fetch(filled)
    (found,) = objects(filled, "verify", code=1)
    assert found["quarantined"] == ["list"]
    assert found["refused_reason"].startswith("empty")
