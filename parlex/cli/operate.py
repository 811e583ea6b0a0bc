"""The commands of an operator: alerts, metrics, exports, what failed once more, and a shell.

Part of ``cli``, which imports this file at its end; the same rules hold.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parlex.cli.app import (
    Dispatch,
    Json,
    Limit,
    _await,
    _Bar,
    _note,
    _print_json,
    _reading,
    _require_workers,
    _settings,
    _working,
    app,
    runs_app,
)
from parlex.errors import ConfigurationError, ParlexError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from rich.progress import Progress
    from rich.table import Table

    from parlex.db.models import AlertRow
    from parlex.resources import Resources
    from parlex.watch.notify import Waiting

alerts_app = typer.Typer(help="What is wrong, and whether people are told of it.")
app.add_typer(alerts_app, name="alerts")

Run = Annotated[str, typer.Argument(metavar="ID", help="The run's id, or how it begins.")]


# Alerts.


@alerts_app.callback(invoke_without_command=True)
def alerts(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Those that are over too.")] = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """What is wrong now, and which messages have not arrived. Exits 1 when something is."""
    if ctx.invoked_subcommand:
        return
    from parlex.cli import tables
    from parlex.watch import notify
    from parlex.watch.alerts import alerts as find

    with _reading() as db:
        found, waiting = find(db, closed=every, limit=limit), notify.waiting(db)
        for row in found if as_json else ():
            _print_json(_alert_json(row))
    if not as_json:
        console = tables.console()
        if found:
            console.print(_alert_table(found))
        if waiting:
            console.print(_waiting_table(waiting))
        _note(f"{sum(row.closed_at is None for row in found)} open, {len(waiting)} messages not delivered")
    raise typer.Exit(1 if waiting or any(row.closed_at is None for row in found) else 0)


@alerts_app.command("test")
def alerts_test() -> None:
    """Send a message to each address of PARLEX_ALERT_URLS, now, and say which arrived."""
    from parlex.watch import notify

    settings = _settings()
    to = notify.targets(settings)
    if not to:
        raise ConfigurationError("there is nobody to tell: set PARLEX_ALERT_URLS")
    message = notify.Message("info", "Parlex: a test", "Alerts will arrive here. Nothing is wrong.")
    errors = {target: notify.send(url, message) for target, url in to.items()}
    for target, error in errors.items():
        print(f"{target}: {error or 'sent'}")
    raise typer.Exit(1 if any(errors.values()) else 0)


@alerts_app.command("check")
def alerts_check() -> None:
    """Look for trouble once, now, and tell of it: what the schedule does each minute."""
    from parlex.watch.alerts import check

    with _working(_settings()) as resources:
        news = check(resources)
    _note(f"{len(news.opened)} opened, {len(news.grown)} grown, {len(news.lasting)} repeated, {len(news.over)} over")


def _alert_json(row: AlertRow) -> dict[str, Any]:
    from parlex.answers import as_json

    names = ("rule", "subject", "severity", "headline", "detail", "since", "opened_at", "told_at", "closed_at")
    return {name: as_json(getattr(row, name)) for name in names}


def _alert_table(found: Sequence[AlertRow]) -> Table:
    return _table(
        "Alerts",
        ("Rule", "What", "Since (UTC)", "Told (UTC)", "Over (UTC)"),
        [(row.rule, f"{row.headline}. {row.detail}", row.since, row.told_at, row.closed_at) for row in found],
    )


def _waiting_table(waiting: Sequence[Waiting]) -> Table:
    return _table(
        "Messages that have not arrived",
        ("To", "Title", "Written (UTC)", "Tries", "State", "Error"),
        [
            (row.target, row.title, row.created_at, row.attempt, "given up" if row.given_up else "waits", row.error)
            for row in waiting
        ],
    )


def _table(title: str, columns: Sequence[str], found: Sequence[Sequence[Any]]) -> Table:
    from parlex.cli import tables

    table = tables._table(title, *columns)
    for values in found:
        tables._add(table, *values)
    return table


# Metrics.


@app.command()
def metrics(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free port.")] = 9188,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    watch: Annotated[
        bool, typer.Option(help="Check the alerts too: from here they tell of a beat or a database that is away.")
    ] = True,
) -> None:
    """Serve /metrics for Prometheus, until Ctrl-C or TERM."""
    from parlex import logs
    from parlex.local import embedded
    from parlex.resources import Resources
    from parlex.watch import metrics as served

    settings = _settings()
    logs.report_errors(settings)
    resources = Resources(settings, embedded.resolve(settings))
    try:
        with _until_told() as stopped, served.serving(resources, host=host, port=port) as listening:
            _note(f"http://{host}:{listening}/metrics")
            if watch:
                served.watch(resources, stopped.wait)
            stopped.wait()
    except OSError as error:
        raise ConfigurationError(f"port {port} cannot be used ({error.strerror}): choose another") from None
    finally:
        resources.close()


@contextmanager
def _until_told() -> Iterator[Event]:
    stopped = Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# Exports.


@app.command()
def export(
    to: Annotated[
        str | None, typer.Option(metavar="PLACE", help="A folder or s3://bucket/prefix; else PARLEX_EXPORT_URL.")
    ] = None,
    format: Annotated[
        list[str] | None, typer.Option(help="parquet, csv, jsonl or sqlite; may be repeated; all unless given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write all bills, stages and changes to files with a manifest, all of one moment."""
    from parlex.mirror import export as exporting

    settings = _settings()
    place = to or (settings.export_url.get_secret_value() if settings.export_url else None)
    if place is None:
        raise ConfigurationError("say where to: parlex export --to FOLDER, or set PARLEX_EXPORT_URL")
    with _working(settings) as resources:
        manifest = exporting.export(resources, place, format or ())
    if as_json:
        _print_json(manifest.to_dict())
        return
    for file in manifest.files:
        print(f"{file.name:32} {file.rows:>9,} rows {file.bytes:>13,} bytes")
    _note(f"as of change {manifest.as_of_seq}")


# Runs.


@runs_app.command("retry")
def runs_retry(run: Run, dispatch: Dispatch = False, as_json: Json = False) -> None:
    """Fetch again what failed in a run."""
    from parlex.cli import tables
    from parlex.runs import pipeline
    from parlex.runs import reads as run_reads

    settings = _settings()
    settings.require_contact()
    with _working(settings) as resources, tables.progress() as bars:
        with resources.db() as db:
            run_id = run_reads.find_run(db, run)
        if dispatch:
            found = _dispatch_retry(resources, run_id, bars)
        else:
            found = pipeline.rerun_failures(resources, run_id, on_progress=_Bar(bars, "retry")).to_dict()
    if as_json:
        _print_json(found)
    else:
        tables.console().print(tables.figures({f"retry of {str(run_id)[:8]}": found}))
    raise typer.Exit(0 if found["status"] == "success" else 1)


def _dispatch_retry(resources: Resources, run_id: UUID, bars: Progress) -> Mapping[str, Any]:
    from parlex.runs import pipeline
    from workers import tasks

    _require_workers()
    pipeline.retry_request(resources, run_id)  # what cannot be retried is refused here, not in a worker
    return _await(resources, tasks.retry_run.delay(str(run_id)), _Bar(bars, "retry"))


@runs_app.command("revoke")
def runs_revoke(run: Run) -> None:
    """End a run that is under way. What it has saved stays."""
    from parlex.runs import pipeline
    from parlex.runs import reads as run_reads

    with _working(_settings()) as resources:
        with resources.db() as db:
            run_id = run_reads.find_run(db, run)
        if not pipeline.revoke(resources, run_id):
            raise ParlexError(f"run {str(run_id)[:8]} is over already")
    _note(f"run {str(run_id)[:8]} is ended")


# Shell.


@app.command()
def shell(
    code: Annotated[str | None, typer.Option("-c", metavar="CODE", help="Run this instead of asking.")] = None,
) -> None:
    """An IPython with the application, its tasks and the queries loaded."""
    from parlex import __version__
    from workers.shell import start

    with _working(_settings(quiet=True)) as resources:
        raise typer.Exit(start(resources, __version__, code))
