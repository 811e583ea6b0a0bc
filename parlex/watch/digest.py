"""The daily digest: what changed in Parliament, and what failed in fetching it, short enough to read in a chat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.db.models import BillRow, CounterRow
from parlex.mirror import history
from parlex.mirror.history import ChangeRecord
from parlex.parliament import BillKey, SessionId
from parlex.watch import alerts, notify
from parlex.watch.monitor import Report
from parlex.watch.notify import Message

SHOWN = 15  # bills named of each kind of news; the rest is counted, and where to see it is said
TITLE_LENGTH = 90
_COUNTER = "digest"  # the last change that a digest told of

Bills = dict[BillKey, list[ChangeRecord]]
Said = Callable[[Sequence[ChangeRecord]], str]


@dataclass(frozen=True, slots=True)
class Digest:
    """``after`` and ``to``: sequence numbers of the history. Its changes are those after the one, up to the other."""

    after: int
    to: int
    message: Message


def post(db: Session, report: Report, to: Mapping[str, str], *, occasion: str) -> Digest | None:
    """Write the digest down for each address, and remember how far it went: the next one goes on from there.

    None where this occasion was told before, or there is nobody to tell.
    """
    if not to:
        return None
    db.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_COUNTER, 0))))
    if notify.was_put(db, occasion):
        return None
    digest = compose(db, report)
    notify.put(db, occasion, digest.message, to, now=report.until)
    counter = upsert(CounterRow).values(name=_COUNTER, value=digest.to)
    db.execute(counter.on_conflict_do_update(index_elements=["name"], set_={"value": digest.to}))
    return digest


def compose(db: Session, report: Report) -> Digest:
    """The digest since the last one that was posted; the first one covers what the report does."""
    after = db.scalar(select(CounterRow.value).where(CounterRow.name == _COUNTER))
    if after is None:
        after = _seq_before(db, report.since)
    last = history.last_seq(db)
    lines = [*_parliament(db, after, last), "", *_fetching(db, report)]
    title = f"Parlex, {report.until.astimezone(UTC):%d %B %Y}"
    return Digest(after, last, Message("info" if report.healthy else "warning", title, "\n".join(lines)))


def _seq_before(db: Session, moment: datetime) -> int:
    return history.seq_before(db, moment)


# What changed in Parliament.


def _parliament(db: Session, after: int, last: int) -> Iterator[str]:
    changed: Bills = {}
    for change in history.changes(db, after, dataset="bills", limit=last - after or None) if last > after else ():
        if change.kind != "reparsed":  # our reading changed, not the bill
            changed.setdefault(_key(change), []).append(change)
    if not changed:
        yield "Nothing changed in Parliament."
        return
    titles = _titles(db, changed)
    yield f"{len(changed)} bills changed in Parliament."
    yield from _news("New", _of_kind(changed, "created"), titles, after, lambda _: "")
    yield from _news("Royal assent", _of_field(changed, "royal_assent_on"), titles, after, _new_value)
    yield from _news("New status", _of_field(changed, "status_en"), titles, after, _old_and_new)
    yield from _news("Left the list", _of_kind(changed, "withdrawn"), titles, after, lambda _: "")
    yield from _news("Back on the list", _of_kind(changed, "reappeared"), titles, after, lambda _: "")
    other = len(changed) - len({key for key, rows in changed.items() if any(map(_is_told, rows))})
    if other:
        yield f"{other} in other facts; see: parlex changes --after {after}"


_TOLD_FIELDS = ("royal_assent_on", "status_en")


def _is_told(change: ChangeRecord) -> bool:
    return change.kind in ("created", "withdrawn", "reappeared") or change.field in _TOLD_FIELDS


def _of_kind(changed: Bills, kind: str) -> Bills:
    return {key: rows for key, found in changed.items() if (rows := [row for row in found if row.kind == kind])}


def _of_field(changed: Bills, field: str) -> Bills:
    return {key: rows for key, found in changed.items() if (rows := [row for row in found if row.field == field])}


def _news(heading: str, found: Bills, titles: Mapping[BillKey, str], after: int, said: Said) -> Iterator[str]:
    if not found:
        return
    yield f"\n{heading}:"
    for key in sorted(found)[:SHOWN]:
        yield f"- {key} {titles.get(key, '')}{said(found[key])}"
    if len(found) > SHOWN:
        yield f"- and {len(found) - SHOWN} more; see: parlex changes --after {after}"


def _new_value(rows: Sequence[ChangeRecord]) -> str:
    return f", {rows[-1].new}"


def _old_and_new(rows: Sequence[ChangeRecord]) -> str:
    """From the first old value to the last new one, whatever lay between."""
    return f": {rows[0].old} → {rows[-1].new}"


def _key(change: ChangeRecord) -> BillKey:
    return BillKey.parse(change.key)


def _titles(db: Session, keys: Iterable[BillKey]) -> dict[BillKey, str]:
    row = BillRow
    sessions = {(key.session.parliament, key.session.session) for key in keys}
    title = func.coalesce(row.short_title_en, row.title_en)
    found: dict[BillKey, str] = {}
    for parliament, session in sorted(sessions):
        query = select(row.number, title).where(row.parliament == parliament, row.session == session)
        for number, text in db.execute(query):
            found[BillKey(SessionId(parliament, session), number)] = _shortened(text)
    return found


def _shortened(title: str) -> str:
    return title if len(title) <= TITLE_LENGTH else title[: TITLE_LENGTH - 1].rstrip() + "…"


# What failed.


def _fetching(db: Session, report: Report) -> Iterator[str]:
    hours = (report.until - report.since) / timedelta(hours=1)
    counts = ", ".join(f"{count} {status}" for status, count in report.by_status.items() if count)
    yield f"{report.runs} runs in {hours:g} h" + (f": {counts}." if counts else ".")
    yield f"{report.requests} requests; {report.records['failed']} bills failed, {report.quarantined} in quarantine."
    found = alerts.alerts(db)
    yield "Nothing is wrong." if not found and report.healthy else "Wrong now:"
    told = {row.headline for row in found}
    yield from (f"- {line}" for line in (*sorted(told), *(() if told else report.problems)))
