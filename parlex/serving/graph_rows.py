"""The rows of a GraphQL answer: all rows of a level by one statement, whatever many rows they are below."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Text, func, literal_column, null, select, true
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from parlex.answers import as_json
from parlex.datasets.served import Collection, Expression, Served
from parlex.serving.problems import is_too_slow
from parlex.serving.queries import (
    Asked,
    Compiled,
    Held,
    given,
    json_of,
    labelled,
    places,
    rows_of,
    sort_of,
    values_of,
)


class Stop(BaseException):
    """Ends an execution at once, for its cause; an Exception would be told of its field, and the next one asked for."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(cause)
        self.cause = cause


class TooSlow(Exception):
    pass


class Row(dict[str, Any]):
    """One row: ``key`` where it is a record of a dataset, ``level`` all rows that were read with it, ``place`` its own
    in the list that was asked for."""

    __slots__ = ("key", "level", "place")

    def __init__(self, level: list[Row], key: str | None, body: str, place: tuple[Asked, Sequence[Any]] | None = None):
        super().__init__(json.loads(body))
        self.level, self.key, self.place = level, key, place
        level.append(self)


Level = Mapping[str | None, Any]  # by the key that the rows are below


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What a row may have: its columns, and its key where it is a record of a dataset."""

    columns: Mapping[str, Expression]
    identity: Expression | None = None

    def chosen(self, names: set[str]) -> tuple[str, ...]:
        found = tuple(name for name in self.columns if name in names)
        return found or (next(iter(self.columns)),)  # a row without a column would be none


class Reading:
    """What one request reads. ``until``, by the monotonic clock, it has to be done."""

    def __init__(self, db: Connection, until: float) -> None:
        self._db, self._until = db, until
        self._levels: dict[tuple[str | int, ...], Level] = {}

    def check(self) -> float:
        """The seconds that are left."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise Stop(TooSlow())
        return left

    def level(self, place: tuple[str | int, ...], read: Callable[[], Level]) -> Level:
        """What stands at a place of the answer, read when the first of its rows is asked for."""
        if place not in self._levels:
            self._levels[place] = read()
        return self._levels[place]

    def told(self, read: Callable[[Session], Any]) -> Any:
        """What a function tells, as JSON has it."""
        self.check()
        with Session(self._db) as db:
            return as_json(read(db))

    def page(
        self, collection: Collection, shape: Shape, names: set[str], asked: Asked, keys: Sequence[str] | None
    ) -> Level:
        """A page of a list; with ``keys``, one below each of them."""
        form = (shape.chosen(names), tuple(sorted(asked.filters)), asked.sort, asked.cursor is not None)
        statement = _page(Held(collection), Held(shape), *form, keys is not None)
        found: dict[str | None, list[Row]] = {}
        level: list[Row] = []
        values = values_of(asked) | {"most": asked.limit, "keys": list(keys or ())}
        for above, key, body, *place in self._run(statement, values):
            found.setdefault(above, []).append(Row(level, key, body, (asked, place)))
        return found

    def records(self, served: Served, shape: Shape, names: set[str], keys: Sequence[str]) -> Level:
        """The records of these keys, as far as they are held."""
        level: list[Row] = []
        if not keys:
            return {}
        statement = _records(Held(served), Held(shape), shape.chosen(names))
        return {key: Row(level, key, body) for key, body in self._run(statement, {"keys": list(keys)})}

    def _run(self, statement: Compiled, values: Mapping[str, Any]) -> Sequence[Any]:
        limit = f"set local statement_timeout = {int(self.check() * 1000) + 1}"
        try:
            return Compiled(f"{limit}; {statement.text}", statement.params).run(self._db, values)
        except SQLAlchemyError as error:
            raise Stop(TooSlow() if is_too_slow(error) else error) from None


_KEYS: Any = func.unnest(given("keys", ARRAY(Text()))).table_valued("key").render_derived("keys")


@lru_cache(maxsize=512)
def _page(
    held: Held,
    shape_held: Held,
    names: tuple[str, ...],
    filters: tuple[str, ...],
    sort: str,
    goes_on: bool,
    below: bool,
) -> Compiled:
    collection: Collection = held.of
    shape: Shape = shape_held.of
    columns = {name: shape.columns[name] for name in names}
    identified = {**columns, "_key": null() if shape.identity is None else shape.identity}
    parent = literal_column("keys.key", Text()) if below else None
    page = rows_of(collection, identified, filters, sort, goes_on=goes_on, parent=parent)
    rows = page.lateral("r") if below else page.subquery("r")
    order = places(collection, sort, rows)
    told = select(_KEYS.c.key if below else null(), rows.c["_key"], json_of(rows, names), *order)
    if below:
        told = told.select_from(_KEYS.join(rows, true()))
    descending = sort_of(collection, sort).descending
    return Compiled.of(told.order_by(*(each.desc() if descending else each for each in order)))


@lru_cache(maxsize=512)
def _records(held: Held, shape_held: Held, names: tuple[str, ...]) -> Compiled:
    served: Served = held.of
    columns = {name: shape_held.of.columns[name] for name in names}
    rows = (
        select(served.identity.label("_key"), *labelled(columns))
        .select_from(served.list.source)
        .where(served.identity == func.any(given("keys", ARRAY(Text()))))
        .subquery("r")
    )
    return Compiled.of(select(rows.c["_key"], json_of(rows, names)))
