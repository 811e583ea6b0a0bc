"""How far a run is: a bar for each, on standard error."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from parlex.cli.tables import layout


def progress() -> Progress:
    """Bars with done, left, rate and time left, on standard error; nothing where that is no terminal."""
    errors = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _Count(),
        console=errors,
        disable=not errors.is_terminal,
    )


class _Count(ProgressColumn):
    """``120 done  321 left  16.2/s  20 s to go``."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text("asking for the list")
        done, left = int(task.completed), int(task.total - task.completed)
        rate = task.completed / task.elapsed if task.elapsed else 0.0
        ahead = f"  {rate:.1f}/s  {layout.span(left / rate)} to go" if rate and left else ""
        return Text(f"{done} done  {left} left{ahead}")


class Bar:
    """The bar of one run, and what is told how far the run is."""

    def __init__(self, bars: Progress, asked: str) -> None:
        self._bars = bars
        self._task = bars.add_task(asked, total=None)

    def __call__(self, done: int, total: int) -> None:
        self._bars.update(self._task, completed=done, total=total)

    def remove(self) -> None:
        """For a request that never comes to be a run."""
        self._bars.remove_task(self._task)
