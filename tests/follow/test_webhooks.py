"""Where a webhook may be: each address is looked at, whatever its form, and the one that was looked at is asked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from ipaddress import ip_address

import httpx
import pytest

from parlex.follow import webhooks
from parlex.follow.webhooks import is_public, post
from tests.follow.receivers import Receivers

NOT_PUBLIC = [
    "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.1.1",
    "169.254.169.254", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "::127.0.0.1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a00:1::1", "2001:0:7f00:1::", "100::1",
]  # fmt: skip
PUBLIC = ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::1"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_no_address_of_the_internet_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_one_is_public(address: str) -> None:
    assert is_public(ip_address(address))


HOSTS = [
    "127.0.0.1",
    "2130706433",
    "0x7f000001",
    "127.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
]


@pytest.mark.parametrize("host", HOSTS)
def test_an_address_is_known_in_whatever_way_it_is_written(host: str, receivers: Receivers) -> None:
    sent = post(f"http://{host}:{receivers.port}/hook", b"{}", {}, private=False)
    assert "not public" in (sent.error or "")
    with pytest.raises(ValueError, match="no public address"):
        webhooks.require_public(httpx.URL(f"http://{host}/").host)


class Resolver:
    """Says something else each time, as a name that is rebound does; and counts how often it is asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers, self.asked = list(answers), 0

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_that_resolves_there_is_refused(address: str, receivers: Receivers) -> None:
    sent = post(f"http://inside.test:{receivers.port}/hook", b"{}", {}, private=False, resolve=Resolver([address]))
    assert "not public" in (sent.error or "")


def test_one_such_address_among_others_is_enough() -> None:
    sent = post("http://half.test/", b"{}", {}, private=False, resolve=Resolver(["1.1.1.1", "127.0.0.1"]))
    assert "not public" in (sent.error or "")


def test_the_connection_goes_to_the_address_that_was_looked_at(receivers: Receivers) -> None:
    """A name that says this machine at its second look is never looked up a second time."""
    receiver = receivers.make()
    path = httpx.URL(receiver.url).path
    asked = Resolver(["127.0.0.1"], ["127.0.0.2"])
    post(f"http://rebound.test:{receivers.port}{path}", b"{}", {}, private=True, resolve=asked)
    assert asked.asked == 1
    assert receiver.forged  # it was there that the message came
    public_first = Resolver(["192.0.2.1"], ["127.0.0.1"])
    sent = post(f"http://rebound.test:{receivers.port}{path}", b"{}", {}, private=False, resolve=public_first)
    assert (public_first.asked, len(receiver.forged)) == (1, 1)
    assert sent.error


def test_a_redirect_is_not_followed(receivers: Receivers) -> None:
    inside = receivers.make(answers=lambda: (200, {}))
    receiver = receivers.make(secret="whsec_" + "A" * 32, answers=lambda: (302, {"Location": inside.url}))
    body = b'{"changes": []}'
    secret = b"\x00" * 24
    stamp = int(time.time())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(stamp)}
    headers["webhook-signature"] = webhooks.signature([secret], "msg_1", stamp, body)
    sent = post(receiver.url, body, headers, private=True)
    assert (sent.status, sent.error) == (302, "answered 302, a redirect, which is not followed")
    assert receiver.asked
    assert not inside.asked
    assert not inside.forged


@pytest.mark.parametrize(
    ("status", "arrived", "gone"), [(200, 1, 0), (299, 1, 0), (410, 0, 1), (404, 0, 0), (500, 0, 0)]
)
def test_an_answer_is_judged_by_its_status(receivers: Receivers, status: int, arrived: int, gone: int) -> None:
    receiver = receivers.make(secret="whsec_" + "A" * 32, answers=lambda: (status, {"Retry-After": "77"}))
    stamp = int(time.time())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(stamp)}
    headers["webhook-signature"] = webhooks.signature([b"\x00" * 24], "msg_1", stamp, b'{"changes": []}')
    sent = post(receiver.url, b'{"changes": []}', headers, private=True)
    assert (sent.status, sent.error is None, sent.gone) == (status, bool(arrived), bool(gone))
    assert sent.retry_after == (None if arrived else 77)


def test_a_receiver_that_is_not_there_is_told_in_words() -> None:
    assert "ConnectError" in (post("http://127.0.0.1:1/", b"{}", {}, private=True).error or "")

    def nowhere(host: str, port: int) -> Sequence[str]:
        raise OSError("unknown name")

    assert "has no address" in (post("http://no.test/", b"{}", {}, private=True, resolve=nowhere).error or "")
