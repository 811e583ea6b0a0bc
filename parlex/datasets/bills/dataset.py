"""The dataset of bills: LEGISinfo decides what there is and what it says, OpenParliament adds what it alone knows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from parlex.datasets.bills import legisinfo, merge, openparliament, stages
from parlex.datasets.bills import rows as bill_rows
from parlex.datasets.bills.bill import Bill, LegisinfoBill, Listing, Milestones, OpenParliamentBill
from parlex.datasets.bills.legisinfo import Legisinfo, SessionList
from parlex.datasets.bills.openparliament import OpenParliament
from parlex.datasets.bills.rows import HeldBill
from parlex.datasets.due import ASK_AGAIN, failed_lately, looked_at_before, recheck_cutoff
from parlex.db.models import ListingRow, SweepRow
from parlex.errors import DocumentError, ParlexError, UnknownSession
from parlex.fetching.document import Document
from parlex.fetching.http import Tally
from parlex.mirror import documents, guards, history, listings, quarantine, sweeps
from parlex.mirror.documents import Fetched, Held
from parlex.mirror.guards import Thresholds, Trip
from parlex.mirror.history import Change
from parlex.mirror.listings import Line, Place
from parlex.mirror.quarantine import Parked
from parlex.parliament import BillKey, Outcome, SessionId
from parlex.runs.work import Context, Due, Plan, Saved, Survey
from parlex.settings import Settings

log = structlog.get_logger(__name__)

SPINE = "legisinfo"
COMPANION = "openparliament"
# OpenParliament's importer refuses older parliaments.
COMPANION_SINCE = 37

COMPANION_LIST_DUE = timedelta(days=1)

_DAYS = tuple(field.name for field in fields(Milestones))
_LIST_GUARDED = ("short_title_en", "short_title_fr", *_DAYS)
_DETAIL_GUARDED = (
    *_LIST_GUARDED,
    "sponsor_person_id",
    "sponsor_name",
    "sponsor_slug",
    "introduced_on",
    "statute_year",
    "statute_chapter",
    "text_url",
    "summary_en",
    "summary_fr",
    "reinstated_from",
    "reinstated_as",
)


class BillDataset:
    """See :class:`parlex.datasets.Dataset`."""

    name = "bills"
    source = f"{SPINE}+{COMPANION}"
    decides = frozenset((SPINE,))
    by_session = True

    def __init__(self, spine: Legisinfo, companion: OpenParliament, settings: Settings) -> None:
        self._spine = spine
        self._companion = companion
        self._thresholds = Thresholds(settings.guard_max_shrink, settings.guard_max_blanked, settings.guard_min_rows)
        limits = [rate for rate in (settings.legisinfo_rate, settings.openparliament_rate) if rate]
        self.requests_a_minute = min(limits, default=0.0)

    # Listing.

    def lists_due(self, db: Session, context: Context) -> frozenset[str]:
        scope = context.request.scope or sweeps.current_scope(db, self.name, SPINE)
        if scope is None:
            return frozenset((SPINE, COMPANION))
        last = sweeps.last_believed(db, self.name, COMPANION, scope)
        due = last is None or last.swept_at < context.now - COMPANION_LIST_DUE or last.reason is not None
        # What was wrong with the last one makes it no last word for a day.
        return frozenset((SPINE, COMPANION) if due else (SPINE,))

    def survey(self, due: frozenset[str], context: Context, tally: Tally) -> Survey:
        asked = SessionId.parse(context.request.scope) if context.request.scope else None
        with ThreadPoolExecutor(1) as beside:
            # Of a session that was named both lists are asked for at once; else the first one tells which it is.
            ask = copy_context().run
            early = beside.submit(ask, self._survey_companion, due, asked, context, tally) if asked else None
            document = self._spine.list_bills(asked, tally, background=context.background)
        session = asked or legisinfo.session_of(document)
        pages, errors = early.result() if early else self._survey_companion(due, session, context, tally)
        spine = Fetched(SPINE, "list", str(session or "current"), document)
        return Survey((spine, *(Fetched(COMPANION, "list", str(session), page) for page in pages)), errors)

    def _survey_companion(
        self, due: frozenset[str], session: SessionId | None, context: Context, tally: Tally
    ) -> tuple[Sequence[Document], dict[str, ParlexError]]:
        """The pages of the companion's list, where it is due. It may be away: the spine alone makes a good mirror."""
        if COMPANION not in due or session is None or session.parliament < COMPANION_SINCE:
            return (), {}
        try:
            return self._companion.list_bills(session, tally, background=context.background), {}
        except ParlexError as error:
            return (), {COMPANION: error}

    # Planning.

    def plan(self, db: Session, survey: Survey, context: Context) -> Plan:
        documents.keep_documents(db, survey.documents, dataset=self.name, run_id=context.run_id)
        look = self._look(db, survey, context)
        if look.trip is not None:
            return self._refuse(db, look, context)
        lines, parked = self._carry_blanked(look)
        parked += [_rejected_row(error, look) for error in look.listed.rejected]
        quarantine.park(db, parked, dataset=self.name, run_id=context.run_id, now=context.now)
        blanked = [item.field for item in parked if item.kind == "sweep" and item.field]
        rows, changes = self._keep_list(db, look, lines, blanked, context)
        errors = [item.reason for item in parked] + self._keep_companion_list(db, survey, look, context)
        due, not_due = self._due(db, look, rows, context)
        limit = len(due) if context.request.limit is None else context.request.limit
        history.append_changes(db, changes, now=context.now, run_id=context.run_id)
        return Plan(
            scope=look.scope,
            listed=len(lines),
            not_due=not_due,
            deferred=max(0, len(due) - limit),
            due=tuple(due[:limit]),
            errors=tuple(errors),
        )

    def _look(self, db: Session, survey: Survey, context: Context) -> _Look:
        """Read the spine's list and judge it as a whole."""
        document = next(found.document for found in survey.documents if found.source == SPINE)
        current = context.request.scope is None
        try:
            listed = legisinfo.parse_list(document)
        except DocumentError as error:
            scope = context.request.scope or sweeps.current_scope(db, self.name, SPINE)
            empty = SessionList(None, None, (), (), (), {})
            return _Look(
                scope, current, document, empty, {}, None, Trip("malformed", _what_is_wrong(error)), frozenset()
            )
        scope = context.request.scope or (str(listed.session) if listed.session else None)
        scope = scope or sweeps.current_scope(db, self.name, SPINE)
        if scope is None:
            # There always is a current session: a list that names none is a source that fails, not a wrong request.
            wrong = self._judge(listed, "", None, frozenset()) or Trip("empty", "the list is empty")
            return _Look(None, current, document, listed, {}, None, wrong, frozenset())
        held = listings.listings(db, self.name, SPINE, scope)
        last = sweeps.last_believed(db, self.name, SPINE, scope)
        if not listed.listings and not listed.rejected and last is None:
            raise UnknownSession(scope)
        waived = quarantine.waived_guards(db, self.name, SPINE, scope, last.swept_at if last else None)
        trip = self._judge(listed, scope, last, waived)
        return _Look(scope, current, document, listed, held, last, trip, waived)

    def _judge(
        self, listed: SessionList, scope: str, last: SweepRow | None, waived: frozenset[tuple[str, str | None]]
    ) -> Trip | None:
        if listed.session is not None and str(listed.session) != scope:
            return Trip("foreign", f"asked for {scope}, the list is of {listed.session}")
        return guards.check_list(
            listed=len(listed.listings),
            rejected=len(listed.rejected),
            held=last.listed if last else 0,
            thresholds=self._thresholds,
            waived=waived,
        )

    def _refuse(self, db: Session, look: _Look, context: Context) -> Plan:
        """Park the whole list. The mirror stays as the last good sweep left it."""
        assert look.trip is not None
        _alert(look.trip, SPINE, look.scope)
        parked = Parked(
            kind="sweep",
            guard=look.trip.guard,
            source=SPINE,
            reason=look.trip.reason,
            scope=look.scope,
            field=None,
            document=look.document.sha256,
            url=look.document.url,
        )
        quarantine.park(db, [parked], dataset=self.name, run_id=context.run_id, now=context.now)
        if look.scope is not None:
            db.add(self._sweep_row(look, context, believed=False))
        # Each row that cannot be read is named too, so that "unknown status" is not hidden behind "malformed".
        rows = [str(error) for error in look.listed.rejected]
        where = look.scope or "the current session"
        failure = f"{SPINE} list of {where} parked by guard {look.trip.guard}: {look.trip.reason}"
        return Plan(look.scope, len(look.listed.listings), 0, 0, (), tuple(rows), failure=failure)

    def _sweep_row(self, look: _Look, context: Context, *, believed: bool) -> SweepRow:
        return SweepRow(
            run_id=context.run_id,
            dataset=self.name,
            source=SPINE,
            scope=look.scope,
            swept_at=context.now,
            document=look.document.sha256,
            believed=believed,
            reason=None if believed or look.trip is None else f"{look.trip.guard}: {look.trip.reason}",
            is_current=look.current,
            # Rows that cannot be read are rows of the list all the same.
            listed=len(look.listed.listings) + len(look.listed.rejected),
            held=0,
            missing=[],
            extra=[],
            doubled=list(look.listed.doubled),
            quarantined=[],
            fill_rates=dict(look.listed.fill_rates),
        )

    def _carry_blanked(self, look: _Look) -> tuple[list[Line], list[Parked]]:
        """The lines to keep, with the last good values of the fields that went blank together."""
        lines = {str(listing.key): _line(listing) for listing in look.listed.listings}
        pairs = [(row.facts, lines[key].facts) for key, row in look.held.items() if key in lines]
        trips = [
            trip
            for trip in guards.blanked_fields(pairs, _LIST_GUARDED, self._thresholds)
            if (trip.guard, trip.field) not in look.waived
        ]
        for trip in trips:
            _alert(trip, SPINE, look.scope)
        for listing in look.listed.listings if trips else ():
            key = str(listing.key)
            lines[key] = _line(_carry(listing, look.held.get(key), trips))
        return list(lines.values()), [_blanked_sweep(trip, look) for trip in trips]

    def _keep_list(
        self, db: Session, look: _Look, lines: Sequence[Line], blanked: Sequence[str], context: Context
    ) -> tuple[Mapping[str, ListingRow], list[Change]]:
        """Keep the believed list. Its lines as they now stand, and the changes to append (who left, who came back)."""
        assert look.scope is not None
        session = SessionId.parse(look.scope)
        listed = {line.key for line in lines}
        gone = _gone(look, listed)
        where = Place(self.name, SPINE, look.scope)
        rows = listings.keep_list(db, where, lines, gone, look.held, now=context.now)
        db.add(self._sweep_row(look, context, believed=True))
        named = all(error.key for error in look.listed.rejected)
        quarantine.settle_list(
            db, where, readable=listed, all_named=named, withheld=blanked, current=look.current, now=context.now
        )
        withdrawn = {str(BillKey(session, number)) for number in bill_rows.bill_numbers(db, session, withdrawn=True)}
        left = bill_rows.withdraw_bills(db, [BillKey.parse(key) for key in gone], True, now=context.now)
        back = [BillKey.parse(key) for key in sorted(withdrawn & listed)]
        return rows, left + bill_rows.withdraw_bills(db, back, False, now=context.now)

    def _keep_companion_list(self, db: Session, survey: Survey, look: _Look, context: Context) -> list[str]:
        """Keep the companion's list where it came and is to be believed. The errors, in words."""
        errors = [str(error) for error in survey.errors.values()]
        pages = [found.document for found in survey.documents if found.source == COMPANION]
        if not pages or look.scope is None:
            return errors
        session = SessionId.parse(look.scope)
        try:
            read = openparliament.parse_list(pages, session)
        except DocumentError as error:
            return [*errors, str(error)]
        last = sweeps.last_believed(db, self.name, COMPANION, look.scope)
        waived = quarantine.waived_guards(db, self.name, COMPANION, look.scope, last.swept_at if last else None)
        trip = guards.check_list(
            listed=len(read.listings),
            rejected=len(read.rejected),
            held=last.listed if last else 0,
            thresholds=self._thresholds,
            waived=waived,
        )
        if trip is None and last is None and ("empty", None) not in waived:
            trip = _companion_is_empty(read, look, self._thresholds)
        errors += [str(error) for error in read.rejected]
        where = Place(self.name, COMPANION, look.scope)
        if trip is None:
            held = listings.listings(db, self.name, COMPANION, look.scope)
            lines = [_companion_line(listing) for listing in read.listings]
            present = {line.key for line in lines} | {error.key for error in read.rejected}
            # A row that does not say of which bill it is could be of any.
            missing = [key for key, row in held.items() if row.gone_at is None and key not in present]
            gone = [] if None in present else missing
            listings.save_listings(db, where, lines, held, now=context.now)
            listings.mark_gone(db, where, gone, now=context.now)
            quarantine.resolve_sweeps(db, self.name, COMPANION, look.scope, now=context.now)
        else:
            _alert(trip, COMPANION, look.scope)
            parked = Parked(
                "sweep",
                trip.guard,
                COMPANION,
                trip.reason,
                scope=look.scope,
                document=pages[0].sha256,
                url=pages[0].url,
            )
            quarantine.park(db, [parked], dataset=self.name, run_id=context.run_id, now=context.now)
            errors.append(f"{COMPANION} list of {look.scope} parked by guard {trip.guard}: {trip.reason}")
        db.add(
            SweepRow(
                run_id=context.run_id,
                dataset=self.name,
                source=COMPANION,
                scope=look.scope,
                swept_at=context.now,
                document=pages[0].sha256,
                # With rows that cannot be read it does not tell which bills it lacks, and is asked for again soon.
                believed=trip is None and not read.rejected,
                reason=f"{trip.guard}: {trip.reason}" if trip else self._what_it_lacks(read, look),
                is_current=False,
                listed=len(read.listings),
                held=0,
                missing=[],
                extra=[],
                doubled=list(read.doubled),
                quarantined=[],
                fill_rates={},
            )
        )
        return errors

    def _what_it_lacks(self, read: openparliament.CompanionList, look: _Look) -> str | None:
        """Why the companion's list is not good for a day, though nothing in it is wrong.

        The two sources have the same bills but for a handful a session, or what the companion is late with.
        """
        if read.rejected:
            return f"{len(read.rejected)} of its rows cannot be read"
        spine = len(look.listed.listings)
        short = guards.check_list(listed=len(read.listings), rejected=0, held=spine, thresholds=self._thresholds)
        return f"it lists {len(read.listings)}, {SPINE} {spine}" if short else None

    def _due(
        self, db: Session, look: _Look, listed: Mapping[str, ListingRow], context: Context
    ) -> tuple[list[Due], int]:
        """The keys to fetch, most urgent first, and how many of the list are not due."""
        assert look.scope is not None
        db.flush()
        rows = [row for row in listed.values() if row.gone_at is None]
        held = documents.held(db, self.name, [row.key for row in rows])
        shown = _Shown.read(db, self.name, look.scope)
        changed, owed, old = [], [], []
        for row in rows:
            spine, companion = held.get((row.key, SPINE)), held.get((row.key, COMPANION))
            if row.fingerprint != row.fetched_fingerprint:
                if context.by_hand or not failed_lately(row, context.now):
                    wants = (SPINE, COMPANION) if shown.may_have(row) else (SPINE,)
                    changed.append((row, wants))
            elif looked_at_before(spine, recheck_cutoff(context)):
                old.append((row, (SPINE, COMPANION) if shown.may_have(row) else (SPINE,)))
            elif shown.may_have(row) and _owes(companion, context):
                owed.append((row, (COMPANION,)))
        changed.sort(key=lambda item: _by_activity(item[0]))
        old.sort(key=lambda item: (held[item[0].key, SPINE].checked_at, BillKey.parse(item[0].key)))
        owed.sort(key=lambda item: _by_activity(item[0]))
        due = [Due(row.key, wants, row.fingerprint) for row, wants in (*changed, *owed, *old)]
        return due, len(rows) - len(due)

    # Fetching.

    def ask(self, key: str, source: str, held: Held | None, context: Context, tally: Tally) -> Document | None:
        site = self._spine if source == SPINE else self._companion
        return site.fetch_bill(
            BillKey.parse(key),
            tally,
            etag=held.etag if held else None,
            last_modified=held.last_modified if held else None,
            background=context.background,
        )

    # Saving.

    def save(
        self,
        db: Session,
        keys: Mapping[str, str | None],
        offered: Mapping[tuple[str, str], Document],
        context: Context,
    ) -> Sequence[Saved]:
        history.lock_keys(db, self.name, keys)
        reading = self._read(db, keys, offered)
        held = bill_rows.held_bills(db, [bill.key for bill in reading.spines.values()])
        merged = {key: merge.merge(spine, reading.companions.get(key)) for key, spine in reading.spines.items()}
        merged, parked = self._withhold_blanks(db, merged, held, reading, context)
        result = _compare(merged, held, reading)
        bill_rows.save_bills(db, result.to_save, held, now=context.now)
        self._mark(db, keys, reading, offered, context)
        quarantine.park(db, [*parked, *reading.parked], dataset=self.name, run_id=context.run_id, now=context.now)
        history.append_changes(db, result.changes, now=context.now, run_id=context.run_id)
        errors = reading.errors | {item.key: item.reason for item in parked if item.key}
        return [_saved(key, result.outcomes.get(key), errors.get(key), reading) for key in keys]

    def _read(self, db: Session, keys: Iterable[str], offered: Mapping[tuple[str, str], Document]) -> _Reading:
        """Parse what was offered for each key, and what stands for the sources that offered nothing good."""
        reading = _Reading()
        for (key, source), document in offered.items():
            reading.take(key, source, document)
        touched = {key for key, _ in offered} - reading.refused
        lacking = [key for key in touched if key not in reading.spines or key not in reading.companions]
        standing = documents.standing_documents(db, self.name, lacking)
        for (key, source), document in standing.items():
            reading.fill(key, source, document)
        return reading

    def _withhold_blanks(
        self,
        db: Session,
        merged: Mapping[str, Bill],
        held: Mapping[BillKey, HeldBill],
        reading: _Reading,
        context: Context,
    ) -> tuple[dict[str, Bill], list[Parked]]:
        """Keep held values of fields that went blank together, and of those that still wait for a person's word."""
        facts = {key: bill_rows.bill_facts(bill) for key, bill in merged.items()}
        pairs = [(held[bill.key].facts, facts[key]) for key, bill in merged.items() if bill.key in held]
        trips = guards.blanked_fields(pairs, _DETAIL_GUARDED, self._thresholds)
        for trip in trips:
            _alert(trip, merge.RULES[str(trip.field)].decides, context.request.scope)
        tripped = {trip.field for trip in trips}
        states = quarantine.withheld_fields(db, self.name, merged)
        kept: dict[str, Bill] = {}
        parked: list[Parked] = []
        for key, bill in merged.items():
            before = held.get(bill.key)
            blank = _blank_now(before, facts[key], tripped, states, key) if before else []
            values = {field: before.facts[field] for field in blank} if before else {}
            kept[key] = replace(bill, **values) if values else bill
            # What a person rejected is settled; it is no error of this run.
            news = [field for field in blank if states.get((key, field)) != "rejected"]
            parked += [_blanked_field(key, field, values[field], reading) for field in news]
        filled = [(key, field) for key, field in states if facts[key].get(field) is not None]
        quarantine.resolve_fields(db, self.name, filled, now=context.now)
        return kept, parked

    def _mark(
        self,
        db: Session,
        keys: Mapping[str, str | None],
        reading: _Reading,
        offered: Mapping[tuple[str, str], Document],
        context: Context,
    ) -> None:
        """Note which documents stand now, and for which listing each bill was fetched."""
        good: dict[tuple[str, str], Document | None] = {pair: reading.documents[pair] for pair in reading.fresh}
        documents.mark_checked(db, self.name, good, context.now)
        fresh = [key for key, source in reading.fresh if source == SPINE]
        lagging = self._lagging(db, {key: reading.spines[key] for key in fresh})
        listings.mark_fetched(db, self.name, SPINE, {key: keys[key] for key in fresh if key not in lagging})
        listings.mark_unfetched(db, self.name, SPINE, {*lagging, *reading.refused}, now=context.now)
        for source in (SPINE, COMPANION):
            mended = [key for key, name in reading.fresh if name == source]
            quarantine.resolve(db, self.name, "document", source, keys=mended, now=context.now)

    def _lagging(self, db: Session, spines: Mapping[str, LegisinfoBill]) -> set[str]:
        """Keys whose detail does not yet say what the list says: they are to be asked again, not taken for done."""
        query = select(ListingRow.key, ListingRow.facts).where(
            ListingRow.dataset == self.name, ListingRow.source == SPINE, ListingRow.key.in_(list(spines))
        )
        return {key for key, facts in db.execute(query) if _facts_that_move(facts) != _detail_facts(spines[key])}

    def failed(self, db: Session, keys: Mapping[str, str | None], context: Context) -> None:
        listings.mark_unfetched(db, self.name, SPINE, keys, now=context.now)

    def complete(self, db: Session, context: Context) -> None:
        def held(scope: str) -> set[str]:
            session = SessionId.parse(scope)
            return {str(BillKey(session, number)) for number in bill_rows.bill_numbers(db, session, withdrawn=False)}

        sweeps.finish_sweeps(db, self.name, context.run_id, held, BillKey.parse)


@dataclass(frozen=True)
class _Look:
    """The spine's list, read and judged. ``held``: its lines as last believed."""

    scope: str | None
    current: bool
    document: Document
    listed: SessionList
    held: Mapping[str, ListingRow]
    last: SweepRow | None
    trip: Trip | None
    waived: frozenset[tuple[str, str | None]]


@dataclass(frozen=True)
class _Shown:
    """What the companion's list of a session shows; ``swept_at`` is None where it was never had."""

    session: SessionId
    swept_at: datetime | None
    keys: Set[str]

    @classmethod
    def read(cls, db: Session, dataset: str, scope: str) -> _Shown:
        last = sweeps.last_believed(db, dataset, COMPANION, scope)
        keys = listings.listed_keys(db, dataset, COMPANION, scope) if last else set()
        return cls(SessionId.parse(scope), last.swept_at if last else None, keys)

    def may_have(self, row: ListingRow) -> bool:
        """Whether asking for the bill makes sense: it is shown, or it is newer than our look at the list."""
        if self.session.parliament < COMPANION_SINCE:
            return False
        return self.swept_at is None or row.key in self.keys or row.first_seen_at > self.swept_at


class _Reading:
    """Documents parsed for one chunk: bills by key, where each came from, and what could not be read."""

    def __init__(self) -> None:
        self.spines: dict[str, LegisinfoBill] = {}
        self.companions: dict[str, OpenParliamentBill] = {}
        self.documents: dict[tuple[str, str], Document] = {}
        self.fresh: set[tuple[str, str]] = set()
        self.refused: set[str] = set()  # keys whose new spine document is malformed
        self.errors: dict[str, str] = {}
        self.parked: list[Parked] = []

    def take(self, key: str, source: str, document: Document) -> None:
        """A document that was just fetched."""
        try:
            self._parse(key, source, document)
        except DocumentError as error:
            self.errors[key] = str(error)
            self.parked.append(_malformed(key, source, document, error))
            if source == SPINE:
                self.refused.add(key)
        else:
            self.fresh.add((key, source))

    def fill(self, key: str, source: str, document: Document) -> None:
        """The document that stands, for a source that offered nothing good. It was good when it was kept."""
        if (key, source) in self.documents:
            return
        try:
            self._parse(key, source, document)
        except DocumentError as error:
            # Today's code is stricter than the code that kept it.
            self.errors.setdefault(key, str(error))

    def _parse(self, key: str, source: str, document: Document) -> None:
        if source == SPINE:
            self.spines[key] = legisinfo.parse_bill(document, BillKey.parse(key))
        else:
            self.companions[key] = openparliament.parse_bill(document, BillKey.parse(key))
        self.documents[key, source] = document


@dataclass(frozen=True)
class _Comparison:
    outcomes: dict[str, Outcome]
    to_save: list[tuple[Bill, tuple[str, ...]]]
    changes: list[Change]


def _compare(merged: Mapping[str, Bill], held: Mapping[BillKey, HeldBill], reading: _Reading) -> _Comparison:
    comparison = _Comparison({}, [], [])
    for key, bill in merged.items():
        if key in reading.refused:
            continue
        flags, before = stages.flags(bill), held.get(bill.key)
        changes = [Change(bill.key, "created", source=SPINE, document=_sha256(reading, key, SPINE))]
        if before is not None:
            changes = [_change(bill, reading, key, *difference) for difference in bill_rows.diff_bill(bill, before)]
        if changes or (before is not None and before.flags != flags):
            comparison.to_save.append((bill, flags))
        comparison.changes.extend(changes)
        comparison.outcomes[key] = _outcome(before, changes)
    return comparison


def _outcome(before: HeldBill | None, changes: Sequence[Change]) -> Outcome:
    if before is None:
        return Outcome.CREATED
    return Outcome.UPDATED if changes else Outcome.UNCHANGED


def _change(bill: Bill, reading: _Reading, key: str, field: str, old: Any, new: Any) -> Change:
    source = merge.RULES[field.partition(".")[0]].decides
    return Change(bill.key, "changed", field, old, new, source, _sha256(reading, key, source))


def _sha256(reading: _Reading, key: str, source: str) -> str | None:
    document = reading.documents.get((key, source))
    return document.sha256 if document else None


def _saved(key: str, outcome: Outcome | None, error: str | None, reading: _Reading) -> Saved:
    if key in reading.refused:
        return Saved(key, Outcome.FAILED, error)
    # A key without an outcome was answered without a document: the companion does not show it yet.
    return Saved(key, outcome or Outcome.UNCHANGED, error)


def _gone(look: _Look, listed: set[str]) -> list[str]:
    """Keys that left the list. A row that cannot be read is not gone; one whose key cannot be read could be any."""
    unreadable = {error.key for error in look.listed.rejected}
    if None in unreadable:
        return []
    return [key for key, row in look.held.items() if row.gone_at is None and key not in listed | unreadable]


def _listing_facts(listing: Listing) -> dict[str, Any]:
    days = {name: history.json_value(getattr(listing.milestones, name)) for name in _DAYS}
    return {
        "legisinfo_id": listing.legisinfo_id,
        "title_en": listing.title_en,
        "title_fr": listing.title_fr,
        "short_title_en": listing.short_title_en,
        "short_title_fr": listing.short_title_fr,
        "status_code": str(listing.status_code),
        "bill_type": str(listing.bill_type),
        **days,
    }


def _facts_that_move(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts.get(name) for name in ("status_code", *_DAYS)}


def _detail_facts(bill: LegisinfoBill) -> dict[str, Any]:
    days = {name: history.json_value(getattr(bill.milestones, name)) for name in _DAYS}
    return {"status_code": str(bill.status_code), **days}


def _line(listing: Listing) -> Line:
    return Line(str(listing.key), listing.fingerprint, listing.activity_on, _listing_facts(listing))


def _companion_line(listing: openparliament.CompanionListing) -> Line:
    facts = {
        "legisinfo_id": listing.legisinfo_id,
        "introduced_on": history.json_value(listing.introduced_on),
        "title_en": listing.title_en,
        "title_fr": listing.title_fr,
    }
    digest = hashlib.sha256("\x1f".join(str(value) for value in facts.values()).encode()).hexdigest()
    return Line(str(listing.key), digest[:32], listing.introduced_on, facts)


def _companion_is_empty(read: openparliament.CompanionList, look: _Look, thresholds: Thresholds) -> Trip | None:
    """The companion shows a bill later than the spine does, but not a session's bills all together."""
    listed = len(look.listed.listings)
    if read.listings or read.rejected or listed < thresholds.min_rows:
        return None
    return Trip("empty", f"the list is empty, {SPINE} lists {listed}")


def _alert(trip: Trip, source: str, scope: str | None) -> None:
    """Speak up: a guard that trips is for a person to look at, and the run's errors say the same."""
    log.error("alert guard", guard=trip.guard, source=source, scope=scope, field=trip.field, reason=trip.reason)


def _what_is_wrong(error: DocumentError) -> str:
    return f"{error.field} {error.reason}" if error.field else error.reason


def _carry(listing: Listing, held: ListingRow | None, trips: Sequence[Trip]) -> Listing:
    """The listing with its held values in the fields that tripped."""
    if held is None:
        return listing
    days: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    for field in (trip.field for trip in trips if trip.field):
        if field in _DAYS and getattr(listing.milestones, field) is None and held.facts.get(field):
            days[field] = datetime.fromisoformat(held.facts[field]).date()
        elif field not in _DAYS and getattr(listing, field) is None:
            texts[field] = held.facts.get(field)
    return replace(listing, milestones=replace(listing.milestones, **days), **texts)


def _blanked_sweep(trip: Trip, look: _Look) -> Parked:
    return Parked(
        kind="sweep",
        guard=trip.guard,
        source=SPINE,
        reason=f"{SPINE} list of {look.scope} parked by guard {trip.guard}: {trip.reason}",
        scope=look.scope,
        field=trip.field,
        document=look.document.sha256,
        url=look.document.url,
    )


def _rejected_row(error: DocumentError, look: _Look) -> Parked:
    return Parked(
        kind="row",
        guard="unreadable",
        source=SPINE,
        reason=str(error),
        scope=look.scope,
        key=error.key,
        field=error.field,
        document=look.document.sha256,
        url=look.document.url,
    )


def _malformed(key: str, source: str, document: Document, error: DocumentError) -> Parked:
    return Parked(
        kind="document",
        guard="unreadable",
        source=source,
        reason=str(error),
        scope=key.partition(" ")[0],
        key=key,
        field=error.field,
        document=document.sha256,
        url=document.url,
    )


def _blanked_field(key: str, field: str, value: Any, reading: _Reading) -> Parked:
    source = merge.RULES[field].decides
    document = reading.documents.get((key, source))
    return Parked(
        kind="field",
        guard="blanked",
        source=source,
        reason=f"{source} {key} {field}: went blank together with other bills'; the last good value is kept",
        scope=key.partition(" ")[0],
        key=key,
        field=field,
        held=history.json_value(value),
        document=document.sha256 if document else None,
        url=document.url if document else None,
    )


def _blank_now(
    before: HeldBill,
    facts: Mapping[str, Any],
    tripped: set[str | None],
    states: Mapping[tuple[str, str], str],
    key: str,
) -> list[str]:
    """The fields of one bill whose blank is not to be believed."""
    blank = [field for field in _DETAIL_GUARDED if before.facts[field] is not None and facts[field] is None]
    return [
        field
        for field in blank
        if states.get((key, field), "open" if field in tripped else None) in ("open", "rejected")
    ]


def _by_activity(row: ListingRow) -> tuple[bool, int, BillKey]:
    """Newest activity first, none last, then the number."""
    day = row.activity_on
    return day is None, -day.toordinal() if day else 0, BillKey.parse(row.key)


def _owes(companion: Held | None, context: Context) -> bool:
    """Whether the companion still owes the bill, and is to be asked again."""
    if companion is None:
        return True
    if companion.failed_at is not None:
        return context.by_hand or companion.failed_at < context.now - ASK_AGAIN
    return companion.sha256 is None and companion.checked_at < context.now - ASK_AGAIN
