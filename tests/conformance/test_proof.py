"""The proofs on a real session, day by day: complete, replayed without a difference, each past state told again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import text

from parlex.datasets.bills import past
from parlex.datasets.bills import reads as bill_reads
from parlex.datasets.bills.reads import BillStory
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from tests.conformance.conftest import StandIn
from tests.conformance.test_replay import expected_by_day
from tests.looking import again, sampled, verified

SESSION = SessionId(43, 1)


def stories(mirror: Resources) -> list[BillStory]:
    with mirror.db() as db:
        keys = [bill.key for bill in bill_reads.bills(db, SESSION)]
        found = [bill_reads.bill(db, key) for key in keys]
    return [replace(bill, bill=replace(bill.bill, last_checked_at=None)) for bill in found if bill]


def test_every_day_of_a_session(replay: StandIn, mirror: Resources) -> None:
    known: list[tuple[datetime, list[BillStory]]] = []
    for day in islice(sorted(expected_by_day()), 0, None, 3):
        replay.as_of(day)
        assert alone.run_session(mirror.pipeline, SESSION).status == "success"
        known.append((datetime.now(UTC), stories(mirror)))
        (found,) = verified(mirror)
        assert (found.complete, found.held, found.flagged) == (True, replay.state()["bills"], ())
        assert [part.differences for part in again(mirror)] == [()]

    assert len(known) > 5
    with mirror.db() as db:
        for moment, then in known:
            assert [past.as_of(db, bill.bill.key, moment) for bill in then] == then


def test_asking_again_finds_what_no_list_shows(replay: StandIn, mirror: Resources) -> None:
    """Sittings and committees move without a trace in the list: a sample finds them, looking again heals them."""
    replay.as_of("2020-02-26")
    alone.run_session(mirror.pipeline, SESSION)
    replay.as_of(None)
    alone.run_session(mirror.pipeline, SESSION)
    bills = replay.state()["bills"]
    found = sampled(mirror, bills)
    assert {str(item.field).partition(".")[0] for item in found.mismatches} >= {"stages", "events", "last_event_on"}

    with mirror.db() as db:
        db.execute(text("UPDATE listings SET fetched_fingerprint = NULL WHERE source = 'legisinfo'"))
    alone.run_session(mirror.pipeline, SESSION)
    assert sampled(mirror, bills).clean
