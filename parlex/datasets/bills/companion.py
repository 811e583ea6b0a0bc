"""Of which bills OpenParliament's detail is asked for.

LEGISinfo's word decides all that it says but the sponsor's slug, and that follows (see ``sponsors``). So it is asked
where the slug does not follow, where its list contradicts LEGISinfo's, and for a few bills a day that rotate: they tell
whether what follows is still what it says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from parlex.datasets.bills import sponsors
from parlex.datasets.bills.bill import fold
from parlex.datasets.bills.merge import COMPANION, SPINE
from parlex.datasets.bills.sponsors import BILLS
from parlex.datasets.due import ASK_AGAIN, Candidate, Wanted
from parlex.datasets.record import Record
from parlex.db.models import ListingRow
from parlex.mirror import documents
from parlex.mirror.documents import Held
from parlex.mirror.lists import Judged
from parlex.parliament import BillKey
from parlex.runs.work import Context

_SAMPLED = timedelta(hours=12)  # what was asked for since then is of today's sample
_NEVER = datetime.min.replace(tzinfo=UTC)


def wanted(db: Session, found: Sequence[Candidate], came: Sequence[Judged], context: Context, sample: int) -> Wanted:
    """``came``: the lists that came just now. The sample is the daily run's, which looks again at what is old."""
    stale = {one.key for one in found if one.is_stale}
    lists = {judged.place.source: judged for judged in came if judged.trip is None}
    said = _said(db, lists.get(COMPANION), stale)
    spine = {line.key: line.facts for line in lists[SPINE].lines} if SPINE in lists else {}
    wrong = {key for key, facts in said.items() if key in spine and any(contradictions(spine[key], facts))}
    now = _news(lists.get(COMPANION), wrong)
    if context.request.recheck_after_days is not None:
        now |= _sample(db, [one.key for one in found if not one.is_stale], context.now, sample)
    return Wanted(sponsors.without_slug(db, (one.key for one in found)) | wrong, now)


def _said(db: Session, judged: Judged | None, stale: set[str]) -> Mapping[str, Mapping[str, Any]]:
    """The lines of OpenParliament's list: all where it came just now, else those of bills that are asked for anyway."""
    if judged is not None:
        return {line.key: line.facts for line in judged.lines}
    return lines(db, stale) if stale else {}


def lines(db: Session, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The lines of OpenParliament's list as last believed, by key."""
    line = ListingRow
    query = select(line.key, line.facts).where(
        line.dataset == BILLS, line.source == COMPANION, line.gone_at.is_(None), line.key.in_(list(keys))
    )
    return {key: dict(facts) for key, facts in db.execute(query)}


def contradictions(spine: Mapping[str, Any], companion: Mapping[str, Any]) -> Iterator[str]:
    """The fields of which the lines of both lists say different things. What one of them lacks is no contradiction.

    Nor is a day of introduction where LEGISinfo has none: for a bill that was reinstated OpenParliament shows the first
    day of the session.
    """
    if _differ(spine["legisinfo_id"], companion["legisinfo_id"]):
        yield "legisinfo_id"
    for name in ("title_en", "title_fr"):
        if _differ(fold(spine[name]), fold(companion[name])):
            yield name
    firsts = (spine["house_first_reading_on"], spine["senate_first_reading_on"])
    if _differ(min(filter(None, firsts), default=None), companion["introduced_on"]):
        yield "introduced_on"


def _differ(ours: Any, theirs: Any) -> bool:
    return bool(ours) and bool(theirs) and ours != theirs


def _news(judged: Judged | None, wrong: Iterable[str]) -> set[str]:
    """Those whose line is another one than the last time. What it says since then was asked about already."""
    if judged is None:
        return set()
    marks = {line.key: line.fingerprint for line in judged.lines}
    held = judged.past.held
    return {key for key in wrong if key not in held or held[key].fingerprint != marks[key]}


def _sample(db: Session, keys: Sequence[str], now: datetime, count: int) -> set[str]:
    """Those that it was asked about longest ago, or never; as many as are not asked for today already."""
    held = documents.held(db, BILLS, keys)
    asked = {key: _asked_at(held.get((key, COMPANION))) for key in lines(db, keys)}
    left = count - sum(at > now - _SAMPLED for at in asked.values())
    return set(sorted(asked, key=lambda key: (asked[key], BillKey.parse(key)))[: max(left, 0)])


def _asked_at(held: Held | None) -> datetime:
    return max(held.checked_at, held.failed_at or _NEVER) if held else _NEVER


def lacking(db: Session, records: Mapping[str, Record], now: datetime) -> dict[str, tuple[str, ...]]:
    """The bills that were just saved and whose slug does not follow, or follows otherwise than OpenParliament said the
    last time; without those that it was asked about within a day."""
    open_ones = {key: sponsor for key, one in records.items() if (sponsor := sponsor_of(one)) is not None}
    if not open_ones:
        return {}
    held = {key: one for (key, source), one in documents.held(db, BILLS, open_ones).items() if source == COMPANION}
    due = {key: sponsor for key, sponsor in open_ones.items() if _asked_at(held.get(key)) <= now - ASK_AGAIN}
    told = {key for key in due if key in held and held[key].sha256 is not None}
    follows = sponsors.follow(db, {due[key] for key in told}) if told else {}
    found = dict[str, tuple[str, ...]]()
    for key, sponsor in due.items():
        slug = records[key].facts["sponsor_slug"]
        if slug is None or (sponsor in follows and follows[sponsor].slug != slug):
            found[key] = (COMPANION,)
    return found


def sponsor_of(record: Record) -> sponsors.Sponsor | None:
    """The sponsor whom OpenParliament would name; None for a bill of which it names none."""
    person = record.facts["sponsor_person_id"]
    if person is None or not sponsors.concerns(record.facts["chamber"], BillKey.parse(record.key).session.parliament):
        return None
    return person, record.facts["sponsor_name"]
