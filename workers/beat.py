"""Slots: the instants that ticks stand for.

Each message of the schedule carries its entry's name and its slot, so that the same tick twice (two beats, a late
copy) is one run. What beat missed is found in the log, not in beat's file: a lost file loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any, Self

from celery.beat import PersistentScheduler, ScheduleEntry
from celery.schedules import crontab

from parlex.errors import UsageError
from parlex.resources import Resources
from parlex.runs import fetch_logs

_ENTRY, _SLOT, _MISSED = "parlex_entry", "parlex_slot", "parlex_missed"
# Far enough back to find the last slot of a weekly entry, tried from the nearest.
_WINDOWS = (timedelta(hours=2), timedelta(hours=26), timedelta(days=8))
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


class SlotScheduler(PersistentScheduler):
    """Beat's own scheduler, whose messages say which slot they are for."""

    def setup_schedule(self) -> None:
        """The heartbeat comes at once: nobody waits half a minute to hear that beat is alive."""
        super().setup_schedule()
        heartbeat = self.schedule.get(HEARTBEAT)
        if heartbeat is not None:
            heartbeat.last_run_at -= heartbeat.schedule.run_every

    def apply_async(self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        if isinstance(entry.schedule, crontab):
            slot = latest_slot(entry.schedule, datetime.now(UTC))
            entry.options = {**entry.options, "headers": Tick(entry.name, slot).headers()}
        return super().apply_async(entry, producer=producer, advance=advance, **kwargs)


def latest_slot(schedule: crontab, now: datetime) -> datetime:
    """The last instant at or before ``now`` at which the schedule was due, within eight days.

    ValueError for a schedule that is rarer: it would need a wider window.
    """
    for window in _WINDOWS:
        slots = list(takewhile(lambda slot: slot <= now, _slots_after(schedule, now - window)))
        if slots:
            return slots[-1]
    raise ValueError(f"{schedule} was not due in the last {_WINDOWS[-1].days} days")


def _slots_after(schedule: crontab, moment: datetime) -> Iterator[datetime]:
    while True:
        last, delta, _ = schedule.remaining_delta(moment)
        moment = last + delta
        yield moment.astimezone(UTC)


def missed(schedule: Mapping[str, Mapping[str, Any]], resources: Resources) -> list[Tick]:
    """The ticks to send for entries whose latest slot has no run, one each, however many were missed.

    An entry that never ran has missed nothing: a fresh mirror begins at its next slot.
    """
    now = datetime.now(UTC)
    return [tick for name, entry in schedule.items() if (tick := _missed_tick(name, entry, resources, now))]


def _missed_tick(name: str, entry: Mapping[str, Any], resources: Resources, now: datetime) -> Tick | None:
    if not isinstance(entry["schedule"], crontab):
        return None
    with resources.db() as db:
        last, first = fetch_logs.last_slot(db, name), fetch_logs.first_slot(db, name)
        # A run that was interrupted goes on first: beside it the tick would be skipped, and with it the slot.
        going = fetch_logs.entry_runs(db, name)
    slot = latest_slot(entry["schedule"], now)
    if first is None or going or now - slot < GRACE:
        return None
    if last is None:
        last = first - timedelta(seconds=1)  # every run of it was abandoned
    if last >= slot:
        return None
    before = sum(1 for _ in takewhile(lambda moment: moment < slot, _slots_after(entry["schedule"], last)))
    return Tick(name, slot, before, entry["task"], entry.get("kwargs", {}))
