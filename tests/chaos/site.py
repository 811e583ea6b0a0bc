"""A whole Parlex on private servers, and a way to try one fault on it."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import psycopg2
from kombu import Connection
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy.engine import make_url

from parlex.db import migrate
from parlex.local import embedded
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.local.sandbox.sample import RECORDED, START
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.settings import Settings, environment
from tests.chaos.crew import Crew
from tests.chaos.mirror import Picture, Reader, Verdict, compare_with_sandbox
from tests.chaos.proxy import Proxy

SESSION = SessionId(45, 1)
COPIES = 8  # of each bill of the sample: 540 bills, eleven messages
SLOW = 0.12  # seconds that a detail takes, so that a backfill lasts long enough to be hit
PREFIX = "parlex:"  # of the keys in Redis, see celeryconfig

# A minute of the real settings is a few seconds here. The reasons for the real ones stand in settings.py.
QUICK = {
    "lease_seconds": 8,
    "resend_after_seconds": 6,
    "keep_house_seconds": 2,
    "abandon_after_minutes": 5.0,
    "retry_delay": 1.0,
}
HEALED_WITHIN = 240.0  # seconds after the fault; more is a run that stays open

Fault = Callable[["Site", Random], object]


@dataclass(frozen=True)
class Result:
    """One try, as the report counts it."""

    fault: str
    number: int
    seed: str
    lost: int
    wrong: int
    duplicates: int
    open: int
    seconds: float  # from the fault to the moment when all runs were closed
    notes: list[str]


class Site:
    """Servers, sandbox, workers and beat while ``running`` lasts."""

    def __init__(
        self, settings: Settings, addresses: embedded.Addresses, sandbox: Sandbox, proxy: Proxy, crew: Crew
    ) -> None:
        self.settings = settings
        self.addresses = addresses
        self.sandbox = sandbox
        self.proxy = proxy
        self.crew = crew
        self.home = settings.home
        self.reader = Reader(dsn(addresses.database_url))
        self.right: dict[str, Picture] = {}
        self._redis = Redis.from_url(addresses.redis_url, socket_timeout=10, socket_connect_timeout=5)

    def close(self) -> None:
        self._redis.close()

    # The servers.

    def redis(self) -> Redis:
        return self._redis

    def redis_pid(self) -> int:
        return int((self.home / "valkey" / "pid").read_text())

    def postgres_pid(self) -> int:
        return int((self.home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])

    def stop_redis(self) -> None:
        pid = self.redis_pid()
        os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: not _lives(pid), 30)

    def stop_postgres(self, number: int) -> None:
        pid = self.postgres_pid()
        os.kill(pid, number)
        assert wait_until(lambda: not _lives(pid), 30)

    def start_servers(self) -> None:
        """Start again what is down, at its old address."""
        assert wait_until(self._revived, 60, every=0.2)

    def _revived(self) -> bool:
        return embedded.revive(self.settings) == self.addresses

    def queued(self, queue: str) -> int:
        length: int = self.redis().llen(PREFIX + queue)
        return length

    # The work.

    def send(self, task: str, queue: str, *args: Any, headers: dict[str, Any] | None = None, **kwargs: Any) -> str:
        """Publish a task's message as anybody with access to the broker can; its id."""
        task_id = str(uuid4())
        body = (list(args), kwargs, {"callbacks": None, "errbacks": None, "chain": None, "chord": None})
        head = {"lang": "py", "task": task, "id": task_id, "root_id": task_id, "retries": 0, **(headers or {})}
        with self._producer() as producer:
            producer.publish(
                body,
                routing_key=queue,
                exchange="",
                headers=head,
                serializer="json",
                correlation_id=task_id,
                delivery_mode=2,
            )
        return task_id

    @contextmanager
    def _producer(self) -> Iterator[Any]:
        options = {"global_keyprefix": PREFIX}
        with Connection(self.addresses.redis_url, transport_options=options) as link, link.channel() as channel:
            yield link.Producer(channel)

    def backfill(self, session: SessionId = SESSION) -> str:
        return self.send("parlex.fetch_session_bills", "control", session.parliament, session.session)

    def tick(self, entry: str, slot: str, missed: int = 0, **kwargs: Any) -> str:
        """A tick as beat sends it."""
        headers = {"parlex_entry": entry, "parlex_slot": slot, "parlex_missed": missed}
        return self.send("parlex.fetch_latest_bills", "control", headers=headers, **kwargs)

    def ended(self) -> int:
        """Keys that have ended, of all runs."""
        found: int = self.reader.value("SELECT count(*) FROM run_keys WHERE state IN ('done', 'failed')")
        return found

    def reach(self, keys: int) -> None:
        """Wait until so many keys have ended."""
        assert wait_until(lambda: self.ended() >= keys, 120), f"only {self.ended()} of {keys} keys\n{self.crew_says()}"

    def settled(self) -> bool:
        """Whether something ran, all of it is closed, and its figures are delivered."""
        with suppress(psycopg2.OperationalError):
            runs, going = self.reader.rows(
                "SELECT count(*), count(*) FILTER (WHERE status = 'running'"
                " OR (cardinality(waiters) > 0 AND delivered_at IS NULL)) FROM fetch_logs"
            )[0]
            return bool(runs and not going)
        return False

    def heartbeat(self) -> float:
        """Seconds since beat was last seen through a worker."""
        age = self.reader.value("SELECT extract(epoch FROM now() - max(seen_at)) FROM heartbeats WHERE name = 'beat'")
        return float("inf") if age is None else float(age)

    def alive(self) -> bool:
        """Whether beat's word travels through a worker into the database."""
        with suppress(psycopg2.OperationalError, RedisError):
            return self.heartbeat() < 3 * QUICK["keep_house_seconds"]
        return False

    def crew_says(self, lines: int = 60) -> str:
        parts = []
        for member in self.crew:
            said = member.log.read_text(errors="replace").splitlines() if member.log.exists() else []
            parts += [f"--- {member.name}", *said[-lines:]]
        return "\n".join(parts)

    # A try.

    def begin(self, random: Random, scenario: str | None = None) -> Picture:
        """An empty mirror, or one of an earlier day that is to catch up; the picture that is right in the end."""
        self.clean()
        scenario = scenario or random.choice(["new", "update"])
        if scenario == "new":
            self.sandbox.move(START)
        else:
            self._fill(START)
            self.reader.rows("DELETE FROM fetch_logs")
            self.sandbox.move(RECORDED)
        self.sandbox.clear_faults()
        self.sandbox.fault("slow", seconds=SLOW, path=r"/bill/|/bills/45-1/")
        return self.right[scenario]

    def clean(self) -> None:
        """Empty the mirror and the queues."""
        self.start_servers()
        assert wait_until(self.alive, 90), f"beat is not heard\n{self.crew_says()}"
        self.redis().flushall()
        tables = self.reader.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        names = sorted(name for (name,) in tables if name not in ("alembic_version", "counters"))

        def emptied() -> bool:
            # The sweeper reads these tables in another order; one of the two may have to begin again.
            with suppress(psycopg2.errors.DeadlockDetected):
                self.reader.rows(f"TRUNCATE {', '.join(names)}")
                return True
            return False

        assert wait_until(emptied, 30)
        self.reader.rows("UPDATE counters SET value = 0")

    def _fill(self, day: Any) -> None:
        """Bring the mirror to a day, in this process and without faults."""
        self.sandbox.clear_faults()
        self.sandbox.move(day)
        resources = Resources(self.settings, self.addresses)
        try:
            figures = alone.run_session(resources.pipeline, SESSION)
        finally:
            resources.close()
        assert figures.status == "success", figures

    def look(self) -> None:
        """Learn what is right: what runs without faults make of the sandbox."""
        self.clean()
        self._fill(START)
        self.right["new"] = self.reader.picture()
        compare_with_sandbox(self.right["new"], self.sandbox, str(SESSION))
        assert str(self.reader.judge(self.right["new"])) == str(Verdict())
        self._fill(RECORDED)
        self.right["update"] = self.reader.picture()
        compare_with_sandbox(self.right["update"], self.sandbox, str(SESSION))
        assert str(self.reader.judge(self.right["update"])) == str(Verdict())

    def try_fault(
        self,
        name: str,
        number: int,
        inflict: Fault,
        *,
        scenario: str | None = None,
        after: int | None = None,
        may_fail: frozenset[str] = frozenset(),
        stays: bool = False,
    ) -> Verdict:
        """Hit a backfill in the middle, wait until it is over, and ask the three questions.

        ``inflict`` returns when the fault is over; ``after``: the keys that have ended by then, random if not given;
        ``stays``: no process may end over it, restarted or not.
        """
        seed = f"{os.environ.get('PARLEX_TEST_SEED', '1')} {name} {number}"
        random = Random(seed)
        right = self.begin(random, scenario)
        self.backfill()
        self.reach(random.randrange(1, 200) if after is None else after)
        time.sleep(random.uniform(0, 0.3))  # the moment is meant to be random
        lives = {member.name: len(member.exits) for member in self.crew}
        at = time.monotonic()
        inflict(self, random)
        self.start_servers()
        wait_until(lambda: self.settled() and self.alive(), HEALED_WITHIN, every=0.1)
        seconds = time.monotonic() - at
        verdict = self.reader.judge(right, may_fail=may_fail)
        if stays:
            died = {member.name: member.exits[lives[member.name] :] for member in self.crew}
            verdict.open += verdict.note("ended", [pair for pair in died.items() if pair[1]])
        if not self.alive():
            verdict.open += verdict.note("beat is not heard", [self.heartbeat()])
        self.report(Result(name, number, seed, seconds=round(seconds, 1), **asdict(verdict)))
        return verdict

    def report(self, result: Result) -> None:
        if path := os.environ.get("PARLEX_TEST_CHAOS_REPORT"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")


@contextmanager
def running(home: Path, logs: Path) -> Iterator[Site]:
    with Sandbox(multiply=COPIES) as sandbox:
        settings = Settings(
            home=home,
            contact="tests@example.org",
            legisinfo_url=sandbox.legisinfo_url,
            openparliament_url=sandbox.openparliament_url,
            legisinfo_rate=0,
            openparliament_rate=0,
            **QUICK,
        )
        with embedded.servers(settings) as addresses:
            migrate.upgrade(addresses.database_url)
            redis = make_url(addresses.redis_url)
            assert redis.port
            with Proxy(redis.port) as proxy:
                told = environment(settings, DATABASE_URL=addresses.database_url, REMAP_SIGTERM="SIGQUIT")
                # The workers and beat reach Redis through the relay, so that a route can be lost under them.
                told["REDIS_URL"] = redis.set(port=proxy.port).render_as_string(hide_password=False)
                with Crew(logs, told) as crew:
                    site = Site(settings, addresses, sandbox, proxy, crew)
                    crew.hire_all()
                    try:
                        site.look()
                        yield site
                    finally:
                        site.close()
                    said = crew.said()
                    for url in (addresses.redis_url, addresses.database_url):
                        assert str(make_url(url).password) not in said, "a password in the logs"
            embedded.revive(settings)


def dsn(database_url: str) -> str:
    url = make_url(database_url)
    host = url.query.get("host", url.host)
    return f"host={host} user={url.username} password={url.password} dbname={url.database}"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
