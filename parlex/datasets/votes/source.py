"""OpenParliament's divisions of the House since 38-1, party lines and ballots.

A ballot has no address of its own: those of a division are one list, asked for by the division's address.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct, field

from parlex.answers import counted
from parlex.datasets.politicians.source import membership_of, slug_of
from parlex.datasets.votes.vote import Ballot, Ballots, Choice, Division, PartyLine, Position, Result, Vote, VoteKey
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.http import Client, Tally
from parlex.fetching.pages import NAME, PAGE_SIZE, joined, rows_of, rows_of_pages, walk
from parlex.fetching.rows import read_parts, read_rows
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
    """What the pages of one session say; see :class:`parlex.fetching.rows.Rows`."""

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


class _Whose(Struct):
    party: _Party


class _Line(_Whose):
    vote: Text
    disagreement: Annotated[float, Meta(ge=0, le=1)]


class _Detail(_Row):
    context_statement: Text | None
    party_votes: Raw


class _OfDivision(Struct):
    vote_url: Text


class _OfMember(Struct):
    politician_url: Text


class _Ballot(_OfDivision):
    politician_url: Text
    politician_membership_url: Text | None
    ballot: Text


_IDENTITIES = msgspec.json.Decoder(_Identity)
_ROWS = msgspec.json.Decoder(_Row)
_DETAILS = msgspec.json.Decoder(_Detail)
_PARTY_VOTES = msgspec.json.Decoder(list[Raw])
_LINES = msgspec.json.Decoder(_Line)
_PARTIES = msgspec.json.Decoder(_Whose)
_DIVISIONS = msgspec.json.Decoder(_OfDivision)
_MEMBERS = msgspec.json.Decoder(_OfMember)
_BALLOTS = msgspec.json.Decoder(_Ballot)


def parse_list(documents: Sequence[Document], session: SessionId) -> VoteList:
    """Read the pages of a session. DocumentError for a page that is none; a single bad row is rejected."""
    rows = read_rows(
        rows_of_pages(documents), lambda raw, place: _division(raw, session, place), lambda division: division.key
    )
    return VoteList(rows.read, rows.doubled, rows.rejected)


def session_of(newest: Document) -> SessionId:
    """The session of the newest division. DocumentError where there is none."""
    for raw, place in rows_of_pages([newest]):
        return _key(decode(_IDENTITIES, raw, place), place).session
    raise Place(NAME, newest.url).error("lists no division at all", "objects")


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
    """Read a detail, which must be that of the division asked for. DocumentError if not.

    How the parties voted are parts: ``odd`` has an error for each line that cannot be read.
    """
    place = Place(NAME, document.url, str(key))
    detail = decode(_DETAILS, json_of(document, place), place)
    if _key(detail, place) != key:
        raise place.error(f"is the detail of {detail.session} {detail.number}", "number")
    lines, odd = _lines(detail.party_votes, place)
    return Vote(_facts(detail, key, place), optional(detail.context_statement), lines, odd)


def _lines(raw: Raw, place: Place) -> tuple[tuple[PartyLine, ...], tuple[DocumentError, ...]]:
    """Of a party that is named twice with different words, no line is believed."""
    place = place.at("parties", "party_votes")
    try:
        raws = decode(_PARTY_VOTES, raw, place)
    except DocumentError as error:
        return (), (error,)
    read, odd = read_parts(((raw, place.at("parties", f"party_votes[{n}]")) for n, raw in enumerate(raws)), _line)
    lines: dict[str, PartyLine] = {}
    contradicted = {line.party for line in read if lines.setdefault(line.party, line) != line}
    told = [
        place.at(f"parties.{party}").error(f"names {quoted(party)} twice, with different words")
        for party in lines
        if party in contradicted
    ]
    return tuple(line for line in lines.values() if line.party not in contradicted), (*odd, *told)


def _line(raw: Raw, place: Place) -> PartyLine:
    named = decode(_PARTIES, raw, place).party
    name = optional(named.name.en)
    party = optional(named.short_name.en) or name
    if party is None:
        raise place.error("names a party without a name", "party")
    place = place.at(f"parties.{party}")
    row = decode(_LINES, raw, place)
    return PartyLine(party, name, _one_of(Position, row.vote, "vote", place), row.disagreement)


def parse_ballots(document: Document, key: VoteKey) -> Ballots:
    """Read the ballots of a division, one a member. The same one twice, as on two pages, counts once.

    ``odd`` has an error for each that cannot be believed. Of a member with two ballots, as on the day of a change of
    party, what both say stands: the choice without a membership, or neither. DocumentError for a ballot of another
    division (a filter that the site ignores would give those of all), and where most cannot be read.
    """
    place = Place(NAME, document.url, str(key))
    rows = [(raw, place) for raw in rows_of(document, place)]
    read, odd = read_parts(rows, lambda raw, place: _ballot(raw, key, place))
    strange = [error for error in odd if error.part is None]
    if strange or 2 * len(odd) > len(rows):
        first = [*strange, *odd][0]
        raise place.error(first.reason, first.field) from first
    by_member: dict[str, set[Ballot]] = {}
    for ballot in read:
        by_member.setdefault(ballot.slug, set()).add(ballot)
    kept = [agreed for held in by_member.values() if (agreed := _agreed(held))]
    told = [
        place.at(f"ballots.{slug}").error(f"{slug} has {counted(len(held), 'ballot')}", "politician_url")
        for slug, held in by_member.items()
        if len(held) > 1
    ]
    return Ballots(tuple(kept), (*odd, *told))


def _agreed(ballots: set[Ballot]) -> Ballot | None:
    """What all ballots of one member say."""
    first, *others = ballots
    if not others:
        return first
    return Ballot(first.slug, None, first.choice) if all(one.choice is first.choice for one in others) else None


def _ballot(raw: Raw, key: VoteKey, place: Place) -> Ballot:
    """DocumentError without a part for a ballot of another division."""
    try:
        return _believed(raw, key, place)
    except DocumentError:
        # Only now, since there are a million of them and few are odd.
        return _believed(raw, key, _of_member(raw, key, place))


def _of_member(raw: Raw, key: VoteKey, place: Place) -> Place:
    """The place of a ballot, as far as it tells whose it is."""
    _require_division(decode(_DIVISIONS, raw, place), key, place)
    place = place.at("ballots")
    return place.at(f"ballots.{slug_of(decode(_MEMBERS, raw, place).politician_url, 'politician_url', place)}")


def _believed(raw: Raw, key: VoteKey, place: Place) -> Ballot:
    row = decode(_BALLOTS, raw, place)
    _require_division(row, key, place)
    membership = row.politician_membership_url
    return Ballot(
        slug=slug_of(row.politician_url, "politician_url", place),
        membership_id=membership_of(membership, "politician_membership_url", place) if membership else None,
        choice=_one_of(Choice, row.ballot, "ballot", place),
    )


def _require_division(row: _OfDivision, key: VoteKey, place: Place) -> None:
    if row.vote_url != _address(key):
        raise place.error(f"is a ballot of {quoted(row.vote_url)}", "vote_url")


def _one_of(kind: type[E], text: str, name: str, place: Place) -> E:
    try:
        return kind(text)
    except ValueError as error:
        raise place.error(f"unknown value {quoted(text)}", name) from error
