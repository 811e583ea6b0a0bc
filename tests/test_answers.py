"""How a count is said, everywhere alike."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from parlex.answers import counted

CODE = sorted((Path(__file__).resolve().parent.parent / "parlex").rglob("*.py"))
NOUNS = (
    "alerts|ballots|bills|bytes|changes|days|differences|disagreements|divisions|documents|entries|errors|hosts|keys|"
    "members|messages|nays|pages|politicians|problems|processes|records|requests|retries|rows|runs|sessions|"
    "slots|stages|times|votes|workers|yeas"
)


@pytest.mark.parametrize(
    ("count", "words", "said"),
    [
        (0, ["bill"], "0 bills"),
        (1, ["bill"], "1 bill"),
        (2, ["bill"], "2 bills"),
        (1200, ["entry", "entries"], "1,200 entries"),
        (1, ["entry", "entries"], "1 entry"),
    ],
)
def test_one_is_one(count: int, words: list[str], said: str) -> None:
    assert counted(count, *words) == said


@pytest.mark.parametrize("path", CODE, ids=lambda path: "/".join(path.parts[-3:]))
def test_no_count_has_its_noun_beside_it(path: Path) -> None:
    """It would be wrong of one. A constant is never one, and what stands in columns is no sentence."""
    assert list(plurals(ast.parse(path.read_text(encoding="utf-8")))) == []


def plurals(tree: ast.AST) -> Iterator[str]:
    for text in (node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)):
        for value, after in zip(text.values, text.values[1:], strict=False):
            if not isinstance(value, ast.FormattedValue) or not isinstance(after, ast.Constant):
                continue
            told = re.match(rf" (?:[a-z]+ )?(?:{NOUNS})\b", str(after.value))
            in_columns = value.format_spec is not None and ">" in ast.unparse(value.format_spec)
            if told and not in_columns and not re.fullmatch(r"[A-Z_]+", ast.unparse(value.value)):
                yield f"line {text.lineno}: {ast.unparse(text)}"
