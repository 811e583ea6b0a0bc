"""OpenParliament's documents: rows and details of bills, filters, pages."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from parlex.local.sandbox.sample import HOUSE, State

Json = dict[str, Any]
DEFAULT_LIMIT, MAX_LIMIT = 20, 500
POLITICIANS_LIMIT = 338  # its default for politicians, fewer than the 343 seats of today

STATUSES: dict[int, tuple[str, str]] = {
    341: ("BillDefeated", "Defeated"),
    342: (
        "HouseBillWaitingSenate",
        "Bill passed the House, now waiting to be considered in the Senate",
    ),
    343: ("SenateAt2ndReading", "Second reading (Senate)"),
    344: ("SenateInCommittee", "In committee (Senate)"),
    345: ("SenateAtReportStage", "Report stage (Senate)"),
    346: ("SenateAt3rdReading", "Third reading (Senate)"),
    348: ("SenateBillWaitingHouse", "Senate bill, now waiting to be considered in the House"),
    349: ("HouseAt2ndReading", "Second reading (House)"),
    352: ("HouseInCommittee", "In committee (House)"),
    353: ("HouseAtReportStage", "Report stage (House)"),
    354: ("HouseAt3rdReading", "Third reading (House)"),
    356: ("RoyalAssentAwaiting", "Awaiting royal assent"),
    357: ("RoyalAssentGiven", "Law (royal assent given)"),
    359: ("ProForma", "Not a real bill (bills C-1 and S-1 are weird procedural relics)"),
    360: (
        "OutsideOrderPrecedence",
        "Outside the Order of Precedence (a private member's bill that hasn't yet won the draw "
        "that determines which private member's bills can be debated)",
    ),
}


class BadQuery(Exception):
    """The site answers 400 with this text."""


def slug(name: str) -> str:
    """``Marie-Françoise Mégie`` to ``marie-francoise-megie``; a slug holds only letters and hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^a-z\s-]", "", plain)).strip("-")


def membership_id(person_id: int, parliament: int, turn: int = 0) -> int:
    """Made up, but stable: the real ids are the site's own. ``turn`` counts a member's memberships in a parliament."""
    return person_id * 1000 + parliament * 10 + turn


def row(state: State) -> Json:
    bill = state.bill
    first = [at[:10] for step in ("house_1", "senate_1") if (at := state.when(step))]
    return {
        "session": bill.session,
        "legisinfo_id": bill.id,
        "introduced": min(first, default=None),
        "name": {"en": bill.title_en, "fr": bill.title_fr},
        "number": bill.number,
        "url": f"/bills/{bill.session}/{bill.number}/",
    }


def detail(state: State, vote_urls: Iterable[str] = ()) -> Json:
    bill = state.bill
    code, label = STATUSES[state.status_id]
    listed = row(state)
    url = listed.pop("url")
    return {
        **listed,
        "short_title": {"en": bill.short_en, "fr": bill.short_fr},
        "home_chamber": "House" if bill.chamber == HOUSE else "Senate",
        "law": True if state.status_id == 357 else None,
        **_sponsor(state),
        "text_url": f"https://www.parl.ca/DocumentViewer/en/{state.texts[-1][1]}" if state.texts else None,
        "vote_urls": list(vote_urls),
        "private_member_bill": is_private(state),
        "legisinfo_url": f"https://www.parl.ca/legisinfo/en/bill/{bill.session}/{bill.number}",
        "status_code": code,
        "status": {"en": label},
        "url": url,
        "related": {"bills_url": "/bills/"},
    }


def _sponsor(state: State) -> Json:
    """Null for every S- bill: the site's importer does not deal with Senate sponsors."""
    bill = state.bill
    if bill.sponsor is None or bill.chamber != HOUSE:
        return {"sponsor_politician_url": None, "sponsor_politician_membership_url": None}
    sponsor = bill.sponsor
    membership = membership_id(sponsor.person_id, int(bill.session.partition("-")[0]))
    return {
        "sponsor_politician_url": f"/politicians/{slug(f'{sponsor.first} {sponsor.last}')}/",
        "sponsor_politician_membership_url": f"/politicians/memberships/{membership}/",
    }


def is_private(state: State) -> bool:
    """The site's own rule: a number of 200 or more, Senate public bills among them."""
    return state.bill.bare_number >= 200


def ordered(states: Iterable[State], *, stable: bool, offset: int) -> list[State]:
    """The site's order; without a session the same numbers of two sessions tie, and each page breaks ties anew."""

    def key(state: State) -> tuple[object, ...]:
        bill = state.bill
        tie = 0 if stable else zlib.crc32(f"{offset} {bill.session} {bill.number}".encode())
        return is_private(state), bill.prefix, bill.bare_number, tie

    return sorted(states, key=key)


def filtered(states: Iterable[State], query: Mapping[str, list[str]]) -> list[State]:
    """Known filters narrow, unknown ones do nothing, a bad operator is a BadQuery; an empty value is no filter."""
    found = list(states)
    for name, values in query.items():
        field, _, operator = name.partition("__")
        if field not in _FIELDS or not values[-1]:
            continue
        matches = comparison(operator, values[-1])
        found = [state for state in found if matches(_FIELDS[field](state))]
    return found


_FIELDS: dict[str, Callable[[State], Any]] = {
    "session": lambda state: state.bill.session,
    "number": lambda state: state.bill.number,
    "legisinfo_id": lambda state: state.bill.id,
    "introduced": lambda state: row(state)["introduced"],
    "law": lambda state: True if state.status_id == 357 else None,
    "private_member_bill": is_private,
    "status_code": lambda state: STATUSES[state.status_id][0],
    "sponsor_politician": lambda state: _sponsor(state)["sponsor_politician_url"],
}
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "none": None, "null": None}


def comparison(operator: str, value: str) -> Callable[[Any], bool]:
    """Whether a held value matches; numbers compare as numbers, days as text; BadQuery for another operator."""
    if operator == "":
        wanted: Any = _WORDS.get(value.lower(), value)
        return lambda held: held is wanted if wanted in (True, False, None) else _same(held, value)
    compare = _OPERATORS.get(operator)
    if compare is None:
        raise BadQuery(f"Invalid filter operator '{operator}'.")
    return lambda held: held is not None and compare(held, _like(held, value))


def _like(held: Any, value: str) -> Any:
    """The value in the type of what is held; BadQuery when it cannot be."""
    try:
        return type(held)(value)
    except ValueError as error:
        raise BadQuery(f"Invalid value '{value}'.") from error


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda held, value: held > value,
    "gte": lambda held, value: held >= value,
    "lt": lambda held, value: held < value,
    "lte": lambda held, value: held <= value,
}


def _same(held: Any, value: str) -> bool:
    return str(held) == value or held == f"/politicians/{value}/"


def page(path: str, query: Mapping[str, list[str]], rows: list[Json], limit: int, offset: int) -> Json:
    """One page; its addresses are relative, keep the other parameters, and put limit and offset last."""
    kept = [(name, value) for name, values in query.items() if name not in ("limit", "offset") for value in values]

    def url(at: int) -> str:
        return f"{path}?{urlencode([*kept, ('limit', limit), ('offset', at)])}"

    return {
        "objects": rows[offset : offset + limit],
        "pagination": {
            "offset": offset,
            "limit": limit,
            "next_url": url(offset + limit) if offset + limit < len(rows) else None,
            "previous_url": url(max(0, offset - limit)) if offset > 0 else None,
        },
    }


def bounds(query: Mapping[str, list[str]], default: int = DEFAULT_LIMIT) -> tuple[int, int]:
    """Limit and offset. 0 means the default, more than 500 means 500 without a word, not a number is a BadQuery."""
    limit = _natural("limit", query.get("limit", [str(default)])[-1])
    offset = _natural("offset", query.get("offset", ["0"])[-1])
    return min(limit or default, MAX_LIMIT), offset


def _natural(name: str, text: str) -> int:
    if not re.fullmatch(r"\d+", text):
        raise BadQuery(f"Invalid {name} &#x27;{text}&#x27; provided. Please provide a positive integer &gt;= 0.")
    return int(text)


def wants_json(accept: str | None) -> bool:
    """The site's choice: no header and ``application/json`` give JSON, a browser and a bare ``*/*`` get HTML."""
    if accept is None or not accept.strip():
        return True
    qualities = dict(_quality(part) for part in accept.split(","))
    html = _best(qualities, "text/html", "text/*", "*/*")
    json = _best(qualities, "application/json", "application/*", "*/*")
    return json > html or (json == html and "application/json" in qualities)


def _quality(part: str) -> tuple[str, float]:
    kind, *parameters = (word.strip() for word in part.split(";"))
    weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
    try:
        return kind.lower(), float(weight)
    except ValueError:
        return kind.lower(), 0.0


def _best(qualities: Mapping[str, float], *kinds: str) -> float:
    return next((qualities[kind] for kind in kinds if kind in qualities), 0.0)
