"""The daily digest: what changed in Parliament, and what failed in fetching it, short enough to read in a chat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.answers import counted
from parlex.datasets.dataset import Dataset
from parlex.db.models import CounterRow
from parlex.mirror import history
from parlex.mirror.history import ChangeRecord
from parlex.watch import alerts, notify
from parlex.watch.monitor import Overview
from parlex.watch.notify import Message

SHOWN = 15  # records of a dataset named of each kind of news; the rest is counted, and where to see it is said
TITLE_LENGTH = 90
_COUNTER = "digest"  # the last change that a digest told of

Changed = dict[str, list[ChangeRecord]]  # by key
# What happens to a record as a whole, and how it is headed.
_KINDS = {"created": "New", "withdrawn": "Left the list", "reappeared": "Back on the list"}


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
    changed: dict[str, Changed] = {}
    for change in history.changes(db, after, limit=last - after) if last > after else ():
        if change.kind != "reparsed":  # our reading changed, not the record
            changed.setdefault(change.dataset, {}).setdefault(change.key, []).append(change)
    if not changed:
        yield "Nothing changed in Parliament."
    told = [dataset for dataset in datasets.values() if dataset.name in changed]
    for place, dataset in enumerate(told):
        if place:
            yield ""
        yield from _of_dataset(db, dataset, changed[dataset.name], after)


def _of_dataset(db: Session, dataset: Dataset, changed: Changed, after: int) -> Iterator[str]:
    titles = dataset.titles(db, changed)
    yield f"{counted(len(changed), dataset.one)} changed in Parliament."
    news = [(heading, _rows(changed, kind=kind)) for kind, heading in _KINDS.items()]
    fields = [(heading.en, _rows(changed, field=field)) for field, heading in dataset.told_fields.items()]
    for heading, found in (news[0], *fields, *news[1:]):
        if found:
            yield f"\n{heading}:"
            yield from _told(dataset, found, titles, after)
    named = {key for _, found in (*news, *fields) for key in found}
    if other := len(changed.keys() - named):
        yield f"{other} in other facts; see: {_where(dataset, after)}"


def _rows(changed: Changed, *, kind: str = "changed", field: str | None = None) -> Changed:
    """The lines of one kind, and of one field, by key; without the keys that have none."""
    found = {key: [row for row in rows if (row.kind, row.field) == (kind, field)] for key, rows in changed.items()}
    return {key: rows for key, rows in found.items() if rows}


def _told(dataset: Dataset, found: Changed, titles: Mapping[str, str], after: int) -> Iterator[str]:
    for key in sorted(found, key=dataset.rank)[:SHOWN]:
        yield f"- {key} {_shortened(titles.get(key, ''))}".rstrip() + _values(found[key])
    if len(found) > SHOWN:
        yield f"- and {len(found) - SHOWN} more; see: {_where(dataset, after)}"


def _values(rows: Sequence[ChangeRecord]) -> str:
    """From the first old value to the last new one, whatever lay between; nothing of a record as a whole."""
    if rows[0].field is None:
        return ""
    old, new = (value if value is not None else "none" for value in (rows[0].old, rows[-1].new))
    return f", {new}" if rows[0].old is None else f": {old} → {new}"


def _where(dataset: Dataset, after: int) -> str:
    return f"parlex changes --dataset {dataset.name} --after {after}"


def _shortened(title: str) -> str:
    return title if len(title) <= TITLE_LENGTH else title[: TITLE_LENGTH - 1].rstrip() + "…"


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
    told = {row.headline for row in found}
    yield from (f"- {line}" for line in (*sorted(told), *(() if told else overview.problems)))
