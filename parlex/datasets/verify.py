"""Is the copy complete? What the sources list against what the mirror holds, session by session."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.datasets.bills import rows as bill_rows
from parlex.datasets.bills import standing
from parlex.datasets.bills.dataset import COMPANION, COMPANION_SINCE, SPINE
from parlex.datasets.bills.standing import DATASET
from parlex.db.models import BillRow, ListingRow, QuarantineRow, SweepRow
from parlex.errors import NotFound, ParlexError, UsageError
from parlex.fetching.document import Document
from parlex.fetching.http import Tally
from parlex.mirror import documents, listings, quarantine, sweeps
from parlex.parliament import BillKey, SessionId
from parlex.resources import Resources
from parlex.runs import pipeline
from parlex.runs.work import Context, Dataset, Request


@dataclass(frozen=True, slots=True)
class Flagged(Record):
    """A bill whose days or status break the legal order of stages (see ``stages``), mirrored as the source says."""

    key: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Completeness(Record):
    """One session. Keys read ``45-1 C-2``.

    ``listed``: rows of LEGISinfo's list as last believed, ``held``: bills that are not withdrawn. ``stale``: bills that
    are held, of which the list says something newer than the detail that was saved. ``quarantined``: what is open in
    quarantine from LEGISinfo, by key, or by ``list`` or ``list: field`` where the whole list is meant.

    ``complete``: the newest list was believed, nothing is missing, extra, stale or quarantined. What only one source
    has, what the list held twice, and flagged bills are told and are no fault of the copy.
    """

    session: str
    complete: bool
    listed: int
    held: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    stale: tuple[str, ...]
    doubled: tuple[str, ...]
    quarantined: tuple[str, ...]
    flagged: tuple[Flagged, ...]
    withdrawn: tuple[str, ...]
    legisinfo_only: tuple[str, ...] | None
    openparliament_only: tuple[str, ...] | None
    swept_at: datetime | None
    refused_at: datetime | None
    refused_reason: str | None


@dataclass(frozen=True, slots=True)
class Mismatch(Record):
    """A cell that the mirror has otherwise than the sources say right now, or why that cannot be told."""

    key: str
    field: str | None
    mirror: Any
    source: Any
    error: str | None


@dataclass(frozen=True, slots=True)
class Sample(Record):
    """What asking again for some bills came to. Wrong is also what changed since the last fetch."""

    bills: tuple[str, ...]
    mismatches: tuple[Mismatch, ...]
    requests: int

    def of(self, session: str) -> Sample:
        """Its part of one session; the requests are those of the whole."""
        mine = tuple(key for key in self.bills if key.startswith(f"{session} "))
        return Sample(mine, tuple(item for item in self.mismatches if item.key in mine), self.requests)

    @property
    def clean(self) -> bool:
        return not self.mismatches


def verify(db: Session, sessions: Sequence[SessionId] = ()) -> Iterator[Completeness]:
    """Judge the sessions given, or all that the mirror knows, oldest first. UsageError for one it does not know."""
    known = known_sessions(db)
    for session in sessions:
        if session not in known:
            raise UsageError(f"the mirror does not hold session {session}; to fetch it: parlex backfill {session}")
    return (_judge(db, session) for session in sessions or sorted(known))


def known_sessions(db: Session) -> set[SessionId]:
    """The sessions of which the mirror holds a bill or believed a list."""
    held = {SessionId(*row) for row in db.execute(select(BillRow.parliament, BillRow.session).distinct())}
    swept = select(SweepRow.scope).where(SweepRow.dataset == DATASET, SweepRow.source == SPINE).distinct()
    return held | {SessionId.parse(scope) for scope in db.scalars(swept)}


def _judge(db: Session, session: SessionId) -> Completeness:
    scope = str(session)
    lines = _lines(db, SPINE, scope)
    unreadable = _unreadable(db, scope) - set(lines)
    bills = _bills(db, session)
    held = {key for key, bill in bills.items() if not bill.withdrawn}
    last, newest = sweeps.last_believed(db, DATASET, SPINE, scope), _newest(db, scope)
    listed = set(lines) | unreadable
    missing, extra = _ranked(listed - held), _ranked(held - listed) if last else ()
    stale = _ranked(key for key, line in lines.items() if key in held and _is_stale(line))
    quarantined = _quarantined(db, scope)
    refused = newest if newest is not None and not newest.believed else None
    shown = _companion(db, session)
    return Completeness(
        session=scope,
        complete=last is not None and not (refused or missing or extra or stale or quarantined),
        listed=len(listed),
        held=len(held),
        missing=missing,
        extra=extra,
        stale=stale,
        doubled=tuple(last.doubled) if last else (),
        quarantined=quarantined,
        flagged=tuple(Flagged(key, tuple(bills[key].flags)) for key in _ranked(bills) if bills[key].flags),
        withdrawn=_ranked(set(bills) - held),
        legisinfo_only=None if shown is None else _ranked(listed - shown),
        openparliament_only=None if shown is None else _ranked(shown - listed),
        swept_at=last.swept_at if last else None,
        refused_at=refused.swept_at if refused else None,
        refused_reason=refused.reason if refused else None,
    )


def _lines(db: Session, source: str, scope: str) -> dict[str, ListingRow]:
    rows = listings.listings(db, DATASET, source, scope)
    return {key: row for key, row in rows.items() if row.gone_at is None}


def _is_stale(line: ListingRow) -> bool:
    return line.fingerprint != line.fetched_fingerprint


def _unreadable(db: Session, scope: str) -> set[str]:
    """Bills that the list has, in rows that cannot be read."""
    return {str(row.key) for row in _open(db, scope) if row.kind == "row" and row.key}


def _quarantined(db: Session, scope: str) -> tuple[str, ...]:
    found = list(_open(db, scope))
    keys = _ranked({row.key for row in found if row.key})
    lists = {f"list: {row.field}" if row.field else "list" for row in found if not row.key}
    return (*sorted(lists), *keys)


def _open(db: Session, scope: str) -> Iterable[QuarantineRow]:
    query = select(QuarantineRow).where(
        QuarantineRow.dataset == DATASET,
        QuarantineRow.source == SPINE,
        QuarantineRow.scope == scope,
        QuarantineRow.state == "open",
    )
    return db.scalars(query)


def _bills(db: Session, session: SessionId) -> Mapping[str, Any]:
    """Number, flags and mark of each bill's row, by key."""
    query = select(BillRow.number, BillRow.flags, BillRow.withdrawn).where(
        BillRow.parliament == session.parliament, BillRow.session == session.session
    )
    return {str(BillKey(session, row.number)): row for row in db.execute(query)}


def _newest(db: Session, scope: str) -> SweepRow | None:
    query = select(SweepRow).where(SweepRow.dataset == DATASET, SweepRow.source == SPINE, SweepRow.scope == scope)
    return db.scalars(query.order_by(SweepRow.swept_at.desc(), SweepRow.id.desc()).limit(1)).first()


def _companion(db: Session, session: SessionId) -> set[str] | None:
    """What OpenParliament lists; None where it has no such session, or its list was never had."""
    if session.parliament < COMPANION_SINCE or sweeps.last_believed(db, DATASET, COMPANION, str(session)) is None:
        return None
    return set(_lines(db, COMPANION, str(session)))


def _ranked(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(str(key) for key in sorted(map(BillKey.parse, keys)))


# Asking again.


def sample(resources: Resources, count: int, sessions: Sequence[SessionId] = (), *, seed: int | None = None) -> Sample:
    """Ask the sources for ``count`` bills again, drawn at random (all where there are fewer), and compare each field
    with the row. Writes nothing. The same seed draws the same bills while the same are held."""
    with resources.db() as db:
        chosen = _draw(db, count, sessions, seed)
    dataset = resources.datasets[DATASET]
    tally = Tally()
    answers = _ask(resources, dataset, chosen, tally)
    mismatches: list[Mismatch] = []
    for batch in standing.batches(chosen):
        with resources.db() as db:
            mismatches += _compare(db, batch, answers)
    return Sample(tuple(map(str, chosen)), tuple(mismatches), tally.requests)


def _draw(db: Session, count: int, sessions: Sequence[SessionId], seed: int | None) -> list[BillKey]:
    if count < 1:
        raise UsageError(f"a sample has at least 1 bill, not {count}")
    held = sorted(
        BillKey(session, number)
        for session in sessions or known_sessions(db)
        for number in bill_rows.bill_numbers(db, session, withdrawn=False)
    )
    return sorted(random.Random(seed).sample(held, min(count, len(held))))


def _ask(
    resources: Resources, dataset: Dataset, chosen: Sequence[BillKey], tally: Tally
) -> dict[tuple[BillKey, str], Document | ParlexError]:
    context = Context(uuid4(), Request("verify"), by_hand=True, background=False, now=pipeline.now())

    def ask(pair: tuple[BillKey, str]) -> Document | ParlexError:
        try:
            document = dataset.ask(str(pair[0]), pair[1], None, context, tally)
        except ParlexError as error:
            return error
        assert document is not None, "asked without validators"
        return document

    pairs = [(key, source) for key in chosen for source in _sources(key)]
    with ThreadPoolExecutor(resources.settings.fetch_threads, "verify") as pool:
        return dict(zip(pairs, pool.map(ask, pairs), strict=True))


def _sources(key: BillKey) -> tuple[str, ...]:
    return (SPINE, COMPANION) if key.session.parliament >= COMPANION_SINCE else (SPINE,)


def _compare(
    db: Session, chosen: Sequence[BillKey], answers: Mapping[tuple[BillKey, str], Document | ParlexError]
) -> Iterator[Mismatch]:
    held = bill_rows.held_bills(db, chosen)
    states = quarantine.withheld_fields(db, DATASET, map(str, chosen))
    kept = documents.standing_documents(db, DATASET, map(str, chosen))
    for key in chosen:
        found = {source: kept[str(key), source] for source in _sources(key) if (str(key), source) in kept}
        for source in _sources(key):
            answer = answers[key, source]
            if isinstance(answer, Document):
                found[source] = answer
            # A companion that does not show a bill says nothing of it, as in a fetch.
            elif not (source == COMPANION and isinstance(answer, NotFound)):
                yield Mismatch(str(key), None, None, None, str(answer))
        read = standing.read(key, found)
        for error in read.errors:
            yield Mismatch(str(key), None, None, None, str(error))
        if read.bill is not None and key in held:
            bill = standing.withhold(read.bill, held[key], states)
            for field, mirror, source_value in bill_rows.diff_bill(bill, held[key]):
                yield Mismatch(str(key), field, mirror, source_value, None)
