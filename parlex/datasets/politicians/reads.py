"""What is held of the politicians, read back for answers: who they are, what they sponsored, how they voted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, or_, select
from sqlalchemy.orm import Session

from parlex.answers import Record, as_json
from parlex.datasets.looks import select_looked_at
from parlex.datasets.politicians.politician import DATASET, EVERYBODY
from parlex.db.models import (
    BallotRow,
    BillRow,
    PoliticianMembershipRow,
    PoliticianRow,
    VoteRow,
)
from parlex.db.reads import PAGE, columns
from parlex.fetching.pages import NAME as SITE
from parlex.parliament import BillKey


@dataclass(frozen=True, slots=True)
class PoliticianRecord(Record):
    """A politician as ``parlex politicians --json`` prints it.

    Party, riding and province are those of today, null for one who has left. ``is_current`` is null for a sponsor whom
    only LEGISinfo knows: it does not say who sits.
    """

    slug: str
    name: str
    person_id: int | None
    current_party: str | None
    current_riding: str | None
    province: str | None
    is_current: bool | None
    withdrawn: bool
    first_seen_at: datetime
    last_changed_at: datetime
    last_checked_at: datetime | None


@dataclass(frozen=True, slots=True)
class MembershipRecord(Record):
    party: str | None
    riding: str | None
    province: str | None
    start_on: date
    end_on: date | None


@dataclass(frozen=True, slots=True)
class SponsoredRecord(Record):
    parliament: int
    session: int
    number: str
    title_en: str
    status_code: str


@dataclass(frozen=True, slots=True)
class CastRecord(Record):
    """One division and what a member did in it."""

    parliament: int
    session: int
    number: int
    date: date
    result: str
    bill_number: str | None
    ballot: str


@dataclass(frozen=True, slots=True)
class PoliticianStory(Record):
    """One politician with what a line in a table has no room for. Memberships, bills, votes come newest first."""

    politician: PoliticianRecord
    given_name: str | None
    family_name: str | None
    gender: str | None
    email: str | None
    phone: str | None
    fax: str | None
    offices: str | None
    image_url: str | None
    links: tuple[Any, ...]
    origin: str
    memberships: tuple[MembershipRecord, ...]
    bills: tuple[SponsoredRecord, ...]
    votes: tuple[CastRecord, ...]

    def as_json(self) -> dict[str, Any]:
        """The keys of the politician first, then the rest, flat."""
        rest = {f.name: as_json(getattr(self, f.name)) for f in fields(self) if f.name != "politician"}
        return {**self.politician.as_json(), **rest}


_PARTS = ("politician", "memberships", "bills", "votes")
_DETAILS = tuple(f.name for f in fields(PoliticianStory) if f.name not in _PARTS)


def politicians(
    db: Session, *, current: bool = False, name: str | None = None, limit: int | None = None
) -> Iterator[PoliticianRecord]:
    """The politicians that are held, by family name; ``name`` keeps those whose name holds the text."""
    statement = _select_politicians()
    if current:
        statement = statement.where(PoliticianRow.is_current.is_(True))
    if name is not None:
        statement = statement.where(PoliticianRow.name.icontains(name, autoescape=True))
    order = (func.coalesce(PoliticianRow.family_name, PoliticianRow.name), PoliticianRow.name, PoliticianRow.slug)
    for row in db.execute(statement.order_by(*order).limit(limit).execution_options(yield_per=PAGE)):
        yield PoliticianRecord(*row)


def politician(db: Session, slug: str) -> PoliticianStory | None:
    """One politician with memberships and bills; None where the mirror does not hold the slug."""
    details_of = (getattr(PoliticianRow, name) for name in _DETAILS)
    row = db.execute(_select_politicians().add_columns(*details_of).where(PoliticianRow.slug == slug)).one_or_none()
    if row is None:
        return None
    size = len(fields(PoliticianRecord))
    record, details = PoliticianRecord(*row[:size]), dict(zip(_DETAILS, row[size:], strict=True))
    details["links"] = tuple(details["links"])
    parts = (_memberships(db, slug), _sponsored(db, record), _cast(db, slug))
    return PoliticianStory(record, **details, memberships=parts[0], bills=parts[1], votes=parts[2])


def sponsor(db: Session, key: BillKey) -> PoliticianRecord | None:
    """The politician who sponsors a bill; None where the bill names nobody, or nobody whom the mirror holds."""
    statement = (
        _select_politicians()
        .join(BillRow, sponsors())
        .where(BillRow.key == str(key))
        # The slug is the bill's own word; a number may be shared by a row that was withdrawn since.
        .order_by((PoliticianRow.slug == BillRow.sponsor_slug).desc().nulls_last(), PoliticianRow.slug)
    )
    row = db.execute(statement.limit(1)).one_or_none()
    return PoliticianRecord(*row) if row else None


def _select_politicians() -> Select[Any]:
    """The columns of PoliticianRecord."""
    return select_looked_at(
        PoliticianRecord, PoliticianRow, dataset=DATASET, source=SITE, key=PoliticianRow.slug, scope=literal(EVERYBODY)
    )


def sponsors() -> ColumnElement[bool]:
    """How a bill names its sponsor: by the slug, or by the Parliament's number for the person."""
    return or_(
        PoliticianRow.slug == BillRow.sponsor_slug,
        and_(PoliticianRow.person_id == BillRow.sponsor_person_id, PoliticianRow.withdrawn.is_(False)),
    )


def _memberships(db: Session, slug: str) -> tuple[MembershipRecord, ...]:
    membership = PoliticianMembershipRow
    statement = select(*columns(MembershipRecord, membership)).where(membership.slug == slug)
    rows = db.execute(statement.order_by(membership.start_on.desc(), membership.id.desc()))
    return tuple(MembershipRecord(*row) for row in rows)


def _sponsored(db: Session, record: PoliticianRecord) -> tuple[SponsoredRecord, ...]:
    mine = or_(BillRow.sponsor_slug == record.slug, BillRow.sponsor_person_id == record.person_id)
    statement = select(*columns(SponsoredRecord, BillRow)).where(mine)
    rows = db.execute(statement.order_by(BillRow.parliament.desc(), BillRow.session.desc(), BillRow.number))
    return tuple(SponsoredRecord(*row) for row in rows)


def _cast(db: Session, slug: str) -> tuple[CastRecord, ...]:
    statement = select(*columns(CastRecord, VoteRow, date=VoteRow.held_on, ballot=BallotRow.choice)).join(
        BallotRow, _same(BallotRow, VoteRow)
    )
    rows = db.execute(statement.where(BallotRow.slug == slug, VoteRow.withdrawn.is_(False)).order_by(*_NEWEST))
    return tuple(CastRecord(*row) for row in rows)


_NEWEST = (VoteRow.held_on.desc(), VoteRow.parliament.desc(), VoteRow.session.desc(), VoteRow.number.desc())


def _same(one: Any, other: Any) -> ColumnElement[bool]:
    pairs = (getattr(one, name) == getattr(other, name) for name in ("parliament", "session", "number"))
    return and_(*pairs)
