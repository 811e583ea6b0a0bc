"""When Parliament sits, by what is held: no source has a calendar of its sittings. Days are Ottawa's."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from parlex.db.models import SittingRow
from parlex.parliament import OTTAWA

SITS_FOR = timedelta(days=10)  # a chamber that sat within these sits: a week's break is no adjournment
MORNING = time(6, 0)  # what happened on a day is to be had on the next morning


def is_sitting(db: Session, now: datetime) -> bool:
    """Whether a chamber sat within the last ten days."""
    today = now.astimezone(OTTAWA).date()
    last = last_day(db, today)
    return last is not None and today - last <= SITS_FOR


def last_day(db: Session, until: date) -> date | None:
    """The newest day up to ``until`` on which a chamber is known to have sat; None without one."""
    day = SittingRow.__table__.c.day
    found: date | None = db.scalar(select(func.max(day)).where(day <= until))
    return found


def last_morning(db: Session, now: datetime) -> datetime | None:
    """The last morning that came after a day of sitting: what was looked at before may have moved. None without one."""
    here = now.astimezone(OTTAWA)
    nights = 1 if here.time() >= MORNING else 2
    day = last_day(db, here.date() - timedelta(days=nights))
    return datetime.combine(day + timedelta(days=1), MORNING, OTTAWA) if day else None
