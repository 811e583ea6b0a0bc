"""Which bills may have moved although their line of the list did not, and when they are asked for again."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from parlex.datasets.bills.living import living
from parlex.parliament import OTTAWA
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs.fetch_logs import Figures
from tests import rows
from tests.edited import Edited
from tests.looking import execute, sat
from tests.looking import rows as asked

NOW = datetime(2026, 3, 10, 9, tzinfo=OTTAWA)
LATELY, LONG_AGO = date(2026, 3, 1), date(2026, 1, 30)


@pytest.mark.parametrize(
    ("facts", "alive"),
    [
        ({}, True),
        ({"last_event_on": None}, True),
        ({"status_code": "RoyalAssentGiven"}, False),
        ({"status_code": "BillDefeated"}, False),
        ({"status_code": "WillNotBeProceededWith"}, False),
        ({"status_code": "ProForma"}, False),
        ({"is_dropped": True}, False),
        ({"withdrawn": True}, False),
        ({"status_code": "OutsideOrderPrecedence", "last_event_on": LATELY}, True),
        ({"status_code": "OutsideOrderPrecedence", "last_event_on": LONG_AGO}, False),
        ({"status_code": "OutsideOrderPrecedence", "last_event_on": None}, False),
        ({"parliament": 44}, False),
    ],
)
def test_who_is_alive(db: Session, facts: dict[str, Any], alive: bool) -> None:
    db.add_all([rows.bill("C-99", status_code="ProForma"), rows.bill(**{"last_event_on": LONG_AGO, **facts})])
    db.flush()
    db.add(rows.bill_event("sitting.1", number="C-99", day=date(2026, 3, 9)))
    db.flush()
    found = living(db, "45-1", NOW)
    assert found is not None
    assert found.since == datetime(2026, 3, 10, 6, tzinfo=OTTAWA)
    assert list(found.events) == (["45-1 C-2"] if alive else [])


# Of a real mirror.


def tick(mirror: Resources) -> Figures:
    return alone.run_latest(mirror.pipeline, limit=200, sitting=True)


def spent(mirror: Resources, run: Figures) -> tuple[int, set[tuple[str, str, int]]]:
    """The requests of a run, and the documents that they brought by source and kind."""
    [(requests,)] = asked(mirror, "SELECT requests FROM fetch_logs WHERE run_id = :run", run=run.run_id)
    brought = "SELECT source, kind, count(*) FROM document_fetches WHERE run_id = :run GROUP BY 1, 2"
    return requests, {(source, kind, count) for source, kind, count in asked(mirror, brought, run=run.run_id)}


def alive_in(mirror: Resources) -> set[str]:
    with mirror.db() as db:
        found = living(db, "45-1", datetime.now(OTTAWA))
    return set(found.events) if found else set()


def test_each_bill_that_is_alive_is_asked_for_once_after_a_sitting_of_legisinfo_alone(filled: Resources) -> None:
    sat(filled)
    alive = alive_in(filled)
    assert 0 < len(alive) < len(asked(filled, "SELECT 1 FROM bills"))
    found = tick(filled)
    assert (found.status, found.bills_fetched) == ("success", len(alive))
    lists, details = ("legisinfo", "list", 1), ("legisinfo", "detail", len(alive))
    assert spent(filled, found) == (1 + len(alive), {lists, details})
    assert spent(filled, tick(filled)) == (1, {lists})


def test_an_hourly_run_asks_for_none_of_them(filled: Resources) -> None:
    sat(filled)
    assert alone.run_latest(filled.pipeline, limit=50).bills_fetched == 0


def test_those_with_the_newest_event_come_first_within_the_limit(filled: Resources) -> None:
    sat(filled)
    alive = alive_in(filled)
    found = alone.run_latest(filled.pipeline, limit=2, sitting=True)
    assert (found.bills_fetched, found.deferred) == (2, len(alive) - 2)
    days = "SELECT last_event_on FROM bills WHERE key = ANY(:alive) ORDER BY 1 DESC NULLS LAST LIMIT 2"
    taken = "SELECT last_event_on FROM bills JOIN run_keys USING (key) WHERE run_id = :run ORDER BY 1 DESC"
    assert asked(filled, taken, run=found.run_id) == asked(filled, days, alive=list(alive))


def test_one_that_cannot_be_had_is_asked_for_again_after_a_day(source: Edited, filled: Resources) -> None:
    """By a scheduled run; who asks by hand gets what there is."""
    sat(filled)
    failing = min(alive_in(filled))
    execute(
        filled, "UPDATE listings SET failed_at = now(), failed_fingerprint = fingerprint WHERE key = :key", key=failing
    )
    request = filled.pipeline.latest_request(200, sitting=True)
    run = filled.pipeline.open_run(request, entry="ticks", slot=datetime.now(OTTAWA), carrier="process").run
    filled.pipeline.plan(run)
    keys = {key for (key,) in asked(filled, "SELECT key FROM run_keys WHERE run_id = :run", run=run.run_id)}
    assert keys == alive_in(filled) - {failing}
