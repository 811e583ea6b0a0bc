"""Asking the sources for the keys of one message, in threads. No transaction is open meanwhile."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from uuid import UUID

from sqlalchemy.orm import Session

from parlex import logs
from parlex.errors import NotFound, ParlexError
from parlex.fetching.document import Document
from parlex.mirror import documents
from parlex.mirror.documents import Fetched, Held
from parlex.runs.run_keys import Claim
from parlex.runs.work import Asking, Dataset

# Documents are written while others are still asked for: so many keys at a time, and what else came in so long. Each
# writing, and each saving of what it wrote, costs some twenty statements whatever its size.
SLICE = 50
SLICE_SECONDS = 0.5
# At a slow rate fewer are written at once: an interruption loses no more requests than those of so many seconds.
SLOWEST_SLICE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What one source said of one key: a document, nothing new (both None), or an error."""

    key: str
    source: str
    document: Document | None
    error: ParlexError | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Requests under way by key. Whoever takes a key's replies holds them alone."""

    requests: dict[str, list[Future[Reply]]]

    def has(self, key: str, patience: float) -> bool:
        """Whether the key's replies are there within so many seconds."""
        return not wait(self.requests[key], max(patience, 0)).not_done

    def replies(self, key: str) -> list[Reply]:
        """The key's replies, waited for."""
        return [request.result() for request in self.requests.pop(key)]


@contextmanager
def asked(
    dataset: Dataset,
    claims: Sequence[Claim],
    held: Mapping[tuple[str, str], Held],
    asking: Asking,
    threads: ThreadPoolExecutor,
) -> Iterator[Asked]:
    """Ask for each key each source that it wants. What was not sent by the end of the block stays unsent."""

    def ask(key: str, source: str) -> Reply:
        with logs.about(dataset=dataset.name, key=key):
            try:
                document = dataset.ask(key, source, held.get((key, source)), asking)
            except ParlexError as error:
                return Reply(key, source, None, error)
        return Reply(key, source, document, None)

    def send(key: str, source: str) -> Future[Reply]:
        # What the lines are about does not go over to threads by itself.
        return threads.submit(copy_context().run, ask, key, source)

    requests = {claim.key: [send(claim.key, source) for source in claim.wants] for claim in claims}
    try:
        yield Asked(requests)
    finally:
        every = list(chain.from_iterable(requests.values()))
        for request in every:
            request.cancel()
        wait(every)


def slices(
    claims: Sequence[Claim], under_way: Asked, *, slowest: float = SLOWEST_SLICE_SECONDS
) -> Iterator[tuple[list[Claim], list[Reply]]]:
    """The claims in order with their replies: ``SLICE`` at a time, or fewer, at least one, when those of ``slowest``
    seconds are fewer; and as many more as are there by then.

    Writing many keys costs little more than writing a few: where the replies come quickly, a chunk is one slice.
    """
    rest = deque(claims)
    while rest:
        began, part, replies = time.monotonic(), list[Claim](), list[Reply]()
        while rest:
            seconds = slowest if len(part) < SLICE else SLICE_SECONDS
            if part and not under_way.has(rest[0].key, began + seconds - time.monotonic()):
                break
            claim = rest.popleft()
            part.append(claim)
            replies += under_way.replies(claim.key)
        yield part, replies


def not_yet(reply: Reply, decides: Collection[str]) -> bool:
    """A companion that does not know a key will know it later. A deciding source listed it: there a 404 is an
    error."""
    return isinstance(reply.error, NotFound) and reply.source not in decides


def keep_replies(
    db: Session,
    dataset: Dataset,
    run_id: UUID,
    replies: Sequence[Reply],
    held: Mapping[tuple[str, str], Held],
    now: datetime,
) -> None:
    """Keep the documents, and note of all others when their sources were asked."""
    fetched = [Fetched(a.source, "detail", a.key, a.document) for a in replies if a.document is not None]
    documents.keep_documents(db, fetched, dataset=dataset.name, run_id=run_id)
    quiet = [a for a in replies if a.document is None and a.error is None]
    unchanged = [(a.key, a.source, held[a.key, a.source]) for a in quiet]
    documents.keep_unchanged(db, unchanged, dataset=dataset.name, run_id=run_id, now=now)
    absent = {(a.key, a.source): None for a in replies if not_yet(a, dataset.decides)}
    documents.mark_checked(db, dataset.name, dict(absent), now)
    failed = [(a.key, a.source) for a in replies if a.error is not None and (a.key, a.source) not in absent]
    documents.mark_failed(db, dataset.name, failed, now)
