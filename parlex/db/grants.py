"""The role in which the server reads: it may SELECT what is served, and do nothing else.

A server has one such role for all its databases; what it may read is granted in each. Who works in it got there by SET
ROLE, so that it needs no password of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Engine, func, select, text

from parlex.db.engine import MAY_BECOME, WEB_ROLE
from parlex.db.models import (
    ChangeRow,
    DocumentFetchRow,
    DocumentRow,
    HeartbeatRow,
    LatestDocumentRow,
    ListingRow,
    MirrorRow,
    QuarantineRow,
    RunKeyRow,
    RunRow,
    SweepRow,
)

# What is served beside the tables of the datasets: the history, where it is from, and the state of the mirror.
SHARED: tuple[type[Any], ...] = (
    ChangeRow,
    DocumentFetchRow,
    DocumentRow,
    HeartbeatRow,
    LatestDocumentRow,
    ListingRow,
    MirrorRow,
    QuarantineRow,
    RunKeyRow,
    RunRow,
    SweepRow,
)
VERSION = "alembic_version"  # by which the server knows whether the schema is its own
_LOCK = 7_141_082  # an arbitrary number that only grants lock


def served(tables: Iterable[type[Any]]) -> list[str]:
    """The names of what the role may read, where the datasets that are served have these tables."""
    names: list[str] = [model.__tablename__ for model in [*tables, *SHARED]]
    return sorted({*names, VERSION})


def grant_web(engine: Engine, tables: Iterable[str]) -> list[str]:
    """Make the role, and let it read these tables of the schema and no others. What was done, a line each; none twice.

    DBAPIError where the user of ``engine`` may make no role, or does not own the tables.
    """
    with engine.begin() as db:
        db.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        return list(_grant(db, sorted(tables)))


_EXISTS = text("select 1 from pg_roles where rolname = 'parlex_web'")
# Another database's grant may make it in the same moment.
_MAKE = text("do $$ begin create role parlex_web; exception when duplicate_object then null; end $$")
_HELD = text(
    "select table_name, privilege_type from information_schema.role_table_grants "
    "where grantee = 'parlex_web' and table_schema = current_schema()"
)


def _grant(db: Connection, tables: list[str]) -> Iterator[str]:
    if db.execute(_EXISTS).first() is None:
        db.execute(_MAKE)
        yield f"made the role {WEB_ROLE}, with which nobody can sign in"
    if not db.execute(text(MAY_BECOME)).scalar_one():
        db.execute(text("grant parlex_web to current_user"))
        yield f"let {db.execute(text('select current_user')).scalar_one()} work in it"
    if not db.execute(text("select has_schema_privilege('parlex_web', current_schema(), 'usage')")).scalar_one():
        _say(db, "grant usage on schema %1$I to parlex_web")
        yield "let it look into the schema"
    held = {(table, privilege) for table, privilege in db.execute(_HELD)}
    beyond = {table for table, privilege in held if (table, privilege) not in {(one, "SELECT") for one in tables}}
    for table in sorted(beyond):
        _say(db, "revoke all on table %1$I.%2$I from parlex_web", table)
        yield f"took all rights on {table} away"
    for table in tables:
        if table in beyond or (table, "SELECT") not in held:
            _say(db, "grant select on table %1$I.%2$I to parlex_web", table)
            yield f"let it read {table}"


def _say(db: Connection, statement: str, *names: str) -> None:
    """Execute a statement with names in it, which PostgreSQL itself quotes. The first is that of the schema."""
    db.execute(text(db.execute(select(func.format(statement, func.current_schema(), *names))).scalar_one()))
