"""Bills read again from the documents that the mirror stands on, with today's code. No network, and no writes.

What says where a field came from, what the sources disagree on, and what a replay would change all begin here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from parlex.datasets.bills import legisinfo, merge, openparliament
from parlex.datasets.bills.bill import Bill, LegisinfoBill, OpenParliamentBill
from parlex.datasets.bills.dataset import SPINE, BillDataset
from parlex.datasets.bills.rows import HeldBill
from parlex.db.models import LatestDocumentRow, QuarantineRow
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.mirror import documents, quarantine
from parlex.mirror.documents import Archived
from parlex.parliament import BillKey, SessionId

DATASET = BillDataset.name
BATCH = 200  # bills in memory at a time: some 50 KB each, with the documents of both sources


@dataclass(frozen=True)
class Standing:
    """What each source's document says of a bill. ``documents`` by source; ``errors`` of those that cannot be read."""

    key: BillKey
    spine: LegisinfoBill | None
    companion: OpenParliamentBill | None
    documents: Mapping[str, Document]
    errors: tuple[DocumentError, ...] = ()

    @property
    def bill(self) -> Bill | None:
        """Merged by the table of ``merge``; None without the spine, which decides that there is a bill."""
        return merge.merge(self.spine, self.companion) if self.spine else None


def read(key: BillKey, found: Mapping[str, Document]) -> Standing:
    """Parse one bill's documents, given by source."""
    spine: LegisinfoBill | None = None
    companion: OpenParliamentBill | None = None
    errors: list[DocumentError] = []
    for source, document in found.items():
        try:
            if source == SPINE:
                spine = legisinfo.parse_bill(document, key)
            else:
                companion = openparliament.parse_bill(document, key)
        except DocumentError as error:
            errors.append(error)
    return Standing(key, spine, companion, found, tuple(errors))


def keys(db: Session, session: SessionId | None = None, *, since: datetime | None = None) -> list[BillKey]:
    """The bills that have a document that stands, or one that waits in quarantine, in order.

    ``since`` keeps those with such a document fetched or parked since then.
    """
    latest, parked = LatestDocumentRow, QuarantineRow
    standing = select(latest.key).where(latest.dataset == DATASET, latest.sha256.is_not(None))
    waiting = select(parked.key).where(
        parked.dataset == DATASET, parked.kind == "document", parked.state == "open", parked.key.is_not(None)
    )
    if session is not None:
        standing = standing.where(latest.key.startswith(f"{session} ", autoescape=True))
        waiting = waiting.where(parked.key.startswith(f"{session} ", autoescape=True))
    if since is not None:
        standing = standing.where(latest.fetched_at >= since)
        waiting = waiting.where(parked.seen_at >= since)
    return sorted(BillKey.parse(str(key)) for key in db.scalars(standing.union(waiting)))


def batches(found: Sequence[BillKey]) -> Iterator[Sequence[BillKey]]:
    """Few enough at a time that their documents fit into memory."""
    return (found[start : start + BATCH] for start in range(0, len(found), BATCH))


def standing(db: Session, chosen: Sequence[BillKey]) -> dict[BillKey, Standing]:
    """What the documents that stand say of each bill; bills without any are left out."""
    found = documents.standing_documents(db, DATASET, map(str, chosen))
    return _read_all(chosen, found)


def mended(db: Session, chosen: Sequence[BillKey], archived: Archived | None) -> dict[tuple[str, str], Document]:
    """The documents by (key, source) that were parked as unreadable, are the newest word of their source, and can be
    read by today's code."""
    names = [str(key) for key in chosen]
    parked = quarantine.parked_documents(db, DATASET, names)
    newest = documents.newest_fetches(db, DATASET, [key for key, _ in parked])
    found = {}
    for (name, source), sha256 in parked.items():
        kept = newest.get((name, source))
        if kept is None or kept.sha256 != sha256:
            continue  # The source has said something else since.
        document = documents.read_document(db, kept, archived)
        if document is not None and not read(BillKey.parse(name), {source: document}).errors:
            found[name, source] = document
    return found


def with_mended(
    db: Session, chosen: Sequence[BillKey], news: Mapping[tuple[str, str], Document]
) -> dict[BillKey, Standing]:
    """As ``standing``, with ``news`` in place of what they follow."""
    return _read_all(chosen, {**documents.standing_documents(db, DATASET, map(str, chosen)), **news})


def _read_all(chosen: Sequence[BillKey], found: Mapping[tuple[str, str], Document]) -> dict[BillKey, Standing]:
    by_key: dict[str, dict[str, Document]] = {}
    for (name, source), document in found.items():
        by_key.setdefault(name, {})[source] = document
    return {key: read(key, by_key[str(key)]) for key in chosen if str(key) in by_key}


def withhold(bill: Bill, held: HeldBill | None, states: Mapping[tuple[str, str], str]) -> Bill:
    """The bill with its held values in the fields whose blank waits for a person's word, or was rejected.

    ``states`` as ``quarantine.withheld_fields`` gives them.
    """
    if held is None:
        return bill
    kept = {
        field: held.facts[field]
        for (key, field), state in states.items()
        if key == str(bill.key) and state in ("open", "rejected")
        if getattr(bill, field) is None and held.facts[field] is not None
    }
    return replace(bill, **kept) if kept else bill
