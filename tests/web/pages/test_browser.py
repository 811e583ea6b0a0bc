"""The pages in a real browser: axe, the console, foreign hosts, widths, a way without scripts, and paper."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.web.pages.addresses import API, addresses
from tests.web.pages.browser import Browser, browser, found
from tests.web.serving import Served

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(found() is None, reason="no Chromium here: apt-get install chromium"),
    pytest.mark.xdist_group("browser"),
]
WIDTHS = (360, 768, 1280)
KINDS = (
    "front", "bills", "bill", "as it was", "history", "sources", "votes", "vote", "members", "member", "changes",
    "search", "follow", "data", "mirror", "survey", "session",
)  # fmt: skip


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as tab:
        yield tab


@pytest.fixture(scope="module")
def pages(client: httpx.Client) -> dict[str, tuple[str, str]]:
    found = addresses(client)
    assert set(found) == set(KINDS)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_whole_at_every_width(
    kind: str, tab: Browser, pages: dict[str, tuple[str, str]], served: Served
) -> None:
    for address in pages[kind]:
        tab.asked.clear()
        tab.told.clear()
        tab.size(WIDTHS[0])
        tab.open(served.address + address)
        for width in WIDTHS:
            tab.size(width)
            assert tab.violations() == [], f"{address} at {width}"
            assert tab.overflow() <= 0, f"{address} at {width}"
        assert tab.told == [], address
        assert tab.foreign(urlsplit(served.address).netloc) == []


@pytest.mark.parametrize("path", ["/", "/en/nothing", "/fr/rien"])
def test_a_page_without_a_record_is_whole_too(path: str, tab: Browser, served: Served) -> None:
    tab.size(WIDTHS[0])
    tab.open(served.address + path)
    assert tab.violations() == []
    assert tab.overflow() <= 0


def divided(client: httpx.Client) -> dict[str, Any]:
    """A bill that has moved since the mirror first saw it, and on which the House divided."""
    moved = client.get(f"{API}/changes?dataset=bills&limit=5000").raise_for_status().json()["data"]
    for key in (one["key"] for one in moved if (one["kind"], one["field"]) == ("changed", "status_code")):
        bill: dict[str, Any] = (
            client.get(f"{API}/bills/{key.replace(' ', '/')}?include=votes").raise_for_status().json()
        )
        if bill["votes"]:
            return bill
    raise AssertionError("no bill with divisions has moved")


@pytest.mark.parametrize(
    ("lang", "bills", "votes", "members"),
    [("en", "bills", "votes", "members"), ("fr", "projets-de-loi", "votes", "deputes")],
    ids=["en", "fr"],
)
def test_a_journalist_needs_no_script(
    lang: str, bills: str, votes: str, members: str, lived: Served, then: str
) -> None:
    """Front, bill, as it was, division, member, CSV: each by what the page before offers."""
    with browser() as tab, httpx.Client(base_url=lived.address) as client:
        bill = divided(client)
        session, number = f"{bill['parliament']}-{bill['session']}", bill["number"]
        own = f"/{lang}/{bills}/{session}/{number}"
        past = client.get(f"{API}/bills/{session}/{number}?as_of={then}").raise_for_status().json()
        statuses = [f"<bdi>{each[f'status_{lang}']}</bdi>" for each in (bill, past)]
        tab.without_scripts()
        tab.size(1280)
        tab.open(f"{lived.address}/{lang}/")
        tab.type("#q", number)
        tab.click(".ask button")
        tab.click(f'main a[href="{own}"]')
        assert tab.address == lived.address + own
        assert "<svg" in tab.text(".drawn")
        assert statuses[0] in tab.text(".now")
        tab.choose("#as-of", then)
        tab.click(".inline button")
        assert tab.address == f"{lived.address}{own}?as_of={then}"
        assert f'datetime="{then}"' in tab.text(".notice")
        assert statuses[1] in tab.text(".now")
        tab.click(".notice a")
        assert tab.address == lived.address + own
        tab.click(".division h3 a")
        assert re.fullmatch(rf"{lived.address}/{lang}/{votes}/{session}/\d+", tab.address)
        assert f'href="{own}"' in tab.text(".facts")
        tab.click(".ballots tbody a")
        slug = re.fullmatch(rf"{lived.address}/{lang}/{members}/([^/]+)", tab.address)
        assert slug is not None
        table = tab.download('a[href*="/votes.csv"]')
        rows = client.get(f"{API}/politicians/{slug[1]}/votes.csv?limit=500").raise_for_status().text
        assert table.replace("\r\n", "\n") == rows.replace("\r\n", "\n") != ""
        assert tab.foreign(urlsplit(lived.address).netloc) == []


PRINTED = """
JSON.stringify({
  hidden: [...document.querySelectorAll("main section > *:not(form)")].filter(one => !one.offsetHeight).length,
  cut: [...document.querySelectorAll("main *:not(.unseen)")].filter(one => one.scrollWidth > one.clientWidth + 1
    && getComputedStyle(one).overflowX != "visible").length,
  folded: [...document.querySelectorAll("details > *:not(summary)")].filter(one => !one.offsetHeight).length,
  told: document.querySelectorAll(".on-paper").length})
"""


@pytest.mark.parametrize(("lang", "path"), [("en", "bills"), ("fr", "projets-de-loi")])
def test_a_bill_is_printed_on_three_pages_at_most_and_whole(lang: str, path: str, tab: Browser, lived: Served) -> None:
    """The longest ones and a short one. What is left out is a long summary, and the paper says where it is."""
    listed = httpx.get(f"{lived.address}{API}/bills?session=45-1&limit=500").raise_for_status().json()["data"]
    rows = [httpx.get(f"{lived.address}{API}/bills/45-1/{row['number']}?include=votes").json() for row in listed]
    rows.sort(key=lambda row: len(json.dumps(row)))
    for row in (rows[0], *rows[-6:]):
        tab.open(f"{lived.address}/{lang}/{path}/45-1/{row['number']}")
        tab.size(740)
        assert len(re.findall(rb"/Type\s*/Page\b", tab.pdf())) <= 3, row["number"]
        tab.send("Emulation.setEmulatedMedia", media="print")
        seen = json.loads(tab.evaluate(PRINTED))
        assert (seen["cut"], seen["folded"], seen["hidden"]) == (0, 0, 2 + seen["told"]), (row["number"], seen)
        if seen["told"]:
            assert lived.address in tab.text(".on-paper")
        tab.send("Emulation.setEmulatedMedia", media="")
