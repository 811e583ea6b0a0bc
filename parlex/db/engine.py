"""Engines. One a process, built after the fork: a connection shared over a fork gives one child another's rows."""

from __future__ import annotations

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import make_url


def build_engine(database_url: str, *, pool_size: int = 2) -> Engine:
    """An engine for ``postgresql+psycopg2://``.

    The pre-ping replaces connections that a restarted server left dead. Idle transactions are ended by the server after
    five minutes, so that a stuck process cannot hold a lock for ever.
    """
    return create_engine(
        make_url(database_url),
        pool_size=pool_size,
        max_overflow=2,
        pool_pre_ping=True,
        pool_recycle=300,
        hide_parameters=True,  # an error text names no bill summaries of 30 KB, and no secret
        insertmanyvalues_page_size=500,
        connect_args={
            "application_name": "parlex",
            "connect_timeout": 10,
            "options": "-c timezone=UTC -c idle_in_transaction_session_timeout=300000 -c statement_timeout=240000",
        },
    )
