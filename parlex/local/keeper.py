"""The process that forks the children of ``parlex up`` and keeps them alive: ``python -m parlex.local.keeper``.

It imports what they all need once and forks them from there, so that they share its memory: seven processes that would
each take 60 MB take a third of that. Nothing here starts a thread, since only a process without threads may fork.

Its standard input holds one line, a ``Plan`` as JSON, and stays open: when it closes, for whatever reason (the
supervisor wants it, or died), the children are ended. SIGTERM makes that quick.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import re
import runpy
import selectors
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from types import FrameType

GRACE_SECONDS = 30.0  # after TERM, before KILL: the workers give what they do back to the queue
STEADY_SECONDS = 30.0  # a child that lived so long has earned a quick restart
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
TICK_SECONDS = 0.1

_COLOURS = (36, 32, 33, 35, 34)
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


@dataclass(frozen=True)
class Program:
    """One child: its name in the output, and the module and arguments it runs as ``python -m`` would."""

    name: str
    module: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What to keep alive, what to import first, and whether the output goes to a terminal.

    ``unsaid`` are regular expressions: a line of a child that matches one is not passed on.
    """

    programs: tuple[Program, ...]
    preload: tuple[str, ...]
    coloured: bool
    unsaid: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> Plan:
        read = json.loads(line)
        programs = tuple(Program(p["name"], p["module"], tuple(p["arguments"])) for p in read["programs"])
        return cls(programs, tuple(read["preload"]), read["coloured"], tuple(read["unsaid"]))


def labelled(name: str, line: str, colour: int | None = None) -> str:
    """A line of output with the name of who wrote it before it."""
    label = f"{name:8}|"
    return f"\033[{colour}m{label}\033[0m {line}\n" if colour else f"{label} {line}\n"


def main() -> None:
    plan = Plan.from_json(_first_line())
    for module in plan.preload:
        import_module(module)
    # What lives now lives for ever: the collector need not touch it, and so not copy its pages in every child.
    gc.collect()
    gc.freeze()
    program = Keeper(plan).run()
    if program:  # we are a child; everything of the keeper has been left behind
        _become(program)


class Keeper:
    """The children, and the loop that reads their output, buries and restarts them."""

    def __init__(self, plan: Plan) -> None:
        colours = {program.name: _COLOURS[i % len(_COLOURS)] for i, program in enumerate(plan.programs)}
        self._colours = colours if plan.coloured else {}
        self._children = [_Child(program) for program in plan.programs]
        self._unsaid = [re.compile(pattern) for pattern in plan.unsaid]
        self._selector = selectors.DefaultSelector()
        self._ending = self._hurried = False

    def run(self) -> Program | None:
        """Keep the children until the end. Returns None then; and in each fork, at once, the program to become."""
        signal.signal(signal.SIGTERM, self._hurry)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        while not self._ending:
            for child in self._children:
                if child.is_due() and self._fork(child):
                    return child.program
                self._bury(child)
            self._relay(TICK_SECONDS)
        self._end_children()
        return None

    def _hurry(self, number: int, frame: FrameType | None) -> None:
        self._ending = self._hurried = True

    def _fork(self, child: _Child) -> bool:
        """Start ``child``; True in the new process."""
        reader, writer = os.pipe()
        keeper = os.getpid()
        # A TERM that comes before the new process has laid off our handler must wait until it has.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        pid = os.fork()
        if pid == 0:
            self._leave(writer, keeper)
            return True
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.close(writer)
        self._selector.register(reader, selectors.EVENT_READ, _Output(child.program.name, reader))
        child.born(pid)
        self._say(child.program.name, f"started, process {pid}")
        return False

    def _leave(self, output: int, keeper: int) -> None:
        """Make the fork a process of its own: its session, its output, no handler and no descriptor of the keeper."""
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        for key in list(self._selector.get_map().values()):
            os.close(key.fd)
        self._selector.close()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            if source != target:
                os.dup2(source, target)
        if output > 2:
            os.close(output)
        _end_with_parent(keeper)

    def _bury(self, child: _Child) -> None:
        if (code := child.ended()) is not None:
            delay = child.schedule()
            self._say(child.program.name, f"ended ({_told(code)}); starts again in {delay:g} s")

    def _relay(self, seconds: float) -> None:
        """Pass on what the children say; see whether our input has closed."""
        for key, _ in self._selector.select(seconds):
            if not isinstance(key.data, _Output):
                self._selector.unregister(key.fd)
                self._ending = True  # one line was all we are ever sent
                continue
            for line in key.data.read():
                if not any(pattern.search(line) for pattern in self._unsaid):
                    self._say(key.data.name, line)
            if key.data.is_over:
                self._selector.unregister(key.fd)
                os.close(key.fd)

    def _end_children(self) -> None:
        for child in self._children:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(child.pid and child.ended() is None for child in self._children):
            if self._hurried or time.monotonic() > deadline:
                break
            self._relay(TICK_SECONDS)
        for child in self._children:
            child.signal(signal.SIGKILL)
        self._relay(0)

    def _say(self, name: str, line: str) -> None:
        with suppress(OSError):  # nobody may be left to read it
            os.write(sys.stdout.fileno(), labelled(name, line, self._colours.get(name)).encode())


class _Child:
    """One program through all its lives."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.pid = 0  # 0 between two lives
        self._since = self._due = 0.0
        self._failures = 0

    def is_due(self) -> bool:
        return not self.pid and time.monotonic() >= self._due

    def born(self, pid: int) -> None:
        self.pid, self._since = pid, time.monotonic()

    def ended(self) -> int | None:
        """Its exit code, once; None while it lives, or between two lives. What is left of its session is ended too."""
        if not self.pid:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        _signal_group(pid, signal.SIGKILL)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def schedule(self) -> float:
        """Set when it starts again; the seconds until then."""
        now = time.monotonic()
        if now - self._since > STEADY_SECONDS:
            self._failures = 0
        delay = BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)]
        self._failures += 1
        self._due = now + delay
        return delay

    def signal(self, number: int) -> None:
        """TERM goes to the process itself, which ends its own children in order; KILL to all of them."""
        if self.pid and number == signal.SIGKILL:
            _signal_group(self.pid, number)
            os.waitpid(self.pid, 0)
            self.pid = 0
        elif self.pid:
            os.kill(self.pid, number)


class _Output:
    """What one life of a child writes, line by line."""

    def __init__(self, name: str, descriptor: int) -> None:
        self.name = name
        self.is_over = False
        self._descriptor = descriptor
        self._rest = b""  # of a line that has not ended yet

    def read(self) -> list[str]:
        """The lines that have ended since; at the end of the output the last one too."""
        piece = os.read(self._descriptor, 65536)
        self.is_over = not piece
        *lines, self._rest = (self._rest + (piece or b"\n")).split(b"\n")
        return [line.decode(errors="replace").rstrip() for line in lines if piece or line]


def _become(program: Program) -> None:
    """Run the program as its own command line would. Its name shows in ``top`` and ``ps -o comm``."""
    gc.enable()
    _name_process(f"parlex {program.name}")
    sys.argv = [program.module, *program.arguments]
    runpy.run_module(program.module, run_name="__main__", alter_sys=True)


def _end_with_parent(parent: int) -> None:
    """On Linux the kernel ends us if the keeper is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _name_process(name: str) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode())


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _told(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _first_line() -> bytes:
    """Byte by byte: what a buffer had taken in beyond it would hide that the input has closed."""
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(sys.stdin.fileno(), 1)
        if not piece:
            raise SystemExit("parlex.local.keeper is started by `parlex up`, which tells it what to keep")
        line += piece
    return line


if __name__ == "__main__":
    main()
