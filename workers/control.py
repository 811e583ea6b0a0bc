"""What Flower and ``celery inspect`` hear of the workers, with what people changed in the schedule beside it.

The workers know the schedule of celeryconfig.py, which Flower shows on a worker's page under Config. What differs from
it stands in the database; whoever asks reads it there, and no worker is kept from its work for that.
"""

from __future__ import annotations

from typing import Any

from celery.app import control
from kombu.utils.objects import cached_property
from sqlalchemy.exc import SQLAlchemyError

from parlex.db.errors import explain
from parlex.errors import ParlexError
from parlex.runs import schedule

# Sorts right below Celery's beat_schedule.
CHANGES = "beat_schedule_changes"


class Inspect(control.Inspect):
    def conf(self, with_defaults: bool = False) -> dict[str, Any] | None:
        """Each worker's configuration, and which entries of the schedule are paused or moved."""
        found: dict[str, Any] | None = super().conf(with_defaults)
        if not found:
            return found
        told = changes()
        return {name: {**of, CHANGES: told} if "error" not in of else of for name, of in found.items()}


class Control(control.Control):
    @cached_property
    def inspect(self) -> Any:
        return self.app.subclass_with_self(Inspect, reverse="control.inspect")


def changes() -> str:
    """What people changed in the schedule, in one line."""
    from workers.app import resources

    try:
        with resources().db() as db:
            found = schedule.overrides(db).values()
    except (SQLAlchemyError, ParlexError) as error:
        return f"not known: {explain(error) or error}"
    paused = [f"{one.name} is paused since {one.paused_at:%Y-%m-%d %H:%M} UTC" for one in found if one.paused_at]
    moved = [f"{one.name} is at {one.cron!r}" for one in found if one.cron]
    return "; ".join(paused + moved) or "none"
