"""The bills of a session: filters, facets, sorts, pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from parlex.datasets.served import Expression
from parlex.db.models import BillRow
from parlex.serving import queries
from parlex.web.pages import asked
from parlex.web.pages.site import Values, View, Visit

SORTS = ("-activity", "-introduced", "number", "-changed")
ASKED = ("q", "status", "type", "chamber", "party", "sort")


def read(visit: Visit) -> View:
    dataset = visit.site.datasets["bills"]
    assert dataset.served is not None
    collection, session = dataset.served.list, visit.parts["session"]
    given = {name: visit.query.get(name) for name in ASKED if visit.query.get(name)}
    sort = given.get("sort", SORTS[0])
    question = asked.question(collection, visit.query, session=session, sort=sort, include="party")
    page = asked.rows(visit, collection, question)
    total = queries.count(visit.db.connection(), collection, question)
    if not total and len(question.filters) == 1:
        raise visit.nothing(session)
    status: Mapping[str, Expression] = {"value": BillRow.status_code, "en": BillRow.status_en, "fr": BillRow.status_fr}
    by = {
        "status": status,
        "chamber": {"value": BillRow.chamber},
        "party": {"value": collection.includes["party"].column},
        "type": {"value": BillRow.bill_type},
    }
    facets = {}
    for name, expressions in by.items():
        others = replace(question, filters={n: v for n, v in question.filters.items() if n != name}, cursor=None)
        facets[name] = [
            _facet(visit, name, row, given)
            for row in queries.tally(visit.db.connection(), collection, expressions, others)
            if row.value is not None
        ]
    values: Values = {
        "session": session,
        "page": page,
        "total": total,
        "facets": facets,
        "given": given,
        "sorts": SORTS,
    }
    values |= {"asked": given | ({"cursor": question.cursor} if question.cursor else {}), "sessions": visit.sessions()}
    return View(
        "bills.html",
        str(visit.tongue.say("bills.title", session=session)),
        {lang: f"{path}/{session}" for lang, path in visit.list_paths(dataset).items()},
        values,
        given,
        about=str(visit.tongue.say("bills.about", session=session)),
        feed=f"bills.atom?session={session}&lang={visit.lang}",
        json=f"bills?session={session}",
    )


def _facet(visit: Visit, name: str, row: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """A value that the list may be kept to: how many rows it would leave."""
    label = getattr(row, visit.lang) if name == "status" else visit.tongue.named(name, row.value)
    return {"value": row.value, "label": label, "count": row.n, "chosen": given.get(name) == row.value}
