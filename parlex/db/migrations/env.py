"""Alembic's door: online only, one transaction, one process at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import NullPool, create_engine, text

from parlex.db.models import Base

# An arbitrary number that only this project's migrations lock.
_LOCK = 7_141_081


def migrate() -> None:
    engine = create_engine(context.config.attributes["database_url"], poolclass=NullPool)
    with engine.connect() as connection:
        context.configure(
            connection=connection, target_metadata=Base.metadata, compare_type=True, compare_server_default=True
        )
        with context.begin_transaction():
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            context.run_migrations()


migrate()
