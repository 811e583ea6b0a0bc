"""Text of the sources shows as text, whatever it holds; of a summary only the allowed markup is left."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import text

from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.web.pages.written import cleaned, web
from tests.web.pages.browser import browser, found
from tests.web.serving import LAST, Served, serving

SCRIPT = "</title><script>document.title='taken'</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"
TURNED = "\u202eevil\u202c \u2066 left open"
LONG = "Loi" * 3_334


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("<p>A <b>bold</b> word</p>", "<p>A <b>bold</b> word</p>"),
        ("<script>alert(1)</script>x", "x"),
        ("<p onclick=alert(1) style='position:fixed' class=top>x</p>", "<p>x</p>"),
        ("<img src=x onerror=alert(1)><iframe src=//x></iframe><svg onload=alert(1)></svg>x", "x"),
        ('<a href="javascript:alert(1)">x</a>', '<a rel="noopener noreferrer">x</a>'),
        ("<p>not <b>closed", "<p>not <b>closed</b></p>"),
        ("</div></main><form action=//x><input></form>x", "x"),
        ("<h1>x</h1><style>*{}</style><base href=//x>", "x"),
    ],
)
def test_a_summary_keeps_its_markup_and_nothing_else(given: str, left: str) -> None:
    assert cleaned(given) == left


def test_an_address_of_a_source_is_one_of_the_web() -> None:
    assert web("javascript:alert(1)") == web("data:text/html,x") == ""
    assert web("https://www.parl.ca/x") == "https://www.parl.ca/x"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(as_of=LAST) as sandbox:
        yield sandbox


@pytest.fixture
def server(mirror: Resources) -> Iterator[Served]:
    alone.run_session(mirror.pipeline, SessionId(45, 1))
    update = text(
        "UPDATE bills SET title_en = :en, title_fr = :fr, short_title_en = null, short_title_fr = null, "
        "sponsor_name = :en, sponsor_slug = null, sponsor_person_id = null, summary_en = :en, text_url = :url "
        "WHERE number = :number"
    )
    with mirror.db() as db:
        for number, title in (("C-2", SCRIPT), ("C-3", TURNED), ("C-4", LONG)):
            db.execute(update, {"en": title, "fr": title, "number": number, "url": "javascript:alert(1)"})
    with serving(mirror) as server:
        yield server


def test_hostile_titles_show_as_text(server: Served) -> None:
    with httpx.Client(base_url=server.address) as client:
        for number in ("C-2", "C-3", "C-4"):
            for path in (f"bills/45-1/{number}", f"bills/45-1/{number}/sources", "bills/45-1?sort=number", ""):
                page = client.get(f"/en/{path}").raise_for_status().text
                assert "<script" not in page
                assert "<img" not in page
                assert "49" not in re.findall(r"<h1>.*?</h1>", page, re.DOTALL)[0]
                assert 'href="javascript:' not in page
        page = client.get("/en/bills/45-1/C-3").text
        assert f"<bdi>{TURNED}</bdi>" in page
        long = client.get("/en/bills/45-1/C-4").text
        assert LONG in long
        title = re.search("<title>(.*?)</title>", long)
        assert title is not None
        assert len(title[1]) < 150


@pytest.mark.browser
@pytest.mark.skipif(found() is None, reason="no Chromium here: apt-get install chromium")
@pytest.mark.xdist_group("browser")
def test_a_title_of_ten_thousand_letters_is_no_wider_than_the_screen(server: Served) -> None:
    with browser() as tab:
        tab.size(360)
        for number in ("C-2", "C-3", "C-4"):
            tab.open(f"{server.address}/en/bills/45-1/{number}")
            assert tab.overflow() <= 0
            assert tab.evaluate("document.title") != "taken"
            assert tab.violations() == []
