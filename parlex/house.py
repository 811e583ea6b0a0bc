"""Reads for people, of politicians: who they are, what they sponsored. As ``queries`` is for bills."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from parlex.bills import BillKey
from parlex.db.models import BillRow, PoliticianMembershipRow, PoliticianRow
from parlex.queries import Record, as_json

_PAGE = 1000  # rows held in memory at a time while a long answer streams


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
    first_seen_at: datetime
    last_changed_at: datetime


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
class PoliticianStory(Record):
    """One politician with what a line in a table has no room for. Memberships and bills come newest first."""

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
    withdrawn: bool
    memberships: tuple[MembershipRecord, ...]
    bills: tuple[SponsoredRecord, ...]

    def as_json(self) -> dict[str, Any]:
        """The keys of the politician first, then the rest, flat."""
        rest = {f.name: as_json(getattr(self, f.name)) for f in fields(self) if f.name != "politician"}
        return {**self.politician.as_json(), **rest}


_DETAILS = tuple(f.name for f in fields(PoliticianStory) if f.name not in ("politician", "memberships", "bills"))


def politicians(
    db: Session, *, current: bool = False, name: str | None = None, limit: int | None = None
) -> Iterator[PoliticianRecord]:
    """The politicians that are held, by family name; ``name`` keeps those whose name holds the text."""
    statement = _select(PoliticianRecord, PoliticianRow).where(PoliticianRow.withdrawn.is_(False))
    if current:
        statement = statement.where(PoliticianRow.is_current.is_(True))
    if name is not None:
        statement = statement.where(PoliticianRow.name.icontains(name, autoescape=True))
    order = (func.coalesce(PoliticianRow.family_name, PoliticianRow.name), PoliticianRow.name, PoliticianRow.slug)
    for row in db.execute(statement.order_by(*order).limit(limit).execution_options(yield_per=_PAGE)):
        yield PoliticianRecord(*row)


def politician(db: Session, slug: str) -> PoliticianStory | None:
    """One politician with memberships and bills; None where the mirror does not hold the slug."""
    columns = (getattr(PoliticianRow, name) for name in _DETAILS)
    row = db.execute(
        _select(PoliticianRecord, PoliticianRow).add_columns(*columns).where(PoliticianRow.slug == slug)
    ).one_or_none()
    if row is None:
        return None
    size = len(fields(PoliticianRecord))
    record, details = PoliticianRecord(*row[:size]), dict(zip(_DETAILS, row[size:], strict=True))
    details["links"] = tuple(details["links"])
    return PoliticianStory(record, **details, memberships=_memberships(db, slug), bills=_sponsored(db, record))


def sponsor(db: Session, key: BillKey) -> PoliticianRecord | None:
    """The politician who sponsors a bill; None where the bill names nobody, or nobody whom the mirror holds."""
    statement = (
        _select(PoliticianRecord, PoliticianRow)
        .join(BillRow, _sponsors())
        .where(
            BillRow.parliament == key.session.parliament,
            BillRow.session == key.session.session,
            BillRow.number == key.number,
        )
        # The slug is the bill's own word; a number may be shared by a row that was withdrawn since.
        .order_by((PoliticianRow.slug == BillRow.sponsor_slug).desc().nulls_last(), PoliticianRow.slug)
    )
    row = db.execute(statement.limit(1)).one_or_none()
    return PoliticianRecord(*row) if row else None


def _sponsors() -> ColumnElement[bool]:
    """How a bill names its sponsor: by the slug, or by the Parliament's number for the person."""
    return or_(
        PoliticianRow.slug == BillRow.sponsor_slug,
        and_(PoliticianRow.person_id == BillRow.sponsor_person_id, PoliticianRow.withdrawn.is_(False)),
    )


def _memberships(db: Session, slug: str) -> tuple[MembershipRecord, ...]:
    membership = PoliticianMembershipRow
    statement = _select(MembershipRecord, membership).where(membership.slug == slug)
    rows = db.execute(statement.order_by(membership.start_on.desc(), membership.id.desc()))
    return tuple(MembershipRecord(*row) for row in rows)


def _sponsored(db: Session, record: PoliticianRecord) -> tuple[SponsoredRecord, ...]:
    mine = or_(BillRow.sponsor_slug == record.slug, BillRow.sponsor_person_id == record.person_id)
    statement = _select(SponsoredRecord, BillRow).where(mine)
    rows = db.execute(statement.order_by(BillRow.parliament.desc(), BillRow.session.desc(), BillRow.number))
    return tuple(SponsoredRecord(*row) for row in rows)


def _select(record: type[Record], table: type[Any]) -> Select[Any]:
    """The columns of a table that a record is made of."""
    return select(*(getattr(table, f.name) for f in fields(record)))  # type: ignore[arg-type]
