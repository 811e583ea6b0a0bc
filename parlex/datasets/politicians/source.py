"""OpenParliament's politicians: everybody who sat in the House since 1994, their memberships and how to reach them.

Two lists make one: ``include=all`` names everybody, and only the list of today's members tells party and riding.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from urllib.parse import urljoin

import msgspec
from msgspec import Raw, Struct

from parlex.datasets.politicians.politician import Membership, Politician, PoliticianListing
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.http import Client, Tally
from parlex.fetching.pages import NAME, PAGE_SIZE, rows_of_pages, walk
from parlex.fetching.rows import read_parts, read_rows
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
    """What the pages of both lists say; see :class:`parlex.fetching.rows.Rows`."""

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


class _Past(Struct):
    """What tells that a membership is over, whatever else it says."""

    end_date: date


class _Detail(_Row):
    given_name: Text
    family_name: Text
    gender: Text | None
    image: Text | None
    links: Raw
    memberships: list[Raw]
    other_info: _OtherInfo = msgspec.field(default_factory=_OtherInfo)
    email: Text | None = None
    voice: Text | None = None
    fax: Text | None = None


_ROWS = msgspec.json.Decoder(_Row)
_CURRENT_ROWS = msgspec.json.Decoder(_CurrentRow)
_DETAILS = msgspec.json.Decoder(_Detail)
_LINKS = msgspec.json.Decoder(list[_Link])
_MEMBERSHIPS = msgspec.json.Decoder(_Membership)
_PAST = msgspec.json.Decoder(_Past)


def parse_list(everybody: Sequence[Document], current: Sequence[Document]) -> PoliticianList:
    """Read both lists. DocumentError for a page that is none; a single bad row is rejected.

    A member of today whose row cannot be read is rejected, and not taken for one who has left; so is one whom the list
    of everybody lacks, since one of the two lists must then be wrong.
    """
    today = read_rows(rows_of_pages(current), _current_listing, _slug)
    names = read_rows(rows_of_pages(everybody), _listing, _slug)
    known = {listing.slug: listing for listing in today.read}
    unreadable = {error.key for error in today.rejected}
    listings = tuple(known.get(one.slug, one) for one in names.read if one.slug not in unreadable)
    named = {*map(_slug, names.read), *(error.key for error in names.rejected)}
    lacking = [
        Place(NAME, everybody[0].url, slug).error("sits today and is not on the list of everybody")
        for slug in known
        if slug not in named
    ]
    doubled = tuple(dict.fromkeys(today.doubled + names.doubled))
    return PoliticianList(listings, doubled, (*today.rejected, *names.rejected, *lacking))


def _slug(listing: PoliticianListing) -> str:
    return listing.slug


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
        image_url=_absolute(row.image, place.of(named.slug)),
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
    """Read a detail, which must be that of the politician asked for. DocumentError if not.

    Links and past memberships are parts: ``odd`` has an error for each that cannot be read. A membership that may still
    last is none, since it tells whether the politician sits.
    """
    place = Place(NAME, document.url, slug)
    detail = decode(_DETAILS, json_of(document, place), place)
    if slug_of(detail.url, "url", place) != slug:
        raise place.error(f"is the detail of {quoted(detail.url)}", "url")
    memberships, odd = _memberships(detail.memberships, place)
    links, odd_links = read_parts([(detail.links, place.at("links", "links"))], _links)
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
        links=links[0] if links else (),
        memberships=tuple(sorted(memberships, key=lambda one: (one.start_on, one.id), reverse=True)),
        odd=odd + odd_links,
    )


def _links(raw: Raw, place: Place) -> tuple[Mapping[str, str | None], ...]:
    return tuple({"url": link.url, "note": optional(link.note)} for link in decode(_LINKS, raw, place))


def _memberships(raws: Sequence[Raw], place: Place) -> tuple[Iterable[Membership], tuple[DocumentError, ...]]:
    """The same one twice counts once; DocumentError for two that differ, and for an odd one that may still last."""
    found: dict[int, Membership] = {}
    odd: list[DocumentError] = []
    for position, raw in enumerate(raws):
        at = place.at("memberships", f"memberships[{position}]")
        try:
            one = _membership(raw, at)
        except DocumentError as error:
            if not _is_past(raw, at):
                raise place.error(error.reason, error.field) from error
            odd.append(error)
            continue
        if found.setdefault(one.id, one) != one:
            raise place.error(f"names membership {one.id} twice, with different facts", "memberships")
    return found.values(), tuple(odd)


def _is_past(raw: Raw, place: Place) -> bool:
    try:
        decode(_PAST, raw, place)
    except DocumentError:
        return False
    return True


def _membership(raw: Raw, place: Place) -> Membership:
    row = decode(_MEMBERSHIPS, raw, place)
    start = plausible(row.start_date, "start_date", place)
    end = plausible(row.end_date, "end_date", place) if row.end_date else None
    if end and end < start:
        raise place.error(f"ends on {end}, before its start on {start}", "end_date")
    return Membership(
        id=membership_of(row.url, "url", place),
        party=_text(row.party.short_name if row.party else None),
        party_name=_text(row.party.name if row.party else None),
        riding=_text(row.riding.name if row.riding else None),
        province=optional(row.riding.province) if row.riding else None,
        label=_text(row.label),
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
