"""The commands about the House: its politicians, its votes.

Part of ``cli``, which imports this file at its end; the same rules hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from parlex.cli.app import (
    SHOWN,
    Json,
    Limit,
    SessionArgument,
    SessionOption,
    _note,
    _page,
    _print_json,
    _print_records,
    _reading,
    _settings,
    _to_fetch,
    _working,
    app,
)
from parlex.errors import UsageError
from parlex.parliament import SessionId

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from parlex.datasets.dataset import RecordDataset

BATCH = 200  # records read again in one transaction


@app.command()
def politicians(
    current: Annotated[bool, typer.Option("--current", help="Only those who sit in the House today.")] = False,
    name: Annotated[str | None, typer.Option(help="Only those whose name holds this text.")] = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List the politicians that are held: members, former members, and others who sponsor bills."""
    from parlex.cli import tables, tables_house
    from parlex.datasets.politicians import reads as politician_reads

    with _reading() as db:
        found = politician_reads.politicians(db, current=current, name=name, limit=limit)
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
    from parlex.cli import tables, tables_house
    from parlex.datasets.politicians import reads as politician_reads

    with _reading() as db:
        story = politician_reads.politician(db, slug)
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
    from parlex.cli import tables, tables_house
    from parlex.datasets.votes import reads as vote_reads

    with _reading() as db:
        found = vote_reads.votes(db, session, limit=limit)
        if as_json:
            _print_records(found)
            return
        rows = list(found)
    if rows:
        tables.console().print(tables_house.votes(rows))
    _note(f"{len(rows)} divisions" if rows else f"none are held; {_to_fetch(session, 'votes')}")


@app.command()
def vote(
    session: SessionArgument,
    number: Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="The division's number in its session.")],
    by_party: Annotated[bool, typer.Option("--by-party", help="With --json: parties instead of ballots.")] = False,
    as_json: Json = False,
) -> None:
    """Show one division: its totals, how the parties voted, each member's ballot."""
    from parlex.cli import tables, tables_house
    from parlex.datasets.votes import reads as vote_reads
    from parlex.datasets.votes.vote import VoteKey

    key = VoteKey(session, number)
    with _reading() as db:
        record = vote_reads.vote(db, key)
        parties, ballots = vote_reads.parties(db, key), vote_reads.ballots(db, key)
    if record is None:
        raise UsageError(f"the mirror does not hold {key}; {_to_fetch(session, 'votes')}")
    if as_json:
        _print_json(record.as_json())
        _print_records(parties if by_party else ballots)
        return
    console = tables.console()
    for table in tables_house.vote(record, parties, ballots):
        console.print(table)


# What commands about bills do when asked for another dataset.


@contextmanager
def _records(name: str) -> Iterator[tuple[Session, RecordDataset]]:
    from parlex.datasets.dataset import RecordDataset

    with _working(_settings()) as resources:
        dataset = resources.datasets.get(name)
        if not isinstance(dataset, RecordDataset):
            raise UsageError(f"{name!r} is not a dataset; known: {', '.join(resources.datasets)}")
        with resources.db() as db:
            yield db, dataset


def record_changes(name: str, after: int, limit: int | None, *, as_json: bool) -> None:
    """``parlex changes --dataset``."""
    from parlex.cli import tables, tables_house
    from parlex.mirror import history

    with _records(name) as (db, dataset):
        found = history.record_changes(db, dataset.name, after, limit=limit if limit or as_json else SHOWN + 1)
        if as_json:
            _print_records(found)
            return
        rows, more = _page(found, limit)
    if rows:
        tables.console().print(tables_house.changes(rows))
    onward = f"more: parlex changes --dataset {name} --after {rows[-1].seq}" if more else f"{len(rows)} changes"
    _note(onward)


def verify_records(name: str, sessions: Sequence[SessionId], *, deep: bool, as_json: bool) -> None:
    """``parlex verify --dataset``. Exits 1 where a list is not complete, or there is none."""
    from parlex.cli import tables, tables_house
    from parlex.datasets import list_check

    if deep:
        raise UsageError("--deep draws bills; leave --dataset out")
    with _records(name) as (db, dataset):
        found = list(list_check.verify(db, dataset, tuple(map(str, sessions))))
    if as_json:
        _print_records(found)
    else:
        tables.console().print(tables_house.checks(found))
    raise typer.Exit(0 if found and all(one.complete for one in found) else 1)


def replay_records(name: str, session: SessionId | None, since: bool, *, apply: bool, as_json: bool) -> None:
    """``parlex replay --dataset``. Exits 1 where today's code cannot read a document."""
    from parlex import answers
    from parlex.cli import tables, tables_house
    from parlex.mirror import history, listings

    if since:
        raise UsageError("--since is for bills; leave --dataset out")
    count, errors, rows = 0, 0, list[history.RecordChange]()
    with _records(name) as (db, dataset):
        scopes = [str(session)] if session else listings.scopes(db, name, dataset.list_source)
        keys = sorted(key for scope in scopes for key in dataset.held_keys(db, scope, withdrawn=False))
        for start in range(0, len(keys), BATCH):
            part = dataset.replay(db, keys[start : start + BATCH], apply=apply, now=datetime.now(UTC))
            count, errors, rows = count + part.records, errors + len(part.errors), [*rows, *part.changes]
            for error in part.errors:
                _note(error)
    if as_json:
        for one in rows:
            _print_json({field: answers.as_json(value) for field, value in asdict(one).items()})
    elif rows:
        tables.console().print(tables_house.differences(rows))
    if not as_json:
        done = "made" if apply else "would be made"
        _note(f"{count} {name} read again, " + (f"{len(rows)} changes {done}" if rows else "no change"))
    raise typer.Exit(1 if errors else 0)
