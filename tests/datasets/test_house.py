"""Politicians and votes from list to rows to commands, on a real PostgreSQL, against the sandbox over real HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from parlex.datasets import verdicts
from parlex.datasets.kind import Flagged
from parlex.datasets.politicians import reads as politician_reads
from parlex.datasets.votes import reads as vote_reads
from parlex.datasets.votes.vote import VoteKey
from parlex.errors import UnknownSession, UsageError
from parlex.local.sandbox import Sandbox
from parlex.parliament import BillKey, SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs.fetch_logs import Figures
from parlex.settings import Settings, environment
from parlex.watch import monitor, upkeep
from tests.edited import Edited
from tests.edited import edited as front_of
from tests.looking import again, verified

CURRENT = SessionId(45, 1)
NOW = datetime(2026, 11, 22, tzinfo=UTC)
EARLY, LAST = "2025-06-13", "2026-07-24"
DIVISIONS = (1, 8, 33, 47, 51, 94, 153, 170, 173)
POLITICIAN_KEYS = [
    *("slug", "name", "person_id", "current_party", "current_riding", "province", "is_current"),
    *("first_seen_at", "last_changed_at"),
]
VOTE_KEYS = [
    *("parliament", "session", "number", "date", "description_en", "description_fr", "result"),
    *("yea_total", "nay_total", "paired_total", "bill_number", "totals_match"),
]
BALLOT_KEYS = ["politician_slug", "politician_name", "party", "riding", "ballot"]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(as_of=LAST) as sandbox:
        yield sandbox


@pytest.fixture
def front(sandbox: Sandbox) -> Iterator[Edited]:
    with front_of(sandbox) as front:
        yield front


@pytest.fixture
def mirror(front: Edited, make_resources: Callable[..., Resources]) -> Resources:
    return make_resources(legisinfo_url=front.url, openparliament_url=front.url)


def rows(mirror: Resources, query: str, **values: Any) -> list[tuple[Any, ...]]:
    with mirror.db() as db:
        return [tuple(row) for row in db.execute(text(query), values)]


def changes(mirror: Resources, run: Figures) -> list[tuple[Any, ...]]:
    query = "SELECT dataset, key, kind, field, old, new FROM record_changes WHERE run_id = :run_id ORDER BY seq"
    return rows(mirror, query, run_id=run.run_id)


SOME = {
    f"/politicians/{slug}/"
    for slug in ("mark-carney", "ziad-aboultaif", "elizabeth-may", "francois-philippe-champagne")
}


@pytest.fixture
def few(front: Edited) -> None:
    """A House of some thirty: most of what happens to all happens to them, and sooner."""
    kept = {url for url in politician_urls(front) if url in SOME or url < "/politicians/am"}
    assert kept >= SOME

    def fewer(page: Any) -> Any:
        return page | {"objects": [row for row in page["objects"] if row["url"] in kept]}

    front.edit(r"/politicians/\?", fewer)


def politician_urls(front: Edited) -> set[str]:
    _, _, body = front.answer("/politicians/?include=all&limit=500")
    front.asked.clear()
    return {row["url"] for row in json.loads(body)["objects"]}


def mend(front: Edited) -> None:
    """Take back what a test made of the site, but for ``few``."""
    del front.edits[1:]


def fetch_politicians(mirror: Resources, **options: Any) -> Figures:
    return alone.run_here(
        mirror.pipeline, mirror.pipeline.latest_request(dataset="politicians", **{"limit": None} | options)
    )


def fetch_votes(mirror: Resources, session: SessionId | None = CURRENT, **options: Any) -> Figures:
    if session is None:
        return alone.run_here(
            mirror.pipeline, mirror.pipeline.latest_request(dataset="votes", **{"limit": None} | options)
        )
    return alone.run_here(mirror.pipeline, mirror.pipeline.session_request(session, dataset="votes", **options))


def written(mirror: Resources) -> list[tuple[Any, ...]]:
    """Every row of the mirror with the transaction that wrote it."""
    tables = ("politicians", "politician_memberships", "votes", "vote_parties", "ballots", "listings", "record_changes")
    return [(table, *row) for table in tables for row in rows(mirror, f"SELECT xmin::text, ctid::text FROM {table}")]


def asked(front: Edited) -> list[str]:
    """What was asked for since the last look."""
    found = list(front.asked)
    front.asked.clear()
    return found


# Politicians.


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


def without(url: str) -> Callable[[Any], Any]:
    def rewrite(page: Any) -> Any:
        page["objects"] = [row for row in page["objects"] if row["url"] != url]
        return page

    return rewrite


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
        found = [one.slug for one in politician_reads.politicians(db) if one.person_id == person_id]
    assert found == ["mark-carney"]


def test_politicians_have_no_sessions(mirror: Resources) -> None:
    with pytest.raises(UsageError, match="no sessions"):
        alone.run_here(mirror.pipeline, mirror.pipeline.session_request(CURRENT, dataset="politicians"))
    with pytest.raises(UsageError, match="not a dataset; known: bills, politicians, votes"):
        alone.run_here(mirror.pipeline, mirror.pipeline.latest_request(dataset="senators"))


# Votes.


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
        assert [vote.number for vote in vote_reads.votes(db, CURRENT)] == [n for n in reversed(DIVISIONS) if n != 8]


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


@pytest.mark.usefixtures("few")
def test_the_monitor_knows_that_politicians_are_listed_daily(mirror: Resources) -> None:
    fetch_politicians(mirror)
    day = timedelta(days=1)
    with mirror.db() as db:
        now = datetime.now(UTC)
        politicians = mirror.datasets["politicians"]
        soon, late = (monitor.statistics(db, now - day, now + n * day, politicians, mirror.settings) for n in (1.5, 3))
    assert (soon.runs, soon.healthy, late.healthy) == (1, True, False)


# Commands.


@pytest.fixture
def parlex(sandbox: Sandbox, make_settings: Callable[..., Settings]) -> Callable[..., subprocess.CompletedProcess[str]]:
    settings = make_settings(legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "parlex", *arguments],
            env=environment(settings, COLUMNS="120", PARLEX_LOG_LEVEL="WARNING"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_commands_fetch_and_show(parlex: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert lines(parlex("backfill", "--dataset", "politicians", "--json"))[0]["status"] == "success"
    assert lines(parlex("backfill", "45-1", "--json"))[0]["status"] == "success"
    (figures,) = lines(parlex("fetch", "--dataset", "votes", "--session", "45-1", "--json"))
    assert figures["created"] == len(DIVISIONS)

    divisions = lines(parlex("votes", "--session", "45-1", "--json"))
    assert [list(one) for one in divisions] == [VOTE_KEYS] * len(DIVISIONS)
    assert [one["number"] for one in divisions] == list(reversed(DIVISIONS))

    one, *ballots = lines(parlex("vote", "45-1", "173", "--json"))
    assert one == divisions[0]
    assert one["bill_number"] == "C-30"
    assert {tuple(ballot) for ballot in ballots} == {tuple(BALLOT_KEYS)}
    assert sum(ballot["ballot"] == "Yes" for ballot in ballots) == one["yea_total"]
    assert all(ballot["politician_name"] and ballot["party"] and ballot["riding"] for ballot in ballots)
    _, *parties = lines(parlex("vote", "45-1", "173", "--json", "--by-party"))
    assert sum(party["yes"] for party in parties) == one["yea_total"]
    assert {party["party"]: party["position"] for party in parties}["Liberal"] == "Yes"

    everybody = lines(parlex("politicians", "--json"))
    assert {tuple(found) for found in everybody} == {tuple(POLITICIAN_KEYS)}
    (carney,) = lines(parlex("politician", "mark-carney", "--json"))
    assert list(carney)[: len(POLITICIAN_KEYS)] == POLITICIAN_KEYS
    voted = {number for number in DIVISIONS if "mark-carney" in voters(parlex, number)}
    assert {vote["number"] for vote in carney["votes"]} == voted
    assert len(voted) > 0
    assert carney["memberships"][0]["riding"] == "Nepean"

    (bill,) = lines(parlex("bill", "45-1", "C-30", "--json"))
    assert [division["number"] for division in bill["divisions"]] == [173]
    assert bill["sponsor"]["slug"] == bill["sponsor_slug"]

    for shown, told in (
        (("votes", "--session", "45-1"), "C-30"),
        (("vote", "45-1", "173"), "C-30"),
        (("politicians", "--name", "carney"), "Nepean"),
        (("politician", "mark-carney"), "Nepean"),
    ):
        assert told in parlex(*shown).stdout, shown


def voters(parlex: Callable[..., subprocess.CompletedProcess[str]], number: int) -> set[str]:
    _, *ballots = lines(parlex("vote", "45-1", str(number), "--json"))
    return {ballot["politician_slug"] for ballot in ballots}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("vote", "45-1", "12"), "parlex backfill --dataset votes 45-1"),
        (("politician", "nobody"), "parlex politicians --name"),
        (("backfill", "--dataset", "votes"), "name the sessions"),
        (("fetch", "--dataset", "senators"), "is not a dataset"),
        (("backfill", "--dataset", "politicians", "45-1"), "no sessions"),
    ],
)
def test_wrong_use_is_one_line_that_helps(
    parlex: Callable[..., subprocess.CompletedProcess[str]], arguments: tuple[str, ...], complaint: str
) -> None:
    done = parlex(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert complaint in line


def test_the_commands_of_bills_cover_both(
    parlex: Callable[..., subprocess.CompletedProcess[str]], sandbox: Sandbox
) -> None:
    lines(parlex("backfill", "--dataset", "votes", "45-1", "--json"))
    (check,) = lines(parlex("verify", "--dataset", "votes", "--json"))
    assert (check["scope"], check["complete"], check["listed"], check["held"]) == ("45-1", True, 9, 9)
    recorded = lines(parlex("changes", "--dataset", "votes", "--json"))
    assert [list(one) for one in recorded] == [CHANGE_KEYS] * len(DIVISIONS)
    assert [one["seq"] for one in recorded] == list(range(1, len(DIVISIONS) + 1))
    assert lines(parlex("changes", "--dataset", "votes", "--after", "8", "--json")) == recorded[8:]
    again = parlex("replay", "--dataset", "votes")
    assert (again.returncode, again.stderr) == (0, "9 votes read again, no change\n")


CHANGE_KEYS = ["seq", "dataset", "key", "parliament", "session", "number"]
CHANGE_KEYS += ["kind", "field", "old", "new", "observed_at", "run_id"]


# Verify, replay, quarantine.


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


def test_the_weekly_sweep_lists_the_sessions_of_votes_too(mirror: Resources) -> None:
    fetch_votes(mirror)
    requests = [(request.dataset, request.scope) for request in upkeep.session_requests(mirror)]
    assert requests == [("votes", "45-1")]
