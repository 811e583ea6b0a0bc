"""What a filter finds, against a computation of its own: the export's tables, gone through a line at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from parlex.follow import subscriptions
from parlex.follow.matching import Filter, found
from parlex.follow.subscriptions import Wanted
from parlex.local.sandbox import Sandbox
from parlex.mirror import history
from parlex.resources import Resources
from tests.follow.test_passes import move

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
Line = dict[str, Any]


def rows(mirror: Resources, query: str) -> list[Any]:
    with mirror.db() as db:
        return list(db.execute(text(query)).all())


class Judge:
    """Reads plain tables, and replays the history backwards to know what a bill was at each line."""

    def __init__(self, mirror: Resources) -> None:
        self.lines: list[Line] = [dict(row._mapping) for row in rows(mirror, "select * from changes order by seq")]
        state = {
            key: {"status_code": status, "sponsor_slug": slug, "sponsor_name": name}
            for key, status, slug, name in rows(
                mirror, "select key, status_code, sponsor_slug, sponsor_name from bills"
            )
        }
        self.then: dict[int, dict[str, Any]] = {}
        for line in reversed(self.lines):
            if line["dataset"] == "bills":
                self.then[line["seq"]] = dict(state[line["key"]])
                if line["field"] in state[line["key"]]:
                    state[line["key"]][line["field"]] = line["old"]
        ballots = "select parliament || '-' || session || ' ' || number, slug from ballots"
        self.ballots = {(key, slug) for key, slug in rows(mirror, ballots)}
        titles = (
            "select 'bills', key, concat_ws(' ', title_en, short_title_en) from bills"
            " union all select 'votes', key, description_en from votes"
        )
        self.titles = {(dataset, key): title for dataset, key, title in rows(mirror, titles)}

    def wants(self, wanted: dict[str, Any], line: Line) -> bool:
        session, _, number = line["key"].partition(" ")
        then = self.then.get(line["seq"])
        checks: dict[str, Callable[[Any], bool]] = {
            "dataset": lambda value: line["dataset"] == value,
            "session": lambda value: session == value,
            "number": lambda value: number in value,
            "status": lambda value: then is not None and then["status_code"] in value,
            "sponsor": lambda value: (
                then is not None
                and (then["sponsor_slug"] == value or value.lower() in (then["sponsor_name"] or "").lower())
            ),
            "politician": lambda value: line["dataset"] == "votes" and (line["key"], value) in self.ballots,
            "q": lambda value: value.lower() in self.titles.get((line["dataset"], line["key"]), "").lower(),
            "include": lambda value: True,
        }
        told = line["kind"] != "reparsed" or "reparsed" in wanted.get("include", ())
        return told and all(checks[name](value) for name, value in wanted.items())


@pytest.fixture
def moved(mirror: Resources, sandbox: Sandbox) -> Resources:
    """A mirror that has seen some days."""
    for day in ("2026-06-12", "2026-06-19", "2026-07-01", "2026-07-24"):
        move(mirror, sandbox, day)
    return mirror


def matches(mirror: Resources, filters: list[dict[str, Any]], after: int = 0) -> Iterator[list[int]]:
    with mirror.db() as db:
        last = history.last_seq(db)
        made = []
        for each in filters:
            wanted = Wanted(kind="webhook", address="https://example.org/", filter=Filter(**each), after=after)
            row, _ = subscriptions.create(db, wanted, mirror.datasets, mirror.settings, now=NOW)
            made.append(row.id)
        told = dict(found(db, made, mirror.datasets, last=last, most=last))
    for name in made:
        assert not told[name].more
        assert told[name].looked_to == last
        yield list(told[name].seqs)


def test_each_filter_finds_what_a_replay_of_the_tables_finds(moved: Resources) -> None:
    judge = Judge(moved)
    first = min(line["seq"] for line in judge.lines if line["kind"] == "changed") - 1
    statuses = sorted({then["status_code"] for then in judge.then.values()})
    sponsors = sorted({then["sponsor_slug"] for then in judge.then.values() if then["sponsor_slug"]})
    members = sorted({slug for _, slug in judge.ballots})
    filters: list[dict[str, Any]] = [
        {}, {"dataset": "votes"}, {"session": "45-1"}, {"dataset": "bills", "session": "44-1"},
        {"number": ["C-2", "C-5", "7"]},
        *({"status": [each]} for each in statuses), *({"sponsor": each} for each in sponsors[:15]), {"sponsor": "mi"},
        *({"politician": each} for each in members[::20]), {"q": "budget"}, {"q": "Act"},
        {"session": "45-1", "number": ["C-2"], "status": statuses}, {"include": ["reparsed"]},
        {"dataset": "politicians"}, {"dataset": "votes", "q": "reading"},
    ]  # fmt: skip
    sizes = set()
    for wanted, seqs in zip(filters, matches(moved, filters, first), strict=True):
        right = [line["seq"] for line in judge.lines if line["seq"] > first and judge.wants(wanted, line)]
        assert seqs == right, json.dumps(wanted)
        sizes.add(len(seqs))
    assert len(sizes) > 8
