"""What a person calls LEGISinfo's new words: a status or a type that today's code does not know.

A bill with such a word lands like any other, with the text as LEGISinfo writes it. Its status has the code ``unknown``
until the text is named here; its type is the text itself. What the code knows is named there, and cannot be named anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import any_, delete, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.datasets.bills.bill import UNKNOWN, BillType, StatusCode
from parlex.datasets.bills.legisinfo_codes import NAME, fold_word, known_status, known_type
from parlex.datasets.kind import Unknown
from parlex.db.models import BillRow, WordRow
from parlex.db.reads import columns
from parlex.errors import UsageError

KINDS = ("status", "type")
CODES: Mapping[str, tuple[str, ...]] = {"status": tuple(StatusCode), "type": tuple(BillType)}
UNKNOWN_STATUS, UNKNOWN_TYPE = "unknown_status", "unknown_type"  # how a bill is flagged
_NEW_CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Word(Record):
    """A text that a source writes, and the code that a person gave it."""

    source: str
    kind: str
    text: str
    code: str
    added_at: datetime
    added_by: str


class Named:
    """The words that have a name, by kind and text."""

    def __init__(self, words: Iterable[Word]) -> None:
        self._codes = {(word.kind, fold_word(word.text)): word.code for word in words}

    def status(self, text: str) -> str:
        """The code of a status: the code's own name for it, or a person's, or else ``unknown``."""
        return known_status(text) or self._codes.get(("status", fold_word(text)), UNKNOWN)

    def type(self, text: str) -> str:
        """A type as the row holds it; the text itself where nobody has named it."""
        return known_type(text) or self._codes.get(("type", fold_word(text)), text)


def flags(status_code: str, bill_type: str) -> list[str]:
    """How a bill is flagged whose words nobody has named."""
    found = [UNKNOWN_STATUS] if status_code == UNKNOWN else []
    if bill_type not in CODES["type"] and not _NEW_CODE.fullmatch(bill_type):
        found.append(UNKNOWN_TYPE)
    return found


# Rows.


def words(db: Session) -> list[Word]:
    """All words that were named, by kind and text."""
    query = select(*columns(Word, WordRow)).order_by(WordRow.kind, WordRow.text)
    return [Word(*row) for row in db.execute(query)]


def named(db: Session) -> Named:
    return Named(words(db))


def codes(db: Session, kind: str) -> tuple[str, ...]:
    """All codes that a bill may have: those that the code knows, those that a person made, and ``unknown``."""
    made = select(WordRow.code).where(WordRow.kind == kind).distinct().order_by(WordRow.code)
    return tuple(dict.fromkeys((*CODES[kind], *db.scalars(made), UNKNOWN)))


def add(db: Session, kind: str, text: str, code: str, *, by: str) -> bool:
    """Name a text, or name it otherwise; whether the code is a new one. UsageError for what cannot be a word."""
    _check(kind, text)
    if (known := known_status(text) if kind == "status" else known_type(text)) is not None:
        raise UsageError(f"{text!r} is known already, as {known}")
    new = code not in CODES[kind]
    if new and (code == UNKNOWN or not _NEW_CODE.fullmatch(code) or len(code) > _LONGEST):
        raise UsageError(
            f"{code!r:.80} is no code: take one of {', '.join(CODES[kind])}, or a new one written like house_paused"
        )
    row = {"source": NAME, "kind": kind, "text": " ".join(text.split()), "code": code, "added_by": by}
    offered = upsert(WordRow).values(row)
    changes = {"code": offered.excluded.code, "added_by": offered.excluded.added_by, "added_at": func.now()}
    db.execute(offered.on_conflict_do_update(index_elements=["source", "kind", "text"], set_=changes))
    return new


def remove(db: Session, kind: str, text: str) -> None:
    """Forget a name. UsageError for a text that has none."""
    _check(kind, text)
    gone = delete(WordRow).where(WordRow.kind == kind, WordRow.text == " ".join(text.split()))
    if db.execute(gone.returning(WordRow.text)).first() is None:
        raise UsageError(f"no {kind} is called {text!r:.80}: see parlex words")


def _check(kind: str, text: str) -> None:
    if kind not in KINDS:
        raise UsageError(f"{kind!r:.80} is no kind of word; known: {', '.join(KINDS)}")
    if not text.strip() or not text.isprintable() or len(text) > _LONGEST:
        raise UsageError(f"a {kind} is text of at most {_LONGEST} characters, as LEGISinfo writes it")


def concerned(db: Session, texts: Iterable[str] = ()) -> Sequence[str]:
    """The bills whose code may be another one by now: those whose text has a name, or had one that is in ``texts``."""
    mine = [*(word.text for word in words(db)), *texts]
    if not mine:
        return ()
    query = select(BillRow.key).where(or_(BillRow.status_en.in_(mine), BillRow.bill_type.in_(mine)))
    return db.scalars(query).all()


def unknown(db: Session) -> tuple[Unknown, ...]:
    """The words that bills have and nobody has named, with the number of the bills."""
    count: Any = func.count()
    statuses = select(BillRow.status_en, count).where(BillRow.status_code == UNKNOWN)
    types = select(BillRow.bill_type, count).where(literal(UNKNOWN_TYPE) == any_(BillRow.flags))
    found = [("status", *row) for row in db.execute(statuses.group_by(BillRow.status_en).order_by(BillRow.status_en))]
    found += [("type", *row) for row in db.execute(types.group_by(BillRow.bill_type).order_by(BillRow.bill_type))]
    return tuple(Unknown(NAME, *each) for each in found)
