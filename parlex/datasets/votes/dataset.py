"""The dataset of votes: the divisions of the House, party lines, and 1.3 million ballots, from OpenParliament.

A division is two documents, its detail and its ballots. Neither is saved without the other.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.orm import Session

from parlex.answers import as_json, plain
from parlex.datasets.dataset import Dataset
from parlex.datasets.kind import Flagged
from parlex.datasets.record import Record
from parlex.datasets.served import Words
from parlex.datasets.votes import source
from parlex.datasets.votes.served import SERVED
from parlex.datasets.votes.source import Votes
from parlex.datasets.votes.vote import Division, VoteKey
from parlex.db.bulk import write_rows
from parlex.db.models import BallotRow, BillRow, VotePartyRow, VoteRow
from parlex.fetching.document import Document
from parlex.fetching.pages import NAME as SITE
from parlex.mirror.documents import Fetched, Held
from parlex.mirror.guards import Thresholds
from parlex.mirror.lists import Listed, Row
from parlex.parliament import SessionId
from parlex.runs.work import Asking, Request

BALLOTS = f"{SITE}-ballots"  # the second document of a division, named as if it came from a source of its own
NEWEST = "newest"
NULL = r"\N"  # in COPY's text format
TOTALS_DIFFER = "totals_differ"

_FACTS = ("held_on", "description_en", "description_fr", "result", "yea_total", "nay_total", "paired_total")
_BILL = ("bill_parliament", "bill_session", "bill_number")
_COLUMNS = (*_FACTS, "context_statement", *_BILL, "totals_match")
_LINE = ("party_name", "position", "disagreement")


class VoteDataset(Dataset):
    """See :class:`parlex.datasets.dataset.Dataset`."""

    name = "votes"
    one = "division"
    source = SITE
    list_source = SITE
    sources = (SITE, BALLOTS)
    decides = frozenset((SITE, BALLOTS))
    paged = frozenset((SITE,))
    field_sources = {"ballots": BALLOTS}
    by_session = True
    first_session = SessionId(38, 1)
    usual_limit = 100
    list_guarded = ("description_en", "description_fr", "bill")
    guarded = ("description_en", "description_fr", "context_statement", *_BILL)
    table = VoteRow
    served = SERVED
    tables = (VoteRow, VotePartyRow, BallotRow)
    told_fields = {"result": Words("New result", "Nouveau résultat")}

    def __init__(self, site: Votes, thresholds: Thresholds, rates: Mapping[str, float]) -> None:
        super().__init__(thresholds, rates)
        self._site = site

    # Its source.

    def lists(self, request: Request, asking: Asking) -> Sequence[Fetched]:
        if request.scope is not None:
            return self._list(SessionId.parse(request.scope), asking)
        newest = self._site.newest(asking.tally, background=asking.background)
        return [*self._list(source.session_of(newest), asking), Fetched(SITE, "list", NEWEST, newest)]

    def _list(self, session: SessionId, asking: Asking) -> list[Fetched]:
        pages = self._site.list_votes(session, asking.tally, background=asking.background)
        return [Fetched(SITE, "list", str(session), page) for page in pages]

    def read_list(self, source_name: str, found: Sequence[Fetched]) -> Listed:
        scope = found[0].key
        pages = [one.document for one in found if one.key == scope]
        read = source.parse_list(pages, SessionId.parse(scope))
        return Listed(tuple(map(_row, read.divisions)), read.doubled, read.rejected)

    def site_of(self, source: str) -> str:
        return SITE

    def may_be_empty(self, db: Session, scope: str) -> bool:
        """A session without a division yet is one all the same, where its bills are held."""
        session = SessionId.parse(scope)
        bills = select(BillRow.key).where(BillRow.parliament == session.parliament, BillRow.session == session.session)
        return db.scalars(bills.limit(1)).first() is not None

    def ask(self, key: str, source: str, held: Held | None, asking: Asking) -> Document | None:
        vote = VoteKey.parse(key)
        if source == BALLOTS:
            return self._site.fetch_ballots(vote, asking.tally, background=asking.background)
        return self._site.fetch(
            vote,
            asking.tally,
            etag=held.etag if held else None,
            last_modified=held.last_modified if held else None,
            background=asking.background,
        )

    def parse(self, key: str, source_name: str, document: Document) -> Any:
        vote = VoteKey.parse(key)
        return source.parse_ballots(document, vote) if source_name == BALLOTS else source.parse_vote(document, vote)

    def record(self, key: str, parsed: Mapping[str, Any]) -> Record:
        vote, ballots = parsed[SITE], parsed[BALLOTS].ballots
        return Record(
            key,
            {
                **_facts(vote.division),
                "context_statement": vote.context_statement,
                "totals_match": vote.division.totals_match(ballots),
            },
            {
                "parties": {line.party: {name: plain(getattr(line, name)) for name in _LINE} for line in vote.lines},
                "ballots": {one.slug: _ballot(one.choice.value, one.membership_id) for one in ballots},
            },
        )

    def unfinished(self, db: Session, parsed: Mapping[str, Mapping[str, Any]]) -> set[str]:
        """The totals may be published before the ballots are."""
        return {
            key
            for key, by_source in parsed.items()
            if _has_voted(by_source[SITE].division) and not by_source[BALLOTS].ballots
        }

    def rank(self, key: str) -> VoteKey:
        return VoteKey.parse(key)

    # Its rows.

    def identity(self, key: str) -> dict[str, Any]:
        vote = VoteKey.parse(key)
        return {"parliament": vote.session.parliament, "session": vote.session.session, "number": vote.number}

    def in_scope(self, scope: str) -> Sequence[ColumnElement[bool]]:
        session = SessionId.parse(scope)
        return VoteRow.parliament == session.parliament, VoteRow.session == session.session

    def held(self, db: Session, keys: Iterable[str]) -> dict[str, Record]:
        wanted = list(keys)
        rows = db.execute(select(VoteRow.__table__).where(VoteRow.key.in_(wanted)))
        held = {
            r.key: Record(r.key, {n: getattr(r, n) for n in _COLUMNS}, {"parties": {}, "ballots": {}}) for r in rows
        }
        for row in db.execute(select(VotePartyRow.__table__).where(VotePartyRow.key.in_(wanted))):
            held[row.key].parts["parties"][row.party] = {name: getattr(row, name) for name in _LINE}
        # A key as text for each of 1.3 million ballots would be a third of their table.
        ballots = select(VoteRow.key, BallotRow.slug, BallotRow.choice, BallotRow.membership_id).join(
            BallotRow,
            (BallotRow.parliament == VoteRow.parliament)
            & (BallotRow.session == VoteRow.session)
            & (BallotRow.number == VoteRow.number),
        )
        for row in db.execute(ballots.where(VoteRow.key.in_(wanted))):
            held[row.key].parts["ballots"][row.slug] = _ballot(row.choice, row.membership_id)
        return held

    def write_parts(self, db: Session, records: Sequence[Record], held: Mapping[str, Record]) -> None:
        self._write_parties(db, records, held)
        self._write_ballots(db, records, held)

    def _write_parties(self, db: Session, records: Sequence[Record], held: Mapping[str, Record]) -> None:
        moved = [r for r in records if r.key not in held or held[r.key].parts["parties"] != r.parts["parties"]]
        old = [record.key for record in moved if record.key in held]
        if old:
            db.execute(delete(VotePartyRow).where(VotePartyRow.key.in_(old)))
        rows = [
            {**self.identity(record.key), "party": party, **line}
            for record in moved
            for party, line in record.parts["parties"].items()
        ]
        if rows:
            write_rows(db, insert(VotePartyRow), rows)

    def _write_ballots(self, db: Session, records: Sequence[Record], held: Mapping[str, Record]) -> None:
        """Only those that are new or differ. A fresh division has some 340, so they are copied in and not inserted."""
        lines = io.StringIO()
        for record in records:
            before, after = (held[record.key].parts["ballots"] if record.key in held else {}), record.parts["ballots"]
            identity = self.identity(record.key)
            stale = [slug for slug, ballot in before.items() if after.get(slug) != ballot]
            if stale:
                mine = (getattr(BallotRow, name) == value for name, value in identity.items())
                db.execute(delete(BallotRow).where(*mine, BallotRow.slug.in_(stale)))
            news = {slug: ballot for slug, ballot in after.items() if before.get(slug) != ballot}
            lines.writelines(_copied(identity.values(), news))
        if lines.tell():
            lines.seek(0)
            cursor = db.connection().connection.cursor()
            columns = "parliament, session, number, slug, membership_id, choice"
            cursor.copy_expert(f"COPY ballots ({columns}) FROM STDIN", lines)

    def flagged(self, db: Session, scope: str) -> tuple[Flagged, ...]:
        """Divisions whose ballots do not add up to their totals."""
        query = select(VoteRow.key).where(*self.in_scope(scope), VoteRow.totals_match.is_(False))
        return tuple(Flagged(key, (TOTALS_DIFFER,)) for key in sorted(db.scalars(query), key=self.rank))

    def titles(self, db: Session, keys: Iterable[str], lang: str = "en") -> dict[str, str]:
        title = func.concat_ws(", ", VoteRow.held_on, VoteRow.result, getattr(VoteRow, f"description_{lang}"))
        query = select(VoteRow.key, title).where(VoteRow.key.in_(list(keys)))
        return dict(db.execute(query).all())


def _row(division: Division) -> Row:
    facts = {name: as_json(getattr(division, name)) for name in _FACTS}
    return Row(str(division.key), {**facts, "bill": str(division.bill) if division.bill else None}, division.held_on)


def _facts(division: Division) -> dict[str, Any]:
    bill = division.bill
    return {
        **{name: plain(getattr(division, name)) for name in _FACTS},
        "bill_parliament": bill.session.parliament if bill else None,
        "bill_session": bill.session.session if bill else None,
        "bill_number": bill.number if bill else None,
    }


def _has_voted(division: Division) -> bool:
    return any((division.yea_total, division.nay_total, division.paired_total))


def _ballot(choice: str, membership_id: int | None) -> dict[str, Any]:
    return {"ballot": choice, "membership_id": membership_id}


def _copied(identity: Iterable[int], ballots: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Lines of COPY's text format. Nothing in them needs escaping: slugs are letters, digits and hyphens."""
    division = "\t".join(map(str, identity))
    for slug, ballot in ballots.items():
        number = NULL if ballot["membership_id"] is None else ballot["membership_id"]
        yield f"{division}\t{slug}\t{number}\t{ballot['ballot']}\n"
