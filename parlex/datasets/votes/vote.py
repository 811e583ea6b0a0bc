"""The domain of votes: divisions of the House, and each member's ballot. Frozen, and without I/O.

The closed sets are those of OpenParliament; a value outside them is an error for a person to look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Self

from parlex.errors import DocumentError
from parlex.parliament import BillKey, SessionId


class Result(StrEnum):
    PASSED = "Passed"
    FAILED = "Failed"
    TIE = "Tie"


class Choice(StrEnum):
    """What a member did. The promised words of ``parlex vote``."""

    YES = "Yes"
    NO = "No"
    PAIRED = "Paired"
    ABSENT = "Didn't vote"


class Position(StrEnum):
    """What a party did, by what most of its members did."""

    YES = "Yes"
    NO = "No"
    PAIRED = "Paired"
    ABSENT = "Didn't vote"
    FREE = "Free vote"


@dataclass(frozen=True, slots=True, order=True)
class VoteKey:
    """A division's identity: its session and its number in it, ``45-1 12``."""

    session: SessionId
    number: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``45-1 12``; ValueError for anything else."""
        session, _, number = text.partition(" ")
        if not number.isascii() or not number.isdecimal() or number.startswith("0"):
            raise ValueError(f"{text!r} is not a division; write it like 45-1 12")
        return cls(SessionId.parse(session), int(number))

    def __str__(self) -> str:
        return f"{self.session} {self.number}"


@dataclass(frozen=True, slots=True)
class Division:
    """What a list says of a division. ``bill`` is None where it was not about one. The totals count members."""

    key: VoteKey
    held_on: date
    description_en: str | None
    description_fr: str | None
    result: Result
    yea_total: int
    nay_total: int
    paired_total: int
    bill: BillKey | None

    def totals_match(self, ballots: Iterable[Ballot]) -> bool:
        """Whether the ballots add up to what the source says of them."""
        count = Counter(ballot.choice for ballot in ballots)
        totals = {Choice.YES: self.yea_total, Choice.NO: self.nay_total, Choice.PAIRED: self.paired_total}
        return all(count[choice] == total for choice, total in totals.items())


@dataclass(frozen=True, slots=True)
class PartyLine:
    """How a party voted; ``disagreement`` is the share (0 to 1) of its voting members who did otherwise."""

    party: str
    party_name: str | None
    position: Position
    disagreement: float


@dataclass(frozen=True, slots=True)
class Vote:
    """A division's detail. ``odd`` has an error for each party whose line could not be read."""

    division: Division
    context_statement: str | None
    lines: tuple[PartyLine, ...]
    odd: tuple[DocumentError, ...] = ()


@dataclass(frozen=True, slots=True)
class Ballot:
    """One member's; ``membership_id`` tells the party and the riding at the time, where the site knows."""

    slug: str
    membership_id: int | None
    choice: Choice


@dataclass(frozen=True, slots=True)
class Ballots:
    """Those of a division, one a member. ``odd`` has an error for each that could not be believed."""

    ballots: tuple[Ballot, ...]
    odd: tuple[DocumentError, ...] = ()
