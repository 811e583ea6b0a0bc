"""Are the politicians and the votes complete? What their lists say against what the mirror holds, list by list.

As ``completeness`` is for bills.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, false, select
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.datasets.dataset import RecordDataset
from parlex.db.models import SweepRow, VoteRow
from parlex.mirror import listings, quarantine
from parlex.parliament import SessionId


@dataclass(frozen=True, slots=True)
class ListCheck(Record):
    """One list of a dataset. ``scope`` is its session, or ``all``.

    ``stale``: what is held, and of which the list says something newer than the detail that was saved. ``unmatched``:
    divisions whose ballots do not add up to their totals, mirrored as the source says; they are no fault of the copy.
    """

    dataset: str
    scope: str
    complete: bool
    listed: int
    held: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    stale: tuple[str, ...]
    quarantined: tuple[str, ...]
    unmatched: tuple[str, ...]
    swept_at: datetime
    believed: bool


def verify(db: Session, dataset: RecordDataset, scopes: tuple[str, ...] = ()) -> Iterator[ListCheck]:
    """Judge the lists given, or all that were ever looked at."""
    known = select(SweepRow.scope).where(SweepRow.dataset == dataset.name).distinct()
    for scope in scopes or sorted(db.scalars(known)):
        check = _judge(db, dataset, scope)
        if check is not None:
            yield check


def _judge(db: Session, dataset: RecordDataset, scope: str) -> ListCheck | None:
    newest = db.scalars(
        select(SweepRow)
        .where(SweepRow.dataset == dataset.name, SweepRow.scope == scope)
        .order_by(SweepRow.swept_at.desc())
        .limit(1)
    ).first()
    if newest is None:
        return None
    rows = listings.listings(db, dataset.name, dataset.list_source, scope).values()
    lines = {row.key: row for row in rows if row.gone_at is None}
    held = dataset.held_keys(db, scope, withdrawn=False)
    missing, extra = lines.keys() - held, held - lines.keys()
    stale = {key for key, line in lines.items() if key in held and line.fingerprint != line.fetched_fingerprint}
    quarantined = quarantine.parked_keys(db, dataset.name, scope, dataset.list_source)
    return ListCheck(
        dataset=dataset.name,
        scope=scope,
        complete=newest.believed and not (missing or extra or stale or quarantined),
        listed=len(lines),
        held=len(held),
        missing=tuple(sorted(missing)),
        extra=tuple(sorted(extra)),
        stale=tuple(sorted(stale)),
        quarantined=tuple(quarantined),
        unmatched=_unmatched(db, dataset, scope),
        swept_at=newest.swept_at,
        believed=newest.believed,
    )


def _unmatched(db: Session, dataset: RecordDataset, scope: str) -> tuple[str, ...]:
    rows = select(VoteRow.number).where(_of(dataset, scope), VoteRow.totals_match.is_(False))
    return tuple(f"{scope} {number}" for number in db.scalars(rows.order_by(VoteRow.number)))


def _of(dataset: RecordDataset, scope: str) -> ColumnElement[bool]:
    if dataset.name != "votes":
        return false()
    session = SessionId.parse(scope)
    return (VoteRow.parliament == session.parliament) & (VoteRow.session == session.session)
