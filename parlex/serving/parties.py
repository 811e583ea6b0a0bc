"""How the parties voted in divisions: counted of the ballots once, and kept until the history has newer ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import groupby

from sqlalchemy import Connection, Integer
from sqlalchemy.dialects.postgresql import ARRAY

from parlex.datasets.served import Cover
from parlex.datasets.votes import reads
from parlex.datasets.votes.vote import VoteKey
from parlex.parliament import SessionId
from parlex.serving.kept import Kept
from parlex.serving.queries import Compiled, given
from parlex.serving.tags import Poller

MOST = 500  # divisions that are kept

Line = tuple[str | None, int, int, int, int]  # a party; its members' yes, no, paired, and who did not vote


class Parties:
    """Of the divisions that were asked for."""

    def __init__(self, poller: Poller) -> None:
        self._kept: Kept[dict[VoteKey, list[Line]]] = Kept(poller, Cover("votes"), Cover("politicians"))

    def read(self, db: Connection, keys: Iterable[VoteKey]) -> dict[str, list[Line]]:
        """The largest party first, by the key of the division."""
        held = self._kept.read(dict)
        found = {key: held.get(key) for key in keys}
        missing = [key for key, lines in found.items() if lines is None]
        for session, some in groupby(missing, lambda key: key.session):
            counted = _count(db, session, list(some))
            found |= counted
            if len(held) + len(counted) > MOST:
                held.clear()
            held |= counted
        return {str(key): lines or [] for key, lines in found.items()}


def _count(db: Connection, session: SessionId, keys: Sequence[VoteKey]) -> dict[VoteKey, list[Line]]:
    found: dict[VoteKey, list[Line]] = {key: [] for key in keys}
    values = {"parliament": session.parliament, "session": session.session, "numbers": [key.number for key in keys]}
    for number, *line in _statement().run(db, values):
        found[VoteKey(session, number)].append(tuple(line))
    return found


@cache
def _statement() -> Compiled:
    return Compiled.of(reads.select_parties(given("parliament"), given("session"), given("numbers", ARRAY(Integer()))))
