"""Locks on names, for what is no row, or not one row: of a transaction, or of a process for as long as it lives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

_IS_KEPT = text(
    """
    SELECT EXISTS (
      SELECT FROM pg_locks JOIN pg_database d ON d.oid = database
      WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND d.datname = current_database()
        AND (classid::bigint << 32 | objid::bigint) = hashtextextended(:name, 0))
    """
)


def lock(db: Session, names: Iterable[str]) -> None:
    """Wait for these names, and keep others out of them until commit.

    They are taken in one order, so that two who want the same never wait for each other in a circle.
    """
    wanted = sorted(set(names))
    if wanted:
        ordered = select(func.unnest(wanted).label("name")).order_by("name").subquery()
        db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(ordered.c.name, 0))))


@contextmanager
def kept(engine: Engine, name: str) -> Iterator[bool]:
    """Keep a name while the block lasts, unless another has it: whether it is ours now.

    It takes a connection of its own, and no transaction. The server lets go of the name when that connection ends,
    however its process died.
    """
    key = func.hashtextextended(name, 0)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as link:
        ours = bool(link.scalar(select(func.pg_try_advisory_lock(key))))
        try:
            yield ours
        finally:
            if ours:
                with suppress(DBAPIError):  # a server that went away has let go of it
                    link.scalar(select(func.pg_advisory_unlock(key)))


def is_kept(db: Session, name: str) -> bool:
    """Whether some connection keeps the name, our own too: a pooler may lend us the very one that does."""
    return bool(db.scalar(_IS_KEPT, {"name": name}))
