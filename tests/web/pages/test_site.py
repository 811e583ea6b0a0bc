"""The pages as a browser asks for them: tags, headers, twins, errors, and numbers that are the API's."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from typer.testing import CliRunner

from parlex.cli.app import app
from parlex.web.pages.site import POLICY
from tests.web.pages.addresses import API, addresses

HTML = "text/html; charset=utf-8"
COVERED = ("bills", "bill", "history", "votes", "vote", "members", "member", "changes", "session")
LARGEST = 40_000  # bytes of a bill's page, compressed


@pytest.fixture(scope="module")
def pages(client: httpx.Client) -> dict[str, tuple[str, str]]:
    return addresses(client)


def walk(client: httpx.Client, name: str) -> list[dict[str, Any]]:
    found, address = [], f"{API}/{name}"
    while address:
        page = client.get(address).raise_for_status().json()
        found += page["data"]
        address = page["next"]
    return found


def some(rows: list[dict[str, Any]], count: int = 50) -> list[dict[str, Any]]:
    return random.Random(17).sample(rows, min(count, len(rows)))


def numbers(text: str) -> list[float]:
    """The quantities of a piece of a page, in order."""
    return [float(one) for one in re.findall(r'<data value="([^"]*)"', text)]


def section(text: str, name: str) -> str:
    """The section whose heading has that id."""
    part = re.search(rf'<section aria-labelledby="{name}"[^>]*>.*?</section>', text, re.DOTALL)
    return part[0] if part else ""


def main(text: str) -> str:
    return text[text.index("<main") : text.index("</main>")]


def test_each_kind_of_page_names_its_twin_and_itself(client: httpx.Client, pages: dict[str, tuple[str, str]]) -> None:
    base = str(client.base_url).rstrip("/")
    for kind, twins in pages.items():
        for lang, address in zip(("en", "fr"), twins, strict=True):
            page = client.get(address).raise_for_status()
            assert page.headers["content-type"] == HTML
            assert page.headers["content-security-policy"] == POLICY
            assert page.headers["content-language"] == lang
            assert f'<html lang="{lang}">' in page.text
            links = dict(re.findall(r'<link rel="alternate" hreflang="(..)" href="([^"]+)"', unescape(page.text)))
            assert links == {"en": base + twins[0], "fr": base + twins[1]}, kind
            assert f'<link rel="canonical" href="{base}{address.partition("?")[0]}">' in page.text
            assert "<script" not in page.text
            assert "style=" not in page.text
            assert all(f'property="og:{name}"' in page.text for name in ("title", "description", "url", "locale"))


def test_a_second_look_is_a_304_that_keeps_the_policy(client: httpx.Client, pages: dict[str, tuple[str, str]]) -> None:
    for kind in COVERED:
        english, french = (client.get(address) for address in pages[kind])
        assert english.headers["etag"] != french.headers["etag"]
        for page in (english, french):
            again = client.get(str(page.url), headers={"If-None-Match": page.headers["etag"]})
            assert (again.status_code, again.headers["content-security-policy"]) == (304, POLICY), kind
    for kind in ("front", "mirror", "sources", "as it was"):
        assert client.get(pages[kind][0]).headers["cache-control"] == "no-store"


def test_the_first_address_offers_both_languages(client: httpx.Client) -> None:
    page = client.get("/").raise_for_status()
    assert 'href="/en/"' in page.text
    assert 'href="/fr/"' in page.text
    for lang in ("en", "fr"):
        assert client.get(f"/{lang}").headers["location"] == f"/{lang}/"
    assert client.get("/fr/projets-de-loi").headers["location"] == "/fr/projets-de-loi/45-1"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("bills/45-1/C-99999", 404),
        ("projets-de-loi/45-1/X", 404),
        ("bills/99-9", 404),
        ("votes/45-1/0", 404),
        ("members/nobody-at-all", 404),
        ("sessions/no", 404),
        ("mirror/disagreements/99-1", 404),
        ("nothing", 404),
        ("bills/45-1?status=Nonsense", 422),
        ("bills/45-1?cursor=abc", 409),
        ("bills/45-1/C-2?as_of=yesterday", 422),
        ("bills/45-1/C-2?as_of=1999-01-01", 404),
        ("changes?day=today", 422),
        ("changes?before=x", 422),
        ("bills/45-1?q=%00", 422),
    ],
)
def test_an_error_is_a_page_of_our_own(path: str, status: int, client: httpx.Client) -> None:
    for lang, word in (("en", "front page"), ("fr", "page d’accueil")):
        there = (
            path.replace("bills/", "projets-de-loi/").replace("members/", "deputes/").replace("changes", "changements")
        )
        there = there.replace("mirror/disagreements", "miroir/desaccords")
        page = client.get(f"/{lang}/{path.replace('projets-de-loi', 'bills') if lang == 'en' else there}")
        assert (page.status_code, page.headers["content-type"]) == (status, HTML)
        assert word in page.text
        assert 'name="robots" content="noindex"' in page.text
    assert client.get(f"{API}/nothing").headers["content-type"] == "application/problem+json"
    assert client.post("/en/").status_code == 405


def test_what_is_blank_or_unknown_in_an_address_is_not_asked(client: httpx.Client) -> None:
    whole = main(client.get("/en/bills/45-1").text)
    assert main(client.get("/en/bills/45-1?status=&q=&utm_source=paper").text) == whole


def test_a_search_engine_finds_every_record(client: httpx.Client) -> None:
    assert "/sitemap.xml" in client.get("/robots.txt").text
    space = "{http://www.sitemaps.org/schemas/sitemap/0.9}loc"
    maps = [one.text for one in ElementTree.fromstring(client.get("/sitemap.xml").content).iter(space)]
    found = [
        str(one.text) for each in maps for one in ElementTree.fromstring(client.get(str(each)).content).iter(space)
    ]
    bills = [row for row in walk(client, "bills?limit=500") if not row["withdrawn"]]
    assert sum("/en/bills/" in one for one in found) == sum("/fr/projets-de-loi/" in one for one in found) == len(bills)
    for address in random.Random(17).sample(found, 20):
        assert client.get(address).status_code == 200
    assert client.get("/sitemap-nothing.xml").status_code == 404


def test_every_bill_is_small_enough(client: httpx.Client) -> None:
    for row in walk(client, "bills?limit=500"):
        page = client.get(f"/fr/projets-de-loi/{row['parliament']}-{row['session']}/{row['number']}").raise_for_status()
        assert len(gzip.compress(page.content, 6)) <= LARGEST


def in_words(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the codes whose English words changed at the same moment."""
    words = {"status_code": "status_en", "ongoing_stage": "ongoing_stage_en"}
    told = {(one["observed_at"], one["field"]) for one in changes if one["new"] is not None}
    return [one for one in changes if (one["observed_at"], words.get(one["field"], "")) not in told]


def bill_numbers(client: httpx.Client, path: str) -> Iterator[tuple[str, list[float]]]:
    """The numbers that the page of a bill has to have, by section, as the API tells them."""
    bill = client.get(f"{API}/bills/{path}?include=votes").raise_for_status().json()
    yield (
        "timeline",
        [stage["sittings"] for stage in sorted(bill["stages"], key=lambda one: one["chamber"] != bill["chamber"])],
    )
    votes = []
    for vote in bill["votes"]:
        votes += [vote["yea_total"], vote["nay_total"]]
        parties = client.get(f"{API}/votes/{vote['parliament']}-{vote['session']}/{vote['number']}/parties").json()[
            "data"
        ]
        votes += [n for party in parties for n in (party["yes"], party["no"])]
    yield "votes", [len(bill["votes"]), *votes] if bill["votes"] else []
    changes = client.get(f"{API}/bills/{path}/changes?limit=5000").json()["data"]
    told = [one for one in in_words(changes) if one["kind"] != "reparsed" and not (one["field"] or "").endswith("_fr")]
    yield "history", [len(told)]
    for name, below in (("versions", "publications"), ("events", "events"), ("references", "links")):
        yield name, [len(bill[below])] if bill[below] else []


def test_the_numbers_of_a_bill_are_those_of_the_api(client: httpx.Client) -> None:
    for row in some(walk(client, "bills?limit=500")):
        path = f"{row['parliament']}-{row['session']}/{row['number']}"
        page = client.get(f"/en/bills/{path}").raise_for_status().text
        for name, told in bill_numbers(client, path):
            assert numbers(section(page, name)) == told, f"{path} {name}"


def test_the_numbers_of_a_division_are_those_of_the_api(client: httpx.Client) -> None:
    for row in some(walk(client, "votes?limit=500")):
        path = f"{row['parliament']}-{row['session']}/{row['number']}"
        page = client.get(f"/en/votes/{path}").raise_for_status().text
        facts = page[page.index('<dl class="facts">') : page.index("</dl>")]
        assert numbers(facts) == [row["yea_total"], row["nay_total"], row["paired_total"]]
        parties = walk(client, f"votes/{path}/parties?limit=500")
        assert numbers(section(page, "parties")) == [
            one[n] for one in parties for n in ("yes", "no", "paired", "absent")
        ]
        ballots = walk(client, f"votes/{path}/ballots?limit=500")
        told = section(page, "ballots")
        assert numbers(told) == [len(ballots)]
        assert re.findall(r'<a href="/en/members/([^"]+)"', told) == [one["politician_slug"] for one in ballots]
        sides = {one["party"]: one["position"] for one in parties if one["position"] in ("Yes", "No")}
        against = [
            one["politician_slug"]
            for one in ballots
            if one["ballot"] in ("Yes", "No") and sides.get(one["party"], one["ballot"]) != one["ballot"]
        ]
        assert re.findall(r'<a href="/en/members/([^"]+)"', section(page, "rebels")) == against
        assert ("do not match" in page) == (not row["totals_match"])


def test_the_numbers_of_a_member_are_those_of_the_api(client: httpx.Client) -> None:
    voters = {one["politician_slug"] for one in walk(client, "votes/45-1/1/ballots?limit=500")}
    for row in some([row for row in walk(client, "politicians?limit=500") if row["slug"] in voters]):
        page = client.get(f"/en/members/{row['slug']}").raise_for_status().text
        bills = walk(client, f"politicians/{row['slug']}/bills?limit=500")
        votes = walk(client, f"politicians/{row['slug']}/votes?limit=500")
        assert numbers(section(page, "bills")) == [len(bills)]
        counts = [sum(one["ballot"] == name for one in votes) for name in ("Yes", "No", "Paired", "Didn't vote")]
        assert sorted(numbers(section(page, "votes"))) == sorted([len(votes), *counts])
        asked = client.get(f"/en/members/{row['slug']}?ballot=No").text
        no = walk(client, f"politicians/{row['slug']}/votes?limit=500&ballot=No")
        assert numbers(section(asked, "votes"))[0] == len(no) == counts[1]


def test_a_list_is_kept_to_what_is_asked_and_goes_on(client: httpx.Client) -> None:
    rows = walk(client, "bills?session=45-1&limit=500&include=party")
    for name, value in (("chamber", "senate"), ("party", "Liberal"), ("status", rows[0]["status_code"])):
        told = {"chamber": "chamber", "party": "party", "status": "status_code"}[name]
        kept = [row for row in rows if row[told] == value]
        page = client.get("/en/bills/45-1", params={name: value}).raise_for_status().text
        assert f'<p class="total" role="status">{len(kept)} bill' in page
        option = re.search(rf'<option value="{value}" selected>[^<]*\((\d+)\)', page)
        assert option is not None
        assert int(option[1]) == len(kept)
    seen, address = set(), "/en/bills/45-1?sort=number"
    while address:
        page = client.get(address).raise_for_status().text
        seen |= set(re.findall(r'href="/en/bills/45-1/([CS]-[^"]+)"', page))
        more = re.search(r'<a rel="next" href="([^"]+)"', page)
        address = f"/en/bills/45-1{unescape(more[1])}" if more else ""
    assert seen == {row["number"] for row in rows}


def test_the_mirror_tells_each_promise_of_freshness(client: httpx.Client) -> None:
    status = client.get(f"{API}/status").raise_for_status().json()
    promises = [one for report in (status, *status["datasets"]) for one in report["freshness"]]
    assert promises
    for lang, path, yes in (("en", "mirror", "Yes"), ("fr", "miroir", "Oui")):
        page = client.get(f"/{lang}/{path}").raise_for_status().text
        rows = re.findall(r"<tr><th scope=.row.>.*?</tr>", section(page, "fresh"), re.DOTALL)
        assert len(rows) == len(promises)
        assert sum(f"<td>{yes}</td>" in row for row in rows) == sum(one["kept"] for one in promises)
        leads = re.findall(r'href="#(whole-[^"]+)"', section(page, "fresh"))
        assert len(leads) == len(promises)
        assert set(leads) <= set(re.findall(r'<tr id="([^"]+)"', section(page, "whole")))


@pytest.mark.parametrize("path", ["/en/follow", "/fr/suivre"])
def test_how_to_subscribe_is_told_as_json(path: str, client: httpx.Client) -> None:
    told = section(client.get(path).raise_for_status().text, "subscribe")
    bodies = [json.loads(unescape(one)) for one in re.findall(r"-d '(.*?)'</code>", told, re.DOTALL)]
    assert [one["kind"] for one in bodies] == ["webhook"]
    assert told.count("/api/v1/subscriptions") == 1


def test_a_list_names_its_filters_and_a_division_its_result(client: httpx.Client) -> None:
    for path in ("/fr/votes/45-1", "/fr/deputes"):
        labels = re.findall(r'<label for="f-([^"]+)">([^<]+)<', client.get(path).raise_for_status().text)
        assert labels
        assert not [name for name, label in labels if name == label]
    page = client.get("/fr/changements?dataset=votes").raise_for_status().text
    assert re.search(r"<bdi>\d+(?:er)?\u00a0\w+\u00a0\d{4}, (?:Adoptée|Rejetée), ", page)
    assert ", Passed, " not in page


def test_a_command_that_the_page_of_data_tells_is_one(client: httpx.Client) -> None:
    page = client.get("/fr/donnees").raise_for_status().text
    told = re.findall(r"parlex export (.*?) data/", page)
    assert [one.split()[::2] for one in told] == [["--format", "--to"]] * 3
    known = CliRunner().invoke(app, ["export", "--help"], env={"COLUMNS": "200"}).output
    assert all(option in known for one in told for option in one.split())
