"""How the answers of ``parlex`` look to a person: tables that fit a terminal and are readable without colour."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from parlex.datasets.bills.disagreements import Disagreement, Lag
    from parlex.datasets.bills.lineage import Lineage
    from parlex.datasets.bills.past import Origin
    from parlex.datasets.bills.reads import BillRecord, BillStory, StageRecord
    from parlex.datasets.bills.stages import TimeInStage
    from parlex.datasets.replay import Difference
    from parlex.datasets.verify import Completeness, Sample
    from parlex.mirror.history import ChangeRecord
    from parlex.mirror.quarantine import QuarantineRecord
    from parlex.runs.reads import RunRecord, RunStory, SweepRecord
    from parlex.watch.doctor import Check
    from parlex.watch.monitor import Report

_BREAK = "\0"  # of a line; a newline in HTML is only a space
PIPE_WIDTH = 120  # where the output is no terminal
UNKNOWN = "-"
STATUS_STYLES = {
    "success": "green",
    "partial": "yellow",
    "failure": "red",
    "abandoned": "red",
    "running": "cyan",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}
SHA256_SHOWN = 12
CHANGES_SHOWN = 30  # of a run; a backfill makes thousands
RUN_ID_SHOWN = 8  # characters; enough to name a run to ``parlex runs show``


def console() -> Console:
    """Standard output. Titles are data: nothing in them is taken for markup."""
    width = None if sys.stdout.isatty() else shutil.get_terminal_size((PIPE_WIDTH, 24)).columns
    return Console(width=width, markup=False, highlight=False, emoji=False)


def bills(found: Sequence[BillRecord], *, title: str | None = None) -> Table:
    """One line a bill; the session's column only where there are several."""
    several = len({(bill.parliament, bill.session) for bill in found}) > 1
    table = _widest(_table(title))
    for name in (*(["Session"] if several else []), "Number"):
        table.add_column(name, no_wrap=True)
    table.add_column("Title", ratio=5, no_wrap=True, overflow="ellipsis")
    table.add_column("Status", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("Activity", no_wrap=True)
    table.add_column("Sponsor", ratio=2, no_wrap=True, overflow="ellipsis")
    for bill in found:
        session = [f"{bill.parliament}-{bill.session}"] if several else []
        status = f"withdrawn: {bill.status_en}" if bill.withdrawn else bill.status_en
        title_en = bill.short_title_en or bill.title_en
        _add(table, *session, bill.number, title_en, status, bill.latest_activity_on, bill.sponsor_name)
    return table


def bill(story: BillStory, inherited: date | None = None) -> Table:
    """Everything the mirror holds of one bill, but its stages, its history and its summary."""
    record = story.bill
    table = _facts(f"{record.key}  {record.short_title_en or ''}".rstrip())
    for name, value in _bill_facts(story, inherited):
        if value is not None:
            _add(table, name, value)
    return table


def _bill_facts(story: BillStory, inherited: date | None) -> Iterable[tuple[str, Any]]:
    record = story.bill
    yield "Title", record.title_en
    yield "Titre", record.title_fr
    yield "Status", record.status_en + (" (withdrawn from the list)" if record.withdrawn else "")
    yield "Type", record.bill_type + (", pro forma" if record.is_pro_forma else "")
    yield "Sponsor", record.sponsor_name
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
    yield "Flags", ", ".join(story.flags) or None
    yield "First seen", record.first_seen_at
    yield "Last changed", record.last_changed_at
    yield "Last checked", record.last_checked_at


def _days(first: date | None, second: date | None, third: date | None) -> str | None:
    if first is None and second is None and third is None:
        return None
    return f"1st {_cell(first)}   2nd {_cell(second)}   3rd {_cell(third)}"


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


def stages(found: Sequence[StageRecord]) -> Table:
    table = _table("Stages", "Chamber", "Stage", "State", "Completed", "Committee")
    table.add_column("Sittings", justify="right")
    for stage in found:
        completed, committee = stage.completed_on, stage.committee
        _add(table, stage.chamber, _words(stage.stage), _words(stage.state), completed, committee, stage.sittings)
    return table


def changes(found: Sequence[ChangeRecord], *, title: str | None = None) -> Table:
    table = _widest(_table(title))
    table.add_column("Seq", justify="right", no_wrap=True)
    for name in ("When (UTC)", "Bill", "What"):
        table.add_column(name, no_wrap=True)
    for name in ("Old", "New"):
        table.add_column(name, ratio=1, overflow="fold")
    for change in found:
        key = f"{change.parliament}-{change.session} {change.number}"
        what = change.kind if change.field is None else change.field
        _add(table, change.seq, change.observed_at, key, what, change.old, change.new)
    return table


def times(found: Sequence[TimeInStage]) -> Table:
    """The days that a bill stood after each of its milestones."""
    table = _table("Time in each stage", "After", "Since", "Until")
    table.add_column("Days", justify="right")
    for span in found:
        until = span.until or ("now" if span.days is not None else "its session's end")
        _add(table, _words(span.after), span.since, until, span.days)
    return table


def provenance(found: Sequence[Origin]) -> Table:
    """Where each field has its value; the stages by their number, the texts cut."""
    table = _widest(_table("Provenance", "Field"))
    table.add_column("Value", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in ("Source", "Document", "Fetched at (UTC)", "Since (UTC)"):
        table.add_column(name, no_wrap=True)
    for origin in found:
        value = f"{len(origin.value)} stages" if isinstance(origin.value, list) else origin.value
        source = origin.source + (" (stands in)" if origin.stands_in else "") + (" (kept)" if origin.withheld else "")
        document = origin.document[:SHA256_SHOWN] if origin.document else None
        _add(table, origin.field, value, source, document, origin.fetched_at, origin.since)
    return table


def lineage(found: Lineage) -> Iterable[Table]:
    """The line of a bill over its sessions, then its days."""
    title = "Lineage" + (f": {found.days} days, {found.first_on} to {found.last_on}" if found.days else "")
    line = _widest(_table(title, "Bill", "Introduced"))
    line.add_column("Status", ratio=1, overflow="fold")
    line.add_column("Title", ratio=2, no_wrap=True, overflow="ellipsis")
    for life in found.line:
        mark = " (this one)" if life.relation == "self" else ""
        _add(line, life.key + mark, life.introduced_on, life.status_en or "not held", life.title_en)
    yield line
    days = _table("Its days", "Day", "Bill", "What")
    for event in found.timeline:
        _add(days, event.day, event.key, _words(event.what.removesuffix("_on")))
    yield days


def completeness(found: Sequence[Completeness]) -> Table:
    table = _table(None)
    for name in ("Session", "Complete"):
        table.add_column(name, no_wrap=True)
    for name in ("Listed", "Held", "Missing", "Extra", "Stale", "Doubled", "Parked", "Flagged"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("LEGIS only", "OpenP only"):
        table.add_column(name, justify="right")
    table.add_column("Listed on", no_wrap=True)
    for one in found:
        lists = (one.missing, one.extra, one.stale, one.doubled, one.quarantined, one.flagged)
        only = (None if keys is None else len(keys) for keys in (one.legisinfo_only, one.openparliament_only))
        answer = Text("yes", "green") if one.complete else Text("NO", "red")
        cells = [
            _cell(value)
            for value in (one.listed, one.held, *map(len, lists), *only, one.swept_at and one.swept_at.date())
        ]
        table.add_row(one.session, answer, *cells)
    return table


def findings(found: Sequence[Completeness]) -> Table:
    """What the counts of ``completeness`` are made of, one line a finding."""
    table = _widest(_table("Findings", "Session", "What"))
    table.add_column("Which", ratio=1, overflow="fold")
    for one in found:
        if one.swept_at is None:
            _add(table, one.session, "never listed", None)
        if one.refused_at is not None:
            _add(table, one.session, "not believed", f"the list of {_cell(one.refused_at)}: {one.refused_reason}")
        for name in ("missing", "extra", "stale", "doubled", "quarantined", "withdrawn"):
            if keys := getattr(one, name):
                _add(table, one.session, name, ", ".join(keys))
        for bill in one.flagged:
            _add(table, one.session, "flagged", f"{bill.key}: {', '.join(map(_words, bill.flags))}")
        for name, keys in (("LEGISinfo", one.legisinfo_only), ("OpenParliament", one.openparliament_only)):
            if keys:
                _add(table, one.session, f"only {name}", ", ".join(keys))
    return table


def sample(found: Sample) -> Table:
    """What asking again came to."""
    title = f"{len(found.bills)} bills asked for again: {len(found.mismatches) or 'no'} differences"
    table = _widest(_table(title, "Bill", "Field"))
    for name in ("Mirror", "Source now"):
        table.add_column(name, ratio=1, overflow="fold")
    for item in found.mismatches:
        _add(table, item.key, item.field, item.mirror, item.error or item.source)
    return table


def quarantine(found: Sequence[QuarantineRecord]) -> Table:
    table = _widest(_table(None))
    table.add_column("Id", justify="right", no_wrap=True)
    for name in ("What", "Kind", "Guard", "Field", "State"):
        table.add_column(name, overflow="fold")
    table.add_column("Reason", ratio=1, overflow="fold")
    table.add_column("Seen", justify="right", no_wrap=True)
    for row in found:
        _add(table, row.id, row.key or row.scope, row.kind, row.guard, row.field, row.state, row.reason, row.seen_count)
    return table


def parked(row: QuarantineRecord) -> Table:
    """One entry of the quarantine in full."""
    table = _facts(f"Quarantine {row.id}")
    for field in fields(row):
        if (value := getattr(row, field.name)) is not None and field.name != "id":
            _add(table, _words(field.name).capitalize(), value)
    return table


def differences(found: Sequence[Difference], *, title: str | None = None) -> Table:
    """Cells of rows, before and after."""
    table = _widest(_table(title, "Bill", "What"))
    for name in ("Row", "Document"):
        table.add_column(name, ratio=1, overflow="fold")
    for item in found:
        _add(table, item.key, item.field or item.kind, item.old, item.new)
    return table


def disagreements(found: Sequence[Disagreement]) -> Table:
    table = _widest(_table(None, "Bill", "Field"))
    for name in ("LEGISinfo", "OpenParliament"):
        table.add_column(name, ratio=1, overflow="fold")
    for item in found:
        _add(table, f"{item.parliament}-{item.session} {item.number}", item.field, item.legisinfo, item.openparliament)
    return table


def lags(found: Sequence[Lag]) -> Table:
    table = _table("How long OpenParliament comes after LEGISinfo", "Session")
    for name in ("Bills", "Median", "Longest"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Longest of", no_wrap=True)
    table.add_column("Still waiting", justify="right", no_wrap=True)
    for lag in found:
        spans = (None if seconds is None else _span(seconds) for seconds in (lag.median_seconds, lag.longest_seconds))
        _add(table, lag.session, lag.bills, *spans, lag.longest, len(lag.waiting))
    return table


def runs(found: Sequence[RunRecord], *, title: str | None = None) -> Table:
    table = _table(title)
    table.padding = (0, 0, 0, 0)  # twelve columns are to fit into 80 characters
    table.add_column("Run", no_wrap=True)
    table.add_column("Job", min_width=7)
    table.add_column("Started (UTC)", min_width=10)
    table.add_column("Status", no_wrap=True)
    for name in ("Sec", "Bills", "New", "Upd", "Same", "Fail", "Defer", "Req"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in found:
        figures = (run.bills_fetched, run.created, run.updated, run.unchanged, run.failed, run.deferred, run.requests)
        job = _words(run.job.removeprefix("fetch_")) + (" (tick)" if run.entry else "")
        started = _cell(run.started_at)[: len("2026-11-22 22:56")]
        _add(table, str(run.run_id)[:RUN_ID_SHOWN], job, started, run.status, run.duration_seconds, *figures)
    return table


def run(story: RunStory) -> Iterable[Table]:
    """A run's whole story, the parts that are empty left out."""
    record = story.run
    table = _facts(f"Run {record.run_id}")
    _add(table, "Job", f"{record.job} {_pairs(story.params)}".strip())
    _add(table, "Schedule", _schedule(story))
    _add(table, "Session", story.scope)
    _add(table, "Source", record.source)
    _add(table, "Status", record.status)
    _add(table, "Started", record.started_at)
    _add(table, "Finished", record.finished_at)
    _add(table, "Seconds", record.duration_seconds)
    _add(table, "Listed", f"{story.listed}, of which {story.not_due} not due and {record.deferred} deferred")
    _add(
        table,
        "Fetched",
        f"{record.bills_fetched}: {record.created} created, {record.updated} updated, "
        f"{record.unchanged} unchanged, {record.failed} failed",
    )
    _add(table, "Spent", f"{record.requests} requests, {record.bytes:,} bytes")
    yield table
    yield from _run_parts(story)


def _schedule(story: RunStory) -> str:
    if not story.run.entry:
        return "by hand"
    missed = f", catching up on {story.missed_slots} missed before it" if story.missed_slots else ""
    return f"{story.run.entry}, slot {_cell(story.run.slot)}{missed}"


def _run_parts(story: RunStory) -> Iterable[Table]:
    if story.run.errors:
        errors = _table(f"Errors ({story.run.error_count})", "First ones")
        for error in story.run.errors:
            _add(errors, error)
        yield errors
    if story.keys:
        keys = _widest(_table("Keys", "Key", "State", "Outcome"))
        keys.add_column("Retries", justify="right")
        keys.add_column("Error", ratio=1, overflow="fold")
        for key in story.keys:
            _add(keys, key.key, key.state, key.outcome, key.attempt, key.error)
        yield keys
    if story.sweeps:
        yield sweeps(story.sweeps)
    if story.quarantine:
        held = _widest(_table("Quarantine", "Id", "What", "Guard", "Field", "State"))
        held.add_column("Reason", ratio=1, overflow="fold")
        for row in story.quarantine:
            _add(held, row.id, row.key or row.scope, row.guard, row.field, row.state, row.reason)
        yield held
    if story.changes:
        shown = story.changes[:CHANGES_SHOWN]
        whole = "" if len(shown) == len(story.changes) else f"; all of them: parlex runs show {story.run.run_id} --json"
        yield changes(shown, title=f"Changes ({len(shown)} of {len(story.changes)}{whole})")
    timeline = _table("Timeline", "When (UTC)", "What")
    for event in story.timeline:
        _add(timeline, event.at, event.event)
    yield timeline


def sweeps(found: Sequence[SweepRecord], *, title: str = "Lists") -> Table:
    table = _table(title, "Session", "Source", "Listed at (UTC)", "Believed")
    for name in ("Listed", "Held", "Missing", "Extra", "Doubled", "Quarantined"):
        table.add_column(name, justify="right", no_wrap=True)
    for sweep in found:
        lists = (sweep.missing, sweep.extra, sweep.doubled, sweep.quarantined)
        believed = "yes" if sweep.believed else f"no: {sweep.reason}"
        _add(table, sweep.scope, sweep.source, sweep.swept_at, believed, sweep.listed, sweep.held, *map(len, lists))
    return table


def figures(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The figures of runs, each under what was asked for."""
    table = _table(None, "Asked for", "Status")
    for name in ("Fetched", "Created", "Updated", "Same", "Failed", "Deferred", "Errors", "Seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Run", no_wrap=True)
    keys = ("bills_fetched", "created", "updated", "unchanged", "failed", "deferred", "error_count", "duration_seconds")
    for asked, one in found.items():
        _add(table, asked, one["status"], *(one[key] for key in keys), str(one["run_id"])[:RUN_ID_SHOWN])
    return table


def monitor(report: Report) -> Table:
    hours = f"{(report.until - report.since).total_seconds() / 3600:g}"
    table = _facts("The last hour" if hours == "1" else f"The last {hours} hours")
    by_status = ", ".join(f"{count} {status}" for status, count in report.by_status.items() if count)
    good = report.last_good_run
    _add(table, "Runs", f"{report.runs}: {by_status}" if report.runs else "none")
    _add(table, "Success rate", f"{report.success_rate:.1%}" if report.success_rate is not None else None)
    mean, p95 = report.mean_duration_seconds, report.p95_duration_seconds
    _add(table, "Duration", f"mean {mean:.1f} s, 95th percentile {p95:.1f} s" if mean is not None and p95 else None)
    _add(table, "Bills", ", ".join(f"{count} {name}" for name, count in report.records.items()))
    _add(table, "Spent", f"{report.requests} requests, {report.bytes:,} bytes")
    _add(table, "Current session", report.current_session)
    _add(table, "Last listed", _ago(report.freshness_seconds))
    _add(table, "Last good run", f"{str(good.run_id)[:RUN_ID_SHOWN]} at {_cell(good.finished_at)}" if good else None)
    _add(table, "Beat seen", _ago(report.beat_age_seconds))
    _add(table, "Quarantined", report.quarantined)
    for problem in report.problems:
        table.add_row(Text("Problem", "red"), Text(problem))
    return table


def check(found: Check) -> Text:
    """One line, with what to do below it."""
    line = Text.assemble((f"{found.state:4}", STATUS_STYLES[found.state]), f"  {found.name}: {found.found}")
    if found.advice:
        line.append(f"\n      -> {found.advice}")
    return line


def progress() -> Progress:
    """Bars with done, left, rate and time left, on standard error; nothing where that is no terminal."""
    errors = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _Count(),
        console=errors,
        disable=not errors.is_terminal,
    )


class _Count(ProgressColumn):
    """``120 done  321 left  16.2/s  20 s to go``."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("asking for the list")
        done, left = int(task.completed), int(task.total - task.completed)
        rate = task.completed / task.elapsed if task.elapsed else 0.0
        ahead = f"  {rate:.1f}/s  {_span(left / rate)} to go" if rate and left else ""
        return Text(f"{done} done  {left} left{ahead}")


def _table(title: str | None, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _widest(table: Table) -> Table:
    """A table whose columns with a ratio share what the others leave of the terminal's width."""
    table.expand = True
    return table


def _facts(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    return table


def _add(table: Table, *values: Any) -> None:
    cells = [_cell(value) for value in values]
    table.add_row(*(Text(cell, STATUS_STYLES.get(cell, "")) for cell in cells))


def _cell(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, dict):
        return _pairs(value)
    return str(value)


def _pairs(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={_cell(value)}" for name, value in values.items() if value is not None)


def _words(code: str) -> str:
    return code.replace("_", " ")


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
