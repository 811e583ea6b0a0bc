"""How runs look to a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parlex.answers import counted
from parlex.cli.tables import mirror
from parlex.cli.tables.layout import RUN_ID_SHOWN, Facts, Sheet, cell, counts, numbers, pairs, span, text, whole, words

if TYPE_CHECKING:
    from uuid import UUID

    from parlex.runs.preview import Preview
    from parlex.runs.reads import RunRecord, RunStory, Standing, SweepRecord

CHANGES_SHOWN = 30  # of a run; a backfill makes thousands


def runs(
    found: Sequence[RunRecord], standings: Mapping[UUID, Standing] | None = None, *, title: str | None = None
) -> Sheet:
    names = ("Sec", "Keys", "New", "Upd", "Same", "Fail", "Defer", "Req")
    columns = (whole("Run"), text("Job", 1, 7), text("Started (UTC)", 1, 10), whole("Status"))
    sheet = Sheet(title, *columns, numbers(*names))
    for run in found:
        figures = (run.bills_fetched, run.created, run.updated, run.unchanged, run.failed, run.deferred, run.requests)
        job = words(run.job.removeprefix("fetch_")) + (" (tick)" if run.entry else "")
        started = cell(run.started_at)[: len("2026-11-22 22:56")]
        status = _status(run.status, (standings or {}).get(run.run_id))
        sheet.add(_short(run.run_id), job, started, status, run.duration_seconds, *figures)
    return sheet


def _short(run_id: UUID | str) -> str:
    return str(run_id)[:RUN_ID_SHOWN]


def _status(status: str, standing: Standing | None) -> str:
    """Of a run under way whether it is paused, and else how long it will take, where that is known."""
    if standing is None or status != "running":
        return status
    if standing.paused_at is not None:
        return "paused"
    return status if standing.eta_seconds is None else f"{span(standing.eta_seconds)} left"


def run(story: RunStory) -> Iterable[Sheet | Facts]:
    """A run's whole story, the parts that are empty left out."""
    record, short = story.run, _short(story.run.run_id)
    facts = Facts(f"Run {record.run_id}")
    facts.add("Job", f"{record.job} {pairs(story.params)}".strip())
    facts.add("Schedule", _schedule(story))
    facts.add("Session", story.scope)
    facts.add("Source", record.source)
    facts.add("Status", record.status)
    if story.standing.paused_at is not None:
        facts.add("Paused", f"since {cell(story.standing.paused_at)}; to go on: parlex runs resume {short}")
    if story.standing.eta_seconds is not None:
        facts.add("To go", span(story.standing.eta_seconds))
    facts.add("Started", record.started_at)
    facts.add("Finished", record.finished_at)
    facts.add("Seconds", record.duration_seconds)
    facts.add("Listed", f"{story.listed}, of which {story.not_due} not due and {record.deferred} deferred")
    counts = f"{record.created} created, {record.updated} updated, {record.unchanged} unchanged, {record.failed} failed"
    facts.add("Fetched", f"{record.bills_fetched}: {counts}")
    if story.unreached:
        facts.add("Not reached", f"{story.unreached}; to fetch them: parlex runs retry {short}")
    facts.add("Spent", f"{counted(record.requests, 'request')}, {counted(record.bytes, 'byte')}")
    yield facts
    yield from _parts(story)


def _schedule(story: RunStory) -> str:
    if not story.run.entry:
        return "by hand"
    missed = f", catching up on {story.missed_slots} missed before it" if story.missed_slots else ""
    return f"{story.run.entry}, slot {cell(story.run.slot)}{missed}"


def _parts(story: RunStory) -> Iterable[Sheet]:
    if story.run.errors:
        errors = Sheet(f"Errors ({story.run.error_count})", text("First ones"))
        for error in story.run.errors:
            errors.add(error)
        yield errors
    if story.keys:
        keys = Sheet("Keys", text("Key"), whole("State", "Outcome"), numbers("Retries"), text("Error", 3))
        for key in story.keys:
            keys.add(key.key, key.state, key.outcome, key.attempt, key.error)
        yield keys
    if story.sweeps:
        yield sweeps(story.sweeps)
    if story.quarantine:
        yield mirror.quarantine(story.quarantine, title="Quarantine")
    if story.changes:
        shown = story.changes[:CHANGES_SHOWN]
        told_whole = f"; all of them: parlex runs show {_short(story.run.run_id)} --json"
        more = "" if len(shown) == len(story.changes) else told_whole
        yield mirror.changes(shown, title=f"Changes ({len(shown)} of {len(story.changes)}{more})")
    timeline = Sheet("Timeline", whole("When (UTC)"), text("What"))
    for event in story.timeline:
        timeline.add(event.at, event.event)
    yield timeline


def sweeps(found: Sequence[SweepRecord], *, title: str = "Lists") -> Sheet:
    columns = (whole("Scope", "Source"), text("Listed at (UTC)", 1, 10), text("Believed", 2), numbers("Listed", "Held"))
    sheet = Sheet(title, *columns, text("Found"))
    for sweep in found:
        parts = {name: getattr(sweep, name) for name in ("missing", "extra", "doubled", "quarantined")}
        believed = "yes" if sweep.believed else f"no: {sweep.reason}"
        told = None if sweep.held is None else counts(parts)
        sheet.add(sweep.scope, sweep.source, sweep.swept_at, believed, sweep.listed, sweep.held, told)
    return sheet


def previews(found: Sequence[Preview]) -> Sheet:
    """What each run would come to, and all of them together."""
    sheet = Sheet(None, text("Asked for"), numbers("Listed", "Due", "Requests", "Bytes", "Hours"))
    for one in found:
        sheet.add(one.scope or one.dataset, one.listed, one.due, one.requests, _known(one.bytes), _known(one.hours))
    if len(found) > 1:
        listed, due, requests = (sum(getattr(one, name) for one in found) for name in ("listed", "due", "requests"))
        sheet.add("together", listed, due, requests, _sum(one.bytes for one in found), _sum(one.hours for one in found))
    return sheet


def _known(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def _sum(values: Iterable[float | None]) -> str:
    """Of runs one after the other; unknown as soon as one of them is."""
    known = list(values)
    return _known(None if None in known else sum(one for one in known if one is not None))


def figures(found: Mapping[str, Mapping[str, Any]]) -> Sheet:
    """The figures of runs, each under what was asked for."""
    names = ("Keys", "New", "Upd", "Same", "Fail", "Defer", "Err", "Sec")
    sheet = Sheet(None, text("Asked for"), whole("Status"), numbers(*names), whole("Run"))
    keys = ("bills_fetched", "created", "updated", "unchanged", "failed", "deferred", "error_count", "duration_seconds")
    for asked, one in found.items():
        sheet.add(asked, one["status"], *(one[key] for key in keys), _short(one["run_id"]))
    return sheet
