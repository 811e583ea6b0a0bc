"""How the divisions of the House look to a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from parlex.cli.tables import layout

if TYPE_CHECKING:
    from parlex.datasets.votes.reads import BallotRecord, PartyRecord, VoteRecord


def votes(found: Sequence[VoteRecord], *, title: str | None = None) -> Table:
    table = layout.widest(layout.table(title))
    for name in ("Session", "No", "Day", "Bill"):
        table.add_column(name, no_wrap=True)
    table.add_column("Description", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in ("Result", "Yeas", "Nays", "Paired"):
        table.add_column(name, no_wrap=True)
    table.add_column("Totals", no_wrap=True)
    for one in found:
        totals = (one.yea_total, one.nay_total, one.paired_total)
        where = (f"{one.parliament}-{one.session}", one.number, one.date, one.bill_number)
        layout.add(table, *where, one.description_en, one.result, *totals, "match" if one.totals_match else "differ")
    return table


def vote(record: VoteRecord, parties: Sequence[PartyRecord], ballots: Sequence[BallotRecord]) -> Iterable[Table]:
    """One division: what it was, how the parties voted, how each member did."""
    facts = layout.facts(f"{record.parliament}-{record.session}, division {record.number}")
    layout.add(facts, "Day", record.date)
    layout.add(facts, "Description", record.description_en)
    layout.add(facts, "Description (fr)", record.description_fr)
    layout.add(facts, "Bill", record.bill_number)
    totals = f"{record.yea_total} yeas, {record.nay_total} nays, {record.paired_total} paired"
    layout.add(facts, "Result", f"{record.result}: {totals}")
    if not record.totals_match:
        layout.add(facts, "Totals", "differ from the ballots below; both stand as the source gives them")
    yield facts
    yield _parties(parties)
    table = layout.table("Ballots", "Name", "Party", "Riding", "Ballot")
    for one in ballots:
        layout.add(table, one.politician_name or one.politician_slug, one.party, one.riding, one.ballot)
    yield table


def _parties(found: Sequence[PartyRecord]) -> Table:
    table = layout.table("Parties", "Party")
    for name in ("Yes", "No", "Paired", "Didn't vote"):
        table.add_column(name, justify="right")
    table.add_column("Position")
    table.add_column("Against it", justify="right")
    for one in found:
        share = None if one.disagreement is None else f"{one.disagreement:.1%}"
        layout.add(table, one.party, one.yes, one.no, one.paired, one.absent, one.position, share)
    return table
