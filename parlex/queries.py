"""Reads for people: the command line, a Python shell and an API share them.

Each function takes an open SQLAlchemy ``Session``, asks a fixed number of statements however many rows there are, and
answers frozen records. ``as_json`` of a record is what ``--json`` prints: its keys and their order are promised, days
are ISO dates, instants are UTC with their offset, and what is not known is null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Row, Select, Text, and_, cast, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from parlex.db.models import (
    BillChangeRow,
    BillRow,
    BillStageRow,
    DocumentFetchRow,
    LatestDocumentRow,
    ListingRow,
    QuarantineRow,
    RecordChangeRow,
    RunKeyRow,
    RunRow,
    SweepRow,
)
from parlex.errors import UsageError
from parlex.parliament import BillKey, SessionId

DATASET = "bills"
SPINE = "legisinfo"
_PAGE = 1000  # rows held in memory at a time while a long answer streams


class Record:
    """Base of the answers: a frozen dataclass whose fields are the keys of its JSON, in order."""

    __slots__ = ()

    def as_json(self) -> dict[str, Any]:
        return {field.name: as_json(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


def as_json(value: Any) -> Any:
    """A value as JSON has it; an instant in UTC whatever zone the connection has."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Record):
        return value.as_json()
    if isinstance(value, tuple):
        return [as_json(item) for item in value]
    return value


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
class BillStory(Record):
    """One bill with what its line in a table has no room for."""

    bill: BillRecord
    text_url: str | None
    summary_en: str | None
    summary_fr: str | None
    flags: tuple[str, ...]
    stages: tuple[StageRecord, ...]

    def as_json(self) -> dict[str, Any]:
        """The keys of the bill first, then the rest, flat."""
        rest = {f.name: as_json(getattr(self, f.name)) for f in fields(self) if f.name != "bill"}
        return {**self.bill.as_json(), **rest}


@dataclass(frozen=True, slots=True)
class ChangeRecord(Record):
    seq: int
    parliament: int
    session: int
    number: str
    kind: str
    field: str | None
    old: Any
    new: Any
    observed_at: datetime
    run_id: UUID | None


@dataclass(frozen=True, slots=True)
class RunRecord(Record):
    """A run as ``parlex runs --json`` prints it. ``bills_fetched`` = created + updated + unchanged + failed."""

    run_id: UUID
    dataset: str
    job: str
    entry: str | None
    source: str
    status: str
    slot: datetime | None
    started_at: datetime
    finished_at: datetime | None
    duration_seconds: float | None
    bills_fetched: int
    created: int
    updated: int
    unchanged: int
    failed: int
    deferred: int
    requests: int
    bytes: int
    error_count: int
    errors: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class RunKeyRecord(Record):
    key: str
    state: str
    outcome: str | None
    attempt: int
    wants: tuple[str, ...]
    next_attempt_at: datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class QuarantineRecord(Record):
    id: int
    scope: str | None
    key: str | None
    kind: str
    guard: str
    source: str
    field: str | None
    reason: str
    held: Any
    offered: Any
    url: str | None
    state: str
    opened_at: datetime
    seen_at: datetime
    seen_count: int


@dataclass(frozen=True, slots=True)
class SweepRecord(Record):
    """One look at a whole list: what the source listed against what the mirror held right after it."""

    scope: str
    source: str
    swept_at: datetime
    believed: bool
    reason: str | None
    is_current: bool
    listed: int
    held: int
    missing: tuple[str, ...]
    extra: tuple[str, ...]
    doubled: tuple[str, ...]
    quarantined: tuple[str, ...]
    run_id: UUID


@dataclass(frozen=True, slots=True)
class EventRecord(Record):
    """Something that happened in a run, in words."""

    at: datetime
    event: str


@dataclass(frozen=True, slots=True)
class RunStory(Record):
    """A run's whole story: its figures, each key it asked for, its sweeps, what it put into quarantine, when what
    happened, and what it changed."""

    run: RunRecord
    missed_slots: int
    scope: str | None
    params: dict[str, Any]
    listed: int
    not_due: int
    keys: tuple[RunKeyRecord, ...]
    sweeps: tuple[SweepRecord, ...]
    quarantine: tuple[QuarantineRecord, ...]
    timeline: tuple[EventRecord, ...]
    changes: tuple[ChangeRecord, ...]

    def as_json(self) -> dict[str, Any]:
        """The keys of the run first, then the rest, flat."""
        rest = {f.name: as_json(getattr(self, f.name)) for f in fields(self) if f.name != "run"}
        return {**self.run.as_json(), **rest}


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
    for row in db.execute(statement.limit(limit).execution_options(yield_per=_PAGE)):
        yield BillRecord(*row)


def bill(db: Session, key: BillKey) -> BillStory | None:
    """One bill with its stages and summary; None where the mirror does not hold it."""
    at = (key.session.parliament, key.session.session, key.number)
    statement = _select_bills(key.session).add_columns(
        BillRow.text_url, BillRow.summary_en, BillRow.summary_fr, BillRow.flags
    )
    row = db.execute(statement.where(*_is_bill(BillRow, at))).one_or_none()
    if row is None:
        return None
    *record, text_url, summary_en, summary_fr, flags = row
    columns = [getattr(BillStageRow, f.name) for f in fields(StageRecord)]
    stages = db.execute(select(*columns).where(*_is_bill(BillStageRow, at)).order_by(BillStageRow.position))
    return BillStory(
        BillRecord(*record),
        text_url,
        summary_en,
        summary_fr,
        tuple(flags),
        tuple(StageRecord(*stage) for stage in stages),
    )


def changes(
    db: Session, after: int = 0, *, key: BillKey | None = None, limit: int | None = None
) -> Iterator[ChangeRecord]:
    """The history after sequence number ``after``, oldest first. A reader that goes on from the last number it saw
    misses nothing."""
    columns = [getattr(BillChangeRow, f.name) for f in fields(ChangeRecord)]
    statement = select(*columns).where(BillChangeRow.seq > after).order_by(BillChangeRow.seq).limit(limit)
    if key is not None:
        at = (key.session.parliament, key.session.session, key.number)
        statement = statement.where(*_is_bill(BillChangeRow, at))
    for row in db.execute(statement.execution_options(yield_per=_PAGE)):
        yield ChangeRecord(*row)


def runs(db: Session, limit: int | None = None, *, dataset: str | None = None) -> Iterator[RunRecord]:
    """Runs, newest first."""
    statement = _select_runs().order_by(RunRow.started_at.desc(), RunRow.run_id).limit(limit)
    if dataset is not None:
        statement = statement.where(RunRow.dataset == dataset)
    for row in db.execute(statement.execution_options(yield_per=_PAGE)):
        yield _run_record(row)


def run_story(db: Session, run_id: UUID) -> RunStory | None:
    """Everything that is known of one run; None where there is no such run."""
    extras = (RunRow.missed_slots, RunRow.scope, RunRow.params, RunRow.listed, RunRow.not_due)
    row = db.execute(_select_runs().add_columns(*extras).where(RunRow.run_id == run_id)).one_or_none()
    if row is None:
        return None
    missed_slots, scope, params, listed, not_due = row[-5:]
    run, sweeps = _run_record(row[:-5]), tuple(_sweeps(db, _select_sweeps().where(SweepRow.run_id == run_id)))
    quarantine = _quarantine_of_run(db, run_id)
    return RunStory(
        run=run,
        missed_slots=missed_slots,
        scope=scope,
        params=params,
        listed=listed,
        not_due=not_due,
        keys=_keys_of_run(db, run_id),
        sweeps=sweeps,
        quarantine=quarantine,
        timeline=_timeline(db, run, sweeps, quarantine),
        changes=_changes_of_run(db, run_id),
    )


def _timeline(
    db: Session, run: RunRecord, sweeps: tuple[SweepRecord, ...], quarantine: tuple[QuarantineRecord, ...]
) -> tuple[EventRecord, ...]:
    """What happened when, in order; what happened at the same moment in the order of the steps of a run."""
    found = [EventRecord(run.started_at, f"opened for the slot {as_json(run.slot)}" if run.slot else "opened by hand")]
    for sweep in sweeps:
        believed = "believed" if sweep.believed else f"not believed ({sweep.reason})"
        found.append(EventRecord(sweep.swept_at, f"{sweep.source} list of {sweep.scope}: {sweep.listed}, {believed}"))
    found += _document_events(db, run.run_id)
    found += [EventRecord(row.seen_at, f"quarantine: {row.key or row.scope}, {row.guard}") for row in quarantine]
    found += _change_events(db, run.run_id)
    if run.finished_at:
        found.append(EventRecord(run.finished_at, f"closed: {run.status}"))
    return tuple(sorted(found, key=lambda event: event.at))


def _changes_of_run(db: Session, run_id: UUID) -> tuple[ChangeRecord, ...]:
    columns = [getattr(BillChangeRow, f.name) for f in fields(ChangeRecord)]
    rows = db.execute(select(*columns).where(BillChangeRow.run_id == run_id).order_by(BillChangeRow.seq))
    return tuple(ChangeRecord(*row) for row in rows)


def _document_events(db: Session, run_id: UUID) -> Iterator[EventRecord]:
    """The first and the last document of each source."""
    row = DocumentFetchRow
    moments = (func.count(), func.min(row.fetched_at), func.max(row.fetched_at))
    query = select(row.source, row.kind, *moments).where(row.run_id == run_id).group_by(row.source, row.kind)
    for source, kind, count, first, last in db.execute(query.order_by(row.source, row.kind)):
        yield EventRecord(first, f"{source}: first {kind} fetched")
        if count > 1:
            yield EventRecord(last, f"{source}: last {kind} of {count} fetched")


def _change_events(db: Session, run_id: UUID) -> Iterator[EventRecord]:
    """What each step saved: the changes of one transaction share their moment."""
    for row in (BillChangeRow, RecordChangeRow):
        query = select(row.observed_at, func.count()).where(row.run_id == run_id).group_by(row.observed_at)
        for observed_at, count in db.execute(query):
            yield EventRecord(observed_at, f"{count} changes saved")


def find_run(db: Session, text: str) -> UUID:
    """The run whose id begins with ``text``, as the tables show it; UsageError where that is none, or several."""
    if not re.fullmatch(r"[0-9a-f-]{4,36}", text.lower()):
        raise UsageError(f"{text!r} is not a run: give at least the first 4 characters of its id (see: parlex runs)")
    prefix = cast(RunRow.run_id, Text).startswith(text.lower(), autoescape=True)
    found = db.scalars(select(RunRow.run_id).where(prefix).limit(2)).all()
    if len(found) != 1:
        raise UsageError(f"{'no run has' if not found else 'several runs have'} an id that begins with {text}")
    return found[0]


def sweeps(db: Session, session: SessionId | None = None, limit: int | None = None) -> list[SweepRecord]:
    """The looks at the lists of bills, newest first."""
    statement = _select_sweeps().where(SweepRow.dataset == DATASET).limit(limit)
    if session is not None:
        statement = statement.where(SweepRow.scope == str(session))
    return list(_sweeps(db, statement))


def current_session(db: Session) -> SessionId | None:
    """The session that the list without a session parameter was last seen to hold; None before the first sweep."""
    scope = db.scalar(
        select(SweepRow.scope)
        .where(SweepRow.dataset == DATASET, SweepRow.source == SPINE, SweepRow.is_current, SweepRow.believed)
        .order_by(SweepRow.swept_at.desc())
        .limit(1)
    )
    return SessionId.parse(scope) if scope else None


def run_of_task(db: Session, task_id: str) -> UUID | None:
    """The run whose figures a dispatched task waits for; None until a worker has taken the task up."""
    return db.scalar(select(RunRow.run_id).where(RunRow.waiters.contains([task_id])))


def last_seq(db: Session) -> int:
    """The newest sequence number of the history; 0 where there is none."""
    return db.scalar(select(func.max(BillChangeRow.seq))) or 0


def _is_bill(table: Any, at: tuple[int, int, str]) -> tuple[ColumnElement[bool], ...]:
    return table.parliament == at[0], table.session == at[1], table.number == at[2]


def _select_bills(session: SessionId | None) -> Select[Any]:
    """The columns of BillRecord. A bill counts as looked at when its detail was asked for, or when a believed list held
    it, whichever is later; a bill that has left the list is not looked at by listing the others."""
    scope = cast(BillRow.parliament, Text) + "-" + cast(BillRow.session, Text)
    key = scope + " " + BillRow.number
    swept = _last_sweeps(session)
    checked = func.greatest(LatestDocumentRow.checked_at, swept.c.swept_at)
    columns = [getattr(BillRow, f.name) for f in fields(BillRecord) if f.name != "last_checked_at"]
    return (
        select(*columns, checked)
        .select_from(BillRow)
        .outerjoin(LatestDocumentRow, and_(*_same_thing(LatestDocumentRow), LatestDocumentRow.key == key))
        .outerjoin(
            ListingRow,
            and_(
                *_same_thing(ListingRow), ListingRow.scope == scope, ListingRow.key == key, ListingRow.gone_at.is_(None)
            ),
        )
        .outerjoin(swept, swept.c.scope == ListingRow.scope)
    )


def _same_thing(table: Any) -> tuple[ColumnElement[bool], ...]:
    return table.dataset == DATASET, table.source == SPINE


def _last_sweeps(session: SessionId | None) -> Any:
    """When each session's list was last believed."""
    statement = (
        select(SweepRow.scope, func.max(SweepRow.swept_at).label("swept_at"))
        .where(*_same_thing(SweepRow), SweepRow.believed)
        .group_by(SweepRow.scope)
    )
    if session is not None:
        statement = statement.where(SweepRow.scope == str(session))
    return statement.subquery("swept")


def _select_runs() -> Select[Any]:
    return select(*(_run_column(f.name) for f in fields(RunRecord)))


def _run_column(name: str) -> InstrumentedAttribute[Any]:
    column: InstrumentedAttribute[Any] = getattr(RunRow, "attempted" if name == "bills_fetched" else name)
    return column


def _run_record(row: Row[Any] | tuple[Any, ...]) -> RunRecord:
    values: list[Any] = [*row[:-1], tuple(row[-1])]
    return RunRecord(*values)


def _keys_of_run(db: Session, run_id: UUID) -> tuple[RunKeyRecord, ...]:
    columns = [getattr(RunKeyRow, f.name) for f in fields(RunKeyRecord)]
    rows = db.execute(select(*columns).where(RunKeyRow.run_id == run_id).order_by(RunKeyRow.position))
    return tuple(RunKeyRecord(*_frozen(row)) for row in rows)


def _quarantine_of_run(db: Session, run_id: UUID) -> tuple[QuarantineRecord, ...]:
    columns = [getattr(QuarantineRow, f.name) for f in fields(QuarantineRecord)]
    rows = db.execute(select(*columns).where(QuarantineRow.run_id == run_id).order_by(QuarantineRow.id))
    return tuple(QuarantineRecord(*row) for row in rows)


def _select_sweeps() -> Select[Any]:
    columns = [getattr(SweepRow, f.name) for f in fields(SweepRecord)]
    return select(*columns).order_by(SweepRow.swept_at.desc(), SweepRow.id.desc())


def _sweeps(db: Session, statement: Select[Any]) -> Iterator[SweepRecord]:
    return (SweepRecord(*_frozen(row)) for row in db.execute(statement))


def _frozen(row: Row[Any]) -> Iterator[Any]:
    return (tuple(value) if isinstance(value, list) else value for value in row)
