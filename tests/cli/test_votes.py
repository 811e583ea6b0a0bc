"""The commands about politicians and votes, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from parlex.local.sandbox import Sandbox
from parlex.settings import Settings, environment
from tests.datasets.house import BALLOT_KEYS, DIVISIONS, LAST, POLITICIAN_KEYS, VOTE_KEYS


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(as_of=LAST) as sandbox:
        yield sandbox


@pytest.fixture
def parlex(sandbox: Sandbox, make_settings: Callable[..., Settings]) -> Callable[..., subprocess.CompletedProcess[str]]:
    settings = make_settings(legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "parlex", *arguments],
            env=environment(settings, COLUMNS="120", PARLEX_LOG_LEVEL="WARNING"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_one_list_of_politicians_has_one_name(parlex: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    for command in (
        ["backfill", "--dataset", "politicians", "--dry-run"],
        ["backfill", "--dataset", "politicians"],
        ["fetch", "--dataset", "politicians"],
        ["verify", "--dataset", "politicians"],
    ):
        told = parlex(*command).stdout.splitlines()
        assert [line.split()[0] for line in told[2:] if line][:1] == ["all"], command


def test_the_commands_fetch_and_show(parlex: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert lines(parlex("backfill", "--dataset", "politicians", "--json"))[0]["status"] == "success"
    assert lines(parlex("backfill", "45-1", "--json"))[0]["status"] == "success"
    (figures,) = lines(parlex("fetch", "--dataset", "votes", "--session", "45-1", "--json"))
    assert figures["created"] == len(DIVISIONS)

    divisions = lines(parlex("votes", "--session", "45-1", "--json"))
    assert [list(one) for one in divisions] == [VOTE_KEYS] * len(DIVISIONS)
    assert [one["number"] for one in divisions] == list(reversed(DIVISIONS))

    one, *ballots = lines(parlex("vote", "45-1", "173", "--json"))
    assert one == divisions[0]
    assert one["bill_number"] == "C-30"
    assert {tuple(ballot) for ballot in ballots} == {tuple(BALLOT_KEYS)}
    assert sum(ballot["ballot"] == "Yes" for ballot in ballots) == one["yea_total"]
    assert all(ballot["politician_name"] and ballot["party"] and ballot["riding"] for ballot in ballots)
    _, *parties = lines(parlex("vote", "45-1", "173", "--json", "--by-party"))
    assert sum(party["yes"] for party in parties) == one["yea_total"]
    assert {party["party"]: party["position"] for party in parties}["Liberal"] == "Yes"

    everybody = lines(parlex("politicians", "--json"))
    assert {tuple(found) for found in everybody} == {tuple(POLITICIAN_KEYS)}
    (carney,) = lines(parlex("politician", "mark-carney", "--json"))
    assert list(carney)[: len(POLITICIAN_KEYS)] == POLITICIAN_KEYS
    voted = {number for number in DIVISIONS if "mark-carney" in voters(parlex, number)}
    assert {vote["number"] for vote in carney["votes"]} == voted
    assert len(voted) > 0
    assert carney["memberships"][0]["riding"] == "Nepean"

    (bill,) = lines(parlex("bill", "45-1", "C-30", "--json"))
    assert [division["number"] for division in bill["divisions"]] == [173]
    assert bill["sponsor"]["slug"] == bill["sponsor_slug"]

    for shown, told in (
        (("votes", "--session", "45-1"), "C-30"),
        (("vote", "45-1", "173"), "C-30"),
        (("politicians", "--name", "carney"), "Nepean"),
        (("politician", "mark-carney"), "Nepean"),
    ):
        assert told in parlex(*shown).stdout, shown


def voters(parlex: Callable[..., subprocess.CompletedProcess[str]], number: int) -> set[str]:
    _, *ballots = lines(parlex("vote", "45-1", str(number), "--json"))
    return {ballot["politician_slug"] for ballot in ballots}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("vote", "45-1", "12"), "parlex backfill --dataset votes 45-1"),
        (("politician", "nobody"), "parlex politicians --name"),
        (("backfill", "--dataset", "votes"), "name the sessions"),
        (("fetch", "--dataset", "senators"), "is not a dataset"),
        (("backfill", "--dataset", "politicians", "45-1"), "no sessions"),
    ],
)
def test_wrong_use_is_one_line_that_helps(
    parlex: Callable[..., subprocess.CompletedProcess[str]], arguments: tuple[str, ...], complaint: str
) -> None:
    done = parlex(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert complaint in line


def test_the_commands_of_bills_cover_both(
    parlex: Callable[..., subprocess.CompletedProcess[str]], sandbox: Sandbox
) -> None:
    lines(parlex("backfill", "--dataset", "votes", "45-1", "--json"))
    (check,) = lines(parlex("verify", "--dataset", "votes", "--json"))
    assert (check["scope"], check["complete"], check["listed"], check["held"]) == ("45-1", True, 9, 9)
    recorded = lines(parlex("changes", "--dataset", "votes", "--json"))
    assert [list(one) for one in recorded] == [CHANGE_KEYS] * len(DIVISIONS)
    assert [one["seq"] for one in recorded] == list(range(1, len(DIVISIONS) + 1))
    assert lines(parlex("changes", "--dataset", "votes", "--after", "8", "--json")) == recorded[8:]
    again = parlex("replay", "--dataset", "votes")
    assert (again.returncode, again.stderr) == (0, "9 divisions read again, no change\n")


CHANGE_KEYS = ["seq", "dataset", "key", "parliament", "session", "number"]
CHANGE_KEYS += ["kind", "field", "old", "new", "observed_at", "run_id"]
