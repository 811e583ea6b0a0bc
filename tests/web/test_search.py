"""What a search finds: all that a plain look through the texts finds, the best first."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from parlex.resources import Resources

TEXTS = {lang: (f"title_{lang}", f"short_title_{lang}", f"summary_{lang}") for lang in ("en", "fr")}
CONFIGURATIONS = {"en": "english", "fr": "french"}


def words(*texts: str | None) -> set[str]:
    """The words of texts, without tags, accents and case."""
    bare = re.sub(r"<[^>]*>", " ", " ".join(filter(None, texts)))
    letters = "".join(one for one in unicodedata.normalize("NFKD", bare) if not unicodedata.combining(one))
    return set(re.findall(r"[a-z]+", letters.lower().replace("œ", "oe").replace("æ", "ae")))


def keys(client: httpx.Client, path: str, **params: Any) -> list[str]:
    found = client.get(f"/api/v1/{path}", params={"limit": 500, **params}).json()
    assert found["next"] is None
    return [one["key"] if "key" in one else f"45-1 {one['number']}" for one in found["data"]]


@pytest.fixture(scope="module")
def bills(held: Resources) -> list[dict[str, Any]]:
    with held.db() as db:
        return [dict(row) for row in db.execute(text("select * from bills")).mappings()]


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_it_finds_what_a_plain_look_finds(
    client: httpx.Client, held: Resources, bills: list[dict[str, Any]], lang: str
) -> None:
    of = {bill["key"]: words(*(bill[name] for name in TEXTS[lang])) for bill in bills}
    with held.db() as db:
        query = text("select numnode(plainto_tsquery(cast(:named as regconfig), :word)) > 0")
        titles = sorted({word for bill in bills for word in words(bill[f"title_{lang}"])})
        named = CONFIGURATIONS[lang]
        asked = [word for word in titles if db.execute(query, {"named": named, "word": word}).scalar_one()]

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.lists(st.sampled_from(asked), min_size=1, max_size=3, unique=True), st.sampled_from([str, str.upper]))
    def find(chosen: list[str], spell: Any) -> None:
        wanted = {key for key, held in of.items() if held.issuperset(chosen)}
        found = keys(client, "search", q=spell(" ".join(chosen)), lang=lang, kind="bill")
        assert set(found) >= wanted
        assert len(found) == len(set(found))

    find()


def test_a_typographic_apostrophe_is_no_letter(client: httpx.Client, bills: list[dict[str, Any]]) -> None:
    glued = [
        (bill["key"], match[1]) for bill in bills if (match := re.search(r"\b[ld]’(\w{6,})", str(bill["title_fr"])))
    ]
    assert glued
    for key, word in glued:
        assert key in keys(client, "search", q=word, lang="fr")
        assert key in keys(client, "search", q=f"l’{word.upper()}", lang="fr")


@pytest.mark.parametrize("question", ["C-2", "c2", "c-2", "45-1 C-2", "  C-2, 45-1 "])
def test_a_number_is_a_word(client: httpx.Client, question: str) -> None:
    found = keys(client, "search", q=question, kind="bill")
    assert found[0] == "45-1 C-2"
    assert not {"45-1 C-20", "45-1 S-2"} & set(found)


def test_a_line_says_what_it_is_and_where(client: httpx.Client) -> None:
    (found,) = client.get("/api/v1/search", params={"q": "carney"}).json()["data"]
    assert (found["kind"], found["key"], found["title"]) == ("politician", "mark-carney", "Mark Carney")
    assert client.get(found["url"]).json()["slug"] == found["key"]
    english, french = (
        client.get("/api/v1/search", params={"q": "45-1 C-2", "lang": lang}).json()["data"][0]["title"]
        for lang in ("en", "fr")
    )
    bill = client.get("/api/v1/bills/45-1/C-2").json()
    assert (english, french) == (bill["title_en"], bill["title_fr"])


def test_a_walk_has_each_line_once_the_best_first(client: httpx.Client) -> None:
    whole = client.get("/api/v1/search", params={"q": "act", "limit": 500}).json()["data"]
    assert len(whole) > 10
    assert [one["rank"] for one in whole] == sorted((one["rank"] for one in whole), reverse=True)
    walked, address = [], "/api/v1/search?q=act&limit=3"
    while address:
        page = client.get(address).json()
        walked += page["data"]
        address = page["next"]
    assert walked == whole


@pytest.mark.parametrize(("question", "wrong"), [("", "q"), ("q=a&lang=de", "lang"), ("q=a&kind=cat", "kind")])
def test_a_wrong_question_is_told(client: httpx.Client, question: str, wrong: str) -> None:
    answer = client.get(f"/api/v1/search?{question}")
    assert answer.status_code == 422
    assert [one["parameter"] for one in answer.json()["errors"]] == [wrong]


@pytest.mark.parametrize("question", ["", "...", "<p>", "&", "' OR 1=1 --", "((", "a:* & !b"])
def test_marks_are_no_words(client: httpx.Client, question: str) -> None:
    assert client.get("/api/v1/search", params={"q": question}).status_code == 200


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_a_list_is_searched_too(client: httpx.Client, bills: list[dict[str, Any]], lang: str) -> None:
    word = {"en": "respecting", "fr": "concernant"}[lang]
    wanted = {bill["number"] for bill in bills if word in words(*(bill[name] for name in TEXTS[lang]))}
    params = {"q": word, "lang": lang, "session": "45-1", "limit": 500}
    found = client.get("/api/v1/bills", params=params).json()["data"]
    assert {bill["number"] for bill in found} <= wanted
    assert found
    other = {"en": "fr", "fr": "en"}[lang]
    assert len(client.get("/api/v1/bills", params=params | {"lang": other}).json()["data"]) < len(found)
    del params["lang"]
    assert len(client.get("/api/v1/bills", params=params).json()["data"]) >= len(found)


def test_no_text_is_too_long_to_be_kept(held: Resources) -> None:
    """A tsvector holds a megabyte: a longer text must not keep a bill from being saved."""
    with held.engine.connect() as db:
        db.execute(
            text(
                "update bills set summary_en = (select string_agg(md5(n::text), ' ') from generate_series(1, 99999) n)"
            )
        )
        db.rollback()
