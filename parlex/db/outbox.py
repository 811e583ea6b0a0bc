"""Messages as rows: written down first, claimed under a lease by whoever sends them, and due again until they arrive.

A sender that dies in the middle is followed by the next one when its lease is over. So a message arrives at least once.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from parlex.db.models import Outgoing

T = TypeVar("T", bound=Outgoing)


def waiting(row: type[Outgoing]) -> ColumnElement[bool]:
    """Whether a message has neither arrived nor been given up."""
    return row.delivered_at.is_(None) & row.given_up_at.is_(None)


def claim(
    db: Session, row: type[T], *where: ColumnElement[bool], now: datetime, lease: timedelta, most: int = 1
) -> Sequence[T]:
    """Take messages that are due into this caller's hands, the oldest first."""
    due = (
        select(row.id)
        .where(waiting(row), row.next_attempt_at <= now, *where)
        .order_by(row.created_at, row.id)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    taken = update(row).where(row.id == due.c.id).values(next_attempt_at=now + lease, attempt=row.attempt + 1)
    return db.scalars(taken.returning(row)).all()


def wait_of(sent: Outgoing, waits: Sequence[timedelta]) -> timedelta:
    """After how long a message that failed is tried again: one of ``waits`` after each attempt, the last of them ever
    after."""
    return waits[min(sent.attempt, len(waits)) - 1]


def note(db: Session, sent: T, error: str | None, *, now: datetime, again: timedelta | None, **more: Any) -> None:
    """What came of one: arrived where there is no error, else due ``again``, given up where that is None."""
    if error is None:
        more["delivered_at"] = now
    elif again is None:
        more["given_up_at"] = now
    else:
        more["next_attempt_at"] = now + again
    row = type(sent)
    db.execute(update(row).where(row.id == sent.id).values(error=error, **more))


def counts(db: Session, row: type[Outgoing]) -> tuple[int, int]:
    """(messages still to be sent, messages given up)."""
    to_send = func.count().filter(row.given_up_at.is_(None))
    given_up = func.count().filter(row.given_up_at.is_not(None))
    counted = db.execute(select(to_send, given_up).where(row.delivered_at.is_(None))).one()
    return counted[0], counted[1]


def prune(db: Session, row: type[Outgoing], cutoff: datetime) -> int:
    """Delete messages older than ``cutoff``; how many."""
    return len(db.execute(delete(row).where(row.created_at < cutoff).returning(row.id)).all())
