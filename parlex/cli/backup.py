"""The commands that keep a copy of the mirror, and that make a mirror from one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parlex.answers import counted
from parlex.cli.frame import (
    OPERATE,
    Commands,
    Json,
    command,
    database_errors,
    load_settings,
    note,
    print_json,
    require_database,
)

if TYPE_CHECKING:
    from parlex.local.backup import Manifest

commands = typer.Typer(cls=Commands)


@command(commands, OPERATE)
def backup(
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where it goes: a folder that is new, or empty.")],
    as_json: Json = False,
) -> None:
    """Copy the database, and the archive where it is a folder, into a folder; work may go on meanwhile.

    Redis needs no backup. An archive in a bucket is not copied.

    Example: parlex backup --to /var/backups/parlex/2026-03-01
    """
    from parlex.local import embedded
    from parlex.local.backup import backup as take

    settings = load_settings()
    require_database(settings)
    with database_errors(), embedded.database(settings) as database_url:
        manifest = take(settings, database_url, to)
    if as_json:
        print_json(asdict(manifest))
    note(f"{to}: {_told(manifest)}")


@command(commands, OPERATE)
def restore(
    source: Annotated[Path, typer.Option("--from", metavar="FOLDER", help="A backup that parlex backup made.")],
) -> None:
    """Fill an empty database from a backup, and the archive's folder.

    Nothing is done where the database holds anything. Afterwards see what parlex verify says.

    Example: parlex restore --from /var/backups/parlex/2026-03-01
    """
    from parlex.db import migrate
    from parlex.local import embedded
    from parlex.local.backup import read_manifest
    from parlex.local.backup import restore as put_back

    settings = load_settings()
    read_manifest(source)  # before an embedded database is made for nothing
    with database_errors(), embedded.database(settings) as database_url:
        manifest = put_back(settings, database_url, source)
    older = "" if manifest.schema == migrate.head() else "parlex db upgrade, then "
    note(f"restored: {_told(manifest)}; now: {older}parlex verify")


def _told(manifest: Manifest) -> str:
    archive = "no archive" if manifest.documents is None else f"an archive ({counted(manifest.documents, 'document')})"
    return f"the database of {manifest.taken_at}, schema {manifest.schema}, and {archive}"
