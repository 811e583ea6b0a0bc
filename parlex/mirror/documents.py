"""Documents: the raw bytes one GET returned, and how they are kept.

PostgreSQL keeps each body once, compressed, by its sha256, since workers share no disk; every fetch of it is a row.
A bucket or a folder is the long-term store: see ``archive.py``.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import delete, func, insert, null, select, tuple_, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.db.bulk import write_rows
from parlex.db.models import DocumentFetchRow, DocumentRow, LatestDocumentRow, QuarantineRow
from parlex.fetching.document import Document

# Level 1 takes a fifth of the time of the default level for four fifths of the saving (measured on bill details).
_LEVEL = 1


Kind = Literal["list", "detail"]
Archived = Callable[[str], bytes | None]  # a body from the long-term store by its sha256; None if that has it not


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document with what it was fetched for. ``key`` is the scope for a list."""

    source: str
    kind: Kind
    key: str
    document: Document


@dataclass(frozen=True, slots=True)
class Held:
    """What a source last said of a key: its standing document's address and validators, and when it was asked."""

    sha256: str | None
    url: str | None
    checked_at: datetime
    failed_at: datetime | None
    etag: str | None
    last_modified: str | None


def keep_documents(db: Session, fetched: Sequence[Fetched], *, dataset: str, run_id: UUID | None) -> None:
    """Store each body once and each fetch of it."""
    if not fetched:
        return
    query = select(DocumentRow.sha256).where(
        DocumentRow.sha256.in_({f.document.sha256 for f in fetched}), DocumentRow.body.is_not(None)
    )
    known = set(db.scalars(query))
    bodies = {f.document.sha256: f.document for f in fetched if f.document.sha256 not in known}
    if bodies:
        # Sorted, so that two workers that store the same bodies at once wait for each other and never in a circle.
        rows = [_document_row(bodies[sha256]) for sha256 in sorted(bodies)]
        offered = upsert(DocumentRow)
        # A source that goes back to what it said long ago brings back a body that lived in the archive only.
        back = offered.on_conflict_do_update(
            index_elements=["sha256"], set_={"body": offered.excluded.body}, where=DocumentRow.body.is_(None)
        )
        write_rows(db, back, rows)
    write_rows(db, insert(DocumentFetchRow), [_fetch_row(f, dataset, run_id) for f in fetched])


def _document_row(document: Document) -> dict[str, Any]:
    return {
        "sha256": document.sha256,
        "body": zlib.compress(document.body, _LEVEL),
        "size": len(document.body),
        "stored_at": document.fetched_at,
        "archived_at": None,
    }


def _fetch_row(fetched: Fetched, dataset: str, run_id: UUID | None) -> dict[str, Any]:
    document = fetched.document
    return {
        "run_id": run_id,
        "dataset": dataset,
        "source": fetched.source,
        "kind": fetched.kind,
        "key": fetched.key,
        "url": document.url,
        "status": document.status,
        "fetched_at": document.fetched_at,
        "sha256": document.sha256,
        "etag": document.etag,
        "last_modified": document.last_modified,
    }


def keep_unchanged(
    db: Session, unchanged: Iterable[tuple[str, str, Held]], *, dataset: str, run_id: UUID, now: datetime
) -> None:
    """Record fetches that the source answered with 304: the (key, source, held) document was fetched again in
    effect."""
    rows = [
        {
            "run_id": run_id,
            "dataset": dataset,
            "source": source,
            "kind": "detail",
            "key": key,
            "url": held.url,
            "status": 304,
            "fetched_at": now,
            "sha256": held.sha256,
            "etag": held.etag,
            "last_modified": held.last_modified,
        }
        for key, source, held in unchanged
    ]
    if rows:
        write_rows(db, insert(DocumentFetchRow), rows)


def fetched_by_run(db: Session, dataset: str, run_id: UUID, keys: Iterable[str]) -> dict[tuple[str, str], Document]:
    """The newest detail that a run fetched, by (key, source)."""
    fetch = DocumentFetchRow
    query = (
        select(fetch.key, fetch.source, *_DOCUMENT_COLUMNS)
        .join(DocumentRow, DocumentRow.sha256 == fetch.sha256)
        .where(fetch.run_id == run_id, fetch.dataset == dataset, fetch.kind == "detail", fetch.key.in_(list(keys)))
        .ext(distinct_on(fetch.key, fetch.source))
        .order_by(fetch.key, fetch.source, fetch.id.desc())
    )
    return {(row.key, row.source): _document(row) for row in db.execute(query)}


_DOCUMENT_COLUMNS = (
    DocumentFetchRow.url,
    DocumentFetchRow.fetched_at,
    DocumentFetchRow.etag,
    DocumentFetchRow.last_modified,
    DocumentRow.sha256,
    DocumentRow.body,
)


def _document(row: Any) -> Document:
    """LookupError where the body lives in the archive only."""
    if row.body is None:
        raise LookupError(f"document {row.sha256} lives in the archive only")
    body = zlib.decompress(row.body)
    document = Document(row.url, 200, row.fetched_at, "application/json", body, row.etag, row.last_modified)
    document.__dict__["sha256"] = row.sha256  # known already; not worth computing again
    return document


def standing_documents(db: Session, dataset: str, keys: Iterable[str]) -> dict[tuple[str, str], Document]:
    """The good document that each (key, source) stands on."""
    latest = LatestDocumentRow
    columns = (latest.key, latest.source, latest.url, latest.fetched_at, latest.etag, latest.last_modified)
    query = (
        select(*columns, DocumentRow.sha256, DocumentRow.body)
        .join(DocumentRow, DocumentRow.sha256 == latest.sha256)
        .where(latest.dataset == dataset, latest.key.in_(list(keys)))
    )
    return {(row.key, row.source): _document(row) for row in db.execute(query)}


@dataclass(frozen=True, slots=True)
class Standing(Record):
    """A document that something stands on, without its body. ``key`` is the scope for a page of a list."""

    dataset: str
    key: str
    source: str
    sha256: str
    url: str
    fetched_at: datetime


def standing_of(db: Session, which: Sequence[tuple[str, str, str]]) -> list[Standing]:
    """The detail that stands of each (dataset, key, source), in this order; of those that have one."""
    latest = LatestDocumentRow
    columns: list[Any] = [latest.dataset, latest.key, latest.source, latest.sha256, latest.url, latest.fetched_at]
    query = select(*columns).where(tuple_(*columns[:3]).in_(which), latest.sha256.is_not(None))
    found = {tuple(row[:3]): Standing(*row) for row in db.execute(query)}
    return [found[one] for one in which if one in found]


def newest_pages(db: Session, dataset: str, source: str, scope: str) -> list[Standing]:
    """The newest fetch of each page of a list."""
    fetch = DocumentFetchRow
    columns = (fetch.dataset, fetch.key, fetch.source, fetch.sha256, fetch.url, fetch.fetched_at)
    query = (
        select(*columns)
        .where(fetch.dataset == dataset, fetch.source == source, fetch.kind == "list", fetch.key == scope)
        .ext(distinct_on(fetch.url))
        .order_by(fetch.url, fetch.id.desc())
    )
    return [Standing(*row) for row in db.execute(query)]


@dataclass(frozen=True, slots=True)
class Kept:
    """One fetch of a document, without its body."""

    source: str
    key: str
    sha256: str
    url: str
    fetched_at: datetime


def fetches(db: Session, dataset: str, sha256s: Iterable[str]) -> dict[tuple[str, str], Kept]:
    """The first detail fetch of each document, by (key, sha256)."""
    fetch = DocumentFetchRow
    query = (
        select(fetch.source, fetch.key, fetch.sha256, fetch.url, fetch.fetched_at)
        .where(fetch.dataset == dataset, fetch.kind == "detail", fetch.sha256.in_(list(sha256s)))
        .ext(distinct_on(fetch.key, fetch.sha256))
        .order_by(fetch.key, fetch.sha256, fetch.fetched_at)
    )
    return {(row.key, row.sha256): Kept(*row) for row in db.execute(query)}


def newest_fetches(db: Session, dataset: str, keys: Iterable[str]) -> dict[tuple[str, str], Kept]:
    """The newest detail fetch of each (key, source), believed or not."""
    fetch = DocumentFetchRow
    query = (
        select(fetch.source, fetch.key, fetch.sha256, fetch.url, fetch.fetched_at)
        .where(fetch.dataset == dataset, fetch.kind == "detail", fetch.key.in_(list(keys)))
        .ext(distinct_on(fetch.key, fetch.source))
        .order_by(fetch.key, fetch.source, fetch.id.desc())
    )
    return {(row.key, row.source): Kept(*row) for row in db.execute(query)}


def read_document(db: Session, kept: Kept, archived: Archived | None) -> Document | None:
    """The document of a fetch, from the database or else the archive; None where neither has its body."""
    packed = db.scalar(select(DocumentRow.body).where(DocumentRow.sha256 == kept.sha256))
    body = zlib.decompress(packed) if packed is not None else archived(kept.sha256) if archived else None
    return Document(kept.url, 200, kept.fetched_at, "application/json", body) if body is not None else None


def held(db: Session, dataset: str, keys: Iterable[str]) -> dict[tuple[str, str], Held]:
    """What is held of each (key, source), without the bodies."""
    latest = LatestDocumentRow
    query = select(
        latest.key,
        latest.source,
        latest.sha256,
        latest.url,
        latest.checked_at,
        latest.failed_at,
        latest.etag,
        latest.last_modified,
    ).where(latest.dataset == dataset, latest.key.in_(list(keys)))
    return {(row.key, row.source): Held(*row[2:]) for row in db.execute(query)}


def mean_sizes(db: Session, dataset: str) -> dict[str, float]:
    """What the standing details of each source weigh on average, in bytes before compression."""
    latest = LatestDocumentRow
    query = (
        select(latest.source, func.avg(DocumentRow.size))
        .join(DocumentRow, DocumentRow.sha256 == latest.sha256)
        .where(latest.dataset == dataset)
        .group_by(latest.source)
    )
    return {source: float(mean) for source, mean in db.execute(query)}


def read_before(db: Session, dataset: str, reading: int, keys: Iterable[str] | None = None) -> set[str]:
    """Those of ``keys``, or of all, of which a document stands that an older reading read last."""
    latest = LatestDocumentRow
    query = select(latest.key).where(latest.dataset == dataset, latest.sha256.is_not(None), latest.reading < reading)
    return set(db.scalars(query if keys is None else query.where(latest.key.in_(list(keys)))))


def mark_read(db: Session, dataset: str, reading: int, keys: Iterable[str]) -> None:
    """Note that this reading read what stands of these keys."""
    mine = update(LatestDocumentRow).where(LatestDocumentRow.dataset == dataset, LatestDocumentRow.key.in_(list(keys)))
    db.execute(mine.where(LatestDocumentRow.reading < reading).values(reading=reading))


def mark_checked(db: Session, dataset: str, good: dict[tuple[str, str], Document | None], checked_at: datetime) -> None:
    """Record that a source answered on each (key, source): with the good document given, or (None) with nothing new.

    Nothing new keeps the document that stands: a source that stopped answering erases nothing.
    """
    rows = [_latest_row(dataset, key, source, document, checked_at) for (key, source), document in sorted_items(good)]
    news = [row for row in rows if row["sha256"] is not None]
    olds = [row for row in rows if row["sha256"] is None]
    offered = upsert(LatestDocumentRow)
    columns = ("checked_at", "sha256", "url", "fetched_at", "failed_at", "etag", "last_modified")
    if news:
        changes = {name: offered.excluded[name] for name in columns}
        write_rows(db, offered.on_conflict_do_update(index_elements=_LATEST_KEY, set_=changes), news)
    if olds:
        asked = {"checked_at": offered.excluded.checked_at, "failed_at": null()}
        write_rows(db, offered.on_conflict_do_update(index_elements=_LATEST_KEY, set_=asked), olds)


def mark_failed(db: Session, dataset: str, keys: Iterable[tuple[str, str]], failed_at: datetime) -> None:
    """Record that a source did not answer on each (key, source), where it was ever asked or not."""
    rows = [
        {**_latest_row(dataset, key, source, None, failed_at), "failed_at": failed_at} for key, source in sorted(keys)
    ]
    if rows:
        offered = upsert(LatestDocumentRow)
        changes = {"failed_at": offered.excluded.failed_at}
        write_rows(db, offered.on_conflict_do_update(index_elements=_LATEST_KEY, set_=changes), rows)


_LATEST_KEY = ["dataset", "key", "source"]


def sorted_items(
    good: dict[tuple[str, str], Document | None],
) -> list[tuple[tuple[str, str], Document | None]]:
    """In key order, so that two writers lock the rows in the same order."""
    return sorted(good.items(), key=lambda item: item[0])


def _latest_row(dataset: str, key: str, source: str, document: Document | None, checked_at: datetime) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "key": key,
        "source": source,
        "checked_at": checked_at,
        "sha256": document.sha256 if document else None,
        "url": document.url if document else None,
        "fetched_at": document.fetched_at if document else None,
        "failed_at": None,
        "etag": document.etag if document else None,
        "last_modified": document.last_modified if document else None,
    }


def unarchived(db: Session, most: int) -> dict[str, bytes]:
    """At most ``most`` compressed bodies, oldest first, that the archive does not have yet, by their sha256."""
    query = (
        select(DocumentRow.sha256, DocumentRow.body)
        .where(DocumentRow.archived_at.is_(None), DocumentRow.body.is_not(None))
        .order_by(DocumentRow.stored_at, DocumentRow.sha256)
        .limit(most)
    )
    return {row.sha256: row.body for row in db.execute(query)}


def mark_archived(db: Session, sha256s: Iterable[str], *, now: datetime) -> None:
    """Note that the archive has these bodies."""
    db.execute(update(DocumentRow).where(DocumentRow.sha256.in_(list(sha256s))).values(archived_at=now))


def prune_documents(db: Session, cutoff: datetime, *, archived: bool = False) -> int:
    """Drop bodies that were stored before ``cutoff`` and that nothing stands on; how many.

    The document that a key stands on stays, and so does each that the quarantine names as evidence. With an archive
    only bodies that it has are dropped, and the record of every fetch stays; without one the old fetches go too.
    """
    return _drop_archived(db, cutoff) if archived else _forget(db, cutoff)


def _drop_archived(db: Session, cutoff: datetime) -> int:
    document = DocumentRow
    drop = (
        update(document)
        .where(document.stored_at < cutoff, document.archived_at.is_not(None), document.body.is_not(None))
        .where(*[~name for name in _names(LatestDocumentRow.sha256, QuarantineRow.document)])
        .values(body=null())
    )
    return len(db.execute(drop.returning(document.sha256)).all())


def _forget(db: Session, cutoff: datetime) -> int:
    fetch, document = DocumentFetchRow, DocumentRow
    standing = select(LatestDocumentRow.sha256).where(LatestDocumentRow.sha256 == fetch.sha256)
    evidence = select(QuarantineRow.id).where(QuarantineRow.document == fetch.sha256)
    db.execute(delete(fetch).where(fetch.fetched_at < cutoff, ~standing.exists(), ~evidence.exists()))
    names = _names(fetch.sha256, LatestDocumentRow.sha256, QuarantineRow.document)
    gone = delete(document).where(document.stored_at < cutoff, *[~name for name in names])
    return len(db.execute(gone.returning(document.sha256)).all())


def _names(*columns: Any) -> list[Any]:
    """Whether a row of each column's table names the document."""
    return [select(column).where(column == DocumentRow.sha256).exists() for column in columns]
