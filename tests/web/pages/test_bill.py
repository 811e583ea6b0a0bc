"""A bill as it was on a day: the page tells what the API tells, and not what is so today."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx
import pytest

from parlex.web.pages.words import everything
from tests.web.pages.addresses import API
from tests.web.serving import Served

PATHS = {"en": "/en/bills/{}", "fr": "/fr/projets-de-loi/{}"}


def told(page: str, lang: str) -> dict[str, Any]:
    """The status of a bill's page, its latest event, and its stages: state, day, sittings."""
    page = unescape(page)
    names = {text[lang]: name.partition(".")[2] for name, text in everything().items() if name.startswith("state.")}
    table = page[page.index("<caption>") : page.index("</table>", page.index("<caption>"))]
    stages = []
    for row in re.findall(r"<tr[ >].*?</tr>", table, re.DOTALL)[1:]:
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)
        day, sittings = re.search(r'datetime="([^"]+)"', cells[3]), re.search(r'value="(\d+)"', cells[5])
        stages.append((names[cells[2]], day and day[1], sittings and int(sittings[1])))
    status, latest = re.search(r'class="now">.*?<bdi>(.*?)</bdi>', page, re.DOTALL), facts(page, lang).get("bill.last")
    return {"status": status and status[1], "latest": latest, "stages": stages}


def facts(page: str, lang: str) -> dict[str, str | None]:
    """The days of a page's facts, by the name of what they are called."""
    found = re.findall(r'<dt>([^<]+)</dt><dd><time datetime="([^"]+)"', page)
    names = {text[lang]: name for name, text in everything().items() if name.startswith("bill.")}
    return {names[called]: day for called, day in found if called in names}


def as_told(bill: dict[str, Any], lang: str) -> dict[str, Any]:
    """The same of the API's JSON."""
    order = sorted(bill["stages"], key=lambda one: one["chamber"] != bill["chamber"])
    return {
        "status": bill[f"status_{lang}"],
        "latest": bill["last_event_on"],
        "stages": [(one["state"], one["completed_on"], one["sittings"]) for one in order],
    }


@pytest.mark.parametrize("lang", list(PATHS))
def test_a_bill_as_it_was_is_what_the_api_tells_and_not_what_is_so_today(lang: str, lived: Served, then: str) -> None:
    with httpx.Client(base_url=lived.address) as client:
        changed = client.get(f"{API}/changes?dataset=bills&limit=5000").raise_for_status().json()["data"]
        keys = sorted({one["key"] for one in changed if one["field"] == "status_code" and one["kind"] == "changed"})
        assert len(keys) > 5
        for path in (key.replace(" ", "/") for key in keys):
            today = client.get(f"{API}/bills/{path}").raise_for_status().json()
            past = client.get(f"{API}/bills/{path}?as_of={then}").raise_for_status().json()
            assert as_told(past, lang) != as_told(today, lang)
            page = client.get(f"{PATHS[lang].format(path)}?as_of={then}").raise_for_status().text
            assert told(page, lang) == as_told(past, lang), path
            assert told(client.get(PATHS[lang].format(path)).text, lang) == as_told(today, lang), path
            assert page.count(f'datetime="{then}"') == 1
