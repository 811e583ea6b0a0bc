"""Subscribers of a Parlex whose workers are killed while a session is lived through, day by day; their receivers are
slow, wrong, away for days, or answer 500 half of the time.

``PARLEX_TEST_TRIES`` makes it larger: with 100 of them there are a thousand subscriptions, and each day of the session.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from parlex.db import migrate
from parlex.db.models import ChangeRow, DeliveryRow, RunRow, SubscriptionRow
from parlex.follow import subscriptions
from parlex.follow.matching import Filter
from parlex.follow.subscriptions import Wanted
from parlex.local import embedded
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.local.sandbox import sample as facts
from parlex.local.sandbox.openparliament import slug
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs.work import Request
from parlex.settings import Settings, environment
from tests.chaos.conftest import TRIES, a_home
from tests.chaos.crew import BOUND, WORKERS, Crew
from tests.follow.judge import Judge
from tests.follow.receivers import Receiver, receiving
from tests.follow.test_passes import move
from tests.web.serving import LAST

SESSION, BEFORE = SessionId(45, 1), SessionId(44, 1)
BEGINS = date(2025, 5, 29)  # when it had its first bills
SUBSCRIPTIONS = 10 * TRIES
MANY = 10_000
DATASETS = ("bills", "votes", "politicians")
KILLS = (3.0, 13.0)  # seconds between two of them
GIVEN_UP = 5  # days without an answer after which a subscription is paused
WORDS = ("Act", "Criminal Code", "budget", "Loi", "Code criminel", "reading", "employment", "Canada", "tax", "Pierre")

Answer = Callable[[], tuple[int, dict[str, str]]]


@contextmanager
def settled(folder: Path, as_of: date) -> Iterator[tuple[Resources, Sandbox, Crew]]:
    """A mirror of the session as it stood on a day, and a crew that is not hired yet."""
    with a_home() as home, Sandbox(as_of=as_of) as sandbox:
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
            told = environment(settings, DATABASE_URL=addresses.database_url, REDIS_URL=addresses.redis_url)
            with closing(Resources(settings, addresses)) as mirror, Crew(folder, told, "follow") as crew:
                assert alone.run_session(mirror.pipeline, SESSION).failed == 0
                move(mirror, sandbox, as_of)
                yield mirror, sandbox, crew


@dataclass
class Subscriber:
    """Who asked for what, and how it takes what it is sent. ``away``: from which day of the life until which."""

    name: Any
    wanted: dict[str, Any]
    receiver: Receiver
    away: range


class Life:
    """A session that is lived through: each day the sources move on, runs bring the news, and deliveries grow older."""

    def __init__(self, mirror: Resources, sandbox: Sandbox, random: Random) -> None:
        self.mirror, self._sandbox, self._random = mirror, sandbox, random
        self.day = 0
        self.paused = 0
        self.subscribers: list[Subscriber] = []

    def subscribe(self, wanted: dict[str, Any], receiver: Receiver, kind: str, days: int) -> int:
        """Its cursor."""
        with self.mirror.db() as db:
            asked = Wanted(kind="webhook", address=receiver.url, filter=Filter(**wanted))
            row, secret = subscriptions.create(
                db, asked, self.mirror.datasets, self.mirror.settings, now=datetime.now(UTC)
            )
            assert secret
            receiver.secret = secret
            first = self._random.randrange(1, days)
            away = range(first, first + self._random.randint(2, 2 * GIVEN_UP)) if kind == "away" else range(0)
            one = Subscriber(row.id, wanted, receiver, away)
            receiver.answers = self._mood(kind, one)
            self.subscribers.append(one)
            return row.cursor

    def _mood(self, kind: str, one: Subscriber) -> Answer:
        random = Random(str(one.name))
        moods: dict[str, Answer] = {
            "half": lambda: (random.choice((204, 500)), {}),
            "wrong": lambda: (random.choice((200, 202, 302, 404, 503, 0)), {}),
            "away": lambda: (0 if self.day in one.away else 204, {}),
        }
        return moods.get(kind, lambda: (204, {}))

    def live(self, day: date, *also: Request) -> list[str]:
        """A day: whoever found itself paused goes on, where it is there. The runs that ``also`` began."""
        self.day += 1
        self._sandbox.move(day)
        asked = [*also, *(self.mirror.pipeline.latest_request(None, dataset=name) for name in DATASETS)]
        runs = [self.mirror.pipeline.open_run(request).run.run_id for request in asked]
        for _ in range(4):
            self.grow_older()
            time.sleep(0.5)
        going = select(func.count()).select_from(RunRow).where(RunRow.status == "running")

        def over() -> bool:
            with self.mirror.db() as db:
                return not db.scalar(going)

        assert wait_until(over, 2 * BOUND, every=0.2), f"day {self.day}: runs do not end"
        return [str(run) for run in runs[: len(also)]]

    def grow_older(self) -> None:
        """Six hours pass for what has failed. What is in hand stays so: its lease is less than six seconds, and what
        failed once says so."""
        for statement in (
            "UPDATE deliveries SET next_attempt_at = greatest(next_attempt_at - interval '6 hours', now())"
            " WHERE delivered_at IS NULL AND next_attempt_at > now()"
            " AND (next_attempt_at > now() + interval '6 seconds' OR attempt = 1 AND error IS NOT NULL)",
            "UPDATE subscriptions SET failing_since = failing_since - interval '6 hours'"
            " WHERE failing_since IS NOT NULL",
        ):
            with self.mirror.db() as db:  # one after the other: whoever notes an answer locks them the other way round
                db.execute(text(statement))
        with self.mirror.db() as db:
            for row in self._paused(db):
                one = next(one for one in self.subscribers if one.name == row.id)
                if self.day not in one.away:
                    self.paused += 1
                    subscriptions.resume(db, row, now=datetime.now(UTC))

    def _paused(self, db: Session) -> list[SubscriptionRow]:
        """Those, each locked: somebody may send to one meanwhile."""
        paused = select(SubscriptionRow).where(SubscriptionRow.paused_at.is_not(None))
        return list(db.scalars(paused.with_for_update(skip_locked=True)))


@dataclass
class Killer:
    """Kills one of the workers now and then, each as often as the others, while the block lasts."""

    crew: Crew
    random: Random
    killed: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Killer:
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._kill)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _kill(self) -> None:
        for name in itertools.cycle(self.random.sample([*WORKERS], len(WORKERS))):
            if self._ending.wait(self.random.uniform(*KILLS)):
                return
            if self.crew[name].runs:
                self.crew[name].kill(self.random)
                self.killed[name] += 1


def a_filter(random: Random, statuses: list[str]) -> dict[str, Any]:
    """Of one to three words, with values that the session has; a few want everything."""
    bills = [bill for bill in facts.load().bills if bill.session == str(SESSION)]
    members = [slug(row["name"]) for row in facts.rows("members.csv") if row["start"] >= "2025"]
    numbers = [bill.number for bill in bills] + [row["number"] for row in facts.rows("divisions.csv")]
    sponsors = sorted({bill.sponsor.name for bill in bills})
    some: dict[str, Callable[[], Any]] = {
        "dataset": lambda: random.choice(DATASETS),
        "session": lambda: str(random.choice((SESSION, SESSION, BEFORE))),
        "number": lambda: random.sample(numbers, random.randint(1, 9)),
        "status": lambda: random.sample(statuses, random.randint(1, 4)),
        "sponsor": lambda: random.choice((slug(name := random.choice(sponsors)), name.split()[-1], name[:3])),
        "politician": lambda: random.choice(members),
        "q": lambda: random.choice(WORDS),
        "include": lambda: random.choice((["backfills"], ["reparsed"], ["backfills", "reparsed"])),
    }
    chosen = random.sample(sorted(some), random.choice((0, 1, 1, 1, 1, 2, 2, 3)))
    return {name: some[name]() for name in chosen}


def subscribe_all(life: Life, receivers: Any, random: Random, days: int) -> int:
    """The line after which all of them are told."""
    statuses = [str(one) for one in life.mirror.datasets["bills"].served.list.filters["status"].choices]  # type: ignore[union-attr]
    kinds = ["good", "half", "wrong", "slow", "away"]
    cursors = set()
    while len(life.subscribers) < SUBSCRIPTIONS:
        wanted = a_filter(random, statuses)
        try:
            Filter(**wanted).require_known(life.mirror.datasets)
        except subscriptions.UsageError:
            continue  # no line can fit it, and nobody can ask for it
        kind = kinds[len(life.subscribers) % len(kinds)]
        receiver = receivers.make(seconds=random.uniform(0.2, 1.5) if kind == "slow" else 0.0)
        cursors.add(life.subscribe(wanted, receiver, kind, days))
    [after] = cursors
    return after


def test_each_receiver_gets_each_line_once_at_least_and_in_order(tmp_path: Path) -> None:
    random, began = Random("follow"), time.monotonic()
    days = [*facts.load().steps(BEGINS)][:: max(1, 100 // TRIES)]
    with settled(tmp_path, BEGINS) as (mirror, sandbox, crew), receiving() as receivers:
        life = Life(mirror, sandbox, random)
        after = subscribe_all(life, receivers, random, len(days))
        crew.hire_all()
        backfills: list[str] = []
        with Killer(crew, random) as killer:
            for day in days:
                halfway = [mirror.pipeline.session_request(BEFORE)] if life.day == len(days) // 2 else []
                backfills += life.live(day, *halfway)
                with mirror.db() as db:
                    lines, kills = db.scalar(select(func.max(ChangeRow.seq))), sum(killer.killed.values())
                print(f"{time.monotonic() - began:6.0f} s: {day}, {lines} lines, {kills} kills", flush=True)
            move(mirror, sandbox, LAST)
            life.day += max(len(days), 3 * GIVEN_UP)  # all are back
            judge = Judge(mirror, tmp_path / "export", backfills)
            right = [judge.of(one.wanted, after) for one in life.subscribers]

            def missed() -> int:
                return sum(
                    len({*seqs} - {*one.receiver.seqs()}) for one, seqs in zip(life.subscribers, right, strict=True)
                )

            def arrives(before: int) -> bool:
                life.grow_older()
                return missed() < before

            # As long as more arrives, however busy the machine is.
            while (before := missed()) and wait_until(partial(arrives, before), BOUND, every=0.5):
                pass
        figures = judged(life, right)
        figures |= {"days": len(days), "lines": len(judge.lines), "kills": killer.killed, "paused": life.paused}
        print(json.dumps(figures | {"minutes": round((time.monotonic() - began) / 60, 1)}))
        assert figures["missed"] == figures["unasked"] == figures["forged"] == 0, crew["deliver"].said()[-3000:]
        assert figures["out of order"] == figures["told under two ids"] == figures["ids with two bodies"] == 0
        assert len({*map(tuple, right)}) > min(SUBSCRIPTIONS / 4, 40)  # filters that differ in what they find
        assert life.paused > 0 or TRIES < 10
        assert all(killer.killed[name] for name in WORKERS)


def judged(life: Life, right: list[list[int]]) -> dict[str, Any]:
    """What the receivers say, against what is right."""
    found: Counter[str] = Counter()
    for one, seqs in zip(life.subscribers, right, strict=True):
        took, ids, bodies = one.receiver.seqs(), defaultdict(set), defaultdict(set)
        for name, body in one.receiver.asked:
            bodies[name].add(json.dumps(body))
            for line in body["changes"]:
                ids[line["seq"]].add(name)
        found["deliveries"] += len({name for name, _ in one.receiver.got})
        found["changes"] += len(seqs)
        found["requests"] += len(one.receiver.asked)
        found["repeats"] += len(one.receiver.got) - len({name for name, _ in one.receiver.got})
        found["missed"] += len({*seqs} - {*took})
        found["unasked"] += len({*took} - {*seqs})
        found["out of order"] += took != sorted(took)
        found["forged"] += len(one.receiver.forged)
        found["told under two ids"] += sum(len(names) > 1 for names in ids.values())
        found["ids with two bodies"] += sum(len(several) > 1 for several in bodies.values())
    return {"subscriptions": len(life.subscribers), **found}


def test_ten_thousand_deliveries_delay_no_run(tmp_path: Path) -> None:
    """They wait for a receiver that hangs. The hourly run has queues of its own, and is over while they wait."""
    names = ", ".join(f'"{column.name}"' for column in SubscriptionRow.__table__.columns if column.name != "id")
    waiting = select(func.count()).select_from(DeliveryRow).where(DeliveryRow.delivered_at.is_(None))
    with settled(tmp_path, facts.START) as (mirror, sandbox, crew), receiving() as found:
        Life(mirror, sandbox, Random("many")).subscribe({}, found.make(seconds=20.0), "good", 2)
        with mirror.db() as db:
            copies = f"SELECT gen_random_uuid(), {names} FROM subscriptions, generate_series(2, :many)"
            db.execute(text(f"INSERT INTO subscriptions (id, {names}) {copies}"), {"many": MANY})
        move(mirror, sandbox, "2026-06-12")
        crew.hire_all()

        def asked(question: Any) -> Any:
            with mirror.db() as db:
                return db.scalar(question)

        assert wait_until(lambda: asked(waiting) >= MANY, 2 * BOUND), crew["deliver"].said()[-3000:]
        sandbox.move("2026-06-17")
        slot = datetime.now(UTC)
        run = mirror.pipeline.open_run(mirror.pipeline.latest_request(50), entry="hourly", slot=slot).run
        status = select(RunRow.status).where(RunRow.run_id == run.run_id)
        assert wait_until(lambda: asked(status) != "running", BOUND), crew["control"].said()[-3000:]
        assert asked(status) == "success"
        assert asked(select(RunRow.updated).where(RunRow.run_id == run.run_id)) > 0
        assert asked(waiting) > 0.9 * MANY
