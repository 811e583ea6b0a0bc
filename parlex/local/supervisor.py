"""Everything that ``parlex up`` runs: the embedded servers, a worker for each queue, beat, Flower and the API.

The supervisor starts the servers and the keeper (see keeper.py), which keeps the other processes, and looks after both.
The keeper has its own session, so that Ctrl-C in a terminal reaches only us; if we are killed, it ends its children.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Lock, Thread
from types import FrameType, TracebackType
from typing import IO, Any, TextIO

from parlex.answers import counted
from parlex.errors import ConfigurationError
from parlex.local import embedded
from parlex.local.keeper import BACKOFF_SECONDS, GRACE_SECONDS, STEADY_SECONDS, Plan, Program, labelled
from parlex.local.locks import held, is_held, usable, wait_until, write_private
from parlex.runs.queues import CONTROL, DELIVER, FETCH, PERSIST
from parlex.settings import Settings, environment, load

APP = "workers.app"
HOST = "127.0.0.1"
READY_SECONDS = 60.0
TICK_SECONDS = 0.2
SERVERS_SECONDS = 1.0
QUEUES = {CONTROL: 1, FETCH: 2, PERSIST: 1, DELIVER: 1}  # queue: processes that work on it

_AWAY, _WRONG = os.EX_TEMPFAIL, os.EX_CONFIG  # how the migration's process ends where the database is at fault
_WORKER_OPTIONS = ("--without-gossip", "--without-mingle")  # they cost connections; the heartbeat stays, for Flower
_KEEPER_ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # Without it TERM waits for a task to end, and a task that outlasts the grace is lost for long.
    "REMAP_SIGTERM": "SIGQUIT",
    # Whoever starts us as root knows it; Celery would say so eight lines long, for each worker.
    "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
    # What they write comes to us, and by way of us to wherever our own output goes.
    "PYTHONIOENCODING": "utf-8",
}
# What Celery and Flower tell whoever runs them alone, and what is not so here.
_UNSAID = (
    r"^$",
    r"^worker: Hitting Ctrl\+C again",
    r"^worker: (Warm|Cold) shutdown",
    r"Initiating Soft Shutdown",
    r"Inspect method \w+ failed",
)
# What workers, beat, Flower and the API import sooner or later: found by comparing what each had after ten seconds.
_SHARED_MODULES = (
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.events.state",
    "celery.worker.components",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.strategy",
    "flower.command",
    "kombu.transport.redis",
    "parlex.cli.app",
    "parlex.web.server",
    "psycopg2",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "workers.tasks",
)


class DatabaseAway(ConfigurationError):
    """The database does not answer, and may later. A wrong password or name is a ConfigurationError as any other."""


def migrate() -> None:
    """Bring the schema of DATABASE_URL up to date. The supervisor calls it in a process of its own, to stay small."""
    from sqlalchemy.exc import SQLAlchemyError

    from parlex.db.errors import cause
    from parlex.db.migrate import upgrade

    database_url = load().database_url
    if database_url is None:
        raise ConfigurationError("no database: set DATABASE_URL")
    try:
        upgrade(database_url.get_secret_value())
    except SQLAlchemyError as error:
        found = cause(error)
        if found is None:
            raise
        print(found.text, file=sys.stderr)
        raise SystemExit(_AWAY if found.heals else _WRONG) from None
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        raise SystemExit(_WRONG) from None


def run(
    settings: Settings,
    *,
    flower_port: int = 5555,
    web_port: int = 8000,
    beat: bool = True,
    on_ready: Callable[[Stack], None] | None = None,
    out: TextIO | None = None,
) -> int:
    """Run everything until Ctrl-C or SIGTERM; the exit code.

    ``on_ready`` is called once every worker, and the API, has answered. ConfigurationError if nothing could be started.
    """
    stack = Stack(settings, flower_port=flower_port, web_port=web_port, beat=beat, out=out)
    with _signals(stack.hurry) as stopped:
        with stack:
            for line in stack.describe():
                stack.say(line)
            if stack.wait_ready(READY_SECONDS, unless=lambda: stopped(0)):
                stack.say("ready; Ctrl-C stops everything")
                if on_ready:
                    on_ready(stack)
            elif not stopped(0):
                stack.say("not every process has answered yet; still trying")
            stopped(None)
            stack.say("stopping")
        stack.say("stopped")
    return 0


class Stack:
    """A whole Parlex while the block lasts: servers joined or started, schema migrated, children kept alive.

    ``flower_port`` and ``web_port`` 0 take a free one; ``web_port`` None: nothing is served. Output of the children
    goes to ``out`` (standard output), a name before each line. ConfigurationError from ``with`` if it cannot start;
    nothing is left behind then.
    """

    addresses: embedded.Addresses

    def __init__(
        self,
        settings: Settings,
        *,
        flower_port: int = 5555,
        web_port: int | None = None,
        beat: bool = True,
        out: TextIO | None = None,
    ) -> None:
        self._settings = settings
        self._home = settings.home.absolute()
        self._beat = beat
        self._flower_port = flower_port
        self._web_port = web_port
        self._out = out or sys.stdout
        self._writing = Lock()
        self._running = ExitStack()
        self._ending = Event()
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Stack:
        with ExitStack() as starting:
            with usable(self._home):
                self._make_home()
                starting.enter_context(self._only_one())
                self._flower_port = _claim_port(self._flower_port, "Flower's")
                if self._web_port is not None:
                    self._web_port = _claim_port(self._web_port, "the server's")
                self.flower_auth = self._flower_credentials()
            self.addresses = starting.enter_context(embedded.servers(self._settings))
            self._migrate()
            watch = Thread(target=self._watch, name="supervisor")
            watch.start()
            starting.callback(watch.join)
            starting.callback(self._ending.set)
            self._running = starting.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._running.close()

    @property
    def flower_url(self) -> str:
        return f"http://{HOST}:{self._flower_port}{self._flower_path}"

    @property
    def web_url(self) -> str | None:
        return None if self._web_port is None else f"http://{HOST}:{self._web_port}"

    @property
    def _flower_path(self) -> str:
        prefix = (self._settings.flower_url_prefix or "").strip("/")
        return f"/{prefix}" if prefix else ""

    def environment(self) -> dict[str, str]:
        """The environment in which another process finds this stack's servers."""
        return environment(
            self._settings,
            DATABASE_URL=self.addresses.database_url,
            REDIS_URL=self.addresses.redis_url,
            PARLEX_HOME=str(self._home),
        )

    def wait_ready(self, timeout: float, *, unless: Callable[[], bool] = lambda: False) -> bool:
        """Whether Flower sees every worker alive, and the API answers, within ``timeout`` seconds (and before
        ``unless`` says to give up)."""
        seen = wait_until(lambda: unless() or self._all_seen(), timeout, every=TICK_SECONDS)
        if not seen or unless():
            return False
        # Flower asks the workers for their queues when it starts, and shows only those of the ones that answered then.
        self._flower("/api/workers?refresh=True")
        return True

    def hurry(self) -> None:
        """Do not wait for what the children are doing."""
        if self._keeper:
            self._keeper.terminate()

    def describe(self) -> Iterator[str]:
        """What runs and where, a line each, without secrets."""
        given = self._settings
        if self.web_url:
            yield f"the pages to look at: {self.web_url}/"
        yield "PostgreSQL: " + (
            "as DATABASE_URL says" if given.database_url else f"embedded, in {self._home / 'postgres'}"
        )
        yield "Redis: " + ("as REDIS_URL says" if given.redis_url else f"embedded Valkey, in {self._home / 'valkey'}")
        for queue, processes in QUEUES.items():
            yield f"{queue}: a worker, {counted(processes, 'process', 'processes')}"
        if self._beat:
            yield "beat: sends what the schedule says"
        if self.web_url:
            yield f"web: the same for programs, {self.web_url}/api/v1, documents at {self.web_url}/docs"
        yield f"flower: the queues to look at, {self.flower_url}"
        yield f"Flower's name and password: {self._flower_hint()}"

    def say(self, line: str) -> None:
        """Write one line of our own. What nobody reads any more is dropped."""
        self._write(labelled("parlex", line))

    def _write(self, text: str) -> None:
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        shown = text.encode(encoding, "backslashreplace").decode(encoding)
        with self._writing, contextlib.suppress(OSError, ValueError):
            self._out.write(shown)
            self._out.flush()

    def _make_home(self) -> None:
        """Flower unpickles what it kept: a folder that somebody else made is not trusted."""
        flower = self._home / "flower"
        try:
            for folder in (self._home, flower):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if flower.is_symlink() or flower.stat().st_uid != os.geteuid():
                raise PermissionError(f"{flower} belongs to another user")
        except OSError as error:
            raise ConfigurationError(f"PARLEX_HOME cannot be used: {error}") from None

    @contextmanager
    def _only_one(self) -> Iterator[None]:
        """Two beats in one home would send everything twice.

        ``up.lock`` is ours; the children inherit ``children.lock``, which shows those that outlive a killed supervisor.
        """
        with ExitStack() as locks:
            try:
                locks.enter_context(held(self._home / "up.lock", wait=False))
            except BlockingIOError:
                raise ConfigurationError(f"`parlex up` runs already in {self._home}") from None
            if not self._children_are_gone():
                raise ConfigurationError(
                    f"processes of an earlier `parlex up` in {self._home} still run: end them first"
                )
            yield

    def _children_are_gone(self) -> bool:
        return wait_until(lambda: not is_held(self._home / "children.lock"), GRACE_SECONDS)

    def _flower_credentials(self) -> str:
        """``name:password``: as set, else made once and kept in a private file."""
        if self._settings.flower_basic_auth:
            return self._settings.flower_basic_auth.get_secret_value()
        kept = self._home / "flower" / "password"
        if not kept.exists():
            write_private(kept, f"parlex:{secrets.token_urlsafe(12)}\n")
        return kept.read_text().strip()

    def _flower_hint(self) -> str:
        return (
            "as FLOWER_BASIC_AUTH says" if self._settings.flower_basic_auth else str(self._home / "flower" / "password")
        )

    def _migrate(self) -> None:
        command = [sys.executable, "-c", "from parlex.local import supervisor; supervisor.migrate()"]
        done = subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, start_new_session=True, check=False
        )
        if done.returncode:
            raise _not_migrated(done.returncode, done.stderr)

    def _programs(self) -> Iterator[Program]:
        celery = ("-A", APP, "-q")
        level = f"--loglevel={self._settings.log_level}"
        for queue, processes in QUEUES.items():
            named = ("-Q", queue, "-n", f"{queue}@%h", "-c", str(processes))
            # What is sent waits for its receivers, in threads: a process of its own is enough, without children.
            pool = ("-P", "threads") if queue == DELIVER else ()
            yield Program(queue, "celery", (*celery, "worker", *named, *pool, *_WORKER_OPTIONS, level))
        if self._beat:
            yield Program("beat", "celery", (*celery, "beat", "--pidfile=", level))
        listen = (f"--address={HOST}", f"--port={self._flower_port}")
        # What it saw survives a restart, and is bounded.
        memory = ("--persistent=True", f"--db={self._home / 'flower' / 'state'}", "--max_tasks=10000")
        shown = "--tasks_columns=name,uuid,state,args,kwargs,result,received,runtime,worker"
        yield Program("flower", "celery", (*celery, "flower", *listen, *memory, shown, "--state_save_interval=30000"))
        if self._web_port is not None:
            yield Program("web", "parlex", ("serve", f"--host={HOST}", f"--port={self._web_port}"))

    def _watch(self) -> None:
        """Have a keeper and the embedded servers as long as we run."""
        failures = 0
        while not self._ending.is_set():
            born = time.monotonic()
            with self._kept() as keeper:
                while keeper.poll() is None and not self._ending.wait(SERVERS_SECONDS) and self._servers_stand():
                    pass
            if not self._ending.is_set():
                self.say("the keeper of the processes ended, or a server moved: starting all of them again")
            failures = 0 if time.monotonic() - born > STEADY_SECONDS else failures + 1
            self._ending.wait(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])

    @contextmanager
    def _kept(self) -> Iterator[subprocess.Popen[bytes]]:
        """A keeper while the block lasts; the children of the last one are gone before, those of this one after it."""
        if not self._children_are_gone():
            self.say(f"waiting for processes that are left over in {self._home}")
        with held(self._home / "children.lock") as lock:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "parlex.local.keeper"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self.environment() | _KEEPER_ENVIRONMENT | {"FLOWER_BASIC_AUTH": self.flower_auth},
                start_new_session=True,
                pass_fds=(lock,),
            )
        plan = Plan(tuple(self._programs()), _SHARED_MODULES, self._out.isatty(), _UNSAID)
        with self._keeper as keeper:
            assert keeper.stdin is not None
            relay = Thread(target=self._relay, args=(keeper.stdout,), name="output")
            relay.start()
            with contextlib.suppress(BrokenPipeError):
                keeper.stdin.write(plan.to_json())
                keeper.stdin.flush()
            try:
                yield keeper
            finally:
                keeper.stdin.close()  # this ends it and its children
                keeper.wait()
                relay.join()

    def _relay(self, output: IO[bytes]) -> None:
        for line in output:
            self._write(line.decode(errors="replace"))

    def _servers_stand(self) -> bool:
        """Start again what died of the embedded servers; False if the children must learn a new address."""
        for name in embedded.fallen(self._settings):
            self.say(f"{name} is gone: starting it again")
        try:
            found = embedded.revive(self._settings)
        except ConfigurationError as error:
            self.say(str(error))
            self._ending.wait(BACKOFF_SECONDS[-1])
            return True
        moved = found != self.addresses
        self.addresses = found
        return not moved

    def _all_seen(self) -> bool:
        return self._workers_seen() >= set(QUEUES) and (self._web_port is None or self._web_answers())

    def _web_answers(self) -> bool:
        assert self._web_port is not None
        with contextlib.closing(http.client.HTTPConnection(HOST, self._web_port, timeout=5)) as link:
            try:
                link.request("GET", "/readyz")
                return link.getresponse().status == http.client.OK
            except (OSError, http.client.HTTPException):
                return False

    def _workers_seen(self) -> set[str]:
        """The queues whose workers Flower counts as alive; none while Flower itself does not answer."""
        alive = self._flower("/api/workers?status=True")
        return {name.split("@")[0] for name, is_alive in alive.items() if is_alive}

    def _flower(self, path: str) -> dict[str, Any]:
        """What Flower's API answers; nothing while it does not."""
        token = b64encode(self.flower_auth.partition(",")[0].encode()).decode()  # the first of several users
        link = http.client.HTTPConnection(HOST, self._flower_port, timeout=5)
        try:
            link.request("GET", self._flower_path + path, headers={"Authorization": f"Basic {token}"})
            answer = link.getresponse()
            found: dict[str, Any] = json.loads(answer.read()) if answer.status == http.client.OK else {}
        except (OSError, http.client.HTTPException):
            return {}
        finally:
            link.close()
        return found


def _not_migrated(code: int, told: str) -> ConfigurationError:
    """What a migration said when it failed, as one sentence."""
    # The error is the last line that is not indented; SQLAlchemy adds some on the statement and on where to read on.
    plain = [line for line in told.splitlines() if line[:1].strip()]
    said = [line for line in plain if not line.startswith(("(Background", "[SQL:", "]"))]
    kind = DatabaseAway if code == _AWAY else ConfigurationError
    return kind(f"the database could not be migrated: {said[-1] if said else 'no reason given'}")


def _claim_port(wanted: int, whose: str) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError as error:
            raise ConfigurationError(
                f"{whose} port {wanted} cannot be used ({error.strerror}): choose another"
            ) from None
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _signals(again: Callable[[], None]) -> Iterator[Callable[[float | None], bool]]:
    """Turn Ctrl-C, SIGTERM and the end of the terminal into a question: ``stopped(seconds)`` waits for one.

    ``again`` is called at each one after the first.
    """
    reader, writer = os.pipe()
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if seen:
            again()
        else:
            os.write(writer, b"!")
        seen.append(number)

    def stopped(seconds: float | None) -> bool:
        return bool(select.select([reader], [], [], seconds)[0])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
