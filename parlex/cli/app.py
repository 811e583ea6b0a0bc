"""The command ``parlex``: gathers the commands, each of which stands in the file of its noun."""

from __future__ import annotations

import io
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

import parlex
from parlex.cli import backup, bills, follow, hosts, mirror, operate, politicians, run, schedule, votes, web, words
from parlex.cli.frame import LOOK, OPERATE, PROVE, Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    # Answers the shells. Its two options change a person's files or guess their shell: ``parlex completion`` does not.
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for noun in (run, web, bills, politicians, votes, mirror, operate, backup):
    app.add_typer(noun.commands)
app.add_typer(run.runs, name="runs", rich_help_panel=LOOK)
app.add_typer(mirror.quarantine, name="quarantine", rich_help_panel=PROVE)
app.add_typer(operate.alerts, name="alerts", rich_help_panel=OPERATE)
app.add_typer(hosts.hosts, name="hosts", rich_help_panel=OPERATE)
app.add_typer(schedule.schedule, name="schedule", rich_help_panel=OPERATE)
app.add_typer(words.words, name="words", rich_help_panel=OPERATE)
app.add_typer(follow.follow, name="follow", rich_help_panel=OPERATE)
app.add_typer(web.keys, name="keys", rich_help_panel=OPERATE)
app.add_typer(operate.db, name="db", rich_help_panel=OPERATE)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"parlex {parlex.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """An exact, fresh, provable copy of the bills of the Parliament of Canada, and of its politicians and votes, in
    your own database.

    Each command tells more of itself, with examples: parlex fetch --help.
    """


def main() -> None:
    """Run the command line."""
    # A plain TERM would end us before the embedded servers that we started are stopped; so would a terminal that ends.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, _end)
    # In a pipe too each line is there once it is printed: a backfill of several sessions goes on for hours.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    app(prog_name="parlex")


def _end(number: int, frame: FrameType | None) -> None:
    """End as Ctrl-C does, with an exit code that names the signal."""
    # ``timeout`` sends it twice; the second one must not break off what is put away for the first.
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)
