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
from tests.chaos.crew import BOUND, Crew
from tests.chaos.mirror import Picture, Reader, Verdict, compare_with_sandbox
from tests.chaos.proxy import Proxy

SESSION = SessionId(45, 1)
COPIES = 8  # of each bill of the sample: 540 bills, eleven messages
SLOW = 0.12  # seconds that a detail takes, so that a backfill lasts long enough to be hit
PREFIX = "parlex:"  # of the keys in Redis, see celeryconfig
OF_NO_MIRROR = ("alembic_version", "fetch_logs", "heartbeats", "mirror", "run_keys")  # tables that no copy needs

# A minute of the real settings is a few seconds here. The reasons for the real ones stand in settings.py.
QUICK = {
    "lease_seconds": 8,
    "resend_after_seconds": 6,
    "keep_house_seconds": 2,
    "abandon_after_minutes": 5.0,
    "retry_delay": 1.0,
}
BEGINNINGS = 10  # of a backfill that is over before it is hit

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
        assert wait_until(lambda: not _lives(pid), BOUND)

    def stop_postgres(self, number: int) -> None:
        pid = self.postgres_pid()
        os.kill(pid, number)
        assert wait_until(lambda: not _lives(pid), BOUND)

    def start_servers(self) -> None:
        """Start again what is down, at its old address."""
        assert wait_until(self._revived, BOUND, every=0.2)

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

    def await_task(self, queue: str, task_id: str) -> None:
        """Wait until the worker of a queue has done a task."""
        done = (f"[{task_id}] succeeded", f"[{task_id}] ignored")  # a run's figures are delivered by who closes it
        said = self.crew[queue].said
        assert wait_until(lambda: any(line in said() for line in done), BOUND), self.crew_says()

    def reach(self, keys: int) -> None:
        """Wait until so many keys have ended."""
        ended = self.reader.ended
        assert wait_until(lambda: ended() >= keys, BOUND), f"only {ended()} of {keys} keys\n{self.crew_says()}"

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
            parts += [f"--- {member.name}", *member.said().splitlines()[-lines:]]
        return "\n".join(parts)

    # A try.

    def begin(self, random: Random, scenario: str | None = None) -> Picture:
        """An empty mirror, or one of an earlier day that is to catch up; the picture that is right in the end."""
        self.clean()
        scenario = scenario or random.choice(["new", "update"])
        if scenario == "new":
            self.sandbox.move(START)
        else:
            self._put_back()
            self.sandbox.move(RECORDED)
        self.sandbox.clear_faults()
        self.sandbox.fault("slow", seconds=SLOW, path=r"/bill/|/bills/45-1/")
        return self.right[scenario]

    def clean(self) -> None:
        """Empty the mirror and the queues."""
        self.start_servers()
        assert wait_until(self.alive, BOUND), f"beat is not heard\n{self.crew_says()}"
        self.redis().flushall()
        names = self._tables("alembic_version", "counters", "mirror")

        def emptied() -> bool:
            # The sweeper reads these tables in another order; one of the two may have to begin again.
            with suppress(psycopg2.errors.DeadlockDetected):
                self.reader.rows(f"TRUNCATE {', '.join(names)}")
                return True
            return False

        assert wait_until(emptied, BOUND)
        self.reader.rows("UPDATE counters SET value = 0")

    def _tables(self, *but: str) -> list[str]:
        tables = self.reader.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return sorted(name for (name,) in tables if name not in but)

    def _keep(self) -> None:
        """Copy what the mirror holds. To fill it anew would be a run of this process, which the sweeper of the crew
        takes for dead where a busy machine makes it slow."""
        self.reader.rows("CREATE SCHEMA kept")
        for name in self._tables(*OF_NO_MIRROR):
            self.reader.rows(f"CREATE TABLE kept.{name} AS TABLE public.{name}")

    def _put_back(self) -> None:
        columns = self.reader.rows(
            "SELECT c.table_name, string_agg(quote_ident(c.column_name), ', ') FROM information_schema.columns c"
            " JOIN pg_tables t ON t.schemaname = 'kept' AND t.tablename = c.table_name"
            " WHERE c.table_schema = 'public' AND c.is_generated = 'NEVER' AND c.table_name <> 'counters' GROUP BY 1"
        )
        inserts = [
            f"INSERT INTO public.{name} ({own}) OVERRIDING SYSTEM VALUE SELECT {own} FROM kept.{name}"
            for name, own in columns
        ]
        counters = "UPDATE counters c SET value = k.value FROM kept.counters k WHERE k.name = c.name"
        # As one transaction; the tables come in no order that their references ask for.
        self.reader.rows("; ".join(["SET session_replication_role = replica", *inserts, counters]))

    def _fill(self, day: Any) -> None:
        """Bring the mirror to a day, in this process and without faults. Nobody else may be at work."""
        self.sandbox.clear_faults()
        self.sandbox.move(day)
        resources = Resources(self.settings, self.addresses)
        try:
            figures = alone.run_session(resources.pipeline, SESSION)
        finally:
            resources.close()
        assert figures.status == "success", figures

    def look(self) -> None:
        """Learn what is right: what runs without faults make of the sandbox. Before the crew is hired."""
        self._fill(START)
        self.right["new"] = self.reader.picture()
        compare_with_sandbox(self.right["new"], self.sandbox, str(SESSION))
        assert str(self.reader.judge(self.right["new"])) == str(Verdict())
        self._keep()
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
        prepare: Callable[[], object] = lambda: None,
    ) -> Verdict:
        """Hit a backfill in the middle, wait until it is over, and ask the three questions.

        ``inflict`` returns when the fault is over; ``after``: the keys that have ended by then, random if not given;
        ``stays``: no process may end over it, restarted or not; ``prepare`` is called before the backfill.
        """
        seed = f"{os.environ.get('PARLEX_TEST_SEED', '1')} {name} {number}"
        random = Random(seed)
        for _ in range(BEGINNINGS):
            right = self.begin(random, scenario)
            prepare()
            self.backfill()
            self.reach(random.randrange(1, 200) if after is None else after)
            time.sleep(random.uniform(0, 0.3))  # the moment is meant to be random
            if not self.reader.settled():
                break
        else:
            raise AssertionError("each backfill was over before it could be hit")
        lives = {member.name: len(member.exits) for member in self.crew}
        at = time.monotonic()
        inflict(self, random)
        self.start_servers()
        healed = self.reader.settles(self.alive)
        seconds = time.monotonic() - at
        verdict = self.reader.judge(right, may_fail=may_fail)
        if stays:
            died = {member.name: member.exits[lives[member.name] :] for member in self.crew}
            verdict.open += verdict.note("ended", [pair for pair in died.items() if pair[1]])
        if not healed and self.reader.settled():
            verdict.open += verdict.note("beat is not heard", [self.heartbeat()])
        self.report(Result(name, number, seed, seconds=round(seconds, 1), **asdict(verdict)))
        return verdict

    def report(self, result: Result) -> None:
        if path := os.environ.get("PARLEX_TEST_CHAOS_REPORT"):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(result)) + "\n")


@contextmanager
def running(home: Path, logs: Path, *, copies: int = COPIES, learns: bool = True, **patience: float) -> Iterator[Site]:
    """``learns``: what is right, with runs that take a while. ``patience`` stands for that of ``QUICK``."""
    with Sandbox(multiply=copies) as sandbox:
        settings = Settings(
            home=home,
            contact="tests@example.org",
            legisinfo_url=sandbox.legisinfo_url,
            openparliament_url=sandbox.openparliament_url,
            legisinfo_rate=0,
            openparliament_rate=0,
            **(QUICK | patience),
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
                    try:
                        if learns:
                            site.look()
                        crew.hire_all()
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
