"""What the doctor says of a PostgreSQL that was put into each state, and that the rest stays well."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import URL, NullPool, create_engine, make_url, text

from parlex.watch.doctor import database
from parlex.watch.doctor.clock import Clock
from parlex.watch.doctor.findings import Check, Finding
from tests.watch.doctor.looks import named, only, told


def examine(url: str | URL, ahead: float = 0.0) -> list[Check]:
    """``ahead``: seconds that this host's clock is before the server's."""
    address = make_url(url).render_as_string(hide_password=False)
    return list(database.examine(address, Clock(datetime.now(UTC) + timedelta(seconds=ahead))))


def execute(url: str, *statements: str) -> None:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))


@contextmanager
def role(url: str, *grants: str) -> Iterator[str]:
    """The URL of a user of these rights alone; ``{}`` stands for the name."""
    name = f"parlex_test_{secrets.token_hex(6)}"
    execute(url, f"create role {name} login password 'hush'", *(grant.format(name) for grant in grants))
    try:
        yield make_url(url).set(username=name, password="hush").render_as_string(hide_password=False)
    finally:
        execute(url, f"drop owned by {name}", f"drop role {name}")


def test_a_database_that_is_well(database: str) -> None:
    checks = examine(database)
    assert told(checks) == []
    assert [check.name for check in checks] == ["database", "rights", "space", "clock database"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.set(host="127.0.0.1", port=1, query={}), "refused"),
        (lambda url: url.set(password="hush"), "refuses the user or the password"),
        (lambda url: url.set(username="nobody_of_ours", password="hush"), "refuses the user or the password"),
        (lambda url: url.set(database="nothing_of_ours"), "does not exist"),
        (lambda url: url.set(host="hush.invalid", query={}), "host name is not known"),
    ],
    ids=["away", "password", "user", "database", "host"],
)
def test_a_database_that_lets_us_not_in(database: str, change: Callable[[URL], URL], said: str) -> None:
    check = only(examine(change(make_url(database))), Finding.DATABASE_UNUSABLE)
    assert said in check.found
    assert "DATABASE_URL" in str(check.advice)
    assert "hush" not in f"{check.found}{check.advice}"


def test_a_database_of_another_encoding(postgres_url: str) -> None:
    name = f"parlex_test_{secrets.token_hex(6)}"
    execute(
        postgres_url, f"create database {name} encoding SQL_ASCII locale 'C' locale_provider libc template template0"
    )
    try:
        only(examine(make_url(postgres_url).set(database=name)), Finding.DATABASE_ENCODING)
    finally:
        execute(postgres_url, f"drop database {name}")


def test_a_database_without_tables(empty_database: str) -> None:
    only(examine(empty_database), Finding.SCHEMA_NONE)


def test_a_database_of_somebody_else(empty_database: str) -> None:
    execute(empty_database, "create table theirs (x int)")
    assert "1 tables" in only(examine(empty_database), Finding.SCHEMA_FOREIGN).found


@pytest.mark.parametrize(
    ("version", "finding"), [("0000", Finding.SCHEMA_OLD), ("0099", Finding.SCHEMA_NEW)], ids=["older", "newer"]
)
def test_another_schema_s_version(database: str, version: str, finding: Finding) -> None:
    execute(database, f"update alembic_version set version_num = '{version}'")
    assert version in only(examine(database), finding).found


def test_a_read_only_database(database: str) -> None:
    execute(database, f"alter database {make_url(database).database} set default_transaction_read_only = on")
    only(examine(database), Finding.RIGHTS_READ_ONLY)


def test_a_user_who_may_not_write_a_table(database: str) -> None:
    every = "select, insert, update, delete on all tables in schema public"
    grants = (f"grant {every} to {{}}", "grant create on schema public to {}", "revoke update on bills from {}")
    with role(database, *grants) as url:
        assert only(examine(url), Finding.RIGHTS_LACKING).found.endswith("write bills")


def test_a_user_who_may_not_make_tables(database: str) -> None:
    with role(database, "grant select, insert, update, delete on all tables in schema public to {}") as url:
        check = only(examine(url), Finding.RIGHTS_NO_CREATE)
    assert check.state == "warn"


def test_a_user_who_may_not_make_the_tables_there_have_to_be(empty_database: str) -> None:
    with role(empty_database) as url:
        [rights] = named(examine(url), "rights")
    assert (rights.state, rights.advice) == ("fail", Finding.RIGHTS_NO_CREATE.value.advice)


@pytest.mark.parametrize("ahead", [-1.0, 1.0])
@pytest.mark.parametrize(
    ("seconds", "finding"), [(10, Finding.CLOCK_OFF), (120, Finding.CLOCK_FAR)], ids=["off", "far"]
)
def test_clocks_apart(database: str, ahead: float, seconds: int, finding: Finding) -> None:
    check = only(examine(database, ahead * seconds), finding)
    assert ("ahead of" if ahead < 0 else "behind") in check.found
