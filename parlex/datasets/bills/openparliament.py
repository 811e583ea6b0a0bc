"""OpenParliament, the companion: sponsors' slugs and links to texts, for bills since 2001; it lags the spine.

Walked session by session: without that filter its pages overlap and skip. See ``list_bills`` for the guards.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import msgspec
from msgspec import Raw, Struct, field

from parlex.datasets.bills.bill import OpenParliamentBill
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.http import Client, Tally
from parlex.fetching.pages import MAX_PAGES as MAX_PAGES
from parlex.fetching.pages import NAME, PAGE_SIZE, rows_of_pages, walk
from parlex.fetching.rows import read_rows
from parlex.fetching.strict import Id, Place, Text, decode, json_of, optional, plausible, quoted
from parlex.parliament import BillKey, Chamber, SessionId

_CHAMBERS = {"House": Chamber.HOUSE, "Senate": Chamber.SENATE}
_POLITICIAN = re.compile(r"/politicians/([a-z0-9-]+)/")


class OpenParliament:
    """OpenParliament by network. Each method raises what ``Client.get`` raises."""

    name = NAME

    def __init__(self, client: Client, base_url: str) -> None:
        self._client = client
        self._base_url = base_url

    def list_url(self, session: SessionId) -> str:
        """The first page of a session's bills."""
        return f"{self._base_url}/bills/?session={session}&limit={PAGE_SIZE}"

    def bill_url(self, key: BillKey) -> str:
        return f"{self._base_url}/bills/{key.session}/{key.number}/"

    def list_bills(self, session: SessionId, tally: Tally, *, background: bool = False) -> tuple[Document, ...]:
        """All pages of a session's bills.

        DocumentError where the way to the next page leads to another host, in a circle, or on without an end.
        """
        return walk(self._client, self.list_url(session), tally, background=background)

    def fetch_bill(
        self,
        key: BillKey,
        tally: Tally,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        background: bool = False,
    ) -> Document | None:
        """A bill's detail; None if it is not modified since the validators given; NotFound means not yet."""
        url = self.bill_url(key)
        return self._client.get(url, tally=tally, etag=etag, last_modified=last_modified, background=background)


@dataclass(frozen=True, slots=True)
class CompanionListing:
    """One bill's line in OpenParliament's list."""

    key: BillKey
    legisinfo_id: int | None
    introduced_on: date | None
    title_en: str | None
    title_fr: str | None


@dataclass(frozen=True, slots=True)
class CompanionList:
    """What the pages of one session say; see :class:`parlex.fetching.rows.Rows`."""

    listings: tuple[CompanionListing, ...]
    doubled: tuple[str, ...]
    rejected: tuple[DocumentError, ...]


class _Names(Struct):
    en: Text | None
    fr: Text | None


class _Row(Struct):
    session: Text
    number: Text
    legisinfo_id: Id | None
    introduced: date | None
    name: _Names


class _Detail(_Row):
    short_title: _Names
    home_chamber: Text
    is_law: bool | None = field(name="law")
    sponsor_politician_url: Text | None
    text_url: Text | None
    status_code: Text


class _Identity(Struct):
    session: Text
    number: Text


_ROWS = msgspec.json.Decoder(_Row)
_IDENTITIES = msgspec.json.Decoder(_Identity)
_DETAILS = msgspec.json.Decoder(_Detail)


def parse_list(documents: Sequence[Document], session: SessionId) -> CompanionList:
    """Read the pages of a session. DocumentError for a page that is none; a single bad row is rejected."""
    rows = read_rows(
        rows_of_pages(documents), lambda raw, place: _listing(raw, session, place), lambda listing: listing.key
    )
    return CompanionList(rows.read, rows.doubled, rows.rejected)


def _listing(raw: Raw, session: SessionId, place: Place) -> CompanionListing:
    place = _identified(raw, place)
    row = decode(_ROWS, raw, place)
    key = _key(row, place)
    if key.session != session:
        raise place.error(f"is of session {key.session}, not of {session}", "session")
    return CompanionListing(
        key=key,
        legisinfo_id=row.legisinfo_id,
        introduced_on=_introduced_on(row, place),
        title_en=optional(row.name.en),
        title_fr=optional(row.name.fr),
    )


def _identified(raw: Raw, place: Place) -> Place:
    """The place with the row's key, if the row says that much."""
    try:
        return place.of(_key(decode(_IDENTITIES, raw, place), place))
    except DocumentError:
        return place


def _key(row: _Identity | _Row, place: Place) -> BillKey:
    try:
        session = SessionId.parse(row.session)
    except ValueError as error:
        raise place.error(f"{quoted(row.session)} is not a session", "session") from error
    try:
        return BillKey(session, row.number)
    except ValueError as error:
        raise place.error(f"{quoted(row.number)} is not a bill number", "number") from error


def _introduced_on(row: _Row, place: Place) -> date | None:
    return plausible(row.introduced, "introduced", place) if row.introduced else None


def parse_bill(document: Document, key: BillKey) -> OpenParliamentBill:
    """Read a bill's detail, which must be that of the bill asked for. DocumentError if not."""
    place = Place(NAME, document.url, str(key))
    detail = decode(_DETAILS, json_of(document, place), place)
    found = _key(detail, place)
    if found != key:
        raise place.error(f"is the detail of {found}", "number")
    return OpenParliamentBill(
        key=key,
        legisinfo_id=detail.legisinfo_id,
        title_en=optional(detail.name.en),
        title_fr=optional(detail.name.fr),
        short_title_en=optional(detail.short_title.en),
        short_title_fr=optional(detail.short_title.fr),
        status_code=optional(detail.status_code),
        chamber=_chamber(detail, place),
        is_law=detail.is_law,
        introduced_on=_introduced_on(detail, place),
        sponsor_slug=_slug(detail, place),
        text_url=optional(detail.text_url),
    )


def _chamber(detail: _Detail, place: Place) -> Chamber:
    chamber = _CHAMBERS.get(detail.home_chamber)
    if chamber is None:
        raise place.error(f"unknown chamber {quoted(detail.home_chamber)}", "home_chamber")
    return chamber


def _slug(detail: _Detail, place: Place) -> str | None:
    """The politician's natural key: the last part of the url, a number for one without a slug."""
    if detail.sponsor_politician_url is None:
        return None
    match = _POLITICIAN.fullmatch(detail.sponsor_politician_url)
    if match is None:
        raise place.error(f"{quoted(detail.sponsor_politician_url)} is no politician", "sponsor_politician_url")
    return match[1]
