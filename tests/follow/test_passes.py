"""What is sent, to whom, how often and in which order: real workers, a real server, and receivers on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from parlex.db import api_keys
from parlex.follow import passes
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.mirror import history
from parlex.resources import Resources
from parlex.runs import alone
from parlex.settings import environment
from tests.chaos.crew import BOUND, Crew
from tests.follow.receivers import Receivers
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


def move(mirror: Resources, sandbox: Sandbox, day: str = LAST) -> None:
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
