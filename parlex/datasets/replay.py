"""The archive read again with today's code: what rows would come of it, and, if asked, those rows.

A replay takes the documents that each record stands on, that is each source's newest good word, and beside them
documents that were parked as unreadable, where today's code can read them and the source has said nothing since. It
does not go through older fetches: the history already has what they said, as it was read then, and a row is made of the
newest only. Lists are not replayed either, since the next sweep reads one in full.

No network. Each batch of records is one short transaction. Fields that a guard withholds stay withheld.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from parlex.answers import Record as Answer
from parlex.datasets import standing
from parlex.datasets.dataset import Dataset
from parlex.datasets.reading import batches
from parlex.datasets.scopes import require_held
from parlex.fetching.document import Document
from parlex.mirror import documents, history, quarantine
from parlex.mirror.documents import Archived
from parlex.mirror.history import Change


@dataclass(frozen=True, slots=True)
class Difference(Answer):
    """One cell of a row that comes out otherwise; ``old`` and ``new`` as the history writes them.

    ``kind``: ``reparsed``, or ``created`` (without a field) for a record that had no row. ``parliament``, ``session``
    and ``number`` are the parts of the key, null where it has none.
    """

    dataset: str
    key: str
    parliament: int | None
    session: int | None
    number: str | None
    kind: str
    field: str | None
    old: Any
    new: Any
    source: str | None
    document: str | None

    @classmethod
    def of(cls, dataset: str, change: Change) -> Difference:
        told = (change.kind, change.field, change.old, change.new, change.source, change.document)
        return cls(dataset, change.key, *history.parts(change.key), *told)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One batch: how many records were read again, what differs, and what today's code cannot read."""

    records: int
    differences: tuple[Difference, ...]
    errors: tuple[str, ...]


def replay(
    transaction: Callable[[], AbstractContextManager[Session]],
    dataset: Dataset,
    *,
    now: datetime,
    scopes: Sequence[str] = (),
    since: datetime | None = None,
    apply: bool = False,
    archived: Archived | None = None,
) -> Iterator[Replayed]:
    """Read the archive again, batch by batch; with ``apply`` write the differences, as ``reparsed`` changes.

    ``since`` keeps to records of which a document was fetched, or parked, since then. ``archived`` gives a body that
    the database does not hold any more. UsageError for a session that the mirror does not hold.
    """
    with transaction() as db:
        require_held(db, dataset, scopes)
        chosen = standing.keys(db, dataset, scopes, since=since)
    for batch in batches(chosen):
        with transaction() as db:
            yield rebuild(db, dataset, batch, apply=apply, archived=archived, now=now)


def catch_up(
    transaction: Callable[[], AbstractContextManager[Session]], dataset: Dataset, *, now: datetime
) -> Iterator[Replayed]:
    """Make the rows again that an older reading made (see ``Kind.reading``), batch by batch; nothing where there are
    none. Whoever begins anew goes on where it was left, and of two at once the later finds less to do."""
    with transaction() as db:
        behind = sorted(documents.read_before(db, dataset.name, dataset.reading), key=dataset.rank)
    for batch in batches(behind):
        with transaction() as db:
            dataset.lock(db, batch)
            still = documents.read_before(db, dataset.name, dataset.reading, batch)
            part = rebuild(db, dataset, sorted(still, key=dataset.rank), apply=True, now=now)
        yield part


def rebuild(
    db: Session,
    dataset: Dataset,
    chosen: Sequence[str],
    *,
    apply: bool,
    now: datetime,
    archived: Archived | None = None,
    kind: str = "reparsed",
) -> Replayed:
    """Make the rows of these keys again from their documents; writes them only with ``apply``.

    ``kind`` is what the history is to call a cell that comes out otherwise.
    """
    if apply:
        dataset.lock(db, chosen)
    news = standing.mended(db, dataset, chosen, archived)
    reading = standing.read(dataset, {**documents.standing_documents(db, dataset.name, chosen), **news})
    held, result = dataset.reread(db, reading, kind)
    if apply:
        dataset.write(db, result.to_write, held, now=now)
        _settle(db, dataset, news, now)
        documents.mark_read(db, dataset.name, dataset.reading, chosen)
        history.append(db, dataset.name, result.changes, now=now, run_id=None)
    differences = tuple(Difference.of(dataset.name, change) for change in result.changes)
    return Replayed(len(reading.parsed), differences, tuple(map(str, reading.errors.values())))


def _settle(db: Session, dataset: Dataset, news: dict[tuple[str, str], Document], now: datetime) -> None:
    """What was parked and can be read now is what the record stands on."""
    for (key, source), document in news.items():
        documents.mark_checked(db, dataset.name, {(key, source): document}, document.fetched_at)
        quarantine.resolve(db, dataset.name, "document", source, keys=[key], now=now)
