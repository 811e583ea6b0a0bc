"""E-mail against a real SMTP server on loopback: asking first, both parts, French, ending it by POST alone, bounces."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import Controller
from sqlalchemy import select, update

from parlex.db.clock import Clock
from parlex.db.models import DeliveryRow, SubscriptionRow
from parlex.follow import passes, subscriptions
from parlex.follow.subscriptions import Wanted
from parlex.local.sandbox import Sandbox
from parlex.resources import Resources
from tests.follow.test_passes import PATH, move, subscriber


@dataclass
class Mailbox:
    """``refusal``: what it says to each recipient instead of taking the message."""

    port: int = 0
    refusal: str | None = None
    messages: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.raw.append(envelope.content)
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        return "250 OK"


@contextmanager
def mail_server(**options: Any) -> Iterator[Mailbox]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        found = Mailbox(port=probe.getsockname()[1])
    controller = Controller(found, hostname="127.0.0.1", port=found.port, **options)
    controller.start()
    try:
        yield found
    finally:
        controller.stop()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as found:
        yield found


@pytest.fixture
def mirror(sandbox: Sandbox, make_resources: Callable[..., Resources], mailbox: Mailbox) -> Resources:
    return make_resources(
        legisinfo_url=sandbox.legisinfo_url,
        openparliament_url=sandbox.openparliament_url,
        smtp_url=f"smtp://127.0.0.1:{mailbox.port}?from=parlex@example.org",
    )


def subscribe(client: httpx.Client, **about: Any) -> dict[str, Any]:
    wanted = {"kind": "email", "address": "jean@example.org", "language": "fr", **about}
    answer = client.post(PATH, json=wanted)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def link_in(message: EmailMessage, act: str) -> str:
    plain = message.get_body(("plain",))
    assert plain
    [link] = [word for word in plain.get_content().split() if f"/{act}?token=" in word]
    return httpx.URL(link).raw_path.decode()


def test_nobody_is_written_to_who_did_not_agree(mirror: Resources, sandbox: Sandbox, mailbox: Mailbox) -> None:
    with subscriber(mirror) as client:
        made = subscribe(client)
        assert "secret" not in made
        assert made["state"] == "unconfirmed"
        passes.run(mirror)
        [asked] = mailbox.messages
        assert asked["To"] == "jean@example.org"
        assert asked["From"] == "Parlex <parlex@example.org>"
        assert asked["List-Unsubscribe"] is None
        move(mirror, sandbox)
        passes.run(mirror)
        assert len(mailbox.messages) == 1
        link = link_in(asked, "confirm")
        here = str(client.base_url).rstrip("/")
        page = httpx.get(f"{here}{link}")
        assert page.status_code == 200
        assert "<form" in page.text
        assert "form-action 'self'" in page.headers["content-security-policy"]
        assert client.get(f"{PATH}/{made['id']}").json()["state"] == "unconfirmed"  # reading it changed nothing
        assert httpx.post(f"{here}{link[:-1]}x").status_code == 404
        assert httpx.post(f"{here}{link}".replace("/confirm", "/unsubscribe")).status_code == 404
        assert httpx.post(f"{here}{link}").status_code == 200
        assert client.get(f"{PATH}/{made['id']}").json()["state"] == "active"


def test_a_digest_has_both_parts_in_its_language(mirror: Resources, sandbox: Sandbox, mailbox: Mailbox) -> None:
    with subscriber(mirror) as client:
        made = subscribe(client)
        passes.run(mirror)
        httpx.post(f"{client.base_url}{link_in(mailbox.messages.pop(), 'confirm')}").raise_for_status()
        move(mirror, sandbox)
        passes.run(mirror)
        [digest] = mailbox.messages
        plain, html = digest.get_body(("plain",)), digest.get_body(("html",))
        assert plain
        assert html
        for part in (plain.get_content(), html.get_content()):
            assert "Projets de loi: Nouvel état" in part
            assert re.search(r"45-1 C-\d+ Loi .*: À la .* → ", part)
            assert "Loi" in part
            assert "http://127.0.0.1:8000/fr/projets-de-loi/45-1/C-" in part
            assert "http://127.0.0.1:8000/fr/changements" in part
        assert digest["Content-Language"] == "fr"
        assert digest["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        [raw] = re.findall(
            rb"^List-Unsubscribe: <(.+)>\r$", mailbox.raw[-1], re.MULTILINE
        )  # a mail program decodes nothing
        link = raw.decode().removeprefix("http://127.0.0.1:8000")
        assert client.get(link).status_code == 200
        assert client.get(f"{PATH}/{made['id']}").status_code == 200
        ended = httpx.post(f"{client.base_url}{link}", data={"List-Unsubscribe": "One-Click"})
        assert ended.status_code == 200
        assert client.get(f"{PATH}/{made['id']}").status_code == 404


def test_an_address_that_is_refused_for_good_is_paused(mirror: Resources, mailbox: Mailbox) -> None:
    with subscriber(mirror) as client:
        mailbox.refusal = "451 later"
        later = subscribe(client, address="later@example.org")
        passes.run(mirror)
        assert client.get(f"{PATH}/{later['id']}").json()["state"] == "unconfirmed"
        mailbox.refusal = "550 nobody here"
        made = subscribe(client, address="nobody@example.org")
        passes.run(mirror)
        told = client.get(f"{PATH}/{made['id']}").json()
        assert (told["state"], told["paused_because"]) == ("paused", "refused with 550")
        [sent] = client.get(f"{PATH}/{made['id']}/deliveries").json()["data"]
        assert (sent["status"], sent["answer"]) == (550, "nobody here")


def test_no_password_goes_to_a_server_without_encryption(
    mirror: Resources, make_resources: Callable[..., Resources], mailbox: Mailbox
) -> None:
    del mirror
    secret = make_resources(smtp_url=f"smtp://me:hush@127.0.0.1:{mailbox.port}?from=parlex@example.org")
    with subscriber(secret) as client:
        made = subscribe(client)
        passes.run(secret)
        [sent] = client.get(f"{PATH}/{made['id']}/deliveries").json()["data"]
    assert sent["error"] == "the mail server offers no STARTTLS: the password is not sent to it"
    assert mailbox.messages == []


def test_a_server_that_offers_encryption_is_written_to_with_it(
    make_resources: Callable[..., Resources], certificate: Path
) -> None:
    """Its certificate is one that nobody trusts, so that nothing is sent."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    with mail_server(tls_context=context) as mailbox:
        resources = make_resources(smtp_url=f"smtp://127.0.0.1:{mailbox.port}?from=parlex@example.org")
        with subscriber(resources) as client:
            made = subscribe(client)
            passes.run(resources)
            [sent] = client.get(f"{PATH}/{made['id']}/deliveries").json()["data"]
    assert sent["error"] == "the mail server cannot be used: SSLCertVerificationError"
    assert mailbox.messages == []


def test_what_is_sent_daily_waits_for_its_hour(mirror: Resources, sandbox: Sandbox, mailbox: Mailbox) -> None:
    with subscriber(mirror) as client:
        made = subscribe(client, when="weekly", language="en")
        passes.run(mirror)
        httpx.post(f"{client.base_url}{link_in(mailbox.messages.pop(), 'confirm')}").raise_for_status()
        move(mirror, sandbox)
        passes.run(mirror)
        assert not mailbox.messages
        with mirror.db() as db:
            row = db.scalars(select(SubscriptionRow)).one()
            assert (row.next_look_at.hour, row.next_look_at.weekday()) == (11, 0)
            db.execute(update(SubscriptionRow).values(next_look_at=row.made_at))
        passes.run(mirror)
        assert len(mailbox.messages) == 1
        with mirror.db() as db:
            assert db.scalars(select(SubscriptionRow)).one().next_look_at > row.made_at
            assert db.scalars(select(DeliveryRow.type).order_by(DeliveryRow.created_at)).all() == ["confirm", "changes"]
        assert made["when"] == "weekly"


def test_without_a_mail_server_there_is_no_email(make_resources: Callable[..., Resources]) -> None:
    with subscriber(make_resources()) as client:
        answer = client.post(PATH, json={"kind": "email", "address": "jean@example.org"})
        assert answer.status_code == 422
        assert "PARLEX_SMTP_URL" in answer.text


@pytest.mark.parametrize(("page", "language"), [("/en/follow", "en"), ("/fr/suivre", "fr")])
def test_whoever_has_no_key_fills_in_a_form(page: str, language: str, mirror: Resources, mailbox: Mailbox) -> None:
    with subscriber(mirror) as client, httpx.Client(base_url=client.base_url, follow_redirects=True) as reader:
        form = reader.get(page, params={"session": "45-1", "number": "C-2"}).text
        assert 'value="C-2"' in form
        assert "role=" not in form[form.index('id="subscribe"') : form.index("<form", form.index('id="subscribe"'))]
        fields = {"address": " jean@example.org ", "when": "weekly", "session": "45-1", "number": "C-2", "q": ""}
        answer = reader.post(page, data=fields)
        assert answer.url.path == page
        assert "jean@" not in str(answer.url)
        assert 'role="status"' in answer.text
        passes.run(mirror)
        [asked] = mailbox.messages
        assert asked["To"] == "jean@example.org"
        link = link_in(asked, "confirm")
        assert f'lang="{language}"' in reader.get(link).text
        reader.post(link).raise_for_status()
        with mirror.db() as db:
            row = db.scalars(select(SubscriptionRow)).one()
        assert (row.when, row.language, row.key_id) == ("weekly", language, None)
        assert row.filter == {"session": "45-1", "number": ["C-2"]}
        assert row.confirmed_at is not None


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"address": "jean"}, "address"),
        ({"address": ""}, "address"),
        ({"session": "forty-five"}, "filter"),
        ({"dataset": "bylaws"}, "filter"),
        ({"sponsor": "a", "politician": "b"}, "filter"),
        ({"when": "yearly"}, "when"),
    ],
)
def test_a_form_that_cannot_be_leads_back_with_what_was_given(
    fields: dict[str, str], wrong: str, mirror: Resources
) -> None:
    with subscriber(mirror) as client, httpx.Client(base_url=client.base_url) as reader:
        answer = reader.post("/en/follow", data={"address": "jean@example.org", "number": "C-2", **fields})
        assert answer.status_code == 303
        led = httpx.URL(answer.headers["location"])
        assert led.params["wrong"] == wrong
        assert led.params["number"] == "C-2"
        assert "address" not in led.params
        assert 'role="alert"' in (page := reader.get(str(led))).text
        assert page.headers["cache-control"] == "no-store"
        with mirror.db() as db:
            assert db.scalars(select(SubscriptionRow)).all() == []


def test_a_link_puts_no_words_of_its_own_on_the_page(mirror: Resources) -> None:
    with subscriber(mirror) as client:
        page = client.get("/en/follow", params={"wrong": "you were robbed"}).text
        assert "robbed" not in page
        assert 'role="alert"' in page


def test_a_form_is_a_form(mirror: Resources) -> None:
    with subscriber(mirror) as client:
        assert client.post("/en/follow", json={"address": "jean@example.org"}).status_code == 415


def test_strangers_may_ask_for_email_and_for_no_webhook(mirror: Resources) -> None:
    with subscriber(mirror) as client, httpx.Client(base_url=client.base_url) as stranger:
        made = subscribe(stranger)
        assert stranger.get(f"{PATH}/{made['id']}").status_code == 401
        assert client.get(f"{PATH}/{made['id']}").status_code == 404  # it is nobody's
        hook = {"kind": "webhook", "address": "https://example.org/hook"}
        assert stranger.post(PATH, json=hook).status_code == 401
        with mirror.db() as db:
            for number in range(1, subscriptions.MOST_ASKED):
                wanted = Wanted(kind="email", address=f"somebody{number}@example.org")
                subscriptions.create(db, wanted, mirror.datasets, mirror.settings, now=Clock(db).now())
        answer = stranger.post(PATH, json={"kind": "email", "address": "paul@example.org"})
        assert answer.status_code == 422
        assert "tomorrow" in answer.text
        led = stranger.post("/fr/suivre", data={"address": "paul@example.org"}).headers["location"]
        assert httpx.URL(led).params["wrong"] == "many"
        subscribe(client, address="paul@example.org")  # a key answers for it


def test_without_a_mail_server_there_is_no_form(make_resources: Callable[..., Resources]) -> None:
    with subscriber(make_resources()) as client, httpx.Client(base_url=client.base_url) as stranger:
        page = stranger.get("/en/follow?session=45-1").text
        assert '<form class="facets asks" method="post"' not in page
        assert stranger.post("/en/follow", data={"address": "jean@example.org"}).status_code == 405
        assert stranger.post(PATH, json={"kind": "email", "address": "jean@example.org"}).status_code == 401
