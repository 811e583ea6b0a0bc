"""How the bills are served: see :mod:`parlex.datasets.served`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from sqlalchemy import Integer, Text, and_, any_, cast, collate, func, literal, literal_column, or_, select

from parlex.datasets.bills import contradictions, disagreements, lineage, past
from parlex.datasets.bills.bill import UNKNOWN, BillType, StatusCode
from parlex.datasets.bills.events import PARTS, EventKind, Part
from parlex.datasets.bills.reads import BillRecord, SittingRecord, StageRecord
from parlex.datasets.bills.words import UNKNOWN_TYPE
from parlex.datasets.politicians.reads import PoliticianRecord, sponsors
from parlex.datasets.served import (
    Collection,
    Expression,
    Filter,
    Include,
    Searched,
    Served,
    Sort,
    Survey,
    Told,
    Words,
    answers,
    by_day,
    contains,
    instant,
    many,
    nested,
    one,
    session_filter,
    withdrawn_filter,
)
from parlex.datasets.votes.reads import VoteRecord
from parlex.db.models import (
    BillEventRow,
    BillPublicationRow,
    BillRow,
    BillStageRow,
    ChangeRow,
    PoliticianMembershipRow,
    PoliticianRow,
    SittingRow,
    VoteRow,
)
from parlex.parliament import BillKey, Chamber, SessionId

_NUMBER = (func.left(BillRow.number, 1), cast(func.substring(BillRow.number, r"\d+"), Integer), BillRow.number)
_IN_ORDER = (BillRow.parliament, BillRow.session, *_NUMBER)
_ACTIVITY = func.greatest(
    BillRow.house_first_reading_on,
    BillRow.house_second_reading_on,
    BillRow.house_third_reading_on,
    BillRow.senate_first_reading_on,
    BillRow.senate_second_reading_on,
    BillRow.senate_third_reading_on,
    BillRow.royal_assent_on,
)
_VOTES_IN_ORDER = (VoteRow.parliament, VoteRow.session, VoteRow.number)
_LAST_SEQ = (
    select(func.coalesce(func.max(ChangeRow.seq), 0))
    .where(ChangeRow.dataset == "bills", ChangeRow.key == BillRow.key)
    .scalar_subquery()
)


def key(parts: Mapping[str, str]) -> str:
    return str(BillKey.parse(f"{parts['session']} {parts['number'].upper()}"))


_IDENTITY = BillRow.key.expression
_OF_BILL = (
    VoteRow.bill_parliament == BillRow.parliament,
    VoteRow.bill_session == BillRow.session,
    VoteRow.bill_number == BillRow.number,
)
_DIVISIONS = Collection(
    name="votes",
    help="The divisions of the House on the bill, newest first.",
    dataset="votes",
    record=VoteRecord,
    source=VoteRow.__table__,
    fields=answers(VoteRecord, VoteRow, date=VoteRow.held_on),
    sorts={"date": Sort((by_day(VoteRow.held_on), *_VOTES_IN_ORDER), descending=True)},
    parent=lambda value: (
        cast(VoteRow.bill_parliament, Text) + "-" + cast(VoteRow.bill_session, Text) + " " + VoteRow.bill_number
        == value
    ),
)
_STAGES = Include(
    column=many(
        nested(answers(StageRecord, BillStageRow), BillStageRow, BillStageRow.key == BillRow.key, of=BillRow).order_by(
            BillStageRow.position
        )
    ),
    type=list[StageRecord],
    help="the stages, in the source's order",
)
_PART_HELP = {
    "events": "What happened to the bill, in order: sittings, readings, decisions, meetings, messages, rulings.",
    "publications": "The printed versions of the bill, and where their texts are.",
    "links": "What LEGISinfo refers to on the web, as a costing note.",
    "similar": "The keys of the bills that LEGISinfo calls similar; not all may be held.",
}
_FIRST: dict[str, Expression] = {
    "events": by_day(BillEventRow.day),
    "publications": BillPublicationRow.publication_id.expression,
}


def _order(name: str, part: Part) -> tuple[Expression, ...]:
    """That of ``events.in_order``."""
    entry = collate(part.table.entry, "C")  # type: ignore[attr-defined]
    return (_FIRST[name], entry) if name in _FIRST else (entry,)


def _days(column: Expression) -> dict[str, Filter]:
    return {
        "from": Filter(type=date, help="on that day or later", where=lambda value: column >= value),
        "to": Filter(type=date, help="on that day or earlier", where=lambda value: column <= value),
    }


def _of_chamber(column: Expression) -> Filter:
    return Filter(help="the chamber", where=lambda value: column == value, choices=tuple(Chamber))


_PART_FILTERS = {
    "events": {
        "kind": Filter(
            help="what kind of thing", where=lambda value: BillEventRow.kind == value, choices=tuple(EventKind)
        ),
        "chamber": _of_chamber(BillEventRow.chamber),
        **_days(BillEventRow.day),
    },
}


def _below(name: str, part: Part) -> Collection:
    return Collection(
        name=name,
        help=_PART_HELP[name],
        dataset="bills",
        record=part.of,
        source=part.table.__table__,
        fields=answers(part.of, part.table),
        sorts={"day" if name == "events" else "name": Sort(_order(name, part))},
        filters=_PART_FILTERS.get(name, {}),
        parent=lambda value: part.key == value,
    )


def _included(name: str, part: Part) -> Include:
    rows = nested(answers(part.of, part.table), part.table, part.key == BillRow.key, of=BillRow)
    return Include(
        column=many(rows.order_by(*_order(name, part))),
        type=list[part.of],  # type: ignore[name-defined]
        help=f"{_PART_HELP[name][0].lower()}{_PART_HELP[name][1:-1]}",
    )


_PARTS = {name: _included(name, part) for name, part in PARTS.items()}
_SITTINGS = Collection(
    name="sittings",
    help="The days on which each chamber sat, as the bills and the divisions tell, newest first.",
    dataset="bills",
    record=SittingRecord,
    source=SittingRow.__table__,
    fields=answers(SittingRecord, SittingRow),
    sorts={"day": Sort((by_day(SittingRow.day), SittingRow.chamber, func.coalesce(SittingRow.number, "")), True)},
    filters={
        "session": session_filter(SittingRow),
        "chamber": _of_chamber(SittingRow.chamber),
        **_days(SittingRow.day),
    },
    scope="session",
    covers=("votes",),
)
# The slug is the bill's own word; a number may be shared by a row that was withdrawn since.
_SPONSOR_FIRST = ((PoliticianRow.slug == BillRow.sponsor_slug).desc().nulls_last(), PoliticianRow.slug)
_SPONSOR = Include(
    column=one(
        nested(answers(PoliticianRecord, PoliticianRow), PoliticianRow, sponsors(), of=BillRow).order_by(
            *_SPONSOR_FIRST
        )
    ),
    key=select(PoliticianRow.slug)
    .where(sponsors())
    .order_by(*_SPONSOR_FIRST)
    .limit(1)
    .correlate(BillRow.__table__)
    .scalar_subquery(),
    type=PoliticianRecord | None,
    help="the politician who sponsors it",
    covers=("politicians",),
)
_PARTY = Include(
    column=select(PoliticianMembershipRow.party)
    .join(PoliticianRow, PoliticianRow.slug == PoliticianMembershipRow.slug)
    .where(sponsors(), PoliticianMembershipRow.start_on <= func.coalesce(BillRow.introduced_on, BillRow.first_seen_at))
    .order_by(*_SPONSOR_FIRST, PoliticianMembershipRow.start_on.desc())
    .limit(1)
    .correlate(BillRow.__table__)
    .scalar_subquery(),
    type=str | None,
    help="the sponsor's party when it was introduced; a senator has none",
    covers=("politicians",),
)
_VOTES = Include(
    column=many(
        nested(_DIVISIONS.fields, VoteRow, *_OF_BILL, of=BillRow).order_by(
            VoteRow.held_on.desc(), *(column.desc() for column in _VOTES_IN_ORDER)
        )
    ),
    type=list[VoteRecord],
    help="the divisions of the House on it, newest first",
    covers=("votes",),
)
_SEARCHED = Searched(
    vectors={
        "en": (literal_column("bills.words_en"), "english"),
        "fr": (literal_column("bills.words_fr"), "french"),
    },
    titles={"en": BillRow.title_en, "fr": BillRow.title_fr},
)
_SUMMARY = {
    name: Include(column=getattr(BillRow, name), type=str | None, help="the summary, as HTML")
    for name in ("summary_en", "summary_fr")
}
_NOTES = {
    name: Include(column=getattr(BillRow, name), type=str | None, help="notes, as a royal recommendation, as HTML")
    for name in ("notes_en", "notes_fr")
}


def _as_it_stands(column: Any) -> Expression:
    return column  # type: ignore[no-any-return]


def _has_status(value: Any, of: Callable[[Any], Expression] = _as_it_stands) -> Expression:
    return of(BillRow.status_code) == any_(value)


def _has_sponsor(value: Any, of: Callable[[Any], Expression] = _as_it_stands) -> Expression:
    return or_(of(BillRow.sponsor_slug) == value, contains(of(BillRow.sponsor_name))(value))


SERVED = Served(
    one="bill",
    called=Words("bills", "projets de loi"),
    list=Collection(
        name="bills",
        help="The bills that are held. What has left its source's list is there with `withdrawn: true`.",
        dataset="bills",
        record=BillRecord,
        source=BillRow.__table__,
        fields=answers(BillRecord, BillRow),
        sorts={
            "number": Sort(_IN_ORDER),
            "introduced": Sort((by_day(BillRow.introduced_on), *_IN_ORDER)),
            "activity": Sort((by_day(_ACTIVITY), *_IN_ORDER)),
            "changed": Sort((instant(BillRow.last_changed_at), *_IN_ORDER)),
        },
        filters={
            "session": session_filter(BillRow),
            "status": Filter(
                help="the status, like HouseInCommittee",
                where=_has_status,
                then=_has_status,
                several=True,
                choices=(*StatusCode, UNKNOWN),
            ),
            "type": Filter(
                help="the kind of bill; unknown for those that nobody has named",
                where=lambda value: or_(
                    BillRow.bill_type == value,
                    and_(value == UNKNOWN, literal(UNKNOWN_TYPE) == any_(BillRow.flags)),
                ),
                choices=(*BillType, UNKNOWN),
            ),
            "chamber": Filter(
                help="where it began", where=lambda value: BillRow.chamber == value, choices=tuple(Chamber)
            ),
            "sponsor": Filter(
                help="the sponsor's slug, or a part of the name",
                where=_has_sponsor,
                then=_has_sponsor,
            ),
            "party": Filter(
                help="the sponsor's party when it was introduced",
                where=lambda value: _PARTY.column == value,
                example="Liberal",
                covers=_PARTY.covers,
            ),
            "number": Filter(
                help="the number, like C-2",
                where=lambda value: BillRow.number == any_(value),
                several=True,
                pattern=r"^[CS]-[1-9]\d{0,4}[A-Z]?$",
            ),
            "introduced_from": Filter(
                type=date, help="introduced on that day or later", where=lambda value: BillRow.introduced_on >= value
            ),
            "introduced_to": Filter(
                type=date, help="introduced on that day or earlier", where=lambda value: BillRow.introduced_on <= value
            ),
            "changed_after": Filter(
                type=int, help="with a line in /changes after that number", where=lambda value: value < _LAST_SEQ
            ),
            "withdrawn": withdrawn_filter(BillRow),
            **_SEARCHED.filters(),
        },
        includes={
            "stages": _STAGES,
            "sponsor": _SPONSOR,
            "party": _PARTY,
            "votes": _VOTES,
            **_SUMMARY,
            **_PARTS,
        },
        scope="session",
    ),
    path="{session}/{number}",
    key=key,
    example={"session": "45-1", "number": "C-2"},
    identity=_IDENTITY,
    detail={
        "text_url": Include(column=BillRow.text_url, type=str | None, help="where its text is"),
        **_SUMMARY,
        "flags": Include(column=BillRow.flags, type=list[str], help="the rules of our own that it breaks"),
        "stages": _STAGES,
        **_NOTES,
        **_PARTS,
    },
    below=(_DIVISIONS, *(_below(name, part) for name, part in PARTS.items())),
    beside=(_SITTINGS,),
    told={
        "lineage": Told(
            help="Its whole life over prorogations.",
            type=lineage.Lineage,
            read=lambda db, text: lineage.lineage(db, BillKey.parse(text)),
        )
    },
    past=lambda db, text, moment: past.as_of(db, BillKey.parse(text), moment),
    searched=_SEARCHED,
    surveys={
        "disagreements": Survey(
            help="Where the two sources differ, with both values, or one contradicts itself.",
            record=contradictions.Disagreement,
            read=lambda db, dataset, scope: disagreements.disagreements(db, dataset, SessionId.parse(scope)),
        )
    },
)
