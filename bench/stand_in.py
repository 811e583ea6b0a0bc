"""Both sources on this machine: an independent stand-in where there is one, else ``parlex sandbox``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path(os.environ.get("PARLEX_STAND_IN") or ROOT.parent / "shared" / "upstream")


@dataclass(frozen=True)
class StandIn:
    """Its two hosts, and its control port. ``sessions``: how many bills each has."""

    legisinfo: str
    openparliament: str
    control: httpx.Client
    sessions: dict[str, int]
    name: str

    def latency(self, milliseconds: int) -> bool:
        """Delay every answer; False where the stand-in cannot."""
        return self.control.post("/config", json={"latency_ms": milliseconds}).is_success

    def reset(self) -> None:
        self.control.post("/reset").raise_for_status()

    def requests(self) -> dict[str, int]:
        """Requests since the last reset, by host."""
        stats = self.control.get("/stats").raise_for_status().json()
        return {host: int(stats[host]["requests"]) for host in ("legisinfo", "openparliament")}

    def first_request(self) -> float | None:
        """When the oldest request in the log came, on this machine's monotonic clock; None where it does not say."""
        log = self.control.get("/log", params={"n": 5000}).raise_for_status().json()
        moments = [entry["at"] for entries in log.values() for entry in entries if isinstance(entry, dict)]
        return min(moments, default=None)


@contextmanager
def running() -> Iterator[StandIn]:
    given = FOLDER / "serve.py"
    command = [sys.executable, str(given)] if given.is_file() else [sys.executable, "-m", "parlex", "sandbox"]
    more = ["--port-base", "0", *(["--quiet"] if given.is_file() else [])]
    with subprocess.Popen([*command, *more], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if line.startswith("ready"))
            urls = dict(part.split("=", 1) for part in line.split()[1:])
            with httpx.Client(base_url=urls["control"], timeout=30) as control:
                yield StandIn(urls["legisinfo"], urls["openparliament"], control, _sessions(control), command[-1])
        finally:
            process.terminate()


def _sessions(control: httpx.Client) -> dict[str, int]:
    state: dict[str, Any] = control.get("/health").json()
    if "sessions" not in state:
        state = control.get("/state").json() if "bills" not in state else state
    found = state.get("sessions", state.get("bills"))
    return {session: int(count) for session, count in sorted(found.items())}
