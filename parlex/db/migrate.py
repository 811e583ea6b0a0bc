"""Migrations, by Alembic, from inside the package: no ini file to find."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from parlex.db.engine import build_patient_engine

_SCRIPTS = Path(__file__).parent / "migrations"


def _config(database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the schema to ``revision``. Several processes may call it at once: a lock lets one work, the others wait.

    ConfigurationError for a database that is read-only, also where nothing is to be done.
    """
    command.upgrade(_config(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take the schema back to ``revision``, or to ``base``: no table. What only later revisions hold is lost."""
    command.downgrade(_config(database_url), revision)


def head() -> str:
    """The newest revision that this code knows."""
    revision = ScriptDirectory(str(_SCRIPTS)).get_current_head()
    assert revision is not None
    return revision


def revisions() -> dict[str, str]:
    """All that this code knows, oldest first, with what each brings."""
    known = ScriptDirectory(str(_SCRIPTS)).walk_revisions()
    return {script.revision: (script.doc or "").strip().splitlines()[0] for script in reversed(list(known))}


def current(database_url: str) -> str | None:
    """The revision a database stands at; None for one that was never migrated."""
    with build_patient_engine(database_url).connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
