"""How the parties voted: counted once, and anew when the history has newer votes or politicians."""

from __future__ import annotations

from parlex.datasets.votes.vote import VoteKey
from parlex.db.migrate import head
from parlex.db.models import BallotRow
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.serving.parties import Parties
from parlex.serving.tags import Poller
from tests.rows import change
from tests.statements import statements

KEYS = [VoteKey(SessionId(45, 1), 1), VoteKey(SessionId(45, 1), 2)]
YES, NO = [(None, 1, 0, 0, 0)], [(None, 0, 1, 0, 0)]


def vote(mirror: Resources, seq: int, dataset: str, choice: str) -> None:
    with mirror.db() as db:
        db.merge(BallotRow(parliament=45, session=1, number=1, slug="a", choice=choice))
        db.add(change(seq, dataset=dataset, key="45-1 1" if dataset == "votes" else "a"))


def test_what_is_kept_is_counted_anew_after_newer_votes_or_politicians(mirror: Resources) -> None:
    poller = Poller(mirror.engine, head())
    parties = Parties(poller)
    for seq, (dataset, choice, told) in enumerate([("votes", "Yes", YES), ("politicians", "No", NO)], 1):
        vote(mirror, seq, dataset, choice)
        poller.read()
        with mirror.engine.connect() as db, statements(mirror.engine) as sent:
            for _ in range(2):
                assert parties.read(db, KEYS) == {"45-1 1": told, "45-1 2": []}
        assert len([one for one in sent if "ballots" in one]) == 1


def test_nothing_is_kept_before_the_history_was_read(mirror: Resources) -> None:
    parties = Parties(Poller(mirror.engine, head()))
    for seq, choice, told in ((1, "Yes", YES), (2, "No", NO)):
        vote(mirror, seq, "votes", choice)
        with mirror.engine.connect() as db:
            assert parties.read(db, KEYS[:1]) == {"45-1 1": told}
