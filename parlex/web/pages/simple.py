"""The pages that are mostly words: search, follow, data."""

from __future__ import annotations

from typing import Any

from parlex.serving import queries
from parlex.web.pages import asked
from parlex.web.pages.site import View, Visit

FORM = ("dataset", "session", "number", "sponsor", "politician", "q", "when")  # what news by e-mail may be asked for


def find(visit: Visit) -> View:
    """What is found, of all datasets, the best first."""
    sought = visit.query.get("q", "").strip()
    collections = visit.site.searches
    values: dict[str, Any] = {"sought": sought, "page": None, "kinds": [], "given": {}}
    given = {name: value for name in ("q", "kind") if (value := visit.query.get(name, "").strip())}
    if sought and collections:
        collection = collections[0]
        question = asked.question(collection, visit.query, q=sought)
        page = asked.rows(visit, collection, question)
        of = {dataset.served.one: name for name, dataset in visit.site.datasets.items() if dataset.served}
        values |= {
            "page": page,
            "total": queries.count(visit.db.connection(), collection, question),
            "kinds": collection.filters["kind"].choices,
            "of": of,
            "titles": visit.titles((of[row["kind"]], row["key"]) for row in page.rows),
            "given": given,
            "asked": given | ({"cursor": question.cursor} if question.cursor else {}),
        }
    title = visit.tongue.say("search.title_of", q=sought) if sought else visit.tongue.say("search.title")
    return View("search.html", str(title), visit.paths("search"), values, given, found=not sought)


def follow(visit: Visit) -> View:
    """The feeds to subscribe to, news by e-mail, and how to be told by a program."""
    given = {name: value for name in FORM if (value := visit.query.get(name, "").strip())}
    told = [
        (name, field, getattr(words, visit.lang))
        for name, one in visit.site.datasets.items()
        for field, words in one.told_fields.items()
    ]
    values = {"told": told, "session": visit.current, "given": given, "back": visit.query}
    title, about = str(visit.tongue.say("follow.title")), str(visit.tongue.say("follow.about"))
    return View("follow.html", title, visit.paths("follow"), values, given, about=about, found=not visit.query)


def data(visit: Visit) -> View:
    """How to get all of it, and how to cite it."""
    poller = visit.site.context.poller
    examples = {name: one.served.example for name, one in visit.site.datasets.items() if one.served}
    values = {"mirror": poller.mirror, "seq": poller.last, "session": visit.current, "examples": examples}
    about = str(visit.tongue.say("data.about"))
    return View("data.html", str(visit.tongue.say("data.title")), visit.paths("data"), values, about=about)
