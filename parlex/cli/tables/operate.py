"""How an operator's findings look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from parlex.cli.tables import layout

if TYPE_CHECKING:
    from parlex.db.models import AlertRow
    from parlex.watch.doctor import Check
    from parlex.watch.monitor import Report
    from parlex.watch.notify import Waiting


def monitor(report: Report) -> Table:
    hours = f"{(report.until - report.since).total_seconds() / 3600:g}"
    table = layout.facts("The last hour" if hours == "1" else f"The last {hours} hours")
    by_status = ", ".join(f"{count} {status}" for status, count in report.by_status.items() if count)
    good = report.last_good_run
    layout.add(table, "Runs", f"{report.runs}: {by_status}" if report.runs else "none")
    layout.add(table, "Success rate", f"{report.success_rate:.1%}" if report.success_rate is not None else None)
    mean, p95 = report.mean_duration_seconds, report.p95_duration_seconds
    layout.add(
        table, "Duration", f"mean {mean:.1f} s, 95th percentile {p95:.1f} s" if mean is not None and p95 else None
    )
    layout.add(table, "Bills", ", ".join(f"{count} {name}" for name, count in report.records.items()))
    layout.add(table, "Spent", f"{report.requests} requests, {report.bytes:,} bytes")
    layout.add(table, "Current session", report.current_session)
    layout.add(table, "Last listed", layout.ago(report.freshness_seconds))
    layout.add(
        table,
        "Last good run",
        f"{str(good.run_id)[: layout.RUN_ID_SHOWN]} at {layout.cell(good.finished_at)}" if good else None,
    )
    layout.add(table, "Beat seen", layout.ago(report.beat_age_seconds))
    layout.add(table, "Quarantined", report.quarantined)
    for problem in report.problems:
        table.add_row(Text("Problem", "red"), Text(problem))
    return table


def check(found: Check) -> Text:
    """One line, with what to do below it."""
    line = Text.assemble((f"{found.state:4}", layout.STATUS_STYLES[found.state]), f"  {found.name}: {found.found}")
    if found.advice:
        line.append(f"\n      -> {found.advice}")
    return line


def alerts(found: Sequence[AlertRow]) -> Table:
    table = layout.table("Alerts", "Rule", "What", "Since (UTC)", "Told (UTC)", "Over (UTC)")
    for row in found:
        layout.add(table, row.rule, f"{row.headline}. {row.detail}", row.since, row.told_at, row.closed_at)
    return table


def waiting(found: Sequence[Waiting]) -> Table:
    title = "Messages that have not arrived"
    table = layout.table(title, "To", "Title", "Written (UTC)", "Tries", "State", "Error")
    for row in found:
        state = "given up" if row.given_up else "waits"
        layout.add(table, row.target, row.title, row.created_at, row.attempt, state, row.error)
    return table
