"""What does not go together: the divisions that LEGISinfo names against those that are held, and what one source says
against itself. Rows of the mirror alone; nothing is corrected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Text, and_, case, cast, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from parlex.answers import Record, as_json
from parlex.datasets.bills.bill import NamedDivision
from parlex.datasets.bills.stages import VERSIONS_SINCE
from parlex.db.models import BillPublicationRow, BillRow, ListingRow, SittingRow, VoteRow
from parlex.parliament import BillKey, SessionId

_VOTES = "votes"
_RESULTS = {"Agreed To": "Passed", "Negatived": "Failed", "Tie": "Tie"}  # LEGISinfo's word, OpenParliament's


@dataclass(frozen=True, slots=True)
class Disagreement(Record):
    """One field of which the two sources say different things, with both values, as each writes it.

    Where one source contradicts itself, its value has what does not go together, and the other's is null. ``number`` is
    that of the bill; null where it is about none.
    """

    parliament: int
    session: int
    number: str | None
    field: str
    legisinfo: Any
    openparliament: Any


def divisions(db: Session, named: Mapping[str, Sequence[NamedDivision]]) -> Iterator[Disagreement]:
    """The divisions that LEGISinfo names on bills, by the bills' keys, against those that are held: one that
    OpenParliament does not list though it lists others of the session, or shows as another one.

    What LEGISinfo leaves out is no difference, nor is the wording.
    """
    wanted = {f"{BillKey.parse(key).session} {one.number}" for key, found in named.items() for one in found}
    held = {row.key: row for row in db.scalars(select(VoteRow).where(VoteRow.key.in_(wanted)))}
    listing = select(ListingRow.scope, ListingRow.key).where(ListingRow.dataset == _VOTES, ListingRow.gone_at.is_(None))
    scopes = {key.partition(" ")[0] for key in wanted}
    listed = list(db.execute(listing.where(ListingRow.scope.in_(scopes))))
    sessions, keys = {row.scope for row in listed}, {row.key for row in listed}
    for key, found in named.items():
        bill = BillKey.parse(key)
        for one in found:
            vote = f"{bill.session} {one.number}"
            ours = _named(one, key)
            theirs = _held(held[vote]) if vote in held else None
            lacks = theirs is None and str(bill.session) in sessions and vote not in keys
            if lacks or (theirs and any(ours[n] not in (None, theirs[n]) for n in ours if n != "description")):
                yield Disagreement(*_place(bill), f"divisions.{one.number}", ours, theirs)


def _place(bill: BillKey) -> tuple[int, int, str]:
    return bill.session.parliament, bill.session.session, bill.number


def _named(one: NamedDivision, bill: str) -> dict[str, Any]:
    return {
        "date": as_json(one.held_on),
        "bill": bill,
        "description": one.subject,
        "result": _RESULTS.get(one.result or "", one.result),
        "yea_total": one.yeas,
        "nay_total": one.nays,
        "paired_total": one.paired,
    }


def _held(row: VoteRow) -> dict[str, Any]:
    bill = f"{row.bill_parliament}-{row.bill_session} {row.bill_number}" if row.bill_number else None
    told = {name: getattr(row, name) for name in ("result", "yea_total", "nay_total", "paired_total")}
    return {"date": as_json(row.held_on), "bill": bill, "description": row.description_en, **told}


def contradictions(db: Session, session: SessionId | None = None) -> Iterator[Disagreement]:
    """What one source says against itself, in a session or in all.

    ``publications.as_passed``: a bill has passed the chamber it began in, and no such version is printed;
    ``publications.royal_assent`` alike; since the 42nd Parliament, before which versions are missing.
    ``sittings.house.2016-06-17``: a day with several numbers; ``sittings.house.75``: a number with several days.
    ``divisions.148.repeats``: the totals and the words of another number, and its day, which is before that of the
    number before; or on a bill, and another day. ``divisions.148.order``: a day before that of the number before it.
    """
    for read in (_unprinted, _sittings, _repeated, _disordered):
        yield from read(db, session)


def _of(table: Any, session: SessionId | None) -> Any:
    if session is None:
        return literal(True)
    return and_(table.parliament == session.parliament, table.session == session.session)


def _unprinted(db: Session, session: SessionId | None) -> Iterator[Disagreement]:
    third = case((BillRow.chamber == "house", BillRow.house_third_reading_on), else_=BillRow.senate_third_reading_on)
    for version, field, day in (
        ("as_passed", "third_reading_on", third),
        ("royal_assent", "royal_assent_on", BillRow.royal_assent_on),
    ):
        printed = select(BillPublicationRow.key).where(
            BillPublicationRow.key == BillRow.key, BillPublicationRow.version == version
        )
        query = select(BillRow.parliament, BillRow.session, BillRow.number, day).where(
            _of(BillRow, session), BillRow.parliament >= VERSIONS_SINCE, BillRow.form.is_not(None), day.is_not(None)
        )
        for parliament, number_of, number, on in db.execute(query.where(~printed.exists()).order_by(BillRow.key)):
            place = (parliament, number_of, number)
            yield Disagreement(*place, f"publications.{version}", {field: as_json(on), "version": None}, None)


def _sittings(db: Session, session: SessionId | None) -> Iterator[Disagreement]:
    row = SittingRow
    day = cast(row.day, Text)
    for one, others in ((day, row.number), (row.number, day)):
        query = (
            select(row.parliament, row.session, row.chamber, one, func.array_agg(others.distinct()))
            .where(_of(row, session), row.number.is_not(None))
            .group_by(row.parliament, row.session, row.chamber, one)
            .having(func.count(others.distinct()) > 1)
            .order_by(row.parliament, row.session, row.chamber, one)
        )
        for parliament, number, chamber, name, found in db.execute(query):
            yield Disagreement(parliament, number, None, f"sittings.{chamber}.{name}", found, None)


def _repeated(db: Session, session: SessionId | None) -> Iterator[Disagreement]:
    first, again, between = aliased(VoteRow), aliased(VoteRow), aliased(VoteRow)
    same = (
        *_same(first, again, "parliament", "session", "description_en", "yea_total", "nay_total", "paired_total"),
        first.number < again.number,
    )
    before = (
        select(between.held_on)
        .where(*_same(again, between, "parliament", "session"), between.number < again.number)
        .order_by(between.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    # Motions on no bill are worded alike, and a hundred may be put in a day: then the day must be strange too.
    strange = or_(
        and_(first.held_on == again.held_on, before > again.held_on),
        and_(first.held_on != again.held_on, again.bill_number.is_not(None)),
    )
    query = select(first, again).where(_of(again, session), *same, strange).order_by(again.key, first.number)
    for one, other in db.execute(query):
        told = {str(vote.number): _held(vote) for vote in (one, other)}
        yield Disagreement(
            other.parliament, other.session, other.bill_number, f"divisions.{other.number}.repeats", None, told
        )


def _disordered(db: Session, session: SessionId | None) -> Iterator[Disagreement]:
    row = VoteRow
    of_session = (row.parliament, row.session)
    told = select(
        row.parliament,
        row.session,
        row.bill_number,
        row.number,
        row.held_on,
        func.lag(row.number).over(partition_by=of_session, order_by=row.number).label("number_before"),
        func.lag(row.held_on).over(partition_by=of_session, order_by=row.number).label("day_before"),
    )
    found = told.where(_of(row, session)).subquery()
    query = select(found).where(found.c.held_on < found.c.day_before)
    for one in db.execute(query.order_by(found.c.parliament, found.c.session, found.c.number)):
        days = {str(one.number_before): as_json(one.day_before), str(one.number): as_json(one.held_on)}
        yield Disagreement(one.parliament, one.session, one.bill_number, f"divisions.{one.number}.order", None, days)


def _same(one: Any, other: Any, *names: str) -> list[Any]:
    return [getattr(one, name) == getattr(other, name) for name in names]
