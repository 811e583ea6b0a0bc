"""Where the two sources say different things, or one of them contradicts itself; and how long one comes after the
other."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from parlex.answers import Record, as_json
from parlex.datasets import standing
from parlex.datasets.bills import contradictions
from parlex.datasets.bills.bill import LegisinfoBill, OpenParliamentBill, fold
from parlex.datasets.bills.contradictions import Disagreement
from parlex.datasets.bills.merge import COMPANION, COMPANION_SINCE, SPINE
from parlex.datasets.bills.reads import DATASET
from parlex.datasets.dataset import Dataset
from parlex.datasets.reading import batches
from parlex.db.models import SweepRow
from parlex.mirror import listings, sweeps
from parlex.parliament import BillKey, SessionId

# Where only one of them has a text, or an id, the other lacks it: that is no disagreement.
_TEXTS = ("title_en", "title_fr", "short_title_en", "short_title_fr", "status_code", "chamber", "text_url")


def disagreements(db: Session, dataset: Dataset, session: SessionId | None = None) -> Iterator[Disagreement]:
    """Where the documents that stand differ, bill by bill, in a session or in all.

    Texts are compared without what the sources vary (blanks, quotes, dashes). ``introduced_on``: the days differ, or
    only one has a day. ``royal_assent_on``: LEGISinfo's day against OpenParliament's flag ``law``. ``divisions.12``:
    the division as LEGISinfo names it on its bill, against the one that is held. Then come the contradictions: see
    ``contradictions.py``.
    """
    for batch in batches(standing.keys(db, dataset, [str(session)] if session else ())):
        parsed = standing.standing(db, dataset, batch).whole
        named = {key: by_source[SPINE].divisions for key, by_source in parsed.items() if by_source[SPINE].divisions}
        yield from contradictions.divisions(db, named)
        for key in batch:
            if COMPANION in parsed.get(key, {}):
                bill = BillKey.parse(key)
                at = (bill.session.parliament, bill.session.session, bill.number)
                for field, spine, companion in _differ(parsed[key][SPINE], parsed[key][COMPANION]):
                    yield Disagreement(*at, field, as_json(spine), as_json(companion))
    yield from contradictions.contradictions(db, session)


def _differ(spine: LegisinfoBill, companion: OpenParliamentBill) -> Iterator[tuple[str, Any, Any]]:
    for field in _TEXTS:
        ours, theirs = getattr(spine, field), getattr(companion, field)
        if ours is not None and theirs is not None and fold(ours) != fold(theirs):
            yield field, ours, theirs
    if companion.legisinfo_id is not None and companion.legisinfo_id != spine.legisinfo_id:
        yield "legisinfo_id", spine.legisinfo_id, companion.legisinfo_id
    if spine.milestones.introduced_on != companion.introduced_on:
        yield "introduced_on", spine.milestones.introduced_on, companion.introduced_on
    if (spine.milestones.royal_assent_on is not None) != bool(companion.is_law):
        yield "royal_assent_on", spine.milestones.royal_assent_on, companion.is_law


@dataclass(frozen=True, slots=True)
class Lag(Record):
    """How long OpenParliament shows the bills of a session after LEGISinfo.

    ``bills``: those that were new in LEGISinfo's list after the mirror's first look at it, and that both have; of the
    others nobody knows when they came. Seconds between the two first sights, known to a day, since OpenParliament's
    list is asked for once a day. ``waiting``: the bills that only LEGISinfo lists.
    """

    session: str
    bills: int
    median_seconds: float | None
    longest_seconds: float | None
    longest: str | None
    waiting: tuple[str, ...]


def lags(db: Session, session: SessionId | None = None) -> list[Lag]:
    """The companion's lag in a session, or in each of which both lists were had."""
    query = (
        select(SweepRow.scope, func.min(SweepRow.swept_at))
        .where(SweepRow.dataset == DATASET, SweepRow.source == SPINE, SweepRow.believed)
        .group_by(SweepRow.scope)
    )
    if session is not None:
        query = query.where(SweepRow.scope == str(session))
    first = {SessionId.parse(scope): swept_at for scope, swept_at in db.execute(query)}
    return [_lag(db, each, first[each]) for each in sorted(first) if _has_companion(db, each)]


def _has_companion(db: Session, session: SessionId) -> bool:
    if session.parliament < COMPANION_SINCE:
        return False
    return sweeps.last_believed(db, DATASET, COMPANION, str(session)) is not None


def _lag(db: Session, session: SessionId, first_look: datetime) -> Lag:
    spine = listings.listings(db, DATASET, SPINE, str(session))
    companion = listings.listings(db, DATASET, COMPANION, str(session))
    seconds = {
        key: max(0.0, (companion[key].first_seen_at - row.first_seen_at).total_seconds())
        for key, row in spine.items()
        if row.first_seen_at > first_look and key in companion
    }
    waiting = [key for key, row in spine.items() if row.gone_at is None and key not in companion]
    longest = max(seconds, key=lambda key: seconds[key], default=None)
    return Lag(
        session=str(session),
        bills=len(seconds),
        median_seconds=statistics.median(seconds.values()) if seconds else None,
        longest_seconds=seconds[longest] if longest else None,
        longest=longest,
        waiting=tuple(sorted(waiting, key=BillKey.parse)),
    )
