"""The front: what changed this week, and whether one can trust it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, func, select

from parlex.datasets import sessions
from parlex.datasets.dataset import Dataset
from parlex.datasets.sessions import HeldRecord
from parlex.db.models import ChangeRow, ListingRow
from parlex.web.pages import asked
from parlex.web.pages.site import View, Visit

WEEK = timedelta(days=7)
ROWS = 8  # of each group; the rest is on the page of changes, and said so


@dataclass(frozen=True, slots=True)
class Group:
    """``name``: assent, moved, new or one. ``rows``: the newest of ``count``."""

    name: str
    dataset: str
    rows: list[Any]
    count: int


def read(visit: Visit) -> View:
    session = visit.current
    return View(
        "front.html",
        str(visit.tongue.say("front.title")),
        visit.paths("front"),
        {
            "session": session,
            "fresh": fresh(visit),
            "groups": [group for group in _groups(visit) if group.count],
            "since": visit.now - WEEK,
            "bills": _newest(visit, "bills", session, sort="-activity"),
            "votes": _newest(visit, "votes", session, sort="date"),
        },
        about=str(visit.tongue.say("front.about")),
        feed=f"changes.atom?lang={visit.lang}",
    )


def fresh(visit: Visit) -> list[tuple[str | None, HeldRecord]]:
    """What is held of the current session, and of what has no sessions, dataset by dataset."""
    found = sessions.sessions(visit.db, visit.site.datasets.values())
    newest = next((each for each in found if each.is_current), found[0] if found else None)
    chosen = [each for each in found if each is newest or each.session is None]
    return [(each.session, held) for each in chosen for held in each.datasets]


def _newest(visit: Visit, name: str, session: str | None, sort: str) -> list[dict[str, Any]]:
    """The newest rows of a dataset in a session."""
    dataset = visit.site.datasets.get(name)
    if dataset is None or dataset.served is None or session is None:
        return []
    collection = dataset.served.list
    return asked.rows(visit, collection, asked.question(collection, session=session, sort=sort, limit=ROWS)).rows


def _groups(visit: Visit) -> list[Group]:
    """What is news of the last week: what each dataset tells of itself, and what is new in it."""
    found = []
    for dataset in visit.site.datasets.values():
        for field, words in dataset.told_fields.items():
            spoken = f"{field.removesuffix('_en')}_{visit.lang}" if field.endswith("_en") else field
            where = (ChangeRow.kind == "changed", ChangeRow.field == spoken, ChangeRow.new.is_not(None))
            found.append(_group(visit, dataset, getattr(words, visit.lang), *where))
        title = visit.tongue.say("front.new", what=visit.tongue.named("dataset", dataset.name))
        found.append(_group(visit, dataset, str(title), ChangeRow.kind == "created", _is_new(dataset)))
    return found


def _group(visit: Visit, dataset: Dataset, name: str, *where: Any) -> Group:
    row = ChangeRow
    query = (
        select(row.key, row.field, row.old, row.new, row.observed_at)
        .where(row.dataset == dataset.name, row.observed_at >= visit.now - WEEK, *where)
        .order_by(row.seq.desc())
    )
    count = visit.db.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows: list[Row[Any]] = list(visit.db.execute(query.limit(ROWS)))
    titles = visit.titles((dataset.name, each.key) for each in rows)
    shown = [
        {
            "key": each.key,
            "title": titles.get((dataset.name, each.key)),
            "old": each.field and visit.writing.value(each.old, each.field),
            "new": each.field and visit.writing.value(each.new, each.field),
            "at": each.observed_at,
        }
        for each in rows
    ]
    return Group(name, dataset.name, shown, count)


def _is_new(dataset: Dataset) -> Any:
    """Whether a record came after the mirror's first look at its list: what was there then is no news."""
    line, first = ListingRow, ListingRow.__table__.alias("first")
    beginning = (
        select(func.min(first.c.first_seen_at))
        .where(first.c.dataset == line.dataset, first.c.source == line.source, first.c.scope == line.scope)
        .scalar_subquery()
    )
    return (
        select(line.key)
        .where(
            line.dataset == dataset.name,
            line.source == dataset.list_source,
            line.key == ChangeRow.key,
            line.first_seen_at > beginning,
        )
        .exists()
    )
