"""Who asks, by the key in ``Authorization``. A key is never taken from an address, which logs and histories keep."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from parlex.db import api_keys
from parlex.db.api_keys import Held
from parlex.runs.run_log import Transactions
from parlex.serving.problems import Problem, away
from parlex.serving.threads import Threads

KNOWN_SECONDS = 3.0  # for which a key is believed without a look; so long a revoked one goes on
MOST_KNOWN = 1000
THREADS = 2
PATIENCE = 5.0  # seconds that a look may take
_KEY = re.compile(rf"{api_keys.PREFIX}_([0-9a-f]{{12}})_([\w-]{{20,100}})", re.ASCII)
_NOBODY = Held("", bytes(32))  # compared in any case, so that the time tells nothing of which ids there are


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    role: str


class Keys:
    """The keys that were asked for lately, and the database for the others."""

    def __init__(self, db: Transactions) -> None:
        self._db = db
        self._known: dict[str, tuple[float, Held | None]] = {}
        self._threads = Threads(THREADS, PATIENCE)

    async def whose(self, authorization: str) -> Key | None:
        """Whose key it is; None for another scheme than ours, which may be a proxy's. Problem 401 for a wrong key, 503
        where nobody can say."""
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        if parts := _KEY.fullmatch(given.strip()):
            held = await self._held(parts[1])
            if (held or _NOBODY).fits(parts[2]) and held is not None:
                return Key(parts[1], held.role)
        raise unauthorized("the key is wrong, or was revoked", ', error="invalid_token"')

    async def _held(self, key_id: str) -> Held | None:
        now = time.monotonic()
        at, held = self._known.get(key_id, (0.0, None))
        if now - at <= KNOWN_SECONDS:
            return held
        try:
            held = await self._threads.run(partial(self._find, key_id))
        except (SQLAlchemyError, TimeoutError):
            raise away("keys cannot be looked up now: the database does not answer") from None
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[key_id] = now, held
        return held

    def _find(self, key_id: str) -> Held | None:
        with self._db() as db:
            return api_keys.find(db, key_id)


def unauthorized(detail: str, more: str = "") -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": f'Bearer realm="parlex"{more}'})


def require(key: Key | None, role: str) -> Key:
    """Problem 401 without a key, 403 for one of another role."""
    if key is None:
        raise unauthorized(f"this needs a key with the role {role}, as Authorization: Bearer plx_…")
    if key.role != role:
        raise Problem(403, f"this needs the role {role}; this key's is {key.role}")
    return key
