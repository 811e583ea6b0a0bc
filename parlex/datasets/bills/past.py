"""What was known of a bill and when, and where each field came from: answers out of the rows and the archive alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from parlex import answers
from parlex.answers import Record
from parlex.datasets.bills import merge, stages, standing
from parlex.datasets.bills import reads as bill_reads
from parlex.datasets.bills import rows as bill_rows
from parlex.datasets.bills.bill import Bill, BillType, StageCode, StatusCode
from parlex.datasets.bills.reads import BillStory, StageRecord
from parlex.datasets.bills.stages import TimeInStage
from parlex.datasets.bills.standing import DATASET, Standing
from parlex.db.models import BillChangeRow, BillRow
from parlex.errors import UsageError
from parlex.mirror import documents, history, quarantine
from parlex.mirror.history import ChangeRecord
from parlex.parliament import BillKey, Chamber

OTTAWA = ZoneInfo("America/Toronto")
_DAY_LENGTH = len("2026-03-01")


# As it was known.


def moment_of(text: str) -> datetime:
    """``2026-03-01`` as the end of that day in Ottawa, or an instant as ``2026-03-01T12:00:00Z`` (Ottawa's time where
    it names no zone). UsageError for anything else."""
    try:
        if len(text) == _DAY_LENGTH:
            return datetime.combine(date.fromisoformat(text) + timedelta(days=1), time(), OTTAWA) - timedelta.resolution
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is no moment; write it like 2026-03-01 or 2026-03-01T12:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=OTTAWA)


def start_of(text: str) -> datetime:
    """As ``moment_of``, but a day means its beginning in Ottawa."""
    moment = moment_of(text)
    return datetime.combine(moment.date(), time(), OTTAWA) if len(text) == _DAY_LENGTH else moment


def as_of(db: Session, key: BillKey, moment: datetime) -> BillStory | None:
    """The bill as the mirror knew it at that moment; None where it did not know it yet, or does not know it at all.

    The row of today is walked back: every change observed after the moment is undone, newest first. A stage that has
    gone since then is put where it stands by law, since the history does not keep its place. ``flags`` are
    judged by today's rules, and when it had last been looked at is not kept, so ``last_checked_at`` is None.
    """
    story = bill_reads.bill(db, key)
    if story is None or story.bill.first_seen_at > moment:
        return None
    changes = list(history.changes(db, key=key))
    first = next((n for n, change in enumerate(changes) if change.observed_at > moment), len(changes))
    past = _Past(story)
    for change in reversed(changes[first:]):
        past.undo(change)
    known = [change.observed_at for change in changes[:first]]
    return past.story(last_changed_at=max(known, default=story.bill.first_seen_at))


class _Past:
    """A bill on its way back through its history."""

    def __init__(self, story: BillStory) -> None:
        self._story = story
        self._facts: dict[str, Any] = {}
        self._stages = {_stage_name(stage, story.stages[:place]): stage for place, stage in enumerate(story.stages)}

    def undo(self, change: ChangeRecord) -> None:
        if change.kind in ("withdrawn", "reappeared"):
            self._facts["withdrawn"] = change.kind == "reappeared"
        elif change.field is not None and change.field.startswith("stages."):
            self._undo_stage(change.field, change.old)
        elif change.field is not None:
            self._facts[change.field] = _day(change.field, change.old)

    def _undo_stage(self, name: str, old: dict[str, Any] | None) -> None:
        if old is None:
            self._stages.pop(name, None)
            return
        *chamber, code = name.removeprefix("stages.").removesuffix(_turn(name)).split(".")
        values = {field: _day(field, value) for field, value in old.items()}
        stage = StageRecord(chamber=chamber[0] if chamber else None, stage=code, **values)
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
        past = replace(self._story, bill=record, **rest, stages=tuple(self._stages.values()))
        return replace(past, flags=stages.flags(bill_of(past)))


def _stage_name(stage: StageRecord, before: Sequence[StageRecord]) -> str:
    """As the history names it: a chamber's second third reading is ``stages.house.third_reading.2``."""
    turn = 1 + sum((other.chamber, other.stage) == (stage.chamber, stage.stage) for other in before)
    place = f"{stage.chamber}.{stage.stage}" if stage.chamber else stage.stage
    return f"stages.{place}" + (f".{turn}" if turn > 1 else "")


def _turn(name: str) -> str:
    """``.2`` of a stage that the chamber went through twice, else nothing."""
    last = name.rpartition(".")[2]
    return f".{last}" if last.isdigit() else ""


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
    told = {name: getattr(story, name) for name in ("text_url", "summary_en", "summary_fr")}
    names = [field.name for field in fields(Bill) if field.name not in ("key", "stages", *told)]
    facts = {name: getattr(story.bill, name) for name in names} | told
    closed = {
        "status_code": StatusCode(facts["status_code"]),
        "bill_type": BillType(facts["bill_type"]),
        "chamber": Chamber(facts["chamber"]),
    }
    return Bill(key=story.bill.key, stages=(), **(facts | closed))


def times_in_stage(db: Session, story: BillStory, moment: datetime) -> tuple[TimeInStage, ...]:
    """The days that a bill spent in each stage up to that moment. A bill of an earlier session is over."""
    key = story.bill.key
    later = select(BillRow.number).where(
        tuple_(BillRow.parliament, BillRow.session) > (key.session.parliament, key.session.session),
        BillRow.first_seen_at <= moment,
    )
    over = db.scalars(later.limit(1)).first() is not None
    return stages.times_in_stage(bill_of(story), None if over else moment.astimezone(OTTAWA).date())


# Where it comes from.


@dataclass(frozen=True, slots=True)
class Origin(Record):
    """Where one field of a bill has its value.

    ``source``: whose word it is, by the table of ``merge``; ``stands_in``: that is not the source that decides, which
    has none. ``document`` is the sha256 of what it said, from ``url`` at ``fetched_at``; null where that source has
    said nothing of the bill. ``since``: when the mirror first had this value. ``withheld``: the source says a blank by
    now that is not believed (see quarantine); the document is then the one that the value came with.
    """

    field: str
    value: Any
    source: str
    stands_in: bool
    withheld: bool
    document: str | None
    url: str | None
    fetched_at: datetime | None
    since: datetime


def provenance(db: Session, key: BillKey) -> tuple[Origin, ...]:
    """Each field of a bill with its source, document and time. UsageError where the mirror does not hold it."""
    held = bill_rows.held_bills(db, [key]).get(key)
    story = bill_reads.bill(db, key)
    if held is None or story is None:
        raise not_held(key)
    read = standing.standing(db, [key]).get(key)
    states = quarantine.withheld_fields(db, DATASET, [str(key)])
    told = _Told(list(history.changes(db, key=key)), story.bill.first_seen_at, _sha256s(db, key))
    kept = documents.fetches(db, DATASET, set(told.documents.values()))
    found = []
    for field in merge.RULES:
        value = [dict(stage) for stage in held.stages] if field == "stages" else held.facts[field]
        withheld = value is not None and states.get((str(key), field)) in ("open", "rejected")
        origin = _origin(field, read, told.since(field))
        if withheld:
            first = kept.get((str(key), told.documents.get(told.seq(field), "")))
            where = (first.sha256, first.url, first.fetched_at) if first else (None, None, None)
            origin = replace(origin, document=where[0], url=where[1], fetched_at=where[2])
        found.append(replace(origin, value=_plain(value), withheld=withheld))
    return tuple(found)


class _Told:
    """The history of a bill, by field. ``documents``: the sha256 that came with a change, by its sequence number."""

    def __init__(self, changes: Sequence[ChangeRecord], first_seen_at: datetime, sha256s: Mapping[int, str]) -> None:
        self.documents = sha256s
        self._first_seen_at = first_seen_at
        self._last: dict[str, ChangeRecord] = {}
        self._created = next((change.seq for change in changes if change.kind == "created"), 0)
        for change in changes:
            if change.field is not None:
                self._last[change.field.partition(".")[0]] = change

    def since(self, field: str) -> datetime:
        return self._last[field].observed_at if field in self._last else self._first_seen_at

    def seq(self, field: str) -> int:
        return self._last[field].seq if field in self._last else self._created


def _sha256s(db: Session, key: BillKey) -> dict[int, str]:
    query = select(BillChangeRow.seq, BillChangeRow.document).where(
        BillChangeRow.parliament == key.session.parliament,
        BillChangeRow.session == key.session.session,
        BillChangeRow.number == key.number,
        BillChangeRow.document.is_not(None),
    )
    return {seq: str(document) for seq, document in db.execute(query)}


def _origin(field: str, read: Standing | None, since: datetime) -> Origin:
    decides = merge.RULES[field].decides
    source = merge.origin(field, read.spine, read.companion) if read and read.spine else decides
    document = read.documents.get(source) if read else None
    sha256, url, fetched_at = (document.sha256, document.url, document.fetched_at) if document else (None, None, None)
    return Origin(field, None, source, source != decides, False, sha256, url, fetched_at, since)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [{name: answers.as_json(item) for name, item in stage.items()} for stage in value]
    return value


def not_held(key: BillKey) -> UsageError:
    return UsageError(f"the mirror does not hold {key}; to fetch its session: parlex backfill {key.session}")
