"""What people read when the database is not as it should be: made wrong on a real server, one cause at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import URL, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from parlex.db.errors import can_heal, explain

Change = Callable[[URL], URL]


def failure(url: URL | str, *statements: str) -> DBAPIError:
    """The error that SQLAlchemy raises for these statements."""
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 3})
    with pytest.raises(DBAPIError) as raised, engine.connect() as connection:  # noqa: PT012
        for statement in statements or ("select 1",):
            connection.execute(text(statement))
    return raised.value


@contextmanager
def role(url: str, name: str) -> Iterator[URL]:
    """The URL of a user of that name, who may sign in and nothing more."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"create role {name} login password 'hush'"))
        try:
            yield make_url(url).set(username=name, password="hush")
        finally:
            connection.execute(text(f"drop role {name}"))


@pytest.mark.parametrize(
    ("change", "said", "heals"),
    [
        (lambda url: url.set(password="hush"), "the database refuses the user or the password", False),
        (lambda url: url.set(database="nothing_of_ours"), "does not exist", False),
        (lambda url: url.set(username="nobody_of_ours", password="hush"), "refuses the user or the password", False),
        (lambda url: url.update_query_dict({"sslmod": "require"}), "unknown option", False),
        (lambda url: url.update_query_dict({"options": "-cnothing=1"}), "unknown option", False),
        (lambda url: url.update_query_dict({"sslmode": "hush"}), "not well formed", False),
        (lambda url: make_url("postgresql+psycopg2://me:hush@127.0.0.1:1/x"), "127.0.0.1, port 1 refused", True),
        (lambda url: make_url("postgresql+psycopg2://me:hush@hush.invalid/x"), "host name is not known here", False),
        (lambda url: make_url("postgresql+psycopg2://me:hush@/x?host=/nowhere"), "no socket to", True),
    ],
)
def test_a_connection_that_fails_is_explained(change: Change, said: str, heals: bool, empty_database: str) -> None:
    error = failure(change(make_url(empty_database)))
    told = explain(error)
    assert told is not None
    assert said in told
    assert "DATABASE_URL" in told
    assert "hush" not in told
    assert "\n" not in told
    assert can_heal(error) is heals


def test_a_read_only_database_is_named(empty_database: str) -> None:
    error = failure(empty_database, "set transaction read only", "create table x ()")
    told = explain(error)
    assert told
    assert told.startswith("the database is read-only")
    assert not can_heal(error)


def test_a_user_without_rights_is_named(empty_database: str) -> None:
    with role(empty_database, "parlex_test_low") as url:
        told = explain(failure(url, "create table x ()"))
    assert told
    assert "permission denied for schema public" in told
    assert "\n" not in told


def test_a_table_that_is_not_there_is_named(empty_database: str) -> None:
    assert "run parlex db upgrade" in str(explain(failure(empty_database, "select * from bills")))


def test_what_was_raised_from_it_is_explained_too(empty_database: str) -> None:
    error = RuntimeError("a task failed")
    error.__cause__ = failure(make_url(empty_database).set(database="nothing_of_ours"))
    assert "does not exist" in str(explain(error))


@pytest.mark.parametrize("statement", ["select 1/0", "select nothing", "this is no SQL"])
def test_errors_of_the_program_are_not_explained_away(statement: str, empty_database: str) -> None:
    error = failure(empty_database, statement)
    assert explain(error) is None
    assert not can_heal(error)


@pytest.mark.parametrize("error", [ValueError("Connection refused"), KeyError("x")])
def test_errors_of_others_are_none_of_ours(error: Any) -> None:
    assert explain(error) is None
