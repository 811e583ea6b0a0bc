"""Politicians, votes and ballots of the stand-in, over real HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from parlex.local.sandbox import Sandbox
from parlex.local.sandbox.sample import RECORDED, load


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(as_of=RECORDED) as running:
        yield running


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.openparliament_url, headers={"Accept": "application/json"}) as client:
        yield client


def walk(client: httpx.Client, url: str | None) -> list[Any]:
    rows: list[Any] = []
    while url:
        answer = client.get(url)
        assert answer.status_code == 200
        rows += answer.json()["objects"]
        url = answer.json()["pagination"]["next_url"]
    return rows


def numbers(client: httpx.Client, query: str) -> list[int]:
    return [vote["number"] for vote in walk(client, f"/votes/?{query}")]


def test_votes_come_newest_first_and_in_two_languages(client: httpx.Client) -> None:
    votes = walk(client, "/votes/?session=45-1&limit=4")
    assert [vote["number"] for vote in votes] == sorted((vote["number"] for vote in votes), reverse=True)
    assert all(vote["description"]["en"] != vote["description"]["fr"] for vote in votes)
    assert {vote["result"] for vote in votes} == {"Passed", "Tie"}
    assert client.get("/votes/45-1/94/").json()["bill_url"] is None


def test_vote_filters(client: httpx.Client) -> None:
    assert numbers(client, "session=44-1") == []
    assert numbers(client, "bill=/bills/45-1/C-30/") == [173]
    assert numbers(client, "result=Tie") == [94]
    assert numbers(client, "date__gte=2026-06-17") == [173, 170]
    assert numbers(client, "number__lt=10") == [8, 1]
    assert len(numbers(client, "nonsense=1")) == 9
    assert client.get("/votes/?number__lt=many").status_code == 400


def test_totals_are_those_of_the_ballots(client: httpx.Client) -> None:
    votes = walk(client, "/votes/")
    assert len(votes) == 9
    for vote in votes:
        detail = client.get(vote["url"]).json()
        ballots = walk(client, detail["related"]["ballots_url"] + "&limit=100")
        count = Counter(ballot["ballot"] for ballot in ballots)
        totals = vote["yea_total"], vote["nay_total"], vote["paired_total"]
        assert totals == (count["Yes"], count["No"], count["Paired"])
        assert {ballot["vote_url"] for ballot in ballots} == {vote["url"]}
        assert len({ballot["politician_url"] for ballot in ballots}) == len(ballots)


def test_party_votes_tell_who_strayed(client: httpx.Client) -> None:
    vote = client.get("/votes/45-1/33/").json()
    lines = {line["party"]["short_name"]["en"]: (line["vote"], line["disagreement"]) for line in vote["party_votes"]}
    assert lines["Liberal"] == ("Yes", 0.0)
    assert lines["Green"] == ("No", 0.0)
    split = client.get("/votes/45-1/47/").json()["party_votes"]
    assert {line["vote"] for line in split} == {"Yes", "No"}
    assert "Independent" not in {line["party"]["short_name"]["en"] for line in split}


def test_ballot_filters(client: httpx.Client) -> None:
    mine = walk(client, "/votes/ballots/?politician=mark-carney&limit=500")
    assert {ballot["politician_url"] for ballot in mine} == {"/politicians/mark-carney/"}
    assert len(mine) == 9
    [no] = walk(client, "/votes/ballots/?vote=/votes/45-1/33/&ballot=No")
    assert no["politician_url"] == "/politicians/elizabeth-may/"


def test_politicians_of_today_former_and_all(client: httpx.Client) -> None:
    today = client.get("/politicians/").json()
    assert today["pagination"]["limit"] == 338
    current = walk(client, "/politicians/")
    former = walk(client, "/politicians/?include=former&limit=500")
    everyone = walk(client, "/politicians/?include=all&limit=500")
    assert set(current[0]) == {"name", "url", "current_party", "current_riding", "image"}
    assert set(former[0]) == {"name", "url"}
    assert "/politicians/justin-trudeau/" in {one["url"] for one in former}
    assert len(current) + len(former) == len(everyone) == len({one["url"] for one in everyone})
    assert [one["name"] for one in walk(client, "/politicians/?family_name=Carney")] == ["Mark Carney"]
    moved = client.get("/politicians/former/")
    assert (moved.status_code, moved.headers["Location"]) == (301, "/politicians/?include=former")


def test_a_politician_who_changed_party(client: httpx.Client) -> None:
    idlout = client.get("/politicians/lori-idlout/").json()
    assert idlout["other_info"] == {"parl_mp_id": ["111116"]}
    newest, before = idlout["memberships"]
    assert (newest["party"]["short_name"]["en"], newest["end_date"]) == ("Liberal", None)
    assert (before["party"]["name"]["en"], before["end_date"]) == ("New Democratic Party", "2026-03-10")
    assert newest["riding"] == {"name": {"en": "Nunavut"}, "province": "NU", "id": 62001}
    one = client.get(newest["url"]).json()
    assert one == {**newest, "politician_url": "/politicians/lori-idlout/"}


def test_every_politician_can_be_read(client: httpx.Client) -> None:
    memberships = []
    for one in walk(client, "/politicians/?include=all&limit=500"):
        answer = client.get(one["url"])
        assert answer.status_code == 200
        memberships += [held["url"] for held in answer.json()["memberships"]]
    listed = walk(client, "/politicians/memberships/?limit=500")
    assert len(memberships) > 300
    assert sorted(memberships) == sorted(held["url"] for held in listed)
    assert len(set(memberships)) == len(memberships)


def test_every_house_sponsor_is_a_politician_by_the_same_person_id(client: httpx.Client) -> None:
    bills = [bill for bill in load().bills if bill.prefix == "C"]
    assert len(bills) > 30
    for bill in bills:
        detail = client.get(f"/bills/{bill.session}/{bill.number}/").json()
        politician = client.get(detail["sponsor_politician_url"]).json()
        assert bill.sponsor is not None
        assert politician["other_info"]["parl_mp_id"] == [str(bill.sponsor.person_id)]
        held = {membership["url"] for membership in politician["memberships"]}
        assert detail["sponsor_politician_membership_url"] in held


def test_bills_link_to_their_votes(client: httpx.Client) -> None:
    assert client.get("/bills/45-1/C-30/").json()["vote_urls"] == ["/votes/45-1/173/"]
    about = {vote["url"]: vote["bill_url"] for vote in walk(client, "/votes/") if vote["bill_url"]}
    assert len(about) > 1
    for url, bill in about.items():
        assert url in client.get(bill).json()["vote_urls"]


def test_divisions_and_party_changes_come_with_their_day(sandbox: Sandbox, client: httpx.Client) -> None:
    sandbox.move("2026-03-10")
    assert numbers(client, "session=45-1") == [51, 47, 33, 8, 1]
    assert client.get("/votes/45-1/94/").status_code == 404
    [held] = client.get("/politicians/lori-idlout/").json()["memberships"]
    assert (held["party"]["short_name"]["en"], held["end_date"]) == ("NDP", None)
    sandbox.move("2026-06-10")
    before = numbers(client, "session=45-1")
    assert sandbox.advance()
    assert numbers(client, "session=45-1") == [153, *before]


@pytest.mark.parametrize("path", ["/votes/45-1/999/", "/politicians/nobody/", "/politicians/memberships/1/"])
def test_what_is_not_there_is_a_404_in_html(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html; charset=utf-8")


def test_the_new_pages_are_counted_by_kind(sandbox: Sandbox, client: httpx.Client) -> None:
    for path in ("/votes/", "/votes/45-1/8/", "/votes/ballots/", "/politicians/", "/politicians/mark-carney/"):
        client.get(path)
    assert sandbox.stats()["openparliament"]["kinds"] == {
        "votes": 1,
        "vote": 1,
        "ballots": 1,
        "politicians": 1,
        "politician": 1,
    }
