"""How the divisions are served: see :mod:`parlex.datasets.served`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import date
from typing import Any

from sqlalchemy import Integer, SmallInteger, Text, and_, cast, func, literal_column, select

from parlex.datasets.bills.reads import BillRecord
from parlex.datasets.politicians.reads import PoliticianRecord
from parlex.datasets.served import (
    Collection,
    Expression,
    Filter,
    Include,
    Searched,
    Served,
    Sort,
    Words,
    answers,
    by_day,
    nested,
    one,
    session_filter,
    withdrawn_filter,
)
from parlex.datasets.votes.reads import BallotRecord, PartyRecord, VoteRecord
from parlex.datasets.votes.vote import Choice, Result, VoteKey
from parlex.db.models import BallotRow, BillRow, PoliticianMembershipRow, PoliticianRow, VotePartyRow, VoteRow

_IN_ORDER = (VoteRow.parliament, VoteRow.session, VoteRow.number)
_MEMBERSHIP = PoliticianMembershipRow


def key(parts: Mapping[str, str]) -> str:
    return str(VoteKey.parse(f"{parts['session']} {parts['number']}"))


def _of(table: Any) -> Callable[[Any], Expression]:
    """The rows of one division, by the parts of its key: ballots have no column of the whole."""

    def where(value: Any) -> Expression:
        session = func.split_part(value, " ", 1)
        return and_(
            table.parliament == cast(func.split_part(session, "-", 1), SmallInteger),
            table.session == cast(func.split_part(session, "-", 2), SmallInteger),
            table.number == cast(func.split_part(value, " ", 2), Integer),
        )

    return where


_AT_THE_TIME = and_(_MEMBERSHIP.slug == BallotRow.slug, _MEMBERSHIP.id == BallotRow.membership_id)
_BALLOTS = Collection(
    name="ballots",
    help="Each member's ballot, with the party and riding at the time, by family name.",
    dataset="votes",
    record=BallotRecord,
    source=BallotRow.__table__.outerjoin(PoliticianRow.__table__, PoliticianRow.slug == BallotRow.slug).outerjoin(
        _MEMBERSHIP.__table__, _AT_THE_TIME
    ),
    fields={
        "politician_slug": BallotRow.slug,
        "politician_name": PoliticianRow.name,
        "party": _MEMBERSHIP.party,
        "riding": _MEMBERSHIP.riding,
        "ballot": BallotRow.choice,
    },
    sorts={"name": Sort((func.coalesce(PoliticianRow.family_name, "~"), BallotRow.slug))},
    filters={
        "ballot": Filter(
            help="what the member did", where=lambda value: BallotRow.choice == value, choices=tuple(Choice)
        ),
        "party": Filter(help="the party at the time", where=lambda value: _MEMBERSHIP.party == value),
    },
    includes={
        "politician": Include(
            column=one(
                nested(
                    answers(PoliticianRecord, PoliticianRow),
                    PoliticianRow,
                    PoliticianRow.slug == BallotRow.slug,
                    of=BallotRow,
                )
            ),
            type=PoliticianRecord | None,
            help="whose ballot it is",
            key=BallotRow.slug.expression,
        )
    },
    covers=("politicians",),
    parent=_of(BallotRow),
)


def _counted(choice: Choice) -> Expression:
    return func.count().filter(BallotRow.choice == choice)


_PER_PARTY = (
    select(
        BallotRow.parliament,
        BallotRow.session,
        BallotRow.number,
        _MEMBERSHIP.party.label("party"),
        _counted(Choice.YES).label("yes"),
        _counted(Choice.NO).label("no"),
        _counted(Choice.PAIRED).label("paired"),
        _counted(Choice.ABSENT).label("absent"),
        func.max(VotePartyRow.position).label("position"),
        func.max(VotePartyRow.disagreement).label("disagreement"),
        func.count().label("members"),
    )
    .select_from(BallotRow)
    .outerjoin(_MEMBERSHIP, _AT_THE_TIME)
    .outerjoin(
        VotePartyRow,
        and_(
            VotePartyRow.parliament == BallotRow.parliament,
            VotePartyRow.session == BallotRow.session,
            VotePartyRow.number == BallotRow.number,
            VotePartyRow.party == _MEMBERSHIP.party,
        ),
    )
    .group_by(BallotRow.parliament, BallotRow.session, BallotRow.number, _MEMBERSHIP.party)
    .subquery("by_party")
)
_PARTIES = Collection(
    name="parties",
    help="How the parties voted, the largest first.",
    dataset="votes",
    record=PartyRecord,
    source=_PER_PARTY,
    fields={field.name: _PER_PARTY.c[field.name] for field in fields(PartyRecord)},
    sorts={"members": Sort((-_PER_PARTY.c.members, func.coalesce(_PER_PARTY.c.party, "~")))},
    covers=("politicians",),
    parent=_of(_PER_PARTY.c),
)

_SEARCHED = Searched(
    vectors={
        "en": (literal_column("votes.words_en"), "english"),
        "fr": (literal_column("votes.words_fr"), "french"),
    },
    titles={"en": VoteRow.description_en, "fr": VoteRow.description_fr},
)

_BILL_KEY = cast(VoteRow.bill_parliament, Text) + "-" + cast(VoteRow.bill_session, Text) + " " + VoteRow.bill_number
_BILL = Include(
    column=one(nested(answers(BillRecord, BillRow), BillRow, BillRow.key == _BILL_KEY, of=VoteRow)),
    type=BillRecord | None,
    help="the bill that it is about",
    covers=("bills",),
    key=_BILL_KEY,
)

SERVED = Served(
    one="vote",
    called=Words("votes", "votes"),
    list=Collection(
        name="votes",
        help="The divisions of the House that are held, newest first.",
        dataset="votes",
        record=VoteRecord,
        source=VoteRow.__table__,
        fields=answers(VoteRecord, VoteRow, date=VoteRow.held_on),
        sorts={
            "date": Sort((by_day(VoteRow.held_on), *_IN_ORDER), descending=True),
            "number": Sort(_IN_ORDER),
        },
        filters={
            "session": session_filter(VoteRow),
            "bill": Filter(help="the number of the bill, like C-2", where=lambda value: VoteRow.bill_number == value),
            "result": Filter(help="how it ended", where=lambda value: VoteRow.result == value, choices=tuple(Result)),
            "from": Filter(type=date, help="on that day or later", where=lambda value: VoteRow.held_on >= value),
            "to": Filter(type=date, help="on that day or earlier", where=lambda value: VoteRow.held_on <= value),
            "withdrawn": withdrawn_filter(VoteRow),
            **_SEARCHED.filters(),
        },
        includes={"bill": _BILL},
        scope="session",
    ),
    path="{session}/{number}",
    key=key,
    example={"session": "45-1", "number": "1"},
    identity=VoteRow.key.expression,
    detail={},
    below=(_BALLOTS, _PARTIES),
    searched=_SEARCHED,
)
