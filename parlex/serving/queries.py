"""The SQL of a list and of a record. PostgreSQL makes the JSON; a statement is compiled once for each form of it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any
from zlib import crc32

from sqlalchemy import Connection, Dialect, Select, Text, any_, bindparam, cast, func, select, tuple_
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.psycopg2 import dialect as postgresql

from parlex.datasets.served import Collection, Expression, Served, Sort, spelled
from parlex.db.models import LatestDocumentRow
from parlex.errors import UsageError

_DIALECT: Dialect = postgresql()  # type: ignore[no-untyped-call]
_BODY = "body"


class WrongCursor(UsageError):
    """A cursor that is none, or of another list, sort or filter."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a list. ``filters`` are values by the filter's name; ``fields`` None for all of them."""

    limit: int
    filters: Mapping[str, Any]
    sort: str
    cursor: str | None = None
    include: tuple[str, ...] = ()
    fields: tuple[str, ...] | None = None
    parent: str | None = None

    @property
    def digest(self) -> int:
        """What a cursor is bound to."""
        told = {name: str(value) for name, value in sorted(self.filters.items())}
        return crc32(json.dumps([self.sort, told, self.parent]).encode())


@dataclass(frozen=True, slots=True)
class Page:
    """``rows``: JSON objects, as text. ``next``: the cursor of what follows; None at the end."""

    rows: list[str]
    next: str | None


@dataclass(frozen=True, slots=True)
class Compiled:
    text: str
    params: Mapping[str, Any]

    @classmethod
    def of(cls, statement: Select[Any]) -> Compiled:
        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
        return cls(str(compiled), dict(compiled.params))

    def run(self, db: Connection, given: Mapping[str, Any]) -> Sequence[Any]:
        return db.exec_driver_sql(self.text, {**self.params, **given}).all()


def page(db: Connection, collection: Collection, asked: Asked) -> Page:
    """One page of a list. WrongCursor for a cursor of another question."""
    form = (tuple(sorted(asked.filters)), asked.sort, asked.cursor is not None, asked.include, asked.fields)
    values = values_of(asked) | {"most": asked.limit + 1}
    rows = _list(Held(collection), *form).run(db, values)
    more = len(rows) > asked.limit
    rows = rows[: asked.limit]
    cursor = cursor_of(asked, rows[-1][1:]) if more else None
    return Page([row[0] for row in rows], cursor)


def values_of(asked: Asked) -> dict[str, Any]:
    """What a question gives to its statement. WrongCursor for a cursor of another question."""
    values = {f"f_{name}": value for name, value in asked.filters.items()} | {"parent": asked.parent}
    return values | {f"k_{n}": value for n, value in enumerate(_after(asked) or ())}


def record(
    db: Connection, served: Served, key: str, sources: Iterable[str], include: tuple[str, ...] = ()
) -> tuple[str, datetime | None] | None:
    """One record as a JSON object, and when one of the ``sources`` was last asked for it; None where there is none."""
    rows = _record(Held(served), include).run(db, {"key": key, "sources": list(sources)})
    body, checked = rows[0]
    return (body, checked) if body is not None else None


def count(db: Connection, collection: Collection, asked: Asked) -> int:
    """How many rows the question has over all pages."""
    values = {f"f_{name}": value for name, value in asked.filters.items()} | {"parent": asked.parent}
    found: int = _count(Held(collection), tuple(sorted(asked.filters))).run(db, values)[0][0]
    return found


def tally(db: Connection, collection: Collection, by: Mapping[str, Expression], asked: Asked) -> Sequence[Any]:
    """How many rows the question has over all pages for each value of some expressions, as ``n``, the most first."""
    inner = rows_of(collection, by, tuple(sorted(asked.filters)), asked.sort, goes_on=False).subquery("r")
    columns = [inner.c[name] for name in by]
    statement = select(*columns, func.count().label("n")).group_by(*columns).order_by(func.count().desc(), *columns)
    return Compiled.of(statement).run(db, values_of(asked) | {"most": None})


class Held:
    """Something that is not hashed by what it holds: a declaration is made once, and lives as long as the process."""

    def __init__(self, of: Any) -> None:
        self.of = of

    def __hash__(self) -> int:
        return id(self.of)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Held) and self.of is other.of


@lru_cache(maxsize=1024)
def _list(
    held: Held,
    filters: tuple[str, ...],
    sort_name: str,
    goes_on: bool,
    include: tuple[str, ...],
    wanted: tuple[str, ...] | None,
) -> Compiled:
    collection: Collection = held.of
    columns = {name: column for name, column in collection.fields.items() if wanted is None or name in wanted}
    columns |= {name: collection.includes[name].column for name in include}
    inner = rows_of(collection, columns, filters, sort_name, goes_on=goes_on).subquery("r")
    return Compiled.of(select(json_of(inner, list(columns)), *places(collection, sort_name, inner)))


@lru_cache(maxsize=256)
def _count(held: Held, filters: tuple[str, ...]) -> Compiled:
    collection: Collection = held.of
    rows = select(func.count()).select_from(collection.source)
    return Compiled.of(rows.where(*_conditions(collection, filters)))


def rows_of(
    collection: Collection,
    columns: Mapping[str, Expression],
    filters: tuple[str, ...],
    sort_name: str,
    *,
    goes_on: bool,
    parent: Expression | None = None,
) -> Select[Any]:
    """The SELECT of a page: its columns, and after them k_0, k_1, …, the row's place in the order."""
    sort = sort_of(collection, sort_name)
    rows = select(*labelled(columns), *labelled({f"k_{n}": column for n, column in enumerate(sort.columns)}))
    rows = rows.select_from(collection.source).where(*_conditions(collection, filters, parent))
    if goes_on:
        rows = rows.where(_beyond(sort))
    order = [column.desc() if sort.descending else column.asc() for column in sort.columns]
    return rows.order_by(*order).limit(given("most"))


def places(collection: Collection, sort_name: str, rows: Any) -> list[Any]:
    """The columns k_0, k_1, … of a page."""
    return [rows.c[f"k_{n}"] for n in range(len(sort_of(collection, sort_name).columns))]


@lru_cache(maxsize=256)
def _record(held: Held, include: tuple[str, ...]) -> Compiled:
    served: Served = held.of
    more = {**served.detail, **{name: served.list.includes[name] for name in include}}
    columns = {**served.list.fields, **{name: each.column for name, each in more.items()}}
    inner = select(*labelled(columns)).select_from(served.list.source).where(served.identity == given("key"))
    made, latest = inner.subquery("r"), LatestDocumentRow
    checked = select(func.max(latest.checked_at)).where(
        latest.dataset == served.list.dataset, latest.key == given("key"), latest.source == any_(given("sources"))
    )
    return Compiled.of(select(json_of(made, list(columns)), checked.scalar_subquery()))


def labelled(columns: Mapping[str, Expression]) -> list[Any]:
    return [column.label(name) for name, column in columns.items()]


def json_of(rows: Any, names: Sequence[str]) -> Any:
    """A row as a JSON object of these columns, in this order, as text.

    Its instants are spelled here, once the page is cut, and not for each row that is passed over.
    """
    only = select(*(spelled(rows.c[name]).label(name) for name in names)).correlate(rows).subquery("o")
    return cast(select(func.row_to_json(only.table_valued())).scalar_subquery(), Text).label(_BODY)


def _conditions(collection: Collection, filters: Any, parent: Expression | None = None) -> list[Any]:
    found = []
    for name in filters:
        one = collection.filters[name]
        value = given(f"f_{name}", ARRAY(Text()) if one.several else None)
        found.append(one.where(value))
    if collection.parent is not None:
        found.append(collection.parent(given("parent", Text()) if parent is None else parent))
    return found


def given(name: str, type_: Any = None) -> Any:
    """A value that each run of the statement gives."""
    return bindparam(name, None, type_=type_)


def sort_of(collection: Collection, name: str) -> Sort:
    """A sort by its name; ``-name`` is the other way round."""
    sort = collection.sorts[name.removeprefix("-")]
    return sort.reversed if name.startswith("-") else sort


def _beyond(sort: Sort) -> Any:
    """What comes after the values k_0, k_1, … of the last row."""
    place = tuple_(*sort.columns)
    last = tuple_(*(given(f"k_{n}", column.type) for n, column in enumerate(sort.columns)))  # type: ignore[attr-defined]
    return place < last if sort.descending else place > last


def cursor_of(asked: Asked, values: Sequence[Any]) -> str:
    return urlsafe_b64encode(json.dumps([asked.digest, *values]).encode()).decode().rstrip("=")


def _after(asked: Asked) -> list[Any] | None:
    if asked.cursor is None:
        return None
    values: list[Any]
    try:
        digest, *values = json.loads(urlsafe_b64decode(asked.cursor + "=" * (-len(asked.cursor) % 4)))
    except (ValueError, TypeError):
        raise WrongCursor("the cursor is none that this list gave; begin without one") from None
    if digest != asked.digest or not all(isinstance(value, int | str) for value in values):
        raise WrongCursor("the cursor is of another question: it goes with the sort and filters that it was given for")
    return values
