"""The archive read again with today's code: what rows would come of it, and, if asked, those rows.

A replay takes each bill's documents that stand, that is each source's newest good word, and beside them documents
that were parked as unreadable, where today's code can read them and the source has said nothing since. It does not go
through older fetches: the history already has what they said, as it was read then, and a row is made of the newest
only. Lists are not replayed either, since the next sweep reads one in full.

No network. Each batch of bills is one short transaction. Fields that a guard withholds stay withheld.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.datasets.bills import merge, stages, standing
from parlex.datasets.bills import rows as bill_rows
from parlex.datasets.bills.bill import Bill
from parlex.datasets.bills.dataset import SPINE
from parlex.datasets.bills.rows import HeldBill
from parlex.datasets.bills.standing import DATASET, Standing
from parlex.fetching.document import Document
from parlex.mirror import documents, history, quarantine
from parlex.mirror.documents import Archived
from parlex.mirror.history import Change
from parlex.parliament import BillKey, SessionId
from parlex.resources import Resources
from parlex.runs import pipeline


@dataclass(frozen=True, slots=True)
class Difference(Record):
    """One cell of a row that comes out otherwise; ``old`` and ``new`` as the history writes them.

    ``kind``: ``reparsed``, or ``created`` (without a field) for a bill that had no row.
    """

    parliament: int
    session: int
    number: str
    kind: str
    field: str | None
    old: Any
    new: Any
    source: str | None
    document: str | None

    @property
    def key(self) -> BillKey:
        return BillKey(SessionId(self.parliament, self.session), self.number)


@dataclass(frozen=True, slots=True)
class Replayed:
    """One batch: how many bills were read again, what differs, and what today's code cannot read."""

    bills: int
    differences: tuple[Difference, ...]
    errors: tuple[str, ...]


def replay(
    resources: Resources,
    *,
    session: SessionId | None = None,
    since: datetime | None = None,
    apply: bool = False,
) -> Iterator[Replayed]:
    """Read the archive again, batch by batch; with ``apply`` write the differences, as ``reparsed`` changes.

    ``since`` keeps to bills of which a document was fetched, or parked, since then.
    """
    with resources.db() as db:
        chosen = standing.keys(db, session, since=since)
    archived = resources.archive.get if resources.archive else None
    for batch in standing.batches(chosen):
        with resources.db() as db:
            yield rebuild(db, batch, apply=apply, archived=archived, now=pipeline.now())


def rebuild(
    db: Session,
    chosen: Sequence[BillKey],
    *,
    apply: bool,
    now: datetime,
    archived: Archived | None = None,
    kind: str = "reparsed",
) -> Replayed:
    """Make the rows of these bills again from their documents; writes them only with ``apply``.

    ``kind`` is what the history is to call a cell that comes out otherwise.
    """
    if apply:
        history.lock_keys(db, DATASET, map(str, chosen))
    news = standing.mended(db, chosen, archived)
    found = standing.with_mended(db, chosen, news)
    held = bill_rows.held_bills(db, chosen)
    states = quarantine.withheld_fields(db, DATASET, map(str, chosen))
    rows = {one.key: standing.withhold(one.bill, held.get(one.key), states) for one in found.values() if one.bill}
    differences = [item for key, bill in rows.items() for item in _differences(bill, held.get(key), found[key], kind)]
    if apply:
        _apply(db, rows, held, differences, news, now)
    return Replayed(len(found), tuple(differences), tuple(str(error) for one in found.values() for error in one.errors))


def _differences(bill: Bill, held: HeldBill | None, found: Standing, kind: str) -> Iterator[Difference]:
    at = (bill.key.session.parliament, bill.key.session.session, bill.key.number)
    if held is None:
        yield Difference(*at, "created", None, None, None, SPINE, found.documents[SPINE].sha256)
        return
    for field, old, new in bill_rows.diff_bill(bill, held):
        source = merge.RULES[field.partition(".")[0]].decides
        document = found.documents.get(source)
        yield Difference(*at, kind, field, old, new, source, document.sha256 if document else None)
    if (flags := stages.flags(bill)) != held.flags:
        # The mirror's own remark on a bill, not a word of a source: shown here, and no part of the history.
        yield Difference(*at, kind, "flags", list(held.flags), list(flags), None, None)


def _apply(
    db: Session,
    rows: Mapping[BillKey, Bill],
    held: Mapping[BillKey, HeldBill],
    differences: Sequence[Difference],
    news: Mapping[tuple[str, str], Document],
    now: datetime,
) -> None:
    moved = {item.key for item in differences}
    bill_rows.save_bills(db, [(rows[key], stages.flags(rows[key])) for key in sorted(moved)], held, now=now)
    for (name, source), document in news.items():
        documents.mark_checked(db, DATASET, {(name, source): document}, document.fetched_at)
        quarantine.resolve(db, DATASET, "document", source, keys=[name], now=now)
    history.append_changes(db, [_change(item) for item in differences if item.field != "flags"], now=now, run_id=None)


def _change(item: Difference) -> Change:
    return Change(item.key, item.kind, item.field, item.old, item.new, item.source, item.document)
