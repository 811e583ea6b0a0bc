"""The dataset of votes: the divisions of the House, party lines, and 1.3 million ballots, from OpenParliament.

A division is two documents, its detail and its ballots. Neither is saved without the other.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, tuple_, update
from sqlalchemy.orm import Session

from parlex.datasets.bills import rows as bill_rows
from parlex.datasets.dataset import Listed, Record, RecordDataset, Row, upsert_rows
from parlex.datasets.votes import source
from parlex.datasets.votes.source import Votes
from parlex.datasets.votes.vote import Division, VoteKey
from parlex.db.bulk import write_rows
from parlex.db.models import BallotRow, VotePartyRow, VoteRow
from parlex.fetching.document import Document
from parlex.fetching.http import Tally
from parlex.fetching.pages import NAME as SITE
from parlex.mirror import history
from parlex.mirror.documents import Fetched, Held
from parlex.parliament import SessionId
from parlex.runs.work import Context
from parlex.settings import Settings

BALLOTS = f"{SITE}-ballots"  # the second document of a division, named as if it came from a source of its own
NEWEST = "newest"
NULL = r"\N"  # in COPY's text format

_FACTS = ("held_on", "description_en", "description_fr", "result", "yea_total", "nay_total", "paired_total")
_BILL = ("bill_parliament", "bill_session", "bill_number")
_COLUMNS = (*_FACTS, "context_statement", *_BILL, "totals_match")
_LINE = ("party_name", "position", "disagreement")


class VoteDataset(RecordDataset):
    """See :class:`parlex.datasets.records.RecordDataset`."""

    name = "votes"
    source = SITE
    decides = frozenset((SITE, BALLOTS))
    by_session = True
    list_source = SITE
    list_guarded = ("description_en", "description_fr", "bill")
    guarded = ("description_en", "description_fr", "context_statement", *_BILL)
    part_sources = {"ballots": BALLOTS}

    def __init__(self, site: Votes, settings: Settings) -> None:
        super().__init__(settings, settings.openparliament_rate)
        self._site = site

    def lists(self, context: Context, tally: Tally) -> Sequence[Fetched]:
        background = context.background
        if context.request.scope is not None:
            return self._list(SessionId.parse(context.request.scope), tally, background)
        newest = self._site.newest(tally, background=background)
        listed = self._list(source.session_of(newest), tally, background)
        return [*listed, Fetched(SITE, "list", NEWEST, newest)]

    def _list(self, session: SessionId, tally: Tally, background: bool) -> list[Fetched]:
        pages = self._site.list_votes(session, tally, background=background)
        return [Fetched(SITE, "list", str(session), page) for page in pages]

    def read_list(self, scope: str, found: Sequence[Fetched]) -> Listed:
        pages = [one.document for one in found if one.key == scope]
        read = source.parse_list(pages, SessionId.parse(scope))
        return Listed(tuple(map(_row, read.divisions)), read.doubled, read.rejected)

    def may_be_empty(self, db: Session, scope: str) -> bool:
        """A session without a division yet is one all the same, where its bills are held."""
        return bool(bill_rows.bill_numbers(db, SessionId.parse(scope)))

    def ask(self, key: str, source: str, held: Held | None, context: Context, tally: Tally) -> Document | None:
        vote = VoteKey.parse(key)
        if source == BALLOTS:
            return self._site.fetch_ballots(vote, tally, background=context.background)
        return self._site.fetch(
            vote,
            tally,
            etag=held.etag if held else None,
            last_modified=held.last_modified if held else None,
            background=context.background,
        )

    def read(self, key: str, found: Mapping[str, Document]) -> Record:
        vote = source.parse_vote(found[SITE], VoteKey.parse(key))
        ballots = source.parse_ballots(found[BALLOTS], vote.division.key).ballots
        return Record(
            key,
            {
                **_facts(vote.division),
                "context_statement": vote.context_statement,
                "totals_match": vote.division.totals_match(ballots),
            },
            {
                "parties": {
                    line.party: {name: history.plain(getattr(line, name)) for name in _LINE} for line in vote.lines
                },
                "ballots": {one.slug: _ballot(one.choice.value, one.membership_id) for one in ballots},
            },
        )

    def is_whole(self, record: Record) -> bool:
        """The totals may be published before the ballots are."""
        voted = any(record.facts[name] for name in ("yea_total", "nay_total", "paired_total"))
        return bool(record.parts["ballots"]) or not voted

    def scope_of(self, key: str) -> str:
        return key.partition(" ")[0]

    # Rows.

    def held(self, db: Session, keys: Iterable[str]) -> dict[str, Record]:
        wanted = [_identity(key) for key in keys]
        rows = db.execute(select(VoteRow.__table__).where(_among(VoteRow, wanted)))
        held = {_key(row): Record(_key(row), _held_facts(row), {"parties": {}, "ballots": {}}) for row in rows}
        for row in db.execute(select(VotePartyRow.__table__).where(_among(VotePartyRow, wanted))):
            held[_key(row)].parts["parties"][row.party] = {name: getattr(row, name) for name in _LINE}
        for row in db.execute(select(BallotRow.__table__).where(_among(BallotRow, wanted))):
            held[_key(row)].parts["ballots"][row.slug] = _ballot(row.choice, row.membership_id)
        return held

    def write(self, db: Session, records: Sequence[Record], held: Mapping[str, Record], *, now: datetime) -> None:
        rows = [{**_columns(record.key), **record.facts} for record in records]
        upsert_rows(db, VoteRow, rows, ["parliament", "session", "number"], now=now)
        _write_parties(db, records, held)
        _write_ballots(db, records, held)

    def withdraw(self, db: Session, keys: Sequence[str], withdrawn: bool, *, now: datetime) -> list[str]:
        marked = (
            update(VoteRow)
            .where(_among(VoteRow, [_identity(key) for key in keys]), VoteRow.withdrawn.is_(not withdrawn))
            .values(withdrawn=withdrawn, last_changed_at=now)
            .returning(VoteRow.parliament, VoteRow.session, VoteRow.number)
        )
        return [_key(row) for row in db.execute(marked)] if keys else []

    def held_keys(self, db: Session, scope: str, *, withdrawn: bool) -> set[str]:
        session = SessionId.parse(scope)
        query = select(VoteRow.number).where(
            VoteRow.parliament == session.parliament,
            VoteRow.session == session.session,
            VoteRow.withdrawn.is_(withdrawn),
        )
        return {f"{scope} {number}" for number in db.scalars(query)}


def _row(division: Division) -> Row:
    facts = {name: history.json_value(getattr(division, name)) for name in _FACTS}
    return Row(str(division.key), {**facts, "bill": str(division.bill) if division.bill else None}, division.held_on)


def _facts(division: Division) -> dict[str, Any]:
    bill = division.bill
    return {
        **{name: history.plain(getattr(division, name)) for name in _FACTS},
        "bill_parliament": bill.session.parliament if bill else None,
        "bill_session": bill.session.session if bill else None,
        "bill_number": bill.number if bill else None,
    }


def _held_facts(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _COLUMNS}


def _ballot(choice: str, membership_id: int | None) -> dict[str, Any]:
    return {"ballot": choice, "membership_id": membership_id}


def _write_parties(db: Session, records: Sequence[Record], held: Mapping[str, Record]) -> None:
    moved = [r for r in records if r.key not in held or held[r.key].parts["parties"] != r.parts["parties"]]
    old = [_identity(record.key) for record in moved if record.key in held]
    if old:
        db.execute(delete(VotePartyRow).where(_among(VotePartyRow, old)))
    rows = [
        {**_columns(record.key), "party": party, **line}
        for record in moved
        for party, line in record.parts["parties"].items()
    ]
    if rows:
        write_rows(db, insert(VotePartyRow), rows)


def _write_ballots(db: Session, records: Sequence[Record], held: Mapping[str, Record]) -> None:
    """Only those that are new or differ. A fresh division has some 340, so they are copied in and not inserted."""
    lines = io.StringIO()
    for record in records:
        before, after = (held[record.key].parts["ballots"] if record.key in held else {}), record.parts["ballots"]
        stale = [slug for slug, ballot in before.items() if after.get(slug) != ballot]
        if stale:
            db.execute(delete(BallotRow).where(_among(BallotRow, [_identity(record.key)]), BallotRow.slug.in_(stale)))
        lines.writelines(_copied(record.key, {slug: b for slug, b in after.items() if before.get(slug) != b}))
    if lines.tell():
        lines.seek(0)
        cursor = db.connection().connection.cursor()
        cursor.copy_expert("COPY ballots (parliament, session, number, slug, membership_id, choice) FROM STDIN", lines)


def _copied(key: str, ballots: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Lines of COPY's text format. Nothing in them needs escaping: slugs are letters, digits and hyphens."""
    division = "\t".join(map(str, _identity(key)))
    for slug, ballot in ballots.items():
        number = NULL if ballot["membership_id"] is None else ballot["membership_id"]
        yield f"{division}\t{slug}\t{number}\t{ballot['ballot']}\n"


def _identity(key: str) -> tuple[int, int, int]:
    vote = VoteKey.parse(key)
    return vote.session.parliament, vote.session.session, vote.number


def _columns(key: str) -> dict[str, int]:
    return dict(zip(("parliament", "session", "number"), _identity(key), strict=True))


def _among(table: Any, identities: Sequence[tuple[int, int, int]]) -> Any:
    return tuple_(table.parliament, table.session, table.number).in_(identities)


def _key(row: Any) -> str:
    return f"{row.parliament}-{row.session} {row.number}"
