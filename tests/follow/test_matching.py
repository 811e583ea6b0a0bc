"""What a filter finds, against a computation of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from parlex.follow import subscriptions
from parlex.follow.matching import Filter, found
from parlex.follow.subscriptions import Wanted
from parlex.local.sandbox import Sandbox
from parlex.mirror import history
from parlex.resources import Resources
from tests.follow.judge import Judge
from tests.follow.test_passes import move

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


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


def test_each_filter_finds_what_a_replay_of_the_export_finds(moved: Resources, tmp_path: Path) -> None:
    judge = Judge(moved, tmp_path)
    first = min(line["seq"] for line in judge.lines if line["kind"] == "changed") - 1
    statuses = sorted({then["status_code"] for then in judge.then.values()})
    sponsors = sorted({then["sponsor_slug"] for then in judge.then.values() if then["sponsor_slug"]})
    members = sorted({line["slug"] for line in judge.ballots})
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
        assert seqs == judge.of(wanted, first), json.dumps(wanted)
        sizes.add(len(seqs))
    assert len(sizes) > 8
