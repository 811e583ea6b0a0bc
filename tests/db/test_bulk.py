"""Rows written in bulk come back as they were, whatever their type."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from parlex.db.bulk import write_rows
from parlex.db.models import BillStageRow, ChangeRow, DocumentRow, ListingRow, RunKeyRow
from parlex.runs import fetch_logs
from parlex.runs.work import Request

NOON = datetime(2026, 1, 15, 12, 0, 0, 123456, tzinfo=UTC)
AWKWARD = 'l\'été \\ "sitting" {a,b} %(x)s :y \t\n \N{PARTY POPPER}\u2028 NULL'


def listing(key: str, **changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "dataset": "bills",
        "source": "legisinfo",
        "scope": "45-1",
        "key": key,
        "fingerprint": AWKWARD,
        "activity_on": date(1867, 7, 1),
        "facts": {"title_fr": AWKWARD, "number": 12, "known": None, "deep": [1, {"a": True}]},
        "first_seen_at": NOON,
        "seen_at": NOON,
        "gone_at": None,
    }
    return usual | changes


def change(seq: int, old: Any, new: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "dataset": "votes",
        "key": "45-1/1",
        "kind": "changed",
        "old": old,
        "new": new,
        "observed_at": NOON,
        "run_id": uuid4() if seq % 2 else None,
    }


def test_texts_days_instants_and_facts(db: Session) -> None:
    rows = [listing("45-1 C-1"), listing("45-1 C-2", activity_on=None, gone_at=NOON + timedelta(microseconds=1))]
    write_rows(db, insert(ListingRow), rows)
    kept = db.execute(select(ListingRow.__table__).order_by(ListingRow.key)).mappings().all()
    assert [{name: row[name] for name in rows[0]} for row in kept] == rows


def test_what_is_not_known_is_null_and_not_a_null_of_json(db: Session) -> None:
    rows = [change(1, None, AWKWARD), change(2, {"a": None}, None), change(3, 0, False)]
    write_rows(db, insert(ChangeRow), rows)
    table = ChangeRow.__table__
    kept = db.execute(select(table).order_by(table.c.seq)).mappings().all()
    assert [{name: row[name] for name in rows[0]} for row in kept] == rows
    assert db.scalar(select(func.count()).where(ChangeRow.old.is_(None))) == 1


def test_bytes(db: Session) -> None:
    bodies = {f"{n}": bytes(range(256)) * n for n in range(3)}
    rows = [
        {"sha256": sha256, "body": body, "size": len(body), "stored_at": NOON, "archived_at": None}
        for sha256, body in bodies.items()
    ]
    write_rows(db, insert(DocumentRow), [*rows, rows[0] | {"sha256": "gone", "body": None}])
    kept = {row.sha256: row.body for row in db.execute(select(DocumentRow.sha256, DocumentRow.body))}
    assert kept == bodies | {"gone": None}


def test_arrays_and_the_defaults_of_columns_that_are_not_named(db: Session) -> None:
    run_id = uuid4()
    wants: list[list[str]] = [[], [AWKWARD, "NULL", ""]]
    rows = [{"run_id": run_id, "key": str(n), "position": n, "wants": w} for n, w in enumerate(wants)]
    request = Request("fetch_latest_bills", limit=1)
    opened = fetch_logs.open_run(db, request, source="legisinfo", now=NOON, carrier="process")
    write_rows(db, insert(RunKeyRow), [row | {"run_id": opened.run.run_id, "next_attempt_at": NOON} for row in rows])
    kept = db.execute(select(RunKeyRow.wants, RunKeyRow.state, RunKeyRow.attempt).order_by(RunKeyRow.position)).all()
    assert [tuple(row) for row in kept] == [(w, "waiting", 0) for w in wants]


def test_a_thousand_rows_are_one_statement(db: Session) -> None:
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        sent.append(statement)

    db.connection()  # a transaction begins with a statement of the engine's own
    bind = db.get_bind()
    event.listen(bind, "before_cursor_execute", note)
    write_rows(db, insert(ListingRow), [listing(f"45-1 C-{n}") for n in range(1000)])
    event.remove(bind, "before_cursor_execute", note)
    assert len(sent) == 1
    assert db.scalar(select(func.count()).select_from(ListingRow)) == 1000


def test_a_conflict_is_settled_as_the_statement_says(db: Session) -> None:
    write_rows(db, insert(ListingRow), [listing("45-1 C-1")])
    offered = upsert(ListingRow)
    statement = offered.on_conflict_do_update(
        index_elements=["dataset", "source", "scope", "key"], set_={"fingerprint": offered.excluded.fingerprint}
    )
    write_rows(db, statement, [listing("45-1 C-1", fingerprint="new", facts={}), listing("45-1 C-2")])
    kept = {row.key: (row.fingerprint, row.facts != {}) for row in db.scalars(select(ListingRow))}
    assert kept == {"45-1 C-1": ("new", True), "45-1 C-2": (AWKWARD, True)}


def test_a_constraint_holds(db: Session) -> None:
    stage = {"parliament": 45, "session": 1, "number": "C-1", "position": 0, "stage": "first_reading", "state": None}
    with pytest.raises(IntegrityError):
        write_rows(db, insert(BillStageRow), [stage])
