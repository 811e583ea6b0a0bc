"""What ``parlex doctor`` sees of the mirror itself: who works on it, how fresh it is, what waits for a person."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta

from redis import Redis
from sqlalchemy.orm import Session

from parlex.db import outbox
from parlex.db.models import NotificationRow
from parlex.fetching import throttle
from parlex.mirror import identity
from parlex.runs import schedule
from parlex.runs.queues import QUEUES
from parlex.watch import beats
from parlex.watch.doctor.findings import Check, Finding, State, well
from parlex.watch.monitor import Overview, Report

BEATS_WITHIN = timedelta(minutes=2)


def workers(alive: Collection[str]) -> Check:
    """``alive``: the queues that some living worker consumes."""
    if not alive:
        return Finding.WORKERS_NONE.check("nothing is running: no worker answers")
    if missing := sorted(set(QUEUES) - set(alive)):
        return Finding.WORKERS_MISSING.check(f"no worker for {', '.join(missing)}")
    return well("workers", f"each queue has a worker: {', '.join(sorted(QUEUES))}")


def hosts(redis: Redis, names: Iterable[str]) -> Iterator[Check]:
    """Which sources are left alone just now. RedisError where Redis goes away meanwhile."""
    for name in sorted(set(names)):
        found = throttle.pause(redis, name)
        if found.blocked > throttle.LONG_WAIT:
            yield Finding.HOST_BLOCKED.check(
                f"it asked to be left alone for {found.blocked / 3600:,.1f} h more", of=name
            )
        elif found.closed:
            yield Finding.HOST_FAILING.check(
                f"it keeps failing, and is left alone for {found.closed:.0f} s more", of=name
            )
        elif found.blocked:
            yield well("host", f"it asked us to wait; {found.blocked:.0f} s are left", of=name)
        else:
            yield well("host", "it may be asked", of=name)


def examine(db: Session, overview: Overview, *, watched: bool) -> Iterator[Check]:
    """Silence is a failure where workers live (``watched``), and news where nothing is meant to run."""
    yield _beat(db, overview.main, watched)
    if others := identity.strangers(db, identity.FORGOTTEN_AFTER):
        yield Finding.MIRRORS_MIXED.check(f"messages of {', '.join(others)} came and were refused")
    for name, entry in schedule.overrides(db).items():
        if entry.paused_at is not None:
            yield Finding.SCHEDULE_PAUSED.check(f"it is paused since {entry.paused_at:%Y-%m-%d %H:%M} UTC", of=name)
    named = [(None, overview.main), *((report.dataset, report) for report in overview.others)]
    for of, report in named:
        yield _freshness(report, of, watched)
    if stuck := sum(len(report.stuck_runs) for report in overview.reports):
        yield Finding.RUNS_STUCK.check(f"{stuck} stuck")
    for of, report in named:
        if report.quarantined:
            yield Finding.QUARANTINE_OPEN.check(f"{report.quarantined} of {report.dataset} to look at", of=of)
    for of, report in named:
        if report.unknown_words:
            texts = ", ".join(repr(word.text) for word in report.unknown_words)
            yield Finding.WORDS_UNKNOWN.check(f"nobody has named {texts}", of=of)
    _, given_up = outbox.counts(db, NotificationRow)
    if given_up:
        yield Finding.MESSAGES_LOST.check(f"{given_up} could not be delivered")


def _beat(db: Session, report: Report, watched: bool) -> Check:
    age, state = report.beat_age_seconds, _state(watched)
    if age is None:
        return Finding.BEAT_NEVER.check("it was never seen: nothing is scheduled", state=state)
    if report.beat_is_silent:
        return Finding.BEAT_SILENT.check(f"it was last seen {age / 60:.0f} min ago", state=state)
    alive = beats.alive(db, BEATS_WITHIN)
    if len(alive) > 1:
        return Finding.BEAT_TWICE.check(f"{len(alive)} were seen in the last 2 min: {', '.join(alive)}")
    return well("beat", f"it was seen {max(age, 0):.0f} s ago")


def _freshness(report: Report, of: str | None, watched: bool) -> Check:
    age = report.freshness_seconds
    if age is None:
        return Finding.FRESHNESS_NEVER.check(f"the {report.current_list} were never listed", of=of)
    said = f"the {report.current_list} were last listed {age / 60:.0f} min ago"
    if report.is_stale:
        return Finding.FRESHNESS_STALE.check(said, of=of, state=_state(watched))
    if report.broken:
        told = "; ".join(line.said for line in report.broken)
        return Finding.FRESHNESS_PROMISE.check(told, of=of, state=_state(watched))
    return well("freshness", said, of=of)


def _state(watched: bool) -> State:
    return "fail" if watched else "warn"
