"""The commands about politicians: who there is, and everything that is known of one."""

from __future__ import annotations

from typing import Annotated

import typer

from parlex.answers import counted
from parlex.cli.frame import LOOK, Commands, Json, Limit, command, note, print_json, print_records, reading
from parlex.errors import UsageError

commands = typer.Typer(cls=Commands)


@command(commands, LOOK)
def politicians(
    current: Annotated[bool, typer.Option("--current", help="Only those who sit in the House today.")] = False,
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="Only those whose name holds this text.")] = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List the politicians that are held: members, former members, and others who sponsor bills.

    Example: parlex politicians --current --name singh
    """
    from parlex.cli.tables import layout
    from parlex.cli.tables import politicians as tables
    from parlex.datasets.politicians import reads as politician_reads

    with reading() as db:
        found = politician_reads.politicians(db, current=current, name=name, limit=limit)
        if as_json:
            print_records(found)
            return
        rows = list(found)
        any_held = rows or list(politician_reads.politicians(db, limit=1))
    if rows:
        layout.console().print(tables.politicians(rows))
        note(counted(len(rows), "politician"))
    elif any_held:
        note("no politician that is held matches")
    else:
        note("none are held; to fetch them: parlex fetch --dataset politicians")


@command(commands, LOOK)
def politician(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="As parlex politicians shows it, like mark-carney.")],
    as_json: Json = False,
) -> None:
    """Show one politician: how to reach them, their memberships, the bills they sponsored, how they voted.

    Example: parlex politician mark-carney
    """
    from parlex.cli.tables import layout
    from parlex.cli.tables import politicians as tables
    from parlex.datasets.politicians import reads as politician_reads

    with reading() as db:
        story = politician_reads.politician(db, slug)
    if story is None:
        raise UsageError(f"the mirror does not hold {slug!r}; to look for a name: parlex politicians --name TEXT")
    if as_json:
        print_json(story.as_json())
        return
    console = layout.console()
    for table in tables.politician(story):
        console.print(table)
