"""Fields of details that went blank: noted while their run is under way, judged together once it is over.

Details are saved a few at a time, as they come, and a few do not tell whether a field went blank for all. Until the
end of the run the held values stay; then either the blanks are believed, since they are few, or they wait for a
person's word. Takes an open ``db``; never commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, tuple_
from sqlalchemy.orm import Session

from parlex.db.models import DocumentFetchRow, QuarantineRow, RunRow
from parlex.mirror.quarantine import Parked, parked_row

Noted = QuarantineRow  # one that is pending


def note(db: Session, blanks: Sequence[Parked], *, dataset: str, run_id: UUID, now: datetime) -> None:
    """Remember them until the run is over. A note of an earlier run, that never came to its end, moves to this one."""
    if not blanks:
        return
    row = QuarantineRow
    same = tuple_(row.key, row.field).in_([(blank.key, blank.field) for blank in blanks])
    db.execute(delete(row).where(row.dataset == dataset, row.state == "pending", same))
    db.execute(insert(row), [parked_row(blank, dataset, run_id, now, "pending") for blank in blanks])


def noted(db: Session, dataset: str, run_id: UUID) -> list[Noted]:
    """What this run noted, and what runs did that ended without being judged: revoked, abandoned."""
    row = QuarantineRow
    under_way = select(RunRow.run_id).where(RunRow.run_id == row.run_id, RunRow.status == "running").exists()
    query = select(row).where(row.dataset == dataset, row.state == "pending", or_(row.run_id == run_id, ~under_way))
    return list(db.scalars(query.order_by(row.id), execution_options={"populate_existing": True}))


def pending(db: Session, dataset: str, scope: str) -> set[str]:
    """The keys of a scope with a blank that is not judged yet."""
    row = QuarantineRow
    query = select(row.key).where(row.dataset == dataset, row.state == "pending", row.scope == scope)
    return {str(key) for key in db.scalars(query)}


def waiting(db: Session, dataset: str, scope: str | None, field: str) -> set[str]:
    """The keys of a scope whose blank of this field waits for a person's word."""
    row = QuarantineRow
    query = select(row.key).where(row.dataset == dataset, row.kind == "field", row.field == field)
    return {str(key) for key in db.scalars(query.where(row.state == "open", row.scope.is_not_distinct_from(scope)))}


def still_have(
    db: Session, dataset: str, source: str, runs: Iterable[UUID], key: Any, first_seen_at: Any, has: ColumnElement[bool]
) -> set[str]:
    """The keys with a value, by the condition ``has`` on a dataset's table, that these runs asked a source for.

    What the runs created is not among them: it had no value to lose.
    """
    fetch = DocumentFetchRow
    asked = and_(fetch.dataset == dataset, fetch.kind == "detail", fetch.source == source, fetch.run_id.in_(set(runs)))
    began = select(func.min(fetch.fetched_at)).where(asked).scalar_subquery()
    return set(db.scalars(select(key).where(has, first_seen_at < began, key.in_(select(fetch.key).where(asked)))))


def park(notes: Iterable[Noted], *, now: datetime) -> None:
    """They wait for a person's word from now on."""
    for one in notes:
        one.state, one.seen_at, one.reason = "open", now, together(one.source, one.key, one.field)


def alone(source: str, key: str | None, field: str | None) -> str:
    """What is noted of a blank while nobody can judge it, in words."""
    return f"{source} {key} {field}: went blank; the last good value is kept until the end of a run tells for how many"


def together(source: str, key: str | None, field: str | None) -> str:
    """Why a blank is not believed, in words."""
    return f"{source} {key} {field}: went blank together with others; the last good value is kept"


def forget(db: Session, notes: Iterable[Noted]) -> None:
    """They are believed."""
    db.execute(delete(QuarantineRow).where(QuarantineRow.id.in_([one.id for one in notes])))
