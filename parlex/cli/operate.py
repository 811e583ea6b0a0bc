"""The commands of an operator: is all well, who is told, what is measured, the schema."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parlex.answers import counted
from parlex.cli.dispatch import queues_alive
from parlex.cli.frame import (
    OPERATE,
    Commands,
    Host,
    Json,
    Limit,
    Port,
    command,
    database_errors,
    load_settings,
    looking,
    note,
    print_json,
    read_again,
    reading,
    require_database,
    require_known,
    working,
)
from parlex.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from parlex.db.models import AlertRow

SHELLS = ("bash", "zsh", "fish")

commands = typer.Typer(cls=Commands)
alerts = typer.Typer(cls=Commands)
db = typer.Typer(cls=Commands, help="See to the database's schema.", no_args_is_help=True)


@command(commands, OPERATE)
def doctor(
    ask_sources: Annotated[
        bool, typer.Option("--ask-sources", help="Look also whether the sources' hosts take connections.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look at everything, and say what is not well and what to do. Exits 1 when something failed."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import operate as tables
    from parlex.watch.doctor import Check, examine, wrong_settings

    try:
        settings = load_settings()
    except ConfigurationError as error:
        found: Iterable[Check] = [wrong_settings(error)]
    else:
        found = examine(settings, queues_alive, datetime.now(UTC), ask_sources=ask_sources)
    console = layout.console()
    failed = False
    for check in found:
        failed |= check.state == "fail"
        if as_json:
            print_json(check.as_json())
        else:
            console.print(tables.check(check))
    raise typer.Exit(1 if failed else 0)


@command(commands, OPERATE)
def config(as_json: Json = False) -> None:
    """Show every variable with the value in force, and whether the environment gave it. Secrets are hidden.

    Example: parlex config
    """
    from parlex.cli.tables import layout
    from parlex.cli.tables import operate as tables
    from parlex.settings import effective

    found = effective(load_settings())
    if as_json:
        for one in found:
            print_json({"name": one.variable, "value": one.value, "from": one.origin})
    else:
        layout.console().print(tables.config(found))


@command(commands, OPERATE)
def completion(
    ctx: typer.Context,
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="Which shell: bash, zsh or fish.")],
) -> None:
    """Print the script with which a shell completes commands and options.

    For bash add to ~/.bashrc: eval "$(parlex completion bash)". For zsh add to ~/.zshrc, below compinit:
    eval "$(parlex completion zsh)". For fish once:
    parlex completion fish > ~/.config/fish/completions/parlex.fish

    Example: parlex completion bash
    """
    from typer.completion import show_callback

    if shell not in SHELLS:
        raise UsageError(f"{shell!r:.80} is not a shell that is known: {', '.join(SHELLS)}")
    show_callback(ctx, ctx.command.params[0], shell)


@command(commands, OPERATE)
def monitor(
    hours: Annotated[float, typer.Option(min=0.01, max=87600, metavar="HOURS", help="How far to look back.")] = 24.0,
    as_json: Json = False,
) -> None:
    """Judge the runs of the last hours: rates, durations, freshness. Exits 1 when something needs a look.

    Example: parlex monitor --hours 1
    """
    from parlex.cli.tables import layout
    from parlex.cli.tables import operate as tables
    from parlex.watch.monitor import overview

    now = datetime.now(UTC)
    with looking() as resources, resources.db() as db:
        found = overview(db, now - timedelta(hours=hours), now, resources.datasets, resources.settings)
    if as_json:
        print_json(found.to_dict())
    else:
        console = layout.console()
        for facts in tables.monitor(found):
            console.print(facts)
    raise typer.Exit(0 if found.healthy else 1)


@alerts.callback(invoke_without_command=True)
def list_alerts(
    ctx: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Print those that are over too.")] = False,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List what is wrong now, and which messages have not arrived; exits 1 when something is.

    Example: parlex alerts --all --limit 50
    """
    if ctx.invoked_subcommand:
        return
    from parlex.cli.tables import layout
    from parlex.cli.tables import operate as tables
    from parlex.watch import notify
    from parlex.watch.alerts import alerts as find

    with reading() as db:
        found, waiting = find(db, closed=every, limit=limit), notify.waiting(db)
        for row in found if as_json else ():
            print_json(_alert_json(row))
    if not as_json:
        console = layout.console()
        if found:
            console.print(tables.alerts(found))
        if waiting:
            console.print(tables.waiting(waiting))
        note(f"{sum(row.closed_at is None for row in found)} open, {counted(len(waiting), 'message')} not delivered")
    raise typer.Exit(1 if waiting or any(row.closed_at is None for row in found) else 0)


@command(alerts, name="test")
def send_test() -> None:
    """Send a message to each address of PARLEX_ALERT_URLS, now, and say which arrived."""
    from parlex.watch import notify

    settings = load_settings()
    to = notify.targets(settings)
    if not to:
        raise ConfigurationError("there is nobody to tell: set PARLEX_ALERT_URLS")
    message = notify.Message("info", "Parlex: a test", "Alerts will arrive here. Nothing is wrong.")
    errors = {target: notify.send(url, message) for target, url in to.items()}
    for target, error in errors.items():
        print(f"{target}: {error or 'sent'}")
    raise typer.Exit(1 if any(errors.values()) else 0)


@command(alerts, name="check")
def check_alerts() -> None:
    """Look for trouble once, now, and tell of it: what the schedule does each minute."""
    from parlex.watch.alerts import check

    with working(load_settings()) as resources:
        news = check(resources)
    note(f"{len(news.opened)} opened, {len(news.grown)} grown, {len(news.lasting)} repeated, {len(news.over)} over")


def _alert_json(row: AlertRow) -> dict[str, Any]:
    from parlex.answers import as_json

    names = ("rule", "subject", "severity", "headline", "detail", "since", "opened_at", "told_at", "closed_at")
    return {name: as_json(getattr(row, name)) for name in names}


@command(commands, OPERATE)
def metrics(
    port: Port = 9188,
    host: Host = "127.0.0.1",
    watch: Annotated[
        bool, typer.Option(help="Check the alerts too: from here they tell of a beat or a database that is away.")
    ] = True,
) -> None:
    """Serve /metrics for Prometheus, until Ctrl-C or TERM.

    Example: parlex metrics --port 9188
    """
    from parlex import logs
    from parlex.local import embedded
    from parlex.resources import Resources
    from parlex.watch import metrics as served

    settings = load_settings()
    logs.report_errors(settings)
    resources = Resources(settings, embedded.resolve(settings))
    try:
        with _until_told() as stopped, served.serving(resources, host=host, port=port) as listening:
            note(f"http://{host}:{listening}/metrics")
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


@command(db, name="upgrade")
def upgrade() -> None:
    """Bring the schema to the newest version, and fill what is new in it from the documents that are held.

    Example: parlex db upgrade
    """
    from parlex.db import migrate
    from parlex.local import embedded

    with database_errors(), embedded.database(load_settings()) as database_url:
        require_known(migrate.current(database_url), migrate.head())
        migrate.upgrade(database_url)
        note(f"the schema is at {migrate.head()}, the newest")
    with looking() as resources:
        read_again(resources)


@command(db, name="grant-web")
def grant_web() -> None:
    """Make the role parlex_web, in which the server reads what it serves and can do nothing else.

    The user of DATABASE_URL must own the tables, and may make roles (or somebody who may has made this one). Without
    it the server reads as that user, in transactions that cannot write. Again after an upgrade that adds tables.

    Example: parlex db grant-web
    """
    from parlex.cli.web import served_tables
    from parlex.db import grants

    with looking() as resources:
        done = grants.grant_web(resources.engine, served_tables(resources))
    for line in done or ["nothing was to be done: the role stands, and reads what is served"]:
        print(line)


@command(db, name="downgrade")
def downgrade(
    revision: Annotated[
        str, typer.Argument(metavar="REVISION", help="Where to, like 0008; base takes every table away.")
    ],
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this, it is only said what would be done.")
    ] = False,
) -> None:
    """Take the schema back to an older version, for an older release. What only newer ones hold is lost.

    Stop the processes first, and take a backup.

    Example: parlex db downgrade 0008 --yes
    """
    from parlex.db import migrate
    from parlex.local import embedded

    settings = load_settings()
    require_database(settings)
    with database_errors(), embedded.database(settings) as database_url:
        found = migrate.current(database_url)
        require_known(found, migrate.head())
        undone = _undone(found, revision, migrate.revisions())
        if not yes:
            raise UsageError(
                f"this goes from {found} to {revision} and loses what came with {', '.join(undone)}; to do it: --yes"
            )
        migrate.downgrade(database_url, revision)
    note(f"the schema is at {revision}")
    if settings.database_url is None:
        note("the next command of this release brings an embedded database up again: go on with the older release")


def _undone(found: str | None, revision: str, known: Mapping[str, str]) -> list[str]:
    """What a way down undoes, newest first. UsageError where it leads nowhere, or up."""
    if revision not in known and revision != "base":
        raise UsageError(f"{revision!r:.80} is no revision; known: base, {', '.join(known)}")
    if found is None:
        raise UsageError("the database has no tables of Parlex: there is nothing to take back")
    above = [one for one in known if one <= found and (revision == "base" or one > revision)]
    if not above:
        raise UsageError(f"the schema is at {found}: {revision} is not below it (to go up: parlex db upgrade)")
    return [f"{one} ({known[one].rstrip('.')})" for one in reversed(above)]
