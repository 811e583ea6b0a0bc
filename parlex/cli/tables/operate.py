"""How an operator's findings look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from parlex.answers import counted
from parlex.cli.tables.layout import RUN_ID_SHOWN, STATUS_STYLES, Facts, Sheet, ago, cell, numbers, text, whole

if TYPE_CHECKING:
    from parlex.db.api_keys import KeyRecord
    from parlex.db.models import AlertRow
    from parlex.runs.schedule import EntryRecord
    from parlex.settings import Effective
    from parlex.watch.doctor import Check
    from parlex.watch.monitor import Overview, Report
    from parlex.watch.notify import Waiting


def monitor(overview: Overview) -> list[Facts]:
    """The facts of each dataset that is watched; below the last, what is wrong with any."""
    main = overview.main
    hours = f"{(main.until - main.since).total_seconds() / 3600:g}"
    titles = ["The last hour" if hours == "1" else f"The last {hours} hours", *("" for _ in overview.others)]
    found = [_report(report, title) for report, title in zip(overview.reports, titles, strict=True)]
    for problem in overview.problems:
        found[-1].add("Problem", problem, "red")
    return found


def _report(report: Report, title: str) -> Facts:
    facts = Facts(title)
    facts.add("Dataset", report.dataset)
    by_status = ", ".join(f"{count} {status}" for status, count in report.by_status.items() if count)
    good = report.last_good_run
    facts.add("Runs", f"{report.runs}: {by_status}" if report.runs else "none")
    facts.add("Success rate", f"{report.success_rate:.1%}" if report.success_rate is not None else None)
    mean, p95 = report.mean_duration_seconds, report.p95_duration_seconds
    facts.add("Duration", f"mean {mean:.1f} s, 95th percentile {p95:.1f} s" if mean is not None and p95 else None)
    facts.add("Records", ", ".join(f"{count} {name}" for name, count in report.records.items()))
    facts.add("Spent", f"{counted(report.requests, 'request')}, {counted(report.bytes, 'byte')}")
    facts.add("Current session", report.current_session if report.by_session else None)
    facts.add("Last listed", ago(report.freshness_seconds))
    for line in report.freshness:
        kept = "kept" if line.kept else "broken"
        facts.add("Promised", f"{line.said}: {kept}", "" if line.kept else "red")
    facts.add(
        "Last good run",
        f"{str(good.run_id)[:RUN_ID_SHOWN]} at {cell(good.finished_at)}" if good else None,
    )
    facts.add("Beat seen", ago(report.beat_age_seconds))
    facts.add("Quarantined", report.quarantined)
    return facts


def check(found: Check) -> Text:
    """One line, with what to do below it."""
    line = Text.assemble((f"{found.state:4}", STATUS_STYLES[found.state]), f"  {found.name}: {found.found}")
    if found.advice:
        line.append(f"\n      -> {found.advice}")
    return line


def alerts(found: Sequence[AlertRow]) -> Sheet:
    moments = (text(name, 2, 10) for name in ("Since (UTC)", "Told (UTC)", "Over (UTC)"))
    sheet = Sheet("Alerts", text("Rule", 2), text("What", 5, 20), *moments)
    for row in found:
        sheet.add(row.rule, f"{row.headline}. {row.detail}", row.since, row.told_at, row.closed_at)
    return sheet


def waiting(found: Sequence[Waiting]) -> Sheet:
    columns = (text("To", 2), text("Title", 3), text("Written (UTC)", 2, 10), numbers("Tries"), whole("State"))
    sheet = Sheet("Messages that have not arrived", *columns, text("Error", 3))
    for row in found:
        state = "given up" if row.given_up else "waits"
        sheet.add(row.target, row.title, row.created_at, row.attempt, state, row.error)
    return sheet


def keys(found: Sequence[KeyRecord]) -> Sheet:
    sheet = Sheet(
        "Keys", whole("Id"), text("Name", 3), whole("Role"), *(text(n, 2, 10) for n in ("Made (UTC)", "Revoked (UTC)"))
    )
    for row in found:
        sheet.add(row.id, row.name, row.role, row.made_at, row.revoked_at)
    return sheet


def schedule(found: Sequence[EntryRecord]) -> Sheet:
    moments = (text(name, 2, 10) for name in ("Paused since (UTC)", "Last slot (UTC)", "Next slot (UTC)"))
    sheet = Sheet("The schedule", whole("Entry"), text("Usual", 2), text("Own", 2), *moments)
    for line in found:
        sheet.add(line.name, line.usual, line.own, line.paused_since, line.last_slot, line.next_slot)
    return sheet


def config(found: Sequence[Effective]) -> Sheet:
    sheet = Sheet("The settings in force", whole("Variable"), text("Value", 3, 20), whole("From"))
    for one in found:
        sheet.add(one.variable, one.value if one.value is None else str(one.value), one.origin)
    return sheet
