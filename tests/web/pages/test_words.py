"""The words of the pages are complete in both languages, and each is used."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations
from string import Formatter

import pytest

from parlex.datasets.bills.bill import BillType, StageCode, StageState
from parlex.datasets.bills.stages import order
from parlex.datasets.served import LANGUAGES
from parlex.datasets.votes.vote import Choice, Result
from parlex.parliament import Chamber
from parlex.web.pages.words import Tongue, everything

PAGES = files("parlex.web.pages")
TEMPLATES = {each.name: each.read_text() for each in PAGES.joinpath("templates").iterdir() if each.name[-5:] == ".html"}
CODE = {each.name: each.read_text() for each in PAGES.iterdir() if each.name.endswith(".py")}
# Sections whose names are codes: what a code of the sources is called.
CODES = {
    "dataset", "chamber", "stage", "short", "state", "state_short", "type", "party", "committee", "province", "result",
    "ballot", "kind", "relation", "field", "sort", "nav", "ago", "filter", "source", "run", "event", "sits", "flag",
    "wanted", "when", "wrong",
}  # fmt: skip


def values(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("name", everything())
def test_a_text_is_there_in_both_languages_and_takes_the_same_values(name: str) -> None:
    texts = everything()[name]
    assert list(texts) == list(LANGUAGES)
    assert all(text.strip() == text != "" for text in texts.values())
    assert len({frozenset(values(text)) for text in texts.values()}) == 1


def test_french_is_written_as_in_canada() -> None:
    """A colon after a space that does not break; none before what asks, calls or goes on."""
    wrong = re.compile(r"[^\u00a0]:(?!//)|[ \u00a0][?!;]|n° ")
    assert not [name for name, texts in everything().items() if wrong.search(texts["fr"])]


def said() -> set[str]:
    """The names that templates and code ask for."""
    found = set()
    for text in (*TEMPLATES.values(), *CODE.values()):
        found |= set(re.findall(r'(?:say|count)\(\s*f?"([\w.-]+)"', text))
        found |= set(re.findall(r"say\('([\w.-]+)'", text))
        found |= set(re.findall(r'count\("([\w.]+)"', text))
        found |= {name for pair in re.findall(r'say\("([\w.]+)" if .*? else "([\w.]+)"', text) for name in pair}
    return {name for name in found if not name.endswith(".")}


def test_every_text_that_is_asked_for_is_there() -> None:
    known = {re.sub(r"\.(one|many)$", "", name) for name in everything()}
    assert said() <= known


def test_every_text_is_asked_for() -> None:
    prefixes = ("session.introduced", "session.second", "session.passed", "session.both", "session.assent")
    prefixes += tuple(re.findall(r'say\("([\w.]+\.)" ~', "".join(TEMPLATES.values())))
    prefixes += tuple(re.findall(r'say\(f"([\w.]+\.)\{', "".join(CODE.values())))
    unused = {
        name
        for name in everything()
        if name.partition(".")[0] not in CODES
        and re.sub(r"\.(one|many)$", "", name) not in said()
        and not name.startswith(prefixes)
    }
    assert not unused


@pytest.mark.parametrize(
    ("section", "codes"),
    [
        ("chamber", Chamber),
        ("stage", StageCode),
        ("state", StageState),
        ("state_short", StageState),
        ("type", BillType),
        ("result", Result),
        ("ballot", Choice),
    ],
)
def test_every_code_of_a_closed_set_has_a_name(section: str, codes: type) -> None:
    assert all(f"{section}.{code}" in everything() for code in codes)


def test_every_flag_of_a_bill_has_a_name() -> None:
    orders = [[day.removesuffix("_on") for day in order(chamber)] for chamber in Chamber]
    days = {f"{later}_before_{earlier}" for days in orders for earlier, later in combinations(days, 2)}
    assert {f"flag.{one}" for one in days} | {"flag.unknown_status", "flag.status_ahead_of_days"} <= set(everything())


def test_nothing_and_one_and_a_half_are_one_in_french() -> None:
    assert Tongue("fr").count("bills.count", 0, "0") == "0 projet de loi"
    assert Tongue("en").count("bills.count", 0, "0") == "0 bills"
    assert Tongue("fr").count("bills.count", 2, "2") == "2 projets de loi"
