"""Reads for people: the command line, a Python shell and an API share them.

Each function takes an open SQLAlchemy ``Session``, asks a fixed number of statements however many rows there are, and
answers frozen records. ``as_json`` of a record is what ``--json`` prints: its keys and their order are promised, days
are ISO dates, instants are UTC with their offset, and what is not known is null.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from sqlalchemy import Integer, Select, Text, cast, func, select
from sqlalchemy.orm import Session

from parlex.answers import Record, as_json
from parlex.datasets.bills.events import PARTS, Event, Link, Publication, Similar
from parlex.datasets.looks import select_looked_at
from parlex.db.models import (
    BillRow,
    BillStageRow,
)
from parlex.db.reads import PAGE, columns
from parlex.parliament import BillKey, SessionId

DATASET = "bills"
SPINE = "legisinfo"


@dataclass(frozen=True, slots=True)
class BillRecord(Record):
    """A bill as ``parlex bills --json`` prints it."""

    parliament: int
    session: int
    number: str
    title_en: str
    title_fr: str
    short_title_en: str | None
    short_title_fr: str | None
    status_code: str
    status_en: str
    status_fr: str
    bill_type: str
    chamber: str
    is_government: bool
    is_pro_forma: bool
    sponsor_person_id: int | None
    sponsor_name: str | None
    sponsor_slug: str | None
    introduced_on: date | None
    house_first_reading_on: date | None
    house_second_reading_on: date | None
    house_third_reading_on: date | None
    senate_first_reading_on: date | None
    senate_second_reading_on: date | None
    senate_third_reading_on: date | None
    royal_assent_on: date | None
    statute_year: int | None
    statute_chapter: int | None
    reinstated_from: str | None
    reinstated_as: str | None
    legisinfo_id: int | None
    withdrawn: bool
    first_seen_at: datetime
    last_changed_at: datetime
    last_checked_at: datetime | None
    bill_type_fr: str | None
    form: str | None
    form_en: str | None
    form_fr: str | None
    ongoing_stage: str | None
    ongoing_stage_en: str | None
    ongoing_stage_fr: str | None
    last_event_on: date | None
    last_event_en: str | None
    last_event_fr: str | None
    sponsor_title_en: str | None
    sponsor_title_fr: str | None
    sponsor_riding_en: str | None
    sponsor_riding_fr: str | None
    is_in_pre_study: bool | None
    pre_study_committee: str | None
    is_dropped: bool | None
    was_debated_last: bool | None

    @property
    def key(self) -> BillKey:
        return BillKey(SessionId(self.parliament, self.session), self.number)

    @property
    def latest_activity_on(self) -> date | None:
        days = (
            self.house_first_reading_on,
            self.house_second_reading_on,
            self.house_third_reading_on,
            self.senate_first_reading_on,
            self.senate_second_reading_on,
            self.senate_third_reading_on,
            self.royal_assent_on,
        )
        return max(filter(None, days), default=None)


@dataclass(frozen=True, slots=True)
class StageRecord(Record):
    chamber: str | None
    stage: str
    state: str
    completed_on: date | None
    committee: str | None
    sittings: int


@dataclass(frozen=True, slots=True)
class SittingRecord(Record):
    """A day on which a chamber sat; ``number`` is null where only a division or the end of a stage tells of it."""

    chamber: str
    parliament: int
    session: int
    number: str | None
    day: date
    source: str


@dataclass(frozen=True, slots=True)
class BillStory(Record):
    """One bill with what its line in a table has no room for."""

    bill: BillRecord
    text_url: str | None
    summary_en: str | None
    summary_fr: str | None
    flags: tuple[str, ...]
    stages: tuple[StageRecord, ...]
    notes_en: str | None
    notes_fr: str | None
    events: tuple[Event, ...]
    publications: tuple[Publication, ...]
    links: tuple[Link, ...]
    similar: tuple[Similar, ...]

    def as_json(self) -> dict[str, Any]:
        """The keys of the bill first, then the rest, flat."""
        rest = {f.name: as_json(getattr(self, f.name)) for f in fields(self) if f.name != "bill"}
        return {**self.bill.as_json(), **rest}


def bills(
    db: Session, session: SessionId | None = None, *, status: str | None = None, limit: int | None = None
) -> Iterator[BillRecord]:
    """The bills of a session, or all that are held, in the order of their sessions and numbers (C-2 before C-10)."""
    statement = _select_bills(session).order_by(
        BillRow.parliament,
        BillRow.session,
        func.left(BillRow.number, 1),
        cast(func.substring(BillRow.number, r"\d+"), Integer),
        BillRow.number,
    )
    if session is not None:
        statement = statement.where(BillRow.parliament == session.parliament, BillRow.session == session.session)
    if status is not None:
        statement = statement.where(BillRow.status_code == status)
    for row in db.execute(statement.limit(limit).execution_options(yield_per=PAGE)):
        yield BillRecord(*row)


def bill(db: Session, key: BillKey) -> BillStory | None:
    """One bill with its stages and summary; None where the mirror does not hold it."""
    texts = ("text_url", "summary_en", "summary_fr", "flags", "notes_en", "notes_fr")
    statement = _select_bills(key.session).add_columns(*(getattr(BillRow, name) for name in texts))
    row = db.execute(statement.where(BillRow.key == str(key))).one_or_none()
    if row is None:
        return None
    record = row[: -len(texts)]
    more: dict[str, Any] = dict(zip(texts, row[-len(texts) :], strict=True))
    told = select(*columns(StageRecord, BillStageRow)).where(BillStageRow.key == str(key))
    stages = db.execute(told.order_by(BillStageRow.position))
    more |= {"flags": tuple(more["flags"]), "stages": tuple(StageRecord(*stage) for stage in stages)}
    more |= {name: PARTS[name].of_values(named) for name, named in entries(db, key).items()}
    return BillStory(BillRecord(*record), **more)


def entries(db: Session, key: BillKey) -> dict[str, dict[str, Any]]:
    """The entries of each part of a bill by their names, as the history has them."""
    return {
        name: part.held(db.execute(select(part.table.__table__).where(part.key == str(key))))
        for name, part in PARTS.items()
    }


def _select_bills(session: SessionId | None) -> Select[Any]:
    """The columns of BillRecord."""
    return select_looked_at(
        BillRecord,
        BillRow,
        dataset=DATASET,
        source=SPINE,
        key=BillRow.key,
        scope=cast(BillRow.parliament, Text) + "-" + cast(BillRow.session, Text),
        only=str(session) if session else None,
    )
