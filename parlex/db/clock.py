"""The database's time."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session


class Clock:
    """The database's time, read once a step.

    Leases and due times are written by one host and judged by another, whose own clocks may be apart.
    """

    def __init__(self, db: Session) -> None:
        self._read: datetime = db.execute(select(func.clock_timestamp())).scalar_one()
        self._at = time.monotonic()

    def now(self) -> datetime:
        return self._read + timedelta(seconds=time.monotonic() - self._at)
