"""The domain of politicians: members of the House, and others who sponsor bills. Frozen, and without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from parlex.errors import DocumentError

DATASET = "politicians"
EVERYBODY = "all"  # the scope: there is one list


@dataclass(frozen=True, slots=True)
class Membership:
    """A member's time in the House under one party and for one riding. ``end_on`` is None while it lasts."""

    id: int
    party: str | None
    party_name: str | None
    riding: str | None
    province: str | None
    label: str | None
    start_on: date
    end_on: date | None


@dataclass(frozen=True, slots=True)
class PoliticianListing:
    """One politician's line. Party, riding, province and photo are given for today's members only."""

    slug: str
    name: str
    is_current: bool
    party: str | None
    riding: str | None
    province: str | None
    image_url: str | None


@dataclass(frozen=True, slots=True)
class Politician:
    """One politician as OpenParliament says. ``slug`` is the last part of its url, and the key.

    ``person_id`` is the Parliament's own number for a person, by which LEGISinfo names sponsors. ``memberships`` come
    newest first. ``odd`` has an error for each part that could not be read; what is told here stands without it.
    """

    slug: str
    name: str
    given_name: str | None
    family_name: str | None
    gender: str | None
    person_id: int | None
    email: str | None
    phone: str | None
    fax: str | None
    offices: str | None
    image_url: str | None
    links: tuple[Mapping[str, str | None], ...]
    memberships: tuple[Membership, ...]
    odd: tuple[DocumentError, ...] = ()

    @property
    def current(self) -> Membership | None:
        """The membership that lasts; None for one who has left."""
        return next((one for one in self.memberships if one.end_on is None), None)


def sponsor_slug(person_id: int, *, senator: bool) -> str:
    """The key of a sponsor whom only LEGISinfo knows: ``senator-2859``; ``member-`` for one of the House.

    A slug of OpenParliament is made of a name; none is one word and a number.
    """
    return f"{'senator' if senator else 'member'}-{person_id}"
