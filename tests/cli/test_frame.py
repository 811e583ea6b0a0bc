"""What a command opens: which database it takes, which it leaves alone, and how it says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, inspect, make_url, text
from sqlalchemy.orm import Session

from parlex.db import migrate
from parlex.settings import Settings, environment
from tests import rows
from tests.commands import complaint, run

READING = [["bills"], ["changes"], ["runs"], ["monitor"], ["verify"], ["quarantine", "list"], ["replay"], ["alerts"]]


def test_a_database_that_is_away_is_one_line(settings: Settings) -> None:
    done = run(settings, "bills", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/db")
    assert "DATABASE_URL" in complaint(done, 1)
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_where_nothing_is_held_makes_no_home(settings: Settings, tmp_path: Path, command: list[str]) -> None:
    home = tmp_path / "elsewhere"
    told = complaint(run(settings, *command, DATABASE_URL="", PARLEX_HOME=str(home)), 2)
    assert f"PARLEX_HOME ({home})" in told
    assert "parlex fetch" in told
    assert not home.exists()


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_an_empty_database_changes_nothing(settings: Settings, empty_database: str, command: list[str]) -> None:
    told = complaint(run(settings, *command, DATABASE_URL=empty_database), 2)
    assert "parlex db upgrade" in told
    assert tables(empty_database) == []


def test_reading_a_foreign_database_changes_nothing(settings: Settings, empty_database: str) -> None:
    execute(empty_database, "CREATE TABLE bills (id integer)")
    assert "has no tables of Parlex" in complaint(run(settings, "bills", DATABASE_URL=empty_database), 2)
    assert tables(empty_database) == ["bills"]


def test_the_first_fetch_makes_the_tables(live: Settings, empty_database: str) -> None:
    assert run(live, "fetch", "--limit", "1", DATABASE_URL=empty_database).returncode == 0
    assert migrate.current(empty_database) == migrate.head()


def test_a_database_of_another_version_is_left_alone(settings: Settings, db: Session) -> None:
    db.connection().exec_driver_sql("update alembic_version set version_num = '0000'")
    db.commit()
    assert "parlex db upgrade" in complaint(run(settings, "bills"), 2)


@pytest.mark.parametrize("command", [["bills"], ["fetch"], ["db", "upgrade"]], ids=" ".join)
def test_a_database_that_is_newer_is_left_alone(settings: Settings, db: Session, command: list[str]) -> None:
    db.connection().exec_driver_sql("update alembic_version set version_num = '0999'")
    db.commit()
    told = complaint(run(settings, *command), 2)
    assert f"newer than this Parlex (schema 0999, this program knows {migrate.head()})" in told
    assert db.connection().exec_driver_sql("select version_num from alembic_version").scalar() == "0999"


def test_a_database_that_is_read_only_is_one_line(live: Settings, database: str) -> None:
    name = make_url(database).database
    execute(database, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    done = run(live, "fetch")
    assert "the database refuses: it is read-only" in done.stderr.splitlines()[-1]
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert run(live, "bills").returncode == 0


PRINTING = [
    ["--help"],
    ["--version"],
    ["bills", "--help"],
    ["bills"],
    ["bills", "--json"],
    ["bill", "45-1", "C-2"],
    ["politicians"],
    ["politician", "jane-doe"],
    ["votes"],
    ["vote", "45-1", "1", "--json"],
    ["changes"],
    ["changes", "--json"],
    ["runs"],
    ["runs", "--json"],
    ["verify"],
    ["verify", "--json"],
    ["monitor"],
    ["schedule"],
    ["hosts"],
    ["config"],
    ["doctor"],
    ["completion", "bash"],
    ["export", "--to", "-", "--json"],
    ["fetch", "--limit", "1"],
    ["fetch", "--limit", "1", "--json"],
]


@pytest.mark.parametrize("command", PRINTING, ids=" ".join)
def test_where_nobody_reads_a_command_ends_quietly(
    live: Settings, db: Session, tmp_path: Path, command: list[str]
) -> None:
    """As ``parlex changes | head -1`` does to what is more than a pipe holds; here nobody reads from the start."""
    if command[0] != "fetch":  # which brings its own
        db.add_all([rows.bill(), rows.change(1), rows.run(), rows.vote(1), rows.politician("jane-doe")])
        db.commit()
    words = [str(tmp_path / "out") if word == "-" else word for word in command]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "parlex", *words],
            env=environment(live),
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=90,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def tables(url: str) -> list[str]:
    engine = create_engine(url, poolclass=NullPool)
    return inspect(engine).get_table_names()


def execute(url: str, statement: str) -> None:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(statement))
