"""What was known of a bill and when, out of the rows and the history alone."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from parlex.datasets.bills import reads as bill_reads
from parlex.datasets.bills import stages
from parlex.datasets.bills.bill import CLOSED, Bill, StageCode
from parlex.datasets.bills.events import PARTS
from parlex.datasets.bills.reads import BillStory, StageRecord
from parlex.datasets.bills.stages import TimeInStage
from parlex.db.models import BillRow
from parlex.mirror import history
from parlex.mirror.history import ChangeRecord
from parlex.parliament import OTTAWA, BillKey, SessionId


def as_of(db: Session, key: BillKey, moment: datetime) -> BillStory | None:
    """The bill as the mirror knew it at that moment; None where it did not know it yet, or does not know it at all.

    The row of today is walked back: every change observed after the moment is undone, newest first. A stage that has
    gone since then is put where it stands by law, since the history does not keep its place. ``flags`` are
    judged by today's rules, and when it had last been looked at is not kept, so ``last_checked_at`` is None.
    """
    story = bill_reads.bill(db, key)
    if story is None or story.bill.first_seen_at > moment:
        return None
    changes = list(history.changes(db, dataset="bills", key=str(key)))
    first = next((n for n, change in enumerate(changes) if change.observed_at > moment), len(changes))
    past = _Past(story, bill_reads.entries(db, key))
    for change in reversed(changes[first:]):
        past.undo(change)
    known = [change.observed_at for change in changes[:first]]
    return past.story(last_changed_at=max(known, default=story.bill.first_seen_at))


class _Past:
    """A bill on its way back through its history."""

    def __init__(self, story: BillStory, parts: dict[str, dict[str, Any]]) -> None:
        self._story = story
        self._facts: dict[str, Any] = {}
        names = stages.named_rows(story.stages)
        self._stages = dict(zip(names, story.stages, strict=True))
        self._parts = parts

    def undo(self, change: ChangeRecord) -> None:
        part, _, entry = (change.field or "").partition(".")
        if change.kind in ("withdrawn", "reappeared"):
            self._facts["withdrawn"] = change.kind == "reappeared"
        elif change.field is not None and change.field.startswith("stages."):
            self._undo_stage(change.field.removeprefix("stages."), change.old)
        elif part in PARTS:
            self._parts[part].pop(entry, None)
            self._parts[part] |= {entry: change.old} if change.old is not None else {}
        elif change.field is not None and change.field != "flags":  # which today's rules judge anew
            self._facts[change.field] = _day(change.field, change.old)

    def _undo_stage(self, name: str, old: dict[str, Any] | None) -> None:
        if old is None:
            self._stages.pop(name, None)
            return
        values = {field: _day(field, value) for field, value in old.items()}
        at = stages.place_of(name)
        stage = StageRecord(at["chamber"], str(at["stage"]), **values)
        if name not in self._stages:
            # The history does not say where it stood: before the first one that comes after it by law.
            items = list(self._stages.items())
            place = next((n for n, (_, kept) in enumerate(items) if _rank(kept) > _rank(stage)), len(items))
            self._stages = dict([*items[:place], (name, stage), *items[place:]])
        self._stages[name] = stage

    def story(self, last_changed_at: datetime) -> BillStory:
        own = {field.name for field in fields(BillStory)}
        rest = {name: value for name, value in self._facts.items() if name in own}
        facts = {name: value for name, value in self._facts.items() if name not in own}
        record = replace(self._story.bill, **facts, last_changed_at=last_changed_at, last_checked_at=None)
        rest |= {name: part.of_values(self._parts[name]) for name, part in PARTS.items()}
        past = replace(self._story, bill=record, **rest, stages=tuple(self._stages.values()))
        return replace(past, flags=stages.flags(bill_of(past)))


_LEGAL_ORDER = (StageCode.REINSTATED, StageCode.PRE_STUDY, *StageCode)


def _rank(stage: StageRecord) -> tuple[int, int]:
    """House, Senate, royal assent, as LEGISinfo has them; inside a chamber by the legal order."""
    chamber = {"house": 0, "senate": 1}.get(stage.chamber or "", 2)
    return chamber, _LEGAL_ORDER.index(StageCode(stage.stage))


def _day(field: str, value: Any) -> Any:
    """A value of the history as the row holds it: its days are text there."""
    return date.fromisoformat(value) if field.endswith("_on") and value is not None else value


def bill_of(story: BillStory) -> Bill:
    """The story's facts as the domain has them, without its stages."""
    told = {
        name: getattr(story, name) for name in ("text_url", "summary_en", "summary_fr", "notes_en", "notes_fr", *PARTS)
    }
    names = [field.name for field in fields(Bill) if field.name not in ("key", "stages", *told)]
    facts = {name: getattr(story.bill, name) for name in names} | told
    closed = {name: kind(facts[name]) for name, kind in CLOSED.items()}
    return Bill(key=story.bill.key, stages=(), **(facts | closed))


def times_in_stage(db: Session, story: BillStory, moment: datetime) -> tuple[TimeInStage, ...]:
    """The days that a bill spent in each stage up to that moment. A bill of an earlier session is over."""
    over = is_over(db, story.bill.key.session, moment)
    return stages.times_in_stage(bill_of(story), None if over else moment.astimezone(OTTAWA).date())


def is_over(db: Session, session: SessionId, moment: datetime) -> bool:
    """Whether a bill of a later session had been seen by that moment."""
    later = select(BillRow.number).where(
        tuple_(BillRow.parliament, BillRow.session) > (session.parliament, session.session),
        BillRow.first_seen_at <= moment,
    )
    return db.scalars(later.limit(1)).first() is not None
