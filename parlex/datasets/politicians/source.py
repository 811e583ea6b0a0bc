"""OpenParliament's politicians: everybody who sat in the House since 1994, their memberships and how to reach them.

Two lists make one: ``include=all`` names everybody, and only the list of today's members tells party and riding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import urljoin

import msgspec
from msgspec import Raw, Struct

from parlex.datasets.politicians.politician import Membership, Politician, PoliticianListing
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.http import Client, Tally
from parlex.fetching.pages import NAME, PAGE_SIZE, rows_of, walk
from parlex.fetching.strict import Place, Text, decode, json_of, optional, plausible, quoted, required

_POLITICIAN = re.compile(r"/politicians/([a-z0-9-]+)/")
_MEMBERSHIP = re.compile(r"/politicians/memberships/([1-9]\d{0,17})/")
_PERSON = re.compile(r"[1-9]\d{0,17}")


class Politicians:
    """The politicians by network. Each method raises what ``Client.get`` raises."""

    def __init__(self, client: Client, base_url: str) -> None:
        self._client = client
        self._base_url = base_url

    def list_all(self, tally: Tally, *, background: bool = False) -> tuple[Document, ...]:
        """All pages of everybody, with names only."""
        url = f"{self._base_url}/politicians/?include=all&limit={PAGE_SIZE}"
        return walk(self._client, url, tally, background=background)

    def list_current(self, tally: Tally, *, background: bool = False) -> tuple[Document, ...]:
        """All pages of today's members, with party, riding and photo."""
        url = f"{self._base_url}/politicians/?limit={PAGE_SIZE}"
        return walk(self._client, url, tally, background=background)

    def fetch(
        self,
        slug: str,
        tally: Tally,
        *,
        etag: str | None = None,
        last_modified: str | None = None,
        background: bool = False,
    ) -> Document | None:
        """One politician's detail; None if it is not modified since the validators given."""
        url = f"{self._base_url}/politicians/{slug}/"
        return self._client.get(url, tally=tally, etag=etag, last_modified=last_modified, background=background)


@dataclass(frozen=True, slots=True)
class PoliticianList:
    """What the pages of both lists say; as ``legisinfo.SessionList``."""

    listings: tuple[PoliticianListing, ...]
    doubled: tuple[str, ...]
    rejected: tuple[DocumentError, ...]


class _Name(Struct):
    en: Text | None


class _Party(Struct):
    short_name: _Name
    name: _Name | None = None


class _Riding(Struct):
    name: _Name
    province: Text | None


class _Row(Struct):
    name: Text
    url: Text


class _CurrentRow(_Row):
    current_party: _Party | None
    current_riding: _Riding | None
    image: Text | None


class _Link(Struct):
    url: Text
    note: Text | None


class _OtherInfo(Struct):
    parl_mp_id: list[Text] = msgspec.field(default_factory=list)
    constituency_offices: list[Text] = msgspec.field(default_factory=list)


class _Membership(Struct):
    url: Text
    start_date: date
    end_date: date | None
    party: _Party | None
    label: _Name | None
    riding: _Riding | None


class _Detail(_Row):
    given_name: Text
    family_name: Text
    gender: Text | None
    image: Text | None
    links: list[_Link]
    memberships: list[_Membership]
    other_info: _OtherInfo = msgspec.field(default_factory=_OtherInfo)
    email: Text | None = None
    voice: Text | None = None
    fax: Text | None = None


_ROWS = msgspec.json.Decoder(_Row)
_CURRENT_ROWS = msgspec.json.Decoder(_CurrentRow)
_DETAILS = msgspec.json.Decoder(_Detail)


def parse_list(everybody: Sequence[Document], current: Sequence[Document]) -> PoliticianList:
    """Read both lists. DocumentError for a page that is none; a single bad row is rejected.

    A member of today whose row cannot be read is rejected, and not taken for one who has left.
    """
    today, names = _parse(current, _current_listing), _parse(everybody, _listing)
    known = {listing.slug: listing for listing in today.listings}
    unreadable = {error.key for error in today.rejected}
    listings = tuple(known.get(one.slug, one) for one in names.listings if one.slug not in unreadable)
    return PoliticianList(listings, names.doubled, today.rejected + names.rejected)


def _parse(pages: Sequence[Document], read: Callable[[Raw, Place], PoliticianListing]) -> PoliticianList:
    listings: dict[str, PoliticianListing] = {}
    doubled: dict[str, None] = {}
    rejected: list[DocumentError] = []
    for raw, place in _rows(pages):
        try:
            listing = read(raw, place)
        except DocumentError as error:
            rejected.append(error)
            continue
        if listings.setdefault(listing.slug, listing) is not listing:
            doubled[listing.slug] = None
    return PoliticianList(tuple(listings.values()), tuple(doubled), tuple(rejected))


def _rows(pages: Sequence[Document]) -> Iterator[tuple[Raw, Place]]:
    for page in pages:
        place = Place(NAME, page.url)
        yield from ((raw, place) for raw in rows_of(page, place))


def _listing(raw: Raw, place: Place) -> PoliticianListing:
    row = decode(_ROWS, raw, place)
    slug = slug_of(row.url, "url", place)
    return PoliticianListing(slug, required(row.name, "name", place.of(slug)), False, None, None, None, None)


def _current_listing(raw: Raw, place: Place) -> PoliticianListing:
    named = _listing(raw, place)
    row = decode(_CURRENT_ROWS, raw, place.of(named.slug))
    riding = row.current_riding
    return PoliticianListing(
        slug=named.slug,
        name=named.name,
        is_current=True,
        party=_text(row.current_party.short_name if row.current_party else None),
        riding=_text(riding.name if riding else None),
        province=optional(riding.province) if riding else None,
        image_url=_absolute(row.image, place),
    )


def slug_of(url: str, field: str, place: Place) -> str:
    """The natural key of a politician: the last part of the url, a number for one without a slug."""
    match = _POLITICIAN.fullmatch(url)
    if match is None:
        raise place.error(f"{quoted(url)} is no politician", field)
    return match[1]


def membership_of(url: str, field: str, place: Place) -> int:
    """The number in the url of a membership."""
    match = _MEMBERSHIP.fullmatch(url)
    if match is None:
        raise place.error(f"{quoted(url)} is no membership", field)
    return int(match[1])


def parse_politician(document: Document, slug: str) -> Politician:
    """Read a detail, which must be that of the politician asked for. DocumentError if not."""
    place = Place(NAME, document.url, slug)
    detail = decode(_DETAILS, json_of(document, place), place)
    if slug_of(detail.url, "url", place) != slug:
        raise place.error(f"is the detail of {quoted(detail.url)}", "url")
    memberships = {one.id: one for one in (_membership(raw, place) for raw in detail.memberships)}
    if len(memberships) < len(detail.memberships):
        raise place.error("names a membership twice", "memberships")
    return Politician(
        slug=slug,
        name=required(detail.name, "name", place),
        given_name=optional(detail.given_name),
        family_name=optional(detail.family_name),
        gender=optional(detail.gender),
        person_id=_person_id(detail.other_info),
        email=optional(detail.email),
        phone=optional(detail.voice),
        fax=optional(detail.fax),
        offices="\n\n".join(filter(None, map(optional, detail.other_info.constituency_offices))) or None,
        image_url=_absolute(detail.image, place),
        links=tuple({"url": link.url, "note": optional(link.note)} for link in detail.links),
        memberships=tuple(sorted(memberships.values(), key=lambda one: (one.start_on, one.id), reverse=True)),
    )


def _membership(raw: _Membership, place: Place) -> Membership:
    start = plausible(raw.start_date, "memberships.start_date", place)
    end = plausible(raw.end_date, "memberships.end_date", place) if raw.end_date else None
    if end and end < start:
        raise place.error(f"ends on {end}, before its start on {start}", "memberships.end_date")
    return Membership(
        id=membership_of(raw.url, "memberships.url", place),
        party=_text(raw.party.short_name if raw.party else None),
        party_name=_text(raw.party.name if raw.party else None),
        riding=_text(raw.riding.name if raw.riding else None),
        province=optional(raw.riding.province) if raw.riding else None,
        label=_text(raw.label),
        start_on=start,
        end_on=end,
    )


def _person_id(info: _OtherInfo) -> int | None:
    """The Parliament's number for the person; None where the site gives none, or does not agree with itself."""
    numbers = {text.strip() for text in info.parl_mp_id}
    number = numbers.pop() if len(numbers) == 1 else ""
    return int(number) if _PERSON.fullmatch(number) else None


def _text(name: _Name | None) -> str | None:
    return optional(name.en) if name else None


def _absolute(link: str | None, place: Place) -> str | None:
    """The site gives addresses relative to its host."""
    if not optional(link):
        return None
    try:
        return urljoin(place.document, link)
    except ValueError as error:
        raise place.error(f"{quoted(link or '')} is no address", "image") from error
