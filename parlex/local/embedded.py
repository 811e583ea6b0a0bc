"""A real PostgreSQL and a real Valkey for machines that have none.

Each stands in for one URL that is not set, and keeps its files in a private folder of PARLEX_HOME:

    postgres/  data, socket, password        valkey/  data, valkey.conf, password
               log, address, alive, users, gate, in both

Nothing here trusts a process id. What lives holds a lock on a file, which the kernel drops with the holder however it
died: a server holds ``alive`` (it inherits the open file), each process that uses it shares ``users``, and whoever
starts or stops it holds ``gate``. The last user out stops the server; one that an owner left behind, killed, is joined
by the next command and stopped with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from parlex.errors import ConfigurationError
from parlex.local.postgres import Postgres
from parlex.local.valkey import Valkey
from parlex.settings import Settings


@dataclass(frozen=True)
class Addresses:
    """Where the data lives. Both hold a password, so that neither shows in a log by accident."""

    database_url: str = field(repr=False)  # postgresql+psycopg2://…
    redis_url: str = field(repr=False)  # redis://… or rediss://…


def running(home: Path) -> Addresses | None:
    """The addresses of the embedded servers that run in ``home``, or None unless both do. Starts nothing."""
    found = [server.address() for server in (Postgres(home), Valkey(home))]
    database_url, redis_url = found
    return Addresses(database_url, redis_url) if database_url and redis_url else None


def resolve(settings: Settings) -> Addresses:
    """The URLs that are set, else those of the embedded servers that run. Starts nothing.

    ConfigurationError names what is missing.
    """
    database_url = _secret(settings.database_url) or Postgres(settings.home).address()
    if database_url is None:
        raise ConfigurationError("no database: set DATABASE_URL or start `parlex up`")
    redis_url = _secret(settings.redis_url) or Valkey(settings.home).address()
    if redis_url is None:
        raise ConfigurationError("no Redis: set REDIS_URL or start `parlex up`")
    return Addresses(database_url, redis_url)


@contextmanager
def servers(settings: Settings) -> Iterator[Addresses]:
    """The addresses to use while the block lasts.

    A URL that is set wins. For the other an embedded server is joined, or started where none runs; it stops when its
    last user has left. Raises ConfigurationError, in one line, where no server can be had.
    """
    with ExitStack() as stack:
        database_url = _secret(settings.database_url) or stack.enter_context(Postgres(settings.home).used())
        redis_url = _secret(settings.redis_url) or stack.enter_context(Valkey(settings.home).used())
        yield Addresses(database_url, redis_url)


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The database's URL alone, by the same rule, for what needs no broker."""
    if given := _secret(settings.database_url):
        yield given
        return
    with Postgres(settings.home).used() as database_url:
        yield database_url
    if settings.redis_url is None and Valkey(settings.home).address() is not None:
        # One that a killed `parlex up` left behind: whoever joins it and leaves as the last stops it.
        with Valkey(settings.home).used():
            pass


def redis_url(settings: Settings) -> str | None:
    """The address of the Redis there is, by the same rule; None where none is set and none runs. Starts nothing."""
    return _secret(settings.redis_url) or Valkey(settings.home).address()


def is_embedded(settings: Settings) -> bool:
    """Whether the database is that of PARLEX_HOME: no other is set, or ``parlex up`` handed its address on."""
    given = _secret(settings.database_url)
    return given is None or given == Postgres(settings.home).address()


def revive(settings: Settings) -> Addresses:
    """Start again what died of the servers that the caller uses, at its old address where that is still free."""
    database_url = _secret(settings.database_url) or Postgres(settings.home).revived()
    redis_url = _secret(settings.redis_url) or Valkey(settings.home).revived()
    return Addresses(database_url, redis_url)


def fallen(settings: Settings) -> tuple[str, ...]:
    """Which of the servers that stand in for a URL do not run, by name."""
    standing_in = {
        Postgres(settings.home): settings.database_url is None,
        Valkey(settings.home): settings.redis_url is None,
    }
    return tuple(server.called for server, used in standing_in.items() if used and server.address() is None)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
