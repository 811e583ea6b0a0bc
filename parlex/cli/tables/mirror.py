"""How the mirror itself looks to a person: its history, its completeness, what is in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from rich.text import Text

from parlex.answers import counted
from parlex.cli.tables.layout import Facts, Sheet, cell, counts, line, numbers, span, text, whole, words

if TYPE_CHECKING:
    from parlex.datasets.bills.contradictions import Disagreement
    from parlex.datasets.bills.disagreements import Lag
    from parlex.datasets.replay import Difference
    from parlex.datasets.verify import Completeness, Sample
    from parlex.mirror.history import ChangeRecord
    from parlex.mirror.quarantine import QuarantineRecord


def changes(found: Sequence[ChangeRecord], *, title: str | None = None) -> Sheet:
    columns = (text("When (UTC)", 2, 10), text("Key", 2), text("What", 2, 10), text("Old", 3), text("New", 3))
    sheet = Sheet(title, numbers("Seq"), *columns)
    for one in found:
        sheet.add(one.seq, one.observed_at, one.key, one.field or one.kind, one.old, one.new)
    return sheet


_SOURCES = {"legisinfo": "LEGISinfo", "openparliament": "OpenParliament"}


def completeness(found: Sequence[Completeness]) -> Sheet:
    columns = (whole("Scope", "Complete"), numbers("Listed", "Held"), text("Found"), whole("Listed on"))
    sheet = Sheet(None, *columns)
    for one in found:
        answer = "yes" if one.complete else "NO"
        listed_on = one.swept_at.date() if one.swept_at else None
        sheet.add(one.scope, answer, one.listed, one.held, _counts(one), listed_on)
    return sheet


def _counts(one: Completeness) -> str:
    names = ("missing", "extra", "stale", "doubled", "quarantined", "pending", "flagged")
    parts: dict[str, Sequence[object]] = {name: getattr(one, name) for name in names}
    parts |= {f"only in {_SOURCES.get(source, source)}": keys or () for source, keys in one.only.items()}
    return counts(parts)


def findings(found: Sequence[Completeness]) -> Sheet:
    """What the counts of ``completeness`` are made of, one line a finding."""
    sheet = Sheet("Findings", whole("Scope", "What"), text("Which"))
    for one in found:
        for what, which in _findings(one):
            sheet.add(one.scope, what, which)
    return sheet


def _findings(one: Completeness) -> Iterator[tuple[str, str | None]]:
    if one.swept_at is None:
        yield "never listed", None
    if one.refused_at is not None:
        yield "not believed", f"the list of {cell(one.refused_at)}: {one.refused_reason}"
    if one.torn:
        yield "torn", "the pages of the newest list overlapped: nobody knows who is missing"
    for name in ("missing", "extra", "stale", "doubled", "quarantined", "pending", "withdrawn"):
        if keys := getattr(one, name):
            yield name, ", ".join(keys)
    for item in one.flagged:
        yield "flagged", f"{item.key}: {', '.join(map(words, item.flags))}"
    for source, only in one.only.items():
        if only:
            yield f"only {_SOURCES.get(source, source)}", ", ".join(only)


def sample(found: Sample, one: str) -> Sheet | Text:
    """What asking again came to."""
    asked = f"{counted(len(found.bills), one)} asked for again"
    if not found.mismatches:
        return Text(f"{asked}: no difference")
    title = f"{asked}: {counted(len(found.mismatches), 'difference')}"
    sheet = Sheet(title, text("Key"), text("Field"), text("Mirror"), text("Source now"))
    for item in found.mismatches:
        sheet.add(item.key, item.field, item.mirror, item.error or item.source)
    return sheet


def quarantine(found: Sequence[QuarantineRecord], *, title: str | None = None) -> Sheet:
    columns = (
        text("Dataset"),
        text("What"),
        text("Kind"),
        text("Guard"),
        text("Field"),
        whole("State"),
        text("Reason", 3),
    )
    sheet = Sheet(title, numbers("Id"), *columns, numbers("Seen"))
    for row in found:
        what = row.key or row.scope
        told = (row.kind, row.guard, row.field, row.state, row.reason, row.seen_count)
        sheet.add(row.id, row.dataset, what, *told)
    return sheet


def parked(row: QuarantineRecord) -> Facts:
    """One entry of the quarantine in full."""
    facts = Facts(f"Quarantine {row.id}")
    for field in fields(row):
        if (value := getattr(row, field.name)) is not None and field.name != "id":
            facts.add(words(field.name).capitalize(), value)
    return facts


def differences(found: Sequence[Difference]) -> Sheet:
    """Values of rows, before and after."""
    sheet = Sheet(None, text("Key"), text("What"), text("Row", 2), text("Document", 2))
    for item in found:
        sheet.add(item.key, item.field or item.kind, item.old, item.new)
    return sheet


def disagreements(found: Sequence[Disagreement]) -> Sheet:
    sheet = Sheet(None, whole("Bill"), text("Field"), text("LEGISinfo", 2), text("OpenParliament", 2))
    for item in found:
        key = f"{item.parliament}-{item.session} {item.number or ''}".rstrip()
        sheet.add(key, item.field, item.legisinfo, item.openparliament)
    return sheet


def lags(found: Sequence[Lag]) -> Sheet:
    title = "How long OpenParliament comes after LEGISinfo"
    columns = (numbers("Bills", "Median", "Longest"), line("Longest of"), numbers("Still waiting"))
    sheet = Sheet(title, whole("Session"), *columns)
    for lag in found:
        spans = (None if seconds is None else span(seconds) for seconds in (lag.median_seconds, lag.longest_seconds))
        sheet.add(lag.session, lag.bills, *spans, lag.longest, len(lag.waiting))
    return sheet
