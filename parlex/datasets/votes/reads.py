"""What is held of the votes, read back for answers: divisions, party lines, ballots and disagreements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, and_, any_, cast, func, select
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.datasets.looks import select_looked_at
from parlex.datasets.votes.vote import Choice, VoteKey
from parlex.db.models import (
    BallotRow,
    PoliticianMembershipRow,
    PoliticianRow,
    VotePartyRow,
    VoteRow,
)
from parlex.db.reads import PAGE
from parlex.fetching.pages import NAME as SITE
from parlex.parliament import BillKey, SessionId


@dataclass(frozen=True, slots=True)
class VoteRecord(Record):
    """A division as ``parlex votes --json`` prints it."""

    parliament: int
    session: int
    number: int
    date: date
    description_en: str | None
    description_fr: str | None
    result: str
    yea_total: int
    nay_total: int
    paired_total: int
    bill_number: str | None
    totals_match: bool
    withdrawn: bool
    first_seen_at: datetime
    last_changed_at: datetime
    last_checked_at: datetime | None


@dataclass(frozen=True, slots=True)
class BallotRecord(Record):
    """A ballot as ``parlex vote --json`` prints it, with the member's party and riding at the time.

    Name, party and riding are null until the politicians are held.
    """

    politician_slug: str
    politician_name: str | None
    party: str | None
    riding: str | None
    ballot: str


@dataclass(frozen=True, slots=True)
class PartyRecord(Record):
    """How a party voted: its members' ballots counted, and what the source makes of them, where it says so."""

    party: str | None
    yes: int
    no: int
    paired: int
    absent: int
    position: str | None
    disagreement: float | None


def votes(
    db: Session, session: SessionId | None = None, *, bill: BillKey | None = None, limit: int | None = None
) -> Iterator[VoteRecord]:
    """The divisions that are held, of a session, of a bill, or all; newest first."""
    statement = _select_votes(session)
    if session is not None:
        statement = statement.where(VoteRow.parliament == session.parliament, VoteRow.session == session.session)
    if bill is not None:
        statement = statement.where(
            VoteRow.bill_parliament == bill.session.parliament,
            VoteRow.bill_session == bill.session.session,
            VoteRow.bill_number == bill.number,
        )
    for row in db.execute(statement.order_by(*_NEWEST).limit(limit).execution_options(yield_per=PAGE)):
        yield VoteRecord(*row)


def vote(db: Session, key: VoteKey) -> VoteRecord | None:
    """One division; None where the mirror does not hold it."""
    row = db.execute(_select_votes(key.session).where(VoteRow.key == str(key))).one_or_none()
    return VoteRecord(*row) if row else None


def _select_votes(session: SessionId | None) -> Select[Any]:
    """The columns of VoteRecord."""
    return select_looked_at(
        VoteRecord,
        VoteRow,
        dataset="votes",
        source=SITE,
        key=VoteRow.key,
        scope=cast(VoteRow.parliament, Text) + "-" + cast(VoteRow.session, Text),
        only=str(session) if session else None,
        date=VoteRow.held_on,
    )


def ballots(db: Session, key: VoteKey) -> list[BallotRecord]:
    """The ballots of a division, by family name."""
    membership = PoliticianMembershipRow
    statement = (
        select(BallotRow.slug, PoliticianRow.name, membership.party, membership.riding, BallotRow.choice)
        .outerjoin(PoliticianRow, PoliticianRow.slug == BallotRow.slug)
        .outerjoin(membership, and_(membership.slug == BallotRow.slug, membership.id == BallotRow.membership_id))
        .where(*_of(key))
    )
    rows = db.execute(statement.order_by(PoliticianRow.family_name, BallotRow.slug))
    return [BallotRecord(*row) for row in rows]


def parties(db: Session, key: VoteKey) -> list[PartyRecord]:
    """How the parties voted, the largest first."""
    membership = PoliticianMembershipRow
    counts = (func.count().filter(BallotRow.choice == choice) for choice in Choice)
    chosen: list[Any] = [membership.party, *counts]
    chosen += [func.max(VotePartyRow.position), func.max(VotePartyRow.disagreement)]
    statement = (
        select(*chosen)
        .select_from(BallotRow)
        .outerjoin(membership, and_(membership.slug == BallotRow.slug, membership.id == BallotRow.membership_id))
        .outerjoin(VotePartyRow, and_(VotePartyRow.key == str(key), VotePartyRow.party == membership.party))
        .where(*_of(key))
        .group_by(membership.party)
    )
    return [PartyRecord(*row) for row in db.execute(statement.order_by(func.count().desc(), membership.party))]


def select_parties(parliament: Any, session: Any, numbers: Any) -> Select[Any]:
    """How the parties voted in several divisions of a session, the largest party first: the number, the party,
    and how many of its members made each choice."""
    membership, number = PoliticianMembershipRow, BallotRow.number
    counts: list[Any] = [func.count().filter(BallotRow.choice == choice) for choice in Choice]
    return (
        select(number, membership.party, *counts)
        .outerjoin(membership, and_(membership.slug == BallotRow.slug, membership.id == BallotRow.membership_id))
        .where(BallotRow.parliament == parliament, BallotRow.session == session, number == any_(numbers))
        .group_by(number, membership.party)
        .order_by(number, func.count().desc(), membership.party)
    )


@dataclass(frozen=True, slots=True)
class RanksRecord(Record):
    """Of the divisions in which a member and the own party both took a side: how many, in how many the same one, and
    the keys of the others. The party's side is the one that the source says it took."""

    sided: int
    together: int
    against: tuple[str, ...]

    @property
    def share(self) -> float | None:
        return self.together / self.sided if self.sided else None


def ranks(db: Session, slug: str) -> RanksRecord:
    """How often a member voted with the own party of the time."""
    membership, party, sides = PoliticianMembershipRow, VotePartyRow, (Choice.YES, Choice.NO)
    names = ("parliament", "session", "number")
    together = BallotRow.choice == party.position
    statement = (
        select(func.count(), func.count().filter(together), func.array_agg(VoteRow.key).filter(~together))
        .select_from(BallotRow)
        .join(VoteRow, and_(*(getattr(BallotRow, name) == getattr(VoteRow, name) for name in names)))
        .join(membership, and_(membership.slug == BallotRow.slug, membership.id == BallotRow.membership_id))
        .join(party, and_(party.key == VoteRow.key, party.party == membership.party))
        .where(BallotRow.slug == slug, VoteRow.withdrawn.is_(False))
        .where(BallotRow.choice.in_(sides), party.position.in_(sides))
    )
    sided, with_party, against = db.execute(statement).one()
    return RanksRecord(sided, with_party, tuple(against or ()))


def _of(key: VoteKey) -> tuple[ColumnElement[bool], ...]:
    """The ballots of a division, by the three parts of its key: 1.3 million rows have no text of it."""
    session = key.session
    mine = (BallotRow.parliament == session.parliament, BallotRow.session == session.session)
    return (*mine, BallotRow.number == key.number)


_NEWEST = (VoteRow.held_on.desc(), VoteRow.parliament.desc(), VoteRow.session.desc(), VoteRow.number.desc())
