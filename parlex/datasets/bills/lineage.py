"""The whole life of a bill: prorogation ends it, and it may come back in the next session under another number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.datasets.bills import stages
from parlex.db.models import BillRow
from parlex.errors import UsageError
from parlex.parliament import BillKey, Chamber

DAYS = (*stages.READINGS[Chamber.HOUSE], *stages.READINGS[Chamber.SENATE], "royal_assent_on")


@dataclass(frozen=True, slots=True)
class Life(Record):
    """One bill of a line of reinstated ones. ``held`` is false where the mirror has only heard of it: then the rest is
    null. ``relation``: ancestor, self, descendant."""

    key: str
    relation: str
    held: bool
    title_en: str | None
    status_code: str | None
    status_en: str | None
    introduced_on: date | None
    house_first_reading_on: date | None
    house_second_reading_on: date | None
    house_third_reading_on: date | None
    senate_first_reading_on: date | None
    senate_second_reading_on: date | None
    senate_third_reading_on: date | None
    royal_assent_on: date | None


@dataclass(frozen=True, slots=True)
class LifeDay(Record):
    """What happened to which of the line's bills on a day; ``what`` is the column's name."""

    day: date
    key: str
    what: str


@dataclass(frozen=True, slots=True)
class Lineage(Record):
    """A bill's whole life over prorogations: its line, oldest session first, and all days of it in order.

    ``days`` are from the first day to the last one, or to royal assent. ``introduced_inherited_on``: see there.
    """

    key: str
    line: tuple[Life, ...]
    timeline: tuple[LifeDay, ...]
    first_on: date | None
    last_on: date | None
    days: int | None
    introduced_inherited_on: date | None


def lineage(db: Session, key: BillKey) -> Lineage:
    """The bills that this one was reinstated from and as, as far as either end says so. UsageError if not held."""
    start = _rows(db, {str(key)}).get(str(key))
    if start is None:
        raise UsageError(f"the mirror does not hold {key}")
    before = _walk(db, str(key), start, "reinstated_from", "reinstated_as")
    after = _walk(db, str(key), start, "reinstated_as", "reinstated_from")
    line = [
        *(_life(name, "ancestor", row) for name, row in reversed(before)),
        _life(str(key), "self", start),
        *(_life(name, "descendant", row) for name, row in after),
    ]
    timeline = sorted(_timeline(line), key=lambda item: (item.day, BillKey.parse(item.key), DAYS.index(item.what)))
    first, last = (timeline[0].day, timeline[-1].day) if timeline else (None, None)
    return Lineage(
        key=str(key),
        line=tuple(line),
        timeline=tuple(timeline),
        first_on=first,
        last_on=last,
        days=(last - first).days if first and last else None,
        introduced_inherited_on=_inherited(start.introduced_on, [row for _, row in before]),
    )


def of_several(db: Session) -> frozenset[str]:
    """The keys of the bills that were reinstated from another or as another: one of the two says so."""
    links = (BillRow.reinstated_from, BillRow.reinstated_as)
    rows = db.execute(select(BillRow.key, *links).where(or_(*(link.is_not(None) for link in links))))
    return frozenset(key for row in rows for key in row if key is not None)


def introduced_inherited_on(db: Session, key: BillKey) -> date | None:
    """The day on which a reinstated bill's nearest ancestor was introduced, of those in the mirror that have one.

    None where the bill has a day of its own, or where no ancestor is known that has one.
    """
    start = _rows(db, {str(key)}).get(str(key))
    if start is None or start.introduced_on is not None:
        return None
    return _inherited(None, [row for _, row in _walk(db, str(key), start, "reinstated_from", "reinstated_as")])


def _inherited(own: date | None, ancestors: Iterable[BillRow | None]) -> date | None:
    known = (row.introduced_on for row in ancestors if row is not None and row.introduced_on is not None)
    return next(known, None) if own is None else None


def _walk(db: Session, name: str, start: BillRow, link: str, back: str) -> list[tuple[str, BillRow | None]]:
    """Who can be reached by ``link``, nearest first: named by a bill itself, or naming it by ``back``."""
    seen, found = {name}, []
    rows: dict[str, BillRow] = {name: start}
    while rows:
        named = {str(getattr(row, link)) for row in rows.values() if getattr(row, link) is not None}
        named |= set(_naming(db, back, rows))
        news = sorted(named - seen, key=BillKey.parse)
        seen.update(news)
        rows = _rows(db, news)
        found += [(each, rows.get(each)) for each in news]
    return found


def _naming(db: Session, back: str, names: Iterable[str]) -> Iterator[str]:
    return iter(db.scalars(select(BillRow.key).where(getattr(BillRow, back).in_(list(names)))))


def _rows(db: Session, names: Iterable[str]) -> dict[str, BillRow]:
    wanted = list(names)
    return {row.key: row for row in db.scalars(select(BillRow).where(BillRow.key.in_(wanted)))} if wanted else {}


def _life(name: str, relation: str, row: BillRow | None) -> Life:
    told = [field.name for field in fields(Life)][3:]
    return Life(name, relation, row is not None, *(getattr(row, field, None) for field in told))


def _timeline(line: Iterable[Life]) -> Iterator[LifeDay]:
    for life in line:
        for what in DAYS:
            if day := getattr(life, what):
                yield LifeDay(day, life.key, what)
