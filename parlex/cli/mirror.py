"""The commands about the mirror itself: what changed, whether it is complete, what is in doubt, and its copies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from parlex.cli.frame import (
    LOOK,
    OPERATE,
    PROVE,
    SHOWN,
    Commands,
    DatasetOption,
    Json,
    Limit,
    SessionOption,
    load_settings,
    note,
    page,
    print_json,
    print_records,
    reading,
    session_id,
    working,
)
from parlex.errors import ConfigurationError, UsageError
from parlex.parliament import SessionId

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from parlex.datasets.dataset import RecordDataset
    from parlex.datasets.verify import Completeness, Sample

commands = typer.Typer(cls=Commands)
quarantine = typer.Typer(cls=Commands, help="What was not believed, and a person's word on it.", no_args_is_help=True)

BATCH = 200  # records read again in one transaction

Sessions = Annotated[
    list[SessionId] | None,
    typer.Argument(parser=session_id, metavar="[SESSION...]", help="As 44-1 45-1; else all held."),
]
Number = Annotated[int, typer.Argument(min=1, metavar="ID", help="As parlex quarantine list shows it.")]
Numbers = Annotated[list[int], typer.Argument(min=1, metavar="ID...", help="As parlex quarantine list shows them.")]


@commands.command(rich_help_panel=LOOK)
def changes(
    after: Annotated[int, typer.Option(min=0, help="Only what came after this sequence number.")] = 0,
    limit: Limit = None,
    dataset: DatasetOption = "bills",
    as_json: Json = False,
) -> None:
    """Show what changed, oldest first. Going on from the last number seen misses nothing."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.mirror import history

    if dataset != "bills":
        _record_changes(dataset, after, limit, as_json=as_json)
        return
    with reading() as db:
        found = history.changes(db, after, limit=limit if limit or as_json else SHOWN + 1)
        if as_json:
            print_records(found)
            return
        rows, more = page(found, limit)
    if rows:
        layout.console().print(tables.changes(rows))
    note(f"more: parlex changes --after {rows[-1].seq}" if more else f"{len(rows)} changes")


@commands.command(rich_help_panel=PROVE)
def verify(
    sessions: Sessions = None,
    deep: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Also ask for N bills again, drawn at random, and compare.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Draw the same bills as another time.")] = None,
    dataset: DatasetOption = "bills",
    as_json: Json = False,
) -> None:
    """Judge whether the copy is complete, session by session. Exits 1 when one is not."""
    from parlex.datasets import verify

    if dataset != "bills":
        return _verify_records(dataset, sessions or [], deep=deep is not None, as_json=as_json)
    chosen = sessions or []
    sample: Sample | None = None
    if deep is None:
        with reading() as db:
            found = list(verify.verify(db, chosen))
    else:
        settings = load_settings()
        settings.require_contact()
        with working(settings) as resources:
            with resources.db() as db:
                found = list(verify.verify(db, chosen))
            sample = verify.sample(resources, deep, chosen, seed=seed)
    _print_verified(found, sample, as_json=as_json)
    whole = all(one.complete for one in found) and (sample is None or sample.clean)
    raise typer.Exit(0 if found and whole else 1)


def _print_verified(found: Sequence[Completeness], sample: Sample | None, *, as_json: bool) -> None:
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables

    if as_json:
        for one in found:
            print_json(one.as_json() | {"deep": sample.of(one.session).as_json() if sample else None})
        return
    console = layout.console()
    console.print(tables.completeness(found))
    findings = tables.findings(found)
    if findings.row_count:
        console.print(findings)
    if sample is not None:
        console.print(tables.sample(sample))
    wanting = sum(not one.complete for one in found)
    note(f"{len(found)} sessions, {wanting or 'none'} incomplete" if found else "nothing is held: parlex backfill 45-1")


@commands.command(rich_help_panel=PROVE)
def disagreements(
    session: SessionOption = None,
    lag: Annotated[bool, typer.Option("--lag", help="Only how long OpenParliament comes after LEGISinfo.")] = False,
    as_json: Json = False,
) -> None:
    """Show where the two sources differ, with both values, and how long OpenParliament comes after LEGISinfo."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.datasets.bills import disagreements as between

    with reading() as db:
        if as_json:
            print_records(between.lags(db, session) if lag else between.disagreements(db, session))
            return
        rows = [] if lag else list(between.disagreements(db, session))
        lags = between.lags(db, session)
    console = layout.console()
    if rows:
        console.print(tables.disagreements(rows))
    if lags:
        console.print(tables.lags(lags))
    if not lag:
        note(f"{len(rows)} disagreements")


@commands.command(rich_help_panel=PROVE)
def replay(
    session: SessionOption = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="Only bills with a document fetched since a day (Ottawa), or an instant."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Make the differences, as reparsed changes.")] = False,
    dataset: DatasetOption = "bills",
    as_json: Json = False,
) -> None:
    """Read the archived documents again with today's code, offline, and show what rows would differ."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.datasets import replay as again
    from parlex.datasets.bills import past

    if dataset != "bills":
        return _replay_records(dataset, session, since is not None, apply=apply, as_json=as_json)
    start = past.start_of(since) if since is not None else None
    rows: list[again.Difference] = []
    bills, errors = 0, 0
    with working(load_settings()) as resources:
        for part in again.replay(resources, session=session, since=start, apply=apply):
            bills += part.bills
            errors += len(part.errors)
            for error in part.errors:
                note(error)
            if as_json:
                print_records(part.differences)
            else:
                rows += part.differences
    if rows:
        layout.console().print(tables.differences(rows))
    if not as_json:
        done = "made" if apply else "would be made (parlex replay --apply makes them)"
        note(
            f"{bills} bills read again, {len(rows)} changes {done}" if rows else f"{bills} bills read again, no change"
        )
    raise typer.Exit(1 if errors else 0)


@commands.command(rich_help_panel=OPERATE)
def archive() -> None:
    """Write the documents that the archive (PARLEX_ARCHIVE_URL) does not have yet."""
    from parlex.watch import upkeep

    settings = load_settings()
    if settings.archive_url is None:
        raise ConfigurationError("PARLEX_ARCHIVE_URL is not set: name a folder or s3://bucket/prefix")
    with working(settings) as resources:
        written = upkeep.archive(resources)
    note(f"{written} documents written")


@commands.command(rich_help_panel=OPERATE)
def export(
    to: Annotated[
        str | None, typer.Option(metavar="PLACE", help="A folder or s3://bucket/prefix; else PARLEX_EXPORT_URL.")
    ] = None,
    format: Annotated[
        list[str] | None, typer.Option(help="parquet, csv, jsonl or sqlite; may be repeated; all unless given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write all bills, stages and changes to files with a manifest, all of one moment."""
    from parlex.mirror import export as exporting

    settings = load_settings()
    place = to or (settings.export_url.get_secret_value() if settings.export_url else None)
    if place is None:
        raise ConfigurationError("say where to: parlex export --to FOLDER, or set PARLEX_EXPORT_URL")
    with working(settings) as resources:
        manifest = exporting.export(resources, place, format or ())
    if as_json:
        print_json(manifest.to_dict())
        return
    for file in manifest.files:
        print(f"{file.name:32} {file.rows:>9,} rows {file.bytes:>13,} bytes")
    note(f"as of change {manifest.as_of_seq}")


@quarantine.command("list")
def list_entries(
    session: SessionOption = None,
    state: Annotated[str, typer.Option(help="open, approved, rejected, resolved, or all.")] = "open",
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List what is in quarantine, newest first."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.datasets import verdicts

    wanted = None if state == "all" else state
    with reading() as db:
        most = limit if limit or as_json else SHOWN + 1
        found = list(verdicts.entries(db, state=wanted, session=session, limit=most))
    if as_json:
        print_records(found)
        return
    shown = found if limit else found[:SHOWN]
    if shown:
        layout.console().print(tables.quarantine(shown))
    more = len(found) > len(shown)
    note(f"the newest {SHOWN}; more: parlex quarantine list --limit N" if more else f"{len(shown)} {state} entries")


@quarantine.command("show")
def show_entry(number: Number, as_json: Json = False) -> None:
    """Show one entry in full: what is held, what was offered, where it came from."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.datasets import verdicts

    with reading() as db:
        found = verdicts.entry(db, number)
    if as_json:
        print_json(found.as_json())
    else:
        layout.console().print(tables.parked(found))


@quarantine.command("approve")
def approve_entries(numbers: Numbers, as_json: Json = False) -> None:
    """Believe the source after all: a blank field at once, a list when it next comes. All of the entries, or none."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.datasets import verdicts

    now = datetime.now(UTC)
    with reading() as db:
        changed = {number: verdicts.approve(db, number, now=now) for number in numbers}
        found = {number: verdicts.entry(db, number) for number in numbers}
        db.commit()
    if as_json:
        for number, entry in found.items():
            print_json(entry.as_json() | {"changed": [item.as_json() for item in changed[number]]})
        return
    if rows := [item for items in changed.values() for item in items]:
        layout.console().print(tables.differences(rows))
    for number, entry in found.items():
        note(f"{number} approved" + (": the next list is believed in spite of it" if entry.kind == "sweep" else ""))


@quarantine.command("reject")
def reject_entries(numbers: Numbers, as_json: Json = False) -> None:
    """Keep what the mirror holds. All of the entries, or none."""
    from parlex.datasets import verdicts

    now = datetime.now(UTC)
    with reading() as db:
        for number in numbers:
            verdicts.reject(db, number, now=now)
        found = [verdicts.entry(db, number) for number in numbers]
        db.commit()
    if as_json:
        print_records(found)
        return
    for number in numbers:
        note(f"{number} rejected: the mirror keeps what it holds")


@contextmanager
def _records(name: str) -> Iterator[tuple[Session, RecordDataset]]:
    from parlex.datasets.dataset import RecordDataset

    with working(load_settings()) as resources:
        dataset = resources.datasets.get(name)
        if not isinstance(dataset, RecordDataset):
            raise UsageError(f"{name!r} is not a dataset; known: {', '.join(resources.datasets)}")
        with resources.db() as db:
            yield db, dataset


def _record_changes(name: str, after: int, limit: int | None, *, as_json: bool) -> None:
    """``parlex changes --dataset``."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.mirror import history

    with _records(name) as (db, dataset):
        found = history.record_changes(db, dataset.name, after, limit=limit if limit or as_json else SHOWN + 1)
        if as_json:
            print_records(found)
            return
        rows, more = page(found, limit)
    if rows:
        layout.console().print(tables.record_changes(rows))
    onward = f"more: parlex changes --dataset {name} --after {rows[-1].seq}" if more else f"{len(rows)} changes"
    note(onward)


def _verify_records(name: str, sessions: Sequence[SessionId], *, deep: bool, as_json: bool) -> None:
    """``parlex verify --dataset``. Exits 1 where a list is not complete, or there is none."""
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.datasets import list_check

    if deep:
        raise UsageError("--deep draws bills; leave --dataset out")
    with _records(name) as (db, dataset):
        found = list(list_check.verify(db, dataset, tuple(map(str, sessions))))
    if as_json:
        print_records(found)
    else:
        layout.console().print(tables.checks(found))
    raise typer.Exit(0 if found and all(one.complete for one in found) else 1)


def _replay_records(name: str, session: SessionId | None, since: bool, *, apply: bool, as_json: bool) -> None:
    """``parlex replay --dataset``. Exits 1 where today's code cannot read a document."""
    from parlex import answers
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
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
                note(error)
    if as_json:
        for one in rows:
            print_json({field: answers.as_json(value) for field, value in asdict(one).items()})
    elif rows:
        layout.console().print(tables.record_differences(rows))
    if not as_json:
        done = "made" if apply else "would be made"
        note(f"{count} {name} read again, " + (f"{len(rows)} changes {done}" if rows else "no change"))
    raise typer.Exit(1 if errors else 0)
