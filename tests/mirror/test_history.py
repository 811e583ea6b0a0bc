"""Rows in bulk on a real PostgreSQL: what is written, what is not, and the order of the history."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, text
from sqlalchemy.orm import Session

from parlex.datasets.bills import rows as bill_rows
from parlex.datasets.bills.bill import Bill, BillType, Stage, StageCode, StageState, StatusCode
from parlex.db.models import BillChangeRow, BillRow, QuarantineRow
from parlex.mirror import history, listings, quarantine
from parlex.mirror.history import Change
from parlex.mirror.listings import Line, Place
from parlex.mirror.quarantine import Parked
from parlex.parliament import BillKey, Chamber, SessionId

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
PLACE = Place("bills", "legisinfo", "45-1")


def bill(number: int, **changes: Any) -> Bill:
    blank: dict[str, Any] = dict.fromkeys(Bill.__dataclass_fields__)
    usual = {
        "key": BillKey.parse(f"45-1 C-{number}"),
        "title_en": f"An Act of C-{number}",
        "title_fr": f"Loi de C-{number}",
        "status_code": StatusCode.HOUSE_IN_COMMITTEE,
        "status_en": "At consideration in committee in the House of Commons",
        "status_fr": "À l’étude en comité à la Chambre des communes",
        "bill_type": BillType.HOUSE_GOVERNMENT,
        "chamber": Chamber.HOUSE,
        "is_government": True,
        "is_pro_forma": False,
        "stages": (stage(StageCode.FIRST_READING), stage(StageCode.COMMITTEE, committee="INAN")),
    }
    return Bill(**(blank | usual | changes))


def stage(code: StageCode, **changes: Any) -> Stage:
    usual = {"chamber": Chamber.HOUSE, "state": StageState.COMPLETED, "completed_on": date(2026, 5, 1)}
    return Stage(code=code, **({"committee": None, "sittings": 1} | usual | changes))


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """What is sent to the server meanwhile. A bulk of rows is one entry, however many there are."""
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def save(db: Session, *bills: Bill, now: datetime = NOON) -> None:
    held = bill_rows.held_bills(db, [bill.key for bill in bills])
    bill_rows.save_bills(db, [(bill, ()) for bill in bills], held, now=now)


# Bills.


def test_what_is_saved_is_held(db: Session) -> None:
    saved = bill(2, house_first_reading_on=date(2026, 1, 5), sponsor_person_id=7)
    save(db, saved)
    held = bill_rows.held_bills(db, [saved.key])[saved.key]
    assert held.facts == bill_rows.bill_facts(saved)
    assert bill_rows.diff_bill(saved, held) == []
    assert (held.withdrawn, held.flags) == (False, ())


def test_an_update_keeps_when_it_was_first_seen(db: Session) -> None:
    save(db, bill(2))
    save(db, bill(2, title_en="Another"), now=LATER)
    row = db.scalars(select(BillRow)).one()
    assert (row.title_en, row.first_seen_at, row.last_changed_at) == ("Another", NOON, LATER)


def test_differences_name_columns_and_stages(db: Session) -> None:
    save(db, bill(2))
    offered = bill(
        2,
        royal_assent_on=date(2026, 6, 1),
        stages=(stage(StageCode.FIRST_READING), stage(StageCode.COMMITTEE, committee="INAN", sittings=2)),
    )
    difference = bill_rows.diff_bill(offered, bill_rows.held_bills(db, [offered.key])[offered.key])
    assert [(field, old if field == "royal_assent_on" else old["sittings"]) for field, old, _ in difference] == [
        ("royal_assent_on", None),
        ("stages.house.committee", 1),
    ]
    assert difference[0][2] == "2026-06-01"


def test_a_stage_that_comes_twice_has_two_names(db: Session) -> None:
    save(db, bill(2, stages=(stage(StageCode.THIRD_READING),)))
    again = bill(2, stages=(stage(StageCode.THIRD_READING), stage(StageCode.THIRD_READING, sittings=3)))
    difference = bill_rows.diff_bill(again, bill_rows.held_bills(db, [again.key])[again.key])
    assert [field for field, _, _ in difference] == ["stages.house.third_reading.2"]


def test_stages_that_did_not_move_are_not_written(db: Session, engine: Engine) -> None:
    save(db, bill(2))
    db.commit()
    with statements(engine) as sent:
        save(db, bill(2, title_en="Another"))
    assert [sql for sql in sent if "bill_stages" in sql and not sql.startswith("SELECT")] == []


@pytest.mark.parametrize("count", [1, 200])
def test_saving_costs_the_same_statements_for_one_bill_and_for_many(db: Session, engine: Engine, count: int) -> None:
    old = [bill(number) for number in range(1, count + 1)]
    save(db, *old)
    new = [replace(item, title_en="New", stages=item.stages[:1]) for item in old]
    with statements(engine) as sent:
        save(db, *new)
        changes = [Change(item.key, "changed", "title_en", "Old", "New") for item in new]
        history.append_changes(db, changes, now=NOON, run_id=None)
    # Bills and stages read; bills, stages out, stages in; the counter; the history.
    assert len(sent) == 7


def test_nothing_to_save_sends_nothing(db: Session, engine: Engine) -> None:
    db.connection()
    with statements(engine) as sent:
        bill_rows.save_bills(db, [], {}, now=NOON)
        history.append_changes(db, [], now=NOON, run_id=None)
        listings.mark_gone(db, PLACE, [], now=NOON)
        listings.mark_fetched(db, "bills", "legisinfo", {})
    assert sent == []


# Listings.


def lines(*marks: str) -> list[Line]:
    return [Line(f"45-1 C-{n}", mark, date(2026, 1, n), {"status_code": mark}) for n, mark in enumerate(marks, 2)]


def keep(db: Session, given: list[Line], now: datetime = NOON) -> None:
    listings.save_listings(db, PLACE, given, listings.listings(db, "bills", "legisinfo", "45-1"), now=now)


def test_a_list_that_did_not_change_writes_nothing(db: Session, engine: Engine) -> None:
    keep(db, lines("a", "b"))
    with statements(engine) as sent:
        keep(db, lines("a", "b"), LATER)
    assert [sql for sql in sent if not sql.startswith("SELECT")] == []


def test_only_the_line_that_moved_is_written(db: Session) -> None:
    keep(db, lines("a", "b"))
    keep(db, lines("a", "changed"), LATER)
    held = listings.listings(db, "bills", "legisinfo", "45-1")
    assert {key: (row.fingerprint, row.first_seen_at, row.seen_at) for key, row in held.items()} == {
        "45-1 C-2": ("a", NOON, NOON),
        "45-1 C-3": ("changed", NOON, LATER),
    }


def test_a_line_that_comes_back_is_no_longer_gone(db: Session) -> None:
    keep(db, lines("a"))
    listings.mark_gone(db, PLACE, ["45-1 C-2"], now=NOON)
    assert listings.listings(db, "bills", "legisinfo", "45-1")["45-1 C-2"].gone_at == NOON
    keep(db, lines("a"), LATER)
    assert listings.listings(db, "bills", "legisinfo", "45-1")["45-1 C-2"].gone_at is None


def test_what_was_fetched_for_a_line_clears_its_failure(db: Session) -> None:
    keep(db, lines("a"))
    listings.mark_unfetched(db, "bills", "legisinfo", ["45-1 C-2"], now=NOON)
    row = listings.listings(db, "bills", "legisinfo", "45-1")["45-1 C-2"]
    assert (row.failed_at, row.failed_fingerprint, row.fetched_fingerprint) == (NOON, "a", None)
    listings.mark_fetched(db, "bills", "legisinfo", {"45-1 C-2": "a"})
    row = listings.listings(db, "bills", "legisinfo", "45-1")["45-1 C-2"]
    assert (row.failed_at, row.failed_fingerprint, row.fetched_fingerprint) == (None, None, "a")


# Withdrawals.


def test_a_bill_is_withdrawn_once_and_comes_back_once(db: Session) -> None:
    save(db, bill(2))
    key = BillKey.parse("45-1 C-2")
    assert [change.kind for change in bill_rows.withdraw_bills(db, [key], True, now=NOON)] == ["withdrawn"]
    assert bill_rows.withdraw_bills(db, [key], True, now=NOON) == []
    assert bill_rows.bill_numbers(db, SessionId(45, 1), withdrawn=True) == {"C-2"}
    assert [change.kind for change in bill_rows.withdraw_bills(db, [key], False, now=NOON)] == ["reappeared"]
    assert bill_rows.withdraw_bills(db, [key], False, now=NOON) == []


# Quarantine.


def test_the_same_complaint_is_one_row_that_counts(db: Session) -> None:
    item = Parked("field", "blanked", "legisinfo", "went blank", scope="45-1", key="45-1 C-2", field="summary_en")
    for now in (NOON, LATER):
        quarantine.park(db, [item], dataset="bills", run_id=None, now=now)
    row = db.scalars(select(QuarantineRow)).one()
    assert (row.seen_count, row.opened_at, row.seen_at) == (2, NOON, LATER)
    assert quarantine.withheld_fields(db, "bills", ["45-1 C-2"]) == {("45-1 C-2", "summary_en"): "open"}
    quarantine.resolve_fields(db, "bills", [("45-1 C-2", "summary_en")], now=LATER)
    assert quarantine.withheld_fields(db, "bills", ["45-1 C-2"]) == {}


def test_rows_without_a_name_are_settled_together(db: Session) -> None:
    parked = [Parked("row", "unreadable", "legisinfo", "bad", scope=scope) for scope in ("45-1", "44-1")]
    quarantine.park(db, parked, dataset="bills", run_id=None, now=NOON)
    quarantine.resolve_unnamed_rows(db, "bills", "legisinfo", "45-1", now=NOON)
    assert db.execute(select(QuarantineRow.scope, QuarantineRow.state).order_by(QuarantineRow.scope)).all() == [
        ("44-1", "open"),
        ("45-1", "resolved"),
    ]


# The history's numbers.

KEY = BillKey.parse("45-1 C-2")
WRITERS, BATCHES, SIZE = 2, 100, 100


def write(engine: Engine, name: str) -> None:
    """Batches of changes; each fifth transaction is rolled back, as one that fails is."""
    for batch in range(BATCHES):
        changes = [Change(KEY, "changed", name, None, batch * SIZE + n) for n in range(SIZE)]
        if batch % 5 == 0:
            with Session(engine) as db:
                history.append_changes(db, changes, now=NOON, run_id=None)
                db.rollback()
        with Session(engine) as db, db.begin():
            history.append_changes(db, changes, now=NOON, run_id=None)


def test_a_reader_that_asks_for_what_follows_misses_nothing(engine: Engine) -> None:
    writers = [threading.Thread(target=write, args=(engine, f"writer{n}")) for n in range(WRITERS)]
    for writer in writers:
        writer.start()
    seen: list[int] = []
    alive = True
    while alive:
        alive = any(writer.is_alive() for writer in writers)  # so that one more look follows the last commit
        with Session(engine) as db:
            query = select(BillChangeRow.seq).where(BillChangeRow.seq > (seen[-1] if seen else 0))
            seen += db.scalars(query.order_by(BillChangeRow.seq))
    for writer in writers:
        writer.join()
    assert seen == list(range(1, WRITERS * BATCHES * SIZE + 1))
    with Session(engine) as db:
        each = "SELECT field, count(*), count(DISTINCT new) FROM bill_changes GROUP BY field ORDER BY field"
        assert db.execute(text(each)).all() == [("writer0", BATCHES * SIZE, 10000), ("writer1", BATCHES * SIZE, 10000)]


def test_two_writers_of_the_same_bills_take_turns(engine: Engine) -> None:
    """In whatever order they name them: else each could hold what the other waits for."""
    names = [f"45-1 C-{n}" for n in range(2, 60)]
    done: list[str] = []

    def lock(order: list[str]) -> None:
        for _ in range(30):
            with Session(engine) as db, db.begin():
                history.lock_keys(db, "bills", order)
        done.append(order[0])

    threads = [threading.Thread(target=lock, args=(order,)) for order in (names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == sorted([names[0], names[-1]])
