"""Misbehaviour on request: which answers go wrong, and how."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from parlex.local.sandbox.web import Answer, pack

HOSTS = ("legisinfo", "openparliament")
MB = 1024 * 1024
HUGE = 200 * MB  # of a body, on the wire or unpacked
_LISTS = ("list", "votes", "politicians", "memberships", "ballots")


@dataclass
class Fault:
    """One fault. It lets ``skip`` matching requests pass, then spoils ``first`` of them (None: all).

    ``path`` is a regular expression on path and query. ``retry_after`` is sent as it is with ``rate_limit`` and
    ``error`` (seconds or an HTTP date), and not at all when it is None. ``status`` is for ``error``, ``seconds``
    for ``slow``.
    """

    kind: str
    host: str = "both"
    first: int | None = None
    skip: int = 0
    path: str = ""
    status: int = 503
    retry_after: int | str | None = None
    seconds: float = 1.0
    id: int = 0
    matched: int = field(default=0, init=False)
    fired: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
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

    def spoil(self, answer: Answer) -> Answer:
        return _SPOILERS[self.kind](self, answer)


def fault(options: dict[str, Any]) -> Fault:
    """A fault from the control port's JSON; ValueError names an option that does not exist."""
    known = {f.name for f in fields(Fault) if f.init and f.name != "id"}
    unknown = sorted(set(options) - known)
    if unknown or "kind" not in options:
        raise ValueError(f"unknown option {unknown[0]!r}" if unknown else "a fault needs a kind")
    return Fault(**options)


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


def _redirected(fault: Fault, answer: Answer) -> Answer:
    """To a new address at each step, so that no memory of addresses ends it."""
    return Answer(302, kind=answer.kind, headers=(("Location", f"?again={fault.fired}"),), delay=answer.delay)


def _endless(fault: Fault, answer: Answer) -> Answer:
    """A page whose next page is always another one."""
    target = f'"next_url": "/bills/?session=45-1&offset={fault.fired}"'
    return replace(answer, body=re.sub(rb'"next_url": (null|"[^"]*")', target.encode(), answer.body), packed=None)


def _bomb(fault: Fault, answer: Answer) -> Answer:
    """Blanks, packed to a thousandth."""
    return replace(answer, packed=pack(b" " * MB) * (HUGE // MB))


def _recoded(fault: Fault, answer: Answer) -> Answer:
    body = json.dumps(json.loads(answer.body.decode("utf-8-sig")), ensure_ascii=False)
    coded = body.encode("cp1252", errors="replace")
    return replace(answer, body=coded, packed=None, content_type="application/json; charset=windows-1252")


def _deep(fault: Fault, answer: Answer) -> Answer:
    return replace(answer, body=b"[" * 100_000 + b"]" * 100_000, packed=None)


def _big_numbers(fault: Fault, answer: Answer) -> Answer:
    body = re.sub(rb'("(?:Id|BillId|legisinfo_id)": ?)\d+', rb"\g<1>" + b"9" * 5000, answer.body)
    return replace(answer, body=body, packed=None)


def _with_nul(fault: Fault, answer: Answer) -> Answer:
    """NUL and a bell in every text, as JSON writes them."""
    return replace(answer, body=re.sub(rb'(: ?")(?=\w)', rb"\1\\u0000\\u0007", answer.body), packed=None)


_SPOILERS: dict[str, Callable[[Fault, Answer], Answer]] = {
    "rate_limit": lambda fault, answer: _failure(fault, answer, 429, "Too Many Requests"),
    "error": lambda fault, answer: _failure(fault, answer, fault.status, "Server Error"),
    "slow": lambda fault, answer: replace(answer, delay=answer.delay + fault.seconds),
    "cut": lambda fault, answer: replace(answer, cut=True),
    "html_200": _as_html,
    "garbage": _as_garbage,
    "empty_list": _emptied,
    "reset": lambda fault, answer: replace(answer, reset=True),
    "redirect_loop": _redirected,
    "endless_pages": _endless,
    "huge": lambda fault, answer: replace(answer, padding=HUGE),
    "gzip_bomb": _bomb,
    "charset": _recoded,
    "deep": _deep,
    "big_numbers": _big_numbers,
    "nul": _with_nul,
}
KINDS = tuple(_SPOILERS)
