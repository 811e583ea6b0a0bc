"""Records read again from the documents that the mirror stands on, with today's code. No network, and no writes.

What says where a field came from, what the sources disagree on, and what a replay would change all begin here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from parlex.datasets.dataset import Dataset
from parlex.datasets.reading import Found, Reading
from parlex.db.models import LatestDocumentRow, QuarantineRow
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.mirror import documents, quarantine
from parlex.mirror.documents import Archived


def keys(db: Session, dataset: Dataset, scopes: Sequence[str] = (), *, since: datetime | None = None) -> list[str]:
    """What has a document that stands, or one that waits in quarantine, in the dataset's order.

    Of ``scopes`` alone, where they are given. ``since`` keeps those with such a document fetched or parked since then.
    """
    latest, parked = LatestDocumentRow, QuarantineRow
    standing = select(latest.key).where(latest.dataset == dataset.name, latest.sha256.is_not(None))
    waiting = select(parked.key).where(
        parked.dataset == dataset.name, parked.kind == "document", parked.state == "open", parked.key.is_not(None)
    )
    if since is not None:
        standing = standing.where(latest.fetched_at >= since)
        waiting = waiting.where(parked.seen_at >= since)
    found = [str(key) for key in db.scalars(standing.union(waiting))]
    return sorted((k for k in found if not scopes or dataset.scope_of(k) in scopes), key=dataset.rank)


def read(dataset: Dataset, found: Found) -> Reading:
    """Parse documents given by key and source."""
    reading = Reading(dataset.parse, dataset.decides)
    reading.fill(found)
    return reading


def standing(db: Session, dataset: Dataset, chosen: Iterable[str]) -> Reading:
    """What the documents that stand say of each key."""
    return read(dataset, documents.standing_documents(db, dataset.name, chosen))


def mended(
    db: Session, dataset: Dataset, chosen: Sequence[str], archived: Archived | None
) -> dict[tuple[str, str], Document]:
    """The documents by (key, source) that were parked as unreadable, are the newest word of their source, and can be
    read by today's code."""
    parked = quarantine.parked_documents(db, dataset.name, chosen)
    newest = documents.newest_fetches(db, dataset.name, [key for key, _ in parked])
    found = {}
    for (key, source), sha256 in parked.items():
        kept = newest.get((key, source))
        if kept is None or kept.sha256 != sha256:
            continue  # The source has said something else since.
        document = documents.read_document(db, kept, archived)
        if document is not None and _can_be_read(dataset, key, source, document):
            found[key, source] = document
    return found


def _can_be_read(dataset: Dataset, key: str, source: str, document: Document) -> bool:
    try:
        dataset.parse(key, source, document)
    except DocumentError:
        return False
    return True
