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
from parlex.datasets.told import spoken
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
        changed = row.kind == "changed", row.field == spoken(field, lang), row.new.is_not(None)
        yield from _group(db, dataset, words, since, limit, *changed)
    yield from _group(db, dataset, None, since, limit, row.kind == "created", _came_later(dataset))


def _group(
    db: Session, dataset: Dataset, words: Words | None, since: datetime, limit: int, *where: Any
) -> Iterator[Group]:
    row = ChangeRow
    query = select(row.key, row.field, row.old, row.new, row.observed_at, func.count().over())
    query = query.where(row.dataset == dataset.name, row.observed_at >= since, *where)
    if found := db.execute(query.order_by(row.seq.desc()).limit(limit)).all():
        yield Group(words, tuple(NewsRecord(*one[:-1]) for one in found), found[0][-1])


def _came_later(dataset: Dataset) -> Any:
    """Whether a record came after the mirror's first look at its list: what was there then is no news."""
    line = ListingRow
    first = func.min(line.first_seen_at).over(partition_by=line.scope).label("first")
    listed = select(line.key, line.first_seen_at, first)
    listed = listed.where(line.dataset == dataset.name, line.source == dataset.list_source)
    every = listed.subquery()
    later = select(every.c.key).where(every.c.first_seen_at > every.c.first).cte("later").prefix_with("MATERIALIZED")
    return ChangeRow.key.in_(select(later.c.key))
