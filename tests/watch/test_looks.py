"""How the mirror looked at its sources."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from parlex.parliament import OTTAWA, SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.watch import looks

SESSION = SessionId(45, 1)


def test_each_day_tells_its_looks_and_those_not_believed(mirror: Resources) -> None:
    alone.run_session(mirror.pipeline, SESSION)
    alone.run_session(mirror.pipeline, SESSION)
    now = datetime.now(UTC)
    with mirror.db() as db:
        before = "UPDATE sweeps SET swept_at = swept_at - interval '3 days', believed = false WHERE id = 1"
        db.execute(text(before))
    with mirror.db() as db:
        bills, votes = looks.strips(db, ["bills", "votes"], now, 5)
        rows = db.execute(text("SELECT count(*), count(*) FILTER (WHERE NOT believed) FROM sweeps")).one()
    today = now.astimezone(OTTAWA).date()
    assert [one.day for one in bills.days] == [today - timedelta(days=n) for n in range(4, -1, -1)]
    assert (sum(one.looks for one in bills.days), bills.refused) == tuple(rows)
    assert [one.looks > 0 for one in bills.days] == [False, True, False, False, True]
    assert [one.refused for one in bills.days] == [0, 1, 0, 0, 0]
    assert bills.looked == 2
    assert (votes.looked, votes.refused) == (0, 0)


def test_the_newest_look_that_was_believed_at_the_deciding_list(mirror: Resources) -> None:
    alone.run_session(mirror.pipeline, SESSION)
    with mirror.db() as db:
        found = looks.newest(db, mirror.datasets)
        sweep = found["bills", "45-1"]
    assert set(found) == {("bills", "45-1")}
    assert (sweep.source, sweep.believed, sweep.missing) == ("legisinfo", True, [])


def test_what_the_sources_were_asked(mirror: Resources) -> None:
    alone.run_session(mirror.pipeline, SESSION)
    now = datetime.now(UTC)
    with mirror.db() as db:
        requests = db.execute(text("SELECT sum(requests) FROM fetch_logs")).scalar_one()
        gave = dict(db.execute(text("SELECT source, count(*) FROM document_fetches GROUP BY source")).all())
        told = looks.asked(db, now, (1, 7))
        later = looks.asked(db, now + timedelta(days=2), (1, 7))
    assert {one.dataset: one.counts for one in told if one.dataset} == {"bills": (requests, requests)}
    assert {one.source: one.counts for one in told if one.source} == {name: (n, n) for name, n in gave.items()}
    assert all(one.counts[0] == 0 < one.counts[1] for one in later)
