"""What both hosts show: the sample at a day, the list's shape, the faults, the statistics."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import sha256
from typing import Any

from parlex.local.sandbox.faults import HOSTS, Faults
from parlex.local.sandbox.house import House
from parlex.local.sandbox.sample import Sample
from parlex.local.sandbox.web import Answer, Request, pack

Json = dict[str, Any]
_LOG = 5000  # requests kept for GET /log, the newest; the counters count all
_CACHE = 20_000  # rendered answers; the cache is emptied when it is full and when time moves


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

    def lost(self) -> None:
        """The client went away before its answer was due."""
        self.in_flight -= 1
        self.statuses["none"] += 1

    def figures(self) -> Json:
        figures = {name: value for name, value in vars(self).items() if name not in ("log", "in_flight")}
        return {name: dict(value) if isinstance(value, Counter) else value for name, value in figures.items()}


class World:
    """The state behind both hosts. ``reset`` goes back to the day and shape it began with."""

    def __init__(self, sample: Sample, start: date, shape: str, *, etag: bool) -> None:
        self.sample = sample
        self.start, self.first_shape = start, shape
        self.etag = etag
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
