"""What a person ended, or asked for in vain, was an error's text before it was a status."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, insert, select, text

from parlex.db import migrate
from parlex.db.engine import build_engine
from parlex.db.models import RunRow

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
BY_HAND = {"status": "abandoned", "errors": ["away", "revoked by hand"], "error_count": 2}
WRONG = "wrong request: no source knows session 45-9"


def run(**changes: Any) -> dict[str, Any]:
    usual = {
        "run_id": uuid4(),
        "dataset": "bills",
        "source": "legisinfo",
        "job": "fetch_latest_bills",
        "params": {},
        "carrier": "worker",
        "started_at": NOON,
        "progress_at": NOON,
        "finished_at": NOON,
        "waiters": [],
        "entry": None,
        "slot": None,
        "errors": [],
        "error_count": 0,
    }
    return usual | changes


def ended(engine: Engine) -> dict[str, tuple[Any, ...]]:
    with engine.connect() as db:
        rows = db.execute(select(RunRow.job, RunRow.status, RunRow.errors, RunRow.error_count)).all()
    return {job: tuple(rest) for job, *rest in rows}


@pytest.fixture
def engine(empty_database: str) -> Any:
    migrate.upgrade(empty_database, "0007")
    engine = build_engine(empty_database)
    yield engine
    engine.dispose()


def test_the_texts_of_old_runs_become_statuses_and_back(engine: Engine, empty_database: str) -> None:
    slot = {"entry": "hourly", "slot": NOON}
    before = [
        run(job="revoked", **BY_HAND),
        run(job="its slot was run again", **BY_HAND, **slot),
        run(job="again", status="success", **slot),
        run(job="refused", status="failure", errors=[WRONG], error_count=1),
        run(job="dead", status="abandoned"),
        run(job="bad", status="failure", errors=["legisinfo did not answer"], error_count=1),
    ]
    with engine.begin() as db:
        db.execute(insert(RunRow), before)
    old = ended(engine)
    migrate.upgrade(empty_database, "0008")
    new = {
        "revoked": ("revoked", ["away"], 1),
        # Two runs cannot hold one slot: the later one has it.
        "its slot was run again": ("abandoned", ["away", "revoked by hand"], 2),
        "again": ("success", [], 0),
        "refused": ("refused", ["no source knows session 45-9"], 1),
        "dead": ("abandoned", [], 0),
        "bad": ("failure", ["legisinfo did not answer"], 1),
    }
    assert ended(engine) == new
    migrate.downgrade(empty_database, "0007")
    assert ended(engine) == old


def test_a_run_by_a_newer_parlex_goes_back_too(engine: Engine, empty_database: str) -> None:
    migrate.upgrade(empty_database, "0008")
    with engine.begin() as db:
        db.execute(insert(RunRow), [run(job="a", status="refused"), run(job="b", status="revoked")])
    migrate.downgrade(empty_database, "0007")
    with engine.connect() as db:
        assert set(db.execute(text("SELECT job, status FROM fetch_logs")).all()) == {
            ("a", "failure"),
            ("b", "abandoned"),
        }
