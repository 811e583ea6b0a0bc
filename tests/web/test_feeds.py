"""The feeds: what an Atom reader makes of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import feedparser
import httpx
import pytest

from parlex.mirror import history
from parlex.mirror.history import Change
from parlex.mirror.identity import mirror_id
from parlex.resources import Resources
from tests import looking
from tests.statements import statements
from tests.web.serving import Served, serving

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def server(mirror: Resources) -> Iterator[Served]:
    looking.fetch(mirror)
    with serving(mirror) as server:
        yield server


@pytest.fixture
def asking(server: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.address}/api/v1", timeout=30) as client:
        yield client


def say(mirror: Resources, *lines: Change, dataset: str = "bills", hour: int = 0) -> int:
    """Add lines in one transaction; the number of the first."""
    with mirror.db() as db:
        first = history.last_seq(db) + 1
        history.append(db, dataset, lines, now=NOON + timedelta(hours=hour), run_id=None)
    return first


def moved(key: str, field: str, new: Any, old: Any = "before") -> Change:
    return Change(key, "changed", field, old, new)


def read(text: str) -> Any:
    found = feedparser.parse(text)
    assert not found.bozo, found.get("bozo_exception")
    assert found.version == "atom10"
    assert all(entry.id and entry.title and entry.updated and entry.link for entry in found.entries)
    return found


def urn(mirror: Resources, seq: int) -> str:
    with mirror.db() as db:
        return uuid5(mirror_id(db), str(seq)).urn


@pytest.mark.parametrize("lang", ["en", "fr"])
@pytest.mark.parametrize(
    "path", ["changes", "bills", "bills/45-1/C-2", "politicians", "politicians/mark-carney", "votes", "votes/45-1/1"]
)
def test_every_feed_can_be_read(client: httpx.Client, path: str, lang: str) -> None:
    answer = client.get(f"/api/v1/{path}.atom?lang={lang}")
    assert answer.headers["content-type"] == "application/atom+xml"
    found = read(answer.text)
    assert found.entries
    assert found.feed.language == lang
    assert UUID(found.feed.id)
    assert len({entry.id for entry in found.entries}) == len(found.entries)
    link = found.entries[0].link
    assert httpx.get(link).status_code == 200
    accepted = client.get(f"/api/v1/{path}?lang={lang}", headers={"Accept": "application/atom+xml"})
    assert [entry.id for entry in read(accepted.text).entries] == [entry.id for entry in found.entries]


def test_one_entry_a_record_and_transaction(mirror: Resources, server: Served, asking: httpx.Client) -> None:
    first = say(mirror, moved("45-1 C-2", "text_url", "a"), moved("45-1 C-4", "text_url", "b"))
    second = say(
        mirror,
        moved("45-1 C-2", "status_en", "Passed <&>"),
        moved("45-1 C-4", "title_en", "x"),
        moved("45-1 C-2", "royal_assent_on", "2026-06-01", None),
        hour=1,
    )
    server.wait_for(mirror)
    found = read(asking.get("/changes.atom?limit=4").text).entries
    assert [entry.id for entry in found] == [urn(mirror, seq) for seq in (second, second + 1, first + 1, first)]
    assert found[0].title.startswith("45-1 C-2 ")
    assert found[0].title.endswith(": New status, Royal assent")
    assert found[0].updated == "2026-05-04T13:00:00.000000+00:00"
    assert "<li>New status: before → Passed &lt;&amp;&gt;</li>" in found[0].content[0].value
    assert "<li>Royal assent: — → 2026-06-01</li>" in found[0].content[0].value
    assert found[1].title.endswith(": Other facts")
    # An entry is whole, also where the feed is full within its transaction.
    whole = read(asking.get("/changes.atom?limit=2").text).entries
    assert [(entry.id, entry.content) for entry in whole] == [(entry.id, entry.content) for entry in found[:2]]


def test_what_is_no_news_is_in_no_feed(mirror: Resources, server: Served, asking: httpx.Client) -> None:
    before = read(asking.get("/changes.atom").text).entries[0].id
    say(mirror, Change("45-1 C-2", "reparsed", "title_en", "a", "b"))
    server.wait_for(mirror)
    assert read(asking.get("/changes.atom").text).entries[0].id == before


def test_a_language_has_its_own_words(mirror: Resources, server: Served, asking: httpx.Client) -> None:
    said = [moved("45-1 C-2", "status_en", "Passed"), moved("45-1 C-2", "status_fr", "Adopté")]
    say(mirror, *said, moved("45-1 C-4", "title_fr", "Loi"))
    server.wait_for(mirror)
    english, french = (read(asking.get(f"/bills.atom?lang={lang}").text).entries for lang in ("en", "fr"))
    assert english[0].title.endswith(": New status")
    assert "Adopté" not in english[0].content[0].value
    assert french[0].title.endswith(": Autres faits")
    assert french[1].title.endswith(": Nouvel état")
    assert french[1].title.startswith("45-1 C-2 Loi ")
    assert "Passed" not in french[1].content[0].value
    assert len(read(asking.get("/changes.atom?field=status_en&lang=fr").text).entries) == 1


def test_a_feed_keeps_to_what_it_is_of(mirror: Resources, server: Served, asking: httpx.Client) -> None:
    law = say(mirror, moved("45-1 C-2", "text_url", "a"), moved("45-1 C-2", "royal_assent_on", "2026-06-01", None)) + 1
    other = say(mirror, moved("44-1 C-2", "text_url", "a"), hour=1)
    vote = say(mirror, moved("45-1 1", "result", "Passed"), dataset="votes", hour=2)
    server.wait_for(mirror)

    def newest(address: str) -> str:
        return str(read(asking.get(address).text).entries[0].id)

    assert newest("/changes.atom") == newest("/changes.atom?session=45-1") == urn(mirror, vote)
    assert newest("/bills.atom") == newest("/bills.atom?session=44-1") == urn(mirror, other)
    assert newest("/bills.atom?session=45-1") == newest("/bills/45-1/c-2.atom") == urn(mirror, law - 1)
    royal = read(asking.get("/changes.atom?field=royal_assent_on").text)
    assert [entry.id for entry in royal.entries] == [urn(mirror, law)]
    assert royal.feed.title == "Parlex: Royal assent"
    french = read(asking.get("/bills.atom?session=45-1&lang=fr").text)
    assert french.feed.title == "Parlex: projets de loi, 45-1"
    assert newest("/changes.atom?dataset=bills&key=45-1 C-2&session=45-1") == urn(mirror, law - 1)


def test_a_feed_has_a_tag_that_covers_it(mirror: Resources, server: Served, asking: httpx.Client) -> None:
    first = asking.get("/bills/45-1/C-2.atom")
    tag = {"If-None-Match": first.headers["etag"]}
    say(mirror, moved("45-1 C-4", "text_url", "a"))
    server.wait_for(mirror)
    with statements(server.engine) as seen:
        assert asking.get("/bills/45-1/C-2.atom", headers=tag).status_code == 304
        assert all("mirror.id" in one for one in seen if one.startswith("SELECT"))
    say(mirror, moved("45-1 C-2", "text_url", "a"))
    server.wait_for(mirror)
    assert asking.get("/bills/45-1/C-2.atom", headers=tag).status_code == 200
    assert asking.get("/bills/45-1/C-2").headers["etag"] != asking.get("/bills/45-1/C-2.atom").headers["etag"]


def test_what_xml_cannot_hold_and_what_is_long(mirror: Resources, server: Served, asking: httpx.Client) -> None:
    say(mirror, moved("45-1 C-2", "text_url", "a\x01\x0b\ufffe]]>" + "b" * 1000))
    server.wait_for(mirror)
    told = read(asking.get("/changes.atom").text).entries[0].content[0].value
    assert "a]]&gt;bbb" in told
    assert told.endswith("b…</li></ul>")
    assert len(told) < 400


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("bills/45-1/C-9999.atom", 404),
        ("bills/45-1/X.atom", 404),
        ("bills/45-1/C-2/provenance.atom", 406),
        ("bills.atom?lang=de", 422),
        ("bills.atom?field=name", 422),
        ("politicians.atom?session=45-1", 422),
        ("bills.atom?limit=501", 422),
    ],
)
def test_what_is_no_feed_is_told(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(f"/api/v1/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
