"""How the politicians are served: see :mod:`parlex.datasets.served`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import get_type_hints

from sqlalchemy import func, literal_column, or_, select
from sqlalchemy.orm import aliased

from parlex.datasets.politicians.reads import (
    CastRecord,
    MembershipRecord,
    PoliticianRecord,
    PoliticianStory,
    SponsoredRecord,
)
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
    contains,
    many,
    nested,
    one,
    session_filter,
    withdrawn_filter,
)
from parlex.datasets.votes.reads import VoteRecord
from parlex.datasets.votes.vote import Choice
from parlex.db.models import BallotRow, BillRow, PoliticianMembershipRow, PoliticianRow, VoteRow

_SLUG = re.compile(r"[a-z0-9-]+")
_BY_NAME = (func.coalesce(PoliticianRow.family_name, PoliticianRow.name), PoliticianRow.name, PoliticianRow.slug)


def key(parts: Mapping[str, str]) -> str:
    if _SLUG.fullmatch(parts["slug"]) is None:
        raise ValueError(f"{parts['slug']!r} is not a slug; write it like mark-carney")
    return parts["slug"]


_MEMBERSHIPS = Include(
    column=many(
        nested(
            answers(MembershipRecord, PoliticianMembershipRow),
            PoliticianMembershipRow,
            PoliticianMembershipRow.slug == PoliticianRow.slug,
            of=PoliticianRow,
        ).order_by(PoliticianMembershipRow.start_on.desc(), PoliticianMembershipRow.id.desc())
    ),
    type=list[MembershipRecord],
    help="times under one party and for one riding, the newest first",
)
_PERSON = select(PoliticianRow.person_id)
_SPONSORED = Collection(
    name="bills",
    help="The bills that the politician sponsors, the newest session first.",
    dataset="bills",
    record=SponsoredRecord,
    source=BillRow.__table__,
    fields=answers(SponsoredRecord, BillRow),
    sorts={"session": Sort((BillRow.parliament, BillRow.session, BillRow.number), descending=True)},
    covers=("politicians",),
    parent=lambda value: or_(
        BillRow.sponsor_slug == value,
        BillRow.sponsor_person_id == _PERSON.where(PoliticianRow.slug == value).scalar_subquery(),
    ),
)
_VOTE = aliased(VoteRow)
_CAST = Collection(
    name="votes",
    help="Each division that the politician had a ballot in, newest first.",
    dataset="votes",
    record=CastRecord,
    source=BallotRow.__table__.join(
        VoteRow.__table__,
        (VoteRow.parliament == BallotRow.parliament)
        & (VoteRow.session == BallotRow.session)
        & (VoteRow.number == BallotRow.number),
    ),
    fields=answers(CastRecord, VoteRow, date=VoteRow.held_on, ballot=BallotRow.choice),
    sorts={
        "date": Sort((by_day(VoteRow.held_on), VoteRow.parliament, VoteRow.session, VoteRow.number), descending=True)
    },
    includes={
        "vote": Include(
            column=one(
                nested(answers(VoteRecord, _VOTE, date=_VOTE.held_on), _VOTE, _VOTE.key == VoteRow.key, of=VoteRow)
            ),
            type=VoteRecord | None,
            help="the division",
            key=VoteRow.key.expression,
        )
    },
    filters={
        "session": session_filter(VoteRow),
        "ballot": Filter(
            help="what the politician did", where=lambda value: BallotRow.choice == value, choices=tuple(Choice)
        ),
    },
    parent=lambda value: (BallotRow.slug == value) & VoteRow.withdrawn.is_(False),
)
_MORE = ("given_name", "family_name", "gender", "email", "phone", "fax", "offices", "image_url", "links", "origin")
_TYPES = get_type_hints(PoliticianStory)

# A name has no language: in English, Will would be no word.
_NAME: tuple[Expression, str] = (literal_column("politicians.words"), "simple")
_SEARCHED = Searched(vectors={"en": _NAME, "fr": _NAME}, titles={"en": PoliticianRow.name, "fr": PoliticianRow.name})

SERVED = Served(
    one="politician",
    called=Words("politicians", "parlementaires"),
    list=Collection(
        name="politicians",
        help="The politicians that are held, by family name.",
        dataset="politicians",
        record=PoliticianRecord,
        source=PoliticianRow.__table__,
        fields=answers(PoliticianRecord, PoliticianRow),
        sorts={"name": Sort(_BY_NAME)},
        filters={
            "current": Filter(
                type=bool, help="sits in the House today", where=lambda value: PoliticianRow.is_current.is_(value)
            ),
            "party": Filter(help="the party of today", where=lambda value: PoliticianRow.current_party == value),
            "province": Filter(help="the province of today", where=lambda value: PoliticianRow.province == value),
            "name": Filter(help="a part of the name", where=contains(PoliticianRow.name)),
            "withdrawn": withdrawn_filter(PoliticianRow),
            **_SEARCHED.filters(),
        },
    ),
    path="{slug}",
    key=key,
    example={"slug": "mark-carney"},
    identity=PoliticianRow.slug.expression,
    detail={
        **{
            name: Include(column=getattr(PoliticianRow, name), type=_TYPES[name], help=name.replace("_", " "))
            for name in _MORE
        },
        "memberships": _MEMBERSHIPS,
    },
    below=(_SPONSORED, _CAST),
    searched=_SEARCHED,
)
