"""Subscribers of a Parlex whose workers are killed, and whose receivers are slow, wrong, and often not there.

``PARLEX_TEST_TRIES`` makes it larger: with 100 of them there are a thousand subscriptions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from parlex.db import migrate
from parlex.db.models import DeliveryRow, RunRow, SubscriptionRow
from parlex.follow import subscriptions
from parlex.follow.matching import Filter
from parlex.follow.subscriptions import Wanted
from parlex.local import embedded
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.local.sandbox.sample import START
from parlex.resources import Resources
from parlex.settings import Settings, environment
from tests.chaos.conftest import TRIES, a_home
from tests.chaos.crew import BOUND, Crew
from tests.follow.receivers import Receiver, Receivers, receiving
from tests.follow.test_matching import Judge
from tests.follow.test_passes import move
from tests.web.serving import fill

DAYS = ("2026-06-12", "2026-06-17", "2026-06-19", "2026-07-01", "2026-07-24")
SUBSCRIPTIONS = 10 * TRIES
MANY = 10_000
FILTERS: list[dict[str, Any]] = [
    {}, {"dataset": "bills"}, {"dataset": "votes"}, {"session": "45-1", "number": ["C-2", "C-5", "C-12"]},
    {"status": ["HouseInCommittee"]}, {"status": ["RoyalAssentGiven", "RoyalAssentAwaiting"]}, {"q": "Act"},
    {"politician": "mark-carney"}, {"sponsor": "mark-carney"}, {"include": ["reparsed"]},
]  # fmt: skip


@pytest.fixture
def settled(tmp_path: Path) -> Iterator[tuple[Resources, Sandbox, Crew, Settings]]:
    with a_home() as home, Sandbox(as_of=START) as sandbox:
        settings = Settings(
            home=home,
            contact="tests@example.org",
            legisinfo_url=sandbox.legisinfo_url,
            openparliament_url=sandbox.openparliament_url,
            legisinfo_rate=0,
            openparliament_rate=0,
            keep_house_seconds=1,
            lease_seconds=5,
            resend_after_seconds=2,
            follow_private=True,
        )
        with embedded.servers(settings) as addresses:
            migrate.upgrade(addresses.database_url)
            mirror = Resources(settings, addresses)
            fill(mirror)
            told = environment(settings, DATABASE_URL=addresses.database_url, REDIS_URL=addresses.redis_url)
            with Crew(tmp_path, told, "follow") as crew:
                yield mirror, sandbox, crew, settings
            mirror.close()


def known(mirror: Resources, receiver: Receiver, wanted: dict[str, Any]) -> int:
    """Subscribe; the line that the history ends with."""
    with mirror.db() as db:
        asked = Wanted(kind="webhook", address=receiver.url, filter=Filter(**wanted))
        about = {"now": datetime.now(UTC)}
        row, secret = subscriptions.create(db, asked, mirror.datasets, mirror.settings, **about)
        assert secret
        receiver.secret = secret
        return row.cursor


def moody(random: Random, kind: str) -> Callable[[], tuple[int, dict[str, str]]]:
    """How a receiver answers: always, half of the time, wrongly now and then."""
    if kind == "half":
        return lambda: (random.choice((204, 500)), {})
    if kind == "wrong":
        return lambda: (random.choice((200, 302, 404, 418, 503)), {})
    return lambda: (204, {})


def test_each_receiver_gets_each_line_once_at_least_and_in_order(
    settled: tuple[Resources, Sandbox, Crew, Settings],
) -> None:
    mirror, sandbox, crew, _ = settled
    random = Random("follow")
    kinds = itertools.cycle(("good", "half", "wrong", "slow"))
    with receiving() as found:
        made = [_receiver(found, random, next(kinds)) for _ in range(SUBSCRIPTIONS)]
        asked = [(receiver, random.choice(FILTERS)) for receiver in made]
        [after] = {known(mirror, receiver, wanted) for receiver, wanted in asked}
        for name in ("control", "deliver"):
            crew.hire_worker(name)
        crew.hire_beat("beat")
        for day in DAYS:
            move(mirror, sandbox, day)
            assert wait_until(lambda: bool(crew["deliver"].pid), BOUND)
            crew["deliver"].kill(random)
        judge = Judge(mirror)
        right = [
            [line["seq"] for line in judge.lines if line["seq"] > after and judge.wants(wanted, line)]
            for _, wanted in asked
        ]

        def told() -> bool:
            # Minutes of the schedule are no part of the test: what failed is due again now.
            with mirror.db() as db:
                waits = DeliveryRow.next_attempt_at > text("now() + interval '6 seconds'")
                db.execute(update(DeliveryRow).where(waits).values(next_attempt_at=text("now()")))
            return all(len(set(each.seqs())) >= len(seqs) for each, seqs in zip(made, right, strict=True))

        assert wait_until(told, 4 * BOUND, every=0.5), crew["deliver"].said()[-3000:]
        assert any(right)
        for receiver, seqs in zip(made, right, strict=True):
            assert receiver.seqs() == seqs  # each, in order, and nothing else
            assert not receiver.forged
            by_id: dict[str, set[str]] = {}
            for name, body in receiver.asked:
                by_id.setdefault(name, set()).add(str(body))
            assert all(len(bodies) == 1 for bodies in by_id.values())
        with mirror.db() as db:
            assert not db.scalars(select(SubscriptionRow.id).where(SubscriptionRow.paused_at.is_not(None))).all()


def test_ten_thousand_deliveries_delay_no_run(settled: tuple[Resources, Sandbox, Crew, Settings]) -> None:
    """They wait for a receiver that hangs. The hourly run has queues of its own, and is over while they wait."""
    mirror, sandbox, crew, _ = settled
    names = ", ".join(f'"{column.name}"' for column in SubscriptionRow.__table__.columns if column.name != "id")
    waiting = select(func.count()).select_from(DeliveryRow).where(DeliveryRow.delivered_at.is_(None))
    with receiving() as found:
        known(mirror, found.make(seconds=20.0), {})
        with mirror.db() as db:
            copies = f"SELECT gen_random_uuid(), {names} FROM subscriptions, generate_series(2, :many)"
            db.execute(text(f"INSERT INTO subscriptions (id, {names}) {copies}"), {"many": MANY})
        move(mirror, sandbox, DAYS[0])
        for name in ("control", "fetch", "persist", "deliver"):
            crew.hire_worker(name)
        crew.hire_beat("beat")

        def asked(question: Any) -> Any:
            with mirror.db() as db:
                return db.scalar(question)

        assert wait_until(lambda: asked(waiting) >= MANY, 2 * BOUND), crew["deliver"].said()[-3000:]
        sandbox.move(DAYS[1])
        slot = datetime.now(UTC)
        run = mirror.pipeline.open_run(mirror.pipeline.latest_request(50), entry="hourly", slot=slot).run
        status = select(RunRow.status).where(RunRow.run_id == run.run_id)
        assert wait_until(lambda: asked(status) != "running", BOUND), crew["control"].said()[-3000:]
        assert asked(status) == "success"
        assert asked(select(RunRow.updated).where(RunRow.run_id == run.run_id)) > 0
        assert asked(waiting) > 0.9 * MANY


def _receiver(found: Receivers, random: Random, kind: str) -> Receiver:
    return found.make(answers=moody(random, kind), seconds=0.3 if kind == "slow" else 0.0)
