"""A mirror of the House in the edited sandbox: what the tests of politicians and of votes share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs.fetch_logs import Figures
from tests.edited import Edited
from tests.edited import edited as front_of

CURRENT = SessionId(45, 1)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
EARLY, LAST = "2025-06-13", "2026-07-24"
DIVISIONS = (1, 8, 33, 47, 51, 94, 153, 170, 173)
POLITICIAN_KEYS = [
    *("slug", "name", "person_id", "current_party", "current_riding", "province", "is_current", "withdrawn"),
    *("first_seen_at", "last_changed_at", "last_checked_at"),
]
VOTE_KEYS = [
    *("parliament", "session", "number", "date", "description_en", "description_fr", "result"),
    *("yea_total", "nay_total", "paired_total", "bill_number", "totals_match", "withdrawn"),
    *("first_seen_at", "last_changed_at", "last_checked_at"),
]
BALLOT_KEYS = ["politician_slug", "politician_name", "party", "riding", "ballot"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(as_of=LAST) as sandbox:
        yield sandbox


@pytest.fixture
def front(sandbox: Sandbox) -> Iterator[Edited]:
    with front_of(sandbox) as front:
        yield front


@pytest.fixture
def mirror(front: Edited, make_resources: Callable[..., Resources]) -> Resources:
    return make_resources(legisinfo_url=front.url, openparliament_url=front.url)


def rows(mirror: Resources, query: str, **values: Any) -> list[tuple[Any, ...]]:
    with mirror.db() as db:
        return [tuple(row) for row in db.execute(text(query), values)]


def changes(mirror: Resources, run: Figures) -> list[tuple[Any, ...]]:
    query = "SELECT dataset, key, kind, field, old, new FROM changes WHERE run_id = :run_id ORDER BY seq"
    return rows(mirror, query, run_id=run.run_id)


SOME = {
    f"/politicians/{slug}/"
    for slug in ("mark-carney", "ziad-aboultaif", "elizabeth-may", "francois-philippe-champagne")
}


@pytest.fixture
def few(front: Edited) -> None:
    """A House of some thirty: most of what happens to all happens to them, and sooner."""
    kept = {url for url in politician_urls(front) if url in SOME or url < "/politicians/am"}
    assert kept >= SOME

    def fewer(page: Any) -> Any:
        return page | {"objects": [row for row in page["objects"] if row["url"] in kept]}

    front.edit(r"/politicians/\?", fewer)


def politician_urls(front: Edited) -> set[str]:
    _, _, body = front.answer("/politicians/?include=all&limit=500")
    front.asked.clear()
    return {row["url"] for row in json.loads(body)["objects"]}


def mend(front: Edited) -> None:
    """Take back what a test made of the site, but for ``few``."""
    del front.edits[1:]


def fetch_politicians(mirror: Resources, **options: Any) -> Figures:
    return alone.run_here(
        mirror.pipeline, mirror.pipeline.latest_request(dataset="politicians", **{"limit": None} | options)
    )


def fetch_votes(mirror: Resources, session: SessionId | None = CURRENT, **options: Any) -> Figures:
    if session is None:
        return alone.run_here(
            mirror.pipeline, mirror.pipeline.latest_request(dataset="votes", **{"limit": None} | options)
        )
    return alone.run_here(mirror.pipeline, mirror.pipeline.session_request(session, dataset="votes", **options))


def written(mirror: Resources) -> list[tuple[Any, ...]]:
    """Every row of the mirror with the transaction that wrote it."""
    tables = ("politicians", "politician_memberships", "votes", "vote_parties", "ballots", "listings", "changes")
    return [(table, *row) for table in tables for row in rows(mirror, f"SELECT xmin::text, ctid::text FROM {table}")]


def asked(front: Edited) -> list[str]:
    """What was asked for since the last look."""
    found = list(front.asked)
    front.asked.clear()
    return found


def without(url: str) -> Callable[[Any], Any]:
    def rewrite(page: Any) -> Any:
        page["objects"] = [row for row in page["objects"] if row["url"] != url]
        return page

    return rewrite
