"""The commands about the server: what is held, by HTTP; and the keys of those who may do more there than read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from parlex.answers import counted
from parlex.cli.dispatch import send
from parlex.cli.frame import RUN, Commands, Host, Json, Port, command, looking, note, print_json, reading
from parlex.errors import UsageError

if TYPE_CHECKING:
    from parlex.resources import Resources
    from parlex.settings import Settings

commands = typer.Typer(cls=Commands)
keys = typer.Typer(cls=Commands, help="See to the keys of the API.", no_args_is_help=True)


@command(commands, RUN)
def serve(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Serve what is held by HTTP, until Ctrl-C or TERM: REST under /api/v1, GraphQL at /graphql, documents at /docs.

    It listens to this machine alone unless --host says otherwise; 0.0.0.0 is whoever can reach it.

    Example: parlex serve --port 8080
    """
    from parlex import logs
    from parlex.web import server

    with looking() as resources:
        logs.report_errors(resources.settings)
        _restrict(resources, resources.settings)
        server.serve(resources, host=host, port=port, dispatch=partial(send, resources), started=note)


def _restrict(resources: Resources, settings: Settings) -> None:
    """Where the database is ours alone, nobody else makes the role in which the server reads."""
    from parlex.db import grants
    from parlex.local import embedded

    if embedded.is_embedded(settings):
        grants.grant_web(resources.engine, served_tables(resources))
        resources.engine.dispose()  # a connection that may never be needed again


def served_tables(resources: Resources) -> list[str]:
    """The names of the tables that the server may read."""
    from parlex.db import grants

    datasets = [dataset for dataset in resources.datasets.values() if dataset.served is not None]
    return grants.served([table for dataset in datasets for table in dataset.tables])


@command(keys, name="add")
def add_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is, or what for.")],
    role: Annotated[
        str, typer.Option(metavar="ROLE", help="What it may do: reader, subscriber or operator.")
    ] = "reader",
) -> None:
    """Make a key and print it, this once: the database keeps no more than its hash.

    A reader may ask more often, a subscriber have news sent, an operator start runs.

    Example: parlex keys add 'the newsroom' --role operator
    """
    from parlex.db import api_keys as held

    if role not in held.ROLES:
        raise UsageError(f"{role!r:.50} is no role; known: {', '.join(held.ROLES)}")
    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise UsageError("a name has 1 to 200 characters that can be printed")
    with looking() as resources, resources.db() as db:
        made = held.add(db, name.strip(), role)
    print(made)
    note(f"the key of {name.strip()}, role {role}; keep it: it is shown this once")


@command(keys, name="list")
def list_keys(as_json: Json = False) -> None:
    """List the keys that were ever made, without their secrets."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import operate as tables
    from parlex.db import api_keys as held

    with reading() as db:
        found = held.listed(db)
    if as_json:
        for one in found:
            print_json(one.as_json())
        return
    if found:
        layout.console().print(tables.keys(found))
    note(f"{counted(len(found), 'key')}, good ones: {sum(one.revoked_at is None for one in found)}")


@command(keys, name="revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as parlex keys list has it.")],
) -> None:
    """End a key. The servers know it within seconds.

    Example: parlex keys revoke 1a2b3c4d5e6f
    """
    from parlex.db import api_keys as held

    with looking() as resources, resources.db() as db:
        if not held.revoke(db, key_id):
            raise UsageError(f"{key_id!r:.50} is no key that is good: see parlex keys list")
    note(f"the key {key_id} is revoked")
