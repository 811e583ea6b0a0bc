"""A week of a sitting, day by day: what it costs at the source, and how soon a change is a row."""

from __future__ import annotations

from parlex.datasets.bills.living import living
from parlex.db.clock import Clock
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs.fetch_logs import Figures
from tests.conformance.conftest import StandIn
from tests.looking import execute, sat

SESSION = SessionId(43, 1)
FRIDAY = "2020-02-21"
WEEK = ("2020-02-24", "2020-02-25", "2020-02-26", "2020-02-27", "2020-02-28")


def tick(mirror: Resources) -> Figures:
    found = alone.run_latest(mirror.pipeline, limit=200, sitting=True)
    assert (found.status, found.deferred) == ("success", 0)
    return found


def asked(replay: StandIn) -> tuple[int, int]:
    """Requests for lists and for details at LEGISinfo since the last time."""
    kinds = replay.asked("legisinfo")
    replay.forget()
    return kinds.get("list", 0), kinds.get("detail", 0)


def test_a_week_day_by_day(replay: StandIn, mirror: Resources) -> None:
    replay.as_of(FRIDAY)
    alone.run_session(mirror.pipeline, SESSION)
    moved = 0
    for day in WEEK:
        replay.as_of(day)
        replay.forget()
        # The next tick sees what the list shows, and asks for that alone; the one after it for nothing.
        found = tick(mirror)
        assert asked(replay) == (1, found.bills_fetched)
        assert tick(mirror).bills_fetched == 0
        assert asked(replay) == (1, 0)
        moved += found.bills_fetched
        # The next morning sees what it does not show: one request for each bill that is alive.
        sat(mirror)
        with mirror.db() as db:
            alive = living(db, str(SESSION), Clock(db).now())
        assert alive is not None
        assert tick(mirror).bills_fetched == len(alive.events)
        assert asked(replay) == (1, len(alive.events))
        execute(mirror, "DELETE FROM bill_events WHERE entry = 'sitting.of.a.test'")
    assert moved > len(WEEK)
