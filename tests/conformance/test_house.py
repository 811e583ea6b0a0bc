"""Politicians, divisions and ballots of everything the stand-in has, compared with its own JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from redis import Redis
from sqlalchemy import text

from parlex.local.embedded import resolve
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.settings import Settings
from tests.conformance.conftest import StandIn

SESSIONS = ("42-1", "43-1", "45-1")  # those whose divisions were recorded


@pytest.fixture(scope="module")
def site(whole: StandIn) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=whole.openparliament_url, headers={"Accept": "application/json"}, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def house(
    whole: StandIn, new_database: Callable[[], AbstractContextManager[str]], redis_url: str, tmp_path_factory: Any
) -> Iterator[Resources]:
    """A mirror of the bills and the politicians."""
    with new_database() as database, Redis.from_url(redis_url) as redis:
        redis.flushdb()
        settings = Settings(
            database_url=database,
            redis_url=redis_url,
            home=tmp_path_factory.mktemp("house"),
            contact="tests@example.org",
            legisinfo_url=whole.legisinfo_url,
            openparliament_url=whole.openparliament_url,
            legisinfo_rate=0,
            openparliament_rate=0,
            retry_delay=0,
        )
        resources = Resources(settings, resolve(settings))
        for session in whole.state()["sessions"]:
            assert alone.run_session(resources.pipeline, SessionId.parse(session)).status == "success"
        run = alone.run_here(resources.pipeline, resources.pipeline.latest_request(None, dataset="politicians"))
        assert run.status == "success", run
        yield resources
        resources.close()


def walk(site: httpx.Client, url: str | None) -> Iterator[Any]:
    while url:
        answer = site.get(url)
        assert answer.status_code == 200, url
        yield from answer.json()["objects"]
        url = answer.json()["pagination"]["next_url"]


def rows(resources: Resources, statement: str, **values: Any) -> list[Any]:
    with resources.db() as db:
        return [tuple(row) for row in db.execute(text(statement), values)]


def test_every_politician_is_held_with_every_membership(house: Resources, site: httpx.Client) -> None:
    expected, memberships = set(), set()
    for line in walk(site, "/politicians/?include=all&limit=500"):
        detail = site.get(line["url"]).json()
        slug = line["url"].split("/")[2]
        expected.add((slug, detail["name"], detail["family_name"], int(detail["other_info"]["parl_mp_id"][0])))
        for one in detail["memberships"]:
            number = int(one["url"].split("/")[3])
            where = (one["riding"]["name"]["en"] or None, one["riding"]["province"] or None)
            days = (one["start_date"], one["end_date"])
            memberships.add((slug, number, one["party"]["short_name"]["en"] or None, *where, *days))
    held = rows(house, "SELECT slug, name, family_name, person_id FROM politicians WHERE origin = 'openparliament'")
    assert set(held) == expected
    columns = "slug, id, party, riding, province, start_on::text, end_on::text"
    assert set(rows(house, f"SELECT {columns} FROM politician_memberships")) == memberships


def test_the_members_of_today_are_those_of_the_site(house: Resources, site: httpx.Client) -> None:
    expected = {
        (
            line["url"].split("/")[2],
            line["current_party"]["short_name"]["en"],
            line["current_riding"]["name"]["en"],
            line["current_riding"]["province"],
        )
        for line in walk(site, "/politicians/?limit=500")
    }
    held = rows(house, "SELECT slug, current_party, current_riding, province FROM politicians WHERE is_current")
    assert set(held) == expected


def test_every_sponsor_is_somebody(house: Resources) -> None:
    """All bills that name one, of the House and of the Senate; by the slug where OpenParliament gives it."""
    named = "SELECT count(*) FROM bills WHERE sponsor_person_id IS NOT NULL AND chamber = :chamber"
    linked = f"""{named} AND EXISTS (SELECT 1 FROM politicians p
        WHERE p.slug = bills.sponsor_slug OR p.person_id = bills.sponsor_person_id AND NOT p.withdrawn)"""
    for chamber in ("house", "senate"):
        assert rows(house, named, chamber=chamber) == rows(house, linked, chamber=chamber) != [(0,)]
    wrong = rows(
        house,
        "SELECT number, sponsor_slug FROM bills JOIN politicians ON slug = sponsor_slug"
        " WHERE person_id <> sponsor_person_id",
    )
    assert wrong == []


def test_a_second_look_at_the_politicians_writes_nothing(house: Resources, whole: StandIn) -> None:
    before = written(house)
    whole.forget()
    run = alone.run_here(house.pipeline, house.pipeline.latest_request(None, dataset="politicians"))
    assert (run.status, run.bills_fetched) == ("success", 0)
    assert whole.asked("openparliament") == {"politician_list": 3}
    assert written(house) == before


@pytest.fixture(scope="module")
def voted(house: Resources) -> Resources:
    """The mirror with every division too."""
    for session in SESSIONS:
        run = alone.run_here(house.pipeline, house.pipeline.session_request(SessionId.parse(session), dataset="votes"))
        assert (run.status, run.failed, run.unchanged) == ("success", 0, 0), run
    return house


@pytest.mark.parametrize("session", SESSIONS)
def test_every_division_and_every_ballot(voted: Resources, site: httpx.Client, session: str) -> None:
    expected, mismatched = {}, set()
    for line in walk(site, f"/votes/?session={session}&limit=500"):
        ballots = list(walk(site, f"/votes/ballots/?vote={line['url']}&limit=500"))
        count = Counter(ballot["ballot"] for ballot in ballots)
        totals = (line["yea_total"], line["nay_total"], line["paired_total"])
        if totals != (count["Yes"], count["No"], count["Paired"]):
            mismatched.add(line["number"])
        bill = line["bill_url"].split("/")[3] if line["bill_url"] else None
        words = (line["date"], line["description"]["en"], line["description"]["fr"], line["result"])
        slugs = {(b["politician_url"].split("/")[2], b["ballot"]) for b in ballots}
        assert len(slugs) == len(ballots)
        expected[line["number"]] = ((*words, *totals, bill), slugs)
    held = in_session(
        voted,
        "SELECT number, held_on::text, description_en, description_fr, result, yea_total, nay_total, paired_total,"
        " bill_number FROM votes",
        session,
    )
    assert {number: tuple(facts) for number, *facts in held} == {n: facts for n, (facts, _) in expected.items()}
    ballots_held: dict[int, set[Any]] = {}
    for number, slug, choice in in_session(voted, "SELECT number, slug, choice FROM ballots", session):
        ballots_held.setdefault(number, set()).add((slug, choice))
    assert ballots_held == {number: slugs for number, (_, slugs) in expected.items()}
    flagged = {n for n, match in in_session(voted, "SELECT number, totals_match FROM votes", session) if not match}
    assert flagged == mismatched


def test_the_sample_has_divisions_whose_totals_do_not_match(voted: Resources) -> None:
    """Or the flag would not be tested."""
    assert rows(voted, "SELECT count(*) > 0 FROM votes WHERE NOT totals_match") == [(True,)]


@pytest.mark.parametrize("session", SESSIONS)
def test_party_lines_are_those_of_the_site(voted: Resources, site: httpx.Client, session: str) -> None:
    numbers = [number for (number,) in in_session(voted, "SELECT number FROM votes", session)]
    lines = in_session(voted, "SELECT number, party, position, disagreement FROM vote_parties", session)
    for number in numbers[:: max(1, len(numbers) // 40)]:
        told = site.get(f"/votes/{session}/{number}/").json()["party_votes"]
        expected = {(line["party"]["short_name"]["en"], line["vote"], line["disagreement"]) for line in told}
        assert {tuple(rest) for n, *rest in lines if n == number} == expected, number


def test_every_bill_and_every_member_is_known(voted: Resources) -> None:
    lost = """SELECT parliament, session, number FROM votes v WHERE bill_number IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM bills b WHERE (b.parliament, b.session, b.number) = (bill_parliament, bill_session, bill_number))
    """
    assert rows(voted, "SELECT count(bill_number) > 0 FROM votes") == [(True,)]
    assert rows(voted, lost) == []
    assert rows(voted, "SELECT DISTINCT slug FROM ballots EXCEPT SELECT slug FROM politicians") == []
    unseated = """SELECT count(*) FROM ballots b WHERE membership_id IS NOT NULL AND NOT EXISTS
        (SELECT 1 FROM politician_memberships m WHERE m.slug = b.slug AND m.id = b.membership_id)"""
    assert rows(voted, unseated) == [(0,)]


@pytest.mark.parametrize("session", SESSIONS)
def test_a_second_look_at_the_votes_writes_nothing(voted: Resources, whole: StandIn, session: str) -> None:
    before = written(voted)
    whole.forget()
    run = alone.run_here(voted.pipeline, voted.pipeline.session_request(SessionId.parse(session), dataset="votes"))
    assert (run.status, run.bills_fetched) == ("success", 0)
    assert set(whole.asked("openparliament")) == {"vote_list"}
    assert written(voted) == before


def in_session(resources: Resources, statement: str, session: str) -> list[Any]:
    parliament, number = map(int, session.split("-"))
    where = f"{statement} WHERE parliament = :parliament AND session = :session"
    return rows(resources, where, parliament=parliament, session=number)


def written(resources: Resources) -> Counter[Any]:
    """Every row of the mirror with the transaction that wrote it."""
    tables = (
        *("politicians", "politician_memberships", "votes", "vote_parties", "ballots"),
        *("changes", "listings", "latest_documents", "quarantine"),
    )
    found: Counter[Any] = Counter()
    for table in tables:
        found.update((table, *row) for row in rows(resources, f"SELECT ctid::text, xmin::text FROM {table}"))
    return found
