"""The history: one line for each field that changed, numbered without a gap. Takes an open ``db``; never commits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.db.bulk import write_rows
from parlex.db.models import (
    BillChangeRow,
    CounterRow,
    RecordChangeRow,
)
from parlex.db.reads import PAGE, columns
from parlex.parliament import BillKey


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history, before it has its number. ``old`` and ``new`` are JSON values."""

    key: BillKey
    kind: str
    field: str | None = None
    old: Any = None
    new: Any = None
    source: str | None = None
    document: str | None = None


def lock_keys(db: Session, dataset: str, keys: Iterable[str]) -> None:
    """Keep other writers of these keys out until commit. In one order, so that two writers never wait in a circle."""
    names = sorted(f"{dataset} {key}" for key in keys)
    if names:
        ordered = select(func.unnest(names).label("name")).order_by("name").subquery()
        db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(ordered.c.name, 0))))


def plain(value: Any) -> Any:
    """An enum's value; anything else as it is."""
    return value.value if isinstance(value, Enum) else value


def json_value(value: Any) -> Any:
    """How the history writes a value: days as ISO text."""
    return value.isoformat() if isinstance(value, date) else plain(value)


def append_changes(db: Session, changes: Sequence[Change], *, now: datetime, run_id: UUID | None) -> None:
    """Add to the history. Call it last in a transaction: the numbers are locked from here to the commit."""
    if not changes:
        return
    first = next_seq(db, len(changes))
    write_rows(
        db,
        insert(BillChangeRow),
        [
            {
                "seq": seq,
                **_identity(change.key),
                "kind": change.kind,
                "field": change.field,
                "old": change.old,
                "new": change.new,
                "observed_at": now,
                "run_id": run_id,
                "source": change.source,
                "document": change.document,
            }
            for seq, change in enumerate(changes, first)
        ],
    )


@dataclass(frozen=True, slots=True)
class RecordChange:
    """One line of the history of a dataset that is not the bills, before it has its number."""

    key: str
    kind: str
    field: str | None = None
    old: Any = None
    new: Any = None
    source: str | None = None
    document: str | None = None


def append_record_changes(
    db: Session, changes: Sequence[RecordChange], *, dataset: str, now: datetime, run_id: UUID | None
) -> None:
    """As :func:`append_changes`, for the datasets that are not bills. They share one counter."""
    if not changes:
        return
    first = next_seq(db, len(changes), name="record_changes")
    stamp = {"dataset": dataset, "observed_at": now, "run_id": run_id}
    rows = [{"seq": seq, **stamp, **asdict(change)} for seq, change in enumerate(changes, first)]
    write_rows(db, insert(RecordChangeRow), rows)


def _identity(key: BillKey) -> dict[str, Any]:
    return {"parliament": key.session.parliament, "session": key.session.session, "number": key.number}


def next_seq(db: Session, count: int, *, name: str = "bill_changes") -> int:
    """The first of ``count`` numbers.

    A PostgreSQL sequence hands out numbers that commit in another order, so that a reader who asks "after N" misses
    those that commit late, and leaves gaps on a rollback. A counter row does neither: its lock is held until the
    commit.
    """
    counter = upsert(CounterRow).values(name=name, value=count)
    counter = counter.on_conflict_do_update(index_elements=["name"], set_={"value": CounterRow.value + count})
    last: int = db.execute(counter.returning(CounterRow.value)).scalar_one()
    return last - count + 1


@dataclass(frozen=True, slots=True)
class ChangeRecord(Record):
    seq: int
    parliament: int
    session: int
    number: str
    kind: str
    field: str | None
    old: Any
    new: Any
    observed_at: datetime
    run_id: UUID | None


def changes(
    db: Session, after: int = 0, *, key: BillKey | None = None, limit: int | None = None
) -> Iterator[ChangeRecord]:
    """The history after sequence number ``after``, oldest first. A reader that goes on from the last number it saw
    misses nothing."""
    statement = (
        select(*columns(ChangeRecord, BillChangeRow))
        .where(BillChangeRow.seq > after)
        .order_by(BillChangeRow.seq)
        .limit(limit)
    )
    if key is not None:
        statement = statement.where(*(getattr(BillChangeRow, name) == value for name, value in _identity(key).items()))
    for row in db.execute(statement.execution_options(yield_per=PAGE)):
        yield ChangeRecord(*row)


def last_seq(db: Session) -> int:
    """The newest sequence number of the history; 0 where there is none."""
    return db.scalar(select(func.max(BillChangeRow.seq))) or 0


# >>> from parlex.house
@dataclass(frozen=True, slots=True)
class RecordChangeRecord(Record):
    """A line of the history of a dataset that is not the bills. Both datasets share one count."""

    seq: int
    dataset: str
    key: str
    kind: str
    field: str | None
    old: Any
    new: Any
    observed_at: datetime
    run_id: UUID | None


def record_changes(
    db: Session, dataset: str, after: int = 0, *, key: str | None = None, limit: int | None = None
) -> Iterator[RecordChangeRecord]:
    """The history of a dataset after sequence number ``after``, oldest first. See ``queries.changes``."""
    change = RecordChangeRow
    statement = select(*columns(RecordChangeRecord, change)).where(change.dataset == dataset, change.seq > after)
    if key is not None:
        statement = statement.where(change.key == key)
    for row in db.execute(statement.order_by(change.seq).limit(limit).execution_options(yield_per=PAGE)):
        yield RecordChangeRecord(*row)
