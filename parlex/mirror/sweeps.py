"""Sweeps: each look at a whole list, and what it held against the mirror. Takes an open ``db``; never commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from parlex.db.models import (
    SweepRow,
)
from parlex.mirror.listings import listed_keys
from parlex.mirror.quarantine import parked_keys
from parlex.parliament import SessionId


def finish_sweeps(
    db: Session,
    dataset: str,
    run_id: UUID,
    *,
    held: Callable[[str], Set[str]],
    order: Callable[[str], Any],
    sources: Mapping[str, Sequence[str]],
) -> None:
    """Write what each list that the run believed has against what the mirror holds, now that the run is over.

    ``held`` answers the keys that the mirror holds of a scope; ``order`` is the key by which keys are sorted;
    ``sources`` are those whose quarantine counts, by the source of the list.
    """
    sweeps = db.scalars(select(SweepRow).where(SweepRow.run_id == run_id, SweepRow.believed))
    for sweep in sweeps.all():
        listed, kept = listed_keys(db, dataset, sweep.source, sweep.scope), held(sweep.scope)
        db.execute(
            update(SweepRow)
            .where(SweepRow.id == sweep.id)
            .values(
                held=len(kept),
                missing=sorted(listed - kept, key=order),
                extra=sorted(kept - listed, key=order),
                quarantined=sorted(parked_keys(db, dataset, sweep.scope, sources[sweep.source]), key=order),
            )
        )


def last_believed(db: Session, dataset: str, source: str, scope: str) -> SweepRow | None:
    """The last sweep of a scope that was believed."""
    query = select(SweepRow).where(
        SweepRow.dataset == dataset, SweepRow.source == source, SweepRow.scope == scope, SweepRow.believed
    )
    return db.scalars(query.order_by(SweepRow.swept_at.desc()).limit(1)).first()


def newest(db: Session, dataset: str, source: str, scope: str) -> SweepRow | None:
    """The last sweep of a scope, believed or not."""
    query = select(SweepRow).where(SweepRow.dataset == dataset, SweepRow.source == source, SweepRow.scope == scope)
    return db.scalars(query.order_by(SweepRow.swept_at.desc(), SweepRow.id.desc()).limit(1)).first()


def scopes(db: Session, dataset: str) -> set[str]:
    """The scopes of which a list was ever had, believed or not."""
    return set(db.scalars(select(SweepRow.scope).where(SweepRow.dataset == dataset).distinct()))


def current_scope(db: Session, dataset: str, source: str) -> str | None:
    """The scope that the source last gave as the current one."""
    query = select(SweepRow.scope).where(
        SweepRow.dataset == dataset, SweepRow.source == source, SweepRow.believed, SweepRow.is_current
    )
    return db.scalars(query.order_by(SweepRow.swept_at.desc()).limit(1)).first()


def current_session(db: Session) -> SessionId | None:
    """The session that the list without a session parameter was last seen to hold; None before the first sweep."""
    scope = db.scalar(
        select(SweepRow.scope)
        .where(SweepRow.dataset == "bills", SweepRow.source == "legisinfo", SweepRow.is_current, SweepRow.believed)
        .order_by(SweepRow.swept_at.desc())
        .limit(1)
    )
    return SessionId.parse(scope) if scope else None
