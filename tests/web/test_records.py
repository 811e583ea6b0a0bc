"""The routes of every dataset: lists, records, what is below them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parlex.datasets.bills import reads as bill_reads
from parlex.datasets.politicians import reads as politician_reads
from parlex.datasets.served import CHECKED
from parlex.datasets.votes import reads as vote_reads
from parlex.datasets.votes.vote import VoteKey
from parlex.parliament import BillKey, SessionId
from parlex.resources import Resources

API = "/api/v1"
SORTS = {"bills": ["number", "introduced", "activity", "changed"], "votes": ["date", "number"], "politicians": ["name"]}


def told(records: Any) -> list[dict[str, Any]]:
    """What the command line prints of records, without what is not of a body."""
    return [{name: value for name, value in one.as_json().items() if name != CHECKED} for one in records]


def walk(client: httpx.Client, address: str, **params: Any) -> list[dict[str, Any]]:
    rows = []
    page = client.get(address, params=params).raise_for_status().json()
    rows += page["data"]
    while page["next"]:
        page = client.get(page["next"]).raise_for_status().json()
        rows += page["data"]
    return rows


def test_a_list_is_a_page_with_the_address_of_the_next(client: httpx.Client) -> None:
    whole = client.get(f"{API}/bills", params={"session": "45-1", "limit": 500}).json()
    assert whole["next"] is None
    first = client.get(f"{API}/bills", params={"session": "45-1", "limit": 2}).json()
    second = client.get(first["next"]).json()
    assert [*first["data"], *second["data"]] == whole["data"][:4]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_walk_with_any_limit_and_any_sort_has_each_row_once(client: httpx.Client, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SORTS)))
    sort = data.draw(st.sampled_from(["", "-"])) + data.draw(st.sampled_from(SORTS[name]))
    limit = data.draw(st.integers(1, 60))
    rows = walk(client, f"{API}/{name}", sort=sort, limit=limit)
    whole = walk(client, f"{API}/{name}", sort=sort, limit=500)
    assert rows == whole
    assert sorted(map(str, whole)) == sorted(map(str, walk(client, f"{API}/{name}", limit=500)))


def test_the_rows_of_lists_are_those_of_the_command_line(client: httpx.Client, held: Resources) -> None:
    with held.db() as db:
        assert walk(client, f"{API}/bills", limit=7) == told(bill_reads.bills(db))
        assert walk(client, f"{API}/votes", limit=7) == told(vote_reads.votes(db))
        assert walk(client, f"{API}/politicians", limit=70) == told(politician_reads.politicians(db))


def test_a_record_is_that_of_the_command_line(client: httpx.Client, held: Resources) -> None:
    with held.db() as db:
        for bill in bill_reads.bills(db):
            story = bill_reads.bill(db, bill.key)
            assert [one(client, f"bills/{bill.key.session}/{bill.number}")] == told([story])
        for vote in vote_reads.votes(db):
            where = f"votes/{vote.parliament}-{vote.session}/{vote.number}"
            key = VoteKey(SessionId(vote.parliament, vote.session), vote.number)
            assert [one(client, where)] == told([vote])
            assert walk(client, f"{API}/{where}/ballots", limit=100) == told(vote_reads.ballots(db, key))
            assert walk(client, f"{API}/{where}/parties") == told(vote_reads.parties(db, key))


def test_a_politician_is_that_of_the_command_line_but_for_what_is_below(client: httpx.Client, held: Resources) -> None:
    with held.db() as db:
        for known in list(politician_reads.politicians(db))[::10]:
            story = politician_reads.politician(db, known.slug)
            assert story is not None
            (whole,) = told([story])
            bills, votes = whole.pop("bills"), whole.pop("votes")
            assert one(client, f"politicians/{known.slug}") == whole
            assert walk(client, f"{API}/politicians/{known.slug}/votes", limit=3) == votes
            below = walk(client, f"{API}/politicians/{known.slug}/bills", limit=3)
            assert sorted(map(str, below)) == sorted(map(str, bills))


def one(client: httpx.Client, path: str) -> Any:
    return client.get(f"{API}/{path}").raise_for_status().json()


def test_a_bill_tells_of_its_divisions_and_its_sponsor_where_it_is_asked(client: httpx.Client, held: Resources) -> None:
    with held.db() as db:
        for bill in bill_reads.bills(db, SessionId(45, 1)):
            found = client.get(f"{API}/bills/45-1/{bill.number}", params={"include": "sponsor,votes"}).json()
            sponsor = politician_reads.sponsor(db, bill.key)
            assert [found["sponsor"]] == (told([sponsor]) if sponsor else [None])
            votes = told(vote_reads.votes(db, bill=BillKey(SessionId(45, 1), bill.number)))
            assert found["votes"] == votes == walk(client, f"{API}/bills/45-1/{bill.number}/votes", limit=1)


FILTERS = [
    ("bills", {"status": "RoyalAssentGiven"}, lambda row: row["status_code"] == "RoyalAssentGiven"),
    ("bills", {"number": "C-2,C-4"}, lambda row: row["number"] in ("C-2", "C-4")),
    ("bills", {"number": ["C-2", "C-4"]}, lambda row: row["number"] in ("C-2", "C-4")),
    ("bills", {"chamber": "senate"}, lambda row: row["chamber"] == "senate"),
    ("bills", {"type": "Senate Public Bill"}, lambda row: row["bill_type"] == "Senate Public Bill"),
    ("bills", {"introduced_from": "2025-09-01"}, lambda row: (row["introduced_on"] or "") >= "2025-09-01"),
    ("bills", {"introduced_to": "2025-09-01"}, lambda row: (row["introduced_on"] or "9") <= "2025-09-01"),
    ("bills", {"sponsor": "anandasangaree"}, lambda row: "Anandasangaree" in (row["sponsor_name"] or "")),
    ("bills", {"withdrawn": "true"}, lambda row: row["withdrawn"]),
    ("votes", {"result": "Failed"}, lambda row: row["result"] == "Failed"),
    ("votes", {"from": "2026-01-01", "to": "2026-12-31"}, lambda row: row["date"].startswith("2026")),
    ("votes", {"bill": "C-2"}, lambda row: row["bill_number"] == "C-2"),
    ("politicians", {"province": "QC"}, lambda row: row["province"] == "QC"),
    ("politicians", {"current": "true"}, lambda row: row["is_current"]),
    ("politicians", {"name": "carn"}, lambda row: "carn" in row["name"].lower()),
]


@pytest.mark.parametrize(
    ("name", "params", "holds"), FILTERS, ids=lambda value: str(value) if isinstance(value, str | dict) else ""
)
def test_a_filter_keeps_what_it_says(client: httpx.Client, name: str, params: Any, holds: Any) -> None:
    whole = walk(client, f"{API}/{name}", limit=500)
    kept = walk(client, f"{API}/{name}", limit=3, **params)
    assert kept == [row for row in whole if holds(row)]
    assert client.get(f"{API}/{name}", params={"count": "true", **params}).json()["count"] == len(kept)


def test_changed_after_is_a_number_of_the_history(client: httpx.Client, held: Resources) -> None:
    lines = held.db
    with lines() as db:
        from parlex.mirror import history

        newest: dict[str, int] = {}
        for change in history.changes(db, dataset="bills"):
            newest[change.key] = change.seq
    middle = sorted(newest.values())[len(newest) // 2]
    rows = walk(client, f"{API}/bills", changed_after=middle)
    keys = {f"{row['parliament']}-{row['session']} {row['number']}" for row in rows}
    assert keys == {key for key, seq in newest.items() if seq > middle}


WRONG = [
    ("bills?sesion=45-1", "sesion"),
    ("bills?limit=501", "limit"),
    ("bills?limit=0", "limit"),
    ("bills?sort=title", "sort"),
    ("bills?status=Nonsense", "status"),
    ("bills?session=45", "session"),
    ("bills?include=everything", "include"),
    ("bills?fields=nothing", "fields"),
    ("bills?cursor=a.b", "cursor"),
    ("politicians?party=a%00b", "party"),
    ("bills?introduced_from=yesterday", "introduced_from"),
    ("bills/45-1/C-2?as_of=yesterday", None),
]


@pytest.mark.parametrize(("address", "parameter"), WRONG)
def test_a_wrong_parameter_is_named(client: httpx.Client, address: str, parameter: str | None) -> None:
    answer = client.get(f"{API}/{address}")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    if parameter:
        assert parameter in [error["parameter"].split(".")[0] for error in answer.json()["errors"]]


def test_a_cursor_is_of_one_question(client: httpx.Client) -> None:
    address = client.get(f"{API}/bills?limit=2&sort=introduced").json()["next"]
    for other in (address.replace("sort=introduced", "sort=activity"), f"{address}&chamber=senate", "bills?cursor=abc"):
        answer = client.get(other if "://" in other else f"{API}/{other}")
        assert (answer.status_code, answer.json()["type"]) == (409, "wrong-cursor")


@pytest.mark.parametrize("path", ["bills/45-1/C-9999", "bills/45-1/X", "votes/45-1/0", "politicians/nobody", "nothing"])
@pytest.mark.parametrize("below", ["", "/provenance", "/votes"])
def test_what_is_not_held_is_a_problem(client: httpx.Client, path: str, below: str) -> None:
    answer = client.get(f"{API}/{path}{below}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_the_origin_of_each_field_of_each_bill(client: httpx.Client) -> None:
    """Also of a slug, which follows from documents that are not of the bill."""
    evidence = []
    for bill in client.get(f"{API}/bills?limit=500").json()["data"]:
        answer = client.get(f"{API}/bills/{bill['parliament']}-{bill['session']}/{bill['number']}/provenance")
        assert answer.status_code == 200, answer.text
        evidence += [one for field in answer.json()["data"] for one in field["derived_from"]]
    assert evidence
    assert list(evidence[0]) == ["dataset", "key", "source", "sha256", "url", "fetched_at"]


def test_the_past_of_a_bill(client: httpx.Client) -> None:
    answer = client.get(f"{API}/bills/45-1/C-2?as_of=2020-01-01")
    assert (answer.status_code, answer.json()["type"]) == (404, "not-known-yet")
    now = client.get(f"{API}/bills/45-1/C-2").json()
    assert client.get(f"{API}/bills/45-1/C-2?as_of=2999-01-01").json() == now


def test_fields_keeps_to_what_is_asked_for(client: httpx.Client) -> None:
    rows = client.get(f"{API}/bills?fields=number,title_fr&include=stages&limit=2").json()["data"]
    assert [list(row) for row in rows] == [["number", "title_fr", "stages"]] * 2


def test_csv_and_ndjson_have_the_same_rows(client: httpx.Client) -> None:
    import csv
    import json

    rows = client.get(f"{API}/votes?limit=3").json()["data"]
    lines = client.get(f"{API}/votes.ndjson?limit=3")
    assert [json.loads(line) for line in lines.text.splitlines()] == rows
    assert 'rel="next"' in lines.headers["link"]
    table = client.get(f"{API}/votes?limit=3", headers={"Accept": "text/csv"})
    assert table.headers["content-type"] == "text/csv; charset=utf-8"
    found = list(csv.DictReader(table.text.splitlines()))
    assert [row["description_en"] for row in found] == [row["description_en"] for row in rows]
    assert list(found[0]) == list(rows[0])
    assert client.get(f"{API}/votes.csv?limit=3", headers={"Accept": "application/json"}).text == table.text


@pytest.mark.parametrize("address", ["votes/45-1/1.csv", "bills.atomic", "bills.xml"])
def test_what_is_not_written_like_that_is_refused(client: httpx.Client, address: str) -> None:
    assert client.get(f"{API}/{address}").status_code in (404, 406)
    assert client.get(f"{API}/bills", headers={"Accept": "image/png"}).status_code == 406
