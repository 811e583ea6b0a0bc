"""The database's time."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from parlex.db.engine import BEGAN


class Clock:
    """The database's time, as the connection read it when the transaction began, and what has passed since.

    Leases and due times are written by one host and judged by another, whose own clocks may be apart.
    """

    def __init__(self, db: Session) -> None:
        self._began: tuple[datetime, float] = db.connection().info[BEGAN]

    def now(self) -> datetime:
        read, at = self._began
        return read + timedelta(seconds=time.monotonic() - at)
