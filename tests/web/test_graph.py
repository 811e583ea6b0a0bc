"""GraphQL: it says what REST says, by a statement for each level, within limits."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from sqlalchemy import text

from parlex.resources import Resources
from parlex.web.graph import BYTES
from tests.statements import statements
from tests.web.serving import Served


def ask(client: httpx.Client, query: str, **variables: Any) -> Any:
    answer = client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    assert "errors" not in answer.json()
    return answer.json()["data"]


def refused(client: httpx.Client, query: str, **variables: Any) -> str:
    answer = client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 400, answer.text
    (error,) = answer.json()["errors"]
    return str(error["message"])


# What it says.


@pytest.mark.parametrize("name", ["bills", "votes", "politicians"])
def test_a_list_has_the_rows_and_fields_of_rest(client: httpx.Client, name: str) -> None:
    rows = client.get(f"/api/v1/{name}", params={"limit": 500}).json()["data"]
    assert rows
    assert ask(client, f"{{{name}(first: 500) {{{' '.join(rows[0])}}}}}") == {name: rows}


@pytest.mark.parametrize(
    ("path", "arguments", "lists"),
    [
        ("bills/45-1/C-4", 'bill(session: "45-1", number: "c-4")', ("changes", "votes")),
        ("votes/45-1/1", 'vote(session: "45-1", number: "1")', ("ballots", "parties", "changes")),
        ("politicians/mark-carney", 'politician(slug: "mark-carney")', ("bills", "votes", "changes")),
    ],
)
def test_a_record_has_what_rest_has_of_it(
    client: httpx.Client, path: str, arguments: str, lists: tuple[str, ...]
) -> None:
    whole = client.get(f"/api/v1/{path}").json()
    for name in lists:
        whole[name] = client.get(f"/api/v1/{path}/{name}", params={"limit": 500}).json()["data"]
    bare = ("flags", "links") if path.startswith("politicians") else ("flags",)
    whole = {name: value for name, value in whole.items() if value != [] or name in bare}
    (found,) = ask(client, f"{{{arguments} {selection(whole, bare)}}}").values()
    assert found == whole


def selection(value: Any, bare: tuple[str, ...]) -> str:
    """The fields of an object, with those of its objects; ``bare`` are lists of values, and what is JSON."""
    fields = []
    for name, each in value.items():
        row = each[0] if isinstance(each, list) and each else each
        first = "(first: 500)" if isinstance(each, list) and name not in (*bare, "stages", "memberships") else ""
        fields.append(name + first + (selection(row, bare) if isinstance(row, dict) and name not in bare else ""))
    return "{" + " ".join(fields) + "}"


def test_one_goes_on_from_a_record_to_another(client: httpx.Client) -> None:
    query = """{bills(session: "45-1", first: 150) {
        number key: cursor sponsor {slug name memberships(first: 1) {party}} votes {number bill {number}}
    }}"""
    found = {bill["number"]: bill for bill in ask(client, query)["bills"]}
    params = {"session": "45-1", "limit": 150, "include": "sponsor,votes"}
    rows = client.get("/api/v1/bills", params=params).json()["data"]
    assert any(row["votes"] for row in rows)
    for row in rows:
        bill, slug = found[row["number"]], row["sponsor"] and row["sponsor"]["slug"]
        assert (bill["sponsor"] and bill["sponsor"]["slug"]) == slug
        assert [vote["number"] for vote in bill["votes"]] == [vote["number"] for vote in row["votes"]]
        assert {vote["bill"]["number"] for vote in bill["votes"]} <= {row["number"]}
    ballots = '{vote(session: "45-1", number: "1") {ballots(first: 500) {politician_slug politician {slug}}}}'
    for ballot in ask(client, ballots)["vote"]["ballots"]:
        assert ballot["politician"] in (None, {"slug": ballot["politician_slug"]})
    cast = '{politician(slug: "mark-carney") {votes {number ballot vote {number}}}}'
    votes = ask(client, cast)["politician"]["votes"]
    assert votes
    assert all(vote["vote"]["number"] == vote["number"] for vote in votes)


def test_a_walk_by_cursors_has_each_row_once(client: httpx.Client) -> None:
    query = 'query ($after: String) {bills(first: 2, after: $after, sort: "-number") {parliament number cursor}}'
    walked: list[Any] = []
    after = None
    while page := ask(client, query, after=after)["bills"]:
        walked += [(row["parliament"], row["number"]) for row in page]
        after = page[-1]["cursor"]
    rows = client.get("/api/v1/bills", params={"limit": 500, "sort": "-number"}).json()["data"]
    assert walked == [(row["parliament"], row["number"]) for row in rows]
    assert "cursor is of another" in refused(
        client, query.replace('"-number"', '"number"'), after=cursor_of(client, query)
    )


def cursor_of(client: httpx.Client, query: str) -> Any:
    return ask(client, query)["bills"][0]["cursor"]


def test_what_is_not_held_is_null(client: httpx.Client) -> None:
    query = '{bill(session: "45-1", number: "C-9999") {number} politician(slug: "nobody") {name}}'
    assert ask(client, query) == {"bill": None, "politician": None}


def test_fragments_aliases_and_variables(client: httpx.Client) -> None:
    query = """query Asked($n: Int!, $with: Boolean = false) {
        c: bill(session: "45-1", number: "C-2") {...told stages @include(if: $with) {stage}}
        bills(first: $n) {...told ... on Bill {n: number}}
    } fragment told on Bill {sponsor {name} __typename}"""
    found = ask(client, query, n=1)
    assert found["c"].keys() == {"sponsor", "__typename"}
    assert found["bills"][0].keys() == {"sponsor", "__typename", "n"}


# What it costs.


@pytest.mark.parametrize(
    ("query", "levels"),
    [
        ("{bills(first: 50) {number stages {stage} votes {number} sponsor {name}}}", 3),
        ("{bills(first: 50) {sponsor {bills(first: 2) {number}} votes(first: 5) {ballots(first: 2) {ballot}}}}", 5),
        ("{votes(first: 50) {bill {sponsor {name memberships {party}}} parties(first: 5) {party}}}", 4),
        (
            "{politicians(first: 20) {bills(first: 2) {number} votes(first: 2) {vote {date}} changes(first: 1) {seq}}}",
            5,
        ),
    ],
)
def test_a_level_is_one_statement(client: httpx.Client, served: Served, query: str, levels: int) -> None:
    with statements(served.engine) as sent:
        ask(client, query)
    # The poller of the history, and the settings of each transaction, are on the same engine.
    assert len([one for one in sent if one.startswith("set local")]) == levels


SCHEMA = "{__schema {types {name fields {name type {name ofType {name}}}}}}"


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("{bills(first: 400) {votes(first: 50) {number}}}", "the rows it could read are 20,400"),
        ("query ($n: Int = 400) {bills(first: $n) {votes(first: 50) {number}}}", "the rows it could read are 20,400"),
        ("{bills {sponsor {bills {sponsor {bills(first: 1) {sponsor {name}}}}}}}", "7 fields deep"),
        ("{bills {...a}} fragment a on Bill {sponsor {bills {...b}}} fragment b on Bill {sponsor {bills {...c}}} "
         "fragment c on Bill {sponsor {name}}", "7 fields deep"),
        ("{" + " ".join(f"a{n}: bills {{number}}" for n in range(31)) + "}", "31 aliases"),
        ("{bills {" + "number " * 1000 + "}}", "more than 1000 tokens"),
        ("{__schema {types {fields {type {fields {type {fields {name}}}}}}}}", "introspection depth"),
        ("{bills(first: 0) {number}}", "limit: "),
        ("{bills(first: 501) {number}}", "limit: "),
        ("{votes(from: \"yesterday\") {number}}", "from: "),
        ("{bills(status: [\"Lost\"]) {number}}", "status"),
        ("{bills(after: \"x\") {number}}", "the cursor is none"),
        ("{search(q: \"\\u0000\") {key}}", "q: "),
        ("{bills {none}}", "Cannot query field 'none'"),
        ("{bills", "Syntax Error"),
        ("mutation {bills {number}}", "mutation"),
    ],
)  # fmt: skip
def test_what_is_wrong_or_too_much_is_refused(client: httpx.Client, query: str, told: str) -> None:
    assert told in refused(client, query)


def test_fragments_of_fragments_are_measured_once(client: httpx.Client) -> None:
    """Two to the fortieth, for whoever would follow each of them."""
    spread = " ".join(f"fragment f{n} on Bill {{...f{n + 1} ...f{n + 1}}}" for n in range(40))
    assert ask(client, "{bills(first: 1) {...f0}} " + spread + " fragment f40 on Bill {number}")["bills"]
    deep = "{bills(first: 1) {...f0}} " + spread + " fragment f40 on Bill {votes(first: 1) {number}}"
    assert "it could read" in refused(client, deep)


def test_the_schema_may_be_asked_for(client: httpx.Client) -> None:
    names = {one["name"] for one in ask(client, SCHEMA)["__schema"]["types"]}
    assert names >= {"Bill", "Vote", "Politician", "Stage", "Ballot", "Change", "Found"}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"query": 1}', b"[" * 9000, b'{"query": "{bills{number}}", "variables": []}']
)
def test_a_body_that_asks_nothing_is_refused(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/graphql", content=body)
    assert (answer.status_code, list(answer.json())) == (400, ["errors"])


def test_a_body_that_is_too_large_is_refused(client: httpx.Client) -> None:
    query = "{bills(first: 1) {number}} #" + "x" * BYTES
    assert "larger than 16384 bytes" in refused(client, query)


def test_get_is_not_allowed(client: httpx.Client) -> None:
    answer = client.get("/graphql", params={"query": "{bills {number}}"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.headers["content-type"] == "application/problem+json"


def test_what_takes_too_long_is_ended(client: httpx.Client, held: Resources) -> None:
    """While a migration, say, has the table. Nothing of the statement is told."""
    with held.engine.begin() as db:
        db.execute(text("lock table votes in access exclusive mode"))
        assert refused(client, "{votes {number}}") == "it takes longer than 2 seconds: ask for less at once"


def test_no_question_breaks_it(served: Served) -> None:
    schema = schemathesis.graphql.from_url(f"{served.address}/graphql")
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
        @given(case=operation.as_strategy())
        def ask_it(case: schemathesis.Case) -> None:
            answer = case.call()
            assert answer.status_code in (200, 400), answer.text
            assert answer.json().keys() <= {"data", "errors"}

        ask_it()


def test_the_state_of_the_mirror_is_told_as_by_rest(client: httpx.Client) -> None:
    question = "{ status sessions { session is_current datasets { dataset held withdrawn } } }"
    told = client.post("/graphql", json={"query": question}).json()["data"]
    sessions = client.get("/api/v1/sessions").json()["data"]
    assert [one["session"] for one in told["sessions"]] == [one["session"] for one in sessions]
    assert told["sessions"][0]["datasets"][0]["held"] == sessions[0]["datasets"][0]["held"]
    assert told["status"]["mirror"] == client.get("/api/v1/status").json()["mirror"]
