"""What the pipeline and a dataset say to each other: requests, plans, what is due, what came of it.

The pipeline runs every dataset by the interface below and knows none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from parlex.errors import ParlexError
from parlex.fetching.document import Document
from parlex.fetching.http import Tally
from parlex.mirror.documents import Fetched, Held
from parlex.mirror.lists import Judged
from parlex.parliament import Outcome

ALL = "all"  # of a companion: each detail, also where what it says follows


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks of a run. Two runs with equal requests are the same work.

    ``scope`` is a session's text, or None for the current one. ``limit`` bounds the keys of this run; what is due
    beyond it is deferred and counted. ``recheck_after_days`` also takes details that nobody looked at for so long,
    ``sitting`` those that may have moved though their line of the list did not, since Parliament sat.
    ``retry_of`` is the id of a run, and leaves nothing to do but the keys that failed in it. ``companion`` is ``all``
    where companions' details are asked for though what they say follows.
    """

    job: str
    dataset: str = "bills"
    scope: str | None = None
    limit: int | None = None
    recheck_after_days: int | None = None
    retry_of: str | None = None
    companion: str | None = None
    sitting: bool = False

    def params(self) -> dict[str, Any]:
        """The arguments as the log keeps them; what was not given is left out."""
        given = asdict(self)
        names = ("scope", "limit", "recheck_after_days", "retry_of", "companion")
        found = {name: given[name] for name in names if given[name] is not None}
        return found | {"sitting": True} if self.sitting else found

    @property
    def background(self) -> bool:
        """Whether it leaves a fifth of the hosts' budgets to others: what has no small bound, as a backfill."""
        return self.scope is not None or self.limit is None


@dataclass(frozen=True, slots=True)
class Context:
    """The run that is planned or written for. ``by_hand``: a person asked, so that failures are tried again at once."""

    run_id: UUID
    request: Request
    by_hand: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class Asking:
    """How sources are asked: where requests and bytes are counted, and whether others go first."""

    tally: Tally
    background: bool = False


@dataclass(frozen=True, slots=True)
class Survey:
    """The lists of one scope as documents, and which sources failed to give theirs. ``beside``: what is of another
    dataset, for it to keep."""

    documents: tuple[Fetched, ...]
    errors: Mapping[str, ParlexError] = field(default_factory=dict)
    beside: tuple[Fetched, ...] = ()


@dataclass(frozen=True, slots=True)
class Due:
    """A key to fetch and the sources to ask for it."""

    key: str
    wants: tuple[str, ...]
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and nothing written yet.

    ``listed``: the keys of the list. ``lists``: the lists as they were judged, the deciding one first. ``due``: all
    keys that are due, the most urgent first. ``errors``: which lists could not be had. ``failure``: why the deciding
    list is not to be believed; then nothing is due.
    """

    scope: str | None
    listed: int
    survey: Survey
    lists: tuple[Judged, ...]
    due: tuple[Due, ...] = ()
    errors: tuple[str, ...] = ()
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """How one key ended in the database. ``wants``: the companions to be asked for it after all, at once."""

    key: str
    outcome: Outcome
    error: str | None = None
    wants: tuple[str, ...] = ()


class Dataset(Protocol):
    """One kind of thing that the mirror keeps, as the pipeline sees it."""

    name: ClassVar[str]
    source: ClassVar[str]  # as the log names it: the source that decides first, then its companions
    decides: ClassVar[frozenset[str]]  # the sources without whose word, of each, there is nothing to save
    companion_lists: ClassVar[tuple[str, ...]]  # sources that list it too, later and not in full
    by_session: ClassVar[bool]  # whether its lists are of one session each, so that a request may name one
    usual_limit: ClassVar[int | None]  # keys of a fetch of the latest, where the caller names no limit
    rates: Mapping[str, float]  # the budget of each of its sites, in requests a minute; 0 or no line where it has none
    requests_a_minute: float  # the slowest of these; 0 without one

    def site_of(self, source: str) -> str:
        """Whose budget a request to a source is of."""
        ...

    def lists_due(self, db: Session, context: Context) -> frozenset[str]:
        """The sources whose list is to be asked for."""
        ...

    def survey(self, due: frozenset[str], request: Request, asking: Asking) -> Survey:
        """Ask for the lists. Raises what the deciding source raised; companions' errors come back in the survey."""
        ...

    def plan(self, db: Session, survey: Survey, context: Context) -> Plan:
        """Judge the lists, and say which keys are due. UsageError for a scope that no source knows."""
        ...

    def keep(self, db: Session, plan: Plan, context: Context) -> Sequence[str]:
        """Write down what was planned: documents, listings, sweeps, quarantine, who left. The errors, in words."""
        ...

    def ask(self, key: str, source: str, held: Held | None, asking: Asking) -> Document | None:
        """One detail from one source; None when it has not changed since ``held``."""
        ...

    def save(
        self,
        db: Session,
        keys: Mapping[str, str | None],
        offered: Mapping[tuple[str, str], Document],
        context: Context,
    ) -> Sequence[Saved]:
        """Turn documents to rows. ``keys`` maps each key to its listing's fingerprint when it was planned."""
        ...

    def failed(self, db: Session, keys: Mapping[str, str | None], context: Context) -> None:
        """Note keys that could not be had, so that they are not due again at each tick."""
        ...

    def settle(self, db: Session, context: Context) -> Sequence[Saved]:
        """All keys have ended: judge what could not be judged key by key. The keys with more to say of them by that."""
        ...

    def complete(self, db: Session, context: Context) -> None:
        """The run is over: finish its row on completeness."""
        ...

    def follow(self, db: Session, run_id: UUID | None, now: datetime) -> None:
        """A run of any dataset is over: derive anew what follows from other rows than its own documents."""
        ...
