"""The two hosts and the control port as a server: in this process, or as a program of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import date
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from parlex.local.sandbox.faults import Fault, Spoiler, fault
from parlex.local.sandbox.hosts import LegisinfoHost, OpenParliamentHost
from parlex.local.sandbox.sample import RECORDED, SESSIONS, START, current_session, load
from parlex.local.sandbox.web import Answer, Listener, Request
from parlex.local.sandbox.world import World

Json = dict[str, Any]
T = TypeVar("T")


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
            ("GET", "/faults"): lambda body: {"faults": [one.told() for one in self.world.faults.active]},
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
            self._listeners[name] = Listener(self._counted(name, answer), self._done(name), self._lost(name))
        self.urls: dict[str, str] = {}

    def _counted(self, name: str, answer: Callable[[Request], Answer]) -> Callable[[Request], Answer]:
        def counted(request: Request) -> Answer:
            self.world.stats[name].asked(request)
            return self.world.spoiled(name, request, self.world.tagged(request, answer(request)))

        return counted

    def _done(self, name: str) -> Callable[[Request, Answer, int], None]:
        return lambda request, answer, sent: self.world.stats[name].answered(request, answer, sent)

    def _lost(self, name: str) -> Callable[[], None]:
        return lambda: self.world.stats[name].lost()

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


def build(as_of: date | str | None, list_shape: Shape, multiply: int, *, etag: bool = False) -> Servers:
    start = day(as_of) if isinstance(as_of, str) else as_of or START
    world = World(load(multiply), start, list_shape, etag=etag)
    world.set_shape(list_shape)
    return Servers(world)


class Sandbox:
    """The stand-in inside this process, on free ports of this machine unless told otherwise.

    ``as_of`` is the day to begin with, ``multiply`` adds that many made-up copies of each bill; with ``etag`` both
    sites tell and heed what neither of the real ones promises.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port_base: int = 0,
        as_of: date | str | None = None,
        list_shape: Shape = "A",
        multiply: int = 0,
        etag: bool = False,
    ) -> None:
        self._servers = build(as_of, list_shape, multiply, etag=etag)
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

    def fault(self, kind: str, *, spoiler: Spoiler | None = None, **options: Any) -> Fault:
        """Add a fault (see ``faults.Fault``); what is returned counts how often it matched and fired."""
        new = fault({"kind": kind, **options}, spoiler)
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
) -> None:
    """Serve until SIGTERM or SIGINT; the one line printed is ``ready control=… openparliament=… legisinfo=…``.

    Raises OSError when a port is taken, ValueError for a day before the sample.
    """
    asyncio.run(_serve(build(as_of, list_shape, multiply), host, port_base))


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
