"""The command line as a user has it: processes, exit codes, what goes to which stream, what a terminal shows."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from parlex.settings import Settings, environment


def run(settings: Settings, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """A command that ended; its output is a pipe, 100 columns wide where ``changes`` does not say otherwise."""
    return subprocess.run(
        [sys.executable, "-m", "parlex", *arguments],
        env=environment(settings, **({"COLUMNS": "100"} | changes)),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def complaint(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line of an error."""
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert line.startswith("parlex: ")
    return line.removeprefix("parlex: ")


@contextmanager
def under_way(settings: Settings, *arguments: str, **changes: str) -> Iterator[subprocess.Popen[str]]:
    """A command that is running; it is ended with the block, or after two minutes, so that nobody reads for ever."""
    with subprocess.Popen(
        [sys.executable, "-m", "parlex", *arguments],
        env=environment(settings, **({"COLUMNS": "100"} | changes)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        patience = threading.Timer(120, process.kill)
        patience.start()
        try:
            yield process
        finally:
            patience.cancel()
            process.send_signal(signal.SIGTERM)


def seen_on_a_terminal(
    settings: Settings, *arguments: str, columns: int = 100, **changes: str
) -> tuple[int, list[str]]:
    """The exit code, and each line that standard error showed, one after the other, without colours."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "parlex", *arguments],
        env=environment(settings, **({"COLUMNS": "100", "TERM": "xterm"} | changes)),
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    with process, os.fdopen(ours, "rb", buffering=0) as screen:
        shown = b"".join(iter(lambda: _piece(screen), b"")).decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    return process.returncode, [line.strip() for line in re.split(r"[\r\n]+", plain)]


def _piece(screen: Any) -> bytes:
    try:
        return bytes(screen.read(65536))
    except OSError:  # how Linux tells of a terminal's end
        return b""
