"""Keys of the API: made once, hashed, believed for seconds, and in no address."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import text

from parlex.db import api_keys
from parlex.local.locks import wait_until
from parlex.resources import Resources
from tests.statements import statements
from tests.web.test_door import RUNS, asking, problem

BILLS = "/api/v1/bills"


@pytest.fixture
def mirror(make_resources: Callable[..., Resources]) -> Resources:
    return make_resources()


def made(mirror: Resources, role: str) -> str:
    with mirror.db() as db:
        return api_keys.add(db, f"a {role}", role)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_the_database_has_the_hash_alone(mirror: Resources) -> None:
    key = made(mirror, api_keys.OPERATOR)
    _, key_id, secret = key.split("_", 2)
    with mirror.db() as db:
        row = db.execute(text("select api_keys::text, id, secret_sha256 from api_keys")).one()
    assert secret not in row[0]
    assert (row[1], bytes(row[2])) == (key_id, hashlib.sha256(secret.encode()).digest())
    assert made(mirror, api_keys.OPERATOR) != key


def test_none_exists_by_default(mirror: Resources) -> None:
    with mirror.db() as db:
        assert api_keys.listed(db) == []


def test_who_has_no_key_or_a_wrong_one_may_not_write(mirror: Resources) -> None:
    key = made(mirror, api_keys.OPERATOR)
    with asking(mirror) as client:
        answer = client.post(RUNS, json={})
        problem(answer, 401)
        assert answer.headers["www-authenticate"] == 'Bearer realm="parlex"'
        changed = key[:-1] + ("a" if key[-1] != "a" else "b")
        unknown = f"plx_{'0' * 12}_{key.split('_', 2)[2]}"
        for wrong in (changed, unknown, key[:-1], key + "x", key.upper(), "plx", "-", "plx__", "é" * 40, "x" * 4000):
            answer = client.post(RUNS, json={}, headers={"Authorization": f"Bearer {wrong}".encode()})  # type: ignore[dict-item]
            problem(answer, 401)
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        # The error is honest on a read as well: a key that is wrong is no key of nobody.
        problem(client.get(BILLS, headers=bearer(changed)), 401)


def test_a_key_in_an_address_is_none(mirror: Resources) -> None:
    key = made(mirror, api_keys.OPERATOR)
    with asking(mirror) as client:
        for name in ("key", "api_key", "access_token", "authorization"):
            problem(client.post(f"{RUNS}?{name}={key}", json={}), 401)


def test_another_s_sign_in_is_not_ours_to_judge(mirror: Resources) -> None:
    """A proxy that asks for a password passes it on."""
    with asking(mirror) as client:
        assert client.get(BILLS, auth=("somebody", "something")).status_code == 200
        problem(client.post(RUNS, json={}, auth=("somebody", "something")), 401)


@pytest.mark.parametrize("role", [api_keys.READER, api_keys.SUBSCRIBER])
def test_a_key_of_another_role_may_read_and_not_start_runs(mirror: Resources, role: str) -> None:
    key = made(mirror, role)
    with asking(mirror) as client:
        assert client.get(BILLS, headers=bearer(key)).status_code == 200
        assert role in problem(client.post(RUNS, json={}, headers=bearer(key)), 403)["detail"]


def test_a_revoked_key_stops_within_seconds(mirror: Resources) -> None:
    key = made(mirror, api_keys.READER)
    with asking(mirror) as client:
        assert client.get(BILLS, headers=bearer(key)).status_code == 200
        with mirror.db() as db:
            assert api_keys.revoke(db, key.split("_")[1])
            assert not api_keys.revoke(db, key.split("_")[1])
        assert wait_until(lambda: client.get(BILLS, headers=bearer(key)).status_code == 401, 10, every=0.2)


def test_a_key_that_is_asked_often_costs_one_look(mirror: Resources) -> None:
    key = made(mirror, api_keys.READER)
    with asking(mirror) as client:
        client.get(BILLS, headers=bearer(key))
        with statements(mirror.engine) as sent:
            answers = [client.get("/nowhere", headers=bearer(key)) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {404}
    assert len(sent) <= 4  # one look begins and asks; a second one may fall into the same moment


def test_where_nobody_can_look_a_key_is_neither_good_nor_wrong(mirror: Resources) -> None:
    key = made(mirror, api_keys.READER)
    with asking(mirror) as client, mirror.db() as db:
        db.execute(text("alter table api_keys rename to elsewhere"))
        db.commit()
        answer = client.get(BILLS, headers=bearer(key))
        problem(answer, 503)
        assert answer.headers["retry-after"]


def test_the_scheme_is_written_in_any_case(mirror: Resources) -> None:
    key = made(mirror, api_keys.READER)
    with asking(mirror) as client:
        assert client.get(BILLS, headers={"Authorization": f"bEARER {key}"}).status_code == httpx.codes.OK
