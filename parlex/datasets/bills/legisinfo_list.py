"""LEGISinfo's list of a session, which came in two shapes.

They are told apart by their key names: A (``NumberCode``; until January 2025, and again since August 2026) and B
(``BillNumberFormatted``; in between). Both become the same listings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from parlex.answers import counted
from parlex.datasets.bills.bill import Listing
from parlex.datasets.bills.legisinfo_codes import NAME, milestones_of, status_of, type_of
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.rows import read_rows
from parlex.fetching.strict import (
    AwareTime,
    Id,
    Parliament,
    Place,
    Session,
    Text,
    decode,
    json_of,
    optional,
    plausible,
    quoted,
    required,
)
from parlex.parliament import BillKey, SessionId

T = TypeVar("T")
Shape = Literal["A", "B"]


@dataclass(frozen=True, slots=True)
class SessionList:
    """What one list document says.

    ``listings``, ``doubled`` and ``rejected`` are as in :class:`parlex.fetching.rows.Rows`. ``fill_rates``: by field
    name of Listing and Milestones, the share of all rows that have a value. An empty list has no ``session`` and no
    ``shape``.
    """

    session: SessionId | None
    shape: Shape | None
    listings: tuple[Listing, ...]
    doubled: tuple[str, ...]
    rejected: tuple[DocumentError, ...]
    fill_rates: dict[str, float]


class _Row(Struct):
    """What both shapes have under the same names. Attributes are named as in Listing and Milestones."""

    parliament: Parliament = field(name="ParliamentNumber")
    session: Session = field(name="SessionNumber")
    title_en: Text = field(name="LongTitleEn")
    title_fr: Text = field(name="LongTitleFr")
    short_title_en: Text | None = field(name="ShortTitleEn")
    short_title_fr: Text | None = field(name="ShortTitleFr")
    house_first_reading_on: AwareTime | None = field(name="PassedHouseFirstReadingDateTime")
    house_second_reading_on: AwareTime | None = field(name="PassedHouseSecondReadingDateTime")
    house_third_reading_on: AwareTime | None = field(name="PassedHouseThirdReadingDateTime")
    senate_first_reading_on: AwareTime | None = field(name="PassedSenateFirstReadingDateTime")
    senate_second_reading_on: AwareTime | None = field(name="PassedSenateSecondReadingDateTime")
    senate_third_reading_on: AwareTime | None = field(name="PassedSenateThirdReadingDateTime")
    royal_assent_on: AwareTime | None = field(name="ReceivedRoyalAssentDateTime")


class _RowA(_Row):
    legisinfo_id: Id = field(name="Id")
    number: Text = field(name="NumberCode")
    status_code: Text = field(name="StatusNameEn")
    bill_type: Text = field(name="BillDocumentTypeNameEn")


class _RowB(_Row):
    legisinfo_id: Id = field(name="BillId")
    number: Text = field(name="BillNumberFormatted")
    status_code: Text = field(name="CurrentStatusEn")
    bill_type: Text = field(name="BillTypeEn")


class _Probe(Struct):
    a: Raw | UnsetType = field(name="NumberCode", default=UNSET)
    b: Raw | UnsetType = field(name="BillNumberFormatted", default=UNSET)


_ROWS = msgspec.json.Decoder(list[Raw])
_PROBE = msgspec.json.Decoder(_Probe)
_LOOSE = msgspec.json.Decoder(dict[str, Raw])
_INTEGER = msgspec.json.Decoder(Parliament)
_TEXT = msgspec.json.Decoder(Text)
_ROW_DECODERS: dict[Shape, msgspec.json.Decoder[Any]] = {
    "A": msgspec.json.Decoder(_RowA),
    "B": msgspec.json.Decoder(_RowB),
}
_KEYS: dict[Shape, dict[str, str]] = {
    "A": {f.name: f.encode_name for f in msgspec.structs.fields(_RowA)},
    "B": {f.name: f.encode_name for f in msgspec.structs.fields(_RowB)},
}
_NO_VALUE = re.compile(rb'null|"\s*"')


@dataclass(frozen=True, slots=True)
class _Line:
    """One row as far as it can be read: with ``row`` or with ``error``; the names are those of the attributes."""

    session: SessionId | None
    number: str | None
    present: frozenset[str]
    filled: frozenset[str]
    row: _RowA | _RowB | None = None
    error: DocumentError | None = None


def parse_list(document: Document) -> SessionList:
    """Read a list of one session, in either shape.

    DocumentError where the whole cannot be believed: no JSON list, neither shape, a key missing from every row, rows of
    several sessions. A single bad row is rejected, and the rest stands.
    """
    place = Place(NAME, document.url)
    raws = decode(_ROWS, json_of(document, place), place)
    if not raws:
        return SessionList(None, None, (), (), (), {})
    shape = _shape(raws, place)
    lines = [_line(raw, shape, place) for raw in raws]
    _refuse_missing_keys(lines, shape, place)
    session = _one_session(lines, place)
    found = ((line, place) for line in lines)
    rows = read_rows(found, lambda line, place: _listing(line, session, shape, place), lambda listing: listing.key)
    return SessionList(session, shape, rows.read, rows.doubled, rows.rejected, _fill_rates(lines))


def session_of(document: Document) -> SessionId | None:
    """The session that a list seems to be of; None where its rows do not tell. Whether it is, ``parse_list`` says."""
    place = Place(NAME, document.url)
    try:
        rows = decode(_ROWS, json_of(document, place), place)
        shape = _shape(rows, place)
    except DocumentError:
        return None
    return next((line.session for line in (_line(raw, shape, place) for raw in rows) if line.session), None)


def _shape(rows: Sequence[Raw], place: Place) -> Shape:
    for raw in rows:
        try:
            probe = decode(_PROBE, raw, place)
        except DocumentError:
            continue  # Not an object; it is rejected as a row later.
        if probe.a is not UNSET:
            return "A"
        if probe.b is not UNSET:
            return "B"
    raise place.error("no row has NumberCode or BillNumberFormatted: this is neither shape of the list")


def _line(raw: Raw, shape: Shape, place: Place) -> _Line:
    try:
        row: _RowA | _RowB = decode(_ROW_DECODERS[shape], raw, place)
    except DocumentError as error:
        return _bad_line(raw, shape, place, error)
    names = _KEYS[shape]
    filled = frozenset(name for name in names if _has_value(getattr(row, name)))
    return _Line(SessionId(row.parliament, row.session), row.number, frozenset(names), filled, row=row)


def _bad_line(raw: Raw, shape: Shape, place: Place, error: DocumentError) -> _Line:
    """Salvage from a bad row which bill it is about and which keys it has."""
    values = _attempt(_LOOSE, raw, place) or {}
    by_name = {name: values[key] for name, key in _KEYS[shape].items() if key in values}
    filled = frozenset(name for name, value in by_name.items() if not _NO_VALUE.fullmatch(bytes(value)))
    parliament, session = (_attempt(_INTEGER, by_name.get(name), place) for name in ("parliament", "session"))
    number = _attempt(_TEXT, by_name.get("number"), place)
    known = SessionId(parliament, session) if parliament and session else None
    return _Line(known, number, frozenset(by_name), filled, error=error)


def _attempt(decoder: msgspec.json.Decoder[T], raw: Raw | None, place: Place) -> T | None:
    try:
        return decode(decoder, raw, place) if raw is not None else None
    except DocumentError:
        return None


def _has_value(value: object) -> bool:
    return value is not None and not (isinstance(value, str) and not value.strip())


def _refuse_missing_keys(lines: Sequence[_Line], shape: Shape, place: Place) -> None:
    """A key that no row has is a new shape of the list, not a matter of rows."""
    present = frozenset().union(*(line.present for line in lines))
    for name, key in _KEYS[shape].items():
        if name not in present:
            raise place.error("is missing from every row", key)


def _one_session(lines: Sequence[_Line], place: Place) -> SessionId | None:
    sessions = sorted({line.session for line in lines if line.session})
    if len(sessions) > 1:
        named = ", ".join(str(session) for session in sessions[:5])
        raise place.error(f"holds rows of {counted(len(sessions), 'session')}: {named}", "SessionNumber")
    return sessions[0] if sessions else None


def _listing(line: _Line, session: SessionId | None, shape: Shape, place: Place) -> Listing:
    key = _key_of(line, session)
    place = place.of(key) if key else place
    keys, row = _KEYS[shape], line.row
    if row is None:
        assert line.error is not None
        raise place.error(line.error.reason, line.error.field)
    if key is None:
        raise place.error(f"{quoted(row.number)} is not a bill number", keys["number"])
    _, code = status_of(row.status_code, keys["status_code"], place)
    return Listing(
        key=key,
        legisinfo_id=row.legisinfo_id,
        title_en=required(row.title_en, keys["title_en"], place),
        title_fr=required(row.title_fr, keys["title_fr"], place),
        short_title_en=optional(row.short_title_en),
        short_title_fr=optional(row.short_title_fr),
        status_code=code,
        status_en=row.status_code.strip(),
        bill_type=type_of(row.bill_type, keys["bill_type"], place),
        milestones=milestones_of(row, _listed_day, place),
    )


def _key_of(line: _Line, session: SessionId | None) -> BillKey | None:
    """The bill a row is about. A list is of one session, so a row that hides its own has that one."""
    session = line.session or session
    if session is None or line.number is None:
        return None
    try:
        return BillKey(session, line.number)
    except ValueError:
        return None


def _fill_rates(lines: Sequence[_Line]) -> dict[str, float]:
    return {name: sum(name in line.filled for line in lines) / len(lines) for name in _MEASURED}


_MEASURED = tuple(name for name in _KEYS["A"] if name not in ("parliament", "session", "number"))


def _listed_day(moment: datetime, name: str, place: Place) -> date | None:
    """A list takes Ottawa's time for UTC and prints it in Eastern time: in UTC, it is Ottawa's again."""
    try:
        return plausible(moment.astimezone(UTC).date(), name, place)
    except OverflowError as error:
        raise place.error(f"{moment.isoformat()} is outside the calendar", name) from error
