"""How often a client may ask: alone, together with other processes, behind proxies, and without Redis."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from redis import Redis

from parlex.db import api_keys
from parlex.local.locks import wait_until
from parlex.resources import Resources
from parlex.serving.limits import WINDOW, Limits, client_of
from parlex.settings import UNREACHABLE
from tests.web.serving import serving
from tests.web.test_door import PROBLEM, asking

SESSIONS = "/api/v1/bills"
Make = Callable[..., Resources]


def test_a_quota_may_be_taken_at_once_and_comes_back_evenly() -> None:
    limits = Limits()
    told = [limits.take("a", 600) for _ in range(600)]
    assert all(one.allowed for one in told)
    assert [one.remaining for one in told[:3]] == [599, 598, 597]
    refused = limits.take("a", 600)
    assert (refused.allowed, refused.remaining) == (False, 0)
    assert 0 < refused.seconds <= WINDOW / 600
    assert limits.take("b", 600).allowed
    assert wait_until(lambda: limits.take("a", 600).allowed, 5, every=refused.seconds)


def test_a_refusal_costs_nothing() -> None:
    """Who goes on asking is let in as soon as who waits."""
    limits = Limits()
    while limits.take("a", 5).allowed:
        pass
    waits = [limits.take("a", 5).seconds for _ in range(100)]
    assert max(waits) <= WINDOW / 5


def test_what_processes_give_is_one_quota(redis: Redis) -> None:
    one, other = Limits(redis), Limits(redis)
    for _ in range(60):
        assert one.take("a", 100).allowed
    one.share()
    other.take("a", 100)
    other.share()
    left = other.take("a", 100).remaining
    assert 35 <= left <= 45  # 38, and what came back meanwhile
    assert 0 < redis.pttl("parlex:limit:a") <= (WINDOW + 1) * 1000


def test_it_goes_on_without_redis() -> None:
    limits = Limits(Redis.from_url(UNREACHABLE))
    limits.start()
    assert [limits.take("a", 2).allowed for _ in range(3)] == [True, True, False]
    limits.stop()


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix:", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_client_is_an_address_or_all_that_one_has(host: str, client: str) -> None:
    assert client_of(host) == client


def test_too_often_is_a_429_that_says_when(make_resources: Make) -> None:
    with asking(make_resources(web_rate=5)) as client:
        answers = [client.get(SESSIONS) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert answers[0].headers["ratelimit-policy"] == '"client";q=5;w=60'
        assert re.fullmatch(r'"client";r=4;t=\d+', answers[0].headers["ratelimit"])
        told = answers[-1]
        assert told.headers["content-type"] == PROBLEM
        assert told.json()["violated-policies"] == ["client"]
        assert 1 <= int(told.headers["retry-after"]) <= 12
        assert told.headers["ratelimit"] == f'"client";r=0;t={told.headers["retry-after"]}'
        assert told.headers["access-control-allow-origin"] == "*"
        # Who is refused may still ask whether the server is well, and a browser what it may ask.
        for path in ("/livez", "/readyz"):
            assert client.get(path).status_code == 200
            assert "ratelimit" not in client.get(path).headers
        asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
        assert client.options(SESSIONS, headers=asked).status_code == 204


def test_a_304_is_counted_too(make_resources: Make) -> None:
    with asking(make_resources(web_rate=3)) as client:
        tag = client.get(SESSIONS).headers["etag"]
        again = [client.get(SESSIONS, headers={"If-None-Match": tag}) for _ in range(3)]
    assert [answer.status_code for answer in again] == [304, 304, 429]
    assert "r=1;" in again[0].headers["ratelimit"]


def test_this_machine_has_no_limit_where_none_is_set(make_resources: Make) -> None:
    with asking(make_resources()) as client:
        assert "ratelimit" not in client.get(SESSIONS).headers


FORWARDED = [
    # No proxy is named: nobody is believed, and all are one.
    (None, ["192.0.2.1", "192.0.2.2", "192.0.2.3"], [200, 200, 429]),
    # The proxy is named: each client has its own.
    ("127.0.0.1", ["192.0.2.1", "192.0.2.2", "192.0.2.3"], [200, 200, 200]),
    # What a client wrote itself stands to the left of what the proxy saw.
    ("127.0.0.1", ["192.0.2.9, 192.0.2.1", "192.0.2.8, 192.0.2.1", "192.0.2.7, 192.0.2.1"], [200, 200, 429]),
    # Two proxies, one behind the other, both named.
    ("127.0.0.0/8, 10.0.0.0/8", ["192.0.2.1, 10.0.0.1", "192.0.2.1, 10.0.0.2", "192.0.2.1"], [200, 200, 429]),
    ("127.0.0.1", ["x", "y", "z"], [200, 200, 429]),
]


@pytest.mark.parametrize(("proxies", "forwarded", "statuses"), FORWARDED)
def test_a_client_is_told_by_named_proxies_alone(
    make_resources: Make, proxies: str | None, forwarded: list[str], statuses: list[int]
) -> None:
    with asking(make_resources(web_rate=2, web_proxies=proxies)) as client:
        answers = [client.get(SESSIONS, headers={"X-Forwarded-For": one}) for one in forwarded]
    assert [answer.status_code for answer in answers] == statuses


def test_an_elsewhere_has_the_usual_limit(make_resources: Make) -> None:
    with asking(make_resources(web_proxies="127.0.0.1")) as client:
        answer = client.get(SESSIONS, headers={"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"})
        assert answer.headers["ratelimit-policy"] == '"client";q=600;w=60'


def test_a_key_has_a_limit_of_its_own_and_a_wrong_one_none(make_resources: Make) -> None:
    mirror = make_resources(web_rate=3, web_key_rate=4)
    with mirror.db() as db:
        key = api_keys.add(db, "somebody", api_keys.READER)
    wrong = {"Authorization": f"Bearer {key[:-1]}_"}
    with asking(mirror) as client:
        good = [client.get(SESSIONS, headers={"Authorization": f"Bearer {key}"}) for _ in range(5)]
        assert [answer.status_code for answer in good] == [200] * 4 + [429]
        assert good[0].headers["ratelimit-policy"] == '"key";q=4;w=60'
        assert [client.get(SESSIONS, headers=wrong).status_code for _ in range(4)] == [401, 401, 401, 429]


def test_two_servers_share_a_limit_and_one_whose_redis_goes_has_its_own(make_resources: Make, redis: Redis) -> None:
    mirror = make_resources(web_rate=50)
    with asking(mirror) as one, asking(mirror) as other:
        for _ in range(40):
            assert one.get(SESSIONS).status_code == 200

        def left() -> int:
            found: Any = re.search(r"r=(\d+)", other.get(SESSIONS).headers["ratelimit"])
            return int(found[1])

        assert wait_until(lambda: left() < 20, 5, every=0.3)
    gone = make_resources(web_rate=2, redis_url=UNREACHABLE.replace(":1/", ":2/"))
    with asking(gone) as client:
        assert [client.get(SESSIONS).status_code for _ in range(3)] == [200, 200, 429]


def test_redis_is_never_waited_for(make_resources: Make) -> None:
    """One that takes connections and says nothing."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with serving(make_resources(web_rate=1000, redis_url=silent_url)) as served:
            began = time.monotonic()
            for _ in range(50):
                assert httpx.get(f"{served.address}/api/v1/bills").status_code == 200
            assert wait_until(lambda: httpx.get(f"{served.address}/livez").status_code == 200, 1)
            assert time.monotonic() - began < 5 * 50  # the client's own patience is five seconds each
