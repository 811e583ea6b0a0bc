"""OpenParliament's documents and the walk through its pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parlex.datasets.bills.bill import OpenParliamentBill
from parlex.datasets.bills.openparliament import MAX_PAGES, CompanionListing, OpenParliament, parse_bill, parse_list
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.http import Client, Tally
from parlex.parliament import BillKey, Chamber, SessionId
from tests.throttles import NullThrottle

URL = "https://api.openparliament.test/bills/45-1/C-2/"
KEY = BillKey.parse("45-1 C-2")
SESSION = SessionId(45, 1)

thorough = settings(max_examples=300, derandomize=True, deadline=None, database=None)


def row(**changes: Any) -> dict[str, Any]:
    return {
        "session": "45-1",
        "legisinfo_id": 13543613,
        "introduced": "2025-06-03",
        "name": {"en": "An Act respecting certain measures ", "fr": "Loi concernant certaines mesures"},
        "number": "C-2",
        "url": "/bills/45-1/C-2/",
    } | changes


def detail(**changes: Any) -> dict[str, Any]:
    return (
        row(
            short_title={"en": "Strong Borders Act", "fr": ""},
            home_chamber="House",
            law=None,
            sponsor_politician_url="/politicians/gary-anandasangaree/",
            text_url="https://www.parl.ca/DocumentViewer/en/13545752",
            status_code="HouseAt2ndReading",
        )
        | changes
    )


def page(rows: list[Any], next_url: str | None = None) -> dict[str, Any]:
    return {"objects": rows, "pagination": {"offset": 0, "limit": 500, "next_url": next_url, "previous_url": None}}


def document(value: object) -> Document:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Document(URL, 200, datetime(2026, 11, 22, tzinfo=UTC), "application/json", body)


def parsed(**changes: Any) -> OpenParliamentBill:
    return parse_bill(document(detail(**changes)), KEY)


def source(answer: Callable[[httpx.Request], httpx.Response]) -> OpenParliament:
    client = Client(
        user_agent="t",
        throttle=NullThrottle(),
        connect_timeout=1,
        read_timeout=1,
        max_body_bytes=10_000,
        transport=httpx.MockTransport(answer),
    )
    return OpenParliament(client, "https://api.openparliament.test")


def test_the_walk_takes_every_page_once() -> None:
    asked: list[str] = []
    pages = {
        "/bills/?session=45-1&limit=500": page([row()], "/bills/?session=45-1&limit=500&offset=500"),
        "/bills/?session=45-1&limit=500&offset=500": page([row(number="C-3")]),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        return httpx.Response(200, json=pages[asked[-1]])

    tally = Tally()
    documents = source(answer).list_bills(SESSION, tally)
    assert asked == list(pages)
    assert tally.requests == 2
    assert [str(listing.key) for listing in parse_list(documents, SESSION).listings] == ["45-1 C-2", "45-1 C-3"]


@pytest.mark.parametrize(
    ("next_url", "reason"),
    [
        ("/bills/?session=45-1&limit=500", "circle"),
        ("https://example.org/bills/", "another host"),
        ("//example.org/bills/", "another host"),
        ("http://api.openparliament.test/bills/", "another host"),
        ("https://[", "no address"),
    ],
)
def test_the_walk_leaves_no_host_and_no_loop_running(next_url: str, reason: str) -> None:
    tally = Tally()
    with pytest.raises(DocumentError, match=reason) as caught:
        source(lambda _: httpx.Response(200, json=page([row()], next_url))).list_bills(SESSION, tally)
    assert caught.value.field == "pagination.next_url"
    assert tally.requests == 1


def test_a_walk_without_an_end_is_ended() -> None:
    tally = Tally()

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=page([row()], f"/bills/?session=45-1&offset={tally.requests}"))

    with pytest.raises(DocumentError, match=f"more than {MAX_PAGES} pages"):
        source(answer).list_bills(SESSION, tally)
    assert tally.requests == MAX_PAGES


def test_a_bill_has_its_address() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(304 if "if-none-match" in request.headers else 200, json={})

    assert source(answer).fetch_bill(KEY, Tally()) is not None
    assert source(answer).fetch_bill(KEY, Tally(), etag='"x"', last_modified=None) is None
    assert asked == [URL] * 2


def test_a_detail_becomes_a_bill() -> None:
    assert parsed() == OpenParliamentBill(
        key=KEY,
        legisinfo_id=13543613,
        title_en="An Act respecting certain measures",
        title_fr="Loi concernant certaines mesures",
        short_title_en="Strong Borders Act",
        short_title_fr=None,
        status_code="HouseAt2ndReading",
        chamber=Chamber.HOUSE,
        is_law=None,
        introduced_on=date(2025, 6, 3),
        sponsor_slug="gary-anandasangaree",
        text_url="https://www.parl.ca/DocumentViewer/en/13545752",
    )


def test_what_is_not_known_is_null() -> None:
    bill = parsed(
        legisinfo_id=None,
        introduced=None,
        name={"en": " ", "fr": None},
        sponsor_politician_url=None,
        text_url=None,
        status_code="",
        law=True,
        home_chamber="Senate",
    )
    assert (bill.legisinfo_id, bill.introduced_on, bill.title_en, bill.title_fr) == (None,) * 4
    assert (bill.sponsor_slug, bill.text_url, bill.status_code) == (None,) * 3
    assert (bill.is_law, bill.chamber) == (True, Chamber.SENATE)


def test_a_politician_without_a_slug_has_a_number() -> None:
    assert parsed(sponsor_politician_url="/politicians/1234/").sponsor_slug == "1234"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("session", "45"),
        ("session", 451),
        ("number", "C2"),
        ("number", "C-3"),
        ("legisinfo_id", "13543613"),
        ("legisinfo_id", 2**63),
        ("introduced", "2025-02-30"),
        ("introduced", "2025-06-03T00:00:00"),
        ("introduced", "0001-01-01"),
        ("name.en", {"en": "a\x00", "fr": "b"}),
        ("name.fr", {"en": "a"}),
        ("name", "a bare string"),
        ("home_chamber", "Commons"),
        ("law", "true"),
        ("sponsor_politician_url", ""),
        ("sponsor_politician_url", "https://example.org/politicians/x/"),
        ("sponsor_politician_url", "/politicians/../"),
        ("text_url", "\x1b"),
        ("status_code", None),
    ],
)
def test_a_value_that_was_not_promised_names_its_field(field: str, value: object) -> None:
    with pytest.raises(DocumentError) as caught:
        parsed(**{field.partition(".")[0]: value})
    error = caught.value
    assert (error.source, error.key, error.field, error.document) == ("openparliament", "45-1 C-2", field, URL)


def test_a_list_has_listings_doubles_and_rejects() -> None:
    first = page([row(), row(number="C-3", legisinfo_id=None, introduced=None), row(number="C-4", introduced="soon")])
    second = page([row(), row(session="44-1"), None, row(number=None)])
    companions = parse_list([document(first), document(second)], SESSION)
    assert companions.listings == (
        CompanionListing(
            KEY, 13543613, date(2025, 6, 3), "An Act respecting certain measures", "Loi concernant certaines mesures"
        ),
        CompanionListing(
            BillKey.parse("45-1 C-3"),
            None,
            None,
            "An Act respecting certain measures",
            "Loi concernant certaines mesures",
        ),
    )
    assert companions.doubled == ("45-1 C-2",)
    assert [(error.key, error.field) for error in companions.rejected] == [
        ("45-1 C-4", "introduced"),
        ("44-1 C-2", "session"),
        (None, None),
        (None, "number"),
    ]


def test_bills_listed_twice_are_told_across_pages() -> None:
    pages = [document(page([row(), row(number="C-3")])), document(page([row(number="C-3"), row(law=True)]))]
    companions = parse_list(pages, SESSION)
    assert [str(one.key) for one in companions.listings] == ["45-1 C-2", "45-1 C-3"]
    assert (companions.doubled, companions.rejected) == (("45-1 C-2", "45-1 C-3"), ())


def test_rows_that_contradict_each_other_are_both_rejected() -> None:
    companions = parse_list([document(page([row(), row(legisinfo_id=7)]))], SESSION)
    assert (companions.listings, companions.doubled) == ((), ("45-1 C-2",))
    assert [(error.key, error.reason) for error in companions.rejected] == [
        ("45-1 C-2", "is listed twice, with different facts")
    ]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"objects": null}', b"[" * 100_000, b"\xff", json.dumps(page([row()])).encode()[:-9]]
)
def test_what_is_no_page_and_no_bill_is_a_document_error(body: bytes) -> None:
    with pytest.raises(DocumentError):
        parse_list([document(body)], SESSION)
    with pytest.raises(DocumentError):
        parse_bill(document(body), KEY)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.dates().map(date.isoformat)
    | st.sampled_from(["", "C-3", "House", "Senate", "/politicians/7/", {"en": "a", "fr": "b"}, 0, 2**63]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["en", "fr", "x"]), inner, max_size=3),
    max_leaves=5,
)


def text(value: Any) -> Any:
    return (value or "").strip() or None


READINGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "legisinfo_id": ("legisinfo_id", lambda v: v),
    "introduced": ("introduced_on", lambda v: date.fromisoformat(v) if v else None),
    "home_chamber": ("chamber", lambda v: Chamber(v.lower())),
    "law": ("is_law", lambda v: v),
    "sponsor_politician_url": ("sponsor_slug", lambda v: v.split("/")[2] if v else None),
    "text_url": ("text_url", text),
    "status_code": ("status_code", text),
}


def tried(parse: Callable[[Document], Any], value: Any) -> Any:
    """What ``parse`` returns, or its DocumentError; anything else comes through."""
    try:
        return parse(document(value))
    except DocumentError as error:
        return error


def one(read: Document) -> OpenParliamentBill:
    return parse_bill(read, KEY)


@thorough
@given(st.sampled_from(sorted(READINGS)), json_values)
def test_a_changed_value_is_read_as_it_is_or_refused(key: str, value: Any) -> None:
    attribute, reading = READINGS[key]
    bill = tried(one, detail(**{key: value}))
    if isinstance(bill, DocumentError):
        assert bill.key == "45-1 C-2"
        return
    assert getattr(bill, attribute) == reading(value)
    assert replace(bill, **{attribute: getattr(parsed(), attribute)}) == parsed()


WHOLE_BILL = json.dumps(detail()).encode()
WHOLE_PAGE = json.dumps(page([detail(), row(number="C-3")])).encode()


@thorough
@given(st.integers(0, len(WHOLE_PAGE)), st.integers(0, 40), st.binary(max_size=20))
def test_broken_bytes_are_no_more_than_a_document_error(at: int, gone: int, new: bytes) -> None:
    assert tried(one, WHOLE_BILL[:at] + new + WHOLE_BILL[at + gone :]).key in (KEY, "45-1 C-2")
    assert tried(lambda read: parse_list([read], SESSION), WHOLE_PAGE[:at] + new + WHOLE_PAGE[at + gone :])
