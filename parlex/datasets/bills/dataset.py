"""The dataset of bills: LEGISinfo decides what there is and what it says, OpenParliament adds what it alone knows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import fields, replace
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy import delete as delete_from
from sqlalchemy.orm import Session

from parlex.answers import as_json, plain
from parlex.datasets.bills import legisinfo, merge, openparliament, stages
from parlex.datasets.bills.bill import CLOSED, PARTICULARS, Bill, LegisinfoBill, Listing, Milestones, fold
from parlex.datasets.bills.events import PARTS
from parlex.datasets.bills.legisinfo import Legisinfo
from parlex.datasets.bills.merge import COMPANION, COMPANION_SINCE, SPINE
from parlex.datasets.bills.openparliament import CompanionListing, OpenParliament
from parlex.datasets.bills.served import SERVED
from parlex.datasets.dataset import Dataset
from parlex.datasets.kind import CURRENT, Flagged
from parlex.datasets.record import Record
from parlex.datasets.served import Words
from parlex.db.bulk import write_rows
from parlex.db.models import BillRow, BillStageRow, ListingRow, SittingRow
from parlex.errors import ParlexError
from parlex.fetching.document import Document
from parlex.mirror.documents import Fetched, Held
from parlex.mirror.guards import Thresholds
from parlex.mirror.listings import Line
from parlex.mirror.lists import Listed, Row
from parlex.parliament import BillKey, SessionId
from parlex.runs.work import Asking, Request, Survey

_DAYS = tuple(field.name for field in fields(Milestones))
_TITLES = ("title_en", "title_fr", "short_title_en", "short_title_fr")
_NO_FACTS = ("key", "stages", *PARTS)
_FACTS = tuple(sorted((f.name for f in fields(Bill) if f.name not in _NO_FACTS), key=PARTICULARS.__contains__))


class BillDataset(Dataset):
    """See :class:`parlex.datasets.dataset.Dataset`."""

    name = "bills"
    one = "bill"
    source = f"{SPINE}+{COMPANION}"
    list_source = SPINE
    companion_lists = (COMPANION,)
    sources = (SPINE, COMPANION)
    decides = frozenset((SPINE,))
    paged = frozenset((COMPANION,))
    field_sources = {field: rule.decides for field, rule in merge.RULES.items()}
    derived = ("flags",)
    by_session = True
    first_session = SessionId(35, 1)
    usual_limit = 50
    list_guarded = ("short_title_en", "short_title_fr", *_DAYS)
    guarded = (
        *list_guarded,
        "sponsor_person_id",
        "sponsor_name",
        "sponsor_slug",
        "introduced_on",
        "statute_year",
        "statute_chapter",
        "text_url",
        "summary_en",
        "summary_fr",
        "reinstated_from",
        "reinstated_as",
        "bill_type_fr",
        "form_en",
        "ongoing_stage_en",
        "last_event_on",
        "sponsor_title_en",
        "sponsor_riding_en",
        "notes_en",
    )
    reading = 2
    table = BillRow
    served = SERVED
    tables = (BillRow, BillStageRow, *(part.table for part in PARTS.values()), SittingRow)
    searched = {"bills": (*_TITLES, "summary_en", "summary_fr")}
    told_fields = {
        "royal_assent_on": Words("Royal assent", "Sanction royale"),
        "status_en": Words("New status", "Nouvel état"),
    }

    def __init__(
        self, spine: Legisinfo, companion: OpenParliament, thresholds: Thresholds, rates: Mapping[str, float]
    ) -> None:
        super().__init__(thresholds, rates)
        self._spine = spine
        self._companion = companion

    # Its sources.

    def survey(self, due: frozenset[str], request: Request, asking: Asking) -> Survey:
        asked = SessionId.parse(request.scope) if request.scope else None
        with ThreadPoolExecutor(1) as beside:
            # Of a session that was named both lists are asked for at once; else the first one tells which it is.
            ask = copy_context().run
            early = beside.submit(ask, self._survey_companion, due, asked, asking) if asked else None
            spine = self.lists(request, asking)
        session = asked or legisinfo.session_of(spine[0].document)
        pages, errors = early.result() if early else self._survey_companion(due, session, asking)
        return Survey((*spine, *(Fetched(COMPANION, "list", str(session), page) for page in pages)), errors)

    def lists(self, request: Request, asking: Asking) -> Sequence[Fetched]:
        asked = SessionId.parse(request.scope) if request.scope else None
        document = self._spine.list_bills(asked, asking.tally, background=asking.background)
        session = asked or legisinfo.session_of(document)
        return [Fetched(SPINE, "list", str(session or CURRENT), document)]

    def _survey_companion(
        self, due: frozenset[str], session: SessionId | None, asking: Asking
    ) -> tuple[Sequence[Document], dict[str, ParlexError]]:
        """The pages of the companion's list, where it is due. It may be away: the spine alone makes a good mirror."""
        if COMPANION not in due or session is None or not self.has(COMPANION, str(session)):
            return (), {}
        try:
            return self._companion.list_bills(session, asking.tally, background=asking.background), {}
        except ParlexError as error:
            return (), {COMPANION: error}

    def read_list(self, source: str, found: Sequence[Fetched]) -> Listed:
        if source == COMPANION:
            pages = openparliament.parse_list([one.document for one in found], SessionId.parse(found[0].key))
            return Listed(tuple(map(_companion_row, pages.listings)), pages.doubled, pages.rejected, fill_rates={})
        read = legisinfo.parse_list(found[0].document)
        scope = str(read.session) if read.session else None
        return Listed(tuple(map(_row, read.listings)), read.doubled, read.rejected, scope, fill_rates=read.fill_rates)

    def line(self, row: Row) -> Line:
        """As :attr:`Listing.fingerprint`: a new list shape, other blanks or quotes do not count."""
        facts = row.facts
        told = (facts["status_code"], facts["bill_type"], *(fold(facts[name]) for name in _TITLES))
        days = [facts[name] or "" for name in _DAYS]
        digest = hashlib.sha256("\x1f".join((*told, *days)).encode()).hexdigest()[:32]
        latest = max(filter(None, days), default=None)
        return Line(row.key, digest, date.fromisoformat(latest) if latest else None, facts)

    def ask(self, key: str, source: str, held: Held | None, asking: Asking) -> Document | None:
        site = self._spine if source == SPINE else self._companion
        return site.fetch_bill(
            BillKey.parse(key),
            asking.tally,
            etag=held.etag if held else None,
            last_modified=held.last_modified if held else None,
            background=asking.background,
        )

    def parse(self, key: str, source: str, document: Document) -> Any:
        site = legisinfo if source == SPINE else openparliament
        return site.parse_bill(document, BillKey.parse(key))

    def record(self, key: str, parsed: Mapping[str, Any]) -> Record:
        """Merged by the table of ``merge``."""
        bill = merge.merge(parsed[SPINE], parsed.get(COMPANION))
        return self.derive(Record(key, facts_of(bill), parts_of(bill)))

    def derive(self, record: Record) -> Record:
        texts = PARTS["publications"].of_values(record.parts["publications"])
        flags = list(stages.flags(replace(bill_of(record.key, record.facts), publications=texts)))
        return replace(record, facts={**record.facts, "flags": flags})

    def told_part(self, name: str, part: Mapping[str, Any]) -> Any:
        if name in PARTS:
            return list(part.values())
        return [{**stages.place_of(stage), **values} for stage, values in part.items()]

    def has(self, source: str, scope: str) -> bool:
        return source == SPINE or SessionId.parse(scope).parliament >= COMPANION_SINCE

    def origin(self, field: str, parsed: Mapping[str, Any]) -> str:
        return merge.origin(field, parsed[SPINE], parsed.get(COMPANION))

    def unfinished(self, db: Session, parsed: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """Keys whose detail does not yet say what the list says: they are to be asked again, not taken for done."""
        query = select(ListingRow.key, ListingRow.facts).where(
            ListingRow.dataset == self.name, ListingRow.source == SPINE, ListingRow.key.in_(list(parsed))
        )
        return {key for key, facts in db.execute(query) if _moving(facts) != _moving_of(parsed[key][SPINE])}

    def rank(self, key: str) -> BillKey:
        return BillKey.parse(key)

    # Its rows.

    def identity(self, key: str) -> dict[str, Any]:
        bill = BillKey.parse(key)
        return {"parliament": bill.session.parliament, "session": bill.session.session, "number": bill.number}

    def in_scope(self, scope: str) -> Sequence[ColumnElement[bool]]:
        session = SessionId.parse(scope)
        return BillRow.parliament == session.parliament, BillRow.session == session.session

    def held(self, db: Session, keys: Iterable[str]) -> dict[str, Record]:
        wanted = list(keys)
        bills = db.execute(select(BillRow.__table__).where(BillRow.key.in_(wanted))).all()
        held = {row.key: Record(row.key, {n: getattr(row, n) for n in (*_FACTS, "flags")}) for row in bills}
        rows = select(BillStageRow.__table__).where(BillStageRow.key.in_(wanted)).order_by(BillStageRow.position)
        found = _by_key(db.execute(rows))
        for key, record in held.items():
            record.parts["stages"] = stages.named_rows(found.get(key, ()))
        for name, part in PARTS.items():
            found = _by_key(db.execute(select(part.table.__table__).where(part.key.in_(wanted))))
            for key, record in held.items():
                record.parts[name] = part.held(found.get(key, ()))
        return held

    def write_parts(self, db: Session, records: Sequence[Record], held: Mapping[str, Record]) -> None:
        self._write_stages(db, records, held)
        for name, part in PARTS.items():
            moved = [one for one in records if one.key not in held or held[one.key].parts[name] != one.parts[name]]
            old = [one.key for one in moved if one.key in held and held[one.key].parts[name]]
            if old:
                db.execute(delete_from(part.table).where(part.key.in_(old)))
            rows = [
                {**self.identity(one.key), "entry": entry, **part.columns(value)}
                for one in moved
                for entry, value in one.parts[name].items()
            ]
            if rows:
                write_rows(db, insert(part.table), rows)

    def _write_stages(self, db: Session, records: Sequence[Record], held: Mapping[str, Record]) -> None:
        moved = [one for one in records if one.key not in held or held[one.key].parts["stages"] != one.parts["stages"]]
        old = [one.key for one in moved if one.key in held and held[one.key].parts["stages"]]
        if old:
            db.execute(delete_from(BillStageRow).where(BillStageRow.key.in_(old)))
        rows = [
            {**self.identity(one.key), "position": position, **stages.place_of(name), **values}
            for one in moved
            for position, (name, values) in enumerate(one.parts["stages"].items())
        ]
        if rows:
            write_rows(db, insert(BillStageRow), rows)

    def flagged(self, db: Session, scope: str) -> tuple[Flagged, ...]:
        query = select(BillRow.key, BillRow.flags).where(*self.in_scope(scope), func.cardinality(BillRow.flags) > 0)
        found = sorted(db.execute(query), key=lambda row: self.rank(row.key))
        return tuple(Flagged(row.key, tuple(row.flags)) for row in found)

    def scopes(self, db: Session) -> list[str]:
        held = {str(SessionId(*row)) for row in db.execute(select(BillRow.parliament, BillRow.session).distinct())}
        return sorted(held | set(super().scopes(db)), key=self.rank_of_scope)

    def titles(self, db: Session, keys: Iterable[str], lang: str = "en") -> dict[str, str]:
        title = func.coalesce(getattr(BillRow, f"short_title_{lang}"), getattr(BillRow, f"title_{lang}"))
        query = select(BillRow.key, title).where(BillRow.key.in_(list(keys)))
        return dict(db.execute(query).all())


def _by_key(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in rows:
        found.setdefault(row.key, []).append(row)
    return found


def facts_of(bill: Bill) -> dict[str, Any]:
    """The bill's facts as its columns hold them."""
    return {name: plain(getattr(bill, name)) for name in _FACTS}


def parts_of(bill: Bill) -> dict[str, dict[str, Any]]:
    """The bill's parts as the history and their tables hold them."""
    return {
        "stages": stages.named(bill.stages),
        **{name: part.named(getattr(bill, name)) for name, part in PARTS.items()},
    }


def bill_of(key: str, facts: Mapping[str, Any]) -> Bill:
    """The facts as the domain has them, without the parts."""
    told: dict[str, Any] = {n: CLOSED[n](facts[n]) if n in CLOSED else facts[n] for n in _FACTS}
    return Bill(key=BillKey.parse(key), stages=(), **(dict.fromkeys(PARTS, ()) | told))


def _row(listing: Listing) -> Row:
    days = {name: as_json(getattr(listing.milestones, name)) for name in _DAYS}
    texts = {name: getattr(listing, name) for name in _TITLES}
    codes = {"status_code": str(listing.status_code), "bill_type": str(listing.bill_type)}
    facts = {"legisinfo_id": listing.legisinfo_id, **texts, **codes, **days}
    return Row(str(listing.key), facts, listing.activity_on)


def _companion_row(listing: CompanionListing) -> Row:
    facts = {
        "legisinfo_id": listing.legisinfo_id,
        "introduced_on": as_json(listing.introduced_on),
        "title_en": listing.title_en,
        "title_fr": listing.title_fr,
    }
    return Row(str(listing.key), facts, listing.introduced_on)


def _moving(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts.get(name) for name in ("status_code", *_DAYS)}


def _moving_of(bill: LegisinfoBill) -> dict[str, Any]:
    days = {name: as_json(getattr(bill.milestones, name)) for name in _DAYS}
    return {"status_code": str(bill.status_code), **days}
