"""The commands about the divisions of the House: which there are, and how each member voted in one."""

from __future__ import annotations

from typing import Annotated

import typer

from parlex.answers import counted
from parlex.cli.frame import (
    LOOK,
    Commands,
    Json,
    Limit,
    SessionArgument,
    SessionOption,
    command,
    looking,
    note,
    print_json,
    print_records,
)
from parlex.errors import UsageError

commands = typer.Typer(cls=Commands)


@command(commands, LOOK)
def votes(session: SessionOption = None, limit: Limit = None, as_json: Json = False) -> None:
    """List the divisions of the House that are held, newest first.

    Example: parlex votes --session 45-1 --limit 20
    """
    from parlex.cli.tables import layout
    from parlex.cli.tables import votes as tables
    from parlex.datasets.scopes import to_fetch
    from parlex.datasets.votes import reads as vote_reads

    with looking() as resources, resources.db() as db:
        found = vote_reads.votes(db, session, limit=limit)
        if as_json:
            print_records(found)
            return
        rows = list(found)
        advice = to_fetch(db, resources.datasets["votes"], session)
    if rows:
        layout.console().print(tables.votes(rows))
    note(counted(len(rows), "division") if rows else f"none are held; {advice}")


@command(commands, LOOK)
def vote(
    session: SessionArgument,
    number: Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="The division's number in its session.")],
    by_party: Annotated[
        bool, typer.Option("--by-party", help="With --json, print how the parties voted instead of each ballot.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show one division: its totals, how the parties voted, each member's ballot.

    Example: parlex vote 45-1 12 --json --by-party
    """
    from parlex.cli.tables import layout
    from parlex.cli.tables import votes as tables
    from parlex.datasets.scopes import to_fetch
    from parlex.datasets.votes import reads as vote_reads
    from parlex.datasets.votes.vote import VoteKey

    key = VoteKey(session, number)
    with looking() as resources, resources.db() as db:
        record = vote_reads.vote(db, key)
        if record is None:
            advice = to_fetch(db, resources.datasets["votes"], session)
            raise UsageError(f"the mirror does not hold {key}; {advice}")
        parties, ballots = vote_reads.parties(db, key), vote_reads.ballots(db, key)
    if as_json:
        print_json(record.as_json())
        print_records(parties if by_party else ballots)
        return
    console = layout.console()
    for table in tables.vote(record, parties, ballots):
        console.print(table)
