"""The use cases on the log of runs: open, look, end, tell. None touches the network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Literal
from uuid import UUID

import structlog
from sqlalchemy.orm import Session

from parlex import logs
from parlex.db.clock import Clock
from parlex.db.models import RunRow
from parlex.errors import UsageError
from parlex.parliament import SessionId
from parlex.runs import fetch_logs, pauses, run_keys
from parlex.runs.fetch_logs import Ended, Figures, Opened
from parlex.runs.run_keys import Overdue
from parlex.runs.work import ALL, Context, Dataset, Request, Saved

log = structlog.get_logger(__name__)

RETRY = "retry_failures"
USUAL: Literal["usual"] = "usual"
# Overdue work that is sent again at a time.
MOST_OVERDUE = 2000

Transactions = Callable[[], AbstractContextManager[Session]]
Keeping = Callable[[str], AbstractContextManager[bool]]  # a name: see parlex.db.advisory.kept


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the pipeline waits, and for whom. ``retry_delay`` is in seconds, before the first retry."""

    lease: timedelta  # of claimed work; what lies longer is free for the next one
    retry_delay: float
    resend_after: timedelta  # a message that nobody took up
    abandon_after: timedelta  # a run that nothing moves though work is due
    run_deadline: timedelta


@dataclass(frozen=True, slots=True)
class NextTry:
    """In how many seconds a run asks its sources again, and the error that it waits for."""

    seconds: float
    error: str | None

    def __str__(self) -> str:
        """``next try in 40 s (www.parl.ca answered 503)``."""
        # Of several sources the first one will do, and of an address its host.
        cause = re.sub(r"\w+://([^/\s]+)\S*", r"\1", (self.error or "").split("; ")[0])
        return f"next try in {self.seconds:.0f} s" + (f" ({cause})" if cause else "")


class RunLog:
    """Runs of every dataset alike, as rows."""

    def __init__(
        self, db: Transactions, datasets: Mapping[str, Dataset], patience: Patience, *, keeping: Keeping
    ) -> None:
        self._db = db
        self._datasets = datasets
        self._patience = patience
        self._keeping = keeping

    # What is asked for.

    def latest_request(
        self,
        limit: int | Literal["usual"] | None = USUAL,
        recheck_after_days: int | None = None,
        *,
        dataset: str = "bills",
        sitting: bool = False,
        companion: str | None = None,
    ) -> Request:
        """What is new or changed in the current list, most urgent first: at most ``limit``, or all with None.

        See :class:`Request` for the others.
        """
        self._check_companion(companion, dataset)
        if limit == USUAL:
            limit = self._dataset(dataset).usual_limit
        if limit is not None:
            _positive("limit", limit)
        if recheck_after_days is not None:
            _positive("recheck_after_days", recheck_after_days)
        job = f"fetch_latest_{dataset}"
        return Request(
            job, dataset, None, limit, recheck_after_days=recheck_after_days, companion=companion, sitting=sitting
        )

    def session_request(
        self, session: SessionId, limit: int | None = None, *, dataset: str = "bills", companion: str | None = None
    ) -> Request:
        """All of a session that is new or changed."""
        self._check_companion(companion, dataset)
        if limit is not None:
            _positive("limit", limit)
        return Request(f"fetch_session_{dataset}", dataset, scope=str(session), limit=limit, companion=companion)

    def _check_companion(self, companion: str | None, dataset: str) -> None:
        if companion not in (None, ALL):
            raise UsageError(f"companion must be {ALL}, or left out, not {companion!r:.50}")
        if companion is not None and not self._dataset(dataset).companion_lists:
            raise UsageError(f"{dataset} have no companion")

    def retry_request(self, run_id: UUID) -> Request:
        """What failed in a run, or was not reached before it was ended, asked for again: these keys, or all of it where
        it never came to have keys.

        What another run has saved meanwhile is not asked for. UsageError where nothing failed, or the run is not over
        yet.
        """
        run = self.run(run_id)
        if run.status == "running":
            raise UsageError(f"run {str(run_id)[:8]} is still running")
        with self._db() as db:
            failed = run_keys.failed_keys(db, run_id)
        if failed:
            scope = run.scope if self._dataset(run.dataset).by_session else None
            return Request(RETRY, dataset=run.dataset, scope=scope, retry_of=str(run_id))
        if run.status in fetch_logs.UNSUCCESSFUL:
            return fetch_logs.request_of(run)
        raise UsageError(f"nothing failed in run {str(run_id)[:8]}")

    def _asked(self, request: Request) -> Dataset:
        """The dataset of a request. UsageError where it does not exist, or knows no sessions."""
        dataset = self._dataset(request.dataset)
        if request.scope is not None and not dataset.by_session:
            raise UsageError(f"{request.dataset} have no sessions: leave {request.scope} out")
        return dataset

    def _dataset(self, name: str) -> Dataset:
        dataset = self._datasets.get(name)
        if dataset is None:
            raise UsageError(f"{name!r} is not a dataset; known: {', '.join(self._datasets)}")
        return dataset

    # Opening.

    def open_run(
        self,
        request: Request,
        *,
        carrier: fetch_logs.Carrier = "worker",
        entry: str | None = None,
        slot: datetime | None = None,
        missed_slots: int = 0,
        waiter: str | None = None,
    ) -> Opened:
        """See :func:`parlex.runs.fetch_logs.open_run`. UsageError where the dataset does not exist or knows no
        sessions."""
        dataset = self._asked(request)
        with self._db() as db:
            return fetch_logs.open_run(
                db,
                request,
                source=dataset.source,
                now=Clock(db).now(),
                carrier=carrier,
                entry=entry,
                slot=slot,
                missed_slots=missed_slots,
                waiter=waiter,
            )

    @contextmanager
    def carrying(self, opened: Opened) -> Iterator[bool]:
        """Whether the run is this process's to carry while the block lasts; not one of the workers, or of another.

        Whoever has its name is the only one, so that what a process before it held is free.
        """
        if opened.run.carrier == "worker":
            yield False
            return
        with self._keeping(fetch_logs.carried(opened.run.run_id)) as mine:
            if mine and opened.joined:
                with self._db() as db:
                    current = fetch_logs.lock(db, opened.run.run_id)
                    if current.status == "running":
                        fetch_logs.adopt(db, current, now=Clock(db).now())
            yield mine

    def is_orphan(self, run_id: UUID) -> bool:
        """Whether the run is under way and the process that carried it is gone."""
        with self._db() as db:
            return fetch_logs.is_orphan(db, fetch_logs.get_run(db, run_id))

    def run(self, run_id: UUID) -> RunRow:
        """The row of a run as it stands. UsageError for one that is not in the log."""
        with self._db() as db:
            try:
                return fetch_logs.get_run(db, run_id)
            except LookupError as error:
                raise UsageError(f"{error} is in the log") from None

    # Closing.

    def close_if_complete(self, run: RunRow) -> Figures | None:
        """The run's figures if this call closed it; None if it is not complete, or was closed before."""
        ended = self.finish(run)
        return ended.figures if ended is not None and ended.just_now else None

    def finish(self, run: RunRow) -> Ended | None:
        """Close the run if its work is done. How it ended, while nobody has told those who wait for it; else None."""
        with logs.about(run_id=str(run.run_id)):
            with self._db() as db:
                now = run_keys.all_ended(db, run.run_id)
                if now is None:
                    return None
                dataset = self._datasets[run.dataset]
                context = Context(run.run_id, fetch_logs.request_of(run), run.entry is None, now)
                settle = partial(_settle, db, dataset, context)
                ended = fetch_logs.close_if_complete(db, run.run_id, now=now, settle=settle)
                if ended is not None and ended.just_now:
                    dataset.complete(db, context)
                    for other in self._datasets.values():
                        other.follow(db, run.run_id, now)
            if ended is not None and ended.just_now:
                log.info("closed", **ended.figures.to_dict())
            return ended

    def mark_delivered(self, run_id: UUID) -> None:
        """Note that all who wait for the figures have them."""
        with self._db() as db:
            fetch_logs.delivered(db, run_id, now=Clock(db).now())

    def undelivered(self) -> list[RunRow]:
        """Closed runs whose figures some task still waits for, though whoever closed them had time to tell it."""
        with self._db() as db:
            return list(fetch_logs.undelivered(db, now=Clock(db).now(), patience=self._patience.resend_after))

    def figures(self, run_id: UUID) -> Figures:
        """The figures of a run as they stand; of one that is under way, those of the keys that are done."""
        with self._db() as db:
            return fetch_logs.live_figures(db, fetch_logs.get_run(db, run_id))

    def revoke(self, run_id: UUID) -> bool:
        """End a run that is under way; whether it was. What it has saved stays."""
        self.run(run_id)
        with self._db() as db:
            return fetch_logs.revoke(db, run_id, now=Clock(db).now())

    def pause(self, run_id: UUID) -> bool:
        """Begin nothing more of a run; whether this call did so. What is under way lands. See :mod:`.pauses`."""
        self.run(run_id)
        with self._db() as db:
            return pauses.pause(db, run_id, now=Clock(db).now())

    def resume(self, run_id: UUID) -> bool:
        """Let a paused run go on; whether this call did so."""
        self.run(run_id)
        with self._db() as db:
            return pauses.resume(db, run_id, now=Clock(db).now())

    def abandon(self, run_id: UUID, cause: str) -> None:
        """End a run that its carrier gives up, unless it is over."""
        with self._db() as db:
            fetch_logs.abandon(db, run_id, cause, now=Clock(db).now())

    def wake(self) -> int:
        """What waits for a source, as the source asked, is due now: runs to plan, and keys; how many.

        For a person who lifted a host's wish to be left alone (:meth:`parlex.fetching.throttle.Throttle.lift`).
        """
        with self._db() as db:
            return run_keys.wake(db, now=Clock(db).now())

    # What nobody carries.

    def recover(self) -> Overdue:
        """Free what dead workers held, and find the work that nobody carries, for the caller to send."""
        with self._db() as db:
            now = Clock(db).now()
            run_keys.free_leases(db, now=now)
            return run_keys.take_overdue(db, now=now, patience=self._patience.resend_after, most=MOST_OVERDUE)

    def open_runs(self) -> list[RunRow]:
        """Runs that the workers carry and that are not closed."""
        with self._db() as db:
            return list(fetch_logs.open_runs(db))

    def abandon_dead(self) -> list[RunRow]:
        """Close the runs that nobody moves any more. Their slots may be run again."""
        patience = self._patience
        with self._db() as db:
            return fetch_logs.abandon_dead(
                db,
                now=Clock(db).now(),
                process_patience=patience.lease,
                worker_patience=patience.abandon_after,
                deadline=patience.run_deadline,
            )

    def touch(self, run_id: UUID) -> None:
        """Say that the process that carries a run is alive, though it waits."""
        with self._db() as db:
            fetch_logs.touch(db, run_id, now=Clock(db).now())

    def next_try(self, run: RunRow) -> NextTry | None:
        """When the run's planning, or the next of its keys, is due; None where others have all that is left."""
        with self._db() as db:
            due, error = run_keys.next_due(db, run.run_id) if run.planned else (run.next_attempt_at, None)
            return None if due is None else NextTry(max((due - Clock(db).now()).total_seconds(), 0.0), error)

    def progress(self, run_id: UUID) -> tuple[int, int]:
        """(keys that have ended, all keys of the run)."""
        with self._db() as db:
            return run_keys.progress(db, run_id)


def _settle(db: Session, dataset: Dataset, context: Context) -> None:
    saved = dataset.settle(db, context)
    if not saved:
        return
    run_keys.settled(db, context.run_id, saved)
    tell_errors(dataset, saved)
    fetch_logs.note_errors(db, context.run_id, [item.error for item in saved if item.error])


def tell_errors(dataset: Dataset, saved: Iterable[Saved]) -> None:
    """A line of the log for each key of which something went to quarantine."""
    for item in saved:
        if item.error:
            log.warning("quarantine", dataset=dataset.name, key=item.key, error=item.error)


def _positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{name} must be a whole number of at least 1, not {value!r:.50}")
