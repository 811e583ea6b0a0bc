"""The workloads. Each runs its contenders in turn, round after round, so that a busy minute falls on all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from sqlalchemy import create_engine, make_url, text

from bench import growth, mirror, processes
from bench.mirror import Child, Mirror, Servers
from bench.stand_in import ROOT, StandIn
from parlex.datasets.bills.dataset import COMPANION_SINCE
from parlex.fetching.http import Tally
from parlex.local import embedded
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.settings import environment

Sample = dict[str, Any]
Contender = Callable[[], Sample]

RIVALS = ROOT / "bench" / "rivals"
RIVAL_PYTHON = ROOT / "bench" / ".venv-rivals" / "bin" / "python"
IN_FLIGHT = 32  # what our two fetch processes have, sixteen threads each
LATENCY = 50  # milliseconds
ONE_SESSION = "42-1"
SMALL_SESSION = "43-1"
PREFECT = "Prefect 3 flow"
DAGSTER = "Dagster job"
SEQUENTIAL = "sequential script"
OURS = "Parlex"
BARE = "bare Celery"
WATCHED = "bare Celery that Flower watches"
TUNED = "Celery with our settings"
BY_HTTPX = "limit: httpx, one process"
BY_PYCURL = "limit: pycurl"
_SCRIPTS = {PREFECT: "prefect_flow.py", DAGSTER: "dagster_job.py", SEQUENTIAL: "sequential.py", "limit": "limit.py"}


class Bench:
    """What the workloads share. ``repeats`` rounds; a rival whose runs took ``patience`` seconds leaves a workload."""

    def __init__(
        self, stand_in: StandIn, servers: Servers, *, repeats: int, patience: float, deadline: float, quick: bool
    ) -> None:
        self.stand_in = stand_in
        self.servers = servers
        self.repeats = repeats
        self.patience = patience
        self.deadline = deadline
        self.quick = quick
        self._rivals: dict[str, Child] = {}
        self.unavailable: dict[str, str] = {}

    @property
    def sessions(self) -> list[str]:
        return list(self.stand_in.sessions)

    @property
    def one_session(self) -> str:
        return ONE_SESSION if ONE_SESSION in self.sessions and not self.quick else self.small_session

    @property
    def small_session(self) -> str:
        return SMALL_SESSION if SMALL_SESSION in self.sessions else self.sessions[-1]

    def late(self) -> bool:
        return time.monotonic() > self.deadline

    def rounds(self, contenders: Mapping[str, Contender], *, at_least: int | None = None) -> dict[str, list[Sample]]:
        """Run all in turn. A contender that has used up its patience, or failed, sits out the other rounds."""
        samples: dict[str, list[Sample]] = {name: [] for name in contenders}
        spent = dict.fromkeys(contenders, 0.0)
        for number in range(at_least or self.repeats):
            for name, run in contenders.items():
                ours = name not in _SCRIPTS
                if name in self.unavailable or (not ours and (spent[name] > self.patience or (number and self.late()))):
                    continue
                try:
                    samples[name].append(run())
                    spent[name] += samples[name][-1]["seconds"]
                except ChildProcessError as error:
                    self.unavailable[name] = str(error).splitlines()[-1][:300]
                    say(f"  {name} leaves: {error}")
            say(f"  round {number + 1}: " + ", ".join(_last(name, taken) for name, taken in samples.items() if taken))
        return samples

    def rival(self, name: str, sessions: Sequence[str], **more: Any) -> Sample:
        """One run of a rival. ChildProcessError where it cannot run here."""
        if not RIVAL_PYTHON.exists():
            raise ChildProcessError("bench/.venv-rivals is not there: its packages could not be installed")
        fresh = name not in self._rivals
        if fresh:
            self._rivals[name] = Child(
                [str(RIVAL_PYTHON), str(RIVALS / _SCRIPTS[name])],
                self._rival_environment(),
                RIVALS,
                self.servers.home / f"{_SCRIPTS[name]}.log",
            )
        job = {
            "sessions": list(sessions),
            "limit": None,
            "fresh": True,
            "legisinfo": self.stand_in.legisinfo,
            "openparliament": self.stand_in.openparliament,
            "database": self.servers.rivals_url,
        } | more
        if fresh:  # warm: imports, a server of its own where it has one
            warm = {"copy": False, "way": "httpx", "in_flight": 4} if name == "limit" else {"limit": 5}
            self._rivals[name].ask(**job | {"sessions": [self.small_session]} | warm)
        return self._rivals[name].ask(**job)

    def _rival_environment(self) -> dict[str, str]:
        home = self.servers.home / "rivals"
        home.mkdir(exist_ok=True)
        quiet = {
            "PREFECT_HOME": str(home / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "60",
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }
        return {name: value for name, value in os.environ.items() if not name.startswith("PYTHONPATH")} | quiet

    def limit(self, way: str, sessions: Sequence[str], *, copy: bool) -> Sample:
        return self.rival("limit", sessions, way=way, copy=copy, in_flight=IN_FLIGHT, fresh=False)

    def close(self) -> None:
        for child in self._rivals.values():
            child.close()

    @contextmanager
    def mirror(self, **options: Any) -> Iterator[Mirror]:
        with mirror.mirror(self.servers, **options) as running:
            yield running

    def differences(self) -> dict[str, int]:
        """How the rows that a rival left differ from ours: bills that only one has, and values by column."""
        ours = self._rows(self.servers.settings.database_url.get_secret_value(), "bills")  # type: ignore[union-attr]
        theirs = self._rows(
            str(
                make_url(self.servers.rivals_url)
                .set(drivername="postgresql+psycopg2")
                .render_as_string(hide_password=False)
            ),
            "rival_bills",
        )
        found = {
            "bills": len(theirs.keys() & ours.keys()),
            "only theirs": len(theirs.keys() - ours.keys()),
            "only ours": len(ours.keys() - theirs.keys()),
        }
        for key in theirs.keys() & ours.keys():
            for name in ours[key]:
                if ours[key][name] != theirs[key][name]:
                    found[name] = found.get(name, 0) + 1
        return found

    def _rows(self, url: str, table: str) -> dict[Any, dict[str, Any]]:
        names = (
            "title_en",
            "title_fr",
            "status_en",
            "sponsor_name",
            "sponsor_slug",
            "house_first_reading_on",
            "royal_assent_on",
        )
        engine = create_engine(url)
        with engine.connect() as db:
            rows = db.execute(text(f"SELECT parliament, session, number, {', '.join(names)} FROM {table}")).all()
        engine.dispose()
        return {tuple(row[:3]): dict(zip(names, row[3:], strict=True)) for row in rows}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _last(name: str, samples: list[Sample]) -> str:
    return f"{name} {span(samples[-1]['seconds'])}"


def span(seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


def _fetched(bench: Bench, running: Mirror, call: Callable[[], dict[str, Any]], *, empty: bool) -> Sample:
    """One run of ours. RuntimeError unless it came out well."""
    if empty:
        bench.servers.empty()
    bench.stand_in.reset()
    pids = running.workers()
    cpu = processes.cpu_seconds(pids)
    answer = call()
    sample = {"seconds": answer["seconds"], "cpu": processes.cpu_seconds(pids) - cpu, "dispatch": answer["dispatch"]}
    sample["requests"] = sum(bench.stand_in.requests().values())
    first = bench.stand_in.first_request()
    if first is not None:
        sample["first_request"] = first - answer["began"]
    bad = [figures for figures in answer["results"] if figures["status"] != "success"]
    if bad:
        raise RuntimeError(f"a run did not succeed: {bad[0]}")
    sample["bills"] = sum(figures["bills_fetched"] for figures in answer["results"])
    return sample


def backfill(bench: Bench, sessions: Sequence[str], latency: int, rivals: Sequence[str]) -> dict[str, Any]:
    """Everything of these sessions into an empty mirror, through the workers."""
    if not bench.stand_in.latency(latency) and latency:
        return {"skipped": "this stand-in cannot delay its answers"}
    contenders: dict[str, Contender] = {}
    same: dict[str, dict[str, int]] = {}
    try:
        with bench.mirror() as running:
            contenders[OURS] = lambda: _fetched(bench, running, lambda: running.fetch_sessions(sessions), empty=True)
            # Without latency the limit is what must be done here, with latency what the network alone allows.
            contenders[BY_HTTPX] = lambda: bench.limit("httpx", sessions, copy=not latency)
            contenders[BY_PYCURL] = lambda: bench.limit("pycurl", sessions, copy=not latency)
            for rival in rivals:
                contenders[rival] = lambda rival=rival: _same_rows(bench, rival, sessions, same)  # type: ignore[misc]
            contenders[OURS]()  # warm
            samples = bench.rounds(contenders)
    finally:
        bench.stand_in.latency(0)
    bills = sum(bench.stand_in.sessions[session] for session in sessions)
    return {"samples": samples, "rows": same, "bills": bills, "latency": latency}


def _same_rows(bench: Bench, rival: str, sessions: Sequence[str], same: dict[str, dict[str, int]]) -> Sample:
    sample = bench.rival(rival, sessions)
    if rival not in same:
        same[rival] = bench.differences()
    return sample


def steady(bench: Bench, rivals: Sequence[str]) -> dict[str, Any]:
    """The hourly run with nothing, one and fifty bills changed; rivals fetch their fifty bills again, as they do."""
    session = bench.sessions[-1]
    with bench.mirror() as running:
        bench.servers.empty()
        running.fetch_latest(1000)
        bench.servers.vacuum()

        def hourly(changed: int) -> Sample:
            _age(bench.servers, session, changed)
            before = bench.servers.rows("SELECT pg_current_xact_id()::text::bigint")[0][0]
            sample = _fetched(bench, running, lambda: running.fetch_latest(50), empty=False)
            written = "SELECT count(*) FROM bills WHERE xmin::text::bigint > :before"
            sample["rows_written"] = bench.servers.rows(written, before=before)[0][0]
            return sample

        contenders: dict[str, Contender] = {f"{OURS}, {k} changed": lambda k=k: hourly(k) for k in (0, 1, 50)}  # type: ignore[misc]
        for rival in rivals:
            contenders[rival] = lambda rival=rival: bench.rival(rival, [session], limit=50, fresh=False)  # type: ignore[misc]
        contenders[f"{OURS}, 0 changed"]()  # warm
        samples = bench.rounds(contenders)
    return {"samples": samples, "session": session, "held": bench.stand_in.sessions[session]}


def _age(servers: Servers, session: str, changed: int) -> None:
    """Take the mirror back to before ``changed`` bills of the session changed."""
    parliament, number = session.split("-")
    keys = [
        row[0]
        for row in servers.rows(
            "SELECT key FROM listings WHERE source = 'legisinfo' AND scope = :scope ORDER BY key LIMIT :changed",
            scope=session,
            changed=changed,
        )
    ]
    if keys:
        quoted = ", ".join(f"'{key}'" for key in keys)
        servers.execute(
            f"UPDATE listings SET fingerprint = 'older', fetched_fingerprint = 'older' "
            f"WHERE source = 'legisinfo' AND key IN ({quoted})",
            f"UPDATE bills SET title_en = title_en || ' (older)' WHERE parliament = {parliament} "
            f"AND session = {number} AND '{session} ' || number IN ({quoted})",
        )


def trigger(bench: Bench) -> dict[str, Any]:
    """From a shell to the first request on the wire and to the final figures, nothing changed."""
    with bench.mirror() as running:
        bench.servers.empty()
        running.fetch_latest(1000)
        run: Contender = lambda: _fetched(bench, running, lambda: running.fetch_latest(50), empty=False)  # noqa: E731
        run()
        return {"samples": bench.rounds({OURS: run}, at_least=2 * bench.repeats)}


def overhead(bench: Bench) -> dict[str, Any]:
    """A task without a body: ours against one of a bare Celery application, on the same broker."""
    redis_url = bench.servers.settings.redis_url
    assert redis_url is not None
    own = redis_url.get_secret_value().rsplit("/", 1)[0] + "/5"
    env = environment(bench.servers.settings, REDIS_URL=own) | {"PYTHONWARNINGS": "ignore"}
    log = bench.servers.home / "noop.log"
    count = 100 if bench.quick else 500
    with ExitStack() as running:
        workers = {
            name: running.enter_context(_worker(name, queue, env))
            for name, queue in (("bare", "bare"), ("watched", "watched"), ("tuned", "tuned"), ("ours", "control"))
        }
        shell = Child([sys.executable, "-m", "bench.noop"], env, ROOT, log)
        running.callback(shell.close)

        def run(application: str) -> Sample:
            pids = [*processes.descendants(workers[application]), *shell.pids()]
            before = processes.cpu_seconds(pids)
            answer = shell.ask(application=application, count=count)
            cpu = (processes.cpu_seconds(pids) - before) / answer["tasks"]
            return {"seconds": answer["each"], "round_trip": answer["round_trip"], "cpu": cpu}

        names = {BARE: "bare", WATCHED: "watched", TUNED: "tuned", OURS: "ours"}
        contenders: dict[str, Contender] = {name: lambda which=which: run(which) for name, which in names.items()}  # type: ignore[misc]
        for warm in contenders.values():
            warm()
        return {"samples": bench.rounds(contenders, at_least=2 * bench.repeats)}


@contextmanager
def _worker(application: str, queue: str, env: Mapping[str, str]) -> Iterator[int]:
    arguments = ("worker", "-Q", queue, "-n", f"{application}@%h", "-c", "1", "--without-gossip", "--without-mingle")
    command = [sys.executable, "-m", "celery", "-A", f"bench.noop:{application}", "-q", *arguments]
    with subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.terminate()


def startup(bench: Bench) -> dict[str, Any]:
    """Seconds until each process is of use, alone, and the memory it then holds; and all of ``parlex up`` together."""
    celery = (sys.executable, "-m", "celery", "-A")
    worker = ("worker", "-n", "start@%h", "-c", "1", "--without-gossip", "--without-mingle", "--loglevel=INFO")
    beat = ("beat", "--pidfile=", "--loglevel=INFO")
    commands = {
        "bare Celery worker, 1 process": ((*celery, "bench.noop:bare", *worker, "-Q", "bare"), "ready"),
        "worker, 1 process": ((*celery, "workers.app", *worker, "-Q", "control"), "ready"),
        "beat": ((*celery, "workers.app", *beat), "tarting"),
        "Flower": ((*celery, "workers.app", "flower", "--address=127.0.0.1", "--port=0"), "Connected to"),
        "all of `parlex up`": ((sys.executable, "-m", "parlex", "up", "--flower-port", "0"), "ready;"),
    }
    settings = bench.servers.settings
    env = environment(settings, PARLEX_LOG_LEVEL="INFO", FLOWER_BASIC_AUTH="bench:bench", PYTHONUNBUFFERED="1")
    contenders: dict[str, Contender] = {
        name: lambda command=command, sign=sign: _started(command, sign, env)  # type: ignore[misc]
        for name, (command, sign) in commands.items()
    }
    return {"samples": bench.rounds(contenders)}


def _started(command: Sequence[str], sign: str, env: Mapping[str, str]) -> Sample:
    began = time.monotonic()
    with subprocess.Popen(
        command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            if not any(sign in line for line in process.stdout):
                raise ChildProcessError(f"{' '.join(command[:6])} ended before it was ready")
            seconds = time.monotonic() - began
            time.sleep(2)  # for what it opens when it first does something
            return {"seconds": seconds, "megabytes": processes.pss(processes.descendants(process.pid))}
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=40)
            process.kill()


def memory(bench: Bench) -> dict[str, Any]:
    """The most that all processes of a fresh stack hold together, for a hundred bills and for all."""
    most = sum(bench.stand_in.sessions.values())
    largest = max(bench.sessions, key=lambda session: bench.stand_in.sessions[session])

    def peak(sessions: Sequence[str], limit: int | None) -> Sample:
        bench.servers.empty()
        with bench.mirror() as running, processes.Peak(running.pids) as seen:
            rest = seen.megabytes
            answer = running.fetch_sessions(sessions, limit=limit)
        return {"seconds": answer["seconds"], "megabytes": seen.megabytes, "at_rest": rest}

    contenders: dict[str, Contender] = {
        "100 bills": lambda: peak([largest], 100),
        f"{most} bills": lambda: peak(bench.sessions, None),
    }
    return {"samples": bench.rounds(contenders, at_least=2 if bench.late() or bench.quick else bench.repeats)}


def growing(bench: Bench) -> dict[str, Any]:
    """The run of one session in which nothing changed, while the mirror holds more and more bills of others."""
    samples: dict[str, list[Sample]] = {}
    sizes = (100, 1_000, 10_000) if bench.quick else (100, 1_000, 10_000, 100_000)
    with bench.mirror() as running:
        bench.servers.empty()
        running.fetch_sessions([bench.small_session])
        for size in sizes:
            held = growth.fill(bench.servers, bench.small_session, size)
            run: Contender = lambda: _fetched(  # noqa: E731
                bench, running, lambda: running.fetch_sessions([bench.small_session]), empty=False
            )
            run()  # warm
            samples |= bench.rounds({f"{held} bills": run}, at_least=max(5, bench.repeats))
        bench.servers.empty()
    return {"samples": samples, "session": bench.small_session}


def profile(bench: Bench) -> dict[str, Any]:
    """Where the processor time of a backfill goes: its steps one after the other in one process, and PostgreSQL."""
    resources = Resources(bench.servers.settings, embedded.resolve(bench.servers.settings))
    session = bench.one_session
    request = resources.pipeline.session_request(SessionId.parse(session))

    def run() -> Sample:
        bench.servers.empty()
        steps = {"plan": 0.0, "fetch": 0.0, "persist": 0.0, "close": 0.0, "requests": 0.0}
        database = bench.servers.postgres()
        began, base = time.monotonic(), processes.cpu_seconds(database)
        opened = resources.pipeline.open_run(request, carrier="process").run
        _spend(steps, "plan", lambda: resources.pipeline.plan(opened))
        while keys := resources.pipeline.take_chunk(opened):
            report = _spend(steps, "fetch", lambda keys=keys: resources.pipeline.fetch(opened, keys))
            _spend(steps, "persist", lambda report=report: resources.pipeline.persist(opened, report.persist))
        _spend(steps, "close", lambda: resources.pipeline.close_if_complete(opened))
        sample = {"seconds": time.monotonic() - began, "postgres": processes.cpu_seconds(database) - base}
        addresses = [row[0] for row in bench.servers.rows("SELECT url FROM document_fetches WHERE kind = 'detail'")]
        _spend(steps, "requests", lambda: _ask_again(resources, addresses))
        return sample | {"steps": steps}

    try:
        run()  # warm
        contenders: dict[str, Contender] = {
            OURS: run,
            BY_HTTPX: lambda: bench.limit("httpx", [session], copy=False),
            BY_PYCURL: lambda: bench.limit("pycurl", [session], copy=False),
        }
        samples = bench.rounds(contenders)
    finally:
        resources.close()
    return {"samples": samples, "session": session, "requests": _requests_of(bench, session)}


def _ask_again(resources: Resources, addresses: Sequence[str]) -> None:
    """The requests of a backfill, by our client and threads, and nothing else."""
    tally = Tally()
    with ThreadPoolExecutor(resources.settings.fetch_threads) as pool:
        list(pool.map(lambda url: resources.client.get(url, tally=tally), addresses))


def _spend(steps: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    before = time.process_time()
    try:
        return work()
    finally:
        steps[name] += time.process_time() - before


def _requests_of(bench: Bench, session: str) -> int:
    """What a backfill of the session asks for, lists not counted."""
    sources = 2 if int(session.partition("-")[0]) >= COMPANION_SINCE else 1
    return sources * bench.stand_in.sessions[session]


def workloads(bench: Bench) -> dict[str, Callable[[], dict[str, Any]]]:
    """By name, in the order in which they run: what matters most comes first."""
    every = (PREFECT, DAGSTER, SEQUENTIAL)
    whole = every if not bench.quick else ()
    return {
        "backfill-one": lambda: backfill(bench, [bench.one_session], 0, every),
        "backfill-one-50ms": lambda: backfill(bench, [bench.one_session], LATENCY, every),
        "profile": lambda: profile(bench),
        "steady": lambda: steady(bench, every),
        "trigger": lambda: trigger(bench),
        "overhead": lambda: overhead(bench),
        "startup": lambda: startup(bench),
        "memory": lambda: memory(bench),
        "growth": lambda: growing(bench),
        "backfill-all": lambda: backfill(bench, bench.sessions, 0, whole),
        "backfill-all-50ms": lambda: backfill(bench, bench.sessions, LATENCY, ()),
    }
