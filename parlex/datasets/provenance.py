"""Where each field of a record has its value: the source, its document, and since when. Rows and archive alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from parlex.answers import Record as Answer
from parlex.answers import as_json
from parlex.datasets import standing
from parlex.datasets.dataset import Dataset
from parlex.datasets.reading import Reading
from parlex.datasets.record import Record
from parlex.errors import UsageError
from parlex.mirror import documents, history, quarantine
from parlex.mirror.documents import Kept, Standing
from parlex.mirror.history import ChangeRecord


@dataclass(frozen=True, slots=True)
class Origin(Answer):
    """Where one field has its value; a part is one field, as ``stages`` of a bill.

    ``source``: whose word it is; ``stands_in``: that is not the source that decides, which has none. ``document`` is
    the sha256 of what it said, from ``url`` at ``fetched_at``; null where that source has said nothing of the record.
    ``since``: when the mirror first had this value. ``withheld``: the source says a blank by now that is not believed,
    or not judged yet (see quarantine); the document is then the one that the value came with. ``derived_from``: no
    document says the value itself, it follows from these.
    """

    field: str
    value: Any
    source: str
    stands_in: bool
    withheld: bool
    document: str | None
    url: str | None
    fetched_at: datetime | None
    since: datetime
    derived_from: tuple[Standing, ...] = ()


def provenance(db: Session, dataset: Dataset, key: str) -> tuple[Origin, ...]:
    """Each field of a record with its source, document and time. UsageError where the mirror does not hold it."""
    held = dataset.held(db, [key]).get(key)
    if held is None:
        raise UsageError(f"the mirror does not hold {key}")
    reading = standing.standing(db, dataset, [key])
    states = quarantine.withheld_fields(db, dataset.name, [key])
    first_seen = db.scalars(select(dataset.first_seen_at).where(dataset.key == key)).one()
    told = _Told(list(history.changes(db, dataset=dataset.name, key=key)), first_seen)
    shas = history.documents_of(db, dataset.name, key)
    kept = documents.fetches(db, dataset.name, set(shas.values()))
    derived = dataset.derivations(db, held, reading.whole.get(key, {}))
    origins = _origins(dataset, held, reading, states, told, shas, kept)
    return tuple(replace(one, derived_from=tuple(derived.get(one.field, ()))) for one in origins)


def _origins(
    dataset: Dataset,
    held: Record,
    reading: Reading,
    states: Mapping[tuple[str, str], str],
    told: _Told,
    shas: Mapping[int, str],
    kept: Mapping[tuple[str, str], Kept],
) -> Iterator[Origin]:
    for field in (*held.facts, *held.parts):
        if field in dataset.derived:
            continue
        value = held.value(field)
        withheld = value is not None and states.get((held.key, field), "approved") != "approved"
        origin = _origin(dataset, held.key, field, reading, told.since(field))
        if withheld:
            first = kept.get((held.key, shas.get(told.seq(field), "")))
            where = (first.sha256, first.url, first.fetched_at) if first else (None, None, None)
            origin = replace(origin, document=where[0], url=where[1], fetched_at=where[2])
        yield replace(origin, value=_plain(dataset, field, held), withheld=withheld)


def _origin(dataset: Dataset, key: str, field: str, reading: Reading, since: datetime) -> Origin:
    decides = dataset.decider(field)
    parsed = reading.whole.get(key)
    source = dataset.origin(field, parsed) if parsed else decides
    document = reading.documents.get((key, source))
    sha256, url, fetched_at = (document.sha256, document.url, document.fetched_at) if document else (None, None, None)
    return Origin(field, None, source, source != decides, False, sha256, url, fetched_at, since)


def _plain(dataset: Dataset, field: str, held: Record) -> Any:
    if field in held.parts:
        return dataset.told_part(field, held.parts[field])
    value = held.facts[field]
    return value if isinstance(value, date) else as_json(value)


class _Told:
    """The history of a record, by field."""

    def __init__(self, changes: Sequence[ChangeRecord], first_seen_at: datetime) -> None:
        self._first_seen_at = first_seen_at
        self._created = next((change.seq for change in changes if change.kind == "created"), 0)
        self._last = {change.field.partition(".")[0]: change for change in changes if change.field is not None}

    def since(self, field: str) -> datetime:
        return self._last[field].observed_at if field in self._last else self._first_seen_at

    def seq(self, field: str) -> int:
        return self._last[field].seq if field in self._last else self._created
