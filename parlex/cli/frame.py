"""What all commands share: their help and options, how they print, how they fail, and what they open.

Exit codes: 0 success, 1 a failure or a finding (a run that is not a success, a mirror that is not well), 2 wrong use:
an argument or a setting to be mended; 130 after Ctrl-C, 143 after TERM, 141 where nobody reads what is printed. Each
command imports what it needs when it runs, so that ``--help`` and completion stay quick.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from parlex.errors import ConfigurationError, ParlexError, UsageError
from parlex.parliament import SessionId

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from parlex.datasets.dataset import Dataset
    from parlex.resources import Resources
    from parlex.settings import Settings

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

SHOWN = 20  # lines of a list, newest first, that a person sees unless asked otherwise; --json gives all
BILLS = "bills"  # the dataset of a command that names none
NOBODY_READS = 141  # the exit code where a pipe is closed, as shells have it


# Commands and their help.

RUN, LOOK, PROVE, OPERATE = "Run", "Look", "Prove", "Operate"  # the headings
UNLISTED = ("install_completion", "show_completion")  # options of Typer's own; parlex completion is told of
WIDEST_HELP = 80  # columns
NARROW_HELP = 60  # columns, below which an explanation stands below its name


def command(noun: typer.Typer, heading: str | None = None, name: str | None = None) -> Callable[[F], F]:
    """Make a function a command of ``noun``, below ``heading`` of the help."""
    return noun.command(name, cls=Command, rich_help_panel=heading)


class Command(TyperCommand):
    """A command whose help speaks in words."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        arguments = [one for one in self.get_params(ctx) if one.param_type_name == "argument"]
        return [self.options_metavar or "", *map(_argument, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)


class Commands(TyperGroup):
    """Several commands. Their help stands below headings; what goes wrong in one is one line on standard error."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        extra.setdefault("terminal_width", min(shutil.get_terminal_size().columns, WIDEST_HELP))
        # Here the options before a command are read; those of the command itself are read in ``invoke``.
        with _readers(), _one_line():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        with _readers(), _one_line():
            return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        _write_options(self, ctx, formatter)
        headings: dict[str, list[tuple[str, str]]] = {}
        room = max(map(len, self.commands))  # one for all headings, so that the eye finds the sentences
        for name, found in self.commands.items():
            heading = getattr(found, "rich_help_panel", None) or "Commands"
            headings.setdefault(str(heading), []).append((name.ljust(room), _first_sentence(found.help or "")))
        for heading, rows in headings.items():
            _write_rows(formatter, heading, rows)


def _write_options(found: Any, ctx: Any, formatter: Any) -> None:
    parts: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for parameter in found.get_params(ctx):
        if parameter.name in UNLISTED:
            continue
        if record := parameter.get_help_record(ctx):
            name, told = record
            if parameter.param_type_name == "argument":
                parts["Arguments"].append((_argument(parameter), _in_words(told)))
            else:
                parts["Options"].append((name, _in_words(told)))
    for heading, rows in parts.items():
        if rows:
            _write_rows(formatter, heading, rows)


def _argument(parameter: Any) -> str:
    """As usage has it: ``ID``, ``ID...`` for several, ``[ID]`` for one that may be left out."""
    name = f"{parameter.metavar}..." if parameter.nargs != 1 else str(parameter.metavar)
    return name if parameter.required else f"[{name}]"


def _write_rows(formatter: Any, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    narrow = formatter.width < NARROW_HELP
    with formatter.section(heading):
        formatter.write_dl([(name.rstrip() if narrow else name, told) for name, told in rows], 0 if narrow else 30)


def _in_words(told: str) -> str:
    """Bounds as people write them."""
    told = re.sub(r"([-\d.]+)<=x<=([-\d.]+)", r"\1 to \2", told)
    return re.sub(r"x>=([-\d.]+)", r"at least \1", told)


def _first_sentence(told: str) -> str:
    paragraph = " ".join(inspect.cleandoc(told).split("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", paragraph, maxsplit=1)[0]


@contextmanager
def _readers() -> Iterator[None]:
    """Whoever reads may stop early, as ``head`` does: that is no error."""
    try:
        yield
    except BrokenPipeError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # what they still hold would be an error at the exit
            os.dup2(nothing, stream.fileno())
        raise SystemExit(NOBODY_READS) from None


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except (UsageError, ConfigurationError) as error:
        stop(str(error), 2)
    except ParlexError as error:
        stop(str(error), 1)
    except typer.TyperException as error:
        # The help of a command that cannot stand alone comes as such an error too; Typer has no public name for it.
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        stop(error.format_message() + _where_to_look(error), error.exit_code)


def _where_to_look(error: typer.TyperException) -> str:
    """Which help names the commands and options there are; a value that is wrong is told of by its own words."""
    context = getattr(error, "ctx", None)
    if context is None or isinstance(error, typer.BadParameter):
        return ""
    return f" (see {context.command_path} --help)"


# Arguments.


def session_id(text: str) -> SessionId:
    """A session as a person writes it. BadParameter says how."""
    try:
        return SessionId.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def day(text: str) -> str:
    """A day as a person writes it. BadParameter says how."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a day; write it like 2026-03-01") from None


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for programs.")]
MOST = 10**9  # of anything that a person may ask for; PostgreSQL counts not much further
Limit = Annotated[int | None, typer.Option(min=1, max=MOST, metavar="N", help="Print at most so many.")]
Newest = Annotated[
    int | None,
    typer.Option(
        "--limit",
        min=1,
        max=MOST,
        metavar="N",
        help=f"Print at most so many. Without it, a table shows the newest {SHOWN}, and --json all.",
    ),
]
SessionOption = Annotated[
    SessionId | None,
    typer.Option("--session", parser=session_id, metavar="SESSION", help="Only this session, written like 45-1."),
]
SessionArgument = Annotated[
    SessionId, typer.Argument(parser=session_id, metavar="SESSION", help="The session, written like 45-1.")
]
DatasetOption = Annotated[
    str, typer.Option("--dataset", metavar="NAME", help="Which dataset: bills, politicians or votes.")
]
Dispatch = Annotated[
    bool, typer.Option("--dispatch", help="Let the workers of parlex up do it, instead of this process.")
]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, metavar="PORT", help="Where to listen; 0 takes a free port.")]


# Printing.


def print_records(records: Iterable[Any]) -> None:
    """Each as one JSON object on a line of its own."""
    for record in records:
        print_json(record.as_json())


def print_json(value: Mapping[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False))


def note(text: str) -> None:
    """A remark for people, beside the answer and not in it."""
    print(text, file=sys.stderr)


def complain(message: str) -> None:
    """Say in one line what went wrong."""
    print("parlex:", " ".join(message.split()), file=sys.stderr)


def stop(message: str, code: int) -> NoReturn:
    """Say in one line what went wrong, and end with this exit code."""
    complain(message)
    raise typer.Exit(code)


def page(found: Iterable[T], limit: int | None) -> tuple[list[T], bool]:
    """What a person is shown of a list, newest first, and whether there is more than that."""
    rows = list(found)
    return (rows, False) if limit else (rows[:SHOWN], len(rows) > SHOWN)


# What a command opens.


def load_settings(*, quiet: bool = False) -> Settings:
    """The settings, with logging as they say; ``quiet`` leaves out what a progress bar says better."""
    from parlex import logs
    from parlex.settings import settings

    found = settings()
    calm = quiet and found.log_format == "console" and found.log_level == "INFO"
    logs.configure(found, level="WARNING" if calm else None)
    return found


@contextmanager
def working(settings: Settings, *, begins: bool = False) -> Iterator[Resources]:
    """Everything a run needs, on a database that has its tables. Where there is none, what ``begins`` makes one."""
    from redis.exceptions import RedisError

    from parlex.local import embedded
    from parlex.resources import Resources

    if not begins:
        require_database(settings)
    with database_errors(), embedded.servers(settings) as addresses:
        _prepare(settings, addresses.database_url, begins=begins)
        resources = Resources(settings, addresses)
        try:
            yield resources
        except RedisError as error:
            raise ParlexError(f"Redis does not answer ({type(error).__name__}): start it, or mend REDIS_URL") from error
        finally:
            resources.close()


@contextmanager
def looking() -> Iterator[Resources]:
    """What reads need: the database, and the datasets by name. Makes no database and no table, and needs no Redis,
    though it knows the address of one that is there."""
    from parlex.local import embedded
    from parlex.local.embedded import Addresses
    from parlex.resources import Resources
    from parlex.settings import UNREACHABLE

    settings = load_settings()
    require_database(settings)
    with database_errors(), embedded.database(settings) as database_url:
        _prepare(settings, database_url, begins=False)
        resources = Resources(settings, Addresses(database_url, embedded.redis_url(settings) or UNREACHABLE))
        try:
            yield resources
        finally:
            resources.close()


def read_again(resources: Resources) -> None:
    """Read again, offline, what an older version of this program read for less."""
    from parlex.answers import counted
    from parlex.watch import upkeep

    behind = upkeep.to_read_again(resources)
    if behind:
        note(f"{counted(behind, 'record')} of an older version: what is held of them is read again, offline")
        upkeep.read_again(resources)


@contextmanager
def reading() -> Iterator[Session]:
    """A database session to read with; what it writes is kept at the end. Needs no Redis."""
    with looking() as resources, resources.db() as db:
        yield db


def scopes_of(resources: Resources, dataset: str, sessions: Sequence[SessionId] | None) -> list[str]:
    """The sessions that a person named, as scopes. UsageError for a dataset that has none."""
    if sessions and not dataset_of(resources, dataset).by_session:
        raise UsageError(f"{dataset} have no sessions: leave {sessions[0]} out")
    return [str(session) for session in sessions or ()]


def dataset_of(resources: Resources, name: str) -> Dataset:
    """UsageError for a dataset that does not exist."""
    if name not in resources.datasets:
        raise UsageError(f"{name!r} is not a dataset; known: {', '.join(resources.datasets)}")
    return resources.datasets[name]


def require_database(settings: Settings) -> None:
    """ConfigurationError where an embedded server would have to begin with an empty database."""
    if settings.database_url is None and not (settings.home / "postgres").is_dir():
        raise ConfigurationError(
            f"nothing is held here: DATABASE_URL is not set, and PARLEX_HOME ({settings.home.absolute()}) has no "
            "database; go to the folder where yours is, or fetch: parlex fetch"
        )


def _prepare(settings: Settings, database_url: str, *, begins: bool) -> None:
    """See to it that the tables are those of this program.

    An embedded database is brought up to date. One of the user's is so only when they say it: other versions of Parlex
    may be working on it, and an empty one may be the wrong one.
    """
    from parlex.db import migrate

    found, head = migrate.current(database_url), migrate.head()
    require_known(found, head)
    if found == head:
        return
    if settings.database_url is None or (found is None and begins):
        migrate.upgrade(database_url)
    elif found is None:
        raise ConfigurationError(
            "the database that DATABASE_URL names has no tables of Parlex; to make them: parlex db upgrade, or fetch"
        )
    else:
        raise ConfigurationError(f"the database's schema is at {found}, not {head}: run parlex db upgrade")


def require_known(found: str | None, head: str) -> None:
    """ConfigurationError where a schema is newer than this program, whose newest is ``head``."""
    if found is not None and found > head:
        raise ConfigurationError(
            f"this database is newer than this Parlex (schema {found}, this program knows {head}): use a newer Parlex"
        )


# What a database says that a person must mend, by PostgreSQL's code for it.
REFUSALS = {
    "25006": "it is read-only",
    "42501": "its user lacks a right",
    "42P01": "a table of Parlex is missing",
    "53100": "its disk is full",
}


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn into one line what a database says that is away, or that refuses."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        if refusal := REFUSALS.get(getattr(error.orig, "pgcode", None) or ""):
            raise ParlexError(f"the database refuses: {refusal} ({reason})") from error
        if not error.connection_invalidated and error.statement is not None:
            raise
        raise ParlexError(f"the database does not answer ({reason}): start it, or mend DATABASE_URL") from error
