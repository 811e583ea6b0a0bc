"""The daily digest: what changed in Parliament, and what failed in fetching it, short enough to read in a chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.answers import counted
from parlex.datasets import told
from parlex.datasets.dataset import Dataset
from parlex.datasets.told import Lines
from parlex.db.models import CounterRow
from parlex.mirror import history
from parlex.watch import alerts, notify
from parlex.watch.monitor import Overview
from parlex.watch.notify import Message

SHOWN = 15  # records of a dataset named of each kind of news; the rest is counted, and where to see it is said
_COUNTER = "digest"  # the last change that a digest told of


@dataclass(frozen=True, slots=True)
class Digest:
    """``after`` and ``to``: sequence numbers of the history. Its changes are those after the one, up to the other."""

    after: int
    to: int
    message: Message


def post(
    db: Session, datasets: Mapping[str, Dataset], overview: Overview, to: Mapping[str, str], *, occasion: str
) -> Digest | None:
    """Write the digest down for each address, and remember how far it went: the next one goes on from there.

    None where this occasion was told before, or there is nobody to tell.
    """
    if not to:
        return None
    db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_COUNTER, 0))))
    if notify.was_put(db, occasion):
        return None
    digest = compose(db, datasets, overview)
    notify.put(db, occasion, digest.message, to, now=overview.main.until)
    counter = upsert(CounterRow).values(name=_COUNTER, value=digest.to)
    db.execute(counter.on_conflict_do_update(index_elements=["name"], set_={"value": digest.to}))
    return digest


def compose(db: Session, datasets: Mapping[str, Dataset], overview: Overview) -> Digest:
    """The digest since the last one that was posted; the first one covers what the overview does."""
    after = db.scalar(select(CounterRow.value).where(CounterRow.name == _COUNTER))
    if after is None:
        after = history.seq_before(db, overview.main.since)
    last = history.last_seq(db)
    lines = [*_parliament(db, datasets, after, last), "", *_fetching(db, overview)]
    title = f"Parlex, {overview.main.until.astimezone(UTC):%d %B %Y}"
    return Digest(after, last, Message("info" if overview.healthy else "warning", title, "\n".join(lines)))


# What changed in Parliament.


def _parliament(db: Session, datasets: Mapping[str, Dataset], after: int, last: int) -> Iterator[str]:
    lines = history.changes(db, after, limit=last - after) if last > after else ()
    changed = told.by_dataset((line for line in lines if line.kind != "reparsed"), datasets)  # our reading is no news
    if not changed:
        yield "Nothing changed in Parliament."
    for place, (dataset, found) in enumerate(changed):
        if place:
            yield ""
        yield from _of_dataset(db, dataset, found, f"parlex changes --dataset {dataset.name} --after {after}")


def _of_dataset(db: Session, dataset: Dataset, changed: Lines, where: str) -> Iterator[str]:
    titles = dataset.titles(db, changed)
    yield f"{counted(len(changed), dataset.one)} changed in Parliament."
    for heading, found in told.grouped(dataset, changed, "en"):
        if heading == told.OTHER.en:
            yield f"{len(found)} in other facts; see: {where}"
            continue
        yield f"\n{heading}:"
        for key in [*found][:SHOWN]:
            yield f"- {told.sentence(key, titles.get(key, ''), found[key])}"
        if len(found) > SHOWN:
            yield f"- and {len(found) - SHOWN} more; see: {where}"


# What failed.


def _fetching(db: Session, overview: Overview) -> Iterator[str]:
    hours = f"{(overview.main.until - overview.main.since) / timedelta(hours=1):g} h"
    for report in overview.reports:
        counts = ", ".join(f"{count} {status}" for status, count in report.by_status.items() if count)
        yield f"{counted(report.runs, 'run')} of {report.dataset} in {hours}" + (f": {counts}." if counts else ".")
        failed, parked = report.records["failed"], report.quarantined
        yield f"{counted(report.requests, 'request')}; {failed} failed, {parked} in quarantine."
        kept = sum(line.kept for line in report.freshness)
        if report.freshness:
            yield f"Freshness: {kept} of {counted(len(report.freshness), 'promise')} kept."
        yield from (f"- {line.said}" for line in report.freshness if not line.kept)
    found = alerts.alerts(db)
    yield "Nothing is wrong." if not found and overview.healthy else "Wrong now:"
    headlines = {row.headline for row in found}
    yield from (f"- {line}" for line in (*sorted(headlines), *(() if headlines else overview.problems)))
