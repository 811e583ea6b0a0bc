"""The quarantine on a real PostgreSQL: one row for one complaint, and when it is settled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from parlex.db.models import QuarantineRow
from parlex.mirror import quarantine
from parlex.mirror.quarantine import Parked

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def test_the_same_complaint_is_one_row_that_counts(db: Session) -> None:
    item = Parked("field", "blanked", "legisinfo", "went blank", scope="45-1", key="45-1 C-2", field="summary_en")
    for now in (NOON, LATER):
        quarantine.park(db, [item], dataset="bills", run_id=None, now=now)
    row = db.scalars(select(QuarantineRow)).one()
    assert (row.seen_count, row.opened_at, row.seen_at) == (2, NOON, LATER)
    assert quarantine.withheld_fields(db, "bills", ["45-1 C-2"]) == {("45-1 C-2", "summary_en"): "open"}
    quarantine.resolve_fields(db, "bills", [("45-1 C-2", "summary_en")], now=LATER)
    assert quarantine.withheld_fields(db, "bills", ["45-1 C-2"]) == {}


@pytest.mark.parametrize("word", ["approved", "rejected", None])
def test_what_a_person_decided_stays_with_what_resolved_itself_since(db: Session, word: str | None) -> None:
    field = Parked("field", "blanked", "legisinfo", "went blank", scope="45-1", key="45-1 C-2", field="summary_en")
    whole = Parked("sweep", "shrunken", "legisinfo", "shrank", scope="45-1")
    quarantine.park(db, [field, whole], dataset="bills", run_id=None, now=NOON)
    if word is not None:
        db.execute(update(QuarantineRow).values(state=word, decided_at=NOON))
    quarantine.resolve_fields(db, "bills", [("45-1 C-2", "summary_en")], now=LATER)
    quarantine.resolve_sweeps(db, "bills", "legisinfo", "45-1", now=LATER)
    told = f" ({word} by a person at 2026-06-10 12:00 UTC)" if word else ""
    found = select(QuarantineRow.state, QuarantineRow.decided_at, QuarantineRow.reason).order_by(QuarantineRow.id)
    # The word that a list is to be believed stands until that list has come: nothing resolves it.
    whole_list = ("approved", NOON, "shrank") if word == "approved" else ("resolved", LATER, f"shrank{told}")
    assert db.execute(found).all() == [("resolved", LATER, f"went blank{told}"), whole_list]


def test_rows_without_a_name_are_settled_together(db: Session) -> None:
    parked = [Parked("row", "unreadable", "legisinfo", "bad", scope=scope) for scope in ("45-1", "44-1")]
    quarantine.park(db, parked, dataset="bills", run_id=None, now=NOON)
    quarantine.resolve_unnamed_rows(db, "bills", "legisinfo", "45-1", now=NOON)
    assert db.execute(select(QuarantineRow.scope, QuarantineRow.state).order_by(QuarantineRow.scope)).all() == [
        ("44-1", "open"),
        ("45-1", "resolved"),
    ]
