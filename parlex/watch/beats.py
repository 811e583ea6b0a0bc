"""Which beats are alive: each leaves a heartbeat of its own, ``beat HOST:PROCESS``, beside the worker's ``beat``.

There is to be one. Two do no harm, since a slot is one run; but they are two by mistake.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.db.models import HeartbeatRow

PREFIX = "beat "
# A beat that was killed is forgotten after so long. One that is stopped takes its row away itself.
FORGOTTEN_AFTER = timedelta(hours=1)


def note(db: Session, name: str) -> None:
    """Say that the beat ``HOST:PROCESS`` is alive now, by the database's clock, and forget those long gone."""
    row = upsert(HeartbeatRow).values(name=PREFIX + name, seen_at=func.now())
    db.execute(row.on_conflict_do_update(index_elements=["name"], set_={"seen_at": func.now()}))
    db.execute(delete(HeartbeatRow).where(_is_beat(), HeartbeatRow.seen_at < func.now() - FORGOTTEN_AFTER))


def forget(db: Session, name: str) -> None:
    """The beat ends."""
    db.execute(delete(HeartbeatRow).where(HeartbeatRow.name == PREFIX + name))


def alive(db: Session, within: timedelta) -> list[str]:
    """The beats seen ``within`` that time, as ``HOST:PROCESS``."""
    seen = select(HeartbeatRow.name).where(_is_beat(), HeartbeatRow.seen_at > func.now() - within)
    return [name.removeprefix(PREFIX) for name in db.scalars(seen.order_by(HeartbeatRow.name))]


def _is_beat() -> ColumnElement[bool]:
    return HeartbeatRow.name.startswith(PREFIX, autoescape=True)
