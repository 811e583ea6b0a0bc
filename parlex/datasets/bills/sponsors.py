"""Which politician of OpenParliament a bill's sponsor is, told without asking for the bill there.

LEGISinfo names a sponsor by the Parliament's number for the person and by name. The slug follows from the number where
a politician whom the mirror holds has it, or where OpenParliament's own details of other bills give this person one
slug. Else it follows from the name, where exactly one line of OpenParliament's list of politicians is of that name and
nothing speaks for another person. It never follows from a guess: two politicians of one name have to be asked about.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from parlex.datasets.bills.merge import COMPANION, COMPANION_SINCE, SPINE
from parlex.datasets.politicians.politician import DATASET as POLITICIANS
from parlex.datasets.politicians.politician import EVERYBODY
from parlex.datasets.politicians.source import parse_list
from parlex.db.models import BillRow, LatestDocumentRow, ListingRow, PoliticianRow
from parlex.mirror import documents, listings, lists
from parlex.mirror.documents import Fetched, Standing
from parlex.mirror.listings import Place
from parlex.mirror.lists import Row
from parlex.parliament import Chamber

BILLS = "bills"

Sponsor = tuple[int, str | None]  # the number of a person, and the name that a bill gives


@dataclass(frozen=True, slots=True)
class Followed:
    """A slug, and what it follows from: a politician's number, another bill's detail (``key``), or the name."""

    slug: str
    by: Literal["person", "bill", "name"]
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A bill of the House whose slug may be told anew: as it is held."""

    key: str
    sponsor: Sponsor
    slug: str | None


def follow(db: Session, sponsors: Iterable[Sponsor]) -> dict[Sponsor, Followed]:
    """The slugs that follow, by sponsor; without those that do not."""
    wanted = set(sponsors)
    found = _by_person(db, {person for person, _ in wanted})
    found |= _by_bills(db, {person for person, _ in wanted} - found.keys())
    told = {sponsor: slug for sponsor in wanted if (slug := found.get(sponsor[0]))}
    return told | _by_name(db, {(person, name) for person, name in wanted if person not in found and name})


def _by_person(db: Session, persons: set[int]) -> dict[int, Followed | None]:
    """None where several politicians have the number: then nothing else decides either."""
    query = select(PoliticianRow.person_id, PoliticianRow.slug).where(
        PoliticianRow.person_id.in_(persons), PoliticianRow.origin == COMPANION
    )
    slugs: dict[int, set[str]] = {}
    for person, slug in db.execute(query):
        slugs.setdefault(person or 0, set()).add(slug)
    return {p: Followed(min(each), "person") if len(each) == 1 else None for p, each in slugs.items()}


def _by_bills(db: Session, persons: set[int]) -> dict[int, Followed | None]:
    """By OpenParliament's details of other bills. It names a sponsor once, and LEGISinfo may name another one since:
    so a slug that goes with two numbers, or with a politician of another number, tells nothing."""
    pairs = _told().with_only_columns(
        BillRow.sponsor_slug, BillRow.sponsor_person_id, func.max(BillRow.key), PoliticianRow.person_id
    )
    mine = select(BillRow.sponsor_slug).where(BillRow.sponsor_person_id.in_(persons), BillRow.sponsor_slug.is_not(None))
    query = pairs.outerjoin(PoliticianRow, PoliticianRow.slug == BillRow.sponsor_slug).where(
        BillRow.sponsor_slug.in_(mine), BillRow.sponsor_person_id.is_not(None)
    )
    of_slug: dict[str, set[int]] = {}
    of_person: dict[int, dict[str, str]] = {}
    grouped = query.group_by(BillRow.sponsor_slug, BillRow.sponsor_person_id, PoliticianRow.person_id)
    rows: Any = db.execute(grouped)
    for slug, person, key, other in rows:
        of_slug.setdefault(slug, set()).update({person, other or person})
        of_person.setdefault(person, {})[slug] = key
    return {
        person: Followed(slug, "bill", key)
        for person in persons & of_person.keys()
        if len(of_person[person]) == 1
        for slug, key in of_person[person].items()
        if of_slug[slug] == {person}
    }


def _by_name(db: Session, sponsors: set[Sponsor]) -> dict[Sponsor, Followed]:
    """By the list of politicians: the name is there once, no other sponsor has it, and no other number goes with the
    slug. For this, names that differ in an initial are one."""
    if not sponsors:
        return {}
    bearers: dict[str, set[int]] = {}
    others = select(BillRow.sponsor_person_id, BillRow.sponsor_name).where(
        BillRow.sponsor_name.is_not(None), BillRow.chamber == Chamber.HOUSE, BillRow.sponsor_person_id.is_not(None)
    )
    for person, name in (*sponsors, *db.execute(others.distinct())):
        bearers.setdefault(fold(name or "").plain, set()).add(person or 0)
    line = ListingRow
    listed = (
        select(line.key, line.facts["name"].astext, PoliticianRow.person_id)
        .outerjoin(PoliticianRow, PoliticianRow.slug == line.key)
        .where(line.dataset == POLITICIANS, line.source == COMPANION, line.scope == EVERYBODY, line.gone_at.is_(None))
    )
    lines: dict[str, list[tuple[str, Name, int | None]]] = {}
    for slug, text, person in db.execute(listed):
        name = fold(text)
        lines.setdefault(name.plain, []).append((slug, name, person))
    found = {}
    for person, text in sponsors:
        name = fold(text or "")
        match lines.get(name.plain, []):
            case [(slug, other, number)] if number in (None, person) and bearers[name.plain] == {person}:
                if name.may_be(other):
                    found[person, text] = Followed(slug, "name")
    return found


@dataclass(frozen=True, slots=True)
class Name:
    """A name without what the sources write differently: accents, hyphens, dots, case; and its initials apart, which
    one of them may leave out."""

    plain: str
    initials: tuple[str, ...]

    def may_be(self, other: Name) -> bool:
        return self.plain == other.plain and (self.initials == other.initials or not (self.initials and other.initials))


def fold(name: str) -> Name:
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    words = plain.casefold().replace("’", "'").replace("-", " ").replace(".", " ").split()
    return Name(" ".join(word for word in words if len(word) > 1), tuple(word for word in words if len(word) == 1))


# The bills that are concerned.


def concerns(chamber: str, parliament: int) -> bool:
    """Whether OpenParliament names the sponsor of such a bill: never a senator's."""
    return chamber == Chamber.HOUSE and parliament >= COMPANION_SINCE


def unnamed(db: Session) -> list[Unnamed]:
    """Bills whose slug OpenParliament itself did not tell, and that have none, or another one than the politician who
    has their sponsor's number."""
    other = exists().where(
        PoliticianRow.person_id == BillRow.sponsor_person_id,
        PoliticianRow.origin == COMPANION,
        PoliticianRow.slug != BillRow.sponsor_slug,
    )
    query = _named_by_us().where(or_(BillRow.sponsor_slug.is_(None), other)).order_by(BillRow.key)
    return [Unnamed(key, (person, name), slug) for key, person, name, slug in db.execute(query)]


def without_slug(db: Session, keys: Iterable[str]) -> set[str]:
    """Those of ``keys`` that are held, whose sponsor is known and whose slug is not."""
    query = _named_by_us().where(BillRow.sponsor_slug.is_(None), BillRow.key.in_(list(keys)))
    return set(db.scalars(query.with_only_columns(BillRow.key)))


def _named_by_us() -> Select[Any]:
    columns: list[Any] = [BillRow.key, BillRow.sponsor_person_id, BillRow.sponsor_name, BillRow.sponsor_slug]
    return select(*columns).where(
        BillRow.chamber == Chamber.HOUSE,
        BillRow.parliament >= COMPANION_SINCE,
        BillRow.sponsor_person_id.is_not(None),
        ~exists().where(_detail_of_bill()),
    )


def _told() -> Select[Any]:
    """The bills of which a detail of OpenParliament stands."""
    return select(BillRow.key).join(LatestDocumentRow, _detail_of_bill())


def _detail_of_bill() -> ColumnElement[bool]:
    latest = LatestDocumentRow
    return and_(
        latest.dataset == BILLS, latest.source == COMPANION, latest.key == BillRow.key, latest.sha256.is_not(None)
    )


def held_slugs(db: Session, sponsors: Mapping[str, Sponsor]) -> dict[str, str]:
    """The slugs of those bills whose row has one, for the same person."""
    query = select(BillRow.key, BillRow.sponsor_person_id, BillRow.sponsor_slug).where(
        BillRow.key.in_(list(sponsors)), BillRow.sponsor_slug.is_not(None)
    )
    return {key: slug for key, person, slug in db.execute(query) if slug and person == sponsors[key][0]}


def name(db: Session, slugs: Mapping[str, str], *, now: datetime) -> dict[str, str | None]:
    """Write the slugs of these bills, which the caller has locked; what those had that it changed."""
    query = select(BillRow.key, BillRow.sponsor_slug).where(BillRow.key.in_(list(slugs))).order_by(BillRow.key)
    before = {key: slug for key, slug in db.execute(query) if slug != slugs[key]} if slugs else {}
    for key in before:
        db.execute(update(BillRow).where(BillRow.key == key).values(sponsor_slug=slugs[key], last_changed_at=now))
    return before


# The list of politicians, which a run of bills asks for where no run of politicians has yet.


def any_listed(db: Session) -> bool:
    query = select(ListingRow.key).where(ListingRow.dataset == POLITICIANS)
    return db.scalars(query.limit(1)).first() is not None


def keep_politicians(db: Session, pages: Sequence[Fetched], *, run_id: UUID, now: datetime) -> None:
    """Keep the lines of everybody for the politicians' own runs, which look at them anew. DocumentError for a page that
    is none."""
    if not pages:
        return
    documents.keep_documents(db, pages, dataset=POLITICIANS, run_id=run_id)
    read = parse_list([page.document for page in pages], [])
    lines = [lists.line(Row(one.slug, {"name": one.name}, None)) for one in read.listings]
    place = Place(POLITICIANS, COMPANION, EVERYBODY)
    held = listings.listings(db, POLITICIANS, COMPANION, EVERYBODY)
    listings.save_listings(db, place, [line for line in lines if line.key not in held], held, now=now)


# What a slug was derived from.


def evidence(db: Session, key: str, sponsor: Sponsor) -> list[Standing]:
    """The documents that a bill's slug follows from now; none where it does not follow."""
    followed = follow(db, [sponsor]).get(sponsor)
    if followed is None:
        return []
    mine = [(BILLS, key, SPINE)]
    if followed.by == "person":
        return documents.standing_of(db, [*mine, (POLITICIANS, followed.slug, COMPANION)])
    if followed.by == "bill" and followed.key is not None:
        return documents.standing_of(db, [*mine, (BILLS, followed.key, SPINE), (BILLS, followed.key, COMPANION)])
    return [*documents.standing_of(db, mine), *documents.newest_pages(db, POLITICIANS, COMPANION, EVERYBODY)]
