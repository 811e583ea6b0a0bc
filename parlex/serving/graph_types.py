"""The GraphQL schema that follows from what the datasets declare, and how each of its fields is read.

A record is a type, and its fields are those of REST. What a list or an include has of another dataset is of that one's
type, so that one can go on from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLArgument,
    GraphQLBoolean,
    GraphQLError,
    GraphQLField,
    GraphQLFloat,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
)
from pydantic import ValidationError

from parlex.answers import Record
from parlex.datasets.served import CHECKED, Collection, Expression, Filter, Include, Served
from parlex.serving import questions
from parlex.serving.graph_rows import Reading, Row, Shape
from parlex.serving.problems import Problem
from parlex.serving.queries import Asked, WrongCursor, cursor_of
from parlex.serving.state import Fact

Info = GraphQLResolveInfo
_JSON = GraphQLScalarType("JSON", description="A value as JSON has it.")
_SCALARS = {bool: GraphQLBoolean, int: GraphQLInt, float: GraphQLFloat, Any: _JSON, dict: _JSON}
_FIRST = GraphQLArgument(GraphQLInt, description="rows at most")
_AFTER = GraphQLArgument(GraphQLString, description="the cursor of a row of this list: what comes after it")


def schema(every: Iterable[Served], lists: Iterable[Collection], facts: Mapping[str, Fact]) -> GraphQLSchema:
    """The schema of these datasets, of further lists, and of what is told of the whole mirror."""
    return _Types(list(every), list(lists)).schema(facts)


def plain(source: Any, info: Info) -> Any:
    """The value of a field that is there."""
    info.context.check()
    return source[info.field_name]


def _told(fact: Fact, _: Any, info: Info) -> Any:
    reading: Reading = info.context
    return reading.told(fact.read)


class _Types:
    def __init__(self, every: list[Served], lists: list[Collection]) -> None:
        self._every, self._lists = every, lists
        self._served = {served.list.record: served for served in every}
        self._shapes = {served.one: _shape(served) for served in every}
        self._made: dict[str, GraphQLObjectType] = {}

    def schema(self, facts: Mapping[str, Fact]) -> GraphQLSchema:
        fields = {}
        for served in self._every:
            fields[served.one] = self._by_key(served)
            fields[served.list.name] = self._list(served.list)
        fields |= {each.name: self._list(each) for each in self._lists}
        for name, fact in facts.items():
            resolve = partial(_told, fact)
            fields[name] = GraphQLField(self._of(fact.type), resolve=resolve, description=fact.help)
        return GraphQLSchema(GraphQLObjectType("Query", fields))

    # Types.

    def _of(self, hint: Any) -> Any:
        """The type of a Python type; what is None too may be null."""
        parts = [part for part in get_args(hint) if part is not NoneType]
        if NoneType in get_args(hint) or hint is Any:
            made = self._of(parts[0]) if parts else _JSON
            return made.of_type if isinstance(made, GraphQLNonNull) else made
        if get_origin(hint) in (list, tuple):
            return GraphQLNonNull(GraphQLList(self._of(parts[0])))
        if _is_record(hint):
            return GraphQLNonNull(self._object(hint))
        return GraphQLNonNull(_SCALARS.get(get_origin(hint) or hint, GraphQLString))

    def _object(self, record: type[Record], collection: Collection | None = None) -> GraphQLObjectType:
        """The type of a record; of a whole one, where it is what a dataset lists."""
        served = self._served.get(record)
        name = served.one.title() if served else record.__name__.removesuffix("Record")
        if name not in self._made:
            fields = partial(self._whole, served) if served else partial(self._fields, record, collection)
            self._made[name] = GraphQLObjectType(name, fields)
        return self._made[name]

    def _fields(self, record: type[Record], collection: Collection | None = None) -> dict[str, GraphQLField]:
        fields = {n: GraphQLField(self._of(hint)) for n, hint in get_type_hints(record).items() if n != CHECKED}
        if collection is not None:
            fields |= self._includes(collection.includes) | _CURSOR
        return fields

    def _whole(self, served: Served) -> dict[str, GraphQLField]:
        fields = self._fields(served.list.record)
        fields |= self._includes({**served.detail, **served.list.includes})
        for below in served.below:
            fields[below.name] = self._list(below)
        for lines in self._lists:
            if lines.parent is None and {"dataset", "key"} <= lines.filters.keys():
                fields[lines.name] = self._list(_of_key(lines, served.list.dataset))
        return fields | _CURSOR

    # Fields.

    def _includes(self, includes: Mapping[str, Include]) -> dict[str, GraphQLField]:
        """The fields of what a row has more. Of a record of another dataset, only one whose key is told: by that it is
        read anew, with all that its own type has."""
        fields = {}
        for name, each in includes.items():
            kinds = (each.type, *get_args(each.type))
            record = next((kind for kind in kinds if kind in self._served), None)
            if record is not None and each.key is not None:
                resolve = partial(self._follow, self._served[record])
                fields[name] = GraphQLField(self._of(each.type), resolve=resolve, description=each.help)
            elif record is None and get_origin(each.type) is list and _is_record(kinds[1]):
                fields[name] = GraphQLField(self._of(each.type), {"first": _FIRST}, _cut, description=each.help)
            elif record is None:
                fields[name] = GraphQLField(self._of(each.type), description=each.help)
        return fields

    def _by_key(self, served: Served) -> GraphQLField:
        parts = re.findall(r"{(\w+)}", served.path)
        args = {part: GraphQLArgument(GraphQLNonNull(GraphQLString)) for part in parts}

        def resolve(_: Any, info: Info, **given: str) -> Any:
            try:
                key = served.key(given)
            except ValueError as error:
                raise GraphQLError(str(error)) from None
            return self._records(served, info, [key]).get(key)

        return GraphQLField(self._object(served.list.record), args, resolve=resolve, description=f"One {served.one}.")

    def _follow(self, served: Served, row: Row, info: Info) -> Any:
        keys = {each[info.field_name] for each in row.level} - {None}
        return self._records(served, info, sorted(keys)).get(row[info.field_name])

    def _records(self, served: Served, info: Info, keys: list[str]) -> Mapping[str | None, Any]:
        reading: Reading = info.context
        shape = self._shapes[served.one]
        return reading.level(_place(info), lambda: reading.records(served, shape, _chosen(info), keys))

    def _list(self, collection: Collection) -> GraphQLField:
        served = next((one for one in self._every if one.list.source is collection.source), None)
        if served is not None:
            shape, row = self._shapes[served.one], self._object(served.list.record)
        else:
            shape = Shape({**collection.fields, **_columns(collection.includes)})
            row = self._object(collection.record, collection)
        model = questions.parameters(collection)

        def resolve(above: Row | None, info: Info, **given: Any) -> Any:
            reading: Reading = info.context
            reading.check()
            keys = None if collection.parent is None or above is None else _keys(above)

            def read() -> Mapping[str | None, Any]:
                try:
                    return reading.page(collection, shape, _chosen(info), _asked(collection, model, given), keys)
                except WrongCursor as error:
                    raise GraphQLError(str(error)) from None

            return reading.level(_place(info), read).get(above.key if above is not None else None, [])

        args = {"first": _FIRST, "after": _AFTER, "sort": GraphQLArgument(GraphQLString)}
        args |= {name: _argument(one) for name, one in collection.filters.items()}
        return GraphQLField(
            GraphQLNonNull(GraphQLList(GraphQLNonNull(row))), args, resolve=resolve, description=collection.help
        )


def _shape(served: Served) -> Shape:
    lists = {below.name for below in served.below}
    more = {name: one for name, one in {**served.detail, **served.list.includes}.items() if name not in lists}
    return Shape({**served.list.fields, **_columns(more)}, served.identity)


def _columns(includes: Mapping[str, Include]) -> dict[str, Expression]:
    return {name: each.column if each.key is None else each.key for name, each in includes.items()}


def _of_key(lines: Collection, dataset: str) -> Collection:
    """What a list of every dataset has of one key of one of them."""
    of, key = (lines.filters[name].where for name in ("dataset", "key"))
    left = {name: one for name, one in lines.filters.items() if name not in ("dataset", "key", "session")}
    return replace(lines, filters=left, parent=lambda value: of(dataset) & key(value))


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


def _argument(one: Filter) -> GraphQLArgument:
    kind: Any = _SCALARS.get(one.type, GraphQLString)
    kind = GraphQLList(GraphQLNonNull(kind)) if one.several else kind
    return GraphQLArgument(GraphQLNonNull(kind) if one.required else kind, description=one.help)


def _asked(collection: Collection, model: type[questions.Parameters], given: Mapping[str, Any]) -> Asked:
    """The question that the arguments make, by the rules that the parameters of REST have."""
    names = {"first": "limit", "after": "cursor"}
    values = {name if name in collection.filters else names.get(name, name): each for name, each in given.items()}
    try:
        asked = model.model_validate({name: value for name, value in values.items() if value is not None})
        return questions.asked(collection, asked)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise GraphQLError("; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)) from None
    except Problem as problem:
        raise GraphQLError(problem.detail) from None


def _cut(source: Any, info: Info, first: int | None = None) -> Any:
    found = plain(source, info)
    if first is not None and first < 1:
        raise GraphQLError("first: at least 1")
    return found[:first]


def _cursor(row: Row, info: Info) -> str | None:
    return cursor_of(*row.place) if row.place is not None else None


_CURSOR = {"cursor": GraphQLField(GraphQLString, resolve=_cursor, description="its place in the list: see after")}


def _keys(above: Row) -> list[str]:
    return sorted({row.key for row in above.level if row.key is not None})


def _place(info: Info) -> tuple[str | int, ...]:
    """Where in the answer a field stands, whichever row it is of."""
    return tuple(part for part in info.path.as_list() if isinstance(part, str))


def _chosen(info: Info) -> set[str]:
    """The names of the fields that are asked for below a field."""
    found: set[str] = set()
    spread: set[str] = set()
    left: list[Any] = [node.selection_set for node in info.field_nodes if node.selection_set]
    while left:
        for one in left.pop().selections:
            if isinstance(one, FieldNode):
                found.add(one.name.value)
            elif not isinstance(one, FragmentSpreadNode):
                left.append(one.selection_set)
            elif one.name.value not in spread:
                spread.add(one.name.value)
                left.append(info.fragments[one.name.value].selection_set)
    return found
