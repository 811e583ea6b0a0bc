"""Listings: the lines of the sources' lists, as last believed. Takes an open ``db``; never commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.db.bulk import write_rows
from parlex.db.models import (
    ListingRow,
)


def listings(db: Session, dataset: str, source: str, scope: str) -> dict[str, ListingRow]:
    """The lines of one list as last believed, by key, those that have gone too."""
    query = select(ListingRow).where(
        ListingRow.dataset == dataset, ListingRow.source == source, ListingRow.scope == scope
    )
    # Lines are written in bulk, which the rows that this transaction read before do not learn of by themselves.
    return {row.key: row for row in db.scalars(query.execution_options(populate_existing=True))}


def listed_keys(db: Session, dataset: str, source: str, scope: str) -> set[str]:
    """The keys that the list of a source had when it was last believed."""
    row = ListingRow
    query = select(row.key).where(
        row.dataset == dataset, row.source == source, row.scope == scope, row.gone_at.is_(None)
    )
    return set(db.scalars(query))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a list, as it is to be kept."""

    key: str
    fingerprint: str
    activity_on: date | None
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Which list: of which source, of which scope."""

    dataset: str
    source: str
    scope: str


def save_listings(
    db: Session, place: Place, lines: Sequence[Line], held: Mapping[str, ListingRow], *, now: datetime
) -> None:
    """Keep the lines that are new, changed, or back again. A list that did not change writes nothing."""
    rows = [_line_row(place, line, now) for line in lines if _moved(line, held.get(line.key))]
    if not rows:
        return
    offered = upsert(ListingRow)
    changes = {name: offered.excluded[name] for name in ("fingerprint", "activity_on", "facts", "seen_at", "gone_at")}
    statement = offered.on_conflict_do_update(index_elements=["dataset", "source", "scope", "key"], set_=changes)
    write_rows(db, statement, rows)


def _line_row(place: Place, line: Line, now: datetime) -> dict[str, Any]:
    return {
        "dataset": place.dataset,
        "source": place.source,
        "scope": place.scope,
        "key": line.key,
        "fingerprint": line.fingerprint,
        "activity_on": line.activity_on,
        "facts": line.facts,
        "first_seen_at": now,
        "seen_at": now,
        "gone_at": None,
    }


def _moved(line: Line, held: ListingRow | None) -> bool:
    return held is None or held.gone_at is not None or held.fingerprint != line.fingerprint


def keep_list(
    db: Session,
    place: Place,
    lines: Sequence[Line],
    gone: Sequence[str],
    held: Mapping[str, ListingRow],
    *,
    now: datetime,
) -> Mapping[str, ListingRow]:
    """Keep a believed list: its lines, and who left it. Its lines as they then stand, read again only if any moved."""
    if not gone and not any(_moved(line, held.get(line.key)) for line in lines):
        return held
    save_listings(db, place, lines, held, now=now)
    mark_gone(db, place, gone, now=now)
    return listings(db, place.dataset, place.source, place.scope)


def mark_gone(db: Session, place: Place, keys: Iterable[str], *, now: datetime) -> None:
    """Note that these keys have left the list."""
    gone = list(keys)
    if gone:
        db.execute(
            update(ListingRow)
            .where(
                ListingRow.dataset == place.dataset,
                ListingRow.source == place.source,
                ListingRow.scope == place.scope,
                ListingRow.key.in_(gone),
            )
            .values(gone_at=now)
        )


def mark_fetched(db: Session, dataset: str, source: str, fingerprints: Mapping[str, str | None]) -> None:
    """Note for which fingerprint the details of each key were saved; a key without one leaves its listing alone."""
    pairs = sorted((key, fingerprint) for key, fingerprint in fingerprints.items() if fingerprint)
    if not pairs:
        return
    wanted = select(
        func.unnest([key for key, _ in pairs]).label("key"), func.unnest([mark for _, mark in pairs]).label("mark")
    ).subquery()
    db.execute(
        update(ListingRow)
        .where(ListingRow.dataset == dataset, ListingRow.source == source, ListingRow.key == wanted.c.key)
        .where(
            or_(
                ListingRow.fetched_fingerprint.is_distinct_from(wanted.c.mark),
                ListingRow.failed_at.is_not(None),
            )
        )
        .values(fetched_fingerprint=wanted.c.mark, failed_at=None, failed_fingerprint=None)
    )


def mark_unfetched(db: Session, dataset: str, source: str, keys: Iterable[str], *, now: datetime) -> None:
    """Note that the details of these keys could not be had, or are not to be trusted yet."""
    failed = sorted(keys)
    if failed:
        db.execute(
            update(ListingRow)
            .where(ListingRow.dataset == dataset, ListingRow.source == source, ListingRow.key.in_(failed))
            .values(failed_at=now, failed_fingerprint=ListingRow.fingerprint)
        )
