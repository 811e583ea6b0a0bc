"""The parameters of a list, as a model that forbids unknown names, and the question that they make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from parlex.answers import Record
from parlex.datasets.served import CHECKED, Collection, Cover, Filter, Include
from parlex.serving.queries import Asked

USUAL, MOST = 50, 500  # rows of a page
_LONGEST = 500  # characters of a parameter
_TEXT = r"^[^\x00]*$"  # PostgreSQL's texts hold no NUL


class Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")


def parameters(collection: Collection) -> type[Parameters]:
    """The model of a list's parameters."""
    found: dict[str, Any] = {f"f_{name}": _filter(name, one) for name, one in collection.filters.items()}
    sorts = tuple(each for name in collection.sorts for each in (name, f"-{name}"))
    usual = next(iter(collection.sorts))
    found["sort"] = (Literal[sorts], Field(usual, description="the order; with a minus, the other way round"))
    if collection.includes:
        found["include"] = _names(collection.includes, "more of each row; several, apart by commas")
    names = [*collection.fields]
    found["fields"] = _names(names, "only these fields of each row; several, apart by commas")
    found["limit"] = (int, Field(USUAL, ge=1, le=MOST, description="rows of a page"))
    found["cursor"] = (
        str | None,
        Field(None, max_length=_LONGEST, pattern=r"^[\w-]+$", description="from the address in `next`"),
    )
    found["count"] = (bool, Field(False, description="tell how many rows there are over all pages"))
    model: type[Parameters] = create_model(f"{_title(collection)}Parameters", __base__=Parameters, **found)
    return model


def of_one(title: str, includes: Mapping[str, Include], *, past: bool) -> type[Parameters]:
    """The model of the parameters of one record."""
    found: dict[str, Any] = {}
    if past:
        help = "as it was known then: on a day (in Ottawa), or at an instant"
        found["as_of"] = (date | datetime | None, Field(None, description=help))
    if includes:
        found["include"] = _names(includes, "more of it; several, apart by commas")
    model: type[Parameters] = create_model(f"{title}Parameters", __base__=Parameters, **found)
    return model


def _filter(name: str, one: Filter) -> Any:
    about: dict[str, Any] = {"alias": name, "description": one.help, "default": ... if one.required else None}
    choices = tuple(map(str, one.choices))
    if one.several:
        pattern = "|".join(map(re.escape, choices)) or (one.pattern or _TEXT).strip("^$")
        text = Annotated[str, Field(pattern=f"^({pattern})(,({pattern}))*$")]
        return list[text] | None, Field(**about, max_length=100)
    kind: Any = one.type
    if choices:
        kind = Literal[choices]
    elif kind is str:
        about |= {"max_length": _LONGEST, "pattern": one.pattern or _TEXT}
    elif kind is int:
        about |= {"ge": 0, "le": 2**63 - 1}
    return kind if one.required else kind | None, Field(**about)


def _names(names: Iterable[str], help: str) -> Any:
    one = "|".join(names)
    return str | None, Field(None, description=help, pattern=f"^({one})(,({one}))*$", max_length=2000)


def asked(collection: Collection, given: Parameters, parent: str | None = None) -> Asked:
    """The question that the parameters make."""
    values = given.model_dump(by_alias=True)
    filters = {}
    for name, one in collection.filters.items():
        value = values[name]
        if value is not None:
            filters[name] = [part for each in value for part in each.split(",")] if one.several else value
    return Asked(
        limit=values["limit"],
        filters=filters,
        sort=values["sort"],
        cursor=values["cursor"],
        include=split(values.get("include")) or (),
        fields=split(values["fields"]),
        parent=parent,
    )


def split(text: str | None) -> tuple[str, ...] | None:
    return tuple(dict.fromkeys(text.split(","))) if text else None


def covers(collection: Collection, question: Asked) -> list[Cover]:
    """Whose history the page is covered by."""
    scope = question.filters.get(collection.scope) if collection.scope else None
    others = [other for name in question.include for other in collection.includes[name].covers]
    others += [other for name in question.filters for other in collection.filters[name].covers]
    return [Cover(collection.dataset, scope), *(Cover(name) for name in (*collection.covers, *others))]


# What an answer looks like, for the documents; nothing is checked against it when it is served.


def model_of(name: str, record: type[Record], *more: tuple[str, Any]) -> type[BaseModel]:
    """The model of a record, and what it has beyond. No field is required, since ``fields`` may leave any out."""
    if (name, record, more) not in _MODELS:
        hints = {n: hint for n, hint in get_type_hints(record).items() if n != CHECKED} | dict(more)
        told = {n: (_shown(hint), None) for n, hint in hints.items()}
        _MODELS[name, record, more] = create_model(name, **told)  # type: ignore[call-overload]
    return _MODELS[name, record, more]


_MODELS: dict[Any, type[BaseModel]] = {}


def _shown(hint: Any) -> Any:
    """A type with the models of the records in it. Pydantic itself takes a field named ``date`` for its own type."""
    if isinstance(hint, type) and issubclass(hint, Record):
        return model_of(hint.__name__, hint)
    made, origin = tuple(map(_shown, get_args(hint))), get_origin(hint)
    if origin is tuple:
        return list[made[0]]  # type: ignore[valid-type]
    if origin in (Union, UnionType):
        return reduce(or_, made)
    return origin[made] if origin else hint


def list_of(name: str, row: type[BaseModel]) -> type[BaseModel]:
    model: type[BaseModel] = create_model(
        f"{name}List",
        data=(list[row], ...),  # type: ignore[valid-type]
        next=(str | None, Field(..., description="the address of the next page; null on the last one")),
        count=(int, Field(0, description="rows over all pages, where it was asked for")),
    )
    return model


def _title(collection: Collection) -> str:
    return "".join(part.title() for part in collection.name.split("_"))
