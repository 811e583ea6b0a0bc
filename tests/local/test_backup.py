"""Backup and restore, by PostgreSQL's own programs: whole or not at all, and only into what is empty."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from parlex.db import migrate
from parlex.db.engine import build_engine, build_patient_engine
from parlex.errors import ConfigurationError, UsageError
from parlex.local.backup import MANIFEST, backup, find_program, restore
from parlex.local.sandbox import Sandbox
from parlex.mirror.archive import open_archive
from parlex.settings import Settings
from tests import rows
from tests.commands import complaint, run

BODY = b'{"Bill": 1}'
SHA = sha256(BODY).hexdigest()


@pytest.fixture
def held(make_settings: Callable[..., Settings], db: Session, tmp_path: Path) -> Settings:
    """The settings of a mirror with a bill, and with a document in its archive."""
    db.add(rows.bill("C-2"))
    db.commit()
    open_archive(str(tmp_path / "archive")).put(SHA, zlib.compress(BODY))
    return make_settings(archive_url=str(tmp_path / "archive"))


def url_of(settings: Settings) -> str:
    assert settings.database_url is not None
    return settings.database_url.get_secret_value()


@pytest.fixture
def taken(held: Settings, tmp_path: Path) -> Path:
    backup(held, url_of(held), tmp_path / "backups" / "one")
    return tmp_path / "backups" / "one"


def mirror_of(database_url: str, column: str = "id") -> str:
    with build_patient_engine(database_url).connect() as connection:
        return str(connection.execute(text(f"select {column} from mirror")).scalar_one())


def test_what_is_restored_is_what_was_held(
    make_settings: Callable[..., Settings], sandbox: Sandbox, empty_database: str, tmp_path: Path
) -> None:
    sources = {"legisinfo_url": sandbox.legisinfo_url, "openparliament_url": sandbox.openparliament_url}
    here = make_settings(archive_url=str(tmp_path / "archive"), log_level="WARNING", **sources)
    assert run(here, "fetch", "--limit", "2").returncode == 0
    open_archive(str(tmp_path / "archive")).put(SHA, zlib.compress(BODY))
    done = run(here, "backup", "--to", str(tmp_path / "copy"), "--json")
    told = json.loads(done.stdout)
    assert (told["schema"], told["documents"]) == (migrate.head(), 1)
    assert told == json.loads((tmp_path / "copy" / MANIFEST).read_text())
    there = make_settings(
        database_url=empty_database, archive_url=str(tmp_path / "other"), log_level="WARNING", **sources
    )
    restored = run(there, "restore", "--from", str(tmp_path / "copy"))
    assert restored.returncode == 0, restored.stderr
    assert "an archive (1 document); now: parlex verify" in restored.stderr
    assert open_archive(str(tmp_path / "other")).get(SHA) == BODY
    for command in (["changes", "--json"], ["verify", "--json"]):
        before, after = run(here, *command), run(there, *command)
        assert (after.returncode, after.stdout) == (before.returncode, before.stdout)
        assert before.stdout
    assert mirror_of(url_of(there)) == mirror_of(url_of(here))
    assert mirror_of(url_of(there), "epoch") != mirror_of(url_of(here), "epoch")


def test_a_database_that_holds_anything_is_left_alone(held: Settings, taken: Path, empty_database: str) -> None:
    engine = build_engine(empty_database)
    with engine.begin() as connection:
        connection.execute(text("create schema other; create table other.mine (id int)"))
    engine.dispose()
    with pytest.raises(ConfigurationError, match="is not empty"):
        restore(held, empty_database, taken)
    assert migrate.current(empty_database) is None


def test_documents_need_a_folder_before_anything_is_done(
    make_settings: Callable[..., Settings], taken: Path, empty_database: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"an archive .1 document.: set PARLEX_ARCHIVE_URL"):
        restore(make_settings(), empty_database, taken)
    assert migrate.current(empty_database) is None


@pytest.mark.parametrize(
    ("manifest", "refused", "told"),
    [
        (None, UsageError, "holds no whole backup"),
        ('{"taken_at": 1}', UsageError, "is not of a backup"),
        (
            '{"taken_at": "", "parlex": "9", "schema": "0099", "postgresql": 1, "documents": 0}',
            ConfigurationError,
            "newer",
        ),
    ],
)
def test_what_is_no_backup_of_ours_is_refused(
    settings: Settings, tmp_path: Path, manifest: str | None, refused: type[Exception], told: str
) -> None:
    if manifest is not None:
        (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(refused, match=told):
        restore(settings, url_of(settings), tmp_path)


def test_a_restore_that_fails_on_its_way_leaves_no_table(
    make_settings: Callable[..., Settings], held: Settings, taken: Path, empty_database: str
) -> None:
    engine = build_engine(empty_database)
    with engine.begin() as connection:
        connection.execute(text("create type bills as (a int)"))  # no table yet, and in the way of one
    there = make_settings(database_url=empty_database, archive_url=str(held.home / "other"))
    assert complaint(run(there, "restore", "--from", str(taken)), 1).startswith("pg_restore: error: ")
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from pg_tables where schemaname = 'public'")).scalar_one() == 0
    engine.dispose()


def test_a_folder_that_is_used_is_left_alone(held: Settings, taken: Path) -> None:
    with pytest.raises(UsageError, match="is not an empty folder"):
        backup(held, url_of(held), taken)


def test_a_database_without_tables_is_not_backed_up(settings: Settings, empty_database: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing to back up"):
        backup(settings, empty_database, tmp_path / "copy")


def test_where_a_program_fails_nothing_is_left_and_no_password_was_shown(held: Settings, tmp_path: Path) -> None:
    """By a program of that name that only tells what it was asked."""
    programs = tmp_path / "programs"
    programs.mkdir()
    fake = programs / "pg_dump"
    server = make_url(url_of(held))
    major = backup(held, url_of(held), tmp_path / "first").postgresql
    fake.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo "pg_dump (PostgreSQL) {major}.1"; exit; fi\n'
        f'printf "%s\\n" "$PGPASSWORD" "$@" > {tmp_path}/asked\necho "pg_dump: error: it is tired" >&2\nexit 3\n'
    )
    fake.chmod(0o755)
    done = run(held, "backup", "--to", str(tmp_path / "copies" / "one"), PATH=f"{programs}:/usr/bin:/bin")
    assert complaint(done, 1) == "pg_dump: error: it is tired"
    password, *asked = (tmp_path / "asked").read_text().splitlines()
    assert password == server.password
    assert str(server.password) not in " ".join(asked)
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_program_that_is_too_old_is_told_with_what_to_install(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"pg_dump of PostgreSQL 99 or newer .* install postgresql-client-99"):
        find_program(settings, "pg_dump", at_least=99)
