"""Rows: bills in bulk, their history, listings, sweeps, quarantine. Takes an open ``db``; never commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.datasets.bills.bill import Bill, Stage
from parlex.db.bulk import write_rows
from parlex.db.models import (
    BillRow,
    BillStageRow,
)
from parlex.mirror.history import Change, json_value, plain
from parlex.parliament import BillKey, SessionId

# The columns that are facts of the bill. Everything else on the row is the mirror's own.
BILL_FIELDS = tuple(field.name for field in fields(Bill) if field.name not in ("key", "stages"))


@dataclass(frozen=True, slots=True)
class HeldBill:
    """A bill as the mirror has it: its facts by column name, its stages, and whether it is withdrawn."""

    key: BillKey
    facts: Mapping[str, Any]
    flags: tuple[str, ...]
    withdrawn: bool
    stages: tuple[dict[str, Any], ...]


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
