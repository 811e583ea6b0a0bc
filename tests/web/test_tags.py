"""Tags: they cover their bodies, and cost no SQL."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import text

from parlex.datasets.served import Cover
from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.serving.bodies import Bodies, Body
from parlex.serving.tags import Line, Seqs
from tests.statements import statements
from tests.web.serving import Served, serving

ADDRESSES = [
    "bills",
    "bills?session=45-1",
    "bills?session=45-1&include=stages,sponsor,votes",
    "bills?session=44-1",
    "bills/45-1/C-2",
    "bills/45-1/C-4",
    "bills/45-1/C-5",
    "bills/45-1/C-5?include=sponsor,votes",
    "bills/45-1/C-5/votes",
    "bills/45-1/C-5/lineage",
    "votes?session=45-1",
    "politicians",
    "politicians/mark-carney",
    "politicians/mark-carney/bills",
    "politicians/mark-carney/votes",
]


@pytest.fixture
def server(mirror: Resources) -> Iterator[Served]:
    with serving(mirror) as server:
        yield server


def test_a_body_that_differs_has_another_tag(sandbox: Sandbox, mirror: Resources, server: Served) -> None:
    """The life of a session, day by day: an equal tag means an equal body, for each address."""
    bodies: dict[tuple[str, str], bytes] = {}
    kept = asked = 0
    with httpx.Client(base_url=f"{server.address}/api/v1/") as client:
        for _ in range(25):
            for dataset in ("bills", "votes"):
                alone.run_session(mirror.pipeline, SessionId(45, 1), dataset=dataset)
            alone.run_latest(mirror.pipeline, limit=None, dataset="politicians")
            server.wait_for(mirror)
            for address in ADDRESSES:
                answer = client.get(address)
                if answer.status_code == 404:
                    continue
                key = address, answer.headers["etag"]
                assert bodies.setdefault(key, answer.content) == answer.content, address
                again = client.get(address, headers={"If-None-Match": answer.headers["etag"]})
                assert (again.status_code, again.content) == (304, b"")
                asked, kept = asked + 1, kept + (len([1 for known, _ in bodies if known == address]) > 1)
            sandbox.advance()
    assert kept > 0, "nothing ever changed"


def test_what_the_client_has_costs_no_statement(client: httpx.Client, served: Served) -> None:
    for address in ("bills", "bills/45-1/C-2", "votes?session=45-1", "politicians/mark-carney/votes"):
        tag = client.get(f"/api/v1/{address}").headers["etag"]
        with statements(served.engine) as sent:
            answer = client.get(f"/api/v1/{address}", headers={"If-None-Match": f'"other", {tag}'})
        assert answer.status_code == 304
        assert answer.headers["etag"] == tag
        assert [one for one in sent if one.startswith("SELECT") and "mirror.id" not in one] == []


def test_a_body_is_made_once_for_each_tag(client: httpx.Client, served: Served) -> None:
    address = "/api/v1/bills?limit=17"
    first = client.get(address)
    with statements(served.engine) as sent:
        assert client.get(address).content == first.content
    assert not any("row_to_json" in one for one in sent)


def test_gzip_is_the_same_body(client: httpx.Client) -> None:
    packed = client.get("/api/v1/bills", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/api/v1/bills", headers={"Accept-Encoding": "identity"})
    assert (packed.headers["content-encoding"], packed.content) == ("gzip", plain.content)
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in client.get("/api/v1/bills", headers={"Accept-Encoding": "gzip;q=0"}).headers
    assert packed.headers["etag"] == plain.headers["etag"]


def test_formats_have_tags_of_their_own(client: httpx.Client) -> None:
    tags = {client.get(f"/api/v1/bills{suffix}").headers["etag"] for suffix in ("", ".csv", ".ndjson")}
    assert len(tags) == 3


def test_head_is_get_without_a_body(client: httpx.Client) -> None:
    head, get = client.head("/api/v1/bills"), client.get("/api/v1/bills", headers={"Accept-Encoding": "identity"})
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", get.headers["etag"])


def test_a_record_tells_when_its_source_was_asked(client: httpx.Client, held: Resources) -> None:
    with held.db() as db:
        checked = db.scalar(
            text("SELECT checked_at FROM latest_documents WHERE key = '45-1 C-2' AND source = 'legisinfo'")
        )
    assert client.get("/api/v1/bills/45-1/C-2").headers["parlex-checked-at"] == checked.isoformat(
        timespec="microseconds"
    )


def test_the_newest_number_of_what_is_covered() -> None:
    from uuid import uuid4

    seqs = Seqs(uuid4(), uuid4())
    seqs.absorb([Line(1, "bills", "45-1 C-2"), Line(2, "bills", "44-1 C-2"), Line(3, "politicians", "mark-carney")])
    assert seqs.newest([Cover("bills", key="45-1 C-2")]) == 1
    assert seqs.newest([Cover("bills", "45-1")]) == 1
    assert seqs.newest([Cover("bills")]) == 2
    assert seqs.newest([Cover("bills", "45-1"), Cover("politicians")]) == 3
    assert seqs.newest([]) == 3


def test_the_oldest_bodies_go_first() -> None:
    bodies = Bodies(most=10)
    for name in "abc":
        bodies.keep(name, "tag", "", Body(b"1234"))
    assert [bodies.get(name, "tag", "") is not None for name in "abc"] == [False, True, True]
