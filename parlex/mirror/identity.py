"""Which mirror this is. Two that share one Redis by mistake would else take each other's work.

What was refused from another mirror is noted among the heartbeats, as ``stranger ID``, for whoever looks.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.db.models import HeartbeatRow, MirrorRow

PREFIX = "stranger "
FORGOTTEN_AFTER = timedelta(days=1)


def mirror_id(db: Session) -> UUID:
    """The id of the mirror in this database."""
    return db.scalars(select(MirrorRow.id)).one()


def note_stranger(db: Session, other: str) -> None:
    """Say that a message of another mirror came now, by the database's clock, and forget those of long ago."""
    row = upsert(HeartbeatRow).values(name=PREFIX + other, seen_at=func.now())
    db.execute(row.on_conflict_do_update(index_elements=["name"], set_={"seen_at": func.now()}))
    db.execute(delete(HeartbeatRow).where(_is_stranger(), HeartbeatRow.seen_at < func.now() - FORGOTTEN_AFTER))


def strangers(db: Session, within: timedelta) -> list[str]:
    """The ids of the other mirrors whose messages came ``within`` that time."""
    seen = select(HeartbeatRow.name).where(_is_stranger(), HeartbeatRow.seen_at > func.now() - within)
    return [name.removeprefix(PREFIX) for name in db.scalars(seen.order_by(HeartbeatRow.name))]


def _is_stranger() -> ColumnElement[bool]:
    return HeartbeatRow.name.startswith(PREFIX, autoescape=True)
