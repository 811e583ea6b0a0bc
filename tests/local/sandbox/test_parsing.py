"""Every document of the sandbox is one that the sources can read, on every day and in both shapes of the list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from parlex.datasets.bills import legisinfo, openparliament
from parlex.datasets.bills.bill import BillType, Listing, StatusCode
from parlex.fetching.document import Document
from parlex.local.sandbox import Sandbox
from parlex.local.sandbox.sample import RECORDED, SESSIONS, START
from parlex.parliament import BillKey, SessionId

DAYS = ("2022-06-22", "2025-06-26", "2026-03-26", START, RECORDED)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(headers={"Accept": "application/json"}) as client:
        yield client


def fetched(client: httpx.Client, url: str) -> Document:
    answer = client.get(url)
    assert answer.status_code == 200
    return Document(url, answer.status_code, datetime.now(UTC), answer.headers["Content-Type"], answer.content)


def listings(client: httpx.Client, sandbox: Sandbox, session: str) -> dict[BillKey, Listing]:
    url = f"{sandbox.legisinfo_url}/legisinfo/en/bills/json?parlsession={session}"
    parsed = legisinfo.parse_list(fetched(client, url))
    assert (parsed.rejected, parsed.doubled) == ((), ())
    # Only the later session has no bill yet on an early day.
    assert parsed.listings or session != SESSIONS[0].code
    return {listing.key: listing for listing in parsed.listings}


@pytest.mark.parametrize("as_of", DAYS)
def test_both_shapes_of_the_list_say_the_same(sandbox: Sandbox, client: httpx.Client, as_of: Any) -> None:
    sandbox.move(as_of)
    for session in (session.code for session in SESSIONS):
        sandbox.list_shape("A")
        in_a = listings(client, sandbox, session)
        sandbox.list_shape("B")
        assert listings(client, sandbox, session) == in_a


@pytest.mark.parametrize("as_of", DAYS)
def test_every_detail_parses_and_agrees_with_its_listing(sandbox: Sandbox, client: httpx.Client, as_of: Any) -> None:
    sandbox.move(as_of)
    for session in (session.code for session in SESSIONS):
        for key, listing in listings(client, sandbox, session).items():
            url = f"{sandbox.legisinfo_url}/legisinfo/en/bill/{session}/{key.number.lower()}/json"
            bill = legisinfo.parse_bill(fetched(client, url), key)
            shared = (
                "legisinfo_id",
                "title_en",
                "title_fr",
                "short_title_en",
                "status_code",
                "bill_type",
                "milestones",
            )
            assert {name: getattr(bill, name) for name in shared} == {name: getattr(listing, name) for name in shared}
            assert bill.sponsor_person_id is not None
            assert bill.stages


@pytest.mark.parametrize("as_of", DAYS)
def test_every_document_of_the_companion_parses(sandbox: Sandbox, client: httpx.Client, as_of: Any) -> None:
    sandbox.move(as_of)
    for session in (session.code for session in SESSIONS):
        spine = listings(client, sandbox, session)
        page = fetched(client, f"{sandbox.openparliament_url}/bills/?session={session}&limit=500")
        companion = openparliament.parse_list((page,), SessionId.parse(session))
        assert (companion.rejected, companion.doubled) == ((), ())
        assert {one.key: one.introduced_on for one in companion.listings} == {
            key: listing.milestones.introduced_on for key, listing in spine.items()
        }
        for key, listing in spine.items():
            url = f"{sandbox.openparliament_url}/bills/{session}/{key.number}/"
            bill = openparliament.parse_bill(fetched(client, url), key)
            assert bill.status_code == listing.status_code
            assert (bill.sponsor_slug is not None) == (key.number[0] == "C")


def test_a_bill_without_a_sponsor_parses(client: httpx.Client) -> None:
    with Sandbox(multiply=1) as sandbox:
        found = [
            legisinfo.parse_bill(fetched(client, _detail(sandbox, key)), key)
            for key in listings(client, sandbox, "45-1")
            if key.rank[2] >= 2000
        ]
    orphans = [bill for bill in found if bill.sponsor_person_id is None]
    assert orphans
    assert {bill.sponsor_name for bill in orphans} == {None}


def _detail(sandbox: Sandbox, key: BillKey) -> str:
    return f"{sandbox.legisinfo_url}/legisinfo/en/bill/{key.session}/{key.number.lower()}/json"


def test_the_sample_covers_types_and_statuses(sandbox: Sandbox, client: httpx.Client) -> None:
    seen: set[StatusCode] = set()
    types: set[BillType] = set()
    sandbox.move("2025-06-01")
    while sandbox.advance():
        found = listings(client, sandbox, "45-1").values()
        seen |= {listing.status_code for listing in found}
        types |= {listing.bill_type for listing in found}
    assert types == set(BillType)
    assert len(seen) >= 13
