"""The mirror as files: Parquet, CSV, JSON Lines, and one SQLite database ready for Datasette.

All files of an export show one moment of the mirror: they are read in one REPEATABLE READ transaction. Rows stream
through, a batch at a time, to files in a private folder; only when all are whole do they get their names, and
``manifest.json`` comes last. So whoever finds the manifest's sizes and sums in the files has one consistent export.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast
from urllib.parse import urlsplit
from uuid import UUID

import obstore
import structlog
from obstore.exceptions import BaseError
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Engine,
    Float,
    Integer,
    SmallInteger,
    Table,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from parlex import __version__
from parlex.db.models import VIEWS, Base, ChangeRow
from parlex.errors import ConfigurationError, Retryable, UsageError
from parlex.mirror import archive

log = structlog.get_logger(__name__)

SQLITE = "parlex.sqlite"
MANIFEST = "manifest.json"
MANIFEST_FORMAT = 1
BATCH = 2000  # rows in memory at a time: some 20 MB where each has its summaries


class Exported(Protocol):
    """What an export takes of a dataset."""

    tables: ClassVar[tuple[type[Base], ...]]
    searched: ClassVar[Mapping[str, tuple[str, ...]]]  # the columns that a full-text search covers, by table


@dataclass(frozen=True)
class Snapshot:
    """One moment of the database, and what of it is exported."""

    db: Connection
    tables: tuple[Table, ...]
    searched: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, db: Connection, datasets: Iterable[Exported]) -> Snapshot:
        every = list(datasets)
        models: list[type[Base]] = [*(model for dataset in every for model in dataset.tables), ChangeRow]
        tables = [cast(Table, model.__table__) for model in models]
        searched = {table: columns for dataset in every for table, columns in dataset.searched.items()}
        return cls(db, (*tables, *VIEWS), searched)


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export. ``table`` is None for the SQLite database, whose ``rows`` are those of all its tables."""

    name: str
    format: str
    table: str | None
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """``as_of_seq``: the newest change of the history that the files hold; ``schema``: of the database they come
    from."""

    exported_at: datetime
    as_of_seq: int
    schema: str
    files: tuple[File, ...]

    def to_dict(self) -> dict[str, Any]:
        """As ``manifest.json`` has it; the keys are promised."""
        return {
            "format": MANIFEST_FORMAT,
            "parlex": __version__,
            "schema": self.schema,
            "exported_at": self.exported_at.isoformat(),
            "as_of_seq": self.as_of_seq,
            "files": [asdict(file) for file in self.files],
        }


def export(engine: Engine, datasets: Iterable[Exported], to: str, formats: Sequence[str] = ()) -> Manifest:
    """Write an export to a folder or to ``s3://bucket/prefix``, in the formats named, else in all.

    UsageError for a format that is unknown; ConfigurationError for a place that cannot be, and where Parquet is wanted
    and its library missing; Retryable where the bucket does not take the files, or another export is under way. What
    was there before stays then.
    """
    wanted = _wanted(formats)
    put, parent = _place(to)
    with _alone(engine), tempfile.TemporaryDirectory(prefix=".parlex-export-", dir=parent) as folder:
        manifest = _write_all(engine, datasets, Path(folder), wanted)
        (Path(folder) / MANIFEST).write_text(json.dumps(manifest.to_dict(), indent=2) + "\n", encoding="utf-8")
        for name in (*(file.name for file in manifest.files), MANIFEST):
            put(Path(folder) / name)
    log.info("exported", files=len(manifest.files), as_of_seq=manifest.as_of_seq)
    return manifest


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """One export of a mirror at a time: the files of two would mix.

    The lock is of a transaction, since a pooler may give the next statement of a session to another one.
    """
    with engine.begin() as db:
        db.execute(text("set local idle_in_transaction_session_timeout = 0"))
        if not db.scalar(select(func.pg_try_advisory_xact_lock(func.hashtextextended("export", 0)))):
            raise Retryable("another export is under way")
        yield


def _wanted(formats: Sequence[str]) -> tuple[str, ...]:
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise UsageError(f"{unknown[0]!r} is not a format of an export; known: {', '.join(FORMATS)}")
    wanted = tuple(name for name in FORMATS if name in formats or not formats)
    if "parquet" in wanted:
        _arrow()
    return wanted


def _write_all(engine: Engine, datasets: Iterable[Exported], folder: Path, formats: Sequence[str]) -> Manifest:
    with _snapshot(engine) as db:
        schema = db.execute(text("select version_num from alembic_version")).scalar_one()
        seq = db.execute(select(func.max(ChangeRow.seq))).scalar_one() or 0
        snapshot = Snapshot.of(db, datasets)
        files = [file for name in formats for file in FORMATS[name](snapshot, folder)]
    return Manifest(datetime.now(UTC), seq, schema, tuple(files))


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """One moment of the database, however long the reading takes."""
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as db, db.begin():
        yield db


# Rows.


def _batches(db: Connection, table: Table) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows of a table in the order of its key, with their columns in the order of the table."""
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=BATCH)
    for batch in db.execute(query).partitions():
        yield [tuple(row) for row in batch]


def _plain(value: Any) -> Any:
    """A value as JSON has it: days and instants as ISO text, instants in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _flat(value: Any) -> Any:
    """A value in one cell: what is nested as JSON text."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else _plain(value)


def _flat_row(table: Table, row: Sequence[Any]) -> list[Any]:
    return [_cell(column, value) for column, value in zip(table.columns, row, strict=True)]


def _cell(column: Column[Any], value: Any) -> Any:
    """In a JSON column a text is JSON too: "6" and 6 are told apart."""
    if isinstance(column.type, JSONB) and value is not None:
        return json.dumps(value, ensure_ascii=False)
    return _flat(value)


def _described(path: Path, format: str, table: str | None, rows: int) -> File:
    with path.open("rb") as body:
        digest = hashlib.file_digest(body, "sha256").hexdigest()
    return File(path.name, format, table, rows, path.stat().st_size, digest)


# CSV and JSON Lines.


def _csv(snapshot: Snapshot, folder: Path) -> Iterator[File]:
    """A header, then a row a line; null is an empty cell, true and false are ``true`` and ``false``."""
    for table in snapshot.tables:
        path, rows = folder / f"{table.name}.csv", 0
        with path.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(table.columns.keys())
            for batch in _batches(snapshot.db, table):
                writer.writerows([_csv_cell(cell) for cell in _flat_row(table, row)] for row in batch)
                rows += len(batch)
        yield _described(path, "csv", table.name, rows)


def _csv_cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _jsonl(snapshot: Snapshot, folder: Path) -> Iterator[File]:
    for table in snapshot.tables:
        path, rows, names = folder / f"{table.name}.jsonl", 0, table.columns.keys()
        with path.open("w", encoding="utf-8", newline="\n") as out:
            for batch in _batches(snapshot.db, table):
                for row in batch:
                    line = dict(zip(names, map(_plain, row), strict=True))
                    out.write(json.dumps(line, ensure_ascii=False) + "\n")
                rows += len(batch)
        yield _described(path, "jsonl", table.name, rows)


# SQLite.


def _sqlite(snapshot: Snapshot, folder: Path) -> Iterator[File]:
    """Tables with keys, foreign keys and indexes, and full-text search over the bills' titles and summaries."""
    path = folder / SQLITE
    with closing(sqlite3.connect(path, isolation_level=None)) as out:
        for statement in ("pragma journal_mode = off", "pragma synchronous = off", "begin"):
            out.execute(statement)
        rows = sum(_sqlite_table(snapshot, out, table) for table in snapshot.tables if table not in VIEWS)
        out.execute(_BILL_CHANGES)
        out.execute(_RECORD_CHANGES)
        _sqlite_search(snapshot, out)
        out.execute("commit")
        out.execute("analyze")
        broken = out.execute("pragma foreign_key_check").fetchall()
        if broken:
            raise AssertionError(f"a snapshot whose foreign keys do not hold: {broken[:3]}")
    yield _described(path, "sqlite", None, rows)


def _sqlite_table(snapshot: Snapshot, out: sqlite3.Connection, table: Table) -> int:
    out.execute(_create(snapshot, table))
    insert = f"insert into {table.name} values ({', '.join('?' * len(table.columns))})"
    rows = 0
    for batch in _batches(snapshot.db, table):
        out.executemany(insert, [_flat_row(table, row) for row in batch])
        rows += len(batch)
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        if index.dialect_options["postgresql"].get("where") is None:
            out.execute(f'create index "{index.name}" on {table.name} ({_names(index.columns)})')
    return rows


def _create(snapshot: Snapshot, table: Table) -> str:
    lines = [f'"{c.name}" {_sqlite_type(c)}{"" if c.nullable else " not null"}' for c in table.columns]
    lines.append(f"primary key ({_names(table.primary_key.columns)})")
    exported = {other.name for other in snapshot.tables}
    for key in table.foreign_key_constraints:
        if key.referred_table.name in exported:
            there = ", ".join(f'"{element.column.name}"' for element in key.elements)
            lines.append(f"foreign key ({_names(key.columns)}) references {key.referred_table.name} ({there})")
    return f"create table {table.name} ({', '.join(lines)})"


def _names(columns: Any) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)


def _sqlite_type(column: Column[Any]) -> str:
    if isinstance(column.type, Integer | Boolean):
        return "integer"
    return "real" if isinstance(column.type, Float) else "text"


# The history as two tables, as it was before it was one.
_BILL_CHANGES = """
create view bill_changes as select
    seq,
    cast(substr(key, 1, instr(key, '-') - 1) as integer) as parliament,
    cast(substr(key, instr(key, '-') + 1, instr(key, ' ') - instr(key, '-') - 1) as integer) as session,
    substr(key, instr(key, ' ') + 1) as number,
    kind, field, old, new, observed_at, run_id, source, document
from changes where dataset = 'bills'
"""
_RECORD_CHANGES = """
create view record_changes as select
    seq, dataset, key, kind, field, old, new, observed_at, run_id, source, document
from changes where dataset <> 'bills'
"""


def _sqlite_search(snapshot: Snapshot, out: sqlite3.Connection) -> None:
    """A search over each table that has words. Datasette finds it by its content, named in double quotes."""
    for table, columns in snapshot.searched.items():
        names = ", ".join(columns)
        out.execute(f'create virtual table {table}_fts using fts5({names}, content="{table}")')
        out.execute(f"insert into {table}_fts ({table}_fts) values ('rebuild')")


# Parquet.


def _parquet(snapshot: Snapshot, folder: Path) -> Iterator[File]:
    """Columns typed as the database has them; what is JSON there is JSON text."""
    core, io = _arrow()
    for table in snapshot.tables:
        path, rows = folder / f"{table.name}.parquet", [0]
        fields = [core.Field(c.name, _arrow_type(core, c), nullable=bool(c.nullable)) for c in table.columns]
        schema = core.Schema(fields)
        reader = core.RecordBatchReader.from_batches(schema, _record_batches(snapshot.db, table, core, schema, rows))
        io.write_parquet(reader, str(path), compression="zstd(3)", created_by=f"parlex {__version__}")
        yield _described(path, "parquet", table.name, rows[0])


def _arrow() -> tuple[Any, Any]:
    try:
        # A tenth of pyarrow's size; it comes with parlex[parquet].
        return importlib.import_module("arro3.core"), importlib.import_module("arro3.io")
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "Parquet needs a library: pip install 'parlex[parquet]', or name other formats"
        ) from error


def _record_batches(db: Connection, table: Table, core: Any, schema: Any, rows: list[int]) -> Iterator[Any]:
    for batch in _batches(db, table):
        rows[0] += len(batch)
        columns = zip(*batch, strict=True)
        arrays = [_array(core, column, values) for column, values in zip(table.columns, columns, strict=True)]
        yield core.RecordBatch.from_arrays(arrays, schema=schema)


def _arrow_type(core: Any, column: Column[Any]) -> Any:
    kinds = core.DataType
    if isinstance(column.type, ARRAY):
        return kinds.list(core.Field("", kinds.utf8(), nullable=True))
    if isinstance(column.type, DateTime):
        return kinds.timestamp("us", tz="UTC")
    for sql, kind in _ARROW_TYPES:
        if isinstance(column.type, sql):
            return getattr(kinds, kind)()
    return kinds.utf8()


_ARROW_TYPES: tuple[tuple[type[Any], str], ...] = (
    (SmallInteger, "int16"),
    (BigInteger, "int64"),
    (Integer, "int32"),
    (Boolean, "bool"),
    (Float, "float64"),
    (Date, "date32"),
)
_EPOCH, _EPOCH_DAY = datetime(1970, 1, 1, tzinfo=UTC), date(1970, 1, 1)


def _array(core: Any, column: Column[Any], values: Sequence[Any]) -> Any:
    kinds, kind = core.DataType, _arrow_type(core, column)
    if isinstance(column.type, ARRAY):
        return _lists(core, column, values)
    if isinstance(column.type, DateTime):
        return core.Array([None if v is None else _micros(v) for v in values], kinds.int64()).cast(kind)
    if isinstance(column.type, Date):
        return core.Array([None if v is None else (v - _EPOCH_DAY).days for v in values], kinds.int32()).cast(kind)
    if kind == kinds.utf8():
        values = [_cell(column, value) for value in values]
    return core.Array(list(values), kind)


def _micros(value: datetime) -> int:
    since = value - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _lists(core: Any, column: Column[Any], values: Sequence[list[str] | None]) -> Any:
    if column.nullable:
        raise NotImplementedError(f"{column.name}: a list that may be null")
    offsets, items = [0], []
    for value in values:
        items += value or []
        offsets.append(len(items))
    kinds = core.DataType
    kind = _arrow_type(core, column)
    return core.list_array(core.Array(offsets, kinds.int32()), core.Array(items, kinds.utf8()), type=kind)


FORMATS: dict[str, Callable[[Snapshot, Path], Iterator[File]]] = {
    "parquet": _parquet,
    "csv": _csv,
    "jsonl": _jsonl,
    "sqlite": _sqlite,
}


# Where it goes.


def read_manifest(place: str) -> bytes | None:
    """The manifest of the export that is at a place; None where there is none. Retryable where a bucket is away."""
    if (folder := archive.folder_of(place)) is not None:
        try:
            return (folder / MANIFEST).read_bytes()
        except FileNotFoundError:
            return None
    try:
        return bytes(obstore.get(archive.open_bucket(place, "the export's URL"), MANIFEST).bytes())
    except FileNotFoundError:
        return None
    except (BaseError, OSError) as error:
        raise archive.refusal(error, "the bucket of the exports") from error


def _place(to: str) -> tuple[Callable[[Path], None], Path | None]:
    """How to put a finished file there, and where the private folder is best made."""
    if urlsplit(to).scheme == "s3":
        return _to_bucket(to), None
    if (folder := archive.folder_of(to)) is not None:
        return _to_folder(folder), folder
    raise ConfigurationError("an export goes to a folder or to s3://bucket/prefix")


def _to_folder(folder: Path) -> Callable[[Path], None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be used as a folder ({error.strerror})") from error

    def put(file: Path) -> None:
        with file.open("rb") as body:
            os.fsync(body.fileno())
        file.replace(folder / file.name)

    return put


def _to_bucket(url: str) -> Callable[[Path], None]:
    store = archive.open_bucket(url, "the export's URL")

    def put(file: Path) -> None:
        try:
            with file.open("rb") as body:
                obstore.put(store, file.name, body)
        except (BaseError, OSError) as error:
            raise archive.refusal(error, f"the bucket that is to take {file.name}") from error

    return put
