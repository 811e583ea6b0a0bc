"""Locks on names, which PostgreSQL holds until the end of the transaction: for what is no row, or not one row."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session


def lock(db: Session, names: Iterable[str]) -> None:
    """Wait for these names, and keep others out of them until commit.

    They are taken in one order, so that two who want the same never wait for each other in a circle.
    """
    wanted = sorted(set(names))
    if wanted:
        ordered = select(func.unnest(wanted).label("name")).order_by("name").subquery()
        db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(ordered.c.name, 0))))
