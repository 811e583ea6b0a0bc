"""When a detail is to be asked for again: the rules that every dataset shares."""

from __future__ import annotations

from datetime import datetime, timedelta

from parlex.db.models import ListingRow
from parlex.mirror.documents import Held
from parlex.runs.work import Context

ASK_AGAIN = timedelta(days=1)  # what failed, or what a source still owes, is asked for once a day


def failed_lately(row: ListingRow, now: datetime) -> bool:
    """Whether this very line's detail could not be had a short while ago."""
    return row.failed_at is not None and row.failed_fingerprint == row.fingerprint and row.failed_at > now - ASK_AGAIN


def recheck_cutoff(context: Context) -> datetime | None:
    """Details last looked at before this are due too; None where the request does not ask for it."""
    days = context.request.recheck_after_days
    return None if days is None else context.now - timedelta(days=days)


def looked_at_before(held: Held | None, cutoff: datetime | None) -> bool:
    return cutoff is not None and held is not None and held.checked_at <= cutoff
