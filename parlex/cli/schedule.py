"""The commands of the schedule: which entries there are, when each is due, and what a person changes of that.

A change is a row, which beat takes up within a minute; ``celeryconfig.py`` keeps the entries and their usual times.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parlex.cli.frame import Commands, Json, command, note, print_records, reading
from parlex.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from parlex.runs.schedule import EntryRecord, Override

schedule = typer.Typer(cls=Commands, help="Show the schedule, pause its entries, or give them another time.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The entry's name, as parlex schedule list has it.")]

_HEARD = "beat takes it up within a minute"


@schedule.callback(invoke_without_command=True)
def list_all(ctx: typer.Context, as_json: Json = False) -> None:
    """List the entries: when each is due, which are paused, and the last and the next slot of each."""
    if not ctx.invoked_subcommand:
        _list_entries(as_json=as_json)


@command(schedule, name="list")
def list_entries(as_json: Json = False) -> None:
    """List the entries: when each is due, which are paused, and the last and the next slot of each.

    Example: parlex schedule list
    """
    _list_entries(as_json=as_json)


def _list_entries(*, as_json: bool) -> None:
    from parlex.cli.tables import layout
    from parlex.cli.tables import operate as tables

    with reading() as db:
        lines = _lines(db)
    if as_json:
        print_records(lines)
        return
    layout.console().print(tables.schedule(lines))
    note(f"{sum(line.paused_since is not None for line in lines)} paused")


@command(schedule)
def pause(name: Name) -> None:
    """Send no more ticks of an entry until it is resumed. What runs already goes on.

    Example: parlex schedule pause fetch-latest-votes-hourly
    """
    from parlex.runs import schedule as changed

    with reading() as db:
        _require_slots(name, db)
        changed.pause(db, name)
    note(f"{name} is paused; {_HEARD}")


@command(schedule)
def resume(name: Name) -> None:
    """Go on with a paused entry at its next slot. Slots that passed meanwhile are not made up for.

    Example: parlex schedule resume fetch-latest-votes-hourly
    """
    from parlex.runs import schedule as changed

    with reading() as db:
        _require_slots(name, db)
        changed.resume(db, name)
    note(f"{name} goes on at its next slot; {_HEARD}")


@command(schedule, name="set")
def set_time(
    name: Name,
    cron: Annotated[
        str | None,
        typer.Argument(metavar="CRON", help="Five fields in quotes, like '20 */2 * * mon-fri'; all five must fit."),
    ] = None,
    usual: Annotated[bool, typer.Option("--usual", help="Take the entry's usual time back.")] = False,
) -> None:
    """Give an entry a time of its own: minute, hour, day, month and weekday, in the schedule's time zone.

    Example: parlex schedule set fetch-latest-votes-hourly '20 */2 * * *'
    """
    from parlex.runs import schedule as changed

    if (cron is None) is not usual:
        raise UsageError("name the time, like '20 */2 * * *', or --usual: one of the two")
    with reading() as db:
        _require_slots(name, db)
        if cron is not None:
            _require_due(cron)
        changed.move(db, name, cron)
    note(f"{name} is due at {cron or 'its usual time'}; {_HEARD}")


def _entries() -> Mapping[str, Any]:
    """The schedules of celeryconfig.py by their entries' names, in the application's time zone."""
    from workers.app import app

    return {name: entry["schedule"] for name, entry in app.conf.beat_schedule.items()}


def _require_slots(name: str, db: Session) -> None:
    """UsageError for an entry that is not known, or that nobody can change."""
    from celery.schedules import crontab

    from parlex.runs.schedule import overrides

    entries = _entries()
    known = {one: found for one, found in entries.items() if isinstance(found, crontab)}
    if name in entries and name not in known:
        raise UsageError(f"{name} always goes on: without it nobody would hear of trouble")
    # A row may be of an entry that only other hosts have: the export's, say.
    if name not in known and name not in overrides(db):
        raise UsageError(f"{name!r:.80} is no entry of the schedule; known: {', '.join(sorted(known))}")


def _require_due(cron: str) -> None:
    """UsageError for a time that no calendar has, like 30 February."""
    from celery.schedules import crontab

    from parlex.runs.schedule import cron_fields
    from workers.slots import next_slot

    own = crontab(**cron_fields(cron))
    try:
        next_slot(own, datetime.now(UTC))
    except ConfigurationError:
        raise UsageError(f"{cron!r} is never due: no month has such a day") from None


def _lines(db: Session) -> list[EntryRecord]:
    from parlex.runs.schedule import overrides

    entries, changed = _entries(), overrides(db)
    return [_line(db, name, entries.get(name), changed.get(name)) for name in sorted({*entries, *changed})]


def _line(db: Session, name: str, usual: Any, override: Override | None) -> EntryRecord:
    from celery.schedules import crontab

    from parlex.runs import fetch_logs
    from parlex.runs.schedule import EntryRecord
    from workers.beat import effective
    from workers.slots import next_slot

    found = effective(name, usual, override)
    following = next_slot(found, datetime.now(UTC)) if isinstance(found, crontab) else None
    return EntryRecord(
        name,
        _in_fields(usual),
        override.cron if override else None,
        override.paused_at if override else None,
        fetch_logs.last_slot(db, name),
        following,
    )


def _in_fields(usual: Any) -> str | None:
    """A schedule of celeryconfig.py as a person writes it."""
    if usual is None:
        return None
    if isinstance(usual, timedelta):
        return f"every {usual.total_seconds():g} s"
    from workers.slots import OttawaTime

    told = re.match(r"<crontab: (.*) \(", repr(usual))
    zone = f" ({usual.tz.key})" if isinstance(usual, OttawaTime) else ""
    return told[1] + zone if told else str(usual)
