"""What beat sends, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import time_machine

from workers.app import app
from workers.beat import SlotScheduler


def test_the_heartbeat_comes_at_once_and_everything_else_in_its_time(tmp_path: Path) -> None:
    with time_machine.travel(datetime(2026, 2, 3, 12, 34, 30, tzinfo=UTC), tick=False):
        scheduler = SlotScheduler(app, schedule_filename=str(tmp_path / "schedule"))
        due = [name for name, entry in scheduler.schedule.items() if entry.is_due().is_due]
        scheduler.close()
    assert due == ["keep-house"]
