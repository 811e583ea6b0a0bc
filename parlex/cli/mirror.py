"""The commands about the mirror itself: what changed, whether it is complete, what is in doubt, and its copies."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from parlex.answers import counted
from parlex.cli.frame import (
    BILLS,
    LOOK,
    MOST,
    OPERATE,
    PROVE,
    SHOWN,
    Commands,
    DatasetOption,
    Json,
    Newest,
    SessionOption,
    command,
    dataset_of,
    load_settings,
    looking,
    note,
    page,
    print_json,
    print_records,
    reading,
    scopes_of,
    session_id,
    working,
)
from parlex.errors import ConfigurationError
from parlex.parliament import SessionId, start_of

if TYPE_CHECKING:
    from parlex.datasets.dataset import Dataset
    from parlex.datasets.verify import Completeness, Sample

commands = typer.Typer(cls=Commands)
quarantine = typer.Typer(cls=Commands, help="List what was not believed, and give a person's word on it.")

PART = 500  # changes in memory, and in one table

Sessions = Annotated[
    list[SessionId] | None,
    typer.Argument(
        parser=session_id, metavar="SESSION", help="The sessions, like 44-1 45-1. Without them, all that are held."
    ),
]
OnlyDataset = Annotated[
    str | None, typer.Option("--dataset", metavar="NAME", help="Only this dataset: bills, politicians or votes.")
]
State = Annotated[
    str,
    typer.Option(metavar="STATE", help="Only entries that are pending, open, approved, rejected or resolved; or all."),
]
Number = Annotated[
    int, typer.Argument(min=1, metavar="ID", help="The entry's number, as parlex quarantine list shows it.")
]
Numbers = Annotated[
    list[int],
    typer.Argument(min=1, metavar="ID", help="The entries' numbers, as parlex quarantine list shows them."),
]


@command(commands, LOOK)
def changes(
    after: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="Only what came after the change with this number.")
    ] = 0,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, metavar="N", help="Print the first N of them. Without it, print all."),
    ] = None,
    dataset: OnlyDataset = None,
    as_json: Json = False,
) -> None:
    """Show what changed, oldest first. A reader who goes on from the last number seen misses nothing.

    The table and --json give the same changes for the same question.

    Example: parlex changes --after 120

    Example: parlex changes --dataset votes --json --limit 1000
    """
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.mirror import history

    with looking() as resources, resources.db() as db:
        name = dataset_of(resources, dataset).name if dataset else None
        found = history.changes(db, after, dataset=name, limit=limit)
        if as_json:
            print_records(found)
            return
        console, count, last = layout.console(), 0, after
        while rows := list(islice(found, PART)):
            console.print(tables.changes(rows))
            count, last = count + len(rows), rows[-1].seq
    option = f" --dataset {name}" if name else ""
    told = counted(count, "change") if count else "no changes"
    note(f"{told}; what comes next: parlex changes{option} --after {last}")


@command(commands, PROVE)
def verify(
    sessions: Sessions = None,
    deep: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, metavar="N", help="Also ask for N of them again, drawn at random, and compare."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Draw the same ones as another time with this number.")
    ] = None,
    dataset: DatasetOption = "bills",
    as_json: Json = False,
) -> None:
    """Judge whether the copy is complete, session by session. Exits 1 when one is not.

    Example: parlex verify 45-1 --deep 20
    """
    from parlex.datasets import verify
    from parlex.datasets.scopes import to_fetch

    settings = load_settings()
    if deep is not None:
        settings.require_contact()
    sample: Sample | None = None
    with looking() if deep is None else working(settings) as resources:
        chosen, scopes = dataset_of(resources, dataset), scopes_of(resources, dataset, sessions)
        with resources.db() as db:
            found = list(verify.verify(db, chosen, scopes))
            advice = to_fetch(db, chosen)
        if deep is not None:
            sample = verify.sample(resources.db, chosen, resources.fetchers, deep, scopes, seed=seed)
        _print_verified(chosen, found, sample, as_json=as_json)
    if not found and not as_json:
        note(f"nothing is held; {advice}")
    whole = all(one.complete for one in found) and (sample is None or sample.clean)
    raise typer.Exit(0 if found and whole else 1)


def _print_verified(dataset: Dataset, found: Sequence[Completeness], sample: Sample | None, *, as_json: bool) -> None:
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables

    if as_json:
        for one in found:
            print_json(one.as_json() | {"deep": sample.of(dataset, one.scope).as_json() if sample else None})
        return
    console = layout.console()
    console.print(tables.completeness(found))
    findings = tables.findings(found)
    if findings.rows:
        console.print(findings)
    if sample is not None:
        console.print(tables.sample(sample, dataset.one))
    wanting = sum(not one.complete for one in found)
    what = counted(len(found), "session" if dataset.by_session else "list")
    if found:
        note(f"{what}, {wanting or 'none'} incomplete")


@command(commands, PROVE)
def disagreements(
    session: SessionOption = None,
    lag: Annotated[
        bool, typer.Option("--lag", help="Show only how long OpenParliament comes after LEGISinfo.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show where the two sources differ, with both values, and how long OpenParliament comes after LEGISinfo.

    Where one of them contradicts itself is told too.

    Example: parlex disagreements --session 45-1
    """
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.datasets.bills import disagreements as between
    from parlex.datasets.scopes import require_held

    with looking() as resources, resources.db() as db:
        bills = resources.datasets[BILLS]
        require_held(db, bills, [str(session)] if session else [])
        if as_json:
            print_records(between.lags(db, session) if lag else between.disagreements(db, bills, session))
            return
        rows = [] if lag else list(between.disagreements(db, bills, session))
        lags = between.lags(db, session)
    console = layout.console()
    if rows:
        console.print(tables.disagreements(rows))
    if lags:
        console.print(tables.lags(lags))
    if not lag:
        note(counted(len(rows), "disagreement"))


@command(commands, PROVE)
def replay(
    session: SessionOption = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="MOMENT", help="Read only what has a document fetched since a day (in Ottawa), or an instant."
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Make the changes, of the kind reparsed.")] = False,
    dataset: DatasetOption = "bills",
    as_json: Json = False,
) -> None:
    """Read the archived documents again with today's code, offline, and show what rows would differ.

    Example: parlex replay --session 45-1

    Example: parlex replay --since 2026-03-01 --apply
    """
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.datasets import replay as again

    start = start_of(since) if since is not None else None
    rows: list[again.Difference] = []
    count, errors = 0, 0
    with looking() as resources:
        chosen, scopes = dataset_of(resources, dataset), scopes_of(resources, dataset, [session] if session else None)
        archived = resources.archive.get if resources.archive else None
        now = datetime.now(UTC)
        parts = again.replay(resources.db, chosen, now=now, scopes=scopes, since=start, apply=apply, archived=archived)
        for part in parts:
            count += part.records
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
        changed = f"{counted(len(rows), 'change')} {done}" if rows else "no change"
        note(f"{counted(count, chosen.one)} read again, {changed}")
    raise typer.Exit(1 if errors else 0)


@command(commands, OPERATE)
def archive() -> None:
    """Write the documents that the archive (PARLEX_ARCHIVE_URL) does not have yet."""
    from parlex.watch import upkeep

    settings = load_settings()
    if settings.archive_url is None:
        raise ConfigurationError("PARLEX_ARCHIVE_URL is not set: name a folder or s3://bucket/prefix")
    with working(settings) as resources:
        written = upkeep.archive(resources)
    note(f"{counted(written, 'document')} written")


@command(commands, OPERATE)
def export(
    to: Annotated[
        str | None, typer.Option(metavar="PLACE", help="A folder or s3://bucket/prefix. Without it, PARLEX_EXPORT_URL.")
    ] = None,
    format: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT", help="One of parquet, csv, jsonl and sqlite; may be given several times. Without it, all."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write all that is held, and its history, to files with a manifest, all of one moment.

    Example: parlex export --to out --format csv --format sqlite
    """
    from parlex.mirror import export as exporting

    settings = load_settings()
    place = to or (settings.export_url.get_secret_value() if settings.export_url else None)
    if place is None:
        raise ConfigurationError("say where to: parlex export --to FOLDER, or set PARLEX_EXPORT_URL")
    with working(settings) as resources:
        manifest = exporting.export(resources.engine, resources.datasets.values(), place, format or ())
    if as_json:
        print_json(manifest.to_dict())
        return
    for file in manifest.files:
        print(f"{file.name:32} {file.rows:>9,} rows {file.bytes:>13,} bytes")
    note(f"as of change {manifest.as_of_seq}")


@quarantine.callback(invoke_without_command=True)
def list_open(
    ctx: typer.Context,
    session: SessionOption = None,
    state: State = "open",
    dataset: OnlyDataset = None,
    limit: Newest = None,
    as_json: Json = False,
) -> None:
    """List what is in quarantine, newest first."""
    if not ctx.invoked_subcommand:
        _list_entries(session, state, dataset, limit, as_json=as_json)


@command(quarantine, name="list")
def list_entries(
    session: SessionOption = None,
    state: State = "open",
    dataset: OnlyDataset = None,
    limit: Newest = None,
    as_json: Json = False,
) -> None:
    """List what is in quarantine, newest first.

    Pending is a blank whose run is not over: its end tells whether it is believed, or open. Resolved is what the source
    has mended since; where a person had decided on it, its reason says what, and when.

    Example: parlex quarantine list --state all

    Example: parlex quarantine list --dataset votes
    """
    _list_entries(session, state, dataset, limit, as_json=as_json)


def _list_entries(
    session: SessionId | None, state: str, dataset: str | None, limit: int | None, *, as_json: bool
) -> None:
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.datasets import verdicts

    wanted = None if state == "all" else state
    with looking() as resources, resources.db() as db:
        name = dataset_of(resources, dataset).name if dataset else None
        most = limit if limit or as_json else SHOWN + 1
        found = list(verdicts.entries(db, state=wanted, session=session, dataset=name, limit=most))
    if as_json:
        print_records(found)
        return
    shown, more = page(found, limit)
    if shown:
        layout.console().print(tables.quarantine(shown))
    told = counted(len(shown), *(f"{wanted or ''} {noun}".strip() for noun in ("entry", "entries")))
    note(f"the newest {SHOWN}; more: parlex quarantine list --limit N" if more else told)


@command(quarantine, name="show")
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


@command(quarantine, name="approve")
def approve_entries(numbers: Numbers, as_json: Json = False) -> None:
    """Believe the source after all: a blank field at once, a list when it next comes.

    All of the entries are approved, or none.

    Example: parlex quarantine approve 12 13
    """
    from parlex.cli.tables import layout
    from parlex.cli.tables import mirror as tables
    from parlex.datasets import verdicts

    now = datetime.now(UTC)
    with looking() as resources, resources.db() as db:
        changed = {number: verdicts.approve(db, resources.datasets, number, now=now) for number in numbers}
        found = {number: verdicts.entry(db, number) for number in numbers}
    if as_json:
        for number, entry in found.items():
            print_json(entry.as_json() | {"changed": [item.as_json() for item in changed[number]]})
        return
    if rows := [item for items in changed.values() for item in items]:
        layout.console().print(tables.differences(rows))
    for number, entry in found.items():
        note(f"{number} approved" + (": the next list is believed in spite of it" if entry.kind == "sweep" else ""))


@command(quarantine, name="reject")
def reject_entries(numbers: Numbers, as_json: Json = False) -> None:
    """Keep what the mirror holds.

    A blank is kept out for good, a list as long as the same is wrong with it; once the source gives a value or a good
    list, that is taken and the entry is resolved.

    All of the entries are rejected, or none.

    Example: parlex quarantine reject 12
    """
    from parlex.datasets import verdicts

    now = datetime.now(UTC)
    with looking() as resources, resources.db() as db:
        for number in numbers:
            verdicts.reject(db, resources.datasets, number, now=now)
        found = [verdicts.entry(db, number) for number in numbers]
    if as_json:
        print_records(found)
        return
    for number in numbers:
        note(f"{number} rejected: the mirror keeps what it holds")
