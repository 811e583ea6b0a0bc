"""Tables: whole in a pipe, fitted to a terminal, in blocks where it is narrow; always the same columns."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from parlex.cli.tables.layout import BOUNDLESS, Facts, Sheet, cell, line, numbers, span, text, whole

TITLE = "An Act to amend certain Acts and to make consequential amendments"
REASON = "nobody knows why this came to be as it is, " * 4


def sheet() -> Sheet:
    made = Sheet("Some", whole("Number"), line("Title", 3), text("Reason", 2), numbers("Yeas", "Nays"))
    made.add("C-2", TITLE, REASON, 120, 7)
    made.add("S-203", "Short", None, 5, 12345)
    return made


def shown(what: object, width: int, *, terminal: bool) -> list[str]:
    out = StringIO()
    Console(file=out, width=width, force_terminal=terminal, color_system=None).print(what)
    return [one.rstrip() for one in out.getvalue().splitlines()]


def test_in_a_pipe_a_row_is_whole() -> None:
    lines = shown(sheet(), BOUNDLESS, terminal=False)
    (row,) = [one for one in lines if one.startswith("C-2")]
    assert TITLE in row
    # Free text is folded, and not cut.
    assert "".join("".join(lines).split()).count("nobodyknows") == 4
    assert not any("…" in one for one in lines)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_where_a_width_is_asked_for_nothing_is_cut_either(width: int) -> None:
    lines = shown(sheet(), width, terminal=False)
    assert max(map(len, lines)) <= width
    assert not any("…" in one for one in lines)
    assert all(word in " ".join(lines) for word in TITLE.split())


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_on_a_terminal_a_title_is_one_line(width: int) -> None:
    lines = shown(sheet(), width, terminal=True)
    assert max(map(len, lines)) <= width
    assert lines[1].split() == ["Number", "Title", "Reason", "Yeas", "Nays"]
    assert any(one.startswith("C-2") and ("…" in one or TITLE in one) for one in lines)


@pytest.mark.parametrize("width", [20, 36])
def test_a_narrow_terminal_gets_a_block_a_row(width: int) -> None:
    lines = shown(sheet(), width, terminal=True)
    assert max(map(len, lines)) <= width
    assert [one.split()[1] for one in lines if one.startswith("Number")] == ["C-2", "S-203"]
    assert "".join("".join(lines).split()).count("Yeas5,Nays12345") == 1


def test_what_needs_little_leaves_its_share() -> None:
    made = Sheet(None, line("Short"), line("Long"))
    made.add("a", "b" * 30)
    assert shown(made, 40, terminal=True)[-2].split() == ["a", "b" * 30]


def test_facts_stand_below_each_other() -> None:
    facts = Facts("One")
    facts.add("Title", TITLE)
    facts.add("Status", "success")
    lines = shown(facts, 40, terminal=True)
    assert lines[0] == "One"
    assert lines[1].startswith("Title   An Act")
    assert "Status  success" in lines


@pytest.mark.parametrize(("title", "lines"), [("Changes", ["Changes: none"]), (None, [])])
def test_a_sheet_without_rows_is_one_line(title: str | None, lines: list[str]) -> None:
    assert shown(Sheet(title, whole("Number")), 80, terminal=True) == lines


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "-"), (1.2345, "1.2"), ({"a": 1, "b": None}, "a=1"), (True, "True"), (12, "12")],
)
def test_values_in_words(value: object, words: str) -> None:
    assert cell(value) == words


@pytest.mark.parametrize(("seconds", "words"), [(1.4, "1 s"), (119, "119 s"), (130, "2.2 min"), (9000, "2.5 h")])
def test_spans_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words
