"""What all commands share: their options, how they print, how they fail, and what they open.

Exit codes: 0 success, 1 a failure or a finding (a run that is not a success, a mirror that is not well), 2 wrong use:
an argument or a setting to be mended. Each command imports what it needs when it runs, so that ``--help`` and
completion stay quick.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer
from typer.core import TyperGroup

from parlex.errors import ConfigurationError, ParlexError, UsageError
from parlex.parliament import SessionId

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from parlex.datasets.dataset import Dataset
    from parlex.resources import Resources
    from parlex.settings import Settings

T = TypeVar("T")

SHOWN = 20  # lines of a list without an end that a person sees unless asked otherwise; --json gives all
BILLS = "bills"  # the dataset of a command that names none

# The headings of the help.
RUN, LOOK, PROVE, OPERATE = "Run", "Look", "Prove", "Operate"


class Commands(TyperGroup):
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


Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
Limit = Annotated[int | None, typer.Option(min=1, help="At most so many.")]
SessionOption = Annotated[
    SessionId | None, typer.Option("--session", parser=session_id, metavar="SESSION", help="As 45-1.")
]
SessionArgument = Annotated[SessionId, typer.Argument(parser=session_id, metavar="SESSION", help="As 45-1.")]
DatasetOption = Annotated[str, typer.Option("--dataset", metavar="NAME", help="bills, politicians or votes.")]
Dispatch = Annotated[bool, typer.Option("--dispatch", help="Through the workers of parlex up, not in this process.")]


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
    """What a person is shown, and whether there is more than that."""
    rows = list(found)
    return (rows, False) if limit else (rows[:SHOWN], len(rows) > SHOWN)


def to_fetch(dataset: Dataset, session: SessionId | None = None) -> str:
    """The advice where nothing is held: how to fetch it, unless no source has it."""
    first = dataset.first_session
    if session is not None and first is not None and session < first:
        return f"sessions with {dataset.name} begin with {first}"
    option = "" if dataset.name == BILLS else f"--dataset {dataset.name} "
    if not dataset.by_session:
        return f"to fetch them: parlex fetch {option}".rstrip()
    return f"to fetch: parlex backfill {option}{session or '45-1'}"


def nothing_held(dataset: Dataset) -> str:
    return f"nothing is held; {to_fetch(dataset)}"


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
def working(settings: Settings) -> Iterator[Resources]:
    """Everything a run needs, on a database that has its tables."""
    from redis.exceptions import RedisError

    from parlex.local import embedded
    from parlex.resources import Resources

    with database_errors(), embedded.servers(settings) as addresses:
        _prepare(settings, addresses.database_url)
        resources = Resources(settings, addresses)
        try:
            yield resources
        except RedisError as error:
            raise ParlexError(f"Redis does not answer ({type(error).__name__}): start it, or mend REDIS_URL") from error
        finally:
            resources.close()


@contextmanager
def looking() -> Iterator[Resources]:
    """What reads need: the database, and the datasets by name. Needs no Redis."""
    from parlex.local import embedded
    from parlex.local.embedded import Addresses
    from parlex.resources import Resources
    from parlex.settings import UNREACHABLE

    settings = load_settings()
    with database_errors(), embedded.database(settings) as database_url:
        _prepare(settings, database_url)
        resources = Resources(settings, Addresses(database_url, UNREACHABLE))
        try:
            yield resources
        finally:
            resources.close()


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
def database_errors() -> Iterator[None]:
    """Turn what a database that is away says into one line."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        if not error.connection_invalidated and error.statement is not None:
            raise
        reason = str(error.orig).strip().splitlines()[0]
        raise ParlexError(f"the database does not answer ({reason}): start it, or mend DATABASE_URL") from error
