"""The page of a division: its result, how the parties voted, who broke ranks, and each ballot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, func, select, tuple_

from parlex.datasets.votes.vote import Choice
from parlex.db.models import BallotRow, PoliticianMembershipRow
from parlex.web.pages.site import Visit


def party_lines(visit: Visit, votes: Sequence[Mapping[str, Any]]) -> dict[int, list[Any]]:
    """How the parties voted in each of some divisions of a session, by its number, the largest party first."""
    if not votes:
        return {}
    ballot, membership = BallotRow, PoliticianMembershipRow
    counts = [func.count().filter(ballot.choice == choice).label(choice.name.lower()) for choice in Choice]
    query = (
        select(ballot.number, membership.party, *counts)
        .outerjoin(membership, and_(membership.slug == ballot.slug, membership.id == ballot.membership_id))
        .where(
            tuple_(ballot.parliament, ballot.session, ballot.number).in_(
                [(vote["parliament"], vote["session"], vote["number"]) for vote in votes]
            )
        )
        .group_by(ballot.number, membership.party)
        .order_by(ballot.number, func.count().desc(), membership.party)
    )
    found: dict[int, list[Any]] = {}
    for row in visit.db.execute(query):
        found.setdefault(row.number, []).append(row)
    return found
