"""The history: one line for each field that changed, of every dataset, numbered without a gap.

Takes an open ``db``; never commits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.db.bulk import write_rows
from parlex.db.models import ChangeRow, CounterRow
from parlex.db.reads import PAGE

COUNTER = "changes"
_KEY = re.compile(r"(\d+)-(\d+) (.+)")


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history, before it has its number. ``old`` and ``new`` are JSON values.

    ``kind``: created, changed, withdrawn, reappeared; or reparsed, where our reading of the same documents changed.
    """

    key: str
    kind: str
    field: str | None = None
    old: Any = None
    new: Any = None
    source: str | None = None
    document: str | None = None


def append(db: Session, dataset: str, changes: Sequence[Change], *, now: datetime, run_id: UUID | None) -> None:
    """Add to the history. Call it last in a transaction: the numbers are locked from here to the commit."""
    if not changes:
        return
    first = next_seq(db, len(changes))
    stamp = {"dataset": dataset, "observed_at": now, "run_id": run_id}
    write_rows(db, insert(ChangeRow), [{"seq": n, **stamp, **asdict(one)} for n, one in enumerate(changes, first)])


def next_seq(db: Session, count: int) -> int:
    """The first of ``count`` numbers.

    A PostgreSQL sequence hands out numbers that commit in another order, so that a reader who asks "after N" misses
    those that commit late, and leaves gaps on a rollback. A counter row does neither: its lock is held until the
    commit.
    """
    counter = upsert(CounterRow).values(name=COUNTER, value=count)
    counter = counter.on_conflict_do_update(index_elements=["name"], set_={"value": CounterRow.value + count})
    last: int = db.execute(counter.returning(CounterRow.value)).scalar_one()
    return last - count + 1


# Reads.


@dataclass(frozen=True, slots=True)
class ChangeRecord(Record):
    """A line as ``parlex changes --json`` prints it.

    ``key`` is what the dataset knows a thing by. ``parliament``, ``session`` and ``number`` are its parts, null where
    it has none, as that of a politician.
    """

    seq: int
    dataset: str
    key: str
    parliament: int | None
    session: int | None
    number: str | None
    kind: str
    field: str | None
    old: Any
    new: Any
    observed_at: datetime
    run_id: UUID | None


def changes(
    db: Session,
    after: int = 0,
    *,
    dataset: str | None = None,
    key: str | None = None,
    run_id: UUID | None = None,
    limit: int | None = None,
) -> Iterator[ChangeRecord]:
    """The history after sequence number ``after``, oldest first; of a dataset, of one of its keys, or of a run alone.

    A reader that goes on from the last number it saw misses nothing.
    """
    row = ChangeRow
    told = (row.seq, row.dataset, row.key, row.kind, row.field, row.old, row.new, row.observed_at, row.run_id)
    statement = _among(select(*told).where(row.seq > after), dataset, key, run_id).order_by(row.seq).limit(limit)
    for seq, of, name, *rest in db.execute(statement.execution_options(yield_per=PAGE)):
        yield ChangeRecord(seq, of, name, *parts(name), *rest)


def _among(statement: Select[Any], dataset: str | None, key: str | None, run_id: UUID | None) -> Select[Any]:
    wanted = ((ChangeRow.dataset, dataset), (ChangeRow.key, key), (ChangeRow.run_id, run_id))
    return statement.where(*(column == value for column, value in wanted if value is not None))


def parts(key: str) -> tuple[int | None, int | None, str | None]:
    """The parliament, the session and the number that a key names; None where it has none."""
    match = _KEY.fullmatch(key)
    return (int(match[1]), int(match[2]), match[3]) if match else (None, None, None)


def documents_of(db: Session, dataset: str, key: str) -> dict[int, str]:
    """The sha256 of the document that each line of a key came with, by the line's number."""
    row = ChangeRow
    query = select(row.seq, row.document).where(row.dataset == dataset, row.key == key, row.document.is_not(None))
    return {seq: str(document) for seq, document in db.execute(query)}


def last_seq(db: Session) -> int:
    """The newest number of the history; 0 where there is none."""
    return db.scalar(select(func.max(ChangeRow.seq))) or 0


def seq_before(db: Session, moment: datetime) -> int:
    """The newest number that was observed before ``moment``; 0 where there is none."""
    return db.scalar(select(func.max(ChangeRow.seq)).where(ChangeRow.observed_at < moment)) or 0
