"""How politicians look to a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from parlex.cli.tables.layout import Facts, Sheet, line, numbers, text, whole

if TYPE_CHECKING:
    from parlex.datasets.politicians.reads import PoliticianRecord, PoliticianStory

SHOWN = 20  # of a politician's votes; --json gives all


def politicians(found: Sequence[PoliticianRecord]) -> Sheet:
    sheet = Sheet(None, text("Slug", 3, 15), text("Name", 3, 12), line("Party", 2), line("Riding", 3), whole("Prov"))
    for one in found:
        name = f"withdrawn: {one.name}" if one.withdrawn else one.name
        sheet.add(one.slug, name, one.current_party, one.current_riding, one.province)
    return sheet


def politician(story: PoliticianStory) -> Iterable[Sheet | Facts]:
    """Everything the mirror holds of one politician, the parts that are empty left out."""
    record = story.politician
    facts = Facts(f"{record.name}  {record.slug}" + (" (withdrawn from the list)" if record.withdrawn else ""))
    known = (
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
        ("Last checked", record.last_checked_at),
    )
    for name, value in known:
        if value is not None:
            facts.add(name, value)
    yield facts
    if story.memberships:
        memberships = Sheet("Memberships", line("Party"), line("Riding"), whole("Province", "From", "To"))
        for one in story.memberships:
            memberships.add(one.party, one.riding, one.province, one.start_on, one.end_on)
        yield memberships
    if story.bills:
        yield _bills(story)
    if story.votes:
        title = "Votes" if len(story.votes) <= SHOWN else f"Votes (the newest {SHOWN} of {len(story.votes)})"
        cast = Sheet(title, whole("Session"), numbers("Division"), whole("Day", "Bill", "Result", "Ballot"))
        for own in story.votes[:SHOWN]:
            session = f"{own.parliament}-{own.session}"
            cast.add(session, own.number, own.date, own.bill_number, own.result, own.ballot)
        yield cast


def _bills(story: PoliticianStory) -> Sheet:
    sheet = Sheet("Bills", whole("Session", "Number"), line("Title", 3), line("Status"))
    for one in story.bills:
        sheet.add(f"{one.parliament}-{one.session}", one.number, one.title_en, one.status_code)
    return sheet
