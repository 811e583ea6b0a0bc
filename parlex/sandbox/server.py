"""The two hosts and the control port: routes, time, faults, statistics."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from hashlib import sha256
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from parlex.sandbox import legisinfo, openparliament
from parlex.sandbox.faults import HOSTS, Fault, Faults, fault
from parlex.sandbox.house import House
from parlex.sandbox.sample import RECORDED, SESSIONS, START, Sample, current_session, load
from parlex.sandbox.web import Answer, Listener, Request, pack

Json = dict[str, Any]
T = TypeVar("T")
_LOG = 5000  # requests kept for GET /log, the newest; the counters count all
_CACHE = 20_000  # rendered answers; the cache is emptied when it is full and when time moves
_BOM = b"\xef\xbb\xbf"
_LI_LIST = re.compile(r"/legisinfo/en/bills/json")
_LI_BILL = re.compile(r"/legisinfo/en/bill/(\d+-\d)/([cs]-[0-9a-z]+)/json")
_LI_ID = re.compile(r"/legisinfo/en/bill/(\d+)")
_OP_BILL = re.compile(r"/bills/(\d+-\d)/([CS]-[0-9A-Z]+)/")
_OP_VOTE = re.compile(r"/votes/(\d+-\d)/(\d+)/")
_OP_MEMBERSHIP = re.compile(r"/politicians/memberships/(\d+)/")
_OP_POLITICIAN = re.compile(r"/politicians/[a-z-]+/")
_OP_SESSION = re.compile(r"/(bills|votes)/(\d+-\d)/")


@dataclass
class HostStats:
    """What one host was asked. ``bytes`` counts bodies as sent; ``max_in_flight`` counts answers still owed."""

    requests: int = 0
    bytes: int = 0
    faults: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    user_agents: Counter[str] = field(default_factory=Counter)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=_LOG))

    def asked(self, request: Request) -> None:
        self.requests += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self.user_agents[request.headers.get("user-agent", "")] += 1

    def answered(self, request: Request, answer: Answer, sent: int) -> None:
        self.in_flight -= 1
        self.bytes += sent
        self.kinds[answer.kind] += 1
        self.statuses[str(answer.status)] += 1
        self.log.append(f"{request.method} {request.target} {answer.status}")

    def figures(self) -> Json:
        figures = {name: value for name, value in vars(self).items() if name not in ("log", "in_flight")}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in figures.items()}


class World:
    """What both hosts show: the sample at a day, the list's shape, the faults, the statistics."""

    def __init__(self, sample: Sample, start: date, shape: str, *, bom: bool, etag: bool) -> None:
        self.sample = sample
        self.start, self.first_shape = start, shape
        self.bom, self.etag = bom, etag
        self.faults = Faults()
        self._cache: dict[tuple[str, ...], Answer] = {}
        self.reset()

    def reset(self) -> None:
        self.faults.clear()
        self.stats = {host: HostStats() for host in HOSTS}
        self.shape = self.first_shape
        self.move(self.start)

    def move(self, day: date) -> None:
        self.day = day
        self._cache.clear()
        self.states = self.sample.on(day)
        self.house = House(day)
        self.by_url = {(state.bill.session, state.bill.number): state for state in self.states}

    def advance(self) -> bool:
        """To the next day on which a bill changes; False when the record ends."""
        following = next(self.sample.steps(self.day), None)
        if following is not None:
            self.move(following)
        return following is not None

    def set_shape(self, shape: str) -> None:
        if shape not in ("A", "B"):
            raise ValueError("list_shape is A or B")
        self.shape = shape
        self._cache.clear()

    def cached(self, key: tuple[str, ...], make: Callable[[], Answer]) -> Answer:
        answer = self._cache.get(key)
        if answer is None:
            answer = make()
            if len(answer.body) > 200:
                answer = replace(answer, packed=pack(answer.body))
            if len(self._cache) >= _CACHE:
                self._cache.clear()
            self._cache[key] = answer
        return answer

    def spoiled(self, host: str, request: Request, answer: Answer) -> Answer:
        for one in self.faults.firing(host, request.target, answer):
            self.stats[host].faults += 1
            answer = one.spoil(answer)
        return answer

    def tagged(self, request: Request, answer: Answer) -> Answer:
        """ETag and 304, which neither site documents: only when asked for."""
        if not self.etag or answer.status != 200:
            return answer
        tag = f'"{sha256(answer.body).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == tag:
            return Answer(304, kind=answer.kind, headers=(("ETag", tag),))
        return replace(answer, headers=(*answer.headers, ("ETag", tag)))


def _html(status: int, text: str, kind: str = "other") -> Answer:
    page = f'<!DOCTYPE html>\n<html lang="en"><head><title>{text}</title></head><body><h1>{text}</h1></body></html>'
    return Answer(status, page.encode(), kind=kind)


def _moved(status: int, location: str) -> Answer:
    return Answer(status, kind="redirect", headers=(("Location", location),))


class LegisinfoHost:
    """www.parl.ca/legisinfo: the list, the detail, and their redirects."""

    def __init__(self, world: World) -> None:
        self.world = world

    def answer(self, request: Request) -> Answer:
        if request.method != "GET":
            return _html(405, "Method not allowed")
        path = request.path
        if path != path.lower():  # paths are case-insensitive; the canonical ones are lower case
            return _moved(301, request.target.replace(path, path.lower()))
        if _LI_LIST.fullmatch(path):
            wanted = request.query.get("parlsession", [""])[-1] or current_session(self.world.day)
            return self.world.cached(("legisinfo", "list", wanted), lambda: self._list(wanted))
        if match := _LI_BILL.fullmatch(path):
            session, number = match[1], match[2].upper()
            return self.world.cached(("legisinfo", session, number), lambda: self._bill(session, number))
        if match := _LI_ID.fullmatch(path):
            return self._by_id(int(match[1]))
        return _html(404, "404 - Page not found", "not_found")

    def _list(self, session: str) -> Answer:
        row = legisinfo.row_a if self.world.shape == "A" else legisinfo.row_b
        states = [state for state in self.world.states if session in ("all", state.bill.session)]
        return self._json([row(state) for state in states], "list")

    def _bill(self, session: str, number: str) -> Answer:
        state = self.world.by_url.get((session, number))
        if state is None:
            return _html(404, "404 - Page not found", "not_found")
        return self._json([legisinfo.detail(state)], "detail")

    def _by_id(self, legisinfo_id: int) -> Answer:
        for state in self.world.states:
            if state.bill.id == legisinfo_id:
                return _moved(302, f"/legisinfo/en/bill/{state.bill.session}/{state.bill.number.lower()}")
        return _html(404, "404 - Page not found", "not_found")

    def _json(self, document: object, kind: str) -> Answer:
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return Answer(200, _BOM + text if self.world.bom else text, "application/json; charset=utf-8", kind)


class OpenParliamentHost:
    """api.openparliament.ca: bills, votes and politicians, and their pages."""

    def __init__(self, world: World) -> None:
        self.world = world

    def answer(self, request: Request) -> Answer:
        if request.method != "GET":
            return Answer(405, headers=(("Allow", "GET"),))
        if not request.path.endswith("/"):
            return _moved(301, request.target.replace(request.path, request.path + "/", 1))
        form = request.query.get("format", [""])[-1]
        if form not in ("", "json"):
            return Answer(406, b"unknown format", "text/plain")
        as_json = form == "json" or openparliament.wants_json(request.headers.get("accept"))
        key = ("openparliament", request.target, str(as_json))
        return self.world.cached(key, lambda: self._dressed(request, as_json))

    def _dressed(self, request: Request, as_json: bool) -> Answer:
        answer = self._document(request)
        if answer.status != 200 or as_json:
            return answer
        return replace(_html(200, "OpenParliament API", answer.kind), headers=answer.headers)

    def _document(self, request: Request) -> Answer:
        try:
            return self._route(request)
        except openparliament.BadQuery as error:
            return Answer(400, str(error).encode(), "text/plain")

    def _route(self, request: Request) -> Answer:
        lists = {
            "/bills/": self._bills,
            "/votes/": self._votes,
            "/votes/ballots/": self._ballots,
            "/politicians/": self._politicians,
            "/politicians/memberships/": self._memberships,
        }
        if request.path in lists:
            return lists[request.path](request)
        if request.path == "/politicians/former/":
            return _moved(301, "/politicians/?include=former")
        if match := _OP_SESSION.fullmatch(request.path):
            return _moved(302, f"/{match[1]}/?session={match[2]}")
        return self._one(request.path)

    def _bills(self, request: Request) -> Answer:
        limit, offset = openparliament.bounds(request.query)
        found = openparliament.filtered(self.world.states, request.query)
        one_session = bool(request.query.get("session", [""])[-1])
        ordered = openparliament.ordered(found, stable=one_session, offset=offset)
        rows = [openparliament.row(state) for state in ordered]
        return self._json(openparliament.page(request.path, request.query, rows, limit, offset), "list")

    def _votes(self, request: Request) -> Answer:
        return self._page(request, self.world.house.votes(request.query), "votes")

    def _ballots(self, request: Request) -> Answer:
        return self._page(request, self.world.house.ballots(request.query), "ballots")

    def _politicians(self, request: Request) -> Answer:
        found = self.world.house.politicians_list(request.query)
        return self._page(request, found, "politicians", default=openparliament.POLITICIANS_LIMIT)

    def _memberships(self, request: Request) -> Answer:
        return self._page(request, self.world.house.memberships_list(), "memberships")

    def _page(
        self, request: Request, rows: list[Json], kind: str, *, default: int = openparliament.DEFAULT_LIMIT
    ) -> Answer:
        limit, offset = openparliament.bounds(request.query, default)
        return self._json(openparliament.page(request.path, request.query, rows, limit, offset), kind)

    def _one(self, path: str) -> Answer:
        """The detail of one thing, or the site's 404."""
        house = self.world.house
        document: Json | None = None
        kind = "other"
        if match := _OP_BILL.fullmatch(path):
            document, kind = self._bill(match[1], match[2]), "detail"
        elif match := _OP_VOTE.fullmatch(path):
            document, kind = house.vote(match[1], int(match[2])), "vote"
        elif match := _OP_MEMBERSHIP.fullmatch(path):
            document, kind = house.membership(int(match[1])), "membership"
        elif _OP_POLITICIAN.fullmatch(path):
            document, kind = house.politician(path), "politician"
        return _html(404, "Page not found", "not_found") if document is None else self._json(document, kind)

    def _bill(self, session: str, number: str) -> Json | None:
        state = self.world.by_url.get((session, number))
        votes = self.world.house.vote_urls(session, number)
        return None if state is None else openparliament.detail(state, votes)

    def _json(self, document: object, kind: str) -> Answer:
        headers = (("Vary", "Accept"), ("API-Version", "v1"))
        return Answer(200, json.dumps(document).encode(), "application/json", kind, headers)


class Control:
    """The control port: JSON in, JSON out."""

    def __init__(self, world: World) -> None:
        self.world = world

    def answer(self, request: Request) -> Answer:
        action = self._actions().get((request.method, request.path))
        if action is None:
            return self._json(404, {"error": f"no {request.method} {request.path} here"})
        try:
            return self._json(200, action(self._body(request)))
        except (ValueError, TypeError) as error:
            return self._json(400, {"error": str(error)})

    def _actions(self) -> dict[tuple[str, str], Callable[[Json], Json]]:
        return {
            ("GET", "/health"): lambda body: self.state(),
            ("GET", "/as-of"): lambda body: self.state(),
            ("POST", "/as-of"): self._move,
            ("POST", "/advance"): lambda body: {"advanced": self.world.advance(), **self.state()},
            ("GET", "/stats"): lambda body: self.stats(),
            ("GET", "/log"): lambda body: {host: list(stats.log) for host, stats in self.world.stats.items()},
            ("GET", "/faults"): lambda body: {"faults": [asdict(one) for one in self.world.faults.active]},
            ("POST", "/faults"): lambda body: {"id": self.world.faults.add(fault(body))},
            ("DELETE", "/faults"): self._clear,
            ("POST", "/config"): self._configure,
            ("POST", "/reset"): self._reset,
        }

    def state(self) -> Json:
        world = self.world
        following = next(world.sample.steps(world.day), None)
        sessions = Counter(state.bill.session for state in world.states)
        return {
            "as_of": world.day.isoformat(),
            "next": following.isoformat() if following else None,
            "list_shape": world.shape,
            "current_session": current_session(world.day),
            "bills": dict(sessions),
        }

    def stats(self) -> Json:
        return {host: stats.figures() for host, stats in self.world.stats.items()}

    def _move(self, body: Json) -> Json:
        """``{"date": null}`` moves to the day of the record."""
        self.world.move(day(body["date"]) if body.get("date") else RECORDED)
        return self.state()

    def _clear(self, body: Json) -> Json:
        self.world.faults.clear()
        return {"faults": []}

    def _configure(self, body: Json) -> Json:
        if set(body) != {"list_shape"}:
            raise ValueError("only list_shape can be set")
        self.world.set_shape(body["list_shape"])
        return self.state()

    def _reset(self, body: Json) -> Json:
        self.world.reset()
        return self.state()

    def _body(self, request: Request) -> Json:
        body = json.loads(request.body) if request.body else {}
        if not isinstance(body, dict):
            raise ValueError("the body must be a JSON object")
        return body

    def _json(self, status: int, document: Json) -> Answer:
        return Answer(status, json.dumps(document).encode(), "application/json", "control")


def day(text: str) -> date:
    """A day the sample can show; ValueError for another."""
    wanted = date.fromisoformat(text)
    if wanted < SESSIONS[0].first:
        raise ValueError(f"the sample begins on {SESSIONS[0].first}")
    return wanted


class Servers:
    """The three listeners over one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.control = Control(world)
        self._listeners = {"control": Listener(self.control.answer)}
        for name, answer in (
            ("openparliament", OpenParliamentHost(world).answer),
            ("legisinfo", LegisinfoHost(world).answer),
        ):
            self._listeners[name] = Listener(self._counted(name, answer), self._done(name))
        self.urls: dict[str, str] = {}

    def _counted(self, name: str, answer: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        def counted(request: Request) -> Answer:
            self.world.stats[name].asked(request)
            return self.world.spoiled(name, request, self.world.tagged(request, answer(request)))

        return counted

    def _done(self, name: str) -> Callable[[Request, Answer, int], None]:
        return lambda request, answer, sent: self.world.stats[name].answered(request, answer, sent)

    async def open(self, host: str, port_base: int) -> None:
        """``port_base`` is the control port, the next two are the hosts'; 0 takes three free ports."""
        shown = "127.0.0.1" if host in ("0.0.0.0", "") else host
        for index, (name, listener) in enumerate(self._listeners.items()):
            port = await listener.open(host, port_base + index if port_base else 0)
            self.urls[name] = f"http://{shown}:{port}"

    async def close(self) -> None:
        for listener in self._listeners.values():
            await listener.close()


Shape = Literal["A", "B"]


def build(as_of: date | str | None, list_shape: Shape, multiply: int, *, bom: bool, etag: bool) -> Servers:
    start = day(as_of) if isinstance(as_of, str) else as_of or START
    world = World(load(multiply), start, list_shape, bom=bom, etag=etag)
    world.set_shape(list_shape)
    return Servers(world)


class Sandbox:
    """The stand-in inside this process, on free ports of this machine unless told otherwise.

    ``as_of`` is the day to begin with, ``multiply`` adds that many made-up copies of each bill.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port_base: int = 0,
        as_of: date | str | None = None,
        list_shape: Shape = "A",
        multiply: int = 0,
        bom: bool = True,
        etag: bool = False,
    ) -> None:
        self._servers = build(as_of, list_shape, multiply, bom=bom, etag=etag)
        self._where = host, port_base
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._run(self._servers.open(*self._where))
        except OSError:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def legisinfo_url(self) -> str:
        return self._servers.urls["legisinfo"]

    @property
    def openparliament_url(self) -> str:
        return self._servers.urls["openparliament"]

    @property
    def control_url(self) -> str:
        return self._servers.urls["control"]

    @property
    def as_of(self) -> date:
        return self._servers.world.day

    def move(self, to: date | str) -> None:
        """Show the bills as they stood at the end of that day."""
        wanted = day(to if isinstance(to, str) else to.isoformat())
        self._call(lambda: self._servers.world.move(wanted))

    def advance(self) -> bool:
        """To the next day on which a bill changes; False when the record ends."""
        return self._call(self._servers.world.advance)

    def list_shape(self, shape: Shape) -> None:
        self._call(lambda: self._servers.world.set_shape(shape))

    def fault(self, kind: str, **options: Any) -> Fault:
        """Add a fault (see ``faults.Fault``); what is returned counts how often it matched and fired."""
        new = fault({"kind": kind, **options})
        self._call(lambda: self._servers.world.faults.add(new))
        return new

    def clear_faults(self) -> None:
        self._call(self._servers.world.faults.clear)

    def stats(self) -> Json:
        """Per host: requests, bytes, faults, max_in_flight, and counters kinds, statuses, user_agents."""
        return self._call(self._servers.control.stats)

    def log(self, host: str) -> list[str]:
        """The newest 5,000 requests of a host, each as ``GET /path 200``."""
        return self._call(lambda: list(self._servers.world.stats[host].log))

    def reset(self) -> None:
        """Forget statistics and faults, back to the first day and shape."""
        self._call(self._servers.world.reset)

    def _call(self, action: Callable[[], T]) -> T:
        """Run it between two requests, in the servers' own thread."""

        async def run() -> T:
            return action()

        return self._run(run())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _stop(self) -> None:
        self._run(self._servers.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def serve(
    host: str = "127.0.0.1",
    port_base: int = 8700,
    *,
    as_of: date | str | None = None,
    list_shape: Shape = "A",
    multiply: int = 0,
    bom: bool = True,
    etag: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT; the one line printed is ``ready control=… openparliament=… legisinfo=…``.

    Raises OSError when a port is taken, ValueError for a day before the sample.
    """
    asyncio.run(_serve(build(as_of, list_shape, multiply, bom=bom, etag=etag), host, port_base))


async def _serve(servers: Servers, host: str, port_base: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        await servers.open(host, port_base)
        print("ready", *(f"{name}={url}" for name, url in servers.urls.items()), flush=True)
        await stopped.wait()
    finally:
        await servers.close()
