"""OpenParliament's pages: how one leads to the next, and the rows they hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

import msgspec
from msgspec import Raw, Struct

from parlex.fetching.document import Document
from parlex.fetching.http import Client, Tally
from parlex.fetching.strict import Place, Text, decode, json_of, quoted

NAME = "openparliament"
PAGE_SIZE = 500  # the most it gives
MAX_PAGES = 100  # of one list; more is a walk that does not end

# RFC 7464's separator of JSON texts. JSON itself may not hold it unescaped.
_SEPARATOR = b"\x1e"


class _Pagination(Struct):
    next_url: Text | None


class _Page(Struct):
    objects: list[Raw]
    pagination: _Pagination


_PAGES = msgspec.json.Decoder(_Page)


def walk(client: Client, url: str, tally: Tally, *, background: bool = False) -> tuple[Document, ...]:
    """All pages from ``url`` on. Raises what ``Client.get`` raises.

    DocumentError where the way to the next page leads to another host, in a circle, or on without an end.
    """
    pages: list[Document] = []
    seen: set[str] = set()
    following: str | None = url
    while following:
        seen.add(following)
        page = client.get(following, tally=tally, background=background)
        pages.append(page)
        following = _next_url(page, following, seen)
    return tuple(pages)


def joined(pages: Sequence[Document]) -> Document:
    """The pages of one walk as one document: their bytes untouched, with a separator between two of them.

    For what is always asked for as a whole, and nearly always is one page: then it is that page.
    """
    return replace(pages[0], body=_SEPARATOR.join(page.body for page in pages), etag=None, last_modified=None)


def rows_of_pages(pages: Iterable[Document]) -> Iterator[tuple[Raw, Place]]:
    """The rows of all pages of a walk, each with the page it stands on. DocumentError for a document that is none."""
    for page in pages:
        place = Place(NAME, page.url)
        yield from ((raw, place) for raw in rows_of(page, place))


def rows_of(document: Document, place: Place) -> Iterator[Raw]:
    """The rows of a page, or of pages that were joined. DocumentError for a document that is none."""
    for page in json_of(document, place).split(_SEPARATOR):
        yield from decode(_PAGES, page, place).objects


def _next_url(page: Document, url: str, seen: set[str]) -> str | None:
    place = Place(NAME, page.url)
    link = decode(_PAGES, json_of(page, place), place).pagination.next_url
    if link is None:
        return None
    try:
        following = urljoin(url, link)
        same_host = urlsplit(following)[:2] == urlsplit(url)[:2]
    except ValueError as error:
        raise place.error(f"{quoted(link)} is no address", "pagination.next_url") from error
    if not same_host:
        raise place.error(f"{quoted(link)} is on another host", "pagination.next_url")
    if following in seen:
        raise place.error(f"{quoted(link)} leads in a circle", "pagination.next_url")
    if len(seen) == MAX_PAGES:
        raise place.error(f"has more than {MAX_PAGES} pages", "pagination.next_url")
    return following
