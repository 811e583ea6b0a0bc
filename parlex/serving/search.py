"""The search over every dataset that declares the words it is found by: one list, ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import BindParameter, Text, bindparam, func, literal, select, true, union_all

from parlex.answers import Record
from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Collection, Filter, Searched, Served, Sort
from parlex.serving.records import PREFIX


@dataclass(frozen=True, slots=True)
class Found(Record):
    """``kind``: what a single one of its dataset is called. ``rank``: the higher the better, of a millionth."""

    kind: str
    key: str
    title: str | None
    url: str
    rank: int


def collections(datasets: Mapping[str, Dataset]) -> tuple[Collection, ...]:
    """The list of what is found in all datasets; none, where none of them declares words."""
    every = [(dataset.name, dataset.served) for dataset in datasets.values() if dataset.served]
    words = {name: (served, served.searched) for name, served in every if served.searched}
    return (_collection(list(words), list(words.values())),) if words else ()


def _collection(names: list[str], of: Sequence[tuple[Served, Searched]]) -> Collection:
    asked = bindparam("f_q", None, type_=Text())
    rows = union_all(*(_rows(served, words, asked) for served, words in of)).subquery("found")
    filters = of[0][1].filters()
    # The question is in the rows already: what each of them is found by is known there.
    everything = {name: replace(one, where=lambda value: true()) for name, one in filters.items()}
    kinds = tuple(served.one for served, _ in of)
    return Collection(
        name="search",
        help="What has all the words of a question: the best first, then the newest.",
        dataset=names[0],
        covers=tuple(names[1:]),
        record=Found,
        source=rows,
        fields={name: rows.c[name] for name in ("kind", "key", "title", "url", "rank")},
        sorts={"rank": Sort((rows.c.rank, rows.c.kind, rows.c.key), descending=True)},
        filters={
            **everything,
            "q": replace(everything["q"], required=True),
            "kind": Filter(help="only one kind of thing", where=lambda value: rows.c.kind == value, choices=kinds),
        },
    )


def _rows(served: Served, words: Searched, asked: BindParameter[str]) -> Any:
    key = served.identity
    return (
        select(
            literal(served.one).label("kind"),
            key.label("key"),
            words.title.label("title"),
            func.concat(f"{PREFIX}/{served.list.name}/", func.replace(key, " ", "/")).label("url"),
            words.rank(asked).label("rank"),
        )
        .select_from(served.list.source)
        .where(words.found(asked))
    )
