"""What both embedded servers share: a private folder, a password, and locks that tell who lives and who uses it."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from parlex.errors import ConfigurationError
from parlex.local.locks import held, is_held, open_private, usable, wait_until, write_private

START_SECONDS = 60.0  # a PostgreSQL that was killed first replays its log
STOP_SECONDS = 15.0  # to each signal, before the next and rougher one
_COMPLAINTS = ("FATAL", "error:", " # ")  # the words of PostgreSQL, initdb and Valkey


class Server(ABC):
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
    def launch(self, alive: int) -> None:
        """Make what is missing and start the server as a daemon that inherits the descriptor ``alive``."""

    @abstractmethod
    def ready(self) -> str:
        """Wait until the launched server answers; its address."""

    @abstractmethod
    def pid(self) -> int | None:
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
        self.package_folder()  # before anything is made
        with ExitStack() as using:
            with usable(self.home):
                self._make_folder()
                using.callback(self._leave)
                using.enter_context(held(self.folder / "users", shared=True))
                address = self.revived()
            yield address

    def _leave(self) -> None:
        with usable(self.home), held(self.folder / "gate"):
            if not is_held(self.folder / "users", shared=False):
                self.stop()

    def revived(self) -> str:
        with usable(self.home), held(self.folder / "gate"):
            return self._join_or_start()

    def _join_or_start(self) -> str:
        if address := self.address():
            return address
        self.stop()  # one that its owner left half started
        try:
            self._start()
            address = self.ready()
        except BaseException:
            self.stop()
            raise
        write_private(self.folder / "address", address)
        return address

    def _start(self) -> None:
        with held(self.folder / "alive") as alive:
            self.launch(alive)

    def stop(self) -> None:
        (self.folder / "address").unlink(missing_ok=True)
        for number in self.stop_signals:
            if not is_held(self.folder / "alive"):
                return
            if pid := self.pid():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            if wait_until(self.is_gone, STOP_SECONDS):
                return
        raise ConfigurationError(f"the embedded {self.called} of {self.folder} does not stop; end it by hand")

    def is_gone(self) -> bool:
        return not is_held(self.folder / "alive")

    def package_folder(self) -> Path:
        spec = None if sys.platform == "win32" else find_spec(self.package)
        if spec is None or spec.origin is None:
            raise ConfigurationError(
                f"no embedded {self.called} for this platform (package {self.package}):"
                f" set {self.variable}, or run Parlex by docker compose or in WSL2"
            )
        return Path(spec.origin).parent

    def _make_folder(self) -> None:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        if self.folder.is_symlink() or self.folder.stat().st_uid != os.geteuid():
            raise PermissionError(f"{self.folder} belongs to another user")
        if self.folder.stat().st_mode & 0o067:  # what others may do, but to pass through: see _as_nobody
            self.folder.chmod(0o700)

    def password(self) -> str:
        """The server's own password, made once."""
        kept = self.folder / "password"
        if not kept.exists():
            write_private(kept, secrets.token_urlsafe(24))
        return kept.read_text()

    @contextmanager
    def log(self) -> Iterator[int]:
        log = open_private(self.folder / "log", os.O_APPEND)
        try:
            yield log
        finally:
            os.close(log)

    def complain(self, why: str) -> ConfigurationError:
        log = self.folder / "log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        said = [line.strip() for line in lines if any(word in line for word in _COMPLAINTS)][-1:]
        told = ": ".join([f"the embedded {self.called} {why}", *said])
        return ConfigurationError(f"{told}; see {log}, or set {self.variable} to a server of yours")


@dataclass(frozen=True)
class Account:
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


def read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return None
