"""Runs that a person paused: nothing of theirs is begun, what is under way lands. Takes an open ``db``; never commits.

Pauses are rows, as all that is known of a run: they outlive a reboot. A paused run is still ``running``. It is not
closed as dead, its deadline waits, and it holds no scheduled run back.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from parlex.db.models import RunKeyRow
from parlex.runs.fetch_logs import lock


def pause(db: Session, run_id: UUID, *, now: datetime) -> bool:
    """Whether the run was under way, and is paused by this call."""
    run = lock(db, run_id)
    if run.status != "running" or run.paused_at is not None:
        return False
    run.paused_at = now
    db.flush()
    return True


def resume(db: Session, run_id: UUID, *, now: datetime) -> bool:
    """Whether the run was paused, and goes on by this call. Whoever carries it sees to it."""
    run = lock(db, run_id)
    if run.status != "running" or run.paused_at is None:
        return False
    run.paused_for += now - run.paused_at
    if run.counted_since is not None:
        run.counted_since += max(now - max(run.paused_at, run.counted_since), timedelta())
    run.paused_at = None
    run.progress_at = now
    db.flush()
    # The messages that carried these found the run paused, and are gone.
    waiting = (RunKeyRow.run_id == run_id, RunKeyRow.state == "waiting", RunKeyRow.sent_at.is_not(None))
    db.execute(update(RunKeyRow).where(*waiting).values(sent_at=None))
    return True
