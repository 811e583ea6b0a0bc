"""Connecting, as it is met at other people's: URLs with options, a pooler, other encodings, users with few rights."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from parlex.db import migrate
from parlex.db.engine import build_engine
from parlex.db.errors import explain
from parlex.db.models import Base
from parlex.errors import ConfigurationError
from parlex.local.locks import wait_until
from tests import rows

SETTINGS = ("timezone", "statement_timeout", "idle_in_transaction_session_timeout", "client_encoding")
EXPECTED = ["UTC", "4min", "5min", "UTF8"]


def admin(url: str, *statements: str) -> None:
    """Outside a transaction, without anything of ours."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def with_query(url: str, **query: str) -> str:
    return make_url(url).update_query_dict(query).render_as_string(hide_password=False)


@contextmanager
def engine_for(url: str) -> Iterator[Engine]:
    engine = build_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def shown(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [connection.execute(text(f"show {name}")).scalar_one() for name in SETTINGS]


def works(engine: Engine) -> None:
    """A row with an accent goes in and comes out, in two transactions."""
    with Session(engine) as db, db.begin():
        db.add(rows.run(errors=["é, œ, ᐃᓄᒃᑎᑐᑦ"]))
    with Session(engine) as db:
        assert db.execute(text("select errors->>0 from fetch_logs")).scalar_one() == "é, œ, ᐃᓄᒃᑎᑐᑦ"


def test_every_transaction_has_our_limits(database: str) -> None:
    with engine_for(database) as engine:
        assert shown(engine) == EXPECTED
        assert shown(engine) == EXPECTED


def test_migrations_and_application_meet_in_the_schema_that_the_url_names(empty_database: str) -> None:
    """As does whatever else stands in its options: they are kept, and ours beside them."""
    admin(empty_database, "create schema mine")
    url = with_query(empty_database, options="-csearch_path=mine -cwork_mem=5MB")
    migrate.upgrade(url)
    with engine_for(url) as engine:
        works(engine)
        assert shown(engine) == EXPECTED
        with engine.connect() as connection:
            assert connection.execute(text("show work_mem")).scalar_one() == "5MB"
            where = connection.execute(
                text("select distinct schemaname::text from pg_tables where tablename in ('bills', 'alembic_version')")
            ).scalars()
            assert list(where) == ["mine"]
    assert migrate.current(url) == migrate.head()


def test_options_that_only_the_host_knows_are_sent_to_it(empty_database: str) -> None:
    """Neon finds the database by one; any other server refuses it by its name."""
    url = with_query(empty_database, options="endpoint=ep-some-name")
    with engine_for(url) as engine, pytest.raises(DBAPIError) as raised, engine.connect():
        pass
    told = explain(raised.value)
    assert told
    assert "DATABASE_URL" in told


def test_the_encoding_of_the_surroundings_does_not_matter(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with engine_for(with_query(database, client_encoding="LATIN1")) as engine:
        works(engine)


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_name_is_refused(encoding: str, postgres_url: str) -> None:
    name = f"parlex_test_{encoding.lower()}_{os.getpid()}"
    make = f"create database {name} encoding {encoding} template template0 locale 'C' locale_provider libc"
    server = make_url(postgres_url).set(database="postgres").render_as_string(hide_password=False)
    admin(server, make)
    url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    try:
        for use in (migrate.upgrade, migrate.current):
            with pytest.raises(ConfigurationError, match=rf"encoding {encoding}.*--encoding=UTF8"):
                use(url)
        with engine_for(url) as engine, pytest.raises(ConfigurationError, match=encoding), engine.connect():
            pass
    finally:
        admin(server, f"drop database {name} with (force)")


def test_a_database_that_is_read_only_is_named(database: str, empty_database: str) -> None:
    for url in (database, empty_database):
        admin(url, f"alter database {make_url(url).database} set default_transaction_read_only = on")
        with pytest.raises(ConfigurationError, match="the database is read-only"):
            migrate.upgrade(url)
    with engine_for(database) as engine, Session(engine) as db:
        db.add(rows.run())
        with pytest.raises(DBAPIError) as raised:
            db.flush()
    assert str(explain(raised.value)).startswith("the database is read-only")


def test_a_user_without_rights_is_told_so_in_one_line(empty_database: str) -> None:
    admin(empty_database, "create role parlex_test_reader login password 'hush'")
    try:
        low = make_url(empty_database).set(username="parlex_test_reader", password="hush")
        with pytest.raises(DBAPIError) as raised:
            migrate.upgrade(low.render_as_string(hide_password=False))
        told = explain(raised.value)
        assert told
        assert "permission denied" in told
        assert "\n" not in told
    finally:
        admin(empty_database, "drop role parlex_test_reader")


# A pooler.


@pytest.fixture
def pooler(database: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a PgBouncer before ``database``, in transaction mode, with two connections to the server."""
    binary = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if binary is None:
        pytest.skip("pgbouncer is not installed (Debian: apt-get install pgbouncer)")
    url = make_url(database)
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    server = f"host={url.query.get('host') or url.host} dbname={url.database} user={url.username}"
    server += f" password={url.password}" if url.password else ""
    server += f" port={url.port}" if url.port else ""
    (tmp_path / "users").write_text('"parlex" "hush"\n')
    (tmp_path / "pgbouncer.ini").write_text(
        f"[databases]\npooled = {server}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\npool_mode = transaction\n"
        f"auth_type = plain\nauth_file = {tmp_path / 'users'}\ndefault_pool_size = 2\n"
    )
    # It refuses to be root: under another name in a user namespace, as the embedded PostgreSQL.
    prefix = ["unshare", "--user", "--map-user=65534", "--map-group=65534"] if getpass.getuser() == "root" else []
    if subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("pgbouncer refuses to run as root, and user namespaces are barred here")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*prefix, binary, str(tmp_path / "pgbouncer.ini")], stdout=log, stderr=log)
    try:
        assert wait_until(lambda: _listens(port), 30, every=0.1), (tmp_path / "log").read_text()
        yield f"postgresql+psycopg2://parlex:hush@127.0.0.1:{port}/pooled"
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_a_pooler_in_transaction_mode_works_with_all_limits(pooler: str) -> None:
    """In its default configuration, with more connections of ours than it has."""
    assert migrate.current(pooler) == migrate.head()
    migrate.downgrade(pooler, "base")
    migrate.upgrade(pooler)
    with engine_for(pooler) as engine, engine_for(pooler) as other, engine_for(pooler) as third:
        works(engine)
        for one in (engine, other, third):
            assert shown(one) == EXPECTED
        assert Base.metadata.tables.keys() <= set(_tables(other))


def test_a_pooler_hands_nothing_of_ours_to_others(pooler: str) -> None:
    with engine_for(pooler) as engine:
        assert shown(engine) == EXPECTED
    plain = create_engine(pooler)
    for _ in range(4):
        with plain.connect() as connection:
            assert connection.execute(text("show statement_timeout")).scalar_one() == "0"
    plain.dispose()


def test_an_option_that_the_pooler_refuses_is_named(pooler: str) -> None:
    url = with_query(pooler, options="-csearch_path=mine")
    with engine_for(url) as engine, pytest.raises(DBAPIError) as raised, engine.connect():
        pass
    assert "ignore_startup_parameters" in str(explain(raised.value))


def _tables(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("select tablename::text from pg_tables")).scalars())
