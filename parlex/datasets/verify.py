"""Is the copy complete? What the sources list against what the mirror holds, list by list."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from parlex.answers import Record as Answer
from parlex.answers import as_json
from parlex.datasets import standing
from parlex.datasets.dataset import Dataset
from parlex.datasets.kind import Flagged
from parlex.datasets.reading import batches
from parlex.datasets.record import differences
from parlex.datasets.scopes import require_held
from parlex.db.models import ListingRow, QuarantineRow
from parlex.errors import NotFound, ParlexError, UsageError
from parlex.fetching.document import Document
from parlex.fetching.http import Tally
from parlex.mirror import blanks, documents, listings, lists, quarantine, sweeps
from parlex.runs.work import Asking

Transaction = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True, slots=True)
class Completeness(Answer):
    """One list of a dataset. ``scope`` is its session, or ``all``.

    ``listed``: rows of the deciding source's list as last believed, ``held``: records that are not withdrawn.
    ``stale``: what is held, and of which the list says something newer than the detail that was saved.
    ``quarantined``: what is open in quarantine from the sources that decide, by key, or by ``list`` or ``list: field``
    where the whole list is meant. ``torn``: the pages of the newest list overlapped, so that nobody knows who is
    missing. ``pending``: keys with a blank that waits for the end of a run to be judged (see quarantine).

    ``complete``: the newest list was believed and is not torn; nothing is missing, extra, stale or quarantined. What
    only one source has (``only``, by source; null where a source has no such list), what the list held twice, what is
    pending, and flagged records are told and are no fault of the copy.
    """

    dataset: str
    scope: str
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
    only: Mapping[str, tuple[str, ...] | None]
    torn: bool
    swept_at: datetime | None
    believed: bool
    refused_at: datetime | None
    refused_reason: str | None
    pending: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The fields, and by their promised names the session, what each source alone has, and divisions whose ballots
        do not add up to their totals."""
        told = {field.name: as_json(getattr(self, field.name)) for field in fields(self) if field.name != "only"}
        only = {f"{source}_only": as_json(keys) for source, keys in self.only.items()}
        return {"session": self.scope, **told, **only, "unmatched": [item.key for item in self.flagged]}


@dataclass(frozen=True, slots=True)
class Mismatch(Answer):
    """A cell that the mirror has otherwise than the sources say right now, or why that cannot be told."""

    key: str
    field: str | None
    mirror: Any
    source: Any
    error: str | None


@dataclass(frozen=True, slots=True)
class Sample(Answer):
    """What asking again for some records came to. Wrong is also what changed since the last fetch.

    ``bills`` is the promised name of the keys that were asked for, whatever they are.
    """

    bills: tuple[str, ...]
    mismatches: tuple[Mismatch, ...]
    requests: int

    def of(self, dataset: Dataset, scope: str) -> Sample:
        """Its part of one list; the requests are those of the whole."""
        mine = tuple(key for key in self.bills if dataset.scope_of(key) == scope)
        return Sample(mine, tuple(item for item in self.mismatches if item.key in mine), self.requests)

    @property
    def clean(self) -> bool:
        return not self.mismatches


def verify(db: Session, dataset: Dataset, scopes: Sequence[str] = ()) -> Iterator[Completeness]:
    """Judge the lists given, or all that the mirror knows, oldest first. UsageError for one it does not know."""
    require_held(db, dataset, scopes)
    return (_judge(db, dataset, scope) for scope in scopes or dataset.scopes(db))


def _judge(db: Session, dataset: Dataset, scope: str) -> Completeness:
    lines = _lines(db, dataset, dataset.list_source, scope)
    parked = quarantine.open_of_scope(db, dataset.name, scope, dataset.accountable)
    # Rows that cannot be read are rows of the list.
    unreadable = {row.key for row in parked if row.kind == "row" and row.key} - set(lines)
    held = dataset.held_keys(db, scope, withdrawn=False)
    last = sweeps.last_believed(db, dataset.name, dataset.list_source, scope)
    newest = sweeps.newest(db, dataset.name, dataset.list_source, scope)
    listed = set(lines) | unreadable
    ranked = _ranking(dataset)
    missing, extra = ranked(listed - held), ranked(held - listed) if last else ()
    stale = ranked(key for key, line in lines.items() if key in held and line.fingerprint != line.fetched_fingerprint)
    quarantined = _quarantined(parked, ranked)
    refused = newest if newest is not None and not newest.believed else None
    torn = last is not None and (last.reason or "").startswith(lists.TORN)
    return Completeness(
        dataset=dataset.name,
        scope=scope,
        complete=last is not None and not (refused or torn or missing or extra or stale or quarantined),
        listed=len(listed),
        held=len(held),
        missing=missing,
        extra=extra,
        stale=stale,
        doubled=tuple(last.doubled) if last else (),
        quarantined=quarantined,
        flagged=dataset.flagged(db, scope),
        withdrawn=ranked(dataset.held_keys(db, scope, withdrawn=True)),
        only=_only(db, dataset, scope, listed),
        torn=torn,
        swept_at=last.swept_at if last else None,
        believed=refused is None and last is not None,
        refused_at=refused.swept_at if refused else None,
        refused_reason=refused.reason if refused else None,
        pending=ranked(blanks.pending(db, dataset.name, scope)),
    )


def _ranking(dataset: Dataset) -> Callable[[Iterable[str]], tuple[str, ...]]:
    return lambda keys: tuple(sorted(keys, key=dataset.rank))


def _lines(db: Session, dataset: Dataset, source: str, scope: str) -> dict[str, ListingRow]:
    rows = listings.listings(db, dataset.name, source, scope)
    return {key: row for key, row in rows.items() if row.gone_at is None}


def _quarantined(
    parked: Sequence[QuarantineRow], ranked: Callable[[Iterable[str]], tuple[str, ...]]
) -> tuple[str, ...]:
    whole = {f"list: {row.field}" if row.field else "list" for row in parked if not row.key}
    return (*sorted(whole), *ranked({row.key for row in parked if row.key}))


def _only(db: Session, dataset: Dataset, scope: str, listed: set[str]) -> dict[str, tuple[str, ...] | None]:
    """What only one source lists; None where the companion has no such list, or it was never had."""
    ranked, found = _ranking(dataset), dict[str, tuple[str, ...] | None]()
    for source in dataset.companion_lists:
        if not dataset.has(source, scope) or sweeps.last_believed(db, dataset.name, source, scope) is None:
            found |= {dataset.list_source: None, source: None}
            continue
        shown = set(_lines(db, dataset, source, scope))
        found |= {dataset.list_source: ranked(listed - shown), source: ranked(shown - listed)}
    return found


# Asking again.


def sample(
    transaction: Transaction,
    dataset: Dataset,
    threads: Executor,
    count: int,
    scopes: Sequence[str] = (),
    *,
    seed: int | None = None,
) -> Sample:
    """Ask the sources for ``count`` records again, drawn at random (all where there are fewer), and compare each field
    with the row. Writes nothing. The same seed draws the same records while the same are held."""
    with transaction() as db:
        chosen = _draw(db, dataset, count, scopes, seed)
    tally = Tally()
    answers = _ask(dataset, threads, chosen, Asking(tally))
    mismatches: list[Mismatch] = []
    for batch in batches(chosen):
        with transaction() as db:
            mismatches += _compare(db, dataset, batch, answers)
    return Sample(tuple(chosen), tuple(mismatches), tally.requests)


def _draw(db: Session, dataset: Dataset, count: int, scopes: Sequence[str], seed: int | None) -> list[str]:
    if count < 1:
        raise UsageError(f"a sample has at least 1 {dataset.one}, not {count}")
    held = {key for scope in scopes or dataset.scopes(db) for key in dataset.held_keys(db, scope, withdrawn=False)}
    ranked = sorted(held, key=dataset.rank)
    return sorted(random.Random(seed).sample(ranked, min(count, len(ranked))), key=dataset.rank)


Answers = Mapping[tuple[str, str], Document | ParlexError]


def _ask(dataset: Dataset, threads: Executor, chosen: Sequence[str], asking: Asking) -> Answers:
    def ask(pair: tuple[str, str]) -> Document | ParlexError:
        try:
            document = dataset.ask(*pair, None, asking)
        except ParlexError as error:
            return error
        assert document is not None, "asked without validators"
        return document

    pairs = [(key, source) for key in chosen for source in _sources(dataset, key)]
    return dict(zip(pairs, threads.map(ask, pairs), strict=True))


def _sources(dataset: Dataset, key: str) -> tuple[str, ...]:
    return tuple(source for source in dataset.sources if dataset.has(source, dataset.scope_of(key)))


def _compare(db: Session, dataset: Dataset, chosen: Sequence[str], answers: Answers) -> Iterator[Mismatch]:
    found = documents.standing_documents(db, dataset.name, chosen)
    for key in chosen:
        for source in _sources(dataset, key):
            answer = answers[key, source]
            if isinstance(answer, Document):
                found[key, source] = answer
            # A companion that does not show a record says nothing of it, as in a fetch.
            elif source in dataset.decides or not isinstance(answer, NotFound):
                yield Mismatch(key, None, None, None, str(answer))
    reading = standing.read(dataset, found)
    for (key, _), error in reading.errors.items():
        yield Mismatch(key, None, None, None, str(error))
    records = {key: dataset.record(key, parsed) for key, parsed in reading.whole.items()}
    dataset.complement(db, records, reading.whole)
    held = dataset.held(db, records)
    states = quarantine.withheld_fields(db, dataset.name, held)
    believed = dataset.believed(records, held, reading, states)
    for key, before in held.items():
        for field, mirror, source_value in differences(before, believed[key]):
            if field not in dataset.derived:
                yield Mismatch(key, field, mirror, source_value, None)
