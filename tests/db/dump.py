"""A mirror that an older version filled, and how to put it into a database: see ``make_at_0006.py``."""

from __future__ import annotations

import json
import lzma
import zlib
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, inspect, text

from parlex.db import migrate
from parlex.mirror.archive import open_archive

Row = dict[str, Any]

DUMP = Path(__file__).with_name("at_0006.jsonl.xz")
ARCHIVE = "archive"  # no table: the documents that only the archive has
DOCUMENTS = "documents"  # their bodies stand in the dump as they were before compression, one character a byte
BATCH = 500  # rows a statement


@cache
def dumped() -> dict[str, list[Row]]:
    """The dump's rows by table, each a row as PostgreSQL's ``to_jsonb`` tells it."""
    found: dict[str, list[Row]] = {}
    with lzma.open(DUMP, "rt", encoding="utf-8") as lines:
        for line in lines:
            table, row = json.loads(line)
            found.setdefault(table, []).append(row)
    return found


def load(url: str, revision: str = "0006") -> list[str]:
    """Migrate an empty database to ``revision``, and fill those of the dump's tables that exist there; their names."""
    migrate.upgrade(url, revision)
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        known = set(inspect(connection).get_table_names())
        tables = [table for table in dumped() if table in known]
        for table in tables:
            rows = dumped()[table]
            for start in range(0, len(rows), BATCH):
                _insert(connection, table, rows[start : start + BATCH])
            _go_on_counting(connection, table)
    return tables


def rows(url: str, table: str) -> list[Row]:
    """What a table or a view holds now, told as the dump tells it."""
    engine = create_engine(url, poolclass=NullPool, connect_args={"options": "-c timezone=UTC"})
    with engine.connect() as connection:
        if table != DOCUMENTS:
            return list(connection.scalars(text(f"SELECT to_jsonb(t) FROM {table} t")))
        found = connection.execute(text("SELECT to_jsonb(t), body FROM documents t"))
        return [row | {"body": None if body is None else _shown(body)} for row, body in found]


def fill_archive(folder: Path) -> None:
    """Make an archive of the documents whose bodies the database has no more."""
    archive = open_archive(str(folder))
    archive.put_all({row["sha256"]: _kept(row["body"]) for row in dumped()[ARCHIVE]})


def _insert(connection: Connection, table: str, rows: Sequence[Row]) -> None:
    """Types are the table's own business: PostgreSQL reads each value as that of its column."""
    if table == DOCUMENTS:
        rows = [row | {"body": row["body"] and f"\\x{_kept(row['body']).hex()}"} for row in rows]
    query = f"INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(null::{table}, CAST(:rows AS jsonb))"
    connection.execute(text(query), {"rows": json.dumps(rows)})


def _go_on_counting(connection: Connection, table: str) -> None:
    """Where the database numbers the rows, the next one follows those that were loaded with their numbers."""
    columns: Iterable[Any] = inspect(connection).get_columns(table)
    for name in [column["name"] for column in columns if column.get("identity")]:
        sequence = f"pg_get_serial_sequence('{table}', '{name}')"
        connection.execute(text(f"SELECT setval({sequence}, (SELECT max({name}) FROM {table}))"))


def _kept(body: str) -> bytes:
    return zlib.compress(body.encode("latin-1"))


def _shown(body: bytes) -> str:
    return zlib.decompress(body).decode("latin-1")
