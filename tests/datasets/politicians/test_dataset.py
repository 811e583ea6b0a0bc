"""Politicians from list to rows, on a real PostgreSQL, against the sandbox over real HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from parlex.datasets import verdicts
from parlex.datasets.politicians import reads as politician_reads
from parlex.errors import UsageError
from parlex.parliament import BillKey, SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.watch import monitor
from tests.datasets.house import CURRENT, asked, changes, fetch_politicians, mend, rows, without, written
from tests.edited import Edited


def test_the_first_run_lands_every_politician(front: Edited, mirror: Resources) -> None:
    run = fetch_politicians(mirror)
    assert (run.status, run.failed, run.error_count) == ("success", 0, 0)
    ((count, current, unnamed),) = rows(
        mirror,
        "SELECT count(*), count(*) FILTER (WHERE is_current), count(*) FILTER (WHERE person_id IS NULL)"
        " FROM politicians",
    )
    assert run.created == count > current > 300
    assert unnamed == 0
    assert rows(mirror, "SELECT count(DISTINCT slug) FROM politician_memberships") == [(count,)]
    assert {(kind, field) for _, _, kind, field, *_ in changes(mirror, run)} == {("created", None)}
    assert len(asked(front)) == count + 2  # and the two lists
    assert rows(mirror, "SELECT scope, listed, held, missing, extra FROM sweeps") == [("all", count, count, [], [])]


@pytest.mark.usefixtures("few")
def test_a_second_look_asks_for_lists_and_writes_nothing(front: Edited, mirror: Resources) -> None:
    fetch_politicians(mirror)
    before = written(mirror)
    asked(front)
    run = fetch_politicians(mirror)
    assert (run.status, run.bills_fetched) == ("success", 0)
    assert {target.partition("?")[0] for target in asked(front)} == {"/politicians/"}
    assert written(mirror) == before


@pytest.mark.usefixtures("few")
def test_who_changes_party_is_asked_for_again_and_nobody_else(front: Edited, mirror: Resources) -> None:
    fetch_politicians(mirror)

    def cross(page: Any) -> Any:
        for row in page["objects"]:
            if row["url"] == "/politicians/mark-carney/":
                row["current_party"]["short_name"]["en"] = "Green"
        return page

    def detail(found: Any) -> Any:
        found["memberships"][0]["party"]["short_name"]["en"] = "Green"
        return found

    front.edit(r"/politicians/\?limit", cross)
    front.edit("/politicians/mark-carney/", detail)
    run = fetch_politicians(mirror)
    ((number,),) = rows(mirror, "SELECT id FROM politician_memberships WHERE slug = 'mark-carney'")
    moved = {(key, kind, field) for _, key, kind, field, *_ in changes(mirror, run)}
    assert moved == {
        ("mark-carney", "changed", "current_party"),
        ("mark-carney", "changed", f"memberships.{number}"),
    }
    assert rows(mirror, "SELECT current_party FROM politicians WHERE slug = 'mark-carney'") == [("Green",)]
    assert run.updated == 1 == run.bills_fetched


@pytest.mark.usefixtures("few")
def test_an_old_look_is_renewed_when_asked(front: Edited, mirror: Resources) -> None:
    fetch_politicians(mirror)
    with mirror.db() as db:
        db.execute(
            text("UPDATE latest_documents SET checked_at = checked_at - interval '9 days' WHERE key = 'mark-carney'")
        )
    run = fetch_politicians(mirror, recheck_after_days=7)
    assert (run.unchanged, run.bills_fetched) == (1, 1)


@pytest.mark.usefixtures("few")
def test_who_leaves_the_list_is_withdrawn_and_comes_back(front: Edited, mirror: Resources) -> None:
    fetch_politicians(mirror)
    front.edit(r"/politicians/\?", without("/politicians/mark-carney/"))
    gone = fetch_politicians(mirror)
    assert changes(mirror, gone) == [("politicians", "mark-carney", "withdrawn", None, None, None)]
    mend(front)
    back = fetch_politicians(mirror)
    assert changes(mirror, back) == [("politicians", "mark-carney", "reappeared", None, None, None)]


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("target", [r"/politicians/\?include", r"/politicians/\?limit"])
def test_an_empty_list_takes_nobody_away(front: Edited, mirror: Resources, target: str) -> None:
    fetch_politicians(mirror)
    before = rows(mirror, "SELECT xmin::text, slug FROM politicians")
    front.edit(target, lambda page: page | {"objects": []})
    run = fetch_politicians(mirror)
    assert run.bills_fetched == 0
    assert run.status != "success"
    assert rows(mirror, "SELECT xmin::text, slug FROM politicians") == before
    assert rows(mirror, "SELECT DISTINCT kind, dataset FROM quarantine") == [("sweep", "politicians")]


@pytest.mark.usefixtures("few")
def test_a_detail_that_cannot_be_read_is_parked_and_mends(front: Edited, mirror: Resources) -> None:
    front.set("/politicians/mark-carney/", name=None)
    run = fetch_politicians(mirror)
    assert (run.status, run.failed) == ("partial", 1)
    parked = "SELECT dataset, kind, key, field, state FROM quarantine"
    assert rows(mirror, parked) == [("politicians", "document", "mark-carney", "name", "open")]
    mend(front)
    assert fetch_politicians(mirror).created == 1
    assert rows(mirror, parked) == [("politicians", "document", "mark-carney", "name", "resolved")]


@pytest.mark.usefixtures("few")
def test_a_value_that_goes_blank_for_all_is_kept(front: Edited, mirror: Resources) -> None:
    fetch_politicians(mirror)
    before = rows(mirror, "SELECT slug, family_name FROM politicians ORDER BY slug")
    front.edit(r"/politicians/[a-z]", lambda found: found | {"family_name": ""})
    with mirror.db() as db:
        db.execute(text("UPDATE latest_documents SET checked_at = checked_at - interval '9 days'"))
    fetch_politicians(mirror, recheck_after_days=7, limit=10)
    assert rows(mirror, "SELECT slug, family_name FROM politicians ORDER BY slug") == before
    assert rows(mirror, "SELECT kind, guard, field, count(*) FROM quarantine GROUP BY 1, 2, 3") == [
        ("field", "blanked", "family_name", 10)
    ]


def test_sponsors_are_joined_by_the_number_of_the_person(front: Edited, mirror: Resources) -> None:
    """Also where OpenParliament does not tell the number: then the bills do, which name both."""
    front.edit(r"/politicians/[a-z]", lambda found: {k: v for k, v in found.items() if k != "other_info"})
    fetch_politicians(mirror)
    assert rows(mirror, "SELECT count(person_id) FROM politicians") == [(0,)]
    for session in ("44-1", "45-1"):
        alone.run_session(mirror.pipeline, SessionId.parse(session))
    run = fetch_politicians(mirror)
    unlinked = """SELECT parliament, session, number FROM bills WHERE sponsor_person_id IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM politicians p WHERE p.person_id = bills.sponsor_person_id)"""
    assert rows(mirror, unlinked) == []
    joined = {(kind, field) for _, key, kind, field, *_ in changes(mirror, run) if not key.startswith("senator-")}
    assert joined == {("changed", "person_id")}
    senators = rows(mirror, "SELECT slug, person_id, is_current FROM politicians WHERE origin = 'legisinfo'")
    assert senators
    assert all(slug == f"senator-{person_id}" and current is None for slug, person_id, current in senators)
    before = written(mirror)
    fetch_politicians(mirror)
    assert written(mirror) == before
    with mirror.db() as db:
        bill = politician_reads.sponsor(db, BillKey.parse("45-1 C-30"))
        senate = politician_reads.sponsor(db, BillKey.parse(rows(mirror, SENATE_BILL)[0][0]))
        story = politician_reads.politician(db, bill.slug if bill else "")
    assert bill is not None
    assert story is not None
    assert (45, 1, "C-30") in {(one.parliament, one.session, one.number) for one in story.bills}
    assert senate is not None
    assert senate.slug.startswith("senator-")


SENATE_BILL = """SELECT parliament || '-' || session || ' ' || number FROM bills
    WHERE chamber = 'senate' AND sponsor_person_id IS NOT NULL AND sponsor_slug IS NULL ORDER BY 1 LIMIT 1"""


@pytest.mark.usefixtures("few")
def test_a_senator_who_comes_to_the_house_is_one_person(front: Edited, mirror: Resources) -> None:
    alone.run_session(mirror.pipeline, CURRENT)
    fetch_politicians(mirror)
    ((slug, person_id),) = rows(
        mirror, "SELECT slug, person_id FROM politicians WHERE origin = 'legisinfo' ORDER BY slug LIMIT 1"
    )

    def rename(found: Any) -> Any:
        return found | {"other_info": {"parl_mp_id": [str(person_id)]}}

    front.edit("/politicians/mark-carney/", rename)
    with mirror.db() as db:
        db.execute(text("UPDATE listings SET fetched_fingerprint = NULL WHERE key = 'mark-carney'"))
    run = fetch_politicians(mirror)
    assert ("politicians", slug, "withdrawn", None, None, None) in changes(mirror, run)
    with mirror.db() as db:
        found = {one.slug: one.withdrawn for one in politician_reads.politicians(db) if one.person_id == person_id}
    assert found == {"mark-carney": False, slug: True}


def test_politicians_have_no_sessions(mirror: Resources) -> None:
    with pytest.raises(UsageError, match="no sessions"):
        alone.run_here(mirror.pipeline, mirror.pipeline.session_request(CURRENT, dataset="politicians"))
    with pytest.raises(UsageError, match="not a dataset; known: bills, politicians, votes"):
        alone.run_here(mirror.pipeline, mirror.pipeline.latest_request(dataset="senators"))


@pytest.mark.usefixtures("few")
def test_the_monitor_knows_that_politicians_are_listed_daily(mirror: Resources) -> None:
    fetch_politicians(mirror)
    day = timedelta(days=1)
    with mirror.db() as db:
        now = datetime.now(UTC)
        politicians = mirror.datasets["politicians"]
        soon, late = (monitor.statistics(db, now - day, now + n * day, politicians, mirror.settings) for n in (1.5, 3))
    assert (soon.runs, soon.healthy, late.healthy) == (1, True, False)


@pytest.mark.usefixtures("few")
def test_an_approved_blank_lands_at_once(front: Edited, mirror: Resources) -> None:
    fetch_politicians(mirror)
    front.edit(r"/politicians/[a-z]", lambda found: found | {"family_name": ""})
    with mirror.db() as db:
        db.execute(text("UPDATE latest_documents SET checked_at = checked_at - interval '9 days'"))
    fetch_politicians(mirror, recheck_after_days=7)
    with mirror.db() as db:
        parked = next(one for one in verdicts.entries(db) if one.key == "mark-carney")
        verdicts.approve(db, mirror.datasets, parked.id, now=datetime.now(UTC))
    assert rows(mirror, "SELECT slug FROM politicians WHERE family_name IS NULL AND origin = 'openparliament'") == [
        ("mark-carney",)
    ]
