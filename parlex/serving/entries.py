"""The history for people: what happened to a record in a transaction is one entry, the newest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby
from typing import Any

from sqlalchemy import Date, Select, Text, case, cast, exists, func, select
from sqlalchemy.orm import Session, aliased

from parlex.datasets.served import LANGUAGES
from parlex.db.models import ChangeRow
from parlex.parliament import OTTAWA
from parlex.serving.queries import Compiled, given

_ROW = ChangeRow
IS_NEWS = _ROW.kind != "reparsed"  # that our reading changed is none
_CODES = {"status_code": "status", "ongoing_stage": "ongoing_stage"}  # with the field that has their words


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


def in_words(query: Select[Any], lang: str) -> Select[Any]:
    """Without the codes whose words changed beside them."""
    row, words = _ROW, aliased(_ROW)
    field = case({code: f"{name}_{lang}" for code, name in _CODES.items()}, value=row.field)
    beside = (words.dataset == row.dataset, words.key == row.key, words.observed_at == row.observed_at)
    told = exists().where(*beside, words.field == field, words.new.is_not(None) | row.new.is_(None))
    return query.where(row.field.is_(None) | row.field.not_in(_CODES) | ~told)


def of_record(lang: str, dataset: str, key: str) -> Select[Any]:
    return lines(lang, [dataset]).where(_ROW.key == key)


def of_session(query: Select[Any], session: str) -> Select[Any]:
    return query.where(func.split_part(_ROW.key, " ", 1) == session)


def on_day(query: Select[Any], start: datetime) -> Select[Any]:
    """Those that were observed on the day that begins at an instant."""
    return query.where(_ROW.observed_at >= start, _ROW.observed_at < start + timedelta(days=1))


def news_of(db: Session, lang: str, dataset: str, key: str, until: datetime | None, limit: int) -> History:
    """The newest news of a record, in words; up to a moment, where one is given."""
    values = {"dataset": dataset, "key": key, "until": until, "most": limit + 1}
    return _history(_news_of(lang, until is not None).run(db.connection(), values), limit)


@lru_cache
def _news_of(lang: str, ends: bool) -> Compiled:
    news = lines(lang, [given("dataset", Text())]).where(IS_NEWS, _ROW.key == given("key", Text()))
    query = in_words(news.where(_ROW.observed_at <= given("until")) if ends else news, lang)
    return Compiled.of(_newest(query).limit(given("most")))


def history(db: Session, query: Select[Any], limit: int, before: int | None = None) -> History:
    """The newest of some lines, or of those before a number."""
    return _history(db.execute(_newest(query, before).limit(limit + 1)).all(), limit)


def _newest(query: Select[Any], before: int | None = None) -> Select[Any]:
    every = query.add_columns(func.count().over().label("total")).subquery()
    newest = select(every).order_by(every.c.seq.desc())
    return newest if before is None else newest.where(every.c.seq < before)


def _history(rows: Sequence[Any], limit: int) -> History:
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
