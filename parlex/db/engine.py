"""The one way to the database, for the application and for its migrations alike.

Built after the fork, one a process: a connection shared over a fork gives one child another's rows.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, NullPool, create_engine, event
from sqlalchemy.engine import make_url

from parlex.errors import ConfigurationError

# Of each transaction, and not of the session: a pooler hands the session on to others, and refuses or drops what is
# asked for when a connection is made. So the URL's own options also stay as they are.
_LOCAL = {"timezone": "UTC", "idle_in_transaction_session_timeout": "300000"}
_STATEMENT_MS = 240_000
# Of a connection's info: when its transaction began by the database's clock, and by the monotonic one of this process.
BEGAN = "began"
READ_ONLY_CODE = "25006"
# The role that may read what is served and nothing else, see grants.py; and whether our user may take it on.
WEB_ROLE = "parlex_web"
MAY_BECOME = """
select coalesce((
    select pg_has_role(oid, case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end)
    from pg_roles where rolname = 'parlex_web'
), false)
"""
_IS_GRANTED = """
select coalesce((
    select has_table_privilege(oid, to_regclass('mirror'), 'select') from pg_roles where rolname = 'parlex_web'
), false)
"""
_RESTRICTED = "restricted"  # of a connection's info: whether its transactions are of that role
_NETWORK = {
    "connect_timeout": 10,  # seconds
    # A connection whose other end is gone without a word is given up within a minute.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 45_000,
}


def build_engine(database_url: str, *, pool_size: int = 2) -> Engine:
    """An engine for ``postgresql+psycopg2://``.

    The pre-ping replaces connections that a restarted server left dead. Idle transactions are ended by the server after
    five minutes, so that a stuck process cannot hold a lock for ever, and statements after four. Connecting raises
    ConfigurationError for a database whose encoding cannot hold the sources' texts.
    """
    engine = _engine(database_url, pool_size=pool_size, max_overflow=2, pool_pre_ping=True, pool_recycle=300)
    return _with_settings(engine, _LOCAL | {"statement_timeout": str(_STATEMENT_MS)})


def build_reading_engine(database_url: str, *, pool_size: int, statement_seconds: float) -> Engine:
    """As ``build_engine``, for those who only look: transactions that cannot write, and statements of a bounded time.

    They are of the role ``parlex_web`` where there is one that was granted what it needs, see grants.py.
    No more than ``pool_size`` connections; who waits longer for one than a statement may take gets a TimeoutError.
    """
    waiting = {"max_overflow": 0, "pool_timeout": statement_seconds, "pool_pre_ping": True, "pool_recycle": 300}
    engine = _engine(database_url, pool_size=pool_size, **waiting)
    limit = str(int(statement_seconds * 1000))
    event.listen(engine, "connect", _look_for_role)
    return _with_settings(engine, _LOCAL | {"statement_timeout": limit, "transaction_read_only": "on"})


def build_patient_engine(database_url: str) -> Engine:
    """As ``build_engine``, for a migration or a single look: no pool, and a statement may take its time."""
    return _with_settings(_engine(database_url, poolclass=NullPool), _LOCAL | {"statement_timeout": "0"})


def _engine(database_url: str, **options: Any) -> Engine:
    return create_engine(
        make_url(database_url),
        hide_parameters=True,  # an error text names no bill summaries of 30 KB, and no secret
        insertmanyvalues_page_size=500,
        # The encoding by name: PGCLIENTENCODING, or a server's own default, is somebody else's.
        connect_args={"application_name": "parlex", "client_encoding": "UTF8", **_NETWORK},
        **options,
    )


def _with_settings(engine: Engine, settings: dict[str, str]) -> Engine:
    local = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    statement = f"select clock_timestamp(), {local}"
    restricted = f"{statement}, set_config('role', '{WEB_ROLE}', true)"

    def on_connect(connection: Any, record: Any) -> None:
        _require_utf8(connection)

    def on_begin(connection: Connection) -> None:
        limits = restricted if connection.info.get(_RESTRICTED) else statement
        began = connection.exec_driver_sql(limits).one()[0]
        connection.info[BEGAN] = (began, time.monotonic())

    def on_error(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "pgcode", None) == READ_ONLY_CODE:
            # A session stays read-only though its database no longer is, or though the primary has moved.
            context.is_disconnect = True

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "handle_error", on_error)
    event.listen(engine, "begin", on_begin)
    return engine


def _look_for_role(connection: Any, record: Any) -> None:
    with connection.cursor() as cursor:
        found = []
        for question in (MAY_BECOME, _IS_GRANTED):
            cursor.execute(question)
            found.append(cursor.fetchone()[0])
    connection.rollback()
    record.info[_RESTRICTED] = all(found)


def _require_utf8(connection: Any) -> None:
    found = connection.info.parameter_status("server_encoding")
    if found != "UTF8":
        raise ConfigurationError(
            f"the database is in the encoding {found}, which cannot hold every name: "
            "make one with createdb --encoding=UTF8 --template=template0"
        )
