"""Bills as rows, in bulk, on a real PostgreSQL: what is written, and what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from parlex.datasets.bills.bill import Bill, BillType, Stage, StageCode, StageState, StatusCode
from parlex.datasets.bills.dataset import BillDataset, facts_of, parts_of
from parlex.datasets.bills.events import PARTS
from parlex.datasets.record import Record, differences
from parlex.db.models import BillRow
from parlex.mirror import history
from parlex.mirror.guards import Thresholds
from parlex.mirror.history import Change
from parlex.parliament import BillKey, Chamber
from tests.statements import statements

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
# Its rows need neither source.
DATASET = BillDataset(None, None, Thresholds(0.1, 0.5, 5), {})  # type: ignore[arg-type]


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
        **dict.fromkeys(PARTS, ()),
    }
    return Bill(**(blank | usual | changes))


def stage(code: StageCode, **changes: Any) -> Stage:
    usual = {"chamber": Chamber.HOUSE, "state": StageState.COMPLETED, "completed_on": date(2026, 5, 1)}
    return Stage(code=code, **({"committee": None, "sittings": 1} | usual | changes))


def record(bill: Bill) -> Record:
    return DATASET.derive(Record(str(bill.key), facts_of(bill), parts_of(bill)))


def held(db: Session, bill: Bill) -> Record:
    return DATASET.held(db, [str(bill.key)])[str(bill.key)]


def save(db: Session, *bills: Bill, now: datetime = NOON) -> None:
    records = [record(bill) for bill in bills]
    DATASET.write(db, records, DATASET.held(db, [one.key for one in records]), now=now)


def test_what_is_saved_is_held(db: Session) -> None:
    saved = bill(2, house_first_reading_on=date(2026, 1, 5), sponsor_person_id=7)
    save(db, saved)
    assert held(db, saved) == record(saved)
    assert differences(held(db, saved), record(saved)) == []


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
    difference = differences(held(db, offered), record(offered))
    (assent, flags, committee) = difference
    assert assent == ("royal_assent_on", None, "2026-06-01")
    assert flags == ("flags", [], ["assent_without_passage", "assent_against_status"])
    assert (committee[0], committee[1]["sittings"], committee[2]["sittings"]) == ("stages.house.committee", 1, 2)


def test_a_stage_that_comes_twice_has_two_names(db: Session) -> None:
    save(db, bill(2, stages=(stage(StageCode.THIRD_READING),)))
    again = bill(2, stages=(stage(StageCode.THIRD_READING), stage(StageCode.THIRD_READING, sittings=3)))
    difference = differences(held(db, again), record(again))
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
        changes = [Change(str(item.key), "changed", "title_en", "Old", "New") for item in new]
        history.append(db, "bills", changes, now=NOON, run_id=None)
    # Bills, stages and four parts read; bills, stages out, stages in; the counter; the history.
    assert len(sent) == 11


def test_nothing_to_save_sends_nothing(db: Session, engine: Engine) -> None:
    db.connection()
    with statements(engine) as sent:
        DATASET.write(db, [], {}, now=NOON)
        history.append(db, "bills", [], now=NOON, run_id=None)
    assert sent == []


def test_a_bill_is_withdrawn_once_and_comes_back_once(db: Session) -> None:
    save(db, bill(2))
    key = "45-1 C-2"
    assert DATASET.withdraw(db, [key], True, now=NOON) == [key]
    assert DATASET.withdraw(db, [key], True, now=NOON) == []
    assert DATASET.held_keys(db, "45-1", withdrawn=True) == {key}
    assert DATASET.withdraw(db, [key], False, now=NOON) == [key]
    assert DATASET.withdraw(db, [key], False, now=NOON) == []
