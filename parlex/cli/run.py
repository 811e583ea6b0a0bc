"""The commands that run: what keeps the mirror alive, what fetches, and what the runs came to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from parlex.answers import counted
from parlex.cli.dispatch import Ended, dispatched, ended
from parlex.cli.frame import (
    BILLS,
    MOST,
    RUN,
    SHOWN,
    Commands,
    DatasetOption,
    Dispatch,
    Host,
    Json,
    Newest,
    SessionOption,
    command,
    complain,
    dataset_of,
    day,
    load_settings,
    looking,
    note,
    page,
    print_json,
    print_records,
    read_again,
    reading,
    session_id,
    working,
)
from parlex.errors import ParlexError, UsageError
from parlex.parliament import SessionId

if TYPE_CHECKING:
    from parlex.cli.bars import Bars
    from parlex.resources import Resources
    from parlex.runs.pipeline import Pipeline
    from parlex.runs.preview import Preview
    from parlex.runs.work import Request

commands = typer.Typer(cls=Commands)
runs = typer.Typer(cls=Commands)

WHOLE = "all"  # what is asked for of a dataset that has no sessions, as verify calls it too
ERRORS_SHOWN = 3  # of each run, below its figures

Run = Annotated[str, typer.Argument(metavar="ID", help="The run's id, or at least its first 4 characters.")]
Runs = Annotated[list[str], typer.Argument(metavar="ID", help="The runs' ids, or how each begins.")]


@command(commands, RUN)
def up(
    flower_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Where Flower listens; 0 takes a free port.")
    ] = 5555,
    web_port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Where the API listens; 0 takes a free port.")
    ] = 8000,
    beat: Annotated[bool, typer.Option(help="Run the schedule.")] = True,
) -> None:
    """Start everything this machine lacks, and keep it alive until Ctrl-C.

    Example: parlex up --flower-port 0 --web-port 0
    """
    from parlex.local import supervisor
    from parlex.settings import load

    settings = load()
    if settings.asks_public_sites and settings.contact is None:
        note("PARLEX_CONTACT is not set: every fetch from the public sites will stop until it is")
    try:
        code = supervisor.run(settings, flower_port=flower_port, web_port=web_port, beat=beat)
    except supervisor.DatabaseAway as error:
        # As in every other command: a database that is away is no wrong use.
        raise ParlexError(str(error)) from error
    raise typer.Exit(code)


@command(commands, RUN)
def demo() -> None:
    """Show the whole thing, offline, on free ports in a temporary folder."""
    from parlex.cli import demo as show

    raise typer.Exit(show.run())


@command(commands, RUN)
def sandbox(
    host: Host = "127.0.0.1",
    port_base: Annotated[
        int, typer.Option(min=0, max=65533, metavar="PORT", help="The first of three ports; 0 takes free ones.")
    ] = 8700,
    as_of: Annotated[
        str | None, typer.Option(parser=day, metavar="DAY", help="The day to begin with, written like 2026-03-01.")
    ] = None,
    list_shape: Annotated[
        str, typer.Option(metavar="SHAPE", help="Which of LEGISinfo's two list shapes: A or B.")
    ] = "A",
    multiply: Annotated[int, typer.Option(min=0, metavar="N", help="Add so many made-up copies of each bill.")] = 0,
) -> None:
    """Serve an offline stand-in for both sources, until Ctrl-C.

    Example: parlex sandbox --as-of 2026-03-01
    """
    from parlex.local.sandbox import serve

    if list_shape not in ("A", "B"):
        raise typer.BadParameter("--list-shape is A or B")
    try:
        serve(host, port_base, as_of=as_of, list_shape="A" if list_shape == "A" else "B", multiply=multiply)
    except (OSError, ValueError) as error:
        raise UsageError(f"the sandbox cannot start: {error}") from None


# Fetching.


@command(commands, RUN)
def fetch(
    session: SessionOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            metavar="N",
            help="Fetch at most so many, and count the rest as deferred. Without it, 50 of the latest bills, and all "
            "of anything else.",
        ),
    ] = None,
    dataset: DatasetOption = "bills",
    dispatch: Dispatch = False,
    as_json: Json = False,
) -> None:
    """Fetch what is new or changed: of the current session, newest activity first, or of a whole session.

    Example: parlex fetch --limit 10

    Example: parlex fetch --session 44-1 --limit 100

    Example: parlex fetch --dataset votes --session 45-1
    """
    from parlex.runs.run_log import USUAL

    def ask(resources: Resources) -> dict[str, Request]:
        pipeline, chosen = resources.pipeline, dataset_of(resources, dataset)
        if session:
            return {str(session): pipeline.session_request(session, limit, dataset=dataset)}
        asked = "latest" if chosen.by_session else WHOLE
        return {asked: pipeline.latest_request(limit or (USUAL if dataset == BILLS else None), dataset=dataset)}

    _fetch_all(ask, dispatch=dispatch, as_json=as_json)


@command(commands, RUN)
def backfill(
    sessions: Annotated[
        list[SessionId] | None,
        typer.Argument(parser=session_id, metavar="SESSION", help="The sessions, written like 44-1 45-1."),
    ] = None,
    dataset: DatasetOption = "bills",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask for the list of each session and nothing else, and say what is due.")
    ] = False,
    dispatch: Dispatch = False,
    as_json: Json = False,
) -> None:
    """Fetch whole sessions, one after the other: all of each, however many.

    Bills begin with session 35-1, votes with 38-1. Politicians have no sessions, and come whole. For a part of a
    session see parlex fetch --help. A session that no source knows stops none of the others; the exit code tells of it.
    What is held already is asked for only where its list has changed, so that the same command goes on where another
    one ended.

    Example: parlex backfill 44-1 45-1

    Example: parlex backfill 44-1 45-1 --dry-run

    Example: parlex backfill --dataset politicians
    """
    if not sessions and dataset != "politicians":
        raise UsageError(f"name the sessions: parlex backfill --dataset {dataset} 44-1 45-1")

    def ask(resources: Resources) -> dict[str, Request]:
        pipeline = resources.pipeline
        whole = {str(session): pipeline.session_request(session, dataset=dataset) for session in sessions or ()}
        return whole or {WHOLE: pipeline.latest_request(None, dataset=dataset)}

    if dry_run:
        if dispatch:
            raise UsageError("--dry-run asks in this process: leave --dispatch out")
        _preview_all(ask, as_json=as_json)
    else:
        _fetch_all(ask, dispatch=dispatch, as_json=as_json)


def _preview_all(ask: Callable[[Resources], Mapping[str, Request]], *, as_json: bool) -> None:
    """Say what each would come to. The exit code is that of the fetch, as far as the lists tell."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import runs as tables

    settings = load_settings()
    settings.require_contact()
    found: list[Preview] = []
    code = 0
    with working(settings, begins=True) as resources:
        for asked, request in ask(resources).items():
            try:
                found.append(resources.pipeline.preview(request))
            except ParlexError as error:
                complain(str(error) if asked in str(error) else f"{asked}: {error}")
                code = max(code, 2 if isinstance(error, UsageError) else 1)
            else:
                if as_json:
                    print_json(found[-1].as_json())
    if found and not as_json:
        layout.console().print(tables.previews(found))
        note("nothing was written; these are upper bounds: what a second source does not have yet is not asked of it")
    raise typer.Exit(code)


def _fetch_all(
    ask: Callable[[Resources], Mapping[str, Request]], *, dispatch: bool, as_json: bool, begins: bool = True
) -> None:
    """Fetch what is asked for, say what it came to, and end with the exit code for it."""
    from parlex.cli import bars
    from parlex.cli.tables import layout
    from parlex.cli.tables import runs as tables

    settings = load_settings(quiet=sys.stderr.isatty())
    if not dispatch:
        settings.require_contact()
    found: dict[str, Ended] = {}
    complaints: list[str] = []
    with working(settings, begins=begins) as resources:
        requests = ask(resources)
        for asked, outcome in _seen_through(resources, requests, bars.showing(), dispatch=dispatch):
            if not isinstance(outcome, UsageError):
                found[asked] = outcome
                if as_json:
                    print_json(outcome.figures)
            elif str(outcome) not in complaints:  # what is wrong with all of them is said once
                complaints.append(str(outcome))
                complain(complaints[-1])
    if found and not as_json:
        layout.console().print(tables.figures({asked: one.figures for asked, one in found.items()}))
    for asked, one in found.items():
        _tell_errors(asked, one)
    if complaints:
        raise typer.Exit(2)
    raise typer.Exit(0 if all(one.figures["status"] == "success" for one in found.values()) else 1)


def _seen_through(
    resources: Resources, requests: Mapping[str, Request], showing: AbstractContextManager[Bars], *, dispatch: bool
) -> Iterator[tuple[str, Ended | UsageError]]:
    """What each request came to. Ctrl-C and TERM are one line that says what is saved and how it goes on."""
    sent: dict[str, UUID] = {}
    told, stopped = "", None
    if not dispatch:
        read_again(resources)
    with showing as bars:
        try:
            if dispatch:
                yield from dispatched(resources, requests, bars, sent)
            else:
                yield from _fetched(resources, requests, bars)
        except (KeyboardInterrupt, SystemExit) as signalled:
            told, stopped = (_goes_on(bars, sent) if dispatch else _is_saved(bars)), signalled
    if stopped is not None:
        complain(told)
        raise stopped


def _fetched(
    resources: Resources, requests: Mapping[str, Request], bars: Bars
) -> Iterator[tuple[str, Ended | UsageError]]:
    from parlex.runs import alone

    for asked, request in requests.items():
        bar = bars.add(asked)
        try:
            figures = alone.run_here(resources.pipeline, request, bar)
            outcome = ended(resources.pipeline.run(UUID(figures.run_id)))
        except UsageError as error:
            bars.remove(bar)
            yield asked, error
        else:
            assert outcome is not None
            bar.over = True
            yield asked, outcome


def _is_saved(bars: Bars) -> str:
    done = ", ".join(
        f"{bar.done} of {bar.total} of {bar.asked}" if bar.total else f"nothing of {bar.asked}" for bar in bars
    )
    return f"stopped: saved {done or 'nothing'}; the same command goes on from there"


def _goes_on(bars: Bars, sent: Mapping[str, UUID]) -> str:
    under_way = [str(sent[bar.asked])[:8] for bar in bars if not bar.over and bar.asked in sent]
    if not under_way:
        return "stopped: nothing is under way"
    them = "it" if len(under_way) == 1 else "them"
    return (
        f"no longer watching: {', '.join(under_way)} goes on in the workers (parlex runs shows {them}); "
        f"to end {them}: parlex runs revoke {' '.join(under_way)}"
    )


def _tell_errors(asked: str, one: Ended) -> None:
    """Why a run was no success: its first errors."""
    if one.figures["status"] == "success":
        return
    for error in one.errors[:ERRORS_SHOWN]:
        note(f"{asked}: {error}")
    more = one.figures["error_count"] - min(len(one.errors), ERRORS_SHOWN)
    if more > 0:
        note(f"{asked}: {counted(more, 'more error')}: parlex runs show {str(one.figures['run_id'])[:8]}")


# Runs.


@runs.callback(invoke_without_command=True)
def list_runs(ctx: typer.Context, limit: Newest = None, as_json: Json = False) -> None:
    """List the runs, newest first; or show, retry, pause or end one.

    Example: parlex runs --limit 100
    """
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
        standings = run_reads.standings(db)
    if rows:
        layout.console().print(tables.runs(rows, standings))
    note(f"the newest {SHOWN}; more: parlex runs --limit N" if more else counted(len(rows), "run"))


@command(runs, name="show")
def show_run(run: Run, as_json: Json = False) -> None:
    """Print a run's whole story: its figures, its bills, its errors, its lists, what it put into quarantine.

    Example: parlex runs show 1a2b3c4d
    """
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


@command(runs, name="retry")
def retry_run(run: Run, dispatch: Dispatch = False, as_json: Json = False) -> None:
    """Fetch again what failed in a run, and what one that was revoked or abandoned did not reach.

    Example: parlex runs retry 1a2b3c4d --dispatch
    """
    from parlex.runs import reads as run_reads

    with reading() as db:
        run_id = run_reads.find_run(db, run)

    def ask(resources: Resources) -> dict[str, Request]:
        return {f"retry of {str(run_id)[:8]}": resources.pipeline.retry_request(run_id)}

    _fetch_all(ask, dispatch=dispatch, as_json=as_json, begins=False)


@command(runs, name="revoke")
def revoke_run(run_ids: Runs) -> None:
    """End runs that are under way. What they have saved stays.

    Example: parlex runs revoke 1a2b3c4d
    """
    for run_id, pipeline in _runs(run_ids):
        if not pipeline.revoke(run_id):
            raise UsageError(f"run {str(run_id)[:8]} is over already")
        note(f"run {str(run_id)[:8]} is ended")


@command(runs, name="pause")
def pause_run(run_ids: Runs) -> None:
    """Begin nothing more of runs that are under way, until `parlex runs resume`. What has begun lands.

    A paused run of the workers outlives a reboot, is not closed as dead, and holds no scheduled run back. One that a
    command carries itself is paused for as long as that command lives.

    Example: parlex runs pause 1a2b3c4d
    """
    for run_id, pipeline in _runs(run_ids):
        if not pipeline.pause(run_id):
            raise UsageError(f"run {str(run_id)[:8]} is over or paused already")
        note(f"run {str(run_id)[:8]} is paused; to go on: parlex runs resume {str(run_id)[:8]}")


@command(runs, name="resume")
def resume_run(run_ids: Runs) -> None:
    """Let paused runs go on. The workers take theirs up within a minute.

    Example: parlex runs resume 1a2b3c4d
    """
    for run_id, pipeline in _runs(run_ids):
        if not pipeline.resume(run_id):
            raise UsageError(f"run {str(run_id)[:8]} is not paused")
        note(f"run {str(run_id)[:8]} goes on")


def _runs(texts: Sequence[str]) -> Iterator[tuple[UUID, Pipeline]]:
    """The id of each, as a person wrote them, and what moves it: nothing is, where one of them is wrong. Needs no
    Redis."""
    from parlex.runs import reads as run_reads

    with looking() as resources:
        with resources.db() as db:
            found = [run_reads.find_run(db, text) for text in texts]
        for run_id in found:
            yield run_id, resources.pipeline


# Shell.


@command(commands, RUN)
def shell(
    code: Annotated[str | None, typer.Option("-c", metavar="CODE", help="Run this instead of asking.")] = None,
) -> None:
    """Start an IPython with the application, its tasks and the queries loaded.

    Example: parlex shell -c 'print(len(ask(queries.bills)))'
    """
    import parlex
    from workers.shell import start

    with working(load_settings(quiet=True)) as resources:
        raise typer.Exit(start(resources, parlex.__version__, code))
