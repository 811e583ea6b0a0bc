"""What every test may ask for: a real PostgreSQL and a real Valkey, a database of its own, settings that reach nobody.

``PARLEX_TEST_DATABASE_URL`` and ``PARLEX_TEST_REDIS_URL`` name servers to use instead of private ones; the Redis
database is emptied, and in PostgreSQL only databases named ``parlex_test_…`` are made and dropped.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from sqlalchemy import Engine, NullPool, create_engine, make_url, text
from sqlalchemy.orm import Session

from parlex.db import migrate
from parlex.db.engine import build_engine
from parlex.local import embedded
from parlex.settings import NOT_SETTINGS_PREFIX, Settings

if TYPE_CHECKING:
    from parlex.local.sandbox import Sandbox
    from parlex.resources import Resources

GIVEN_DATABASE = os.environ.get("PARLEX_TEST_DATABASE_URL")
GIVEN_REDIS = os.environ.get("PARLEX_TEST_REDIS_URL")
OURS = ("DATABASE_URL", "REDIS_URL", "SENTRY_DSN")
FOR_TESTS = (NOT_SETTINGS_PREFIX, "PARLEX_STAND_IN")


def pytest_configure() -> None:
    """No test, and no process that a test starts, sees the settings of the person who runs them."""
    for name in [n for n in os.environ if n in OURS or (n.startswith("PARLEX_") and not n.startswith(FOR_TESTS))]:
        del os.environ[name]
    os.environ.pop("PYTHONUNBUFFERED", None)  # it hides what would be told too late
    # A shell starts what runs in its background with Ctrl-C ignored, and a process hands that on to all it starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts processes comes first: it takes longest, and of several workers none is left with it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("live") is None)


def pytest_keyboard_interrupt() -> None:
    """The first Ctrl-C ends the run. What the tests started is then stopped, and a second one must not cut that off.

    pytest-xdist sends its processes one of its own, five seconds after the first.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture(scope="session")
def servers() -> Iterator[embedded.Addresses]:
    """The PostgreSQL and the Redis of this run, started here where none were given."""
    # Directly in the system's temporary folder: PostgreSQL may run as nobody, who cannot pass pytest's private folders.
    home = Path(tempfile.mkdtemp(prefix="parlex-tests-"))
    given = {"database_url": GIVEN_DATABASE, "redis_url": GIVEN_REDIS, "home": home}
    try:
        with embedded.servers(Settings(**given)) as addresses:
            yield addresses
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def postgres_url(servers: embedded.Addresses) -> str:
    """A PostgreSQL whose user may create databases. For tables, ask for ``database``."""
    return servers.database_url


@pytest.fixture(scope="session")
def redis_url(servers: embedded.Addresses) -> str:
    """A Redis or Valkey. Ask for ``redis`` beside it to have it empty."""
    return servers.redis_url


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    """A client of an empty Redis, emptied again afterwards."""
    with Redis.from_url(redis_url) as client:
        client.flushdb()
        yield client
        client.flushdb()


@pytest.fixture(scope="session")
def template(postgres_url: str) -> Iterator[str]:
    """The name of a migrated database: copying it is much quicker than migrating again."""
    with _temporary_database(postgres_url) as url:
        migrate.upgrade(url)
        yield str(make_url(url).database)


@pytest.fixture(scope="session")
def new_database(postgres_url: str, template: str) -> Callable[..., AbstractContextManager[str]]:
    """For fixtures of a wider scope: the URL of one more fresh, migrated database, dropped at the end.

    Or of a copy of the database that is named, to which nobody may be connected.
    """

    def new(template: str = template) -> AbstractContextManager[str]:
        return _temporary_database(postgres_url, template)

    return new


@pytest.fixture
def database(new_database: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """The URL of a fresh, migrated database of the test's own."""
    with new_database() as url:
        yield url


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    """The URL of a database without any table."""
    with _temporary_database(postgres_url) as url:
        yield url


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = build_engine(database)
    yield engine
    engine.dispose()


@pytest.fixture
def db(engine: Engine) -> Iterator[Session]:
    """A session on the fresh database. It commits only if the test does; others see nothing before that."""
    with Session(engine, expire_on_commit=False) as db:
        yield db


@pytest.fixture
def make_settings(database: str, redis_url: str, redis: Redis, tmp_path: Path) -> Callable[..., Settings]:
    """Settings for a test: servers of its own, sources that do not exist, no limits, no waiting; any may be changed."""

    def make(**changes: Any) -> Settings:
        usual = {
            "database_url": database,
            "redis_url": redis_url,
            "home": tmp_path / "home",
            "contact": "tests@example.org",
            "legisinfo_url": "http://legisinfo.test",
            "openparliament_url": "http://openparliament.test",
            "legisinfo_rate": 0,
            "openparliament_rate": 0,
            "retry_delay": 0,
        }
        return Settings(**(usual | changes))

    return make


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
def make_resources(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., Resources]]:
    """Everything a process needs, built from ``make_settings(**changes)`` and closed after the test."""
    from parlex.resources import Resources

    made: list[Resources] = []

    def make(**changes: Any) -> Resources:
        settings = make_settings(**changes)
        made.append(Resources(settings, embedded.resolve(settings)))
        return made[-1]

    yield make
    for resources in made:
        resources.close()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The stand-in of both sources, on the day on which its sample begins to be interesting."""
    from parlex.local.sandbox import Sandbox

    with Sandbox() as running:
        yield running


@pytest.fixture
def mirror(sandbox: Sandbox, make_resources: Callable[..., Resources]) -> Resources:
    """An empty mirror of ``sandbox``."""
    return make_resources(legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url)


@contextmanager
def _temporary_database(server_url: str, template: str = "template1") -> Iterator[str]:
    name = f"parlex_test_{secrets.token_hex(6)}"
    _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(server_url: str, statement: str) -> None:
    """On the server's maintenance database, outside a transaction, as CREATE DATABASE must be."""
    engine = create_engine(
        make_url(server_url).set(database="postgres"), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(statement))


@pytest.fixture(scope="session")
def certificate() -> Iterator[Path]:
    """A certificate for this machine that only those trust who are told to."""
    with tempfile.TemporaryDirectory() as folder:
        pem = Path(folder, "both.pem")
        options = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"]
        try:
            command = ["openssl", *options.split(), "-addext", names, *files]
            subprocess.run(command, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"openssl makes no certificate here: {error}")
        pem.write_text(Path(folder, "key.pem").read_text() + Path(folder, "cert.pem").read_text())
        yield pem
