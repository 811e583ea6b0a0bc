"""What is sent, to whom, how often and in which order: real workers, a real server, and receivers on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, update

from parlex.db import api_keys
from parlex.db.models import ApiKeyRow, DeliveryRow, SubscriptionRow
from parlex.follow import passes, subscriptions
from parlex.follow.matching import Filter
from parlex.follow.subscriptions import Wanted
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.mirror import export, history
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.settings import environment
from tests.chaos.crew import BOUND, Crew
from tests.follow.receivers import Receiver, Receivers
from tests.statements import statements
from tests.web.serving import LAST, serving

PATH = "/api/v1/subscriptions"


@contextmanager
def subscriber(mirror: Resources) -> Iterator[httpx.Client]:
    """A client of a real server of the mirror, with a subscriber's key."""
    with mirror.db() as db:
        key = api_keys.add(db, "a subscriber", api_keys.SUBSCRIBER)
    about: dict[str, Any] = {"headers": {"Authorization": f"Bearer {key}"}, "timeout": 20}
    with serving(mirror) as served, httpx.Client(base_url=served.address, **about) as client:
        yield client


def move(mirror: Resources, sandbox: Sandbox, day: date | str = LAST) -> None:
    """The sources move on to a day, and the mirror with them."""
    sandbox.move(day)
    for dataset in ("bills", "votes", "politicians"):
        assert alone.run_latest(mirror.pipeline, limit=None, dataset=dataset).status == "success"


def lines(mirror: Resources, after: int) -> list[dict[str, Any]]:
    """What the history has after a line, but for what tells nobody."""
    with mirror.db() as db:
        return [line.as_json() for line in history.changes(db, after) if line.kind != "reparsed"]


@pytest.mark.live
def test_a_change_reaches_a_subscriber_by_a_worker(
    mirror: Resources, sandbox: Sandbox, receivers: Receivers, tmp_path: Path, redis_url: str
) -> None:
    receiver = receivers.make()
    env = environment(mirror.settings.model_copy(update={"keep_house_seconds": 1}), REMAP_SIGTERM="SIGQUIT")
    with subscriber(mirror) as client, Crew(tmp_path, env, "follow") as crew:
        answer = client.post(PATH, json={"kind": "webhook", "address": receiver.url, "filter": {"dataset": "bills"}})
        assert answer.status_code == 201, answer.text
        made = answer.json()
        receiver.secret = made["secret"]
        assert answer.headers["location"] == f"{PATH}/{made['id']}"
        after = made["next_after"]
        for name in ("control", "deliver"):
            crew.hire_worker(name)
        crew.hire_beat("beat")
        move(mirror, sandbox)
        wanted = [line for line in lines(mirror, after) if line["dataset"] == "bills"]
        assert wait_until(lambda: len(receiver.seqs()) >= len(wanted) > 0, BOUND), crew.said()
        assert not receiver.forged
        assert receiver.seqs() == [line["seq"] for line in wanted]
        body = receiver.got[0][1]
        assert body["type"] == "changes"
        assert body["subscription"] == made["id"]
        told = client.get("/api/v1/changes", params={"after": after, "limit": 5000}).json()["data"]
        rows = {row["seq"]: row for row in told}
        assert [rows[line["seq"]] for line in body["changes"]] == body["changes"]
        assert all(int(headers["size"]) < 20_000 for headers in receiver.headers)
        assert wait_until(lambda: client.get(f"{PATH}/{made['id']}").json()["next_after"] >= wanted[-1]["seq"], BOUND)


def test_a_pass_sends_all_that_is_due(mirror: Resources, sandbox: Sandbox, receivers: Receivers) -> None:
    receiver = receivers.make()
    with subscriber(mirror) as client:
        made = client.post(PATH, json={"kind": "webhook", "address": receiver.url}).json()
        receiver.secret = made["secret"]
        move(mirror, sandbox)
        passes.run(mirror)
        assert receiver.seqs() == [line["seq"] for line in lines(mirror, made["next_after"])]


def shift(mirror: Resources, by: timedelta) -> None:
    """As if that much time had passed for what waits."""
    with mirror.db() as db:
        row = DeliveryRow
        db.execute(update(row).values(next_attempt_at=row.next_attempt_at - by, created_at=row.created_at - by))
        of = SubscriptionRow
        db.execute(update(of).values(failing_since=of.failing_since - by))


def make(client: httpx.Client, receiver: Receiver, **about: Any) -> dict[str, Any]:
    answer = client.post(PATH, json={"kind": "webhook", "address": receiver.url, **about})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    receiver.secret = made["secret"]
    return made


def test_a_receiver_that_fails_is_asked_again_by_the_schedule_then_paused(
    mirror: Resources, sandbox: Sandbox, receivers: Receivers
) -> None:
    status = [500]
    receiver = receivers.make(answers=lambda: (status[0], {}))
    with subscriber(mirror) as client:
        made = make(client, receiver)
        move(mirror, sandbox)
        waits, before = [], 0
        for _ in range(7):
            passes.run(mirror)
            with mirror.db() as db:
                row = db.scalars(select(DeliveryRow)).one()
            assert row.sent_at
            waits.append(round((row.next_attempt_at - row.sent_at).total_seconds()))
            assert len(receiver.asked) > before
            before = len(receiver.asked)
            shift(mirror, row.next_attempt_at - row.sent_at)
        assert waits[:6] == [300, 1800, 7200, 21600, 21600, 21600]  # the first, after 5 s, is in the same pass
        assert len({name for name, _ in receiver.asked}) == 1
        shift(mirror, timedelta(days=5))
        passes.run(mirror)
        told = client.get(f"{PATH}/{made['id']}").json()
        assert told["state"] == "paused"
        assert "500" in told["paused_because"]
        asked = len(receiver.asked)
        passes.run(mirror)
        assert len(receiver.asked) == asked
        status[0] = 200
        assert client.post(f"{PATH}/{made['id']}/resume").json()["state"] == "active"
        passes.run(mirror)
        assert receiver.got[0][0] == receiver.asked[0][0]  # the id of the first try
        assert receiver.seqs() == [line["seq"] for line in lines(mirror, made["next_after"])]


def test_gone_pauses_at_once_and_retry_after_is_obeyed(
    mirror: Resources, sandbox: Sandbox, receivers: Receivers
) -> None:
    gone, busy = (
        receivers.make(answers=lambda: (410, {})),
        receivers.make(answers=lambda: (503, {"Retry-After": "999"})),
    )
    with subscriber(mirror) as client:
        first, second = make(client, gone), make(client, busy)
        move(mirror, sandbox)
        passes.run(mirror)
        assert client.get(f"{PATH}/{first['id']}").json()["paused_because"] == "answered 410"
        [waits] = client.get(f"{PATH}/{second['id']}/deliveries").json()["data"]
        wait = datetime.fromisoformat(waits["next_attempt_at"]) - datetime.fromisoformat(waits["sent_at"])
        assert round(wait.total_seconds()) == 999
        assert (waits["status"], waits["error"]) == (503, "answered 503")


def test_who_hangs_holds_up_nobody_else(mirror: Resources, sandbox: Sandbox, receivers: Receivers) -> None:
    """As many as there are threads hang; the others have all their news before those are given up."""
    with subscriber(mirror) as client:
        hanging = [receivers.make(seconds=3.0) for _ in range(passes.THREADS - 1)]
        for each in hanging:
            make(client, each, filter={"dataset": "votes"})
        good = receivers.make()
        made = make(client, good)
        move(mirror, sandbox)
        passes.run(mirror)
        assert good.seqs() == [line["seq"] for line in lines(mirror, made["next_after"])]
        assert all(each.seqs() for each in hanging)


def test_a_key_that_is_revoked_is_sent_nothing_more(mirror: Resources, sandbox: Sandbox, receivers: Receivers) -> None:
    """And what waits for it is not waited for."""
    receiver = receivers.make(answers=lambda: (500, {}))
    with subscriber(mirror) as client:
        make(client, receiver)
        move(mirror, sandbox)
        passes.run(mirror)
        asked = len(receiver.asked)
        with mirror.db() as db:
            [key] = db.scalars(select(ApiKeyRow.id))
            api_keys.revoke(db, key)
            assert [one.state for one in subscriptions.listed(db, of=None)] == ["revoked"]
    shift(mirror, timedelta(hours=1))
    with statements(mirror.engine) as seen:
        passes.run(mirror)
    assert len(receiver.asked) == asked
    assert len(seen) < 20, len(seen)


def test_what_is_new_does_not_wait_for_what_is_tried_again(
    mirror: Resources, sandbox: Sandbox, receivers: Receivers
) -> None:
    """A pass that waits for the second try at one receiver tells another one meanwhile."""
    answers = [(503, {"Retry-After": "9"})]
    failing, good = receivers.make(answers=lambda: answers.pop() if answers else (204, {})), receivers.make()
    of = DeliveryRow.subscription_id
    with subscriber(mirror) as client, ThreadPoolExecutor(1) as other:
        made = make(client, failing, filter={"dataset": "votes"})
        move(mirror, sandbox)
        going = other.submit(passes.run, mirror)

        def due() -> datetime | None:
            with mirror.db() as db:
                return db.scalar(select(DeliveryRow.next_attempt_at).where(DeliveryRow.error.is_not(None)))

        assert wait_until(lambda: due() is not None, BOUND)
        again = due()
        second = make(client, good, after=made["next_after"], filter={"dataset": "votes"})
        going.result()
        with mirror.db() as db:
            [sent] = db.scalars(select(DeliveryRow.delivered_at).where(of == UUID(second["id"])))
        assert again is not None
        assert sent is not None
        assert sent < again
        assert len(failing.asked) == 2


def test_nobody_is_told_of_a_backfill_unless_asked(
    make_resources: Callable[..., Resources], sandbox: Sandbox, receivers: Receivers, new_database: Any, template: str
) -> None:
    usual, eager = receivers.make(), receivers.make()
    with new_database(template) as url:
        mirror = make_resources(
            database_url=url,
            legisinfo_url=sandbox.legisinfo_url,
            openparliament_url=sandbox.openparliament_url,
            follow_private=True,
        )
        with subscriber(mirror) as client:
            make(client, usual)
            make(client, eager, filter={"include": ["backfills"]})
            figures = alone.run_session(mirror.pipeline, SessionId(45, 1))
            passes.run(mirror)
            assert not usual.got
            assert len({line["key"] for _, body in eager.got for line in body["changes"]}) == figures.created > 0
            move(mirror, sandbox)  # a new bill of a session that is held whole is news
            passes.run(mirror)
            assert "created" in {line["kind"] for _, body in usual.got for line in body["changes"]}


def test_too_many_at_once_is_one_message(mirror: Resources, sandbox: Sandbox, receivers: Receivers) -> None:
    few = Resources(mirror.settings.model_copy(update={"follow_most": 5}), mirror.addresses)
    receiver, away = receivers.make(), receivers.make(answers=lambda: (200 if back else 500, {}))
    back = False
    with subscriber(mirror) as client:
        made, late = make(client, receiver, filter={"dataset": "bills"}), make(client, away)
        move(mirror, sandbox, "2026-06-12")
        passes.run(few)
        [(_, body)] = receiver.got
        assert (body["type"], body["changes"], body["more_than"]) == ("too_many", [], 5)
        [link] = body["links"]
        told = client.get(f"{httpx.URL(link).raw_path.decode()}&limit=5000").json()["data"]
        assert [line["seq"] for line in told] == [
            line["seq"] for line in lines(mirror, made["next_after"]) if line["dataset"] == "bills"
        ]
        # What gathers while a receiver is away is not too much at once: it gets each line.
        move(mirror, sandbox)
        back = True
        client.post(f"{PATH}/{late['id']}/resume")
        passes.run(few)
        first = next(body for _, body in away.got)
        assert first["type"] == "too_many"  # of the first day, when it was there to be told
        assert away.seqs() == [line["seq"] for line in lines(mirror, first["next_after"])]
    few.close()


def test_a_secret_is_shown_once_and_rotates_without_a_gap(
    mirror: Resources, sandbox: Sandbox, receivers: Receivers
) -> None:
    old, new = receivers.make(), receivers.make()
    with subscriber(mirror) as client, subscriber(mirror) as stranger:
        made, other = make(client, old), make(client, new)
        secret = client.post(f"{PATH}/{made['id']}/rotate").json()["secret"]
        assert secret != old.secret
        new.secret = client.post(f"{PATH}/{other['id']}/rotate").json()["secret"]
        move(mirror, sandbox)
        passes.run(mirror)
        assert old.got  # the old secret still verifies
        assert new.got  # and so does the new one
        assert not old.forged
        assert not new.forged
        with mirror.db() as db:
            kept = db.scalars(select(SubscriptionRow)).all()
            db.execute(update(SubscriptionRow).values(rotated_at=SubscriptionRow.rotated_at - timedelta(days=2)))
        told = "".join(client.get(f"{PATH}{path}").text for path in ("", f"/{made['id']}", f"/{made['id']}/deliveries"))
        assert not any(text in told for text in (secret, old.secret, new.secret))
        client.post(f"{PATH}/{made['id']}/test")
        passes.run(mirror)
        assert old.forged  # a day later it does not
        assert all(row.secret and row.old_secret for row in kept)
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/test"), ("POST", "/rotate")):
            assert stranger.request(method, f"{PATH}/{made['id']}{path}").status_code == 404
        assert stranger.get(PATH).json()["data"] == []
        assert client.delete(f"{PATH}/{made['id']}").status_code == 204
        assert client.get(f"{PATH}/{made['id']}").status_code == 404


WRONG = [
    {"address": "ftp://example.org/"}, {"address": "https://a:b@example.org/"}, {"address": "http://127.0.0.1/"},
    {"address": "http://2130706433/"}, {"address": "http://0177.0.0.1/"}, {"address": "http://[::ffff:10.0.0.1]/"},
    {"filter": {"dataset": "nothing"}}, {"filter": {"status": "Nowhere"}}, {"filter": {"colour": "red"}},
    {"filter": {"dataset": "votes", "sponsor": "x"}}, {"filter": {"session": "45"}}, {"when": "hourly"},
    {"language": "de"}, {"after": 10**9}, {"after": -1}, {"kind": "fax"},
]  # fmt: skip


def test_a_secret_is_nowhere_but_in_its_row(
    mirror: Resources, sandbox: Sandbox, receivers: Receivers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither in what the API shows again, nor in a log of what failed, nor in an export."""
    receiver = receivers.make(answers=lambda: (500, {}))
    with subscriber(mirror) as client:
        made = make(client, receiver)
        move(mirror, sandbox)
        passes.run(mirror)
        assert receiver.asked
        own = f"{PATH}/{made['id']}"
        shown = [client.get(path).text for path in (PATH, own, f"{own}/deliveries", "/api/v1/status", "/openapi.json")]
    files = export.export(mirror.engine, mirror.datasets.values(), str(tmp_path / "out")).to_dict()["files"]
    assert not [file for file in files if "subscription" in str(file) or "deliver" in str(file)]
    told = capsys.readouterr()
    assert receiver.secret.removeprefix("whsec_") not in "".join([*shown, told.out, told.err])


def test_what_cannot_be_is_refused_in_words(make_resources: Callable[..., Resources]) -> None:
    with subscriber(make_resources()) as client:
        usual = {"kind": "webhook", "address": "https://example.org/hook"}
        for wrong in WRONG:
            answer = client.post(PATH, json=usual | wrong)
            assert answer.status_code == 422, (wrong, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
        assert client.post(PATH, json=usual).status_code == 201
        assert httpx.post(f"{client.base_url}{PATH}", json=usual).status_code == 401


def test_a_thousand_subscriptions_are_looked_through_in_a_few_statements(mirror: Resources, sandbox: Sandbox) -> None:
    with mirror.db() as db:
        for number in range(1000):
            wanted = Wanted(kind="webhook", address="https://example.org/", filter=Filter(number=[f"X-{number}"]))
            subscriptions.create(db, wanted, mirror.datasets, mirror.settings, now=datetime.now(UTC))
    move(mirror, sandbox)
    now = datetime.now(UTC)
    with statements(mirror.engine) as seen:
        while passes.plan(mirror, now):
            pass
    assert len(seen) < 60, len(seen)
    with mirror.db() as db:
        assert set(db.scalars(select(SubscriptionRow.cursor))) == {history.last_seq(db)}
    with statements(mirror.engine) as again:
        assert passes.plan(mirror, now) == 0
    assert len(again) < 6  # and nobody is looked at before the history has grown
