"""What everything speaks of: sessions, bill keys, chambers, and how a key of a run ended. Frozen, no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import total_ordering
from typing import Self
from zoneinfo import ZoneInfo

from parlex.errors import UsageError

_SESSION = re.compile(r"([1-9]\d{0,2})-([1-9]\d?)")
_NUMBER = re.compile(r"([CS])-([1-9]\d{0,4})([A-Z]?)")


@dataclass(frozen=True, slots=True, order=True)
class SessionId:
    """A session of Parliament, ``45-1``."""

    parliament: int
    session: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``45-1``; ValueError for anything else."""
        match = _SESSION.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a session; write it like 45-1")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.parliament}-{self.session}"


# The sessions that each Parliament had, of those that are over and that a source knows.
SESSIONS_OF = {35: 2, 36: 2, 37: 3, 38: 1, 39: 2, 40: 3, 41: 2, 42: 1, 43: 2, 44: 1}


@total_ordering
@dataclass(frozen=True, slots=True, eq=True)
class BillKey:
    """A bill's identity: its session and its number with its suffix, ``45-1 C-2``.

    Both sources agree on it; LEGISinfo's own id is an attribute, since 71 bills of OpenParliament have none.
    """

    session: SessionId
    number: str

    def __post_init__(self) -> None:
        if _NUMBER.fullmatch(self.number) is None:
            raise ValueError(f"{self.number!r} is not a bill number; write it like C-2 or S-203")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``45-1 C-2``; ValueError for anything else."""
        session, _, number = text.partition(" ")
        return cls(SessionId.parse(session), number)

    def __str__(self) -> str:
        return f"{self.session} {self.number}"

    @property
    def rank(self) -> tuple[SessionId, str, int, str]:
        """Sort order of a session's list: C-2 before C-10, C-15A before C-15B."""
        match = _NUMBER.fullmatch(self.number)
        assert match is not None
        return self.session, match[1], int(match[2]), match[3]

    def __lt__(self, other: BillKey) -> bool:
        return self.rank < other.rank


class Chamber(StrEnum):
    HOUSE = "house"
    SENATE = "senate"


class Outcome(StrEnum):
    """How a key of a run ended."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"


OTTAWA = ZoneInfo("America/Toronto")
_DAY_LENGTH = len("2026-03-01")


def moment_of(text: str) -> datetime:
    """``2026-03-01`` as the end of that day in Ottawa, or an instant as ``2026-03-01T12:00:00Z`` (Ottawa's time where
    it names no zone). UsageError for anything else."""
    try:
        if len(text) == _DAY_LENGTH:
            return datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), OTTAWA) - timedelta.resolution
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no moment; write it like 2026-03-01 or 2026-03-01T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=OTTAWA)


def start_of(text: str) -> datetime:
    """As ``moment_of``, but a day means its beginning in Ottawa."""
    moment = moment_of(text)
    return datetime.combine(moment.date(), time(), OTTAWA) if len(text) == _DAY_LENGTH else moment
