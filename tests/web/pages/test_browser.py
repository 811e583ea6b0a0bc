"""The pages in a real browser: axe, the console, foreign hosts, widths, a way without scripts, and paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.web.pages.addresses import addresses
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


@pytest.mark.parametrize("lang", [0, 1], ids=["en", "fr"])
def test_a_journalist_needs_no_script(lang: int, pages: dict[str, tuple[str, str]], served: Served) -> None:
    """Front, bill, as it was, division, member, CSV."""
    with browser() as tab:
        tab.without_scripts()
        tab.size(1280)
        tab.open(served.address + pages["front"][lang])
        tab.type("#q", pages["bill"][lang].rpartition("/")[2])
        tab.click(".ask button")
        tab.click(f'a[href="{pages["bill"][lang]}"]')
        assert tab.address == served.address + pages["bill"][lang]
        assert "<svg" in tab.text(".drawn")
        tab.open(tab.address + "?as_of=2999-01-01")
        assert tab.text(".notice")
        tab.click(".notice a")
        tab.open(served.address + pages["vote"][lang])
        tab.click(".ballots tbody a")
        assert re.search(r"/(members|deputes)/", tab.address)
        csv = re.search(r'href="([^"]+votes\.csv[^"]*)"', tab.text())
        assert csv is not None
        table = httpx.get(served.address + csv[1].replace("&amp;", "&")).raise_for_status()
        assert table.headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize("lang", [0, 1], ids=["en", "fr"])
def test_a_bill_is_printed_on_three_pages_at_most(
    lang: int, tab: Browser, pages: dict[str, tuple[str, str]], served: Served
) -> None:
    tab.open(served.address + pages["bill"][lang])
    assert len(re.findall(rb"/Type\s*/Page\b", tab.pdf())) <= 3
