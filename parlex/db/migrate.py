"""Migrations, by Alembic, from inside the package: no ini file to find."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from parlex.db.engine import build_patient_engine
from parlex.errors import ParlexError

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic is imported where a schema is changed: those who only look do without its seven megabytes.
_SCRIPTS = Path(__file__).parent / "migrations"


def _config(database_url: str) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Bring the schema to ``revision``. Several processes may call it at once: a lock lets one work, the others wait.

    ConfigurationError for a database that is read-only, also where nothing is to be done.
    """
    from alembic import command

    with _known_schemas():
        command.upgrade(_config(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take the schema back to ``revision``, or to ``base``: no table. What only later revisions hold is lost."""
    from alembic import command

    with _known_schemas():
        command.downgrade(_config(database_url), revision)


@contextmanager
def _known_schemas() -> Iterator[None]:
    from alembic.util import CommandError

    try:
        yield
    except CommandError as error:
        raise ParlexError(f"the schema is not one that this Parlex knows ({error}): mend DATABASE_URL") from error


def head() -> str:
    """The newest revision that this code knows: the files are named by their revisions, which are numbers in order."""
    return max(path.name.partition("_")[0] for path in (_SCRIPTS / "versions").glob("[0-9]*.py"))


def revisions() -> dict[str, str]:
    """All that this code knows, oldest first, with what each brings."""
    from alembic.script import ScriptDirectory

    known = ScriptDirectory(str(_SCRIPTS)).walk_revisions()
    return {script.revision: (script.doc or "").strip().splitlines()[0] for script in reversed(list(known))}


def current(database_url: str) -> str | None:
    """The revision a database stands at; None for one that was never migrated."""
    with build_patient_engine(database_url).connect() as connection:
        if connection.execute(text("select to_regclass('alembic_version')")).scalar_one() is None:
            return None
        return connection.execute(text("select version_num from alembic_version")).scalar_one_or_none()
