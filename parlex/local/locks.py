"""Locks on files, which the kernel drops with their holder however it died, private files, and the folder of both."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from parlex.errors import ConfigurationError

if sys.platform != "win32":
    import fcntl

POLL_SECONDS = 0.02


@contextmanager
def usable(home: Path) -> Iterator[None]:
    """ConfigurationError, in one line, where PARLEX_HOME cannot be used: for an OSError of what the block does there.

    Also for a name that is no UTF-8, of which no server's address could be made.
    """
    try:
        str(home.absolute()).encode()
        yield
    except UnicodeEncodeError:
        name = os.fsencode(home.absolute()).decode(errors="backslashreplace")
        raise ConfigurationError(f"PARLEX_HOME cannot be used: its name is no UTF-8: {name}") from None
    except OSError as error:
        raise ConfigurationError(f"PARLEX_HOME cannot be used: {error}") from None


def open_private(path: Path, flags: int = 0) -> int:
    """A descriptor to read and write ``path``, made for its owner alone where it is new."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, 0o600)


def write_private(path: Path, text: str) -> None:
    """Write by way of a new file, so that nobody reads half of it nor a file with looser permissions."""
    descriptor, fresh = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(fresh).replace(path)
    except OSError:
        Path(fresh).unlink()
        raise


@contextmanager
def held(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[int]:
    """Hold the lock on ``path`` while the block lasts; the descriptor, for who is to inherit it.

    BlockingIOError where another holds it and we are not to ``wait``.
    """
    descriptor = open_private(path)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        yield descriptor
    finally:
        os.close(descriptor)


def is_held(path: Path, *, shared: bool = True) -> bool:
    """Whether another open file holds ``path``. PermissionError if that cannot be asked.

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


def wait_until(condition: Callable[[], bool], seconds: float, *, every: float = POLL_SECONDS) -> bool:
    """Ask ``condition`` until it holds; False once ``seconds`` have passed."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True
