"""How far each run is, on standard error: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from parlex.cli.tables import layout

EVERY_SECONDS = 10.0  # between two lines where there is no terminal


class Bar:
    """How far one run is. Told so by calling it with the keys that are done, and all."""

    def __init__(self, asked: str, moved: Callable[[int, int], None]) -> None:
        self.asked = asked
        self.over = False
        self.done, self.total = 0, 0
        self._moved = moved
        self._doing = "begins"
        self._began, self._before = time.monotonic(), 0

    def __call__(self, done: int, total: int) -> None:
        if not self.total:
            self._began, self._before = time.monotonic(), done
        self.done, self.total, self._doing = done, total, ""
        self._moved(done, total)

    def say(self, doing: str) -> None:
        """What it is about to do, where that is not to be counted."""
        self._doing = doing

    def __str__(self) -> str:
        """``120 done  321 left  16.2/s  20 s to go``."""
        if not self.total:
            return self._doing or "nothing to fetch"
        left, elapsed = self.total - self.done, time.monotonic() - self._began
        rate = (self.done - self._before) / elapsed if elapsed else 0.0
        ahead = f"{rate:.1f}/s  {layout.span(left / rate)} to go" if rate and left else ""
        return "  ".join(filter(None, (f"{self.done} done", f"{left} left", self._doing or ahead)))


class Bars:
    """The bars of several runs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[Bar, TaskID] = {}

    def add(self, asked: str) -> Bar:
        """One more, called what was asked for."""
        bar = Bar(asked, lambda done, total: self._progress.update(task, completed=done, total=total))
        task = self._progress.add_task(asked, total=None, bar=bar)
        self._tasks[bar] = task
        return bar

    def remove(self, bar: Bar) -> None:
        """For a request that never came to be a run."""
        self._progress.remove_task(self._tasks.pop(bar))

    def __iter__(self) -> Iterator[Bar]:
        return iter(list(self._tasks))


@contextmanager
def showing(console: Console | None = None, *, every: float = EVERY_SECONDS) -> Iterator[Bars]:
    """Bars that are seen while the block lasts. No line of the log breaks them."""
    console = console or layout.Screen(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), _Told(Column(no_wrap=True, overflow="ellipsis")))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bars = Bars(progress)
        with _log_above_bars() if console.is_terminal else _lines(bars, console, every):
            yield bars


class _Told(ProgressColumn):
    """The words beside a bar."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields["bar"]))


@contextmanager
def _log_above_bars() -> Iterator[None]:
    """A handler holds the stream that was standard error when it was made; the one that bars put there knows them."""
    handlers = [h for h in logging.getLogger().handlers if isinstance(h, logging.StreamHandler)]
    before = [(handler, handler.setStream(sys.stderr)) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in before:
            if stream is not None:  # it was this one already
                handler.setStream(stream)


@contextmanager
def _lines(bars: Bars, console: Console, every: float) -> Iterator[None]:
    """Say now and then how far those are that are not over."""
    stopped = Event()

    def tell() -> None:
        with suppress(BrokenPipeError):  # then nobody is to be told
            while not stopped.wait(every):
                for bar in bars:
                    if not bar.over:
                        console.print(f"{bar.asked}: {bar}", soft_wrap=True, markup=False, highlight=False)

    teller = Thread(target=tell, name="bars", daemon=True)
    teller.start()
    try:
        yield
    finally:
        stopped.set()
        teller.join()
