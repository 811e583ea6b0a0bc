"""What keeps the log honest and the tables small, each a use case of its own."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.datasets import replay
from parlex.db import outbox
from parlex.db.models import DeliveryRow, HeartbeatRow, SubscriptionRow
from parlex.mirror import documents
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import fetch_logs
from parlex.runs.work import Request
from parlex.watch import alerts

UNCONFIRMED_FOR = timedelta(days=7)
ARCHIVE_BATCH = 200  # documents in memory at a time, some 2 MB compressed; the largest lists are 1 MB each


def heartbeat(resources: Resources, name: str) -> None:
    """Note that ``name`` was alive just now, by the database's clock."""
    row = upsert(HeartbeatRow).values(name=name, seen_at=func.now())
    with resources.db() as db:
        db.execute(row.on_conflict_do_update(index_elements=["name"], set_={"seen_at": row.excluded.seen_at}))


def session_requests(resources: Resources) -> list[Request]:
    """A request for every session that the mirror knows of each dataset: the sources correct old rows years later.

    Dataset after dataset, the oldest session first. A dataset without sessions is listed whole by its own schedule.
    """
    found: list[Request] = []
    with resources.db() as db:
        for dataset in resources.datasets.values():
            sessions = map(SessionId.parse, dataset.scopes(db)) if dataset.by_session else ()
            found += [resources.pipeline.session_request(session, dataset=dataset.name) for session in sessions]
    return found


def read_again(resources: Resources, *, within: timedelta | None = None) -> int:
    """Read again what stands of records that an older version of this program read for less; how many.

    Offline. Once ``within`` is over no further batch is begun; the next call goes on from there.
    """
    began, count = time.monotonic(), 0
    for dataset in resources.datasets.values():
        for part in replay.catch_up(resources.db, dataset, now=datetime.now(UTC)):
            count += part.records
            if within is not None and time.monotonic() - began >= within.total_seconds():
                return count
    return count


def to_read_again(resources: Resources) -> int:
    """How many records an older version of this program read for less."""
    with resources.db() as db:
        return sum(len(documents.read_before(db, each.name, each.reading)) for each in resources.datasets.values())


def prune(resources: Resources) -> dict[str, int]:
    """Delete what the settings no longer keep. The documents that bills stand on stay, whatever their age."""
    now, settings = datetime.now(UTC), resources.settings
    with resources.db() as db:
        return {
            "logs": fetch_logs.prune_logs(db, now - timedelta(days=settings.keep_logs_days)),
            "documents": documents.prune_documents(
                db,
                now - timedelta(days=settings.keep_documents_days),
                archived=settings.archive_url is not None,
            ),
            "alerts": alerts.prune(db, now - timedelta(days=settings.keep_logs_days)),
            # What a paused subscriber did not get by then is written down anew when it goes on: its cursor stands.
            "deliveries": outbox.prune(db, DeliveryRow, now - timedelta(days=settings.keep_logs_days)),
            "subscriptions": _prune_unconfirmed(db, now - UNCONFIRMED_FOR),
        }


def _prune_unconfirmed(db: Session, cutoff: datetime) -> int:
    """Forget e-mail addresses whose owners did not agree."""
    row = SubscriptionRow
    gone = delete(row).where(row.confirmed_at.is_(None), row.made_at < cutoff).returning(row.id)
    return len(db.execute(gone).all())


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
            documents.mark_archived(db, bodies, now=datetime.now(UTC))
        written += len(bodies)
    return written


def _batch(most: int | None, written: int) -> int:
    return ARCHIVE_BATCH if most is None else min(ARCHIVE_BATCH, most - written)
