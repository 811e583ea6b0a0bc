"""The role in which the server reads: what it may see, and that it may do nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from parlex.datasets.bills.dataset import BillDataset
from parlex.db import grants
from parlex.db.engine import build_engine, build_reading_engine
from parlex.db.models import Base

TABLES = grants.served(BillDataset.tables)


@pytest.fixture
def reading(engine: Engine, database: str) -> Iterator[Engine]:
    grants.grant_web(engine, TABLES)
    found = build_reading_engine(database, pool_size=1, statement_seconds=3)
    yield found
    found.dispose()


def ask(engine: Engine, statement: str) -> object:
    with engine.connect() as db:
        return db.execute(text(statement)).scalar()


def test_what_is_read_is_read_in_the_role(reading: Engine) -> None:
    assert ask(reading, "select current_user::text") == "parlex_web"
    assert ask(reading, "show transaction_read_only") == "on"
    for name in TABLES:
        with reading.connect() as db:
            db.execute(text("select * from " + name + " limit 1"))


@pytest.mark.parametrize("name", sorted(set(Base.metadata.tables) - set(TABLES)))
def test_no_other_table_can_be_read(reading: Engine, name: str) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        ask(reading, "select count(*) from " + name)


def test_keys_are_none_of_what_is_served() -> None:
    assert "api_keys" in set(Base.metadata.tables) - set(TABLES)


WRITES = ["delete from bills", "update mirror set made_at = now()", "create table x ()", "truncate changes"]


@pytest.mark.parametrize("statement", WRITES)
def test_nothing_can_be_written_in_it(reading: Engine, engine: Engine, statement: str) -> None:
    """Not even in a transaction that may write: the role has no such right."""
    with pytest.raises(DBAPIError, match=r"read-only transaction|permission denied"):
        ask(reading, statement)
    with engine.connect() as db:
        db.execute(text("set local role parlex_web"))
        with pytest.raises(DBAPIError, match="permission denied"):
            db.execute(text(statement))


def test_a_second_grant_does_nothing_and_a_right_too_many_is_taken_away(engine: Engine, database: str) -> None:
    done = grants.grant_web(engine, TABLES)
    assert "let it read bills" in done
    assert grants.grant_web(engine, TABLES) == []
    with engine.begin() as db:
        db.execute(text("grant insert on bills to parlex_web"))
        db.execute(text("grant select on api_keys to parlex_web"))
    assert grants.grant_web(engine, TABLES) == [
        "took all rights on api_keys away",
        "took all rights on bills away",
        "let it read bills",
    ]


def test_without_a_grant_in_this_database_it_is_read_as_before(engine: Engine, database: str) -> None:
    """The role is the server's: another database's grant may have made it."""
    with engine.begin() as db:
        db.execute(text("do $$ begin create role parlex_web; exception when duplicate_object then null; end $$"))
    reading = build_reading_engine(database, pool_size=1, statement_seconds=3)
    assert ask(reading, "select current_user = session_user") is True
    assert ask(reading, "select count(*) from mirror") == 1
    reading.dispose()


def test_a_user_with_few_rights_makes_the_role_and_works_in_it(
    postgres_url: str, engine: Engine, database: str
) -> None:
    """One that owns the tables and may make roles, as hosts give it; a superuser may do anything."""
    name = make_url(database).database
    assert name is not None
    user = f"few_{name}"
    with engine.begin() as db:
        db.execute(text("create role " + user + " login createrole password 'few'"))
        for table in [*Base.metadata.tables, "sittings", "alembic_version"]:
            db.execute(text("alter table " + table + " owner to " + user))
        db.execute(text("grant create on schema public to " + user))
    few = make_url(database).set(username=user, password="few").render_as_string(hide_password=False)
    owner = build_engine(few)
    reading = build_reading_engine(few, pool_size=1, statement_seconds=3)
    try:
        if ask(owner, "select count(*) from pg_roles where rolname = 'parlex_web'"):
            # Made by another test's superuser, who alone may hand it out.
            with engine.begin() as db:
                db.execute(text("grant parlex_web to " + user + " with admin option"))
        assert "let it read bills" in grants.grant_web(owner, TABLES)
        assert ask(reading, "select current_user::text") == "parlex_web"
    finally:
        owner.dispose()
        reading.dispose()
        with engine.begin() as db:
            db.execute(text("reassign owned by " + user + " to current_user"))
            db.execute(text("drop owned by " + user))
            db.execute(text("drop role " + user))
