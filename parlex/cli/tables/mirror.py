"""How the mirror itself looks to a person: its history, its completeness, what is in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from parlex.cli.tables import layout

if TYPE_CHECKING:
    from parlex.datasets.bills.disagreements import Disagreement, Lag
    from parlex.datasets.replay import Difference
    from parlex.datasets.verify import Completeness, Sample
    from parlex.mirror.history import ChangeRecord
    from parlex.mirror.quarantine import QuarantineRecord


def changes(found: Sequence[ChangeRecord], *, title: str | None = None) -> Table:
    table = layout.widest(layout.table(title))
    table.add_column("Seq", justify="right", no_wrap=True)
    for name in ("When (UTC)", "Key", "What"):
        table.add_column(name, no_wrap=True)
    for name in ("Old", "New"):
        table.add_column(name, ratio=1, overflow="fold")
    for change in found:
        what = change.kind if change.field is None else change.field
        layout.add(table, change.seq, change.observed_at, change.key, what, change.old, change.new)
    return table


def completeness(found: Sequence[Completeness]) -> Table:
    table = layout.table(None)
    for name in ("Scope", "Complete"):
        table.add_column(name, no_wrap=True)
    for name in ("Listed", "Held", "Missing", "Extra", "Stale", "Doubled", "Parked", "Flagged"):
        table.add_column(name, justify="right", no_wrap=True)
    sources = list(found[0].only) if found else []
    for source in sources:
        table.add_column(f"{_NAMES.get(source, source)} only", justify="right")
    table.add_column("Listed on", no_wrap=True)
    for one in found:
        lists = (one.missing, one.extra, one.stale, one.doubled, one.quarantined, one.flagged)
        only = [None if (keys := one.only[source]) is None else len(keys) for source in sources]
        answer = Text("yes", "green") if one.complete else Text("NO", "red")
        cells = [
            layout.cell(value)
            for value in (one.listed, one.held, *map(len, lists), *only, one.swept_at and one.swept_at.date())
        ]
        table.add_row(one.scope, answer, *cells)
    return table


_NAMES = {"legisinfo": "LEGISinfo", "openparliament": "OpenParliament"}


def findings(found: Sequence[Completeness]) -> Table:
    """What the counts of ``completeness`` are made of, one line a finding."""
    table = layout.widest(layout.table("Findings", "Scope", "What"))
    table.add_column("Which", ratio=1, overflow="fold")
    for one in found:
        for what, which in _findings(one):
            layout.add(table, one.scope, what, which)
    return table


def _findings(one: Completeness) -> Iterator[tuple[str, str | None]]:
    if one.swept_at is None:
        yield "never listed", None
    if one.refused_at is not None:
        yield "not believed", f"the list of {layout.cell(one.refused_at)}: {one.refused_reason}"
    if one.torn:
        yield "torn", "the pages of the newest list overlapped: nobody knows who is missing"
    for name in ("missing", "extra", "stale", "doubled", "quarantined", "withdrawn"):
        if keys := getattr(one, name):
            yield name, ", ".join(keys)
    for item in one.flagged:
        yield "flagged", f"{item.key}: {', '.join(map(layout.words, item.flags))}"
    for source, keys in one.only.items():
        if keys:
            yield f"only {_NAMES.get(source, source)}", ", ".join(keys)


def sample(found: Sample, what: str) -> Table:
    """What asking again came to."""
    title = f"{len(found.bills)} {what} asked for again: {len(found.mismatches) or 'no'} differences"
    table = layout.widest(layout.table(title, "Key", "Field"))
    for name in ("Mirror", "Source now"):
        table.add_column(name, ratio=1, overflow="fold")
    for item in found.mismatches:
        layout.add(table, item.key, item.field, item.mirror, item.error or item.source)
    return table


def quarantine(found: Sequence[QuarantineRecord]) -> Table:
    table = layout.widest(layout.table(None))
    table.add_column("Id", justify="right", no_wrap=True)
    for name in ("What", "Kind", "Guard", "Field", "State"):
        table.add_column(name, overflow="fold")
    table.add_column("Reason", ratio=1, overflow="fold")
    table.add_column("Seen", justify="right", no_wrap=True)
    for row in found:
        layout.add(
            table, row.id, row.key or row.scope, row.kind, row.guard, row.field, row.state, row.reason, row.seen_count
        )
    return table


def parked(row: QuarantineRecord) -> Table:
    """One entry of the quarantine in full."""
    table = layout.facts(f"Quarantine {row.id}")
    for field in fields(row):
        if (value := getattr(row, field.name)) is not None and field.name != "id":
            layout.add(table, layout.words(field.name).capitalize(), value)
    return table


def differences(found: Sequence[Difference], *, title: str | None = None) -> Table:
    """Cells of rows, before and after."""
    table = layout.widest(layout.table(title, "Key", "What"))
    for name in ("Row", "Document"):
        table.add_column(name, ratio=1, overflow="fold")
    for item in found:
        layout.add(table, item.key, item.field or item.kind, item.old, item.new)
    return table


def disagreements(found: Sequence[Disagreement]) -> Table:
    table = layout.widest(layout.table(None, "Bill", "Field"))
    for name in ("LEGISinfo", "OpenParliament"):
        table.add_column(name, ratio=1, overflow="fold")
    for item in found:
        layout.add(
            table, f"{item.parliament}-{item.session} {item.number}", item.field, item.legisinfo, item.openparliament
        )
    return table


def lags(found: Sequence[Lag]) -> Table:
    table = layout.table("How long OpenParliament comes after LEGISinfo", "Session")
    for name in ("Bills", "Median", "Longest"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Longest of", no_wrap=True)
    table.add_column("Still waiting", justify="right", no_wrap=True)
    for lag in found:
        spans = (
            None if seconds is None else layout.span(seconds) for seconds in (lag.median_seconds, lag.longest_seconds)
        )
        layout.add(table, lag.session, lag.bills, *spans, lag.longest, len(lag.waiting))
    return table
