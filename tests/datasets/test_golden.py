"""Each parser on small documents in the shape of the sources', against what it should read: a golden file beside each.

``tests/golden/PARSER/NAME.json`` is a document, its facts invented; a list of several is ``NAME.1.json``,
``NAME.2.json``. What a detail is asked for is the beginning of its name: ``45-1_C-94__odd-parts`` is of 45-1 C-94.
``NAME.golden.json`` is what comes out. A missing one is written, and the test fails: look at it, and commit it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from parlex.datasets.bills import legisinfo, openparliament
from parlex.datasets.politicians import source as politicians
from parlex.datasets.votes import source as votes
from parlex.datasets.votes.vote import VoteKey
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.pages import joined
from parlex.parliament import BillKey, SessionId

GOLDEN = Path(__file__).parent.parent / "golden"
Documents = Mapping[str, Document]  # by what stands between the name and .json, in order


def one(documents: Documents) -> Document:
    (document,) = documents.values()
    return document


def of(documents: Documents, kind: str) -> list[Document]:
    return [document for name, document in documents.items() if name.startswith(kind)]


PARSERS: dict[str, Callable[[str, Documents], Any]] = {
    "legisinfo-list": lambda asked, found: legisinfo.parse_list(one(found)),
    "legisinfo-detail": lambda asked, found: legisinfo.parse_bill(one(found), BillKey.parse(asked)),
    "openparliament-bills": lambda asked, found: openparliament.parse_list(of(found, ""), SessionId.parse(asked)),
    "openparliament-bill": lambda asked, found: openparliament.parse_bill(one(found), BillKey.parse(asked)),
    "politicians-list": lambda asked, found: politicians.parse_list(of(found, "everybody"), of(found, "current")),
    "politician": lambda asked, found: politicians.parse_politician(one(found), asked),
    "votes": lambda asked, found: votes.parse_list(of(found, ""), SessionId.parse(asked)),
    "vote": lambda asked, found: votes.parse_vote(one(found), VoteKey.parse(asked)),
    "ballots": lambda asked, found: votes.parse_ballots(joined(of(found, "")), VoteKey.parse(asked)),
}


def cases() -> list[tuple[str, str]]:
    """(parser, name) of each document, those of one list together."""
    found = {(path.parent.name, path.name.partition(".")[0]) for path in GOLDEN.glob("*/*.json")}
    return sorted(found)


def documents(parser: str, name: str) -> Documents:
    found = {}
    for path in sorted((GOLDEN / parser).glob(f"{name}.*")):
        which = path.name.removeprefix(name).removesuffix(".json").removeprefix(".")
        if which != "golden":
            url = f"https://source.test/{parser}/{path.name}"
            found[which] = Document(url, 200, datetime(2026, 11, 22, tzinfo=UTC), "application/json", path.read_bytes())
    return found


def plain(value: Any) -> Any:
    """As JSON has it; of an error what a person is told, and where."""
    if isinstance(value, DocumentError):
        names = ("key", "part", "field", "reason")
        return {name: getattr(value, name) for name in names if getattr(value, name)} | {
            "document": value.document.rpartition("/")[2]
        }
    if isinstance(value, date | BillKey | SessionId | VoteKey):
        return str(value)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    return value


def read(parser: str, name: str) -> Any:
    asked = name.partition("__")[0].replace("_", " ")
    try:
        return plain(PARSERS[parser](asked, documents(parser, name)))
    except DocumentError as error:
        return {"refused": plain(error)}


@pytest.mark.parametrize(("parser", "name"), cases())
def test_a_document_is_read_as_its_golden_file_says(parser: str, name: str) -> None:
    found = json.dumps(read(parser, name), ensure_ascii=False, indent=1) + "\n"
    golden = GOLDEN / parser / f"{name}.golden.json"
    if not golden.exists():
        golden.write_text(found, encoding="utf-8")
        pytest.fail(f"{golden.relative_to(GOLDEN.parent)} is new: look at it, and commit it if it is right")
    assert json.loads(found) == json.loads(golden.read_text(encoding="utf-8"))


def test_every_parser_has_documents_that_are_read_and_one_with_something_odd() -> None:
    read_by = {parser: [read(parser, name) for of, name in cases() if of == parser] for parser in PARSERS}
    assert {parser for parser, _ in cases()} == set(PARSERS)
    for parser, answers in read_by.items():
        good = [answer for answer in answers if "refused" not in answer]
        assert good, f"{parser} reads none of its documents"
        assert any("refused" in one or one.get("odd") or one.get("rejected") for one in answers), parser


def test_no_golden_file_is_left_of_a_document_that_is_gone() -> None:
    assert [name for parser, name in cases() if not documents(parser, name)] == []
