"""How politicians and votes look to a person. As ``tables``, on which it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from parlex.cli.tables import _add, _facts, _table, _widest

if TYPE_CHECKING:
    from parlex.datasets.list_check import ListCheck
    from parlex.datasets.politicians.reads import PoliticianRecord, PoliticianStory
    from parlex.datasets.votes.reads import BallotRecord, PartyRecord, VoteRecord
    from parlex.mirror.history import RecordChange, RecordChangeRecord

SHOWN = 20  # of a politician's votes; --json gives all


def politicians(found: Sequence[PoliticianRecord]) -> Table:
    table = _widest(_table(None))
    table.add_column("Slug", ratio=3, overflow="fold")
    table.add_column("Name", ratio=3, overflow="fold")
    table.add_column("Party", ratio=2, no_wrap=True, overflow="ellipsis")
    table.add_column("Riding", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("Prov", no_wrap=True)
    for one in found:
        _add(table, one.slug, one.name, one.current_party, one.current_riding, one.province)
    return table


def politician(story: PoliticianStory) -> Iterable[Table]:
    """Everything the mirror holds of one politician, the parts that are empty left out."""
    record = story.politician
    table = _facts(f"{record.name}  {record.slug}")
    facts = (
        ("Party", record.current_party),
        ("Riding", record.current_riding),
        ("Province", record.province),
        ("Person", record.person_id),
        ("E-mail", story.email),
        ("Phone", story.phone),
        ("Fax", story.fax),
        ("Offices", story.offices),
        ("Photo", story.image_url),
        *((link["note"] or "Link", link["url"]) for link in story.links),
        ("Known from", story.origin),
        ("First seen", record.first_seen_at),
        ("Last changed", record.last_changed_at),
    )
    for name, value in facts:
        if value is not None:
            _add(table, name, value)
    yield table
    if story.memberships:
        memberships = _table("Memberships", "Party", "Riding", "Province", "From", "To")
        for one in story.memberships:
            _add(memberships, one.party, one.riding, one.province, one.start_on, one.end_on)
        yield memberships
    if story.bills:
        yield _bills(story)
    if story.votes:
        title = "Votes" if len(story.votes) <= SHOWN else f"Votes (the newest {SHOWN} of {len(story.votes)})"
        cast = _table(title, "Session", "Division", "Day", "Bill", "Result", "Ballot")
        for own in story.votes[:SHOWN]:
            _add(cast, f"{own.parliament}-{own.session}", own.number, own.date, own.bill_number, own.result, own.ballot)
        yield cast


def votes(found: Sequence[VoteRecord], *, title: str | None = None) -> Table:
    table = _widest(_table(title))
    for name in ("Session", "No", "Day", "Bill"):
        table.add_column(name, no_wrap=True)
    table.add_column("Description", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in ("Result", "Yeas", "Nays", "Paired"):
        table.add_column(name, no_wrap=True)
    table.add_column("Totals", no_wrap=True)
    for one in found:
        totals = (one.yea_total, one.nay_total, one.paired_total)
        where = (f"{one.parliament}-{one.session}", one.number, one.date, one.bill_number)
        _add(table, *where, one.description_en, one.result, *totals, "match" if one.totals_match else "differ")
    return table


def vote(record: VoteRecord, parties: Sequence[PartyRecord], ballots: Sequence[BallotRecord]) -> Iterable[Table]:
    """One division: what it was, how the parties voted, how each member did."""
    facts = _facts(f"{record.parliament}-{record.session}, division {record.number}")
    _add(facts, "Day", record.date)
    _add(facts, "Description", record.description_en)
    _add(facts, "Description (fr)", record.description_fr)
    _add(facts, "Bill", record.bill_number)
    totals = f"{record.yea_total} yeas, {record.nay_total} nays, {record.paired_total} paired"
    _add(facts, "Result", f"{record.result}: {totals}")
    if not record.totals_match:
        _add(facts, "Totals", "differ from the ballots below; both stand as the source gives them")
    yield facts
    yield _parties(parties)
    table = _table("Ballots", "Name", "Party", "Riding", "Ballot")
    for one in ballots:
        _add(table, one.politician_name or one.politician_slug, one.party, one.riding, one.ballot)
    yield table


def _parties(found: Sequence[PartyRecord]) -> Table:
    table = _table("Parties", "Party")
    for name in ("Yes", "No", "Paired", "Didn't vote"):
        table.add_column(name, justify="right")
    table.add_column("Position")
    table.add_column("Against it", justify="right")
    for one in found:
        share = None if one.disagreement is None else f"{one.disagreement:.1%}"
        _add(table, one.party, one.yes, one.no, one.paired, one.absent, one.position, share)
    return table


def _bills(story: PoliticianStory) -> Table:
    table = _widest(_table("Bills", "Session", "Number"))
    table.add_column("Title", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("Status", ratio=1, no_wrap=True, overflow="ellipsis")
    for one in story.bills:
        _add(table, f"{one.parliament}-{one.session}", one.number, one.title_en, one.status_code)
    return table


def changes(found: Sequence[RecordChangeRecord]) -> Table:
    table = _widest(_table(None))
    table.add_column("Seq", justify="right", no_wrap=True)
    for name in ("When (UTC)", "Key", "What"):
        table.add_column(name, no_wrap=True)
    for name in ("Old", "New"):
        table.add_column(name, ratio=1, overflow="fold")
    for one in found:
        _add(table, one.seq, one.observed_at, one.key, one.field or one.kind, one.old, one.new)
    return table


def differences(found: Sequence[RecordChange]) -> Table:
    table = _widest(_table(None, "Key", "What"))
    for name in ("Old", "New"):
        table.add_column(name, ratio=1, overflow="fold")
    for one in found:
        _add(table, one.key, one.field or one.kind, one.old, one.new)
    return table


def checks(found: Sequence[ListCheck]) -> Table:
    table = _table(None, "List", "Complete")
    names = ("Listed", "Held", "Missing", "Extra", "Stale", "Quarantined", "Unmatched")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for one in found:
        lists = (one.missing, one.extra, one.stale, one.quarantined, one.unmatched)
        _add(table, one.scope, "yes" if one.complete else "no", one.listed, one.held, *map(len, lists))
    return table
