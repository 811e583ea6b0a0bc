"""What is news: what a dataset tells of itself, and what came on its list later than the mirror's first look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from parlex.datasets import news
from parlex.local.sandbox import Sandbox
from parlex.mirror import history
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone

SESSION = SessionId(45, 1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(as_of="2026-06-04") as sandbox:
        yield sandbox


@pytest.fixture
def mirror(sandbox: Sandbox, make_resources: Callable[..., Resources]) -> Resources:
    return make_resources(legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url)


def groups(mirror: Resources, lang: str = "en", since: datetime = LONG_AGO, limit: int = 1000) -> list[news.Group]:
    with mirror.db() as db:
        return list(news.news(db, mirror.datasets["bills"], since, lang, limit))


def test_what_was_there_at_the_first_look_is_no_news(mirror: Resources, sandbox: Sandbox) -> None:
    alone.run_session(mirror.pipeline, SESSION)
    assert groups(mirror) == []
    with mirror.db() as db:
        last = history.last_seq(db)
    for _ in range(6):
        assert sandbox.advance()
        alone.run_session(mirror.pipeline, SESSION)
    with mirror.db() as db:
        lines = list(history.changes(db, last, dataset="bills"))
    new = [line.key for line in lines if line.kind == "created"]
    moved = [line for line in lines if line.field == "status_fr" and line.new is not None]
    assert new
    assert moved
    told = {group.words.fr if group.words else None: group for group in groups(mirror, "fr")}
    assert [row.key for row in told[None].rows] == new[::-1]
    assert [(row.key, row.old, row.new) for row in told["Nouvel état"].rows] == [
        (line.key, line.old, line.new) for line in reversed(moved)
    ]
    first = groups(mirror, limit=1)
    assert [len(group.rows) for group in first] == [1] * len(first)
    assert [group.count for group in first] == [group.count for group in groups(mirror)]
    assert groups(mirror, since=datetime.now(UTC) + timedelta(days=1)) == []
