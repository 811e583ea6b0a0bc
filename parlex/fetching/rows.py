"""Rows of a list and parts of a record, each read on its own: a bad one is set aside, and the rest stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from parlex.errors import DocumentError
from parlex.fetching.strict import Place

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows(Generic[T]):
    """A list, of one page or of many.

    ``read`` in the source's order, each key once. ``rejected`` has an error for each row that cannot be believed, with
    its key where that was readable; of rows that say different things of one key none is believed. ``doubled`` has the
    keys that more than one row named, readable or not: a list whose pages overlap may lack what it should hold instead.
    """

    read: tuple[T, ...]
    doubled: tuple[str, ...]
    rejected: tuple[DocumentError, ...]


def read_rows(
    found: Iterable[tuple[R, Place]], read: Callable[[R, Place], T], key_of: Callable[[T], object]
) -> Rows[T]:
    """``read`` each of ``found``; it raises DocumentError for a row that cannot be believed."""
    good: dict[str, T] = {}
    named: Counter[str] = Counter()
    contradicted: dict[str, Place] = {}
    rejected: list[DocumentError] = []
    for raw, place in found:
        try:
            row = read(raw, place)
        except DocumentError as error:
            rejected.append(error)
            named.update([error.key] if error.key else [])
            continue
        key = str(key_of(row))
        named[key] += 1
        if good.setdefault(key, row) != row:
            contradicted.setdefault(key, place)
    for key, place in contradicted.items():
        del good[key]
        rejected.append(place.of(key).error("is listed twice, with different facts"))
    doubled = tuple(key for key, times in named.items() if times > 1)
    return Rows(tuple(good.values()), doubled, tuple(rejected))


def read_parts(
    found: Iterable[tuple[R, Place]], read: Callable[[R, Place], T]
) -> tuple[tuple[T, ...], tuple[DocumentError, ...]]:
    """The good parts of a record, and an error for each odd one."""
    good: list[T] = []
    odd: list[DocumentError] = []
    for raw, place in found:
        try:
            good.append(read(raw, place))
        except DocumentError as error:
            odd.append(error)
    return tuple(good), tuple(odd)
