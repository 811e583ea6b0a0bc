"""What keeps the log honest and the tables small, each a use case of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert

from parlex.db.models import BillRow, HeartbeatRow, RunRow, SweepRow
from parlex.mirror import documents
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import fetch_logs, pipeline
from parlex.runs.fetch_logs import Figures
from parlex.runs.work import Request
from parlex.watch import alerts

ARCHIVE_BATCH = 200  # documents in memory at a time, some 2 MB compressed; the largest lists are 1 MB each


def heartbeat(resources: Resources, name: str) -> None:
    """Note that ``name`` was alive just now."""
    row = upsert(HeartbeatRow).values(name=name, seen_at=pipeline.now())
    with resources.db() as db:
        db.execute(row.on_conflict_do_update(index_elements=["name"], set_={"seen_at": row.excluded.seen_at}))


def session_requests(resources: Resources) -> list[Request]:
    """A request for every session that the mirror holds, oldest first: the sources correct old rows years later."""
    query = select(BillRow.parliament, BillRow.session).distinct().order_by(BillRow.parliament, BillRow.session)
    votes = select(SweepRow.scope).where(SweepRow.dataset == "votes", SweepRow.believed).distinct()
    with resources.db() as db:
        bills = [pipeline.session_request(SessionId(*row)) for row in db.execute(query)]
        sessions = sorted(map(SessionId.parse, db.scalars(votes)))
    return bills + [pipeline.session_request(session, dataset="votes") for session in sessions]


def prune(resources: Resources) -> dict[str, int]:
    """Delete what the settings no longer keep. The documents that bills stand on stay, whatever their age."""
    now, settings = pipeline.now(), resources.settings
    with resources.db() as db:
        return {
            "logs": fetch_logs.prune_logs(db, now - timedelta(days=settings.keep_logs_days)),
            "documents": documents.prune_documents(
                db,
                now - timedelta(days=settings.keep_documents_days),
                archived=settings.archive_url is not None,
            ),
            "alerts": alerts.prune(db, now - timedelta(days=settings.keep_logs_days)),
        }


def archive(resources: Resources, *, most: int | None = None) -> int:
    """Write documents that the archive lacks, oldest first, at most ``most``; how many. Nothing without an archive.

    What was written is noted batch by batch, and no transaction is open while the archive is asked. Retryable where the
    archive does not answer: the rest waits in the database for the next call.
    """
    written = 0
    while resources.archive is not None and (size := _batch(most, written)):
        with resources.db() as db:
            bodies = documents.unarchived(db, size)
        if not bodies:
            break
        resources.archive.put_all(bodies)
        with resources.db() as db:
            documents.mark_archived(db, bodies, now=pipeline.now())
        written += len(bodies)
    return written


def _batch(most: int | None, written: int) -> int:
    return ARCHIVE_BATCH if most is None else min(ARCHIVE_BATCH, most - written)


def is_known(resources: Resources, run_id: UUID) -> bool:
    """Whether the run is in the log."""
    with resources.db() as db:
        return db.get(RunRow, run_id) is not None


def open_runs(resources: Resources) -> list[UUID]:
    """Runs that the workers carry and that are not closed."""
    with resources.db() as db:
        return fetch_logs.open_runs(db)


def is_closed(resources: Resources, run_id: UUID) -> bool:
    """Whether the run is closed but its figures were not delivered."""
    with resources.db() as db:
        run = fetch_logs.get_run(db, run_id)
        return run.status != "running" and run.delivered_at is None


def undelivered(resources: Resources, patience: timedelta) -> list[UUID]:
    """Closed runs whose figures some task still waits for."""
    with resources.db() as db:
        return [run.run_id for run in fetch_logs.undelivered(db, now=pipeline.now(), patience=patience)]


def take_waiters(resources: Resources, run_id: UUID) -> tuple[Figures, Sequence[str]]:
    """The figures of a closed run and the tasks that are to get them."""
    with resources.db() as db:
        run = fetch_logs.get_run(db, run_id)
        return fetch_logs.figures(run), list(run.waiters)


def mark_delivered(resources: Resources, run_id: UUID) -> None:
    """Note that all waiting tasks have the figures."""
    with resources.db() as db:
        fetch_logs.delivered(db, run_id, now=pipeline.now())
