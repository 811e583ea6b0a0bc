"""The dataset of politicians: OpenParliament decides who there is, LEGISinfo adds the sponsors it does not have.

A bill names its sponsor twice: by OpenParliament's slug, and by the Parliament's number for the person. Where
OpenParliament does not give a politician's number, the bills that name both tell it. Senators are not on that site; a
sponsor whom no politician stands for gets a row from what LEGISinfo says on the bills, ``senator-<person id>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from parlex.answers import as_json
from parlex.datasets.dataset import Dataset
from parlex.datasets.politicians import source
from parlex.datasets.politicians.politician import (
    DATASET,
    EVERYBODY,
    Membership,
    Politician,
    PoliticianListing,
    sponsor_slug,
)
from parlex.datasets.politicians.served import SERVED
from parlex.datasets.politicians.source import Politicians
from parlex.datasets.record import Record, differences
from parlex.datasets.served import Words
from parlex.db.bulk import upsert_rows, write_rows
from parlex.db.models import BillRow, ListingRow, PoliticianMembershipRow, PoliticianRow
from parlex.fetching.document import Document
from parlex.fetching.pages import NAME as SITE
from parlex.mirror import history
from parlex.mirror.documents import Fetched, Held
from parlex.mirror.guards import Thresholds
from parlex.mirror.history import Change
from parlex.mirror.lists import Listed, Row
from parlex.parliament import Chamber
from parlex.runs.work import Asking, Context, Request

SPINE = "legisinfo"
CURRENT_MEMBERS = "current members"

_COLUMNS = tuple(
    name
    for name in PoliticianRow.__table__.columns.keys()  # noqa: SIM118  a column collection iterates over columns
    if name not in ("slug", "origin", "withdrawn", "first_seen_at", "last_changed_at")
)
_MEMBERSHIP = tuple(field.name for field in fields(Membership) if field.name != "id")


class PoliticianDataset(Dataset):
    """See :class:`parlex.datasets.dataset.Dataset`."""

    name = DATASET
    one = "politician"
    source = f"{SITE}+{SPINE}"
    list_source = SITE
    sources = (SITE,)
    decides = frozenset((SITE,))
    paged = frozenset((SITE,))
    by_session = False
    usual_limit = 300
    listed_every = timedelta(days=1)
    looked_at_every = timedelta(days=30)
    list_guarded = ("is_current", "party", "riding", "province", "image_url")
    guarded = ("given_name", "family_name", "gender", "person_id", "email", "phone", "fax", "offices", "image_url")
    table = PoliticianRow
    key_column = "slug"
    served = SERVED
    tables = (PoliticianRow, PoliticianMembershipRow)
    told_fields = {
        "current_party": Words("New party", "Nouveau parti"),
        "current_riding": Words("New riding", "Nouvelle circonscription"),
    }

    def __init__(self, site: Politicians, thresholds: Thresholds, rates: Mapping[str, float]) -> None:
        super().__init__(thresholds, rates)
        self._site = site

    # Its source.

    def lists(self, request: Request, asking: Asking) -> Sequence[Fetched]:
        everybody = self._site.list_all(asking.tally, background=asking.background)
        current = self._site.list_current(asking.tally, background=asking.background)
        return [
            *(Fetched(SITE, "list", EVERYBODY, page) for page in everybody),
            *(Fetched(SITE, "list", CURRENT_MEMBERS, page) for page in current),
        ]

    def read_list(self, source_name: str, found: Sequence[Fetched]) -> Listed:
        read = source.parse_list(
            [one.document for one in found if one.key == EVERYBODY],
            [one.document for one in found if one.key == CURRENT_MEMBERS],
        )
        return Listed(tuple(map(_row, read.listings)), read.doubled, read.rejected)

    def ask(self, key: str, source: str, held: Held | None, asking: Asking) -> Document | None:
        return self._site.fetch(
            key,
            asking.tally,
            etag=held.etag if held else None,
            last_modified=held.last_modified if held else None,
            background=asking.background,
        )

    def parse(self, key: str, source_name: str, document: Document) -> Any:
        return source.parse_politician(document, key)

    def record(self, key: str, parsed: Mapping[str, Any]) -> Record:
        return _record(parsed[SITE])

    def scope_of(self, key: str) -> str:
        return EVERYBODY

    # Its rows.

    def identity(self, key: str) -> dict[str, Any]:
        return {"slug": key}

    def columns(self, record: Record) -> dict[str, Any]:
        return {"origin": SITE, **record.facts}

    def in_scope(self, scope: str) -> Sequence[ColumnElement[bool]]:
        return (PoliticianRow.origin == SITE,)

    def held(self, db: Session, keys: Iterable[str]) -> dict[str, Record]:
        wanted = list(keys)
        rows = db.execute(select(PoliticianRow.__table__).where(PoliticianRow.slug.in_(wanted)))
        held = {r.slug: Record(r.slug, {n: getattr(r, n) for n in _COLUMNS}, {"memberships": {}}) for r in rows}
        members = select(PoliticianMembershipRow.__table__).where(PoliticianMembershipRow.slug.in_(wanted))
        for row in db.execute(members.order_by(PoliticianMembershipRow.start_on.desc(), PoliticianMembershipRow.id)):
            held[row.slug].parts["memberships"][str(row.id)] = {n: as_json(getattr(row, n)) for n in _MEMBERSHIP}
        return held

    def write_parts(self, db: Session, records: Sequence[Record], held: Mapping[str, Record]) -> None:
        moved = [one for one in records if one.key not in held or held[one.key].parts != one.parts]
        old = [one.key for one in moved if one.key in held]
        if old:
            db.execute(delete(PoliticianMembershipRow).where(PoliticianMembershipRow.slug.in_(old)))
        rows = [
            {"slug": one.key, "id": int(number), **facts}
            for one in moved
            for number, facts in one.parts["memberships"].items()
        ]
        if rows:
            write_rows(db, insert(PoliticianMembershipRow), rows)

    def complement(self, db: Session, records: Mapping[str, Record], parsed: Mapping[str, Mapping[str, Any]]) -> None:
        """The number of a person is what OpenParliament says, or else what the bills say of the slug."""
        unknown = [key for key, record in records.items() if record.facts["person_id"] is None]
        for slug, person_id in _persons_of_slugs(db, unknown).items():
            records[slug].facts["person_id"] = person_id

    def titles(self, db: Session, keys: Iterable[str], lang: str = "en") -> dict[str, str]:
        query = select(PoliticianRow.slug, PoliticianRow.name).where(PoliticianRow.slug.in_(list(keys)))
        return dict(db.execute(query).all())

    # Sponsors.

    def complete(self, db: Session, context: Context) -> None:
        """Also join the politicians to the sponsors that the bills name by the number of a person."""
        super().complete(db, context)
        changes = _number_persons(db, context)
        changes += self._keep_sponsors(db, context)
        changes += [
            Change(key, "withdrawn", source=SITE)
            for key in self.withdraw(db, _sponsors_now_politicians(db), True, now=context.now)
        ]
        history.append(db, self.name, changes, now=context.now, run_id=context.run_id)

    def _keep_sponsors(self, db: Session, context: Context) -> list[Change]:
        """Rows for the sponsors of whom LEGISinfo alone knows. The changes to append."""
        offered = {record.key: record for record in _unknown_sponsors(db)}
        held = self.held(db, offered)
        changes = [Change(key, "created", source=SPINE) for key in offered if key not in held]
        changed: list[Record] = []
        for key, before in held.items():
            found = [Change(key, "changed", *one, source=SPINE) for one in differences(before, offered[key])]
            changes += found
            changed += [offered[key]] if found else []
        _save(db, [*(one for key, one in offered.items() if key not in held), *changed], context.now)
        return changes


def _save(db: Session, records: Sequence[Record], now: datetime) -> None:
    rows = [{"slug": record.key, "origin": SPINE, **record.facts} for record in records]
    upsert_rows(db, PoliticianRow, rows, ["slug"], now=now)


def _row(listing: PoliticianListing) -> Row:
    """Who does not sit is blank there, so that a list of members that comes back empty is not believed."""
    facts = {name: value for name, value in asdict(listing).items() if name != "slug"}
    return Row(listing.slug, {**facts, "is_current": listing.is_current or None})


def _record(politician: Politician) -> Record:
    current = politician.current
    facts = {name: getattr(politician, name) for name in _COLUMNS if hasattr(politician, name)}
    return Record(
        politician.slug,
        {
            **facts,
            "links": [dict(link) for link in politician.links],
            "is_current": current is not None,
            "current_party": current.party if current else None,
            "current_riding": current.riding if current else None,
            "province": current.province if current else None,
        },
        {
            "memberships": {
                str(one.id): {name: as_json(getattr(one, name)) for name in _MEMBERSHIP}
                for one in politician.memberships
            }
        },
    )


def _persons_of_slugs(db: Session, slugs: Iterable[str]) -> dict[str, int]:
    """The number of the person whom the bills name by each slug, where they agree on one."""
    query = (
        select(BillRow.sponsor_slug, func.min(BillRow.sponsor_person_id))
        .where(BillRow.sponsor_slug.in_(list(slugs)), BillRow.sponsor_person_id.is_not(None))
        .group_by(BillRow.sponsor_slug)
        .having(func.count(BillRow.sponsor_person_id.distinct()) == 1)
    )
    return {slug: person_id for slug, person_id in db.execute(query) if slug and person_id}


def _number_persons(db: Session, context: Context) -> list[Change]:
    """Give politicians without a number the one that the bills tell. The changes to append."""
    nameless = db.scalars(
        select(PoliticianRow.slug).where(PoliticianRow.person_id.is_(None), PoliticianRow.origin == SITE)
    )
    found = _persons_of_slugs(db, nameless)
    for slug, person_id in found.items():
        values = {"person_id": person_id, "last_changed_at": context.now}
        db.execute(update(PoliticianRow).where(PoliticianRow.slug == slug).values(**values))
    return [Change(slug, "changed", "person_id", None, number, SPINE) for slug, number in found.items()]


def _unknown_sponsors(db: Session) -> list[Record]:
    """The sponsors that no politician stands for, as their newest bill names them.

    A member of the House may merely not have been fetched yet. So they wait until everybody on the list is held.
    """
    known = select(PoliticianRow.slug).where(
        PoliticianRow.person_id == BillRow.sponsor_person_id, PoliticianRow.origin == SITE
    )
    query = (
        select(BillRow.sponsor_person_id, BillRow.sponsor_name, BillRow.chamber)
        .where(BillRow.sponsor_person_id.is_not(None), BillRow.sponsor_name.is_not(None), ~known.exists())
        .ext(distinct_on(BillRow.sponsor_person_id))
        .order_by(BillRow.sponsor_person_id, BillRow.chamber.desc(), BillRow.parliament.desc(), BillRow.session.desc())
        .order_by(BillRow.number)
    )
    everybody = not _unheld(db)
    return [
        _sponsor(person_id, name, chamber == Chamber.SENATE)
        for person_id, name, chamber in db.execute(query)
        if person_id and name and (everybody or chamber == Chamber.SENATE)
    ]


def _unheld(db: Session) -> bool:
    held = select(PoliticianRow.slug).where(PoliticianRow.slug == ListingRow.key)
    listed = select(ListingRow.key).where(ListingRow.dataset == DATASET, ListingRow.gone_at.is_(None), ~held.exists())
    return db.scalars(listed.limit(1)).first() is not None


def _sponsor(person_id: int, name: str, senator: bool) -> Record:
    facts: dict[str, Any] = dict.fromkeys(_COLUMNS)
    facts |= {"name": name, "person_id": person_id, "links": []}
    return Record(sponsor_slug(person_id, senator=senator), facts, {"memberships": {}})


def _sponsors_now_politicians(db: Session) -> list[str]:
    """Rows of LEGISinfo's whose person has come to OpenParliament since."""
    other = PoliticianRow.__table__.alias("other")
    same = select(other.c.slug).where(other.c.person_id == PoliticianRow.person_id, other.c.origin == SITE)
    query = select(PoliticianRow.slug).where(PoliticianRow.origin == SPINE, PoliticianRow.withdrawn.is_(False))
    return list(db.scalars(query.where(same.exists())))
