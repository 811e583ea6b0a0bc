"""What the pages ask of the lists that the datasets declare: the same questions as the API's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import QueryParams

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Collection
from parlex.serving import queries, questions, records
from parlex.serving.problems import Problem
from parlex.serving.queries import Asked
from parlex.web.pages.site import Visit

ROWS = 50


@dataclass(frozen=True, slots=True)
class Rows:
    """A page of a list. ``next``: the cursor of what follows."""

    rows: list[dict[str, Any]]
    next: str | None


NOTHING = QueryParams()


def question(collection: Collection, given: QueryParams = NOTHING, parent: str | None = None, **fixed: Any) -> Asked:
    """The question that an address asks; what a form left blank is not asked, nor what the list does not know.
    Problem 422 for a value that it does not allow."""
    names = [*collection.filters, "sort", "cursor"]
    wanted = {name: [value for value in given.getlist(name) if value] for name in names}
    values = {
        name: found if name in collection.filters and collection.filters[name].several else found[0]
        for name, found in wanted.items()
        if found
    }
    try:
        model = questions.parameters(collection).model_validate({"limit": ROWS, **values, **fixed})
    except ValidationError as error:
        told = "; ".join(f"{one['loc'][0]}: {str(one['input'])[:50]!r}" for one in error.errors())
        raise Problem(422, told) from None
    return questions.asked(collection, model, parent)


def rows(visit: Visit, collection: Collection, asked: Asked) -> Rows:
    page = queries.page(visit.db.connection(), collection, asked)
    return Rows([json.loads(row) for row in page.rows], page.next)


def whole(visit: Visit, collection: Collection, parent: str, **fixed: Any) -> list[dict[str, Any]]:
    """All rows of a list below a record."""
    asked = question(collection, NOTHING, parent, limit=questions.MOST, **fixed)
    found = rows(visit, collection, asked)
    every = found.rows
    while found.next is not None:
        found = rows(visit, collection, question(collection, QueryParams({"cursor": found.next}), parent, **fixed))
        every += found.rows
    return every


def record(visit: Visit, dataset: Dataset, *include: str) -> tuple[str, dict[str, Any]]:
    """The record that the address names, and its key. Problem 404 where it names none."""
    assert dataset.served is not None
    key = records.key_of(dataset.served, visit.parts)
    found = queries.record(visit.db.connection(), dataset.served, key, dataset.decides, include)
    if found is None:
        raise visit.nothing(key)
    return key, json.loads(found[0])
