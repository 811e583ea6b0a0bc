"""Divisions and ballots from list to rows, on a real PostgreSQL, against the sandbox over real HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from parlex.datasets.kind import Flagged
from parlex.datasets.votes import reads as vote_reads
from parlex.datasets.votes.vote import VoteKey
from parlex.errors import UnknownSession
from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.watch import upkeep
from tests.datasets.house import (
    CURRENT,
    DIVISIONS,
    EARLY,
    LAST,
    asked,
    changes,
    fetch_politicians,
    fetch_votes,
    rows,
    without,
    written,
)
from tests.edited import Edited
from tests.looking import again, verified


def test_every_division_and_ballot_lands(front: Edited, mirror: Resources) -> None:
    run = fetch_votes(mirror)
    assert (run.status, run.created, run.failed) == ("success", len(DIVISIONS), 0)
    assert [n for (n,) in rows(mirror, "SELECT number FROM votes ORDER BY number")] == list(DIVISIONS)
    counted = """SELECT v.number, yea_total = count(*) FILTER (WHERE choice = 'Yes')
            AND nay_total = count(*) FILTER (WHERE choice = 'No')
            AND paired_total = count(*) FILTER (WHERE choice = 'Paired') AS same, totals_match
        FROM votes v JOIN ballots USING (parliament, session, number) GROUP BY v.number, yea_total, nay_total,
            paired_total, totals_match"""
    assert {(same, told) for _, same, told in rows(mirror, counted)} == {(True, True)}
    targets = asked(front)
    assert len(targets) == 1 + 2 * len(DIVISIONS)
    assert {(kind, field) for _, _, kind, field, *_ in changes(mirror, run)} == {("created", None)}


def test_only_new_divisions_are_asked_for(sandbox: Sandbox, front: Edited, mirror: Resources) -> None:
    sandbox.move(EARLY)
    assert fetch_votes(mirror, None).created == 2
    before = written(mirror)
    asked(front)
    assert fetch_votes(mirror, None).bills_fetched == 0
    assert asked(front) == ["/votes/?limit=1", "/votes/?session=45-1&limit=500"]
    assert written(mirror) == before
    sandbox.move(LAST)
    run = fetch_votes(mirror, None, limit=4)
    assert (run.created, run.deferred) == (4, len(DIVISIONS) - 6)
    assert {target for target in asked(front) if "/votes/45-1/" in target and "ballots" not in target} == {
        f"/votes/45-1/{number}/" for number in DIVISIONS[-4:]
    }


def test_totals_that_do_not_match_are_flagged_and_kept(front: Edited, mirror: Resources) -> None:
    front.edit("vote=/votes/45-1/8/", lambda page: page | {"objects": page["objects"][1:]})
    assert fetch_votes(mirror).status == "success"
    assert rows(mirror, "SELECT number, yea_total FROM votes WHERE NOT totals_match") == [(8, 335)]
    with mirror.db() as db:
        vote = vote_reads.vote(db, VoteKey(CURRENT, 8))
    assert vote is not None
    assert not vote.totals_match


def test_a_division_without_its_ballots_is_not_saved(sandbox: Sandbox, mirror: Resources) -> None:
    fault = sandbox.fault("error", path="ballots.*45-1/8/")
    run = fetch_votes(mirror)
    assert fault.fired > 0
    assert (run.status, run.failed, run.created) == ("partial", 1, len(DIVISIONS) - 1)
    assert rows(mirror, "SELECT count(*) FROM votes WHERE number = 8") == [(0,)]
    sandbox.clear_faults()
    assert fetch_votes(mirror).created == 1
    assert rows(mirror, "SELECT count(*) > 300 FROM ballots WHERE number = 8") == [(True,)]


def test_ballots_that_come_later_are_asked_for_again(front: Edited, mirror: Resources) -> None:
    front.edit("ballots.*45-1/8/", lambda page: page | {"objects": []})
    assert fetch_votes(mirror).created == len(DIVISIONS)
    assert rows(mirror, "SELECT totals_match FROM votes WHERE number = 8") == [(False,)]
    front.edits.clear()
    run = fetch_votes(mirror)
    assert (run.bills_fetched, run.updated) == (1, 1)
    assert rows(mirror, "SELECT totals_match FROM votes WHERE number = 8") == [(True,)]


def test_a_corrected_ballot_is_a_change_of_that_ballot(front: Edited, mirror: Resources) -> None:
    fetch_votes(mirror)

    def corrected(page: Any) -> Any:
        page["objects"][0]["ballot"] = "No"
        return page

    ((slug, before),) = rows(
        mirror, "SELECT slug, xmin::text FROM ballots WHERE number = 8 AND slug = 'ziad-aboultaif'"
    )
    front.edit("ballots.*45-1/8/", corrected)
    front.set("/votes/45-1/8/$", nay_total=1, yea_total=334)
    front.edit("/votes/.session", lambda page: page | {"objects": [_corrected(row) for row in page["objects"]]})
    run = fetch_votes(mirror)
    assert run.updated == 1
    found = {field: (old, new) for _, _, _, field, old, new in changes(mirror, run)}
    assert set(found) == {"yea_total", "nay_total", f"ballots.{slug}"}
    assert [value["ballot"] for value in found[f"ballots.{slug}"]] == ["Yes", "No"]
    moved = "SELECT slug FROM ballots WHERE number = 8 AND xmin::text <> :before"
    assert rows(mirror, moved, before=before) == [(slug,)]


def _corrected(row: Any) -> Any:
    return row | {"nay_total": 1, "yea_total": 334} if row["number"] == 8 else row


def test_the_ballots_of_another_division_are_refused(front: Edited, mirror: Resources) -> None:
    """As they come when the site does not know the filter: the ballots of all."""

    def all_of_them(page: Any) -> Any:
        page["objects"][-1]["vote_url"] = "/votes/45-1/1/"
        return page

    front.edit("ballots.*45-1/8/", all_of_them)
    run = fetch_votes(mirror)
    assert (run.failed, run.created) == (1, len(DIVISIONS) - 1)
    assert rows(mirror, "SELECT key, field FROM quarantine") == [("45-1 8", "vote_url")]


def test_a_division_that_is_gone_is_withdrawn(front: Edited, mirror: Resources) -> None:
    fetch_votes(mirror)
    front.edit("/votes/.session", without("/votes/45-1/8/"))
    assert changes(mirror, fetch_votes(mirror)) == [("votes", "45-1 8", "withdrawn", None, None, None)]
    with mirror.db() as db:
        found = {vote.number: vote.withdrawn for vote in vote_reads.votes(db, CURRENT)}
    assert found == {number: number == 8 for number in reversed(DIVISIONS)}


def test_a_session_that_nobody_knows(mirror: Resources) -> None:
    with pytest.raises(UnknownSession):
        fetch_votes(mirror, SessionId(99, 1))


def test_a_session_without_a_division_is_one_all_the_same(mirror: Resources) -> None:
    alone.run_session(mirror.pipeline, SessionId(44, 1))
    run = fetch_votes(mirror, SessionId(44, 1))
    assert (run.status, run.bills_fetched) == ("success", 0)


def test_a_killed_backfill_goes_on_where_it_was(mirror: Resources) -> None:
    request = mirror.pipeline.session_request(CURRENT, dataset="votes")
    opened = mirror.pipeline.open_run(request)
    mirror.pipeline.plan(opened.run)
    first = mirror.pipeline.take_chunk(opened.run)[:3]
    mirror.pipeline.persist(opened.run, mirror.pipeline.fetch(opened.run, first).persist)
    assert rows(mirror, "SELECT count(*) FROM votes") == [(3,)]
    with mirror.db() as db:
        db.execute(text("UPDATE fetch_logs SET status = 'abandoned', finished_at = now()"))
    run = fetch_votes(mirror)
    assert (run.created, run.status) == (len(DIVISIONS) - 3, "success")


@pytest.mark.usefixtures("few")
def test_history_of_both_datasets_has_no_gap(mirror: Resources) -> None:
    fetch_votes(mirror)
    fetch_politicians(mirror)
    ((count, last),) = rows(mirror, "SELECT count(*), max(seq) FROM record_changes")
    assert count == last > len(DIVISIONS)
    assert rows(mirror, "SELECT count(*) FROM bill_changes") == [(0,)]


def test_verify_tells_what_is_wanting(front: Edited, mirror: Resources) -> None:
    front.edit("ballots.*45-1/33/", lambda page: page | {"objects": page["objects"][1:]})
    front.set("/votes/45-1/51/$", result="?")
    fetch_votes(mirror)
    (check,) = verified(mirror, dataset="votes")
    assert not check.complete
    assert check.missing == check.quarantined == ("45-1 51",)
    assert (check.extra, check.stale) == ((), ())
    assert check.flagged == (Flagged("45-1 33", ("totals_differ",)),)


def test_replay_mends_what_today_reads_otherwise(mirror: Resources) -> None:
    fetch_votes(mirror)
    with mirror.db() as db:
        db.execute(text("UPDATE votes SET description_fr = 'x' WHERE number = 8"))
        db.execute(text("DELETE FROM ballots WHERE number = 33 AND slug = 'mark-carney'"))

    def once(apply: bool) -> list[tuple[str, str | None]]:
        parts = again(mirror, "votes", apply=apply)
        return sorted((one.key, one.field) for part in parts for one in part.differences)

    wanted = [("45-1 33", "ballots.mark-carney"), ("45-1 8", "description_fr")]
    assert [once(False), once(True), once(False)] == [wanted, wanted, []]
    assert rows(mirror, "SELECT key, kind, field FROM record_changes WHERE kind <> 'created' ORDER BY field") == [
        ("45-1 33", "reparsed", "ballots.mark-carney"),
        ("45-1 8", "reparsed", "description_fr"),
    ]


def test_the_weekly_sweep_lists_the_sessions_of_votes_too(mirror: Resources) -> None:
    fetch_votes(mirror)
    requests = [(request.dataset, request.scope) for request in upkeep.session_requests(mirror)]
    assert requests == [("votes", "45-1")]
