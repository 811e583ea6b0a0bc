"""The quarantine: rows for what was not believed. Takes an open ``db``; never commits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, case, func, insert, or_, select, tuple_, update
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.db.models import (
    QuarantineRow,
)
from parlex.mirror.listings import Place


@dataclass(frozen=True, slots=True)
class Parked:
    """Something that was not believed, for a person to look at."""

    kind: str
    guard: str
    source: str
    reason: str
    scope: str | None = None
    key: str | None = None
    field: str | None = None
    held: Any = None
    offered: Any = None
    document: str | None = None
    url: str | None = None


def park(db: Session, parked: Sequence[Parked], *, dataset: str, run_id: UUID | None, now: datetime) -> list[Parked]:
    """Open a quarantine row for each, or count it on the row that says the same. Those that wait for a person's word.

    What a person rejected is settled, and is counted on its row: a field or a list for as long as it lasts, a row or a
    document for as long as the same is wrong with it.
    """
    return [item for item in parked if _park(db, item, dataset, run_id, now) == "open"]


def _park(db: Session, item: Parked, dataset: str, run_id: UUID | None, now: datetime) -> str:
    """The state of the row that stands for it now."""
    row = QuarantineRow
    lasts = (
        row.state == "rejected"
        if item.kind in ("field", "sweep")
        else and_(row.state == "rejected", row.reason == item.reason)
    )
    values = {name: getattr(item, name) for name in ("reason", "offered", "document", "url")}
    seen = db.execute(
        update(row)
        .where(
            row.dataset == dataset,
            or_(row.state == "open", lasts),
            row.kind == item.kind,
            row.guard == item.guard,
            row.source == item.source,
            row.scope.is_not_distinct_from(item.scope),
            row.key.is_not_distinct_from(item.key),
            row.field.is_not_distinct_from(item.field),
        )
        .values(seen_at=now, seen_count=row.seen_count + 1, run_id=run_id, **values)
        .returning(row.state)
    ).first()
    if seen is None:
        db.execute(insert(row).values(parked_row(item, dataset, run_id, now, "open")))
    return "open" if seen is None else str(seen.state)


def parked_row(item: Parked, dataset: str, run_id: UUID | None, now: datetime, state: str) -> dict[str, Any]:
    named = {field.name: getattr(item, field.name) for field in fields(item)}
    return {**named, "dataset": dataset, "run_id": run_id, "state": state, "opened_at": now, "seen_at": now}


def _resolved(now: datetime) -> dict[str, Any]:
    """The source has mended it. What a person decided of it before, and when, stays with its reason."""
    row = QuarantineRow
    at = func.to_char(func.timezone("UTC", row.decided_at), "YYYY-MM-DD HH24:MI")
    told = func.concat(row.reason, " (", row.state, " by a person at ", at, " UTC)")
    return {
        "state": "resolved",
        "decided_at": now,
        "reason": case((row.state.in_(("approved", "rejected")), told), else_=row.reason),
    }


def resolve_fields(db: Session, dataset: str, mended: Iterable[tuple[str, str]], *, now: datetime) -> None:
    """Close the rows of (key, field) blanks that the source has filled again."""
    pairs = list(mended)
    if pairs:
        db.execute(
            update(QuarantineRow)
            .where(
                QuarantineRow.dataset == dataset,
                QuarantineRow.kind == "field",
                tuple_(QuarantineRow.key, QuarantineRow.field).in_(pairs),
                QuarantineRow.state != "resolved",
            )
            .values(_resolved(now))
        )


def resolve(db: Session, dataset: str, kind: str, source: str, *, keys: Iterable[str], now: datetime) -> None:
    """Close the open rows of these keys: the source has mended them."""
    mended = list(keys)
    if mended:
        db.execute(
            update(QuarantineRow)
            .where(
                QuarantineRow.dataset == dataset,
                QuarantineRow.kind == kind,
                QuarantineRow.source == source,
                QuarantineRow.key.in_(mended),
                QuarantineRow.state == "open",
            )
            .values(_resolved(now))
        )


def resolve_unnamed_rows(db: Session, dataset: str, source: str, scope: str, *, now: datetime) -> None:
    """Close the open rows of a scope's list that did not say which key they were of: the list has none any more."""
    db.execute(
        update(QuarantineRow)
        .where(
            QuarantineRow.dataset == dataset,
            QuarantineRow.kind == "row",
            QuarantineRow.source == source,
            QuarantineRow.scope == scope,
            QuarantineRow.key.is_(None),
            QuarantineRow.state == "open",
        )
        .values(_resolved(now))
    )


def settle_list(
    db: Session,
    place: Place,
    *,
    readable: Iterable[str],
    all_named: bool,
    withheld: Iterable[str],
    current: bool = False,
    now: datetime,
) -> None:
    """Close what a believed list answers: what was wrong with it as a whole, and the rows that can be read again.

    The fields ``withheld`` stay open; without ``all_named`` so do rows that did not say which key they were of. The
    ``current`` list also answers those before it that did not say which session is the current one.
    """
    parked = select(QuarantineRow.id).where(
        QuarantineRow.dataset == place.dataset,
        QuarantineRow.source == place.source,
        or_(QuarantineRow.scope == place.scope, QuarantineRow.scope.is_(None)),
        QuarantineRow.kind.in_(("sweep", "row")),
        QuarantineRow.state.in_(("open", "rejected")),
    )
    if db.scalars(parked.limit(1)).first() is None:
        return
    for scope in (place.scope, None) if current else (place.scope,):
        resolve_sweeps(db, place.dataset, place.source, scope, still=withheld, now=now)
    resolve(db, place.dataset, "row", place.source, keys=readable, now=now)
    if all_named:
        resolve_unnamed_rows(db, place.dataset, place.source, place.scope, now=now)


def resolve_sweeps(
    db: Session, dataset: str, source: str, scope: str | None, *, still: Iterable[str] = (), now: datetime
) -> None:
    """Close the rows of a scope's list: a list that is believed answers them, but for the fields ``still`` withheld."""
    db.execute(
        update(QuarantineRow)
        .where(
            QuarantineRow.dataset == dataset,
            QuarantineRow.kind == "sweep",
            QuarantineRow.source == source,
            QuarantineRow.scope.is_not_distinct_from(scope),
            QuarantineRow.state.in_(("open", "rejected")),
            or_(QuarantineRow.field.is_(None), QuarantineRow.field.not_in(list(still))),
        )
        .values(_resolved(now))
    )


def waived_guards(
    db: Session, dataset: str, source: str, scope: str, since: datetime | None
) -> frozenset[tuple[str, str | None]]:
    """(guard, field) of a scope's list that a person approved after the last sweep that was believed."""
    query = select(QuarantineRow.guard, QuarantineRow.field).where(
        QuarantineRow.dataset == dataset,
        QuarantineRow.kind == "sweep",
        QuarantineRow.source == source,
        QuarantineRow.scope == scope,
        QuarantineRow.state == "approved",
    )
    if since is not None:
        query = query.where(QuarantineRow.decided_at > since)
    return frozenset((guard, field) for guard, field in db.execute(query))


def withheld_fields(db: Session, dataset: str, keys: Iterable[str]) -> dict[tuple[str, str], str]:
    """The state of each (key, field) whose blank was noted; the newest row speaks.

    It is pending until the run is over that noted it, then open, rejected or approved.
    """
    query = (
        select(QuarantineRow.key, QuarantineRow.field, QuarantineRow.state)
        .where(QuarantineRow.dataset == dataset, QuarantineRow.kind == "field", QuarantineRow.key.in_(list(keys)))
        .where(QuarantineRow.state != "resolved")
        .order_by(QuarantineRow.id)
    )
    return {(key, field): state for key, field, state in db.execute(query) if key and field}


def parked_documents(db: Session, dataset: str, keys: Iterable[str]) -> dict[tuple[str, str], str]:
    """The sha256 of the newest unreadable document of each (key, source) that is still open."""
    query = (
        select(QuarantineRow.key, QuarantineRow.source, QuarantineRow.document)
        .where(QuarantineRow.dataset == dataset, QuarantineRow.kind == "document", QuarantineRow.key.in_(list(keys)))
        .where(QuarantineRow.state == "open", QuarantineRow.document.is_not(None))
        .order_by(QuarantineRow.seen_at)
    )
    return {(str(key), source): str(sha256) for key, source, sha256 in db.execute(query)}


def parked_keys(db: Session, dataset: str, scope: str, sources: Iterable[str]) -> list[str]:
    """The keys of a scope with something open in quarantine from one of these sources."""
    query = select(QuarantineRow.key).where(
        QuarantineRow.dataset == dataset,
        QuarantineRow.source.in_(list(sources)),
        QuarantineRow.scope == scope,
        QuarantineRow.state == "open",
        QuarantineRow.key.is_not(None),
    )
    return sorted({key for key in db.scalars(query.distinct()) if key})


def open_of_scope(db: Session, dataset: str, scope: str, sources: Iterable[str]) -> list[QuarantineRow]:
    """What waits for a person's word of a scope, from these sources."""
    query = select(QuarantineRow).where(
        QuarantineRow.dataset == dataset,
        QuarantineRow.source.in_(list(sources)),
        QuarantineRow.scope == scope,
        QuarantineRow.state == "open",
    )
    return list(db.scalars(query))


@dataclass(frozen=True, slots=True)
class QuarantineRecord(Record):
    """``decided_at``: when a person gave their word on it, or it resolved itself; what a person had said of it before
    that stands in ``reason``."""

    id: int
    scope: str | None
    key: str | None
    kind: str
    guard: str
    source: str
    field: str | None
    reason: str
    held: Any
    offered: Any
    url: str | None
    state: str
    opened_at: datetime
    seen_at: datetime
    seen_count: int
    dataset: str
    decided_at: datetime | None
