"""The front: what changed this week, and whether one can trust it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from parlex.datasets import news, sessions
from parlex.datasets.sessions import HeldRecord
from parlex.web.pages import asked
from parlex.web.pages.site import View, Visit

WEEK = timedelta(days=7)
ROWS = 8  # of each group; the rest is on the page of changes, and said so


def read(visit: Visit) -> View:
    session = visit.current
    values = {
        "session": session,
        "fresh": _fresh(visit),
        "groups": _groups(visit),
        "bills": _newest(visit, "bills", session, sort="-activity"),
        "votes": _newest(visit, "votes", session, sort="date"),
    }
    title, about = str(visit.tongue.say("front.title")), str(visit.tongue.say("front.about"))
    feed = f"changes.atom?lang={visit.lang}"
    return View("front.html", title, visit.paths("front"), values, about=about, feed=feed)


def _fresh(visit: Visit) -> list[tuple[str | None, HeldRecord]]:
    """What is held of the current session, and of what has no sessions, dataset by dataset."""
    found = sessions.sessions(visit.db, visit.site.datasets.values())
    newest = next((each for each in found if each.is_current), found[0] if found else None)
    chosen = [each for each in found if each is newest or each.session is None]
    return [(each.session, held) for each in chosen for held in each.datasets]


def _groups(visit: Visit) -> list[dict[str, Any]]:
    """The news of the week of each dataset, as the page shows them."""
    found = []
    for name, dataset in visit.site.datasets.items():
        for group in news.news(visit.db, dataset, visit.now - WEEK, visit.lang, ROWS):
            titles = visit.titles((name, row.key) for row in group.rows)
            what = visit.tongue.say("front.new") if group.words is None else getattr(group.words, visit.lang)
            heading = f"{visit.tongue.named('dataset', name)} · {what}"
            rows = [(row, titles.get((name, row.key))) for row in group.rows]
            found.append({"heading": heading, "dataset": name, "rows": rows, "count": group.count})
    return found


def _newest(visit: Visit, name: str, session: str | None, sort: str) -> list[dict[str, Any]]:
    """The newest rows of a dataset in a session."""
    dataset = visit.site.datasets.get(name)
    if dataset is None or dataset.served is None or session is None:
        return []
    collection = dataset.served.list
    return asked.rows(visit, collection, asked.question(collection, session=session, sort=sort, limit=ROWS)).rows
