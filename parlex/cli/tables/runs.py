"""How runs look to a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from parlex.cli.tables import layout, mirror

if TYPE_CHECKING:
    from parlex.runs.reads import RunRecord, RunStory, SweepRecord

CHANGES_SHOWN = 30  # of a run; a backfill makes thousands


def runs(found: Sequence[RunRecord], *, title: str | None = None) -> Table:
    table = layout.table(title)
    table.padding = (0, 0, 0, 0)  # twelve columns are to fit into 80 characters
    table.add_column("Run", no_wrap=True)
    table.add_column("Job", min_width=7)
    table.add_column("Started (UTC)", min_width=10)
    table.add_column("Status", no_wrap=True)
    for name in ("Sec", "Bills", "New", "Upd", "Same", "Fail", "Defer", "Req"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in found:
        figures = (run.bills_fetched, run.created, run.updated, run.unchanged, run.failed, run.deferred, run.requests)
        job = layout.words(run.job.removeprefix("fetch_")) + (" (tick)" if run.entry else "")
        started = layout.cell(run.started_at)[: len("2026-11-22 22:56")]
        layout.add(
            table, str(run.run_id)[: layout.RUN_ID_SHOWN], job, started, run.status, run.duration_seconds, *figures
        )
    return table


def run(story: RunStory) -> Iterable[Table]:
    """A run's whole story, the parts that are empty left out."""
    record = story.run
    table = layout.facts(f"Run {record.run_id}")
    layout.add(table, "Job", f"{record.job} {layout.pairs(story.params)}".strip())
    layout.add(table, "Schedule", _schedule(story))
    layout.add(table, "Session", story.scope)
    layout.add(table, "Source", record.source)
    layout.add(table, "Status", record.status)
    layout.add(table, "Started", record.started_at)
    layout.add(table, "Finished", record.finished_at)
    layout.add(table, "Seconds", record.duration_seconds)
    layout.add(table, "Listed", f"{story.listed}, of which {story.not_due} not due and {record.deferred} deferred")
    layout.add(
        table,
        "Fetched",
        f"{record.bills_fetched}: {record.created} created, {record.updated} updated, "
        f"{record.unchanged} unchanged, {record.failed} failed",
    )
    layout.add(table, "Spent", f"{record.requests} requests, {record.bytes:,} bytes")
    yield table
    yield from _run_parts(story)


def _schedule(story: RunStory) -> str:
    if not story.run.entry:
        return "by hand"
    missed = f", catching up on {story.missed_slots} missed before it" if story.missed_slots else ""
    return f"{story.run.entry}, slot {layout.cell(story.run.slot)}{missed}"


def _run_parts(story: RunStory) -> Iterable[Table]:
    if story.run.errors:
        errors = layout.table(f"Errors ({story.run.error_count})", "First ones")
        for error in story.run.errors:
            layout.add(errors, error)
        yield errors
    if story.keys:
        keys = layout.widest(layout.table("Keys", "Key", "State", "Outcome"))
        keys.add_column("Retries", justify="right")
        keys.add_column("Error", ratio=1, overflow="fold")
        for key in story.keys:
            layout.add(keys, key.key, key.state, key.outcome, key.attempt, key.error)
        yield keys
    if story.sweeps:
        yield sweeps(story.sweeps)
    if story.quarantine:
        held = layout.widest(layout.table("Quarantine", "Id", "What", "Guard", "Field", "State"))
        held.add_column("Reason", ratio=1, overflow="fold")
        for row in story.quarantine:
            layout.add(held, row.id, row.key or row.scope, row.guard, row.field, row.state, row.reason)
        yield held
    if story.changes:
        shown = story.changes[:CHANGES_SHOWN]
        whole = "" if len(shown) == len(story.changes) else f"; all of them: parlex runs show {story.run.run_id} --json"
        yield mirror.changes(shown, title=f"Changes ({len(shown)} of {len(story.changes)}{whole})")
    timeline = layout.table("Timeline", "When (UTC)", "What")
    for event in story.timeline:
        layout.add(timeline, event.at, event.event)
    yield timeline


def sweeps(found: Sequence[SweepRecord], *, title: str = "Lists") -> Table:
    table = layout.table(title, "Session", "Source", "Listed at (UTC)", "Believed")
    for name in ("Listed", "Held", "Missing", "Extra", "Doubled", "Quarantined"):
        table.add_column(name, justify="right", no_wrap=True)
    for sweep in found:
        lists = (sweep.missing, sweep.extra, sweep.doubled, sweep.quarantined)
        believed = "yes" if sweep.believed else f"no: {sweep.reason}"
        layout.add(
            table, sweep.scope, sweep.source, sweep.swept_at, believed, sweep.listed, sweep.held, *map(len, lists)
        )
    return table


def figures(found: Mapping[str, Mapping[str, Any]]) -> Table:
    """The figures of runs, each under what was asked for."""
    table = layout.table(None, "Asked for", "Status")
    for name in ("Fetched", "Created", "Updated", "Same", "Failed", "Deferred", "Errors", "Seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("Run", no_wrap=True)
    keys = ("bills_fetched", "created", "updated", "unchanged", "failed", "deferred", "error_count", "duration_seconds")
    for asked, one in found.items():
        layout.add(table, asked, one["status"], *(one[key] for key in keys), str(one["run_id"])[: layout.RUN_ID_SHOWN])
    return table
