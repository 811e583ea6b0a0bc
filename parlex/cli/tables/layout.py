"""What all tables are made of: a console, the kinds of tables, and how a value becomes a cell."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 120  # where the output is no terminal
UNKNOWN = "-"
STATUS_STYLES = {
    "success": "green",
    "partial": "yellow",
    "failure": "red",
    "abandoned": "red",
    "refused": "yellow",
    "revoked": "yellow",
    "running": "cyan",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}
RUN_ID_SHOWN = 8  # characters; enough to name a run to ``parlex runs show``


def console() -> Console:
    """Standard output. Titles are data: nothing in them is taken for markup."""
    width = None if sys.stdout.isatty() else shutil.get_terminal_size((PIPE_WIDTH, 24)).columns
    return Console(width=width, markup=False, highlight=False, emoji=False)


def table(title: str | None, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def widest(table: Table) -> Table:
    """A table whose columns with a ratio share what the others leave of the terminal's width."""
    table.expand = True
    return table


def facts(title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    return table


def add(table: Table, *values: Any) -> None:
    cells = [cell(value) for value in values]
    table.add_row(*(Text(cell, STATUS_STYLES.get(cell, "")) for cell in cells))


def cell(value: Any) -> str:
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
    return " ".join(f"{name}={cell(value)}" for name, value in values.items() if value is not None)


def words(code: str) -> str:
    return code.replace("_", " ")


def ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{span(seconds)} ago"


def span(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
