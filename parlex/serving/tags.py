"""Tags: what a body is covered by, as the number of its newest line in the history.

Each process reads the new lines of the history once a second and keeps, for each key, scope and dataset, the number of
its newest one. A tag is compared before any SQL, and is taken before its body is read: a newer body under an older tag
costs one more answer, the reverse would be stale for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Engine, bindparam, column, func, select, table
from sqlalchemy.exc import SQLAlchemyError

from parlex import __version__
from parlex.datasets.served import Cover
from parlex.db.models import ChangeRow, MirrorRow

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
_EPOCH = 8  # digits of it that are told
FRESH_SECONDS = 10.0  # so long ago at most the history was read, where all is well


@dataclass(frozen=True, slots=True)
class Line:
    seq: int
    dataset: str
    key: str


class Seqs:
    """The newest number by key, by scope, by dataset, and of all."""

    def __init__(self, mirror: UUID, epoch: UUID) -> None:
        self.mirror, self.epoch = mirror, epoch
        self.place = f"{mirror.hex[:12]}.{epoch.hex[:_EPOCH]}"  # where the numbers are of
        self.last = 0
        self._of: dict[tuple[str, str | None, str | None], int] = {}

    def absorb(self, lines: Iterable[Line]) -> None:
        for line in lines:
            scope = line.key.partition(" ")[0] if " " in line.key else None
            for place in ((line.dataset, None, line.key), (line.dataset, scope, None), (line.dataset, None, None)):
                self._of[place] = max(self._of.get(place, 0), line.seq)
            self.last = max(self.last, line.seq)

    def newest(self, covers: Iterable[Cover]) -> int:
        """The newest number of what a body tells of; of everything, where nothing is named."""
        found = [self._of.get((cover.dataset, cover.scope, cover.key), 0) for cover in covers]
        return max(found) if found else self.last


class Poller:
    """Reads the history in a thread, and wakes those who wait for news in the event loop."""

    def __init__(self, engine: Engine, schema: str) -> None:
        self._engine = engine
        self._schema = schema
        self._found: str | None = None  # the schema of the database
        self._read_at = 0.0
        self._code = hashlib.sha256(f"{__version__} {schema}".encode()).hexdigest()[:8]
        self._seqs: Seqs | None = None
        self._stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="poller", daemon=True)
        self.failing = False

    def start(self) -> None:
        """Begin in the running event loop."""
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._wake()

    @property
    def stopping(self) -> bool:
        return self._stopped.is_set()

    @property
    def ready(self) -> bool:
        """Whether the history was read, and can be now."""
        return self.lacking is None

    @property
    def lacking(self) -> str | None:
        """Why nothing should be asked of this process now; None where all is well."""
        if self._seqs is None or self.failing or time.monotonic() - self._read_at > FRESH_SECONDS:
            return "the database does not answer"
        if self._found != self._schema:
            return f"the database's schema is at {self._found}, and this program's is {self._schema}"
        return None

    @property
    def last(self) -> int | None:
        """The newest number of the history; None before it was first read."""
        return self._seqs.last if self._seqs else None

    def newest(self, covers: Iterable[Cover]) -> int:
        """The newest number of what is named, of everything where nothing is; 0 before the history was first read."""
        return self._seqs.newest(covers) if self._seqs else 0

    @property
    def mirror(self) -> UUID | None:
        return self._seqs.mirror if self._seqs else None

    @property
    def epoch(self) -> str | None:
        """In which life of the mirror a number of the history stands; None before it was first read."""
        return self._seqs.epoch.hex[:_EPOCH] if self._seqs else None

    def tag(self, covers: Iterable[Cover], variant: str = "") -> str | None:
        """The weak tag of a body; None before the history was first read: then nothing may be kept."""
        seqs = self._seqs
        return f'W/"{seqs.place}.{self._code}.{seqs.newest(covers)}{variant}"' if seqs else None

    async def news(self, seconds: float) -> None:
        """Wait for new lines of the history, so long at most; or until the server stops."""
        assert self._news is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)

    def _run(self) -> None:
        while not self._stopped.is_set():
            before = self.last
            try:
                self.read()
            except SQLAlchemyError as error:
                if not self.failing:
                    log.warning("history unread", error=str(error).splitlines()[0])
                self.failing = True
            else:
                self.failing = False
            if self.last != before:
                self._wake()
            self._stopped.wait(POLL_SECONDS)

    def read(self) -> None:
        """Read the new lines of the history; at the start, where it stands."""
        with self._engine.connect() as db:
            *of, last, self._found = db.execute(select(MirrorRow.id, MirrorRow.epoch, _LAST, _SCHEMA)).one()
            seqs = self._seqs
            if seqs is None or [seqs.mirror, seqs.epoch] != of or last < seqs.last:
                # At the start, or another mirror is in the place of this one, or an older state of it.
                seqs = Seqs(*of)
                seqs.absorb(Line(*row) for row in db.execute(_NEWEST))
                self._seqs = seqs
            elif last > seqs.last:
                seqs.absorb(Line(*row) for row in db.execute(_AFTER, {"after": seqs.last}))
        self._read_at = time.monotonic()

    def _wake(self) -> None:
        """Those who wait look; who comes later waits for the next news."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._swap)

    def _swap(self) -> None:
        assert self._news is not None
        self._news.set()
        self._news = asyncio.Event() if not self._stopped.is_set() else self._news


_ROW: Any = ChangeRow
_LAST = select(func.coalesce(func.max(_ROW.seq), 0)).scalar_subquery()
_SCHEMA = select(column("version_num")).select_from(table("alembic_version")).scalar_subquery()
_NEWEST = select(func.max(_ROW.seq), _ROW.dataset, _ROW.key).group_by(_ROW.dataset, _ROW.key)
_AFTER = select(_ROW.seq, _ROW.dataset, _ROW.key).where(_ROW.seq > bindparam("after"))
