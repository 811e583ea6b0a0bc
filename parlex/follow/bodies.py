"""What a webhook is sent: lines of the history as the API gives them, in pieces of a bounded size, with links."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from parlex.datasets.dataset import Dataset
from parlex.db.models import ChangeRow, SubscriptionRow
from parlex.follow.matching import Found
from parlex.serving.changes import LINES, NAMES
from parlex.serving.paths import query_of
from parlex.serving.queries import json_of, labelled
from parlex.serving.records import PREFIX, path_of
from parlex.settings import Settings

LARGEST = 20_000  # bytes of a body
LONGEST_LINE = 4_000  # bytes; a longer line goes without its values
MOST_LINES = 200  # of a body
_ENVELOPE = 500  # bytes of a body beside its lines and links
HERE = "http://127.0.0.1:8000"  # where the server is, where no setting says it


@dataclass(frozen=True, slots=True)
class Composed:
    """A body; the line up to which it tells all that matches; and how many lines it tells of."""

    body: str
    to: int
    changes: int


def changes(
    db: Session, subscription: SubscriptionRow, found: Found, datasets: Mapping[str, Dataset], settings: Settings
) -> Composed:
    """As many of the lines as fit; the others are for the next body."""
    told: list[str] = []
    links: dict[str, None] = {}
    room, to = LARGEST - _ENVELOPE, subscription.cursor
    for text in _lines(db, found.seqs[:MOST_LINES]):
        line = json.loads(text)
        if len(text.encode()) > LONGEST_LINE:
            line.update(old=None, new=None, too_long=True)
            text = _json(line)
        link = link_of(line["dataset"], line["key"], datasets, settings)
        room -= len(text.encode()) + 1 + (len(link) + 3 if link and link not in links else 0)
        if room < 0:
            break
        told.append(text)
        if link:
            links[link] = None
        to = line["seq"]
    if len(told) == len(found.seqs) and not found.more:
        to = found.looked_to
    envelope = _json({"type": "changes", "subscription": str(subscription.id), "next_after": to, "links": list(links)})
    return Composed(f'{envelope[:-1]},"changes":[{",".join(told)}]}}', to, len(told))


def too_many(subscription: SubscriptionRow, last: int, most: int, settings: Settings) -> Composed:
    """In place of more lines than one look may find: where they are."""
    about = {"type": "too_many", "subscription": str(subscription.id), "next_after": last, "more_than": most}
    return Composed(_json({**about, "links": [list_of(subscription, settings)], "changes": []}), last, 0)


def test(subscription: SubscriptionRow) -> str:
    about = {"type": "test", "subscription": str(subscription.id), "next_after": subscription.cursor}
    return _json({**about, "links": [], "changes": []})


def list_of(subscription: SubscriptionRow, settings: Settings) -> str:
    """The address of the history after the subscription's cursor, as near to its filter as the list's own are."""
    query = query_of(narrowed(subscription), after=subscription.cursor)
    return f"{settings.web_url or HERE}{PREFIX}/{LINES.name}?{query}"


def narrowed(subscription: SubscriptionRow) -> dict[str, str]:
    """What of a filter lists of the history have too."""
    return {name: value for name, value in subscription.filter.items() if name in ("dataset", "session")}


def link_of(dataset: str, key: str, datasets: Mapping[str, Dataset], settings: Settings) -> str | None:
    """The address of a record."""
    served = datasets[dataset].served if dataset in datasets else None
    return f"{settings.web_url or HERE}{path_of(served, key)}" if served else None


def _lines(db: Session, seqs: Sequence[int]) -> Sequence[str]:
    rows = select(*labelled(LINES.fields)).where(ChangeRow.seq.in_(seqs)).subquery("r")
    return db.scalars(select(json_of(rows, NAMES)).select_from(rows).order_by(rows.c.seq)).all()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
