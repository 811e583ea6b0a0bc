"""Rows: bills in bulk, their history, listings, sweeps, quarantine. Takes an open ``db``; never commits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.bills import Bill, Stage
from parlex.db.bulk import write_rows
from parlex.db.models import (
    BillChangeRow,
    BillRow,
    BillStageRow,
    CounterRow,
    ListingRow,
    QuarantineRow,
    RecordChangeRow,
    SweepRow,
)
from parlex.parliament import BillKey, SessionId

# The columns that are facts of the bill. Everything else on the row is the mirror's own.
BILL_FIELDS = tuple(field.name for field in fields(Bill) if field.name not in ("key", "stages"))


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the history, before it has its number. ``old`` and ``new`` are JSON values."""

    key: BillKey
    kind: str
    field: str | None = None
    old: Any = None
    new: Any = None
    source: str | None = None
    document: str | None = None


@dataclass(frozen=True, slots=True)
class HeldBill:
    """A bill as the mirror has it: its facts by column name, its stages, and whether it is withdrawn."""

    key: BillKey
    facts: Mapping[str, Any]
    flags: tuple[str, ...]
    withdrawn: bool
    stages: tuple[dict[str, Any], ...]


def lock_keys(db: Session, dataset: str, keys: Iterable[str]) -> None:
    """Keep other writers of these keys out until commit. In one order, so that two writers never wait in a circle."""
    names = sorted(f"{dataset} {key}" for key in keys)
    if names:
        ordered = select(func.unnest(names).label("name")).order_by("name").subquery()
        db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(ordered.c.name, 0))))


def held_bills(db: Session, keys: Sequence[BillKey]) -> dict[BillKey, HeldBill]:
    """The bills that the mirror holds among ``keys``, in two statements."""
    identities = [(key.session.parliament, key.session.session, key.number) for key in keys]
    bills = db.execute(select(BillRow.__table__).where(_bill_in(BillRow, identities))).all()
    stages: dict[BillKey, list[dict[str, Any]]] = {}
    rows = select(BillStageRow.__table__).where(_bill_in(BillStageRow, identities)).order_by(BillStageRow.position)
    for row in db.execute(rows):
        stages.setdefault(_key(row), []).append(_stage_facts_of_row(row))
    return {_key(row): _held(row, stages.get(_key(row), [])) for row in bills}


def _bill_in(model: type[BillRow | BillStageRow], identities: Sequence[tuple[int, int, str]]) -> Any:
    return tuple_(model.parliament, model.session, model.number).in_(identities)


def _key(row: Any) -> BillKey:
    return BillKey(SessionId(row.parliament, row.session), row.number)


def _held(row: Row[Any], stages: list[dict[str, Any]]) -> HeldBill:
    facts = {name: getattr(row, name) for name in BILL_FIELDS}
    return HeldBill(_key(row), facts, tuple(row.flags), row.withdrawn, tuple(stages))


def bill_facts(bill: Bill) -> dict[str, Any]:
    """The bill's facts as its columns hold them."""
    return {name: plain(getattr(bill, name)) for name in BILL_FIELDS}


def plain(value: Any) -> Any:
    """An enum's value; anything else as it is."""
    return value.value if isinstance(value, Enum) else value


def json_value(value: Any) -> Any:
    """How the history writes a value: days as ISO text."""
    return value.isoformat() if isinstance(value, date) else plain(value)


def save_bills(
    db: Session,
    bills: Sequence[tuple[Bill, tuple[str, ...]]],
    held: Mapping[BillKey, HeldBill],
    *,
    now: datetime,
) -> None:
    """Insert or update the bills given, each with its flags, and their stages, in bulk.

    The caller gives those that differ from ``held`` and no others: a row is touched only where something changed.
    """
    if not bills:
        return
    rows = [_bill_row(bill, flags, now) for bill, flags in bills]
    offered = upsert(BillRow)
    changes: dict[str, Any] = {name: offered.excluded[name] for name in (*BILL_FIELDS, "flags", "last_changed_at")}
    statement = offered.on_conflict_do_update(index_elements=["parliament", "session", "number"], set_=changes)
    write_rows(db, statement, rows)
    _save_stages(db, [bill for bill, _ in bills], held)


def _bill_row(bill: Bill, flags: tuple[str, ...], now: datetime) -> dict[str, Any]:
    return {
        **_identity(bill.key),
        **bill_facts(bill),
        "flags": list(flags),
        "withdrawn": False,
        "first_seen_at": now,
        "last_changed_at": now,
    }


def _identity(key: BillKey) -> dict[str, Any]:
    return {"parliament": key.session.parliament, "session": key.session.session, "number": key.number}


def _save_stages(db: Session, bills: Sequence[Bill], held: Mapping[BillKey, HeldBill]) -> None:
    moved = [bill for bill in bills if _stages_differ(bill, held.get(bill.key))]
    old = [bill.key for bill in moved if bill.key in held and held[bill.key].stages]
    if old:
        identities = [(key.session.parliament, key.session.session, key.number) for key in old]
        db.execute(delete(BillStageRow).where(_bill_in(BillStageRow, identities)))
    rows = [
        {**_identity(bill.key), "position": position, **stage_facts(stage)}
        for bill in moved
        for position, stage in enumerate(bill.stages)
    ]
    if rows:
        write_rows(db, insert(BillStageRow), rows)


def _stages_differ(bill: Bill, held: HeldBill | None) -> bool:
    return held is None or tuple(stage_facts(stage) for stage in bill.stages) != held.stages


def stage_facts(stage: Stage) -> dict[str, Any]:
    """A stage as its columns hold it."""
    return {
        "chamber": plain(stage.chamber),
        "stage": plain(stage.code),
        "state": plain(stage.state),
        "completed_on": stage.completed_on,
        "committee": stage.committee,
        "sittings": stage.sittings,
    }


def _stage_facts_of_row(row: Row[Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("chamber", "stage", "state", "completed_on", "committee", "sittings")}


def diff_bill(bill: Bill, held: HeldBill) -> list[tuple[str, Any, Any]]:
    """(field, old, new) for each fact that differs, as JSON values; a stage's name is ``stages.house.committee``."""
    offered = bill_facts(bill)
    columns = [
        (name, json_value(held.facts[name]), json_value(offered[name]))
        for name in BILL_FIELDS
        if held.facts[name] != offered[name]
    ]
    return columns + _diff_stages(held.stages, tuple(stage_facts(stage) for stage in bill.stages))


def _diff_stages(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[tuple[str, Any, Any]]:
    before, after = _named(old), _named(new)
    names = [*before, *(name for name in after if name not in before)]
    return [(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def _named(stages: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Stages by name; a chamber's second third reading is ``stages.house.third_reading.2``."""
    named: dict[str, dict[str, Any]] = {}
    for stage in stages:
        place = f"{stage['chamber']}.{stage['stage']}" if stage["chamber"] else stage["stage"]
        name, turn = f"stages.{place}", 1
        while name in named:
            turn += 1
            name = f"stages.{place}.{turn}"
        named[name] = {key: json_value(value) for key, value in stage.items() if key not in ("chamber", "stage")}
    return named


# History.


def append_changes(db: Session, changes: Sequence[Change], *, now: datetime, run_id: UUID | None) -> None:
    """Add to the history. Call it last in a transaction: the numbers are locked from here to the commit."""
    if not changes:
        return
    first = next_seq(db, len(changes))
    write_rows(
        db,
        insert(BillChangeRow),
        [
            {
                "seq": seq,
                **_identity(change.key),
                "kind": change.kind,
                "field": change.field,
                "old": change.old,
                "new": change.new,
                "observed_at": now,
                "run_id": run_id,
                "source": change.source,
                "document": change.document,
            }
            for seq, change in enumerate(changes, first)
        ],
    )


@dataclass(frozen=True, slots=True)
class RecordChange:
    """One line of the history of a dataset that is not the bills, before it has its number."""

    key: str
    kind: str
    field: str | None = None
    old: Any = None
    new: Any = None
    source: str | None = None
    document: str | None = None


def append_record_changes(
    db: Session, changes: Sequence[RecordChange], *, dataset: str, now: datetime, run_id: UUID | None
) -> None:
    """As :func:`append_changes`, for the datasets that are not bills. They share one counter."""
    if not changes:
        return
    first = next_seq(db, len(changes), name="record_changes")
    stamp = {"dataset": dataset, "observed_at": now, "run_id": run_id}
    rows = [{"seq": seq, **stamp, **asdict(change)} for seq, change in enumerate(changes, first)]
    write_rows(db, insert(RecordChangeRow), rows)


def next_seq(db: Session, count: int, *, name: str = "bill_changes") -> int:
    """The first of ``count`` numbers.

    A PostgreSQL sequence hands out numbers that commit in another order, so that a reader who asks "after N" misses
    those that commit late, and leaves gaps on a rollback. A counter row does neither: its lock is held until the
    commit.
    """
    counter = upsert(CounterRow).values(name=name, value=count)
    counter = counter.on_conflict_do_update(index_elements=["name"], set_={"value": CounterRow.value + count})
    last: int = db.execute(counter.returning(CounterRow.value)).scalar_one()
    return last - count + 1


# Listings.


def listings(db: Session, dataset: str, source: str, scope: str) -> dict[str, ListingRow]:
    """The lines of one list as last believed, by key, those that have gone too."""
    query = select(ListingRow).where(
        ListingRow.dataset == dataset, ListingRow.source == source, ListingRow.scope == scope
    )
    # Lines are written in bulk, which the rows that this transaction read before do not learn of by themselves.
    return {row.key: row for row in db.scalars(query.execution_options(populate_existing=True))}


def listed_keys(db: Session, dataset: str, source: str, scope: str) -> set[str]:
    """The keys that the list of a source had when it was last believed."""
    row = ListingRow
    query = select(row.key).where(
        row.dataset == dataset, row.source == source, row.scope == scope, row.gone_at.is_(None)
    )
    return set(db.scalars(query))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a list, as it is to be kept."""

    key: str
    fingerprint: str
    activity_on: date | None
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Which list: of which source, of which scope."""

    dataset: str
    source: str
    scope: str


def save_listings(
    db: Session, place: Place, lines: Sequence[Line], held: Mapping[str, ListingRow], *, now: datetime
) -> None:
    """Keep the lines that are new, changed, or back again. A list that did not change writes nothing."""
    rows = [_line_row(place, line, now) for line in lines if _moved(line, held.get(line.key))]
    if not rows:
        return
    offered = upsert(ListingRow)
    changes = {name: offered.excluded[name] for name in ("fingerprint", "activity_on", "facts", "seen_at", "gone_at")}
    statement = offered.on_conflict_do_update(index_elements=["dataset", "source", "scope", "key"], set_=changes)
    write_rows(db, statement, rows)


def _line_row(place: Place, line: Line, now: datetime) -> dict[str, Any]:
    return {
        "dataset": place.dataset,
        "source": place.source,
        "scope": place.scope,
        "key": line.key,
        "fingerprint": line.fingerprint,
        "activity_on": line.activity_on,
        "facts": line.facts,
        "first_seen_at": now,
        "seen_at": now,
        "gone_at": None,
    }


def _moved(line: Line, held: ListingRow | None) -> bool:
    return held is None or held.gone_at is not None or held.fingerprint != line.fingerprint


def keep_list(
    db: Session,
    place: Place,
    lines: Sequence[Line],
    gone: Sequence[str],
    held: Mapping[str, ListingRow],
    *,
    now: datetime,
) -> Mapping[str, ListingRow]:
    """Keep a believed list: its lines, and who left it. Its lines as they then stand, read again only if any moved."""
    if not gone and not any(_moved(line, held.get(line.key)) for line in lines):
        return held
    save_listings(db, place, lines, held, now=now)
    mark_gone(db, place, gone, now=now)
    return listings(db, place.dataset, place.source, place.scope)


def mark_gone(db: Session, place: Place, keys: Iterable[str], *, now: datetime) -> None:
    """Note that these keys have left the list."""
    gone = list(keys)
    if gone:
        db.execute(
            update(ListingRow)
            .where(
                ListingRow.dataset == place.dataset,
                ListingRow.source == place.source,
                ListingRow.scope == place.scope,
                ListingRow.key.in_(gone),
            )
            .values(gone_at=now)
        )


def mark_fetched(db: Session, dataset: str, source: str, fingerprints: Mapping[str, str | None]) -> None:
    """Note for which fingerprint the details of each key were saved; a key without one leaves its listing alone."""
    pairs = sorted((key, fingerprint) for key, fingerprint in fingerprints.items() if fingerprint)
    if not pairs:
        return
    wanted = select(
        func.unnest([key for key, _ in pairs]).label("key"), func.unnest([mark for _, mark in pairs]).label("mark")
    ).subquery()
    db.execute(
        update(ListingRow)
        .where(ListingRow.dataset == dataset, ListingRow.source == source, ListingRow.key == wanted.c.key)
        .where(
            or_(
                ListingRow.fetched_fingerprint.is_distinct_from(wanted.c.mark),
                ListingRow.failed_at.is_not(None),
            )
        )
        .values(fetched_fingerprint=wanted.c.mark, failed_at=None, failed_fingerprint=None)
    )


def mark_unfetched(db: Session, dataset: str, source: str, keys: Iterable[str], *, now: datetime) -> None:
    """Note that the details of these keys could not be had, or are not to be trusted yet."""
    failed = sorted(keys)
    if failed:
        db.execute(
            update(ListingRow)
            .where(ListingRow.dataset == dataset, ListingRow.source == source, ListingRow.key.in_(failed))
            .values(failed_at=now, failed_fingerprint=ListingRow.fingerprint)
        )


def ask_again(db: Session, dataset: str, source: str, key: str) -> None:
    """Make a key due at the next run, though its line has not changed."""
    line = (ListingRow.dataset == dataset, ListingRow.source == source, ListingRow.key == key)
    db.execute(update(ListingRow).where(*line).values(fetched_fingerprint=None))


def scopes(db: Session, dataset: str, source: str) -> list[str]:
    """The scopes of which a list was ever kept."""
    query = select(ListingRow.scope).where(ListingRow.dataset == dataset, ListingRow.source == source)
    return sorted(db.scalars(query.distinct()))


# Withdrawals.


def withdraw_bills(db: Session, keys: Sequence[BillKey], withdrawn: bool, *, now: datetime) -> list[Change]:
    """Set or clear ``withdrawn``; the changes to append, for those bills whose mark did change."""
    if not keys:
        return []
    identities = [(key.session.parliament, key.session.session, key.number) for key in keys]
    marked = db.execute(
        update(BillRow)
        .where(_bill_in(BillRow, identities), BillRow.withdrawn.is_(not withdrawn))
        .values(withdrawn=withdrawn, last_changed_at=now)
        .returning(BillRow.parliament, BillRow.session, BillRow.number)
    )
    kind = "withdrawn" if withdrawn else "reappeared"
    return [Change(_key(row), kind, source="legisinfo") for row in marked]


def bill_numbers(db: Session, session: SessionId, *, withdrawn: bool | None = None) -> set[str]:
    """The numbers of the session's bills that the mirror holds."""
    query = select(BillRow.number).where(BillRow.parliament == session.parliament, BillRow.session == session.session)
    if withdrawn is not None:
        query = query.where(BillRow.withdrawn.is_(withdrawn))
    return set(db.scalars(query))


# Sweeps.


def finish_sweeps(
    db: Session, dataset: str, run_id: UUID, held: Callable[[str], Set[str]], order: Callable[[str], Any] = str
) -> None:
    """Write what each list that the run believed has against what the mirror holds, now that the run is over.

    ``held`` answers the keys that the mirror holds of a scope; ``order`` is the key by which keys are sorted.
    """
    sweeps = db.scalars(select(SweepRow).where(SweepRow.run_id == run_id, SweepRow.believed))
    for sweep in sweeps.all():
        listed, kept = listed_keys(db, dataset, sweep.source, sweep.scope), held(sweep.scope)
        db.execute(
            update(SweepRow)
            .where(SweepRow.id == sweep.id)
            .values(
                held=len(kept),
                missing=sorted(listed - kept, key=order),
                extra=sorted(kept - listed, key=order),
                quarantined=parked_keys(db, dataset, sweep.scope, sweep.source),
            )
        )


def last_believed(db: Session, dataset: str, source: str, scope: str) -> SweepRow | None:
    """The last sweep of a scope that was believed."""
    query = select(SweepRow).where(
        SweepRow.dataset == dataset, SweepRow.source == source, SweepRow.scope == scope, SweepRow.believed
    )
    return db.scalars(query.order_by(SweepRow.swept_at.desc()).limit(1)).first()


def current_scope(db: Session, dataset: str, source: str) -> str | None:
    """The scope that the source last gave as the current one."""
    query = select(SweepRow.scope).where(
        SweepRow.dataset == dataset, SweepRow.source == source, SweepRow.believed, SweepRow.is_current
    )
    return db.scalars(query.order_by(SweepRow.swept_at.desc()).limit(1)).first()


# Quarantine.


@dataclass(frozen=True, slots=True)
class Parked:
    """Something that was not believed, for a person to look at."""

    kind: str
    guard: str
    source: str
    reason: str
    scope: str | None = None
    key: str | None = None
    field: str | None = None
    held: Any = None
    offered: Any = None
    document: str | None = None
    url: str | None = None


def park(db: Session, parked: Sequence[Parked], *, dataset: str, run_id: UUID | None, now: datetime) -> None:
    """Open a quarantine row for each, or count it on the open row that says the same."""
    for item in parked:
        seen = db.execute(
            update(QuarantineRow)
            .where(
                QuarantineRow.dataset == dataset,
                QuarantineRow.state.in_(("open", "rejected")),
                QuarantineRow.kind == item.kind,
                QuarantineRow.guard == item.guard,
                QuarantineRow.source == item.source,
                QuarantineRow.scope.is_not_distinct_from(item.scope),
                QuarantineRow.key.is_not_distinct_from(item.key),
                QuarantineRow.field.is_not_distinct_from(item.field),
            )
            .values(
                seen_at=now,
                seen_count=QuarantineRow.seen_count + 1,
                reason=item.reason,
                offered=item.offered,
                document=item.document,
                url=item.url,
                run_id=run_id,
            )
            .returning(QuarantineRow.id)
        ).first()
        if seen is None:
            db.execute(insert(QuarantineRow).values(_parked_row(item, dataset, run_id, now)))


def _parked_row(item: Parked, dataset: str, run_id: UUID | None, now: datetime) -> dict[str, Any]:
    named = {field.name: getattr(item, field.name) for field in fields(item)}
    return {**named, "dataset": dataset, "run_id": run_id, "state": "open", "opened_at": now, "seen_at": now}


def resolve_fields(db: Session, dataset: str, mended: Iterable[tuple[str, str]], *, now: datetime) -> None:
    """Close the rows of (key, field) blanks that the source has filled again."""
    pairs = list(mended)
    if pairs:
        db.execute(
            update(QuarantineRow)
            .where(
                QuarantineRow.dataset == dataset,
                QuarantineRow.kind == "field",
                tuple_(QuarantineRow.key, QuarantineRow.field).in_(pairs),
                QuarantineRow.state != "resolved",
            )
            .values(state="resolved", decided_at=now)
        )


def resolve(db: Session, dataset: str, kind: str, source: str, *, keys: Iterable[str], now: datetime) -> None:
    """Close the open rows of these keys: the source has mended them."""
    mended = list(keys)
    if mended:
        db.execute(
            update(QuarantineRow)
            .where(
                QuarantineRow.dataset == dataset,
                QuarantineRow.kind == kind,
                QuarantineRow.source == source,
                QuarantineRow.key.in_(mended),
                QuarantineRow.state == "open",
            )
            .values(state="resolved", decided_at=now)
        )


def resolve_unnamed_rows(db: Session, dataset: str, source: str, scope: str, *, now: datetime) -> None:
    """Close the open rows of a scope's list that did not say which key they were of: the list has none any more."""
    db.execute(
        update(QuarantineRow)
        .where(
            QuarantineRow.dataset == dataset,
            QuarantineRow.kind == "row",
            QuarantineRow.source == source,
            QuarantineRow.scope == scope,
            QuarantineRow.key.is_(None),
            QuarantineRow.state == "open",
        )
        .values(state="resolved", decided_at=now)
    )


def settle_list(
    db: Session,
    place: Place,
    *,
    readable: Iterable[str],
    all_named: bool,
    withheld: Iterable[str],
    current: bool = False,
    now: datetime,
) -> None:
    """Close what a believed list answers: what was wrong with it as a whole, and the rows that can be read again.

    The fields ``withheld`` stay open; without ``all_named`` so do rows that did not say which key they were of. The
    ``current`` list also answers those before it that did not say which session is the current one.
    """
    parked = select(QuarantineRow.id).where(
        QuarantineRow.dataset == place.dataset,
        QuarantineRow.source == place.source,
        or_(QuarantineRow.scope == place.scope, QuarantineRow.scope.is_(None)),
        QuarantineRow.kind.in_(("sweep", "row")),
        QuarantineRow.state.in_(("open", "rejected")),
    )
    if db.scalars(parked.limit(1)).first() is None:
        return
    for scope in (place.scope, None) if current else (place.scope,):
        resolve_sweeps(db, place.dataset, place.source, scope, still=withheld, now=now)
    resolve(db, place.dataset, "row", place.source, keys=readable, now=now)
    if all_named:
        resolve_unnamed_rows(db, place.dataset, place.source, place.scope, now=now)


def resolve_sweeps(
    db: Session, dataset: str, source: str, scope: str | None, *, still: Iterable[str] = (), now: datetime
) -> None:
    """Close the rows of a scope's list: a list that is believed answers them, but for the fields ``still`` withheld."""
    db.execute(
        update(QuarantineRow)
        .where(
            QuarantineRow.dataset == dataset,
            QuarantineRow.kind == "sweep",
            QuarantineRow.source == source,
            QuarantineRow.scope.is_not_distinct_from(scope),
            QuarantineRow.state.in_(("open", "rejected")),
            or_(QuarantineRow.field.is_(None), QuarantineRow.field.not_in(list(still))),
        )
        .values(state="resolved", decided_at=now)
    )


def waived_guards(
    db: Session, dataset: str, source: str, scope: str, since: datetime | None
) -> frozenset[tuple[str, str | None]]:
    """(guard, field) of a scope's list that a person approved after the last sweep that was believed."""
    query = select(QuarantineRow.guard, QuarantineRow.field).where(
        QuarantineRow.dataset == dataset,
        QuarantineRow.kind == "sweep",
        QuarantineRow.source == source,
        QuarantineRow.scope == scope,
        QuarantineRow.state == "approved",
    )
    if since is not None:
        query = query.where(QuarantineRow.decided_at > since)
    return frozenset((guard, field) for guard, field in db.execute(query))


def withheld_fields(db: Session, dataset: str, keys: Iterable[str]) -> dict[tuple[str, str], str]:
    """The state of each (key, field) whose blank was parked: open, rejected or approved; the newest row speaks."""
    query = (
        select(QuarantineRow.key, QuarantineRow.field, QuarantineRow.state)
        .where(QuarantineRow.dataset == dataset, QuarantineRow.kind == "field", QuarantineRow.key.in_(list(keys)))
        .where(QuarantineRow.state != "resolved")
        .order_by(QuarantineRow.id)
    )
    return {(key, field): state for key, field, state in db.execute(query) if key and field}


def parked_documents(db: Session, dataset: str, keys: Iterable[str]) -> dict[tuple[str, str], str]:
    """The sha256 of the newest unreadable document of each (key, source) that is still open."""
    query = (
        select(QuarantineRow.key, QuarantineRow.source, QuarantineRow.document)
        .where(QuarantineRow.dataset == dataset, QuarantineRow.kind == "document", QuarantineRow.key.in_(list(keys)))
        .where(QuarantineRow.state == "open", QuarantineRow.document.is_not(None))
        .order_by(QuarantineRow.seen_at)
    )
    return {(str(key), source): str(sha256) for key, source, sha256 in db.execute(query)}


def parked_keys(db: Session, dataset: str, scope: str, source: str) -> list[str]:
    """The keys of a scope with something open in quarantine from this source."""
    query = select(QuarantineRow.key).where(
        QuarantineRow.dataset == dataset,
        QuarantineRow.source == source,
        QuarantineRow.scope == scope,
        QuarantineRow.state == "open",
        QuarantineRow.key.is_not(None),
    )
    return sorted({key for key in db.scalars(query.distinct()) if key})
