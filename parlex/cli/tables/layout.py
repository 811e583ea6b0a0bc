"""What all tables are made of: a console, sheets of rows, lists of facts, and how a value becomes a cell.

On a terminal a sheet fits its width, or, where that is too narrow for columns, becomes one block a row. Elsewhere (a
pipe, a file) each row is one line as long as it needs to be, and nothing is cut.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Literal, cast

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

UNKNOWN = "-"
STATUS_STYLES = {
    "success": "green",
    "partial": "yellow",
    "failure": "red",
    "refused": "red",
    "abandoned": "red",
    "revoked": "yellow",
    "running": "cyan",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
    "yes": "green",
    "NO": "red",
}
RUN_ID_SHOWN = 8  # characters; enough to name a run to ``parlex runs show``

BOUNDLESS = 100_000  # columns of an output that is no terminal
READABLE = 100  # columns, at which free text is folded there: a summary would make each line 30 KB long
LEAST = 10  # columns of text below which a table is not worth reading

Kind = Literal["whole", "number", "line", "text"]


@dataclass(frozen=True, slots=True)
class Column:
    """``share``: of the room that the whole columns leave. ``least``: columns of text it needs to be of use."""

    name: str
    kind: Kind
    share: int = 1
    least: int = LEAST


def whole(*names: str) -> list[Column]:
    """Columns that are never cut nor folded: keys, days, codes."""
    return [Column(name, "whole") for name in names]


def numbers(*names: str) -> list[Column]:
    """The same, to the right."""
    return [Column(name, "number") for name in names]


def line(name: str, share: int = 1, least: int = LEAST) -> list[Column]:
    """A column of one line a row, cut where a terminal has no room for it."""
    return [Column(name, "line", share, least)]


def text(name: str, share: int = 1, least: int = LEAST) -> list[Column]:
    """A column that goes over as many lines as it needs."""
    return [Column(name, "text", share, least)]


class Sheet:
    """Rows below named columns. The columns are always the same, whatever the rows and the terminal are; where there is
    no row, one line says so."""

    def __init__(self, title: str | None, *columns: Sequence[Column]) -> None:
        self.title = title
        self.columns = [column for group in columns for column in group]
        self.rows: list[list[str]] = []

    def add(self, *values: Any) -> None:
        """One row: a value for each column."""
        cells = [cell(value) for value in values]
        kinds = (column.kind for column in self.columns)
        self.rows.append([" ".join(c.split()) if kind == "line" else c for c, kind in zip(cells, kinds, strict=True)])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        if not self.rows:
            yield from [Text(f"{self.title}: none")] if self.title else []
            return
        if self.title:
            yield Text(self.title, "bold")
        for gap in (2, 1):
            if widths := self._widths(options.max_width, gap):
                yield self._table(widths, gap, cut=console.is_terminal)
                yield Text("")
                return
        yield from self._blocks(options.max_width)

    def _table(self, widths: Sequence[int], gap: int, *, cut: bool) -> Table:
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
        for column, width in zip(self.columns, widths, strict=True):
            one_line = column.kind == "line" and cut
            table.add_column(
                column.name,
                width=width,
                no_wrap=one_line,
                overflow="ellipsis" if one_line else "fold",
                justify="right" if column.kind == "number" else "left",
            )
        for row in self.rows:
            table.add_row(*(Text(value, STATUS_STYLES.get(value, "")) for value in row))
        return table

    def _widths(self, room: int, gap: int) -> list[int] | None:
        """A width for each column; None where there is no room for all of them."""
        wanted = [self._natural(at, column) for at, column in enumerate(self.columns)]
        if room >= BOUNDLESS:
            limits = (READABLE if column.kind == "text" else BOUNDLESS for column in self.columns)
            return [min(width, limit) for width, limit in zip(wanted, limits, strict=True)]
        elastic = [at for at, column in enumerate(self.columns) if column.kind in ("line", "text")]
        left = room - gap * (len(self.columns) - 1) - sum(w for at, w in enumerate(wanted) if at not in elastic)
        if left < sum(min(wanted[at], self.columns[at].least) for at in elastic):
            return None
        for at in sorted(elastic, key=lambda at: wanted[at] / self.columns[at].share):
            # Who needs less than its share leaves the rest to those who come after.
            shares = sum(self.columns[other].share for other in elastic)
            needed = sum(min(wanted[other], self.columns[other].least) for other in elastic if other != at)
            wanted[at] = min(wanted[at], max(left * self.columns[at].share // shares, self.columns[at].least))
            wanted[at] = min(wanted[at], left - needed)
            left -= wanted[at]
            elastic.remove(at)
        return wanted

    def _natural(self, at: int, column: Column) -> int:
        lines = (piece for row in self.rows for piece in row[at].split("\n"))
        return max(max(map(cell_len, lines), default=0), cell_len(column.name))

    def _blocks(self, room: int) -> Iterator[RenderableType]:
        """One block a row, for narrow terminals: a line for each column; numbers, which are short, share theirs."""
        names = [column.name for column in self.columns if column.kind != "number"]
        for row in self.rows:
            block = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
            block.add_column(no_wrap=True, style="dim", width=max(map(cell_len, names), default=0))
            block.add_column(overflow="fold", width=max(room - max(map(cell_len, names), default=0) - 1, LEAST))
            counts: list[str] = []
            for column, value in zip(self.columns, row, strict=True):
                if column.kind == "number":
                    counts.append(f"{column.name} {value}")
                else:
                    block.add_row(column.name, Text(value, STATUS_STYLES.get(value, "")))
            yield block
            if counts:
                yield Text(", ".join(counts))
            yield Text("")


class Screen(Console):
    """A console that leaves it to its caller what to do where nobody reads any more: rich would exit with 1."""

    def on_broken_pipe(self) -> None:
        raise  # the BrokenPipeError that it is called for


def console() -> Console:
    """Standard output. Titles are data: nothing in them is taken for markup."""
    if sys.stdout.isatty():
        return Screen(markup=False, highlight=False, emoji=False)
    width = shutil.get_terminal_size((BOUNDLESS, 24)).columns  # COLUMNS, where a person set it
    file = cast(IO[str], _Stripped(sys.stdout))
    return Screen(file=file, width=width, markup=False, highlight=False, emoji=False)


class _Stripped:
    """A stream whose lines end with their last letter: rich fills them up with blanks."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(re.sub(r" +$", "", text, flags=re.MULTILINE))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Facts:
    """What is known of one thing: a name and a value a line."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.rows: list[tuple[str, Text]] = []

    def add(self, name: str, value: Any, style: str = "") -> None:
        shown = cell(value)
        self.rows.append((name, Text(shown, style or STATUS_STYLES.get(shown, ""))))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        yield Text(self.title, "bold")
        names = max((cell_len(name) for name, _ in self.rows), default=0)
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, style="dim", width=names)
        table.add_column(overflow="fold")
        for row in self.rows:
            table.add_row(*row)
        yield table
        yield Text("")


def cell(value: Any) -> str:
    """A value in words; numbers with one place, moments in UTC to the second."""
    if value is None:
        return UNKNOWN
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, dict):
        return pairs(value)
    return str(value)


def pairs(values: Mapping[str, Any]) -> str:
    """``name=value`` of what is known."""
    return " ".join(f"{name}={cell(value)}" for name, value in values.items() if value is not None)


def words(code: str) -> str:
    """A name of ours as people write it."""
    return code.replace("_", " ")


def counts(parts: Mapping[str, Sequence[object]]) -> str:
    """How many of each, those left out of which there are none."""
    return ", ".join(f"{len(found)} {name}" for name, found in parts.items() if found) or "nothing"


def ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """A time in the largest unit of which there are two."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
