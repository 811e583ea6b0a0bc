"""Beat: each message of the schedule carries its entry's name and its slot.

So the same tick twice (two beats, a late copy) is one run. Beat keeps no file: what it sent it remembers while it
lives, and what it missed while it did not is found in the log.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import structlog
from celery.beat import ScheduleEntry, Scheduler
from celery.schedules import crontab, schedstate
from sqlalchemy.exc import SQLAlchemyError

from parlex.datasets import sitting
from parlex.db.clock import Clock
from parlex.db.errors import explain
from parlex.errors import ConfigurationError, ParlexError, UsageError
from parlex.resources import Resources
from parlex.runs import fetch_logs
from parlex.runs import schedule as changed
from parlex.runs.schedule import Override
from parlex.settings import settings
from parlex.watch import beats
from workers.app import EXPIRES, resources
from workers.slots import count_between, latest_slot, next_slot

log = structlog.stdlib.get_logger(__name__)

_ENTRY, _SLOT, _MISSED = "parlex_entry", "parlex_slot", "parlex_missed"
# How long a slot may be without a run before it is taken for missed: a tick may wait a little for a worker.
GRACE = timedelta(minutes=5)
# The entry of celeryconfig.py that says that beat is alive.
HEARTBEAT = "keep-house"


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick: of which entry, for which slot, and how many earlier slots it stands in for."""

    entry: str
    slot: datetime
    missed: int = 0
    task: str = ""
    kwargs: Mapping[str, Any] | None = None

    def headers(self) -> dict[str, Any]:
        return {_ENTRY: self.entry, _SLOT: self.slot.isoformat(), _MISSED: self.missed}

    @classmethod
    def read(cls, headers: Mapping[str, Any]) -> Self:
        """UsageError for headers that no beat of ours wrote."""
        entry, slot, missed = (headers.get(name) for name in (_ENTRY, _SLOT, _MISSED))
        try:
            moment = datetime.fromisoformat(slot if isinstance(slot, str) else "")
        except ValueError:
            raise UsageError(f"{_SLOT} must be an instant in ISO 8601, not {slot!r:.50}") from None
        if not isinstance(entry, str) or moment.tzinfo is None or not isinstance(missed, int) or missed < 0:
            raise UsageError(f"these headers are of no tick: {entry!r:.50}, {slot!r:.50}, {missed!r:.50}")
        return cls(entry, moment, missed)


def tick_of(request: Any) -> Tick | None:
    """The tick that a task's message stands for; None for a dispatch by hand."""
    headers = request.headers or {}
    return Tick.read(headers) if _ENTRY in headers else None


class SlotEntry(ScheduleEntry):
    """An entry that is due when a slot has come since it last ran, or since beat started."""

    def is_due(self) -> schedstate:
        if not isinstance(self.schedule, crontab):
            return super().is_due()
        now = datetime.now(UTC)
        wait = (next_slot(self.schedule, now) - now).total_seconds()
        return schedstate(latest_slot(self.schedule, now) > self.last_run_at, wait)


class SlotScheduler(Scheduler):
    """Celery's scheduler without its file, whose messages say which slot they are for.

    It leaves a heartbeat of its own in the database, and says when there is another beat. Without the database it goes
    on sending.
    """

    Entry = SlotEntry

    def __init__(self, *args: Any, **options: Any) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._noted = 0.0  # by the monotonic clock; 0: never
        self._others: list[str] = []
        self._changed: Mapping[str, Override] = {}
        self._clock: Clock | None = None  # the database's
        super().__init__(*args, **options)

    def setup_schedule(self) -> None:
        """The heartbeat comes at once: nobody waits half a minute to hear that beat is alive.

        An entry that is never due ends beat, in one line.
        """
        super().setup_schedule()
        for entry in self.schedule.values():
            self._require_slots(entry)
        heartbeat = self.schedule.get(HEARTBEAT)
        if heartbeat is not None:
            heartbeat.last_run_at -= heartbeat.schedule.run_every

    def _require_slots(self, entry: ScheduleEntry) -> None:
        try:
            entry.is_due()
        except ConfigurationError as error:
            log.error("beat does not start", entry=entry.name, error=str(error))
            # Celery would write the traceback of any other error.
            raise SystemExit(1) from None

    def tick(self, *args: Any, **options: Any) -> Any:
        if not self._noted or time.monotonic() - self._noted >= settings().keep_house_seconds:
            self._noted = time.monotonic()
            self._note()
        return super().tick(*args, **options)

    def _note(self) -> None:
        """Leave the heartbeat, and look who else does."""
        patience = timedelta(seconds=2.5 * settings().keep_house_seconds)
        try:
            with resources().db() as db:
                beats.note(db, self.name)
                others = [name for name in beats.alive(db, patience) if name != self.name]
                found = changed.overrides(db)
                self._clock = Clock(db)
        except (SQLAlchemyError, ParlexError) as error:
            log.warning("beat leaves no heartbeat", error=explain(error) or str(error))
            return
        if others and others != self._others:
            log.warning("another beat is alive: there should be one", other=", ".join(others))
        self._others = others
        self.follow(found)

    def follow(self, found: Mapping[str, Override]) -> None:
        """Take up what people changed: a paused entry is left out, and one that was moved has its own time."""
        if found == self._changed:
            return
        self._changed = found
        for name, entry in self.app.conf.beat_schedule.items():
            schedule = effective(name, entry["schedule"], found.get(name))
            if schedule is None:
                self.schedule.pop(name, None)
            elif name not in self.schedule or self.schedule[name].schedule != schedule:
                self.schedule[name] = self.Entry(**{**entry, "name": name, "schedule": schedule, "app": self.app})
        self._heap = None  # the scheduler's order of what is next; it is made anew
        paused = sorted(name for name, one in found.items() if one.paused_at)
        moved = {name: one.cron for name, one in found.items() if one.cron}
        log.info("schedule changed", paused=", ".join(paused) or "none", moved=str(moved or "none"))

    def close(self) -> None:
        super().close()
        if self._noted:
            try:
                with resources().db() as db:
                    beats.forget(db, self.name)
            except (SQLAlchemyError, ParlexError) as error:
                log.warning("beat's last heartbeat stays", error=explain(error) or str(error))

    def apply_async(self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send a tick with its slot, and until when it is worth anything.

        Celery's own ``expires`` is written by this host's clock and judged by the worker's: a worker whose clock is
        ahead would drop each message. Ours is by the database's clock; while that is not known, no message expires.
        """
        entry = self.reserve(entry) if advance else entry
        usual = entry.options
        headers: dict[str, Any] = {}
        if isinstance(entry.schedule, crontab):
            headers |= Tick(entry.name, latest_slot(entry.schedule, datetime.now(UTC))).headers()
        if "expires" in usual and self._clock is not None:
            expires = self._clock.now() + timedelta(seconds=usual["expires"])
            headers[EXPIRES] = expires.isoformat()
        entry.options = {**usual, "expires": None, "headers": headers}
        try:
            return super().apply_async(entry, producer=producer, advance=False, **kwargs)
        finally:
            entry.options = usual


def effective(name: str, usual: Any, override: Override | None) -> Any:
    """The schedule by which an entry goes: the usual one, its own, or None while it is paused.

    Only what has slots can be changed: the heartbeat and the alerts always go on.
    """
    if override is None or not isinstance(usual, crontab):
        return usual
    if override.paused_at is not None:
        return None
    if override.cron is None:
        return usual
    try:
        own = type(usual)(**changed.cron_fields(override.cron))
        next_slot(own, datetime.now(UTC))
    except (UsageError, ConfigurationError) as error:
        log.error("schedule entry keeps its usual time", entry=name, error=str(error))
        return usual
    return own


def is_idle(kwargs: Mapping[str, Any], resources: Resources, now: datetime) -> bool:
    """Whether a tick with these arguments has nothing to do: it is for while Parliament sits, and it does not."""
    if not kwargs.get("sitting"):
        return False
    with resources.db() as db:
        return not sitting.is_sitting(db, now)


def missed(schedule: Mapping[str, Mapping[str, Any]], resources: Resources) -> list[Tick]:
    """The ticks to send for entries whose latest slot has no run, one each, however many were missed.

    An entry that never ran has missed nothing: a fresh mirror begins at its next slot.
    """
    now = datetime.now(UTC)
    with resources.db() as db:
        found = changed.overrides(db)
    ticks = (_missed_tick(name, entry, found.get(name), resources, now) for name, entry in schedule.items())
    return [tick for tick in ticks if tick]


def _missed_tick(
    name: str, entry: Mapping[str, Any], override: Override | None, resources: Resources, now: datetime
) -> Tick | None:
    schedule = effective(name, entry["schedule"], override)
    if not isinstance(schedule, crontab):
        return None
    with resources.db() as db:
        last, first = fetch_logs.last_slot(db, name), fetch_logs.first_slot(db, name)
        # A run that was interrupted goes on first: beside it the tick would be skipped, and with it the slot.
        going = fetch_logs.entry_runs(db, name)
    slot = latest_slot(schedule, now)
    if first is None or going or now - slot < GRACE:
        return None
    if override is not None:
        if slot <= override.changed_at:
            return None
        last = max(last or override.changed_at, override.changed_at)
    if last is None:
        last = first - timedelta(seconds=1)  # every run of it was abandoned
    if last >= slot:
        return None
    kwargs = entry.get("kwargs", {})
    if is_idle(kwargs, resources, now):
        return None
    # The slots of a time without a sitting were not missed.
    before = 0 if kwargs.get("sitting") else count_between(schedule, last, slot)
    return Tick(name, slot, before, entry["task"], kwargs)
