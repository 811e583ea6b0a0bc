"""What is held, session by session, of every dataset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.datasets.dataset import Dataset
from parlex.mirror import sweeps


@dataclass(frozen=True, slots=True)
class HeldRecord(Record):
    """What is held of a dataset in a scope. ``checked_at``: when its list was last believed; null where it never was.
    ``listed``: how many it then had."""

    dataset: str
    held: int
    withdrawn: int
    listed: int | None
    checked_at: datetime | None


@dataclass(frozen=True, slots=True)
class SessionRecord(Record):
    """A session; ``session`` is null for what has none, as the politicians. ``is_current``: the sources list it as the
    current one."""

    session: str | None
    is_current: bool
    datasets: tuple[HeldRecord, ...]


def sessions(db: Session, datasets: Iterable[Dataset]) -> tuple[SessionRecord, ...]:
    """All sessions of which something is held or was ever listed, the newest first; then what has none."""
    found: dict[str | None, list[HeldRecord]] = {}
    ranks: dict[str, object] = {}
    current = sweeps.current_session(db)
    for dataset in datasets:
        for scope in dataset.scopes(db):
            name = scope if dataset.by_session else None
            found.setdefault(name, []).append(_held(db, dataset, scope))
            ranks |= {scope: dataset.rank_of_scope(scope)} if name else {}
    order = sorted(ranks, key=lambda name: ranks[name], reverse=True)  # type: ignore[arg-type, return-value]
    return tuple(
        SessionRecord(name, name is not None and name == str(current), tuple(found[name]))
        for name in [*order, None]
        if name in found
    )


def _held(db: Session, dataset: Dataset, scope: str) -> HeldRecord:
    counts = select(
        func.count().filter(dataset.withdrawn.is_(False)), func.count().filter(dataset.withdrawn.is_(True))
    ).where(*dataset.in_scope(scope))
    held, withdrawn = db.execute(counts).one()
    last = sweeps.last_believed(db, dataset.name, dataset.list_source, scope)
    listed, checked = (last.listed, last.swept_at) if last else (None, None)
    return HeldRecord(dataset.name, held, withdrawn, listed, checked)
