"""OpenParliament's politicians, divisions and ballots: what is read, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parlex.datasets.politicians import source as politicians
from parlex.datasets.votes import source as votes
from parlex.datasets.votes.source import Votes
from parlex.datasets.votes.vote import Ballot, Ballots, Choice, VoteKey
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.http import Client, Tally
from parlex.fetching.pages import joined
from parlex.parliament import BillKey, SessionId
from tests.throttles import NullThrottle

SITE = "https://api.openparliament.test"
KEY = VoteKey.parse("45-1 12")
SESSION = SessionId(45, 1)
BALLOTS = "/votes/ballots/?vote=/votes/45-1/12/&limit=500"

thorough = settings(max_examples=200, derandomize=True, deadline=None, database=None)


def document(value: object, url: str = f"{SITE}/here/") -> Document:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Document(url, 200, datetime(2026, 11, 22, tzinfo=UTC), "application/json", body)


def page(rows: list[Any], next_url: str | None = None) -> dict[str, Any]:
    return {"objects": rows, "pagination": {"offset": 0, "limit": 500, "next_url": next_url, "previous_url": None}}


def row(**changes: Any) -> dict[str, Any]:
    return {
        "bill_url": "/bills/45-1/C-5/",
        "session": "45-1",
        "number": 12,
        "date": "2025-06-16",
        "description": {"en": "Government Business No. 1 ", "fr": ""},
        "result": "Passed",
        "yea_total": 2,
        "nay_total": 1,
        "paired_total": 0,
        "url": "/votes/45-1/12/",
    } | changes


def detail(**changes: Any) -> dict[str, Any]:
    party = {"name": {"en": "Bloc Québécois"}, "short_name": {"en": "Bloc"}}
    lines = [{"vote": "No", "disagreement": 0.25, "party": party}]
    return row(context_statement=None, party_votes=lines) | changes


def ballot(slug: str = "a-b", **changes: Any) -> dict[str, Any]:
    return {
        "vote_url": "/votes/45-1/12/",
        "politician_url": f"/politicians/{slug}/",
        "politician_membership_url": "/politicians/memberships/77/",
        "ballot": "Yes",
    } | changes


def seat(**changes: Any) -> dict[str, Any]:
    return {
        "url": "/politicians/memberships/12/",
        "start_date": "2011-05-02",
        "end_date": None,
        "party": {"name": {"en": "Green Party of Canada"}, "short_name": {"en": "Green"}},
        "label": {"en": "Green MP"},
        "riding": {"name": {"en": "Saanich—Gulf Islands"}, "province": "BC", "id": 59026},
    } | changes


def member(**changes: Any) -> dict[str, Any]:
    return {
        "name": "Elizabeth May",
        "url": "/politicians/elizabeth-may/",
        "given_name": "Elizabeth",
        "family_name": "May",
        "gender": "F",
        "image": "/media/polpics/may.jpg",
        "other_info": {"parl_mp_id": ["2897"], "constituency_offices": ["Sidney", " "], "favourite_word": ["green"]},
        "links": [{"url": "https://example.org/may", "note": ""}],
        "voice": "613-555-0100",
        "memberships": [seat()],
    } | changes


def source(answer: Callable[[httpx.Request], httpx.Response]) -> Votes:
    client = Client(
        user_agent="t",
        throttle=NullThrottle(),
        connect_timeout=1,
        read_timeout=1,
        max_body_bytes=10_000,
        transport=httpx.MockTransport(answer),
    )
    return Votes(client, SITE)


def test_the_ballots_of_all_pages_are_one_document() -> None:
    pages = {BALLOTS: page([ballot("a-b")], BALLOTS + "&offset=500"), BALLOTS + "&offset=500": page([ballot("c-d")])}
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path.decode())
        return httpx.Response(200, json=pages[asked[-1]])

    found = source(answer).fetch_ballots(KEY, Tally())
    assert asked == list(pages)
    assert [one.slug for one in votes.parse_ballots(found, KEY).ballots] == ["a-b", "c-d"]


def test_one_page_of_ballots_is_kept_as_it_came() -> None:
    body = b' {"objects": [], "pagination": {"next_url": null}}\n'
    found = source(lambda _: httpx.Response(200, content=body, headers={"content-type": "application/json"}))
    assert found.fetch_ballots(KEY, Tally()).body == body


def test_a_ballot() -> None:
    read = votes.parse_ballots(document(page([ballot(politician_membership_url=None, ballot="Didn't vote")])), KEY)
    assert read == Ballots((Ballot("a-b", None, Choice.ABSENT),))


def test_a_ballot_that_comes_on_two_pages_counts_once() -> None:
    pages = joined([document(page([ballot("a-b")])), document(page([ballot("a-b"), ballot("c-d")]))])
    read = votes.parse_ballots(pages, KEY)
    assert ([one.slug for one in read.ballots], read.odd) == (["a-b", "c-d"], ())


OTHER = {"politician_membership_url": "/politicians/memberships/78/"}


@pytest.mark.parametrize(
    ("rows", "kept", "told"),
    [
        ([ballot(), ballot(**OTHER)], [("a-b", None, "Yes")], ("ballots.a-b", "politician_url", "has 2 ballots")),
        ([ballot(), ballot(ballot="No")], [], ("ballots.a-b", "politician_url", "has 2 ballots")),
        ([ballot(), ballot(**OTHER, ballot="No")], [], ("ballots.a-b", "politician_url", "has 2 ballots")),
        ([ballot(ballot="Abstained")], [], ("ballots.a-b", "ballot", "unknown value 'Abstained'")),
        ([ballot(ballot=None)], [], ("ballots.a-b", "ballot", "Expected `str`, got `null`")),
        ([ballot(politician_url="/people/a/")], [], ("ballots", "politician_url", "no politician")),
        ([ballot(politician_url=None)], [], ("ballots", "politician_url", "Expected `str`, got `null`")),
        ([ballot(politician_membership_url="/x/")], [], ("ballots.a-b", "politician_membership_url", "no membership")),
    ],
)
def test_an_odd_ballot_is_told_and_the_others_stand(
    rows: list[Any], kept: list[Any], told: tuple[str, str, str]
) -> None:
    """Also of a member whose two ballots differ: what both say stands, and what they do not is nobody's to choose."""
    read = votes.parse_ballots(document(page([ballot("c-d"), *rows, ballot("e-f")])), KEY)
    stand = [(one.slug, one.membership_id, one.choice) for one in read.ballots]
    assert sorted(stand) == sorted([("c-d", 77, "Yes"), ("e-f", 77, "Yes"), *kept])
    (error,) = read.odd
    assert (error.key, error.part, error.field) == ("45-1 12", *told[:2])
    assert told[2] in error.reason


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([ballot(), ballot("c-d"), ballot("e-f", vote_url="/votes/45-1/13/")], "is a ballot of"),
        ([ballot(), ballot("c-d"), ballot("e-f", vote_url=None)], "vote_url"),
        ([ballot(), ballot("c-d"), None], "Expected `object`, got `null`"),
        ([ballot(), ballot("c-d", ballot="Abstained"), ballot("e-f", ballot="Abstained")], "unknown value 'Abstained'"),
    ],
)
def test_ballots_that_are_refused(rows: list[Any], reason: str) -> None:
    """Those of another division among them, and a document most of which cannot be read."""
    with pytest.raises(DocumentError, match=reason):
        votes.parse_ballots(document(page(rows)), KEY)


def test_a_division() -> None:
    vote = votes.parse_vote(document(detail()), KEY)
    assert vote.division.bill == BillKey.parse("45-1 C-5")
    assert vote.division.held_on == date(2025, 6, 16)
    assert (vote.division.description_en, vote.division.description_fr) == ("Government Business No. 1", None)
    assert [(line.party, line.position, line.disagreement) for line in vote.lines] == [("Bloc", "No", 0.25)]


@pytest.mark.parametrize(
    ("choices", "match"),
    [
        ([Choice.YES, Choice.YES, Choice.NO, Choice.ABSENT], True),
        ([Choice.YES, Choice.NO], False),
        ([Choice.YES, Choice.YES, Choice.NO, Choice.PAIRED], False),
        ([], False),
    ],
)
def test_totals(choices: list[Choice], match: bool) -> None:
    vote = votes.parse_vote(document(detail()), KEY)
    assert vote.division.totals_match([Ballot("a", None, choice) for choice in choices]) is match


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"number": 13}, "number"),
        ({"session": "44-1"}, "number"),
        ({"result": "Postponed"}, "result"),
        ({"bill_url": "/bills/45-1/X-1/"}, "bill_url"),
        ({"bill_url": "/C-5/"}, "bill_url"),
        ({"yea_total": -1}, "yea_total"),
        ({"date": "0001-01-01"}, "date"),
        ({"description": None}, "description"),
    ],
)
def test_divisions_that_are_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(DocumentError) as caught:
        votes.parse_vote(document(detail(**changes)), KEY)
    assert caught.value.field == field
    assert caught.value.key == "45-1 12"


def party(name: str | None = "Liberal", **changes: Any) -> dict[str, Any]:
    return {"vote": "Yes", "disagreement": 0.0, "party": {"name": {"en": name}, "short_name": {"en": None}}} | changes


@pytest.mark.parametrize(
    ("lines", "part", "field"),
    [
        ([party("Green", disagreement=None)], "parties.Green", "party_votes[1].disagreement"),
        ([party("Green", disagreement=1.5)], "parties.Green", "party_votes[1].disagreement"),
        ([party("Green", vote="Maybe")], "parties.Green", "party_votes[1].vote"),
        ([party(" ")], "parties", "party_votes[1].party"),
        ([party("Green", party=None)], "parties", "party_votes[1].party"),
        ([None], "parties", "party_votes[1]"),
        ([party("Green"), party("Green", vote="No")], "parties.Green", "party_votes"),
    ],
)
def test_an_odd_line_of_a_party_is_told_and_the_division_stands(lines: list[Any], part: str, field: str) -> None:
    vote = votes.parse_vote(document(detail(party_votes=[party(), *lines])), KEY)
    assert [line.party for line in vote.lines] == ["Liberal"]
    (error,) = vote.odd
    assert (error.key, error.part, error.field) == ("45-1 12", part, field)


@pytest.mark.parametrize("bad", [None, {}, "none"])
def test_party_lines_that_are_none_are_an_odd_part_of_the_division(bad: object) -> None:
    vote = votes.parse_vote(document(detail(party_votes=bad)), KEY)
    assert (vote.lines, [(error.part, error.field) for error in vote.odd]) == ((), [("parties", "party_votes")])


def test_a_line_that_comes_twice_counts_once() -> None:
    vote = votes.parse_vote(document(detail(party_votes=[party(), party()])), KEY)
    assert ([line.party for line in vote.lines], vote.odd) == (["Liberal"], ())


def test_divisions_listed_twice_are_told_across_pages() -> None:
    pages = [document(page([row(), row(number=13)])), document(page([row(number=13), row(number=14)]))]
    read = votes.parse_list(pages, SESSION)
    assert ([one.key.number for one in read.divisions], read.doubled, read.rejected) == ([12, 13, 14], ("45-1 13",), ())


def test_a_division_that_is_listed_with_two_results_is_rejected() -> None:
    read = votes.parse_list([document(page([row(), row(number=13)])), document(page([row(result="Failed")]))], SESSION)
    assert ([one.key.number for one in read.divisions], read.doubled) == ([13], ("45-1 12",))
    assert [(error.key, error.reason) for error in read.rejected] == [
        ("45-1 12", "is listed twice, with different facts")
    ]


def test_a_bad_row_is_rejected_and_the_others_are_read() -> None:
    rows = [row(), row(number=13, result="?"), row(), row(number=14, session="44-1"), {}]
    read = votes.parse_list([document(page(rows))], SESSION)
    assert [str(one.key) for one in read.divisions] == ["45-1 12"]
    assert read.doubled == ("45-1 12",)
    assert [error.key for error in read.rejected] == ["45-1 13", "44-1 14", None]


def test_the_newest_division_tells_the_session() -> None:
    assert votes.session_of(document(page([row()]))) == SESSION
    with pytest.raises(DocumentError, match="no division"):
        votes.session_of(document(page([])))


def test_a_politician() -> None:
    read = politicians.parse_politician(document(member()), "elizabeth-may")
    assert (read.person_id, read.email, read.phone, read.offices) == (2897, None, "613-555-0100", "Sidney")
    assert read.image_url == f"{SITE}/media/polpics/may.jpg"
    assert read.links == ({"url": "https://example.org/may", "note": None},)
    assert read.current is read.memberships[0]
    assert (read.current.party, read.current.riding, read.current.province) == ("Green", "Saanich—Gulf Islands", "BC")


@pytest.mark.parametrize(
    ("info", "person_id"), [({}, None), ({"parl_mp_id": ["1", "2"]}, None), ({"parl_mp_id": ["x"]}, None)]
)
def test_a_person_without_one_number_has_none(info: dict[str, Any], person_id: int | None) -> None:
    assert politicians.parse_politician(document(member(other_info=info)), "elizabeth-may").person_id is person_id


def test_a_politician_without_other_info() -> None:
    bare = {name: value for name, value in member().items() if name != "other_info"}
    assert politicians.parse_politician(document(bare), "elizabeth-may").person_id is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"url": "/politicians/someone-else/"}, "url"),
        ({"name": " "}, "name"),
        ({"memberships": None}, "memberships"),
        ({"memberships": [seat(), seat(start_date="2012-05-02")]}, "memberships"),
        ({"memberships": [seat(url="/12/")]}, "memberships[0].url"),
        ({"memberships": [seat(end_date="soon")]}, "memberships[0].end_date"),
        ({"memberships": [None]}, "memberships[0]"),
    ],
)
def test_politicians_who_are_refused(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(DocumentError) as caught:
        politicians.parse_politician(document(member(**changes)), "elizabeth-may")
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"end_date": "2010-01-01"}, "end_date"),
        ({"url": "/12/", "end_date": "2015-01-01"}, "url"),
        ({"start_date": None, "end_date": "2015-01-01"}, "start_date"),
        ({"start_date": "0001-01-01", "end_date": "2015-01-01"}, "start_date"),
        ({"party": "Green", "end_date": "2015-01-01"}, "party"),
    ],
)
def test_an_odd_membership_that_is_over_is_told_and_the_politician_stands(changes: dict[str, Any], field: str) -> None:
    read = politicians.parse_politician(document(member(memberships=[seat(**changes), seat()])), "elizabeth-may")
    assert [one.id for one in read.memberships] == [12]
    (error,) = read.odd
    assert (error.key, error.part, error.field) == ("elizabeth-may", "memberships", f"memberships[0].{field}")


def test_a_membership_that_comes_twice_counts_once() -> None:
    read = politicians.parse_politician(document(member(memberships=[seat(), seat()])), "elizabeth-may")
    assert ([one.id for one in read.memberships], read.odd) == ([12], ())


@pytest.mark.parametrize("bad", [None, {}, [None], [{"url": None, "note": ""}]])
def test_links_that_cannot_be_read_are_an_odd_part_of_the_politician(bad: object) -> None:
    read = politicians.parse_politician(document(member(links=bad)), "elizabeth-may")
    assert (read.links, [error.part for error in read.odd]) == ((), ["links"])


def person(slug: str) -> dict[str, Any]:
    return {"name": slug.upper(), "url": f"/politicians/{slug}/"}


def sitting(slug: str) -> dict[str, Any]:
    return person(slug) | {"current_party": None, "current_riding": None, "image": None}


def test_politicians_listed_twice_are_told_across_pages_of_either_list() -> None:
    everybody = [document(page([person("a"), person("b")])), document(page([person("b"), person("c")]))]
    current = [document(page([sitting("a"), sitting("c")])), document(page([sitting("c")]))]
    read = politicians.parse_list(everybody, current)
    assert [one.slug for one in read.listings] == ["a", "b", "c"]
    assert (set(read.doubled), read.rejected) == ({"b", "c"}, ())


def test_a_member_whom_the_list_of_everybody_lacks_is_rejected_and_has_not_left() -> None:
    read = politicians.parse_list([document(page([person("a")]))], [document(page([sitting("a"), sitting("b")]))])
    assert [one.slug for one in read.listings] == ["a"]
    assert [(error.key, error.reason) for error in read.rejected] == [
        ("b", "sits today and is not on the list of everybody")
    ]


def test_two_lists_make_one() -> None:
    names = [{"name": name, "url": f"/politicians/{slug}/"} for name, slug in (("A", "a"), ("B", "b"), ("C", "1234"))]
    today = names[0] | {
        "current_party": {"short_name": {"en": "Green"}},
        "current_riding": {"province": "BC", "name": {"en": "Saanich"}},
        "image": None,
    }
    unreadable = names[1] | {"current_party": 3, "current_riding": None, "image": None}
    read = politicians.parse_list([document(page(names))], [document(page([today, unreadable]))])
    assert [(one.slug, one.is_current, one.party) for one in read.listings] == [
        ("a", True, "Green"),
        ("1234", False, None),
    ]
    assert [error.key for error in read.rejected] == ["b"]


WHOLE = json.dumps(detail()).encode()


@thorough
@given(st.integers(0, len(WHOLE)), st.integers(0, 8), st.binary(max_size=8))
def test_broken_bytes_end_as_a_document_error(at: int, gone: int, new: bytes) -> None:
    body = document(WHOLE[:at] + new + WHOLE[at + gone :])
    for read in (
        lambda: votes.parse_vote(body, KEY),
        lambda: votes.parse_ballots(body, KEY),
        lambda: votes.parse_list([body], SESSION),
        lambda: politicians.parse_politician(body, "elizabeth-may"),
    ):
        try:
            read()
        except DocumentError:
            continue
