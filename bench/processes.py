"""What processes cost: processor seconds and memory, read from /proc (Linux)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def descendants(root: int) -> list[int]:
    """The process and all that it started, directly or not."""
    children: dict[int, list[int]] = {}
    for folder in PROC.glob("[0-9]*"):
        try:
            fields = _stat(int(folder.name))
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
    found, at = [root], 0
    while at < len(found):
        found += children.get(found[at], [])
        at += 1
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of the processes so far, and of their children that have ended."""
    return sum(map(_ticks, pids)) / _TICKS


def clocks(pids: Iterable[int]) -> dict[int, float]:
    """As ``cpu_seconds``, but to the nanosecond and without children: each process by its own clock.

    The clock's number is what clock_getcpuclockid(3) makes of a process id.
    """
    found = {}
    for pid in pids:
        with suppress(OSError):  # it has just ended
            found[pid] = time.clock_gettime(~pid << 3 | 2)
    return found


def between(before: dict[int, float], after: dict[int, float]) -> float:
    """What ran from one look at the clocks to the next; without those that ended in between."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def rss(pid: int) -> float:
    """Megabytes of a process that are in memory, shared ones too: nothing beside it changes the figure."""
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024**2


def _ticks(pid: int) -> int:
    try:
        return sum(map(int, _stat(pid)[11:15]))
    except OSError:  # it has just ended
        return 0


def _stat(pid: int) -> list[str]:
    """The fields after the name, which may hold blanks and brackets: state first."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def pss(pids: Iterable[int]) -> float:
    """Megabytes that the processes hold together, each shared page counted once among those that share it."""
    return sum(map(_pss, pids)) / 1024


def _pss(pid: int) -> int:
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended
        return 0
    return int(next(line.split()[1] for line in lines if line.startswith("Pss:")))


def name(pid: int) -> str:
    """The name of a process, or an empty text for one that has just ended."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def command(pid: int) -> str:
    return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


class Peak:
    """The largest ``pss`` of some processes while the block lasts, looked at twenty times a second."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, name="peak")
        self.megabytes = 0.0

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            self.megabytes = max(self.megabytes, pss(self._pids()))

    def __enter__(self) -> Self:
        self.megabytes = pss(self._pids())
        self._watch.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._watch.join()
