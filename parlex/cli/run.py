"""The commands that run: what keeps the mirror alive, what fetches, and what the runs came to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parlex.cli.dispatch import dispatched, dispatched_retry
from parlex.cli.frame import (
    RUN,
    SHOWN,
    Commands,
    DatasetOption,
    Dispatch,
    Json,
    Limit,
    SessionOption,
    complain,
    day,
    load_settings,
    note,
    page,
    print_json,
    print_records,
    reading,
    session_id,
    working,
)
from parlex.errors import ParlexError, UsageError
from parlex.parliament import SessionId

if TYPE_CHECKING:
    from rich.progress import Progress

    from parlex.resources import Resources
    from parlex.runs.pipeline import Pipeline
    from parlex.runs.work import Request

commands = typer.Typer(cls=Commands)
runs = typer.Typer(cls=Commands, help="What was fetched: the runs, newest first; or one run's whole story.")

Run = Annotated[str, typer.Argument(metavar="ID", help="The run's id, or how it begins.")]


@commands.command(rich_help_panel=RUN)
def up(
    flower_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where Flower listens; 0 takes a free port.")
    ] = 5555,
    beat: Annotated[bool, typer.Option(help="Run the schedule.")] = True,
) -> None:
    """Start everything this machine lacks, and keep it alive until Ctrl-C."""
    from parlex.local import supervisor
    from parlex.settings import load

    settings = load()
    if settings.asks_public_sites and settings.contact is None:
        note("PARLEX_CONTACT is not set: every fetch from the public sites will stop until it is")
    try:
        code = supervisor.run(settings, flower_port=flower_port, beat=beat)
    except supervisor.DatabaseAway as error:
        # As in every other command: a database that is away is no wrong use.
        raise ParlexError(str(error)) from error
    raise typer.Exit(code)


@commands.command(rich_help_panel=RUN)
def demo() -> None:
    """Show the whole thing, offline, on free ports in a temporary folder."""
    from parlex.cli import demo as show

    raise typer.Exit(show.run())


@commands.command(rich_help_panel=RUN)
def sandbox(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port_base: Annotated[
        int, typer.Option(min=0, max=65533, help="The first of three ports; 0 takes free ones.")
    ] = 8700,
    as_of: Annotated[str | None, typer.Option(parser=day, metavar="DAY", help="The day to begin with.")] = None,
    list_shape: Annotated[str, typer.Option(help="Which of LEGISinfo's two list shapes: A or B.")] = "A",
    multiply: Annotated[int, typer.Option(min=0, help="Add so many made-up copies of each bill.")] = 0,
) -> None:
    """Serve an offline stand-in for both sources, until Ctrl-C."""
    from parlex.local.sandbox import serve

    if list_shape not in ("A", "B"):
        raise typer.BadParameter("--list-shape is A or B")
    try:
        serve(host, port_base, as_of=as_of, list_shape="A" if list_shape == "A" else "B", multiply=multiply)
    except (OSError, ValueError) as error:
        raise UsageError(f"the sandbox cannot start: {error}") from None


@commands.command(rich_help_panel=RUN)
def fetch(
    session: SessionOption = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many; of the latest 50 bills, 300 politicians or 100 votes."),
    ] = None,
    dataset: DatasetOption = "bills",
    dispatch: Dispatch = False,
    as_json: Json = False,
) -> None:
    """Fetch what is new or changed: of the current session, newest activity first, or of a whole session."""
    from parlex.runs.run_log import USUAL

    def ask(pipeline: Pipeline) -> dict[str, Request]:
        if session:
            return {str(session): pipeline.session_request(session, limit, dataset=dataset)}
        return {"latest": pipeline.latest_request(limit or USUAL, dataset=dataset)}

    _fetch_all(ask, dispatch=dispatch, as_json=as_json)


@commands.command(rich_help_panel=RUN)
def backfill(
    sessions: Annotated[
        list[SessionId] | None, typer.Argument(parser=session_id, metavar="SESSION...", help="As 44-1 45-1.")
    ] = None,
    dataset: DatasetOption = "bills",
    dispatch: Dispatch = False,
    as_json: Json = False,
) -> None:
    """Fetch whole sessions, 35-1 to the current one, one after the other. Politicians have none, and come whole.

    One that no source knows stops none of the others; the exit code tells of it.
    """
    if not sessions and dataset != "politicians":
        raise UsageError(f"name the sessions: parlex backfill --dataset {dataset} 44-1 45-1")

    def ask(pipeline: Pipeline) -> dict[str, Request]:
        whole = {str(session): pipeline.session_request(session, dataset=dataset) for session in sessions or ()}
        return whole or {dataset: pipeline.latest_request(None, dataset=dataset)}

    _fetch_all(ask, dispatch=dispatch, as_json=as_json)


def _fetch_all(ask: Callable[[Pipeline], Mapping[str, Request]], *, dispatch: bool, as_json: bool) -> None:
    from parlex.cli import bars
    from parlex.cli.tables import layout
    from parlex.cli.tables import runs as tables

    settings = load_settings(quiet=sys.stderr.isatty())
    if not dispatch:
        settings.require_contact()
    figures: dict[str, Mapping[str, Any]] = {}
    complaints: list[str] = []
    with working(settings) as resources, bars.progress() as progress:
        for asked, outcome in (dispatched if dispatch else _fetched)(resources, ask(resources.pipeline), progress):
            if not isinstance(outcome, UsageError):
                figures[asked] = outcome
                if as_json:
                    print_json(outcome)
            elif str(outcome) not in complaints:  # what is wrong with all of them is said once
                complaints.append(str(outcome))
                complain(complaints[-1])
    if figures and not as_json:
        layout.console().print(tables.figures(figures))
    if complaints:
        raise typer.Exit(2)
    raise typer.Exit(0 if all(one["status"] == "success" for one in figures.values()) else 1)


def _fetched(
    resources: Resources, requests: Mapping[str, Request], progress: Progress
) -> Iterator[tuple[str, Mapping[str, Any] | UsageError]]:
    from parlex.cli.bars import Bar
    from parlex.runs import alone

    for asked, request in requests.items():
        bar = Bar(progress, asked)
        try:
            figures = alone.run_here(resources.pipeline, request, bar).to_dict()
        except UsageError as error:
            bar.remove()
            yield asked, error
        else:
            yield asked, figures


@runs.callback(invoke_without_command=True)
def list_runs(ctx: typer.Context, limit: Limit = None, as_json: Json = False) -> None:
    """What was fetched: the runs, newest first; or one run's whole story."""
    if ctx.invoked_subcommand:
        return
    from parlex.cli.tables import layout
    from parlex.cli.tables import runs as tables
    from parlex.runs import reads as run_reads

    with reading() as db:
        found = run_reads.runs(db, limit if limit or as_json else SHOWN + 1)
        if as_json:
            print_records(found)
            return
        rows, more = page(found, limit)
    if rows:
        layout.console().print(tables.runs(rows))
    note(f"the newest {SHOWN}; more: parlex runs --limit N" if more else f"{len(rows)} runs")


@runs.command("show")
def show_run(run: Run, as_json: Json = False) -> None:
    """Print a run's whole story: its figures, its bills, its errors, its lists, what it put into quarantine."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import runs as tables
    from parlex.runs import reads as run_reads

    with reading() as db:
        story = run_reads.run_story(db, run_reads.find_run(db, run))
    assert story is not None
    if as_json:
        print_json(story.as_json())
        return
    console = layout.console()
    for table in tables.run(story):
        console.print(table)


@runs.command("retry")
def retry_run(run: Run, dispatch: Dispatch = False, as_json: Json = False) -> None:
    """Fetch again what failed in a run."""
    from parlex.cli import bars
    from parlex.cli.bars import Bar
    from parlex.cli.tables import layout
    from parlex.cli.tables import runs as tables
    from parlex.runs import alone
    from parlex.runs import reads as run_reads

    settings = load_settings()
    settings.require_contact()
    with working(settings) as resources, bars.progress() as progress:
        with resources.db() as db:
            run_id = run_reads.find_run(db, run)
        if dispatch:
            found = dispatched_retry(resources, run_id, Bar(progress, "retry"))
        else:
            found = alone.rerun_failures(resources.pipeline, run_id, on_progress=Bar(progress, "retry")).to_dict()
    if as_json:
        print_json(found)
    else:
        layout.console().print(tables.figures({f"retry of {str(run_id)[:8]}": found}))
    raise typer.Exit(0 if found["status"] == "success" else 1)


@runs.command("revoke")
def revoke_run(run: Run) -> None:
    """End a run that is under way. What it has saved stays."""
    from parlex.runs import reads as run_reads

    with working(load_settings()) as resources:
        with resources.db() as db:
            run_id = run_reads.find_run(db, run)
        if not resources.pipeline.revoke(run_id):
            raise ParlexError(f"run {str(run_id)[:8]} is over already")
    note(f"run {str(run_id)[:8]} is ended")


@commands.command(rich_help_panel=RUN)
def shell(
    code: Annotated[str | None, typer.Option("-c", metavar="CODE", help="Run this instead of asking.")] = None,
) -> None:
    """An IPython with the application, its tasks and the queries loaded."""
    import parlex
    from workers.shell import start

    with working(load_settings(quiet=True)) as resources:
        raise typer.Exit(start(resources, parlex.__version__, code))
