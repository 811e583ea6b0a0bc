"""How the divisions of the House look to a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from parlex.answers import counted
from parlex.cli.tables.layout import Facts, Sheet, line, numbers, whole

if TYPE_CHECKING:
    from parlex.datasets.votes.reads import BallotRecord, PartyRecord, VoteRecord


def votes(found: Sequence[VoteRecord], *, title: str | None = None) -> Sheet:
    columns = (numbers("No"), whole("Day", "Bill"), line("Description"), whole("Result"))
    sheet = Sheet(title, whole("Session"), *columns, numbers("Yeas", "Nays", "Paired"), whole("Totals"))
    for one in found:
        totals = (one.yea_total, one.nay_total, one.paired_total)
        where = (f"{one.parliament}-{one.session}", one.number, one.date, one.bill_number)
        result = f"withdrawn: {one.result}" if one.withdrawn else one.result
        sheet.add(*where, one.description_en, result, *totals, "match" if one.totals_match else "differ")
    return sheet


def vote(
    record: VoteRecord, parties: Sequence[PartyRecord], ballots: Sequence[BallotRecord]
) -> Iterable[Sheet | Facts]:
    """One division: what it was, how the parties voted, how each member did."""
    facts = Facts(f"{record.parliament}-{record.session}, division {record.number}")
    facts.add("Day", record.date)
    facts.add("Description", record.description_en)
    facts.add("Description (fr)", record.description_fr)
    facts.add("Bill", record.bill_number)
    totals = f"{counted(record.yea_total, 'yea')}, {counted(record.nay_total, 'nay')}, {record.paired_total} paired"
    withdrawn = " (withdrawn from the list)" if record.withdrawn else ""
    facts.add("Result", f"{record.result}: {totals}{withdrawn}")
    if not record.totals_match:
        facts.add("Totals", "differ from the ballots below; both stand as the source gives them")
    facts.add("Last checked", record.last_checked_at)
    yield facts
    yield _parties(parties)
    sheet = Sheet("Ballots", line("Name", 2), line("Party"), line("Riding", 2), whole("Ballot"))
    for one in ballots:
        sheet.add(one.politician_name or one.politician_slug, one.party, one.riding, one.ballot)
    yield sheet


def _parties(found: Sequence[PartyRecord]) -> Sheet:
    counts = numbers("Yes", "No", "Paired", "Didn't vote")
    sheet = Sheet("Parties", line("Party"), counts, whole("Position"), numbers("Against it"))
    for one in found:
        share = None if one.disagreement is None else f"{one.disagreement:.1%}"
        sheet.add(one.party, one.yes, one.no, one.paired, one.absent, one.position, share)
    return sheet
