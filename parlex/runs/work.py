"""What a dataset brings to the pipeline: how to list it, plan it, ask for it and save it.

The pipeline runs every dataset by this one interface and knows none of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.orm import Session

from parlex.errors import ParlexError
from parlex.fetching.document import Document
from parlex.fetching.http import Tally
from parlex.mirror.documents import Fetched, Held
from parlex.parliament import Outcome


@dataclass(frozen=True, slots=True)
class Request:
    """What a caller asks of a run. Two runs with equal requests are the same work.

    ``scope`` is a session's text, or None for the current one. ``limit`` bounds the keys of this run; what is due
    beyond it is deferred and counted. ``recheck_after_days`` also takes details that nobody looked at for so long.
    ``retry_of`` is the id of a run, and leaves nothing to do but the keys that failed in it.
    """

    job: str
    dataset: str = "bills"
    scope: str | None = None
    limit: int | None = None
    recheck_after_days: int | None = None
    retry_of: str | None = None

    def params(self) -> dict[str, Any]:
        """The arguments as the log keeps them; what was not given is left out."""
        given = asdict(self)
        names = ("scope", "limit", "recheck_after_days", "retry_of")
        return {name: given[name] for name in names if given[name] is not None}


@dataclass(frozen=True, slots=True)
class Context:
    """The run that the work is for. ``by_hand``: a person asked, so that failures are tried again at once."""

    run_id: UUID
    request: Request
    by_hand: bool
    background: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class Survey:
    """The lists of one scope as documents, and which sources failed to give theirs."""

    documents: tuple[Fetched, ...]
    errors: Mapping[str, ParlexError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Due:
    """A key to fetch and the sources to ask for it."""

    key: str
    wants: tuple[str, ...]
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """``listed`` = ``not_due`` + len(due) + ``deferred``. ``failure``: why the list is not to be believed."""

    scope: str | None
    listed: int
    not_due: int
    deferred: int
    due: tuple[Due, ...]
    errors: tuple[str, ...] = ()
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """How one key ended in the database."""

    key: str
    outcome: Outcome
    error: str | None = None


class Dataset(Protocol):
    """One kind of thing that the mirror keeps."""

    name: str
    source: str  # as the log names it: the source that decides first, then its companions
    decides: frozenset[str]  # the sources without whose word, of each, there is nothing to save
    by_session: bool  # whether its lists are of one session each, so that a request may name one
    requests_a_minute: float  # the slowest budget among its sources; 0 without one

    def lists_due(self, db: Session, context: Context) -> frozenset[str]:
        """The sources whose list is to be asked for."""
        ...

    def survey(self, due: frozenset[str], context: Context, tally: Tally) -> Survey:
        """Ask for the lists. Raises what the deciding source raised; companions' errors come back in the survey."""
        ...

    def plan(self, db: Session, survey: Survey, context: Context) -> Plan:
        """Judge the lists, keep the listings, decide which keys are due."""
        ...

    def ask(self, key: str, source: str, held: Held | None, context: Context, tally: Tally) -> Document | None:
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

    def complete(self, db: Session, context: Context) -> None:
        """The run is over: finish its row on completeness."""
        ...
