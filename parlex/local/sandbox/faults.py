"""Misbehaviour on request: which answers go wrong, and how."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from parlex.local.sandbox.web import Answer

HOSTS = ("legisinfo", "openparliament")
Spoiler = Callable[["Fault", Answer], Answer]
_LISTS = ("list", "votes", "politicians", "memberships", "ballots")


@dataclass
class Fault:
    """One fault. It lets ``skip`` matching requests pass, then spoils ``first`` of them (None: all).

    ``spoiler`` makes the bad answer of a good one, for a kind that is not one of ``KINDS``.

    ``path`` is a regular expression on path and query. ``retry_after`` is sent as it is with ``rate_limit`` and
    ``error`` (seconds or an HTTP date), and not at all when it is None. ``status`` is for ``error``, ``seconds``
    for ``slow``, ``share`` for ``new_status``: of how many bills in a hundred LEGISinfo's status has another name.
    """

    kind: str
    host: str = "both"
    first: int | None = None
    skip: int = 0
    path: str = ""
    status: int = 503
    retry_after: int | str | None = None
    seconds: float = 1.0
    share: int = 100
    spoiler: Spoiler | None = None
    id: int = 0
    matched: int = field(default=0, init=False)
    fired: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.spoiler is None and self.kind not in KINDS:
            raise ValueError(f"unknown kind of fault {self.kind!r}; known: {', '.join(KINDS)}")
        if self.host not in (*HOSTS, "both"):
            raise ValueError(f"unknown host {self.host!r}; known: {', '.join((*HOSTS, 'both'))}")
        counts = (self.skip, self.status, 0 if self.first is None else self.first)
        if not all(isinstance(count, int) for count in counts) or not isinstance(self.seconds, int | float):
            raise ValueError("first, skip, status and seconds are numbers")
        re.compile(self.path)

    def fires(self, host: str, target: str, answer: Answer) -> bool:
        if self.host not in (host, "both") or re.search(self.path, target) is None:
            return False
        if self.kind == "empty_list" and answer.kind not in _LISTS:
            return False
        self.matched += 1
        if self.matched <= self.skip or (self.first is not None and self.fired >= self.first):
            return False
        self.fired += 1
        return True

    def told(self) -> dict[str, Any]:
        """As the control port shows it."""
        return {name: value for name, value in asdict(self).items() if name != "spoiler"}

    def spoil(self, answer: Answer) -> Answer:
        return (self.spoiler or _SPOILERS[self.kind])(self, answer)


def fault(options: dict[str, Any], spoiler: Spoiler | None = None) -> Fault:
    """A fault from its options, as the control port takes them; ValueError names one that does not exist."""
    known = {f.name for f in fields(Fault) if f.init and f.name not in ("id", "spoiler")}
    unknown = sorted(set(options) - known)
    if unknown or "kind" not in options:
        raise ValueError(f"unknown option {unknown[0]!r}" if unknown else "a fault needs a kind")
    return Fault(**options, spoiler=spoiler)


@dataclass
class Faults:
    """The faults in force, in the order in which they were added; those that fire spoil the answer one by one."""

    active: list[Fault] = field(default_factory=list)
    _next: int = 1

    def add(self, new: Fault) -> int:
        new.id = self._next
        self._next += 1
        self.active.append(new)
        return new.id

    def clear(self) -> None:
        self.active.clear()

    def firing(self, host: str, target: str, answer: Answer) -> Iterator[Fault]:
        return (fault for fault in self.active if fault.fires(host, target, answer))


def _page(title: str) -> bytes:
    return f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>".encode()


def _wait(fault: Fault) -> tuple[tuple[str, str], ...]:
    return () if fault.retry_after is None else (("Retry-After", str(fault.retry_after)),)


def _failure(fault: Fault, answer: Answer, status: int, title: str) -> Answer:
    return Answer(status, _page(title), kind=answer.kind, headers=_wait(fault), delay=answer.delay)


def _as_html(fault: Fault, answer: Answer) -> Answer:
    return Answer(200, _page("Checking your browser"), kind=answer.kind, delay=answer.delay)


def _as_garbage(fault: Fault, answer: Answer) -> Answer:
    return Answer(200, b'{"objects": [{"number": "C-', "application/json", answer.kind, delay=answer.delay)


def _emptied(fault: Fault, answer: Answer) -> Answer:
    body = b"[]"
    if b'"pagination"' in answer.body:
        body = b'{"objects": [], "pagination": {"offset": 0, "limit": 20, "next_url": null, "previous_url": null}}'
    return Answer(200, body, answer.content_type, answer.kind, delay=answer.delay)


def _renamed(fault: Fault, answer: Answer) -> Answer:
    """Each bill of the fault's share has a status of another name, the same ones in lists and details."""

    def rename(match: re.Match[bytes]) -> bytes:
        number = match["number"]
        if zlib.crc32(number) % 100 >= fault.share:
            return match[0]
        return re.sub(_STATUS, rb"\g<1>" + NEW_STATUS.encode() + b'"', match[0])

    # In both shapes a bill's number comes before its status, and each object has one of both.
    return replace(answer, body=re.sub(_BILL, rename, answer.body), packed=None)


NEW_STATUS = "At a stage that nobody knew"
_STATUS = rb'("(?:StatusNameEn|CurrentStatusEn)": ?")[^"]*"'
_BILL = rb'"(?:NumberCode|BillNumberFormatted)": ?"(?P<number>[^"]+)".*?' + _STATUS

_SPOILERS: dict[str, Spoiler] = {
    "rate_limit": lambda fault, answer: _failure(fault, answer, 429, "Too Many Requests"),
    "error": lambda fault, answer: _failure(fault, answer, fault.status, "Server Error"),
    "slow": lambda fault, answer: replace(answer, delay=answer.delay + fault.seconds),
    "cut": lambda fault, answer: replace(answer, cut=True),
    "html_200": _as_html,
    "garbage": _as_garbage,
    "empty_list": _emptied,
    "reset": lambda fault, answer: replace(answer, reset=True),
    "new_status": _renamed,
}
KINDS = tuple(_SPOILERS)
