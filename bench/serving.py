"""The workload ``serving``: one question after the other to ours and to its rivals, all on the rows of one mirror.

Each server is one process, none writes a log line a request, and the client is one thread. All answer the same columns
(which is looked at first), to the same requests in the same order.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from socket import socket
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from bench import client, processes
from bench.mirror import worker_environment
from bench.stand_in import ROOT
from bench.workloads import OURS, RIVAL_PYTHON, RIVALS, Bench, Contender, Sample, say

ANEW = "Parlex, each body made anew"
DATASETTE = "Datasette, a query of ours"
TABLE = "Datasette, its table page"
ORM = "FastAPI, ORM, response models"
BARE_304 = "FastAPI, one header compared"
CONNECTIONS = 8
ROWS = 50  # of a list
BILL, LIST, UNCHANGED = "a bill", f"a list of {ROWS}", "a 304"
BILL_TOGETHER, LIST_TOGETHER = f"{BILL}, {CONNECTIONS} connections", f"{LIST}, {CONNECTIONS} connections"
# Requests of a round.
_COUNTS = {BILL: 1000, LIST: 240, UNCHANGED: 2000, BILL_TOGETHER: 2000, LIST_TOGETHER: 480}
_API = "/api/v1/bills"
_NOTHING_KEPT = 20e-6  # seconds of PostgreSQL that a body made anew costs at least

Key = tuple[str, str]  # session and number


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    pid: int

    def connect(self) -> client.Connection:
        return client.Connection(self.port)

    def read(self, target: str) -> Any:
        with self.connect() as connection:
            return json.loads(connection.ask(client.request(self.port, target)))


@dataclass(frozen=True)
class Asked:
    """What one contender is asked, over and over: ``targets`` in their order. ``headers``: by target."""

    server: Server
    targets: Sequence[str]
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    anew: bool = False
    warm: bool = False
    status: int = 200
    visits: Counter[str] = field(default_factory=Counter)  # of each target so far

    def requests(self) -> Iterator[bytes]:
        for target in cycle(self.targets):
            # Empty parameters change the address and nothing else, so that what is kept by address is of no use.
            self.visits[target] += 1
            more = ("" if "?" in target else "?") + "&" * self.visits[target] if self.anew else ""
            yield client.request(self.server.port, target + more, **self.headers.get(target, {}))


def serving(bench: Bench) -> dict[str, Any]:
    """Rows of all sessions; questions, each with its rounds; what each server holds in memory before and after."""
    with ExitStack() as running:
        with bench.mirror() as mirror:
            bench.servers.empty()
            answer = mirror.fetch_sessions(bench.sessions)
            if any(figures["status"] != "success" for figures in answer["results"]):
                raise RuntimeError("the mirror could not be filled")
        bench.servers.vacuum()
        servers = _servers(bench, running)
        before = {server.name: processes.rss(server.pid) for server in servers.values()}
        pages = list(_pages(servers[OURS], bench.sessions))
        keys = [key for page in pages for key in page.keys]
        random.Random(0).shuffle(keys)
        tables = _tables(servers[DATASETTE], pages) if DATASETTE in servers else {}
        tags, differing = _compare(servers, pages, tables, keys[:100] if bench.quick else keys)
        questions = {}
        for name, contenders in _questions(servers, pages, tables, tags).items():
            say(f"  {name}:")
            runs = {each: _contender(bench, name, asked) for each, asked in contenders.items()}
            questions[name] = {"samples": bench.rounds(runs)}
        memory = {
            server.name: {"before": before[server.name], "after": processes.rss(server.pid)}
            for server in servers.values()
        }
    return {"bills": len(keys), "compared": len(tags), "differing": differing, "questions": questions, "memory": memory}


# The servers.


def _servers(bench: Bench, running: ExitStack) -> dict[str, Server]:
    env = worker_environment(bench.servers)
    folder = bench.servers.home / "export"
    parlex = [sys.executable, "-m", "parlex"]
    export = [*parlex, "export", "--to", str(folder), "--format", "sqlite", "--json"]
    subprocess.run(export, env=env, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    # The ORM has our own versions of FastAPI, uvicorn, SQLAlchemy and pydantic: in our own environment.
    commands: dict[str, tuple[list[str], list[str], str]] = {
        OURS: ([*parlex, "serve", "--port"], [], "/readyz"),
        ORM: ([sys.executable, str(RIVALS / "fastapi_orm.py")], [], "/bare"),
    }
    if RIVAL_PYTHON.exists():
        script = [str(RIVAL_PYTHON), str(RIVALS / "datasette_export.py")]
        commands[DATASETTE] = (script, [str(folder / "parlex.sqlite")], "/-/versions.json")
    else:
        bench.unavailable[DATASETTE] = "bench/.venv-rivals is not there: its packages could not be installed"
    log = bench.servers.home / "serving.log"
    return {
        name: running.enter_context(_server(name, (before, after), ready, env, log))
        for name, (before, after, ready) in commands.items()
    }


@contextmanager
def _server(
    name: str, command: tuple[Sequence[str], Sequence[str]], ready: str, env: Mapping[str, str], log: Path
) -> Iterator[Server]:
    port = _free_port()
    with (
        log.open("a") as out,
        subprocess.Popen([*command[0], str(port), *command[1]], env=env, cwd=ROOT, stdout=out, stderr=out) as process,
    ):
        try:
            found = Server(name, port, process.pid)
            _wait_ready(found, process, ready, log)
            yield found
        finally:
            process.terminate()


def _free_port() -> int:
    with socket() as one:
        one.bind((client.HOST, 0))
        return int(one.getsockname()[1])


def _wait_ready(server: Server, process: subprocess.Popen[bytes], target: str, log: Path) -> None:
    """Until it answers. ChildProcessError where it ends, TimeoutError after a minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with server.connect() as connection:
                connection.ask(client.request(server.port, target))
                return
        except (OSError, RuntimeError):  # it does not listen yet, or is not ready
            if process.poll() is not None:
                raise ChildProcessError(f"{server.name} ended: {log.read_text()[-300:]}") from None
            time.sleep(0.1)
    raise TimeoutError(f"{server.name} is not ready: {log.read_text()[-300:]}")


# What is asked, by each contender's own addresses.


@dataclass(frozen=True)
class Page:
    """A page of a session's list; ``target`` is ours."""

    session: str
    offset: int
    target: str
    rows: list[dict[str, Any]]

    @property
    def keys(self) -> list[Key]:
        return [(self.session, row["number"]) for row in self.rows]


def _pages(ours: Server, sessions: Sequence[str]) -> Iterator[Page]:
    for session in sessions:
        target: str | None = f"{_API}?session={session}&limit={ROWS}"
        offset = 0
        while target:
            answer = ours.read(target)
            yield Page(session, offset, target, answer["data"])
            offset += ROWS
            target = _target(answer["next"])


def _target(address: str | None) -> str | None:
    if address is None:
        return None
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}"


def _bill(key: Key) -> str:
    return f"{_API}/{key[0]}/{key[1]}"


def _orm_bill(key: Key) -> str:
    return f"/bills/{key[0]}/{key[1]}"


def _orm_list(page: Page) -> str:
    return f"/bills?session={page.session}&limit={ROWS}&offset={page.offset}"


def _datasette_bill(key: Key) -> str:
    return f"/parlex/bill.json?key={key[0]}+{key[1]}&_shape=array&_json=stages&_json=flags"


def _datasette_list(page: Page) -> str:
    parliament, session = page.session.split("-")
    asked = f"parliament={parliament}&session={session}&limit={ROWS}&offset={page.offset}"
    return f"/parlex/list.json?{asked}&_shape=array"


def _tables(datasette: Server, pages: Sequence[Page]) -> dict[str, list[str]]:
    """The pages of the table by session, with our columns, and without what can be left out: count and facets."""
    columns = "".join(f"&_col={name}" for name in pages[0].rows[0])
    spared = "&_nocount=1&_nofacet=1&_nosuggest=1"
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(page.session for page in pages):
        parliament, session = name.split("-")
        where = f"parliament={parliament}&session={session}"
        first = f"/parlex/bills.json?{where}&_size={ROWS}&_shape=objects{spared}{columns}"
        target: str | None = first
        while target:
            found.setdefault(name, []).append(target)
            following = datasette.read(target)["next"]
            target = f"{first}&_next={following}" if following else None
    return found


def _questions(
    servers: Mapping[str, Server], pages: Sequence[Page], tables: Mapping[str, Sequence[str]], tags: Mapping[Key, str]
) -> dict[str, dict[str, Asked]]:
    ours, orm, datasette = servers[OURS], servers[ORM], servers.get(DATASETTE)
    keys = list(tags)
    bills, lists = list(map(_bill, keys)), [page.target for page in pages]
    bill = {OURS: Asked(ours, bills, warm=True), ANEW: Asked(ours, bills, anew=True)}
    listed = {OURS: Asked(ours, lists, warm=True), ANEW: Asked(ours, lists, anew=True)}
    if datasette:
        bill[DATASETTE] = Asked(datasette, list(map(_datasette_bill, keys)))
        listed[DATASETTE] = Asked(datasette, list(map(_datasette_list, pages)))
        listed[TABLE] = Asked(datasette, [target for targets in tables.values() for target in targets])
    bill[ORM] = Asked(orm, list(map(_orm_bill, keys)))
    listed[ORM] = Asked(orm, list(map(_orm_list, pages)))
    known = {_bill(key): {"If_None_Match": tag} for key, tag in tags.items()}
    bare = {"/bare": {"If_None_Match": 'W/"1"'}}
    unchanged = {OURS: Asked(ours, bills, known, status=304), BARE_304: Asked(orm, ["/bare"], bare, status=304)}
    return {BILL: bill, LIST: listed, UNCHANGED: unchanged, BILL_TOGETHER: bill, LIST_TOGETHER: listed}


def _contender(bench: Bench, question: str, asked: Asked) -> Contender:
    count = _COUNTS[question] // (10 if bench.quick else 1)
    connections = CONNECTIONS if question in (BILL_TOGETHER, LIST_TOGETHER) else 1
    return partial(_measured, bench, asked, asked.requests(), count, connections)


def _measured(bench: Bench, asked: Asked, requests: Iterator[bytes], count: int, connections: int) -> Sample:
    """Seconds of the median request, and what one costs in processor time. All fields but ``seconds`` are named with
    their unit."""
    server, taken = asked.server, list(islice(requests, count))
    if asked.warm:
        client.latencies(server.port, taken)
    before, began = _clocks(bench, server), time.perf_counter()
    seconds = client.latencies(server.port, taken, connections=connections, status=asked.status)
    whole, after = time.perf_counter() - began, _clocks(bench, server)
    cpu, postgres = map(processes.between, before, after)
    if asked.anew and postgres / count < _NOTHING_KEPT:
        raise RuntimeError("bodies were to be made anew, but PostgreSQL was not asked: they were kept after all")
    return {
        "seconds": median(seconds),
        "p99_ms": 1000 * sorted(seconds)[int(0.99 * len(seconds))],
        "server_ms": 1000 * cpu / count,
        "postgres_ms": 1000 * postgres / count,
        "rate": count / whole,
    }


def _clocks(bench: Bench, server: Server) -> tuple[dict[int, float], dict[int, float]]:
    return processes.clocks([server.pid]), processes.clocks(bench.servers.postgres())


# Whether all answer the same.


def _compare(
    servers: Mapping[str, Server], pages: Sequence[Page], tables: Mapping[str, Sequence[str]], keys: Sequence[Key]
) -> tuple[dict[Key, str], dict[str, int]]:
    """Our tag of each bill; and how many bodies of each rival have another content than ours, lists too."""
    ours, orm, datasette = servers[OURS], servers[ORM], servers.get(DATASETTE)
    differing = {ORM: 0} | ({DATASETTE: 0, TABLE: 0} if datasette else {})
    tags = {}
    with ExitStack() as opened:
        connections = {name: opened.enter_context(server.connect()) for name, server in servers.items()}

        def read(server: Server, target: str) -> Any:
            return json.loads(connections[server.name].ask(client.request(server.port, target)))

        for key in keys:
            bill = _plain(read(ours, _bill(key)))
            tags[key] = connections[OURS].header("etag")
            differing[ORM] += _plain(read(orm, _orm_bill(key))) != bill
            if datasette:
                differing[DATASETTE] += list(map(_plain, read(datasette, _datasette_bill(key)))) != [bill]
        for page in pages:
            rows = list(map(_plain, page.rows))
            differing[ORM] += list(map(_plain, read(orm, _orm_list(page))["data"])) != rows
            if datasette:
                differing[DATASETTE] += list(map(_plain, read(datasette, _datasette_list(page)))) != rows
        for session, targets in tables.items():
            theirs = [row for target in targets for row in read(servers[DATASETTE], target)["rows"]]
            held = [row for page in pages if page.session == session for row in page.rows]
            differing[TABLE] += _by_number(theirs) != _by_number(held)
    return tags, differing


def _by_number(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The table's own order is another one."""
    return {row["number"]: _plain(row) for row in rows}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Instants are spelled in several ways, and SQLite has 0 and 1 for what is false and true, which Python does not
    tell apart."""
    return {name: datetime.fromisoformat(value) if name.endswith("_at") else value for name, value in row.items()}
