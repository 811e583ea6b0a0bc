"""The history for people: what changed, by day and record, each line as old and new; of everything or of one record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Date, Select, cast, func, select

from parlex.datasets.served import LANGUAGES
from parlex.db.models import ChangeRow
from parlex.errors import UsageError
from parlex.parliament import OTTAWA, SessionId, moment_of, start_of
from parlex.serving.problems import Problem
from parlex.web.pages.site import View, Visit

FEW = 25  # lines of a record's history on its own page
LINES = 150  # of a page; a day or a record is never cut in silence, what follows has an address
DAYS = 14  # that a person may choose of
_IS_NEWS = ChangeRow.kind != "reparsed"


@dataclass(frozen=True, slots=True)
class Line:
    """``field`` None: the record as a whole. Old and new are as the page shows them."""

    kind: str
    field: str | None
    name: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to a record in a transaction."""

    dataset: str
    key: str
    title: str | None
    observed_at: datetime
    seq: int
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class History:
    """``more``: the number to go on before, where there is more."""

    entries: list[Entry]
    total: int
    more: int | None


def of_record(visit: Visit, dataset: str, key: str, limit: int = FEW, until: str | None = None) -> History:
    """The newest news of a record, in the page's language."""
    lines = _lines(visit).where(ChangeRow.dataset == dataset, ChangeRow.key == key, _IS_NEWS)
    if until is not None:
        lines = lines.where(ChangeRow.observed_at <= moment_of(until))
    return history(visit, lines, limit)


def whole(visit: Visit, dataset: str, key: str) -> History:
    """All of a record's lines, also where nothing but our reading changed."""
    return history(visit, _lines(visit).where(ChangeRow.dataset == dataset, ChangeRow.key == key), LINES)


def history(visit: Visit, lines: Select[Any], limit: int, *, titled: bool = False) -> History:
    """The newest of some lines, by record and transaction; with the records' titles where they are asked for."""
    before = visit.query.get("before", "")
    every = lines.add_columns(func.count().over().label("total")).subquery()
    lines = select(every).order_by(every.c.seq.desc()).limit(limit + 1)
    if before:
        if not before.isascii() or not before.isdecimal() or len(before) > 18:
            raise Problem(422, f"before: {before[:50]!r} is no number of a line")
        lines = lines.where(every.c.seq < int(before))
    rows = visit.db.execute(lines).all()
    more = rows[limit - 1].seq if len(rows) > limit else None
    titles = visit.titles((row.dataset, row.key) for row in rows) if titled else {}
    return History(list(_entries(visit, rows[:limit], titles)), rows[0].total if rows else 0, more)


def _lines(visit: Visit) -> Select[Any]:
    """The lines that are told in the page's language."""
    row = ChangeRow
    query = select(row.seq, row.dataset, row.key, row.kind, row.field, row.old, row.new, row.observed_at, row.run_id)
    for other in LANGUAGES:
        if other != visit.lang:
            query = query.where(func.coalesce(row.field, "").not_like(f"%\\_{other}"))
    return query.where(row.dataset.in_(list(visit.site.datasets)))


def _entries(visit: Visit, rows: Sequence[Any], titles: Mapping[tuple[str, str], str]) -> Iterable[Entry]:
    for (dataset, key, at, _), group in groupby(rows, lambda row: (row.dataset, row.key, row.observed_at, row.run_id)):
        lines = sorted(group, key=lambda row: row.seq)
        title = titles.get((dataset, key))
        yield Entry(dataset, key, title, at, lines[0].seq, [_line(visit, row) for row in lines])


def _line(visit: Visit, row: Any) -> Line:
    writing, field = visit.writing, row.field
    if field is None:
        return Line(row.kind, None, visit.tongue.named("kind", row.kind), None, None)
    old, new = row.old, row.new
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        old, new = ({name: part[name] for name in part if old.get(name) != new.get(name)} for part in (old, new))
    return Line(row.kind, field, visit.field(row.dataset, field), writing.value(old, field), writing.value(new, field))


def read(visit: Visit) -> View:
    """The page of changes."""
    asked = {name: value for name in ("day", "session", "dataset", "before") if (value := visit.query.get(name))}
    lines = _lines(visit).where(_IS_NEWS)
    try:
        if "session" in asked:
            SessionId.parse(asked["session"])
            lines = lines.where(func.split_part(ChangeRow.key, " ", 1) == asked["session"])
        if "dataset" in asked:
            lines = lines.where(ChangeRow.dataset == asked["dataset"])
        days = _days(visit, lines)
        if "day" in asked:
            date.fromisoformat(asked["day"])
            start = start_of(asked["day"])
            lines = lines.where(ChangeRow.observed_at >= start, ChangeRow.observed_at < start + timedelta(days=1))
    except (ValueError, UsageError) as error:
        raise Problem(422, str(error)) from None
    found = history(visit, lines, LINES, titled=True)
    by_day = [
        (day, list(entries))
        for day, entries in groupby(found.entries, lambda each: each.observed_at.astimezone(OTTAWA).date())
    ]
    return View(
        "changes.html",
        str(visit.tongue.say("changes.title")),
        visit.paths("changes"),
        {
            "history": found,
            "by_day": by_day,
            "days": days,
            "given": {name: value for name, value in asked.items() if name != "before"},
            "sessions": visit.sessions(),
        },
        {name: value for name, value in asked.items() if name != "before"},
        about=str(visit.tongue.say("changes.about")),
        feed=f"changes.atom?lang={visit.lang}",
        json="changes",
    )


def _days(visit: Visit, lines: Select[Any]) -> list[Any]:
    """The newest days on which something changed, in Ottawa, with how many lines each has."""
    inner = lines.subquery()
    day = cast(func.timezone(str(OTTAWA), inner.c.observed_at), Date)
    query = select(day.label("day"), func.count().label("n")).group_by(day).order_by(day.desc()).limit(DAYS)
    return list(visit.db.execute(query))
