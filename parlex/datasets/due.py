"""When a detail is to be asked for again: the rules that every dataset shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from parlex.mirror.documents import Held
from parlex.mirror.lists import Judged, Past
from parlex.runs.work import Context, Due

ASK_AGAIN = timedelta(days=1)  # what failed, or what a source still owes, is asked for once a day


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line of a list as it stands once the list is kept."""

    key: str
    fingerprint: str
    activity_on: date | None
    first_seen_at: datetime
    fetched_fingerprint: str | None = None
    failed_at: datetime | None = None
    failed_fingerprint: str | None = None

    @property
    def is_stale(self) -> bool:
        """Whether the list says something newer than the detail that was saved."""
        return self.fingerprint != self.fetched_fingerprint

    def failed_lately(self, now: datetime) -> bool:
        """Whether this very line's detail could not be had a short while ago."""
        if self.failed_at is None or self.failed_fingerprint != self.fingerprint:
            return False
        return self.failed_at > now - ASK_AGAIN


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of which keys a companion is asked. ``keys``: with what is asked for anyway, or while it owes an answer; ``now``:
    whatever it said before."""

    keys: Set[str]
    now: Set[str] = frozenset()


def candidates(judged: Judged, now: datetime) -> list[Candidate]:
    """The lines of a list, and those before it that it does not say have gone."""
    found = [_candidate(line.key, line.fingerprint, line.activity_on, judged.past, now) for line in judged.lines]
    there = {line.key for line in judged.lines} | set(judged.gone)
    for key, row in judged.past.held.items():
        if row.gone_at is None and key not in there:
            found.append(_candidate(key, row.fingerprint, row.activity_on, judged.past, now))
    return found


def _candidate(key: str, fingerprint: str, activity_on: date | None, past: Past, now: datetime) -> Candidate:
    row = past.held.get(key)
    if row is None:
        return Candidate(key, fingerprint, activity_on, now)
    memory = (row.first_seen_at, row.fetched_fingerprint, row.failed_at, row.failed_fingerprint)
    return Candidate(key, fingerprint, activity_on, *memory)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a companion's list shows; ``swept_at`` is None where it was never had in full."""

    swept_at: datetime | None
    keys: Set[str]

    @classmethod
    def of(cls, judged: Judged, now: datetime, *, full: bool) -> Shown:
        """By what is held, and by the list that came just now; ``full``: it tells what it lacks."""
        past = judged.past
        keys = {key for key, row in past.held.items() if row.gone_at is None}
        if judged.trip is None:
            keys = (keys - set(judged.gone)) | {line.key for line in judged.lines}
        swept_at = now if full else past.last.swept_at if past.last else None
        return cls(swept_at, keys if swept_at else frozenset())

    def may_have(self, candidate: Candidate) -> bool:
        """Whether asking makes sense: it is shown, or it is newer than our look at the list."""
        if self.swept_at is None or candidate.key in self.keys:
            return True
        return candidate.first_seen_at > self.swept_at


@dataclass(frozen=True, slots=True)
class Living:
    """Records that may have moved although their line did not: each is to be looked at once since ``since``.

    ``events``: the last day on which something happened, by key.
    """

    since: datetime
    events: Mapping[str, date | None]

    def asks_for(self, one: Candidate, held: Held | None, context: Context) -> bool:
        if one.key not in self.events or (one.failed_lately(context.now) and not context.by_hand):
            return False
        return held is None or held.checked_at < self.since


def choose(
    found: Iterable[Candidate],
    held: Mapping[tuple[str, str], Held],
    context: Context,
    *,
    decides: str,
    companions: Mapping[str, Wanted],
    wants: Callable[[Candidate], tuple[str, ...]],
    rank: Callable[[str], Any],
    living: Living | None = None,
) -> tuple[Due, ...]:
    """The keys to fetch: what changed, the newest activity first; then what is ``living``, of the deciding source
    alone, the newest event first; then what companions still owe; then what nobody looked at for long, the oldest
    first. ``wants`` gives the sources to ask for a line."""

    def owes(one: Candidate, source: str) -> bool:
        return one.key in companions[source].now or _owes(held.get((one.key, source)), context)

    changed, moving, owed, old = [], [], [], []
    for one in found:
        wanted = wants(one)
        if one.is_stale:
            if context.by_hand or not one.failed_lately(context.now):
                changed.append((one, wanted))
        elif living is not None and living.asks_for(one, held.get((one.key, decides)), context):
            moving.append((replace(one, activity_on=living.events[one.key]), (decides,)))
        elif _looked_at_before(held.get((one.key, decides)), context):
            old.append((one, wanted))
        elif lacking := tuple(s for s in companions if s in wanted and owes(one, s)):
            owed.append((one, lacking))
    for group in (changed, moving, owed):
        group.sort(key=lambda item: _by_activity(item[0], rank))
    old.sort(key=lambda item: (held[item[0].key, decides].checked_at, rank(item[0].key)))
    return tuple(Due(one.key, sources, one.fingerprint) for one, sources in (*changed, *moving, *owed, *old))


def _by_activity(one: Candidate, rank: Callable[[str], Any]) -> tuple[bool, int, Any]:
    """Newest activity first, none last."""
    day = one.activity_on
    return day is None, -day.toordinal() if day else 0, rank(one.key)


def _looked_at_before(held: Held | None, context: Context) -> bool:
    """Whether the request asks for what nobody looked at for so long."""
    days = context.request.recheck_after_days
    return days is not None and held is not None and held.checked_at <= context.now - timedelta(days=days)


def _owes(companion: Held | None, context: Context) -> bool:
    """Whether the companion still owes the record, and is to be asked again."""
    if companion is None:
        return True
    if companion.failed_at is not None:
        return context.by_hand or companion.failed_at < context.now - ASK_AGAIN
    return companion.sha256 is None and companion.checked_at < context.now - ASK_AGAIN
