"""What ``parlex doctor`` sees of PostgreSQL: that it answers, its schema, our rights, its size, its clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from parlex.db import errors, migrate
from parlex.db.engine import build_engine
from parlex.db.models import Base
from parlex.errors import ConfigurationError
from parlex.watch.doctor.clock import Clock, skew
from parlex.watch.doctor.findings import Check, Finding, well

MEGABYTE = 1024 * 1024


def examine(database_url: str, clock: Clock) -> Iterator[Check]:
    """Answers first; each further look only where the one before let it."""
    engine = build_engine(database_url)
    try:
        with engine.connect() as connection:
            yield from _look(connection, clock)
    except ConfigurationError as error:  # the engine's own: it lets no other encoding in
        yield Finding.DATABASE_ENCODING.check(str(error).partition(":")[0])
    except SQLAlchemyError as error:
        yield Finding.DATABASE_UNUSABLE.check(errors.explain(error) or f"it fails: {type(error).__name__}")
    finally:
        engine.dispose()


def _look(connection: Connection, clock: Clock) -> Iterator[Check]:
    revision = _revision(connection)
    yield _schema(connection, revision)
    yield _rights(connection, revision)
    size = connection.scalar(text("select pg_database_size(current_database())")) or 0
    yield well("space", f"the database takes {size / MEGABYTE:,.0f} MB; what is free beside it, it does not tell")
    before = clock.now()
    theirs: datetime | None = connection.scalar(text("select clock_timestamp()"))
    if theirs is not None:
        yield skew("database", theirs, before, clock.now())


def _revision(connection: Connection) -> str | None:
    if connection.scalar(text("select to_regclass('alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(text("select version_num from alembic_version"))
    return found


def _schema(connection: Connection, found: str | None) -> Check:
    head = migrate.head()
    if found is None:
        count = connection.scalar(text("select count(*) from pg_tables where schemaname = current_schema()"))
        if count:
            return Finding.SCHEMA_FOREIGN.check(f"it answers, and holds {count} tables that are not Parlex's")
        return Finding.SCHEMA_NONE.check("it answers, and has no tables yet")
    if found > head:  # the migrations are numbered
        return Finding.SCHEMA_NEW.check(f"this database is newer than this Parlex: at {found}, this one knows {head}")
    if found != head:
        return Finding.SCHEMA_OLD.check(f"its schema is at {found}, this Parlex needs {head}")
    return well("database", f"it answers; schema at {head}, the newest")


_LACKING = text(
    """
    select name from unnest(cast(:names as text[])) as name
    where to_regclass(name) is not null and not (
        has_table_privilege(name, 'select') and has_table_privilege(name, 'insert')
        and has_table_privilege(name, 'update') and has_table_privilege(name, 'delete'))
    order by name
    """
)


def _rights(connection: Connection, revision: str | None) -> Check:
    if connection.scalar(text("show transaction_read_only")) == "on":
        return Finding.RIGHTS_READ_ONLY.check("the database is read-only")
    names = [table.name for table in Base.metadata.tables.values()]
    lacking = connection.scalars(_LACKING, {"names": names}).all()
    if lacking:
        return Finding.RIGHTS_LACKING.check(f"its user may not read and write {', '.join(lacking)}")
    if not connection.scalar(text("select coalesce(has_schema_privilege(current_schema(), 'create'), false)")):
        upgraded = revision == migrate.head()
        return Finding.RIGHTS_NO_CREATE.check("its user may not make tables", state=None if upgraded else "fail")
    return well("rights", "its user may read, write and make tables")
