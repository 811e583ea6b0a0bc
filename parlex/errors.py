"""The error tree, named by what the caller can do.

ParlexError
├── ConfigurationError      the operator must mend a setting; nothing was started
├── UsageError              the caller asked for what cannot be; ask for something else
│   └── UnknownSession      no source knows the session, and the mirror does not hold it
├── Retryable               try again later, by the same call
│   ├── SourceUnavailable   5xx, 401, 403, refused, reset, timed out, cut short, or not the document at all
│   └── RateLimited         the host asks us to wait; costs no retry
│       └── BudgetSpent     our own budget for the host gives no room: the source was not asked
├── Refused                 give up: the same call will fail again
│   ├── NotFound            404 or 410: the source does not have it (the companion: not yet)
│   └── Unacceptable        4xx, a body over the cap, endless redirects, an address of another host
└── DocumentError           a person must look: the document is not what its source promises
"""

from __future__ import annotations

from typing import Any


class ParlexError(Exception):
    """The root. ``str()`` of each is one line that a person can act on and holds no secret."""


class ConfigurationError(ParlexError):
    """A setting is missing or malformed; the message names it."""


class UsageError(ParlexError):
    """The request itself is wrong."""


class UnknownSession(UsageError):
    """No source lists the session and the mirror does not hold it."""

    def __init__(self, session: object) -> None:
        # The only argument stays the session: Celery carries an error from worker to caller by its arguments.
        super().__init__(str(session))

    def __str__(self) -> str:
        return (
            f"no source knows session {self.args[0]}, and the mirror does not hold it; "
            "bills begin with 35-1, votes with 38-1, and both end with the current one"
        )


class Retryable(ParlexError):
    """The same call may succeed later.

    ``retry_after`` is what the source asked for, in seconds, or None where it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, self.__dict__)


class SourceUnavailable(Retryable):
    """The source did not give the document this time."""


class RateLimited(Retryable):
    """The source says to wait."""


class BudgetSpent(RateLimited):
    """Our own budget for a host gives no room now: that says nothing of the source."""


class Refused(ParlexError):
    """The same call would fail again."""


class NotFound(Refused):
    """The source answered 404 or 410."""


class Unacceptable(Refused):
    """The answer cannot be taken: its size, its redirects, its host, or a 4xx."""


class DocumentError(ParlexError):
    """A document breaks what its source promises.

    ``source`` and ``document`` (its url) say where, ``key`` which bill (None for a whole list), ``field`` the
    upstream field (None where the whole document is meant), ``reason`` what is wrong with it. ``part`` names the part
    that cannot be read of a record whose rest can: a column, or ``ballots.SLUG``. None where no part is meant.
    """

    def __init__(
        self,
        reason: str,
        *,
        source: str,
        document: str,
        key: str | None = None,
        field: str | None = None,
        part: str | None = None,
    ):
        where = " ".join(part for part in (source, key, field) if part)
        super().__init__(f"{where}: {reason} ({document})")
        self.reason = reason
        self.source = source
        self.document = document
        self.key = key
        self.field = field
        self.part = part

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.args, self.__dict__)


def _revive(kind: type[ParlexError], args: tuple[Any, ...], state: dict[str, Any]) -> ParlexError:
    """Rebuild an error whose constructor takes keywords: Celery and multiprocessing copy errors by pickling."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error
