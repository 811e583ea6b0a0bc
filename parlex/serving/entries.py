"""The history for people: what happened to a record in a transaction is one entry, the newest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Date, Select, cast, func, select
from sqlalchemy.orm import Session

from parlex.datasets.served import LANGUAGES
from parlex.db.models import ChangeRow
from parlex.parliament import OTTAWA

_ROW = ChangeRow
IS_NEWS = _ROW.kind != "reparsed"  # that our reading changed is none


@dataclass(frozen=True, slots=True)
class Line:
    """``field`` None: the record as a whole. Of a part that changed, old and new are what differs in it."""

    kind: str
    field: str | None
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Entry:
    dataset: str
    key: str
    observed_at: datetime
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class History:
    """``total``: lines, of all pages. ``more``: the number to go on before, where there is more."""

    entries: tuple[Entry, ...]
    total: int
    more: int | None


def lines(lang: str, names: Iterable[str]) -> Select[Any]:
    """The lines of some datasets that are told in a language, to be narrowed down."""
    told = (_ROW.seq, _ROW.dataset, _ROW.key, _ROW.kind, _ROW.field, _ROW.old, _ROW.new, _ROW.observed_at, _ROW.run_id)
    query = select(*told).where(_ROW.dataset.in_(list(names)))
    for other in LANGUAGES:
        if other != lang:
            query = query.where(func.coalesce(_ROW.field, "").not_like(f"%\\_{other}"))
    return query


def of_record(lang: str, dataset: str, key: str) -> Select[Any]:
    return lines(lang, [dataset]).where(_ROW.key == key)


def of_session(query: Select[Any], session: str) -> Select[Any]:
    return query.where(func.split_part(_ROW.key, " ", 1) == session)


def on_day(query: Select[Any], start: datetime) -> Select[Any]:
    """Those that were observed on the day that begins at an instant."""
    return query.where(_ROW.observed_at >= start, _ROW.observed_at < start + timedelta(days=1))


def until(query: Select[Any], moment: datetime) -> Select[Any]:
    return query.where(_ROW.observed_at <= moment)


def history(db: Session, query: Select[Any], limit: int, before: int | None = None) -> History:
    """The newest of some lines, or of those before a number."""
    every = query.add_columns(func.count().over().label("total")).subquery()
    newest = select(every).order_by(every.c.seq.desc()).limit(limit + 1)
    rows = db.execute(newest if before is None else newest.where(every.c.seq < before)).all()
    more = rows[limit - 1].seq if len(rows) > limit else None
    by_record = groupby(rows[:limit], lambda row: (row.dataset, row.key, row.observed_at, row.run_id))
    entries = (Entry(*about[:3], tuple(map(_line, reversed(list(group))))) for about, group in by_record)
    return History(tuple(entries), rows[0].total if rows else 0, more)


def _line(row: Any) -> Line:
    old, new = row.old, row.new
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        old, new = ({name: part[name] for name in part if old.get(name) != new.get(name)} for part in (old, new))
    return Line(row.kind, row.field, old, new)


def days(db: Session, query: Select[Any], limit: int) -> list[Any]:
    """The newest days in Ottawa of which there are lines: ``day`` and ``n``, how many."""
    inner = query.subquery()
    day = cast(func.timezone(str(OTTAWA), inner.c.observed_at), Date)
    found = select(day.label("day"), func.count().label("n")).group_by(day).order_by(day.desc()).limit(limit)
    return list(db.execute(found))
