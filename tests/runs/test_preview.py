"""What a run would come to, against what it does come to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, text

from parlex.db.models import Base
from parlex.errors import ParlexError, UnknownSession, UsageError
from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs.preview import Preview

CURRENT, LAST = SessionId(45, 1), SessionId(44, 1)


def ask(mirror: Resources, session: SessionId = CURRENT, dataset: str = "bills", **options: Any) -> Preview:
    return mirror.pipeline.preview(mirror.pipeline.session_request(session, dataset=dataset, **options))


def sizes(mirror: Resources) -> dict[str, Any]:
    """Rows of each table."""
    with mirror.db() as db:
        tables = Base.metadata.sorted_tables
        return {table.name: db.scalar(select(func.count()).select_from(table)) for table in tables}


def requests(sandbox: Sandbox) -> dict[str, int]:
    return {f"{host} {kind}": n for host, told in sandbox.stats().items() for kind, n in told["kinds"].items() if n}


@pytest.fixture
def polite(sandbox: Sandbox, make_resources: Callable[..., Resources]) -> Resources:
    return make_resources(
        legisinfo_url=sandbox.legisinfo_url,
        openparliament_url=sandbox.openparliament_url,
        legisinfo_rate=6000,
        openparliament_rate=3000,
    )


def test_a_preview_asks_for_one_list_and_writes_nothing(mirror: Resources, sandbox: Sandbox) -> None:
    before = sizes(mirror)
    found = ask(mirror)
    assert (found.dataset, found.scope, found.listed, found.due, found.requests) == ("bills", "45-1", 60, 60, 60)
    assert list(requests(sandbox)) == ["legisinfo list"]
    assert requests(sandbox)["legisinfo list"] == 1
    assert sizes(mirror) == before


def test_what_nobody_knows_is_null(mirror: Resources) -> None:
    """Nothing is held yet, and no site has a budget."""
    assert (ask(mirror).bytes, ask(mirror).hours) == (None, None)


def test_bytes_are_by_what_is_held(mirror: Resources) -> None:
    alone.run_session(mirror.pipeline, LAST)
    with mirror.db() as db:
        query = "SELECT source, size FROM latest_documents JOIN documents USING (sha256) WHERE dataset = 'bills'"
        held: dict[str, list[int]] = {}
        for source, size in db.execute(text(query)):
            held.setdefault(source, []).append(size)
    weights = {source: sum(found) / len(found) for source, found in held.items()}
    assert ask(mirror).bytes == round(60 * weights["legisinfo"])
    assert ask(mirror, dataset="votes").bytes is None


def test_hours_are_those_of_the_slowest_site(polite: Resources) -> None:
    """60 of 6,000 a minute, of which a backfill takes four fifths; with both sources the other one is slower."""
    assert ask(polite).hours == pytest.approx(60 / (0.8 * 6000 * 60), abs=0.0005)
    assert ask(polite, companion="all").hours == pytest.approx(60 / (0.8 * 3000 * 60), abs=0.0005)


def test_two_documents_of_one_site_share_its_budget(sandbox: Sandbox, make_resources: Callable[..., Resources]) -> None:
    slow = make_resources(
        legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url, openparliament_rate=600
    )
    found = ask(slow, dataset="votes")
    assert found.requests == 2 * found.due > 0
    assert found.hours == pytest.approx(found.requests / (0.8 * 600 * 60), abs=0.001)


def test_what_is_held_is_not_due(mirror: Resources) -> None:
    alone.run_session(mirror.pipeline, CURRENT)
    found = ask(mirror)
    assert (found.listed, found.due, found.requests, found.bytes, found.hours) == (60, 0, 0, 0, 0.0)


def test_what_cannot_be_asked_for_is_told(mirror: Resources) -> None:
    with pytest.raises(UnknownSession):
        ask(mirror, SessionId(99, 1))
    with pytest.raises(UsageError, match="have no sessions"):
        ask(mirror, dataset="politicians")


def test_a_list_that_is_not_to_be_believed_is_an_error(mirror: Resources, sandbox: Sandbox) -> None:
    alone.run_session(mirror.pipeline, CURRENT)
    before = sizes(mirror)
    sandbox.fault("empty_list", host="legisinfo", path="/bills/json")
    with pytest.raises(ParlexError, match="empty"):
        ask(mirror)
    assert sizes(mirror) == before
