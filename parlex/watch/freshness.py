"""What is promised of how fresh the mirror is, and whether it is kept.

Of each session: how old its list is, how old the details of what may still move are, and how old a companion's list is.
What is promised follows from the schedule, with room for two ticks that are lost:

- The current list, while Parliament sits: half an hour on its weekdays from 10:30 to midnight in Ottawa. Else
  ``stale_after``, which is three hours for a list that is had each hour.
- The details, while Parliament sits: each that may have moved was looked at since the morning after the last sitting,
  by six hours after it. Else each was looked at in the days in which the schedule looks at all of them, and two more.
- What is not of the current session is listed once a week.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from parlex.answers import Record, span
from parlex.datasets import sitting
from parlex.datasets.dataset import Dataset
from parlex.db.models import LatestDocumentRow, SweepRow
from parlex.parliament import OTTAWA
from parlex.settings import Settings

State = Literal["sitting", "adjourned", "over"]

_HOUR, _DAY, _WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
WHILE_SITTING = timedelta(minutes=30)  # of a list that is had each ten minutes
SITS_FROM = time(10, 0)  # on weekdays, in Ottawa, until midnight
LOOKED_AT_WITHIN = timedelta(hours=6)  # after the morning on which the details are asked for
_SATURDAY = 5


def stale_after(listed_every: timedelta, settings: Settings) -> timedelta:
    """How old a list may be before that is news.

    ``PARLEX_ALERT_STALE_HOURS`` is the age for a list that is had each hour. One that is had more rarely may be older
    by twice the difference, so that of each two ticks may be lost: 3 h for an hourly list mean 49 h for a daily one.
    """
    return timedelta(hours=settings.alert_stale_hours) + 2 * max(listed_every - _HOUR, timedelta(0))


@dataclass(frozen=True, slots=True)
class Freshness(Record):
    """How fresh something is, and is to be.

    ``session`` is None for a dataset without sessions. ``what``: ``list``, ``details``, or the name of the companion
    whose list it is. ``state`` of the session. ``known_at``: its oldest part was looked at then. Ages are in seconds.
    """

    dataset: str
    session: str | None
    what: str
    state: State
    known_at: datetime
    age_seconds: float
    promised_seconds: float
    kept: bool

    @property
    def subject(self) -> str:
        """``details of bills of 45-1``."""
        return f"{self.what} of {self.dataset}" + (f" of {self.session}" if self.session else "")

    @property
    def said(self) -> str:
        """``details of bills of 45-1: 3 d old, 28 h are promised``."""
        return f"{self.subject}: {span(self.age_seconds)} old, {span(self.promised_seconds)} are promised"


def freshness(db: Session, datasets: Iterable[Dataset], settings: Settings, now: datetime) -> tuple[Freshness, ...]:
    """All that is promised of what was ever listed: the current session first."""
    now = now.astimezone(UTC)  # in which a day always has 24 hours
    sits = sitting.is_sitting(db, now)
    return tuple(line for dataset in datasets for line in _of_dataset(db, dataset, settings, now, sits))


def _of_dataset(db: Session, dataset: Dataset, settings: Settings, now: datetime, sits: bool) -> Iterator[Freshness]:
    listed = _listed(db, dataset)
    scopes = sorted({scope for _, scope in listed}, key=dataset.rank_of_scope, reverse=True)
    for scope in scopes:
        state: State = "over" if scope != scopes[0] else "sitting" if sits else "adjourned"
        session = scope if dataset.by_session else None
        for what, known_at, promised_at in _known(db, dataset, scope, state, listed, settings, now):
            age, promised = ((now - then).total_seconds() for then in (known_at, promised_at))
            yield Freshness(dataset.name, session, what, state, known_at, age, promised, age <= promised)


def _known(
    db: Session,
    dataset: Dataset,
    scope: str,
    state: State,
    listed: Mapping[tuple[str, str], datetime],
    settings: Settings,
    now: datetime,
) -> Iterator[tuple[str, datetime, datetime]]:
    """Of each thing: what it is, of when it is known, and of when it is to be known."""
    if (known_at := listed.get((dataset.list_source, scope))) is not None:
        yield "list", known_at, _list_promised(dataset, state, settings, now)
    if state != "over" and (looked := _details(db, dataset, scope, state, now)) is not None:
        yield "details", *looked
    for source in dataset.companion_lists:
        if (known_at := listed.get((source, scope))) is not None:
            yield source, known_at, now - stale_after(_WEEK if state == "over" else _DAY, settings)


def _listed(db: Session, dataset: Dataset) -> dict[tuple[str, str], datetime]:
    """When the list of each source and scope was last believed."""
    place = (SweepRow.source, SweepRow.scope)
    query = select(*place, func.max(SweepRow.swept_at)).where(SweepRow.dataset == dataset.name, SweepRow.believed)
    return {(source, scope): swept_at for source, scope, swept_at in db.execute(query.group_by(*place))}


def _list_promised(dataset: Dataset, state: State, settings: Settings, now: datetime) -> datetime:
    here = now.astimezone(OTTAWA)
    opened = datetime.combine(here.date(), SITS_FROM, OTTAWA)
    if state == "sitting" and dataset.follows_sittings and here.weekday() < _SATURDAY and now - WHILE_SITTING >= opened:
        return now - WHILE_SITTING
    every = _WEEK if state == "over" else dataset.listed_every
    return now - stale_after(every, settings)


def _details(
    db: Session, dataset: Dataset, scope: str, state: State, now: datetime
) -> tuple[datetime, datetime] | None:
    """Since when the oldest detail was not looked at, and since when each is to be; None where nothing is promised."""
    living = dataset.living(db, scope, now - LOOKED_AT_WITHIN) if state == "sitting" else None
    if living is not None:
        oldest = _oldest_look(db, dataset, scope, living.events)
        return (oldest, living.since) if oldest else None
    if dataset.looked_at_every is None:
        return None
    oldest = _oldest_look(db, dataset, scope)
    return (oldest, now - dataset.looked_at_every - 2 * _DAY) if oldest else None


def _oldest_look(db: Session, dataset: Dataset, scope: str, keys: Iterable[str] | None = None) -> datetime | None:
    """The oldest look at the detail of one of these, of all that are held of the scope where none are named."""
    row = LatestDocumentRow
    held = select(dataset.key).where(*dataset.in_scope(scope), ~dataset.withdrawn)
    query = select(func.min(row.checked_at)).where(
        row.dataset == dataset.name, row.source == dataset.list_source, row.key.in_(held)
    )
    if keys is not None:
        query = query.where(row.key.in_(list(keys)))
    return db.scalar(query)
