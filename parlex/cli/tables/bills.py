"""How bills look to a person."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from rich.text import Text

from parlex.answers import counted
from parlex.cli.tables.layout import Facts, Sheet, cell, line, numbers, text, whole, words

if TYPE_CHECKING:
    from parlex.datasets.bills.events import Event, Link, Publication
    from parlex.datasets.bills.lineage import Lineage
    from parlex.datasets.bills.reads import BillRecord, BillStory, StageRecord
    from parlex.datasets.bills.stages import TimeInStage
    from parlex.datasets.provenance import Origin

_BREAK = "\0"  # of a line; a newline in HTML is only a space
SHA256_SHOWN = 12


def bills(found: Sequence[BillRecord], *, title: str | None = None) -> Sheet:
    """One line a bill."""
    columns = (line("Title", 5), line("Status", 3), whole("Activity"), line("Sponsor", 2))
    sheet = Sheet(title, whole("Session", "Number"), *columns)
    for bill in found:
        status = f"withdrawn: {bill.status_en}" if bill.withdrawn else bill.status_en
        title_en = bill.short_title_en or bill.title_en
        session = f"{bill.parliament}-{bill.session}"
        sheet.add(session, bill.number, title_en, status, bill.latest_activity_on, bill.sponsor_name)
    return sheet


def bill(story: BillStory, inherited: date | None = None) -> Facts:
    """Everything the mirror holds of one bill, but its stages, its history and its summary."""
    record = story.bill
    facts = Facts(f"{record.key}  {record.short_title_en or ''}".rstrip())
    for name, value in _bill_facts(story, inherited):
        if value is not None:
            facts.add(name, value)
    return facts


def _bill_facts(story: BillStory, inherited: date | None) -> Iterable[tuple[str, Any]]:
    record = story.bill
    yield "Title", record.title_en
    yield "Titre", record.title_fr
    yield "Status", record.status_en + (" (withdrawn from the list)" if record.withdrawn else "")
    yield "Type", record.bill_type + (", pro forma" if record.is_pro_forma else "")
    yield "Form", record.form_en if record.form not in ("regular", "pro_forma") else None
    yield "Sponsor", _joined(record.sponsor_name, record.sponsor_title_en, record.sponsor_riding_en)
    yield "At", record.ongoing_stage_en
    yield "Pre-study", (record.pre_study_committee or "in the Senate") if record.is_in_pre_study else None
    yield "Last event", _joined(record.last_event_on, record.last_event_en)
    yield "Introduced", record.introduced_on
    yield "Introduced, inherited", inherited
    yield (
        "House readings",
        _days(record.house_first_reading_on, record.house_second_reading_on, record.house_third_reading_on),
    )
    yield (
        "Senate readings",
        _days(record.senate_first_reading_on, record.senate_second_reading_on, record.senate_third_reading_on),
    )
    yield "Royal assent", record.royal_assent_on
    yield "Statute", f"{record.statute_year}, c. {record.statute_chapter}" if record.statute_chapter else None
    yield "Reinstated from", record.reinstated_from
    yield "Reinstated as", record.reinstated_as
    yield "Text", story.text_url
    yield "Similar bills", ", ".join(one.similar_key for one in story.similar) or None
    yield "Flags", ", ".join(story.flags) or None
    yield "First seen", record.first_seen_at
    yield "Last changed", record.last_changed_at
    yield "Last checked", record.last_checked_at


def _joined(*told: str | date | None) -> str | None:
    return ", ".join(str(word) for word in told if word) or None


def events(found: Sequence[Event], most: int | None) -> Sheet:
    """What happened, the newest last; with ``most`` only so many of the newest."""
    shown = found if most is None else found[-most:]
    title = "What happened" + ("" if len(shown) == len(found) else f", the last {len(shown)} of {len(found)} (--whole)")
    sheet = Sheet(title, whole("Day", "Chamber"), text("What", 3), text("Sitting"), text("How"))
    for one in shown:
        meeting = f"Meeting {one.meeting_number} of {one.committee}" if one.meeting_number else None
        division = f"division {one.division_number}" if one.division_number else None
        report = f"report {one.report_number} of {one.committee}" if one.report_number else None
        how = _joined(one.result_en, one.method_en, division, report)
        sheet.add(one.day, one.chamber, _joined(meeting or one.name_en, one.note_en), one.sitting_number, how)
    return sheet


def publications(found: Sequence[Publication]) -> Sheet:
    sheet = Sheet("Printed versions", text("Version"), line("Read it", 2), line("PDF", 3))
    for one in found:
        sheet.add(one.name_en or one.version, one.viewer_url, one.pdf_url)
    return sheet


def links(found: Sequence[Link]) -> Sheet:
    sheet = Sheet("Links", text("Kind"), text("Title", 3), text("Address", 3))
    for one in found:
        sheet.add(one.kind, one.title_en, one.url_en)
    return sheet


def _days(first: date | None, second: date | None, third: date | None) -> str | None:
    if first is None and second is None and third is None:
        return None
    return f"1st {cell(first)}   2nd {cell(second)}   3rd {cell(third)}"


def summary(html: str) -> Text:
    """A summary as a person reads it: the source writes it in HTML, over a hundred lines for a large bill."""
    return Text.assemble(("Summary\n", "bold"), _Plain.of(html))


class _Plain(HTMLParser):
    """The text of some HTML. Line breaks are where a browser begins a line; tags go, entities become characters."""

    _BEFORE = frozenset({"br", "li"})
    _AFTER = frozenset({"p", "div", "ul", "ol"})

    @classmethod
    def of(cls, html: str) -> str:
        parser = cls()
        parser.feed(html)
        parser.close()  # what stands after the last tag
        lines = (" ".join(line.split()) for line in "".join(parser._parts).split(_BREAK))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in self._BEFORE:
            self._parts.append(_BREAK)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._AFTER:
            self._parts.append(_BREAK)

    def handle_data(self, data: str) -> None:
        self._parts.append(data.replace(_BREAK, " "))


def stages(found: Sequence[StageRecord]) -> Sheet:
    columns = (text("Stage"), text("State"), whole("Completed"), text("Committee"))
    sheet = Sheet("Stages", whole("Chamber"), *columns, numbers("Sittings"))
    for one in found:
        stage, state = words(one.stage), words(one.state)
        sheet.add(one.chamber, stage, state, one.completed_on, one.committee, one.sittings)
    return sheet


def times(found: Sequence[TimeInStage]) -> Sheet:
    """The days that a bill stood after each of its milestones."""
    sheet = Sheet("Time in each stage", text("After"), whole("Since"), text("Until"), numbers("Days"))
    for span in found:
        until = span.until or ("now" if span.days is not None else "its session's end")
        sheet.add(words(span.after), span.since, until, span.days)
    return sheet


def provenance(found: Sequence[Origin]) -> Sheet:
    """Where each field has its value; the stages, and what else is a list, by their number."""
    moments = (text(name, 1, 10) for name in ("Fetched at (UTC)", "Since (UTC)"))
    sheet = Sheet(
        "Provenance", text("Field", 2, 14), line("Value", 3), text("Source", 1, 9), whole("Document"), *moments
    )
    for origin in found:
        one = {"similar": "bill"}.get(origin.field, origin.field.removesuffix("s"))
        value = counted(len(origin.value), one) if isinstance(origin.value, list) else origin.value
        source = origin.source + (" (stands in)" if origin.stands_in else "") + (" (kept)" if origin.withheld else "")
        document = origin.document[:SHA256_SHOWN] if origin.document else None
        sheet.add(origin.field, value, source, document, origin.fetched_at, origin.since)
    return sheet


def lineage(found: Lineage) -> Iterable[Sheet]:
    """The line of a bill over its sessions, then its days."""
    title = "Lineage" + (f": {counted(found.days, 'day')}, {found.first_on} to {found.last_on}" if found.days else "")
    lives = Sheet(title, whole("Bill"), whole("Introduced"), text("Status"), line("Title", 2))
    for life in found.line:
        mark = " (this one)" if life.relation == "self" else ""
        lives.add(life.key + mark, life.introduced_on, life.status_en or "not held", life.title_en)
    yield lives
    days = Sheet("Its days", whole("Day", "Bill"), text("What"))
    for event in found.timeline:
        days.add(event.day, event.key, words(event.what.removesuffix("_on")))
    yield days
