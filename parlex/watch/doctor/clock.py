"""This host's clock, and how far another one is from it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from parlex.watch.doctor.findings import Check, Finding, well

OFF = timedelta(seconds=2)
FAR = timedelta(seconds=20)  # no NTP is at work any more


@dataclass(frozen=True, slots=True)
class Clock:
    """Says what the time is, going on from ``started``, which was the time when this was made."""

    started: datetime
    _at: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        return self.started + timedelta(seconds=time.monotonic() - self._at)


def skew(of: str, theirs: datetime, before: datetime, after: datetime) -> Check:
    """``before`` and ``after`` their clock was asked: what lies between them is no skew."""
    ahead = max(theirs - after, timedelta(0))
    behind = max(before - theirs, timedelta(0))
    off = max(ahead, behind)
    said = f"it is {off.total_seconds():.1f} s {'ahead of' if ahead else 'behind'} this host's"
    if off > FAR:
        return Finding.CLOCK_FAR.check(said, of=of)
    return Finding.CLOCK_OFF.check(said, of=of) if off > OFF else well("clock", "it agrees with this host's", of=of)
