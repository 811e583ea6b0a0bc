"""What was not believed, and a person's word on it.

``sweep``     a whole list, or one field of it, that broke a guard. Approved: the next list is believed in spite of that
              guard, once. Rejected: it stays withheld until a list comes that does not break it.
``field``     a field of one record that went blank together with those of others; pending while the run is under way
              that saw it, since only its end tells how many did. Approved: the blank is taken over at once.
              Rejected: the held value stays for good, until the source gives one.
``document``, ``part``, ``row``  what could not be read: a detail, a part of one, a row of a list. Nothing can be
              approved there: mend the parser, and the next fetch or a replay reads it. Rejected: it is known and
              settled for as long as the same is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from parlex.datasets import replay
from parlex.datasets.dataset import Dataset
from parlex.datasets.replay import Difference
from parlex.db.models import QuarantineRow
from parlex.errors import UsageError
from parlex.mirror.quarantine import QuarantineRecord
from parlex.parliament import SessionId

UNREADABLE = ("document", "part", "row")  # the kinds of what could not be read
STATES = ("pending", "open", "approved", "rejected", "resolved")

Datasets = Mapping[str, Dataset]

_COLUMNS = [getattr(QuarantineRow, field.name) for field in fields(QuarantineRecord)]


def entries(
    db: Session,
    *,
    state: str | None = "open",
    session: SessionId | None = None,
    dataset: str | None = None,
    limit: int | None = None,
) -> Iterator[QuarantineRecord]:
    """What is in quarantine, newest first; every state with None. UsageError for a state that is none."""
    if state is not None and state not in STATES:
        raise UsageError(f"{state!r} is not a state; known: {', '.join(STATES)}")
    query = select(*_COLUMNS).order_by(QuarantineRow.id.desc()).limit(limit)
    if state is not None:
        query = query.where(QuarantineRow.state == state)
    if session is not None:
        query = query.where(QuarantineRow.scope == str(session))
    if dataset is not None:
        query = query.where(QuarantineRow.dataset == dataset)
    return (QuarantineRecord(*row) for row in db.execute(query))


def entry(db: Session, number: int) -> QuarantineRecord:
    """One entry; UsageError where there is none of that number."""
    row = db.execute(select(*_COLUMNS).where(QuarantineRow.id == number)).first()
    if row is None:
        raise UsageError(f"nothing in quarantine has the number {number}; see: parlex quarantine list")
    return QuarantineRecord(*row)


def approve(db: Session, datasets: Datasets, number: int, *, now: datetime) -> tuple[Difference, ...]:
    """Believe the source after all; what changed by it at once. UsageError where believing makes no sense."""
    row = _undecided(db, datasets, number)
    if row.kind in UNREADABLE:
        then = "fetch the session again" if row.kind == "row" else "replay it (parlex replay)"
        raise UsageError(f"{number} is a {row.kind} that cannot be read: mend the parser, then {then}")
    _decide(db, row, "approved", now)
    if row.kind != "field" or row.key is None:
        return ()
    dataset = datasets[row.dataset]
    return replay.rebuild(db, dataset, [row.key], apply=True, now=now, kind="changed").differences


def reject(db: Session, datasets: Datasets, number: int, *, now: datetime) -> None:
    """Keep what the mirror holds. UsageError where it is too late for that."""
    row = _undecided(db, datasets, number)
    if row.kind == "field" and row.state == "approved":
        raise UsageError(f"{number} was approved and the blank taken over; the history has the old value")
    _decide(db, row, "rejected", now)


def _undecided(db: Session, datasets: Datasets, number: int) -> QuarantineRow:
    """The row, in this caller's hands. A decision may be taken back while the matter lasts."""
    found = entry(db, number)
    if found.key is not None:
        # In the order of those who save, so that neither waits for the other in a circle.
        datasets[found.dataset].lock(db, [found.key])
    row = db.scalars(select(QuarantineRow).where(QuarantineRow.id == number).with_for_update()).one()
    if row.state == "resolved":
        raise UsageError(f"{number} has resolved itself: the source mended it, or a later list was believed")
    return row


def _decide(db: Session, row: QuarantineRow, state: str, now: datetime) -> None:
    if row.state == state:
        raise UsageError(f"{row.id} is {state} already")
    row.state = state
    row.decided_at = now
    db.flush()
