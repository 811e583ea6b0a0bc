"""How politicians look to a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from parlex.cli.tables import layout

if TYPE_CHECKING:
    from parlex.datasets.politicians.reads import PoliticianRecord, PoliticianStory

SHOWN = 20  # of a politician's votes; --json gives all


def politicians(found: Sequence[PoliticianRecord]) -> Table:
    table = layout.widest(layout.table(None))
    table.add_column("Slug", ratio=3, overflow="fold")
    table.add_column("Name", ratio=3, overflow="fold")
    table.add_column("Party", ratio=2, no_wrap=True, overflow="ellipsis")
    table.add_column("Riding", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("Prov", no_wrap=True)
    for one in found:
        layout.add(table, one.slug, one.name, one.current_party, one.current_riding, one.province)
    return table


def politician(story: PoliticianStory) -> Iterable[Table]:
    """Everything the mirror holds of one politician, the parts that are empty left out."""
    record = story.politician
    table = layout.facts(f"{record.name}  {record.slug}")
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
            layout.add(table, name, value)
    yield table
    if story.memberships:
        memberships = layout.table("Memberships", "Party", "Riding", "Province", "From", "To")
        for one in story.memberships:
            layout.add(memberships, one.party, one.riding, one.province, one.start_on, one.end_on)
        yield memberships
    if story.bills:
        yield _bills(story)
    if story.votes:
        title = "Votes" if len(story.votes) <= SHOWN else f"Votes (the newest {SHOWN} of {len(story.votes)})"
        cast = layout.table(title, "Session", "Division", "Day", "Bill", "Result", "Ballot")
        for own in story.votes[:SHOWN]:
            layout.add(
                cast, f"{own.parliament}-{own.session}", own.number, own.date, own.bill_number, own.result, own.ballot
            )
        yield cast


def _bills(story: PoliticianStory) -> Table:
    table = layout.widest(layout.table("Bills", "Session", "Number"))
    table.add_column("Title", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("Status", ratio=1, no_wrap=True, overflow="ellipsis")
    for one in story.bills:
        layout.add(table, f"{one.parliament}-{one.session}", one.number, one.title_en, one.status_code)
    return table
