"""Which sessions there are, as far as the mirror knows, and what is said of one that it does not hold."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from parlex.answers import counted
from parlex.datasets.dataset import Dataset
from parlex.errors import UsageError
from parlex.mirror import sweeps
from parlex.parliament import SESSIONS_OF, SessionId

EXAMPLE = SessionId(45, 1)  # one that there is; what is named where nobody knows which one is the current one


def to_fetch(db: Session, dataset: Dataset, session: SessionId | None = None) -> str:
    """The advice where nothing is held: how to fetch it, unless no source has it."""
    option = "" if dataset.name == "bills" else f"--dataset {dataset.name} "
    if not dataset.by_session:
        return f"to fetch them: parlex fetch {option}".rstrip()
    current = sweeps.current_session(db)
    sure = "" if session is None or session <= (current or EXAMPLE) else "if there is such a session, "
    told = f"{sure}to fetch: parlex backfill {option}{session or current or EXAMPLE}"
    return _unknown(dataset, session, current) or told


def require_held(db: Session, dataset: Dataset, scopes: Sequence[str]) -> None:
    """UsageError for a session of which the mirror holds nothing, and never had a list."""
    known = dataset.scopes(db) if scopes else ()
    for scope in scopes:
        if scope not in known:
            advice = to_fetch(db, dataset, SessionId.parse(scope))
            raise UsageError(f"the mirror does not hold session {scope}; {advice}")


def _unknown(dataset: Dataset, session: SessionId | None, current: SessionId | None) -> str | None:
    """Why no source has such a session; None where one may have it."""
    first = dataset.first_session
    if session is None:
        return None
    if first is not None and session < first:
        return f"sessions with {dataset.name} begin with {first}"
    count = SESSIONS_OF.get(session.parliament)
    if count is not None and session.session > count:
        return f"there is no session {session}: Parliament {session.parliament} had {counted(count, 'session')}"
    if current is not None and session > current:
        return f"no session {session} is known: the current one is {current}"
    return None
