"""The command line. Each command imports what it needs when it runs, so that ``--help`` and completion stay quick.

Exit codes: 0 success, 1 a failure or a finding (a run that is not a success, a mirror that is not well), 2 wrong use:
an argument or a setting to be mended.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, NoReturn
from uuid import UUID

import typer
from typer.core import TyperGroup

from parlex.errors import ConfigurationError, ParlexError, UsageError
from parlex.parliament import SessionId

if TYPE_CHECKING:
    from rich.progress import Progress
    from sqlalchemy.orm import Session

    from parlex.resources import Resources
    from parlex.settings import Settings

SHOWN = 20  # lines of a list without an end that a person sees unless asked otherwise; --json gives all
WORKER_SECONDS = 1.0  # how long workers have to answer a ping
POLL_SECONDS = 0.5
FIRST_SESSIONS = {"bills": SessionId(35, 1), "votes": SessionId(38, 1)}  # the sources have none before


class _Commands(TyperGroup):
    """Turns what went wrong into one line on standard error."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        # Here the options before a command are read; those of the command itself are read in ``invoke``.
        with _one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _one_line():
            return super().invoke(ctx)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except (UsageError, ConfigurationError) as error:
        _stop(str(error), 2)
    except ParlexError as error:
        _stop(str(error), 1)
    except typer.TyperException as error:
        # The help of a command that cannot stand alone comes as such an error too; Typer has no public name for it.
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        _stop(error.format_message() + _where_to_look(error), error.exit_code)


def _where_to_look(error: typer.TyperException) -> str:
    """Which help names the commands and options there are; a value that is wrong is told of by its own words."""
    context = getattr(error, "ctx", None)
    if context is None or isinstance(error, typer.BadParameter):
        return ""
    return f" (see {context.command_path} --help)"


def _stop(message: str, code: int) -> NoReturn:
    _complain(message)
    raise typer.Exit(code)


def _complain(message: str) -> None:
    print("parlex:", " ".join(message.split()), file=sys.stderr)


app = typer.Typer(
    cls=_Commands,
    help="An exact, fresh, provable copy of the bills of the Parliament of Canada in your own database.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
runs_app = typer.Typer(help="What was fetched: the runs, newest first; or one run's whole story.")
db_app = typer.Typer(help="The database's schema.", no_args_is_help=True)
app.add_typer(runs_app, name="runs")
app.add_typer(db_app, name="db")


def main() -> None:
    """The command ``parlex``."""
    # A plain TERM would end us before the embedded servers that we started are stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    app(prog_name="parlex")


# Arguments.


def _session(text: str) -> SessionId:
    try:
        return SessionId.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _day(text: str) -> str:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write it like 2026-03-01") from None


Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many.")]
SessionOption = Annotated[
    SessionId | None, typer.Option("--session", parser=_session, metavar="SESSION", help="As 45-1.")
]
SessionArgument = Annotated[SessionId, typer.Argument(parser=_session, metavar="SESSION", help="As 45-1.")]
DatasetOption = Annotated[str, typer.Option("--dataset", metavar="NAME", help="bills, politicians or votes.")]
Dispatch = Annotated[bool, typer.Option("--dispatch", help="Through the workers of parlex up, not in this process.")]


# Running.


@app.command()
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
        _note("PARLEX_CONTACT is not set: every fetch from the public sites will stop until it is")
    try:
        code = supervisor.run(settings, flower_port=flower_port, beat=beat)
    except supervisor.DatabaseAway as error:
        # As in every other command: a database that is away is no wrong use.
        raise ParlexError(str(error)) from error
    raise typer.Exit(code)


@app.command()
def demo() -> None:
    """Show the whole thing, offline, on free ports in a temporary folder."""
    from parlex.cli import demo as show

    raise typer.Exit(show.run())


@app.command()
def sandbox(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port_base: Annotated[
        int, typer.Option(min=0, max=65533, help="The first of three ports; 0 takes free ones.")
    ] = 8700,
    as_of: Annotated[str | None, typer.Option(parser=_day, metavar="DAY", help="The day to begin with.")] = None,
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


# Fetching.


@app.command()
def fetch(
    session: SessionOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many; of bills without a session 50 unless given.")
    ] = None,
    dataset: DatasetOption = "bills",
    dispatch: Dispatch = False,
    as_json: Json = False,
) -> None:
    """Fetch what is new or changed: of the current session, newest activity first, or of a whole session."""
    from parlex.runs import pipeline

    def ask() -> Any:
        if session:
            return pipeline.session_request(session, limit, dataset=dataset)
        return pipeline.latest_request(limit or (50 if dataset == "bills" else None), dataset=dataset)

    _fetch_all({str(session or "latest"): ask()}, dispatch=dispatch, as_json=as_json)


@app.command()
def backfill(
    sessions: Annotated[
        list[SessionId] | None, typer.Argument(parser=_session, metavar="SESSION...", help="As 44-1 45-1.")
    ] = None,
    dataset: DatasetOption = "bills",
    dispatch: Dispatch = False,
    as_json: Json = False,
) -> None:
    """Fetch whole sessions, 35-1 to the current one, one after the other. Politicians have none, and come whole.

    One that no source knows stops none of the others; the exit code tells of it.
    """
    from parlex.runs import pipeline

    if not sessions and dataset != "politicians":
        raise UsageError(f"name the sessions: parlex backfill --dataset {dataset} 44-1 45-1")
    requests = {str(session): pipeline.session_request(session, dataset=dataset) for session in sessions or ()}
    requests = requests or {dataset: pipeline.latest_request(dataset=dataset)}
    _fetch_all(requests, dispatch=dispatch, as_json=as_json)


def _fetch_all(requests: Mapping[str, Any], *, dispatch: bool, as_json: bool) -> None:
    from parlex.cli import tables

    settings = _settings(quiet=sys.stderr.isatty())
    if not dispatch:
        settings.require_contact()
    figures: dict[str, Mapping[str, Any]] = {}
    complaints: list[str] = []
    with _working(settings) as resources, tables.progress() as bars:
        for asked, outcome in (_dispatched if dispatch else _fetched)(resources, requests, bars):
            if not isinstance(outcome, UsageError):
                figures[asked] = outcome
                if as_json:
                    _print_json(outcome)
            elif str(outcome) not in complaints:  # what is wrong with all of them is said once
                complaints.append(str(outcome))
                _complain(complaints[-1])
    if figures and not as_json:
        tables.console().print(tables.figures(figures))
    if complaints:
        raise typer.Exit(2)
    raise typer.Exit(0 if all(one["status"] == "success" for one in figures.values()) else 1)


def _fetched(
    resources: Resources, requests: Mapping[str, Any], bars: Progress
) -> Iterator[tuple[str, Mapping[str, Any] | UsageError]]:
    from parlex.runs import pipeline

    for asked, request in requests.items():
        bar = _Bar(bars, asked)
        try:
            figures = pipeline.run_here(resources, request, bar).to_dict()
        except UsageError as error:
            bar.remove()
            yield asked, error
        else:
            yield asked, figures


def _dispatched(
    resources: Resources, requests: Mapping[str, Any], bars: Progress
) -> Iterator[tuple[str, Mapping[str, Any] | UsageError]]:
    """Send all, then wait for them. The rows tell how far each is; the task's own result ends it."""
    _require_workers()
    sent = {asked: (_send(request), _Bar(bars, asked)) for asked, request in requests.items()}
    yield from _await_all(resources, sent)


def _send(request: Any) -> Any:
    from workers import tasks

    task = getattr(tasks, request.job, None)
    if task is None:
        raise UsageError(f"no task does {request.job}: see parlex fetch --help")
    if request.scope is None:
        return task.delay(limit=request.limit)
    session = SessionId.parse(request.scope)
    return task.delay(session.parliament, session.session, limit=request.limit)


def _await(resources: Resources, result: Any, bar: _Bar) -> Mapping[str, Any]:
    ((_, outcome),) = _await_all(resources, {"it": (result, bar)})
    if isinstance(outcome, UsageError):
        raise outcome
    return outcome


def _await_all(
    resources: Resources, sent: Mapping[str, tuple[Any, _Bar]]
) -> Iterator[tuple[str, Mapping[str, Any] | UsageError]]:
    """What each came to, in the order given: figures do not say which session they are of.

    Each round looks at all that are not over, so that no bar stands still while its run goes on.
    """
    from celery.exceptions import TimeoutError as NotYet

    over: set[str] = set()
    for asked, (result, _) in sent.items():
        while asked not in over:
            with suppress(NotYet):
                result.get(timeout=POLL_SECONDS, propagate=False)
            with resources.db() as db:
                over |= {name for name, one in sent.items() if name not in over and _look(db, *one)}
        yield asked, _outcome(result)


def _look(db: Session, result: Any, bar: _Bar) -> bool:
    """Move the bar to where the run is. Whether the result is there, which is asked first: the last word is the end."""
    from parlex.runs import reads as run_reads
    from parlex.runs import run_keys

    over = bool(result.ready())
    if over and isinstance(result.result, UsageError):
        bar.remove()
        return True
    run_id = UUID(result.result["run_id"]) if over and result.successful() else run_reads.run_of_task(db, result.id)
    done, total = run_keys.progress(db, run_id) if run_id else (0, 0)
    if total or (run_id and over):  # a run under way that has no keys still asks for its list
        bar(done, total)
    return over


def _outcome(result: Any) -> Mapping[str, Any] | UsageError:
    """The figures, or the error of a task that was asked for what cannot be; any other error is raised."""
    try:
        figures: Mapping[str, Any] = result.get()
    except UsageError as error:
        return error
    return figures


class _Bar:
    """The bar of one run, and what is told how far the run is."""

    def __init__(self, bars: Progress, asked: str) -> None:
        self._bars = bars
        self._task = bars.add_task(asked, total=None)

    def __call__(self, done: int, total: int) -> None:
        self._bars.update(self._task, completed=done, total=total)

    def remove(self) -> None:
        """For a request that never comes to be a run."""
        self._bars.remove_task(self._task)


def _require_workers() -> None:
    missing = sorted({"control", "fetch", "persist"} - _queues_alive())
    if missing:
        raise ParlexError(f"no worker for {', '.join(missing)}: start `parlex up`, or leave --dispatch out")


def _queues_alive() -> set[str]:
    """The queues that some living worker consumes."""
    from kombu.exceptions import OperationalError

    from workers.app import app as celery

    try:
        answers = celery.control.inspect(timeout=WORKER_SECONDS).active_queues() or {}
    except OperationalError:
        return set()
    return {queue["name"] for queues in answers.values() for queue in queues}


# Reading.


@app.command()
def bills(
    session: SessionOption = None,
    status: Annotated[str | None, typer.Option(help="Only those with this status code, as HouseInCommittee.")] = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List the bills that are held, of one session or of all."""
    from parlex.cli import tables
    from parlex.datasets.bills import reads as bill_reads
    from parlex.datasets.bills.bill import StatusCode

    if status is not None and status not in list(StatusCode):
        raise UsageError(f"{status!r} is not a status; known: {', '.join(StatusCode)}")
    with _reading() as db:
        found = bill_reads.bills(db, session, status=status, limit=limit)
        if as_json:
            _print_records(found)
            return
        rows = list(found)
    if rows:
        tables.console().print(tables.bills(rows))
    _note(f"{len(rows)} bills" if rows else f"no such bills are held; {_to_fetch(session)}")


@app.command()
def changes(
    after: Annotated[int, typer.Option(min=0, help="Only what came after this sequence number.")] = 0,
    limit: Limit = None,
    dataset: DatasetOption = "bills",
    as_json: Json = False,
) -> None:
    """Show what changed, oldest first. Going on from the last number seen misses nothing."""
    from parlex.cli import tables
    from parlex.mirror import history

    if dataset != "bills":
        cli_house.record_changes(dataset, after, limit, as_json=as_json)
        return
    with _reading() as db:
        found = history.changes(db, after, limit=limit if limit or as_json else SHOWN + 1)
        if as_json:
            _print_records(found)
            return
        rows, more = _page(found, limit)
    if rows:
        tables.console().print(tables.changes(rows))
    _note(f"more: parlex changes --after {rows[-1].seq}" if more else f"{len(rows)} changes")


@runs_app.callback(invoke_without_command=True)
def runs(ctx: typer.Context, limit: Limit = None, as_json: Json = False) -> None:
    """What was fetched: the runs, newest first; or one run's whole story."""
    if ctx.invoked_subcommand:
        return
    from parlex.cli import tables
    from parlex.runs import reads as run_reads

    with _reading() as db:
        found = run_reads.runs(db, limit if limit or as_json else SHOWN + 1)
        if as_json:
            _print_records(found)
            return
        rows, more = _page(found, limit)
    if rows:
        tables.console().print(tables.runs(rows))
    _note(f"the newest {SHOWN}; more: parlex runs --limit N" if more else f"{len(rows)} runs")


@runs_app.command("show")
def runs_show(
    run: Annotated[str, typer.Argument(metavar="ID", help="The run's id, or how it begins.")], as_json: Json = False
) -> None:
    """Print a run's whole story: its figures, its bills, its errors, its lists, what it put into quarantine."""
    from parlex.cli import tables
    from parlex.runs import reads as run_reads

    with _reading() as db:
        story = run_reads.run_story(db, run_reads.find_run(db, run))
    assert story is not None
    if as_json:
        _print_json(story.as_json())
        return
    console = tables.console()
    for table in tables.run(story):
        console.print(table)


@app.command()
def monitor(
    hours: Annotated[float, typer.Option(min=0.01, help="How far to look back.")] = 24.0, as_json: Json = False
) -> None:
    """Judge the runs of the last hours: rates, durations, freshness. Exits 1 when something needs a look."""
    from parlex.cli import tables
    from parlex.watch.monitor import statistics

    now = datetime.now(UTC)
    with _reading() as db:
        report = statistics(db, now - timedelta(hours=hours), now)
    if as_json:
        _print_json(report.to_dict())
    else:
        tables.console().print(tables.monitor(report))
    raise typer.Exit(0 if report.healthy else 1)


@db_app.command()
def upgrade() -> None:
    """Bring the schema to the newest version."""
    from parlex.db import migrate
    from parlex.local import embedded

    with _database_errors(), embedded.database(_settings()) as database_url:
        migrate.upgrade(database_url)
        _note(f"the schema is at {migrate.head()}, the newest")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look at everything, and say what is not well and what to do. Exits 1 when something failed."""
    from parlex.cli import tables
    from parlex.watch.doctor import Check, examine

    try:
        settings = _settings()
    except ConfigurationError as error:
        found: Iterable[Check] = [Check("settings", "fail", str(error), "mend the variable it names")]
    else:
        found = examine(settings, _queues_alive, datetime.now(UTC))
    console = tables.console()
    failed = False
    for check in found:
        failed |= check.state == "fail"
        if as_json:
            _print_json(check.as_json())
        else:
            console.print(tables.check(check))
    raise typer.Exit(1 if failed else 0)


# What the commands share.


def _settings(*, quiet: bool = False) -> Settings:
    """The settings, with logging as they say; ``quiet`` leaves out what a progress bar says better."""
    from parlex import logs
    from parlex.settings import settings

    found = settings()
    calm = quiet and found.log_format == "console" and found.log_level == "INFO"
    logs.configure(found, level="WARNING" if calm else None)
    return found


@contextmanager
def _working(settings: Settings) -> Iterator[Resources]:
    """Everything a run needs, on a database that has its tables."""
    from redis.exceptions import RedisError

    from parlex.local import embedded
    from parlex.resources import Resources

    with _database_errors(), embedded.servers(settings) as addresses:
        _prepare(settings, addresses.database_url)
        resources = Resources(settings, addresses)
        try:
            yield resources
        except RedisError as error:
            raise ParlexError(f"Redis does not answer ({type(error).__name__}): start it, or mend REDIS_URL") from error
        finally:
            resources.close()


@contextmanager
def _reading() -> Iterator[Session]:
    """A database session to read with. Needs no Redis."""
    from sqlalchemy.orm import Session

    from parlex.db.engine import build_engine
    from parlex.local import embedded

    settings = _settings()
    with _database_errors(), embedded.database(settings) as database_url:
        _prepare(settings, database_url)
        engine = build_engine(database_url)
        try:
            with Session(engine) as db:
                yield db
        finally:
            engine.dispose()


def _prepare(settings: Settings, database_url: str) -> None:
    """Make the tables of an embedded or an empty database. One of the user's that is in use is upgraded only when they
    say so: other versions of Parlex may be working on it."""
    from parlex.db import migrate

    found, head = migrate.current(database_url), migrate.head()
    if found == head:
        return
    if found is None or settings.database_url is None:
        migrate.upgrade(database_url)
    else:
        raise ConfigurationError(f"the database's schema is at {found}, not {head}: run parlex db upgrade")


@contextmanager
def _database_errors() -> Iterator[None]:
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        if not error.connection_invalidated and error.statement is not None:
            raise
        reason = str(error.orig).strip().splitlines()[0]
        raise ParlexError(f"the database does not answer ({reason}): start it, or mend DATABASE_URL") from error


def _to_fetch(session: SessionId | None, dataset: str = "bills") -> str:
    """The advice where nothing is held: how to fetch it, unless no source has it."""
    first = FIRST_SESSIONS[dataset]
    if session is not None and session < first:
        return f"sessions with {dataset} begin with {first}"
    return f"to fetch: parlex backfill {'' if dataset == 'bills' else f'--dataset {dataset} '}{session or '45-1'}"


def _page(found: Iterator[Any], limit: int | None) -> tuple[list[Any], bool]:
    """What a person is shown, and whether there is more than that."""
    rows = list(found)
    return (rows, False) if limit else (rows[:SHOWN], len(rows) > SHOWN)


def _print_records(records: Iterable[Any]) -> None:
    for record in records:
        _print_json(record.as_json())


def _print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False))


def _note(text: str) -> None:
    """A remark for people, beside the answer and not in it."""
    print(text, file=sys.stderr)


# The commands about one bill and about the mirror itself stand in a file of their own; importing it registers them.
from parlex.cli import house as cli_house  # noqa: E402
