"""The commands about the House: its politicians.

Part of ``cli``, which imports this file at its end; the same rules hold.
"""

from __future__ import annotations

from typing import Annotated

import typer

from parlex.cli import Json, Limit, _note, _print_json, _print_records, _reading, app
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
    """Show one politician: how to reach them, their memberships, the bills they sponsored."""
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
