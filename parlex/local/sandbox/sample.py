"""The sample: facts about real bills, and the state each bill was in on a given day.

The facts stand in ``facts/*.csv``, in a format of our own; each file names its source. A bill exists from its first
reading on. Its state on a day follows from its dates up to that day; once all of them have passed it is the state
that was recorded. Nothing here imports the rest of parlex: a stand-in that shared its code would share its mistakes.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from importlib.resources import files

START = date(2026, 6, 10)
RECORDED = date(2026, 7, 24)

HOUSE, SENATE = 1, 2
MILESTONES = ("house_1", "house_2", "house_3", "senate_1", "senate_2", "senate_3", "assent")
_HOUSE_PATH = ("house_1", "house_2", "house_committee", "house_report", "house_3")
_SENATE_PATH = ("senate_1", "senate_2", "senate_committee", "senate_report", "senate_3")
MADE_UP_FROM = 2000  # numbers that no real bill has had, for copies made by multiply()

_AFTER_IN_HOUSE = {"house_1": 349, "house_2": 352, "house_committee": 353, "house_report": 354}
_AFTER_IN_SENATE = {"senate_1": 343, "senate_2": 344, "senate_committee": 345, "senate_report": 346}
AWAITING_ASSENT = 356  # the one id between 341 and 360 that no record holds: inferred
_EVENT_AFTER = {
    "house_1": 60110,
    "house_2": 60121,
    "house_committee": 60124,
    "house_report": 60285,
    "house_3": 60134,
    "senate_1": 60110,
    "senate_2": 60120,
    "senate_committee": 60124,
    "senate_report": 60130,
    "senate_3": 60134,
    "assent": 60149,
}


@dataclass(frozen=True, slots=True)
class Session:
    code: str
    first: date
    last: date | None


SESSIONS = (
    Session("44-1", date(2021, 11, 22), date(2025, 1, 6)),
    Session("45-1", date(2025, 5, 26), None),
)


@dataclass(frozen=True, slots=True)
class Committee:
    acronym: str
    organization_id: int
    name_en: str
    name_fr: str


@dataclass(frozen=True, slots=True)
class Sponsor:
    person_id: int
    name: str
    first: str
    last: str
    middle: str
    honorific_en: str
    honorific_fr: str
    role: int
    title_en: str
    title_fr: str
    constituency_id: int | None
    riding_en: str
    riding_fr: str
    senate_affiliation: int | None


@dataclass(frozen=True, slots=True)
class Event:
    """A bill's latest event: LEGISinfo's type id, the naive Eastern time, the sitting, the chamber."""

    type_id: int
    at: str
    sitting: str
    chamber: int


@dataclass(frozen=True, slots=True)
class Bill:
    """One bill as recorded. ``passed`` holds naive Eastern times by the name of the step that was completed."""

    session: str
    number: str
    id: int
    type_id: int
    form_id: int
    status_id: int
    title_en: str
    title_fr: str
    short_en: str
    short_fr: str
    sponsor: Sponsor | None
    passed: dict[str, str]
    house_committee: Committee | None
    senate_committee: Committee | None
    latest: Event
    statute: tuple[int, int] | None
    texts: tuple[tuple[int, int], ...]

    @property
    def prefix(self) -> str:
        return self.number[0]

    @property
    def bare_number(self) -> int:
        return int(self.number[2:].rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))

    @property
    def chamber(self) -> int:
        return HOUSE if self.prefix == "C" else SENATE

    @property
    def path(self) -> tuple[str, ...]:
        """The steps in the order in which this bill takes them."""
        first, second = (_HOUSE_PATH, _SENATE_PATH) if self.chamber == HOUSE else (_SENATE_PATH, _HOUSE_PATH)
        return (*first, *second, "assent")


@dataclass(frozen=True, slots=True)
class State:
    """A bill as it stood at the end of a day."""

    bill: Bill
    passed: dict[str, str]
    status_id: int
    latest: Event
    texts: tuple[tuple[int, int], ...]
    session_ongoing: bool

    def when(self, step: str) -> str | None:
        return self.passed.get(step)

    @property
    def reached(self) -> str:
        """The last step of the bill's path that it has completed."""
        return [step for step in self.bill.path if step in self.passed][-1]


@dataclass(frozen=True)
class Sample:
    bills: tuple[Bill, ...]

    def on(self, day: date, session: str | None = None) -> list[State]:
        """The bills that existed at the end of ``day``: S- by number, then C- by number, newest session first."""
        states = (state_on(bill, day) for bill in self.bills if session in (None, bill.session))
        return [state for state in states if state is not None]

    def steps(self, after: date, until: date = RECORDED) -> Iterator[date]:
        """The days on which at least one line of a list changes."""
        for day in sorted(self._days()):
            if after < day <= until and self._changes(day):
                yield day

    def _days(self) -> set[date]:
        return {date.fromisoformat(at[:10]) for bill in self.bills for at in (*bill.passed.values(), bill.latest.at)}

    def _changes(self, day: date) -> bool:
        return any(_line(bill, day) != _line(bill, day - timedelta(days=1)) for bill in self.bills)


def current_session(day: date) -> str:
    return [session.code for session in SESSIONS if session.first <= day][-1]


def state_on(bill: Bill, day: date) -> State | None:
    """The bill's state at the end of ``day``, None before its first reading."""
    until = day.isoformat()
    passed = {step: bill.passed[step] for step in bill.path if bill.passed.get(step, "9999")[:10] <= until}
    if not passed:
        return None
    recorded = len(passed) == len(bill.passed) and bill.latest.at[:10] <= until
    reached = list(passed)[-1]
    return State(
        bill=bill,
        passed=passed,
        status_id=bill.status_id if recorded else _status_after(bill, reached),
        latest=bill.latest if recorded else Event(_EVENT_AFTER[reached], passed[reached], "", _where(reached)),
        texts=tuple((kind, text) for kind, text in bill.texts if _text_is_out(bill, kind, passed)),
        session_ongoing=any(s.code == bill.session and (s.last is None or day <= s.last) for s in SESSIONS),
    )


def _line(bill: Bill, day: date) -> object:
    state = state_on(bill, day)
    return state and (state.status_id, [state.when(step) for step in MILESTONES])


def _status_after(bill: Bill, reached: str) -> int:
    if bill.form_id == 15:
        return 359
    if reached == "assent":
        return 357
    if reached.endswith("_3"):
        home = reached == ("house_3" if bill.chamber == HOUSE else "senate_3")
        return (342 if bill.chamber == HOUSE else 348) if home else AWAITING_ASSENT
    if reached == "house_1" and bill.type_id == 4:
        return 360
    if reached == "senate_committee" and "senate_report" not in bill.passed:
        return 346
    return {**_AFTER_IN_HOUSE, **_AFTER_IN_SENATE}[reached]


def _where(step: str) -> int:
    return HOUSE if step.startswith("house") else SENATE


def _text_is_out(bill: Bill, kind: int, passed: dict[str, str]) -> bool:
    home = "house" if bill.chamber == HOUSE else "senate"
    needs = {1: f"{home}_1", 2: f"{home}_committee", 3: f"{home}_3", 4: "assent"}[kind]
    if needs not in bill.passed:  # amended in committee, and the day of the report is not recorded
        needs = f"{home}_3" if f"{home}_3" in bill.passed else f"{home}_1"
    return needs in passed


# Reading the facts.


def load(multiply: int = 0) -> Sample:
    """The sample, and ``multiply`` made-up copies of each bill beside it (for benchmarks of growth only)."""
    committees = {row["acronym"]: _committee(row) for row in rows("committees.csv")}
    sponsors = {(row["session"], row["person_id"]): _sponsor(row) for row in rows("sponsors.csv")}
    real = [_bill(row, committees, sponsors) for row in rows("bills.csv")]
    bills = [*real, *_copies(real, multiply)]
    return Sample(tuple(sorted(bills, key=_list_order)))


@cache
def sitting_numbers() -> dict[tuple[str, int, str], str]:
    """The number of each sitting that is recorded, by session, chamber and day."""
    latest = [(row["session"], row["latest"].split(" ")) for row in rows("bills.csv")]
    return {(session, int(told[-1]), told[1][:10]): told[2] for session, told in latest if len(told) == 4}


def _list_order(bill: Bill) -> tuple[int, int, bool, int]:
    parliament, session = bill.session.split("-")
    return -int(parliament), -int(session), bill.prefix == "C", bill.bare_number


def _copies(real: Iterable[Bill], times: int) -> Iterator[Bill]:
    """Copies under numbers no bill has; every tenth loses its sponsor, as 7 % of the real records have none."""
    for index, (_, bill) in enumerate((turn, bill) for turn in range(times) for bill in real):
        number = f"{bill.prefix}-{MADE_UP_FROM + index}"
        sponsor = None if index % 10 == 9 else bill.sponsor
        yield replace(bill, number=number, id=90_000_000 + index, sponsor=sponsor, texts=())


def rows(name: str) -> Iterator[dict[str, str]]:
    """The rows of one file of facts, its comments left out."""
    text = (files("parlex.local.sandbox") / "facts" / name).read_text(encoding="utf-8")
    yield from csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))


def _committee(row: dict[str, str]) -> Committee:
    return Committee(row["acronym"], int(row["organization_id"]), row["name_en"], row["name_fr"])


def _sponsor(row: dict[str, str]) -> Sponsor:
    return Sponsor(
        person_id=int(row["person_id"]),
        name=row["name"],
        first=row["first"],
        last=row["last"],
        middle=row["middle"],
        honorific_en=row["honorific_en"],
        honorific_fr=row["honorific_fr"],
        role=int(row["role"]),
        title_en=row["title_en"],
        title_fr=row["title_fr"],
        constituency_id=int(row["constituency_id"]) if row["constituency_id"] else None,
        riding_en=row["riding_en"],
        riding_fr=row["riding_fr"],
        senate_affiliation=int(row["senate_affiliation"]) if row["senate_affiliation"] else None,
    )


def _bill(row: dict[str, str], committees: dict[str, Committee], sponsors: dict[tuple[str, str], Sponsor]) -> Bill:
    house, house_at = _committee_stage(row["house_committee"])
    senate, senate_at = _committee_stage(row["senate_committee"])
    dates = {**row, "house_committee": house_at, "senate_committee": senate_at}
    event, at, *sitting, chamber = row["latest"].split(" ")
    year, _, chapter = row["statute"].partition("/")
    return Bill(
        session=row["session"],
        number=row["number"],
        id=int(row["id"]),
        type_id=int(row["type"]),
        form_id=int(row["form"]),
        status_id=int(row["status"]),
        title_en=row["title_en"],
        title_fr=row["title_fr"],
        short_en=row["short_en"],
        short_fr=row["short_fr"],
        sponsor=sponsors[row["session"], row["sponsor"]] if row["sponsor"] else None,
        passed={step: dates[step] for step in (*_HOUSE_PATH, *_SENATE_PATH, "assent") if dates[step]},
        house_committee=committees.get(house),
        senate_committee=committees.get(senate),
        latest=Event(int(event), at, "".join(sitting), int(chamber)),
        statute=(int(year), int(chapter)) if year else None,
        texts=tuple(_text(item) for item in row["texts"].split()),
    )


def _committee_stage(cell: str) -> tuple[str, str]:
    """``FINA 2025-10-29T14:29:10`` to its two halves; either may be missing."""
    words = cell.split()
    acronym = words[0] if words and not words[0][0].isdigit() else ""
    at = words[-1] if words and words[-1][0].isdigit() else ""
    return acronym, at


def _text(item: str) -> tuple[int, int]:
    kind, _, number = item.partition(":")
    return int(kind), int(number)
