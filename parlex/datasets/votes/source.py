"""OpenParliament's divisions of the House since 38-1, party lines and ballots.

A ballot has no address of its own: those of a division are one list, asked for by the division's address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, field

from parlex.datasets.politicians.source import membership_of, slug_of
from parlex.datasets.votes.vote import Ballot, Choice, Division, PartyLine, Position, Result, Vote, VoteKey
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.http import Client, Tally
from parlex.fetching.pages import NAME, PAGE_SIZE, joined, rows_of, walk
from parlex.fetching.strict import Place, Text, decode, json_of, optional, plausible, quoted
from parlex.parliament import BillKey, SessionId

E = TypeVar("E", Result, Choice, Position)

_BILL = re.compile(r"/bills/([^/]+)/([^/]+)/")
_Total = Annotated[int, Meta(ge=0, le=9999)]
_Number = Annotated[int, Meta(ge=1, le=99_999)]


class Votes:
    """The divisions by network. Each method raises what ``Client.get`` raises."""

    def __init__(self, client: Client, base_url: str) -> None:
        self._client = client
        self._base_url = base_url

    def newest(self, tally: Tally, *, background: bool = False) -> Document:
        """The newest division alone, which tells the current session: without a session they come newest first."""
        return self._client.get(f"{self._base_url}/votes/?limit=1", tally=tally, background=background)

    def list_votes(self, session: SessionId, tally: Tally, *, background: bool = False) -> tuple[Document, ...]:
        """All pages of a session's divisions."""
        url = f"{self._base_url}/votes/?session={session}&limit={PAGE_SIZE}"
        return walk(self._client, url, tally, background=background)

    def fetch(
        self,
        key: VoteKey,
        tally: Tally,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        background: bool = False,
    ) -> Document | None:
        """A division's detail; None if it is not modified since the validators given."""
        url = f"{self._base_url}{_address(key)}"
        return self._client.get(url, tally=tally, etag=etag, last_modified=last_modified, background=background)

    def fetch_ballots(self, key: VoteKey, tally: Tally, *, background: bool = False) -> Document:
        """All ballots of a division, as one document."""
        url = f"{self._base_url}/votes/ballots/?vote={_address(key)}&limit={PAGE_SIZE}"
        return joined(walk(self._client, url, tally, background=background))


def _address(key: VoteKey) -> str:
    return f"/votes/{key.session}/{key.number}/"


@dataclass(frozen=True, slots=True)
class VoteList:
    """What the pages of one session say; as ``legisinfo.SessionList``."""

    divisions: tuple[Division, ...]
    doubled: tuple[str, ...]
    rejected: tuple[DocumentError, ...]


class _Names(Struct):
    en: Text | None
    fr: Text | None = None


class _Party(Struct):
    name: _Names
    short_name: _Names


class _Identity(Struct):
    session: Text
    number: _Number


class _Row(_Identity):
    bill_url: Text | None
    held_on: date = field(name="date")
    description: _Names
    result: Text
    yea_total: _Total
    nay_total: _Total
    paired_total: _Total


class _Line(Struct):
    vote: Text
    disagreement: Annotated[float, Meta(ge=0, le=1)]
    party: _Party


class _Detail(_Row):
    context_statement: Text | None
    party_votes: list[_Line]


class _Ballot(Struct):
    vote_url: Text
    politician_url: Text
    politician_membership_url: Text | None
    ballot: Text


_IDENTITIES = msgspec.json.Decoder(_Identity)
_ROWS = msgspec.json.Decoder(_Row)
_DETAILS = msgspec.json.Decoder(_Detail)
_BALLOTS = msgspec.json.Decoder(_Ballot)


def parse_list(documents: Sequence[Document], session: SessionId) -> VoteList:
    """Read the pages of a session. DocumentError for a page that is none; a single bad row is rejected."""
    divisions: dict[VoteKey, Division] = {}
    doubled: dict[VoteKey, None] = {}
    rejected: list[DocumentError] = []
    for raw, place in _rows(documents):
        try:
            division = _division(raw, session, place)
        except DocumentError as error:
            rejected.append(error)
            continue
        if divisions.setdefault(division.key, division) is not division:
            doubled[division.key] = None
    return VoteList(tuple(divisions.values()), tuple(map(str, doubled)), tuple(rejected))


def session_of(newest: Document) -> SessionId:
    """The session of the newest division. DocumentError where there is none."""
    for raw, place in _rows([newest]):
        return _key(decode(_IDENTITIES, raw, place), place).session
    raise Place(NAME, newest.url).error("lists no division at all", "objects")


def _rows(pages: Sequence[Document]) -> Iterator[tuple[Raw, Place]]:
    for page in pages:
        place = Place(NAME, page.url)
        yield from ((raw, place) for raw in rows_of(page, place))


def _division(raw: Raw, session: SessionId, place: Place) -> Division:
    key = _key(decode(_IDENTITIES, raw, place), place)
    place = place.of(key)
    if key.session != session:
        raise place.error(f"is of session {key.session}, not of {session}", "session")
    return _facts(decode(_ROWS, raw, place), key, place)


def _key(row: _Identity, place: Place) -> VoteKey:
    try:
        return VoteKey(SessionId.parse(row.session), row.number)
    except ValueError as error:
        raise place.error(f"{quoted(row.session)} is not a session", "session") from error


def _facts(row: _Row, key: VoteKey, place: Place) -> Division:
    return Division(
        key=key,
        held_on=plausible(row.held_on, "date", place),
        description_en=optional(row.description.en),
        description_fr=optional(row.description.fr),
        result=_one_of(Result, row.result, "result", place),
        yea_total=row.yea_total,
        nay_total=row.nay_total,
        paired_total=row.paired_total,
        bill=_bill(row.bill_url, place),
    )


def _bill(url: str | None, place: Place) -> BillKey | None:
    """A division belongs to a bill by session and number, never by the number alone."""
    if url is None:
        return None
    match = _BILL.fullmatch(url)
    try:
        return BillKey(SessionId.parse(match[1]), match[2]) if match else _no_bill(url, place)
    except ValueError:
        return _no_bill(url, place)


def _no_bill(url: str, place: Place) -> BillKey:
    raise place.error(f"{quoted(url)} is no bill", "bill_url")


def parse_vote(document: Document, key: VoteKey) -> Vote:
    """Read a detail, which must be that of the division asked for. DocumentError if not."""
    place = Place(NAME, document.url, str(key))
    detail = decode(_DETAILS, json_of(document, place), place)
    if _key(detail, place) != key:
        raise place.error(f"is the detail of {detail.session} {detail.number}", "number")
    lines = tuple(_line(raw, place) for raw in detail.party_votes)
    if len({line.party for line in lines}) < len(lines):
        raise place.error("names a party twice", "party_votes")
    return Vote(_facts(detail, key, place), optional(detail.context_statement), lines)


def _line(raw: _Line, place: Place) -> PartyLine:
    name = optional(raw.party.name.en)
    party = optional(raw.party.short_name.en) or name
    if party is None:
        raise place.error("names a party without a name", "party_votes.party")
    return PartyLine(party, name, _one_of(Position, raw.vote, "party_votes.vote", place), raw.disagreement)


def parse_ballots(document: Document, key: VoteKey) -> tuple[Ballot, ...]:
    """Read the ballots of a division, and none of another: a filter that the site ignores would give those of all.

    DocumentError also for a member with two different ballots. The same one twice, as on two pages, counts once.
    """
    place = Place(NAME, document.url, str(key))
    ballots: dict[str, Ballot] = {}
    for raw in rows_of(document, place):
        row = decode(_BALLOTS, raw, place)
        if row.vote_url != _address(key):
            raise place.error(f"is a ballot of {quoted(row.vote_url)}", "vote_url")
        ballot = _ballot(row, place)
        if ballots.setdefault(ballot.slug, ballot) != ballot:
            raise place.error(f"{ballot.slug} has two ballots", "politician_url")
    return tuple(ballots.values())


def _ballot(row: _Ballot, place: Place) -> Ballot:
    membership = row.politician_membership_url
    return Ballot(
        slug=slug_of(row.politician_url, "politician_url", place),
        membership_id=membership_of(membership, "politician_membership_url", place) if membership else None,
        choice=_one_of(Choice, row.ballot, "ballot", place),
    )


def _one_of(kind: type[E], text: str, name: str, place: Place) -> E:
    try:
        return kind(text)
    except ValueError as error:
        raise place.error(f"unknown value {quoted(text)}", name) from error
