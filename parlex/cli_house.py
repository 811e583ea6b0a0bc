"""The commands about the House: its politicians, its votes.

Part of ``cli``, which imports this file at its end; the same rules hold.
"""

from __future__ import annotations

from typing import Annotated

import typer

from parlex.cli import (
    Json,
    Limit,
    SessionArgument,
    SessionOption,
    _note,
    _print_json,
    _print_records,
    _reading,
    app,
)
from parlex.errors import UsageError


@app.command()
def politicians(
    current: Annotated[bool, typer.Option("--current", help="Only those who sit in the House today.")] = False,
    name: Annotated[str | None, typer.Option(help="Only those whose name holds this text.")] = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List the politicians that are held: members, former members, and others who sponsor bills."""
    from parlex import house, tables, tables_house

    with _reading() as db:
        found = house.politicians(db, current=current, name=name, limit=limit)
        if as_json:
            _print_records(found)
            return
        rows = list(found)
    if rows:
        tables.console().print(tables_house.politicians(rows))
    _note(f"{len(rows)} politicians" if rows else "none are held; to fetch them: parlex fetch --dataset politicians")


@app.command()
def politician(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="As parlex politicians shows it: mark-carney.")],
    as_json: Json = False,
) -> None:
    """Show one politician: how to reach them, their memberships, the bills they sponsored, how they voted."""
    from parlex import house, tables, tables_house

    with _reading() as db:
        story = house.politician(db, slug)
    if story is None:
        raise UsageError(f"the mirror does not hold {slug!r}; to look for a name: parlex politicians --name TEXT")
    if as_json:
        _print_json(story.as_json())
        return
    console = tables.console()
    for table in tables_house.politician(story):
        console.print(table)


@app.command()
def votes(session: SessionOption = None, limit: Limit = None, as_json: Json = False) -> None:
    """List the divisions of the House that are held, newest first."""
    from parlex import house, tables, tables_house

    with _reading() as db:
        found = house.votes(db, session, limit=limit)
        if as_json:
            _print_records(found)
            return
        rows = list(found)
    if rows:
        tables.console().print(tables_house.votes(rows))
    ask = f"parlex backfill --dataset votes {session or '45-1'}"
    _note(f"{len(rows)} divisions" if rows else f"none are held; to fetch them: {ask}")


@app.command()
def vote(
    session: SessionArgument,
    number: Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="The division's number in its session.")],
    by_party: Annotated[bool, typer.Option("--by-party", help="With --json: parties instead of ballots.")] = False,
    as_json: Json = False,
) -> None:
    """Show one division: its totals, how the parties voted, each member's ballot."""
    from parlex import house, tables, tables_house
    from parlex.votes import VoteKey

    key = VoteKey(session, number)
    with _reading() as db:
        record = house.vote(db, key)
        parties, ballots = house.parties(db, key), house.ballots(db, key)
    if record is None:
        raise UsageError(f"the mirror does not hold {key}; to fetch it: parlex backfill --dataset votes {session}")
    if as_json:
        _print_json(record.as_json())
        _print_records(parties if by_party else ballots)
        return
    console = tables.console()
    for table in tables_house.vote(record, parties, ballots):
        console.print(table)
