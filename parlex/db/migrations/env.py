"""Alembic's door: online only, one transaction, one process at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from parlex.db.engine import build_patient_engine
from parlex.db.errors import READ_ONLY
from parlex.db.models import Base
from parlex.errors import ConfigurationError

# An arbitrary number that only this project's migrations lock.
_LOCK = 7_141_081


def migrate() -> None:
    engine = build_patient_engine(context.config.attributes["database_url"])
    with engine.connect() as connection:
        context.configure(
            connection=connection, target_metadata=Base.metadata, compare_type=True, compare_server_default=True
        )
        with context.begin_transaction():
            if connection.execute(text("show transaction_read_only")).scalar_one() == "on":
                raise ConfigurationError(READ_ONLY)
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            context.run_migrations()


migrate()
