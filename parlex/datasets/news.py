"""What is news of a dataset in a while: what it tells of itself, and what came to be on its list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Words
from parlex.db.models import ChangeRow, ListingRow


@dataclass(frozen=True, slots=True)
class NewsRecord(Record):
    key: str
    field: str | None
    old: Any
    new: Any
    observed_at: datetime


@dataclass(frozen=True, slots=True)
class Group(Record):
    """News of one sort: the newest ``rows`` of ``count``. ``words`` None: records that are new."""

    words: Words | None
    rows: tuple[NewsRecord, ...]
    count: int


def news(db: Session, dataset: Dataset, since: datetime, lang: str, limit: int) -> Iterator[Group]:
    """The sorts of which there is something since an instant, each with at most ``limit`` rows, the newest first."""
    row = ChangeRow
    for field, words in dataset.told_fields.items():
        spoken = f"{field.removesuffix('_en')}_{lang}" if field.endswith("_en") else field
        yield from _group(
            db, dataset, words, since, limit, row.kind == "changed", row.field == spoken, row.new.is_not(None)
        )
    yield from _group(db, dataset, None, since, limit, row.kind == "created", _came_later(dataset))


def _group(
    db: Session, dataset: Dataset, words: Words | None, since: datetime, limit: int, *where: Any
) -> Iterator[Group]:
    row = ChangeRow
    query = select(row.key, row.field, row.old, row.new, row.observed_at)
    query = query.where(row.dataset == dataset.name, row.observed_at >= since, *where)
    count = db.scalar(select(func.count()).select_from(query.subquery())) or 0
    if count:
        found = db.execute(query.order_by(row.seq.desc()).limit(limit))
        yield Group(words, tuple(NewsRecord(*one) for one in found), count)


def _came_later(dataset: Dataset) -> Any:
    """Whether a record came after the mirror's first look at its list: what was there then is no news."""
    line = ListingRow
    listed = (line.dataset == dataset.name, line.source == dataset.list_source)
    first = select(line.scope, func.min(line.first_seen_at).label("at")).where(*listed).group_by(line.scope).subquery()
    later = select(line.key).join(first, first.c.scope == line.scope).where(*listed, line.first_seen_at > first.c.at)
    return ChangeRow.key.in_(later)
