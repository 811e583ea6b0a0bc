"""How the mirror looked at its sources: day by day, each list's newest look, and what it asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Date, cast, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.datasets.dataset import Dataset
from parlex.db.models import DocumentFetchRow, RunRow, SweepRow
from parlex.parliament import OTTAWA


@dataclass(frozen=True, slots=True)
class DayOfLooks(Record):
    """The looks at a dataset's lists on a day in Ottawa. ``refused``: those that were not believed."""

    day: date
    looks: int
    refused: int


@dataclass(frozen=True, slots=True)
class Strip(Record):
    dataset: str
    days: tuple[DayOfLooks, ...]

    @property
    def looked(self) -> int:
        return sum(day.looks > 0 for day in self.days)

    @property
    def refused(self) -> int:
        return sum(day.refused for day in self.days)


@dataclass(frozen=True, slots=True)
class AskedRecord(Record):
    """How much was asked for, of each span of days. ``source``: documents that it gave; ``dataset``: requests that its
    runs made; one of the two is null."""

    source: str | None
    dataset: str | None
    counts: tuple[int, ...]


def strips(db: Session, names: Iterable[str], now: datetime, days: int) -> list[Strip]:
    """The last days of each dataset, the oldest first."""
    first = now.astimezone(OTTAWA).date() - timedelta(days=days - 1)
    row, day = SweepRow, cast(func.timezone(str(OTTAWA), SweepRow.swept_at), Date)
    query = select(row.dataset, day, func.count(), func.count().filter(~row.believed)).group_by(row.dataset, day)
    rows = db.execute(query.where(row.swept_at >= now - timedelta(days=days + 1)))
    found = {(name, when): (looks, refused) for name, when, looks, refused in rows}
    every = [first + timedelta(days=n) for n in range(days)]
    return [Strip(name, tuple(DayOfLooks(each, *found.get((name, each), (0, 0))) for each in every)) for name in names]


def newest(db: Session, datasets: Mapping[str, Dataset]) -> dict[tuple[str, str], SweepRow]:
    """The newest look that was believed at the deciding list of each dataset and scope."""
    row = SweepRow
    query = select(row).where(row.believed).ext(distinct_on(row.dataset, row.source, row.scope))
    query = query.order_by(row.dataset, row.source, row.scope, row.swept_at.desc())
    deciding = {name: dataset.list_source for name, dataset in datasets.items()}
    return {(one.dataset, one.scope): one for one in db.scalars(query) if deciding.get(one.dataset) == one.source}


def asked(db: Session, now: datetime, spans: Sequence[int]) -> list[AskedRecord]:
    """What the sources were asked for within spans of days, by dataset and by source."""
    since = [now - timedelta(days=days) for days in spans]
    run, fetch = RunRow, DocumentFetchRow
    sums: list[Any] = [func.coalesce(func.sum(run.requests).filter(run.started_at >= each), 0) for each in since]
    counts: list[Any] = [func.count().filter(fetch.fetched_at >= each) for each in since]
    by_dataset = db.execute(select(run.dataset, *sums).group_by(run.dataset).order_by(run.dataset))
    by_source = db.execute(select(fetch.source, *counts).group_by(fetch.source).order_by(fetch.source))
    found = [AskedRecord(None, name, tuple(numbers)) for name, *numbers in by_dataset]
    return found + [AskedRecord(name, None, tuple(numbers)) for name, *numbers in by_source]
