"""The closed sets of LEGISinfo: its statuses, types, stages and their states, and how its seven days are named.

A value outside them is for a person to look at, and never a new member made up on the spot.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime

from parlex.datasets.bills.bill import BillType, Milestones, StageCode, StageState, StatusCode
from parlex.fetching.strict import Place, quoted
from parlex.parliament import Chamber

NAME = "legisinfo"

# LEGISinfo's statuses: its id in the details, its English text, the name we know it by. The lists have only the text.
# "Awaiting royal assent" was never recorded with its id, so it is known by its text.
_STATUSES: tuple[tuple[int | None, str, StatusCode], ...] = (
    (341, "Bill defeated", StatusCode.BILL_DEFEATED),
    (342, "House of Commons bill awaiting first reading in the Senate", StatusCode.HOUSE_BILL_WAITING_SENATE),
    (343, "At second reading in the Senate", StatusCode.SENATE_AT_2ND_READING),
    (344, "At consideration in committee in the Senate", StatusCode.SENATE_IN_COMMITTEE),
    (345, "At report stage in the Senate", StatusCode.SENATE_AT_REPORT_STAGE),
    (346, "At third reading in the Senate", StatusCode.SENATE_AT_3RD_READING),
    (
        347,
        "At consideration in the Senate of amendments made by the House of Commons",
        StatusCode.SENATE_CONSIDERING_HOUSE_AMENDMENTS,
    ),
    (348, "Senate bill awaiting first reading in the House of Commons", StatusCode.SENATE_BILL_WAITING_HOUSE),
    (349, "At second reading in the House of Commons", StatusCode.HOUSE_AT_2ND_READING),
    (
        350,
        "Referred to committee before second reading in the House of Commons",
        StatusCode.HOUSE_AT_REFERRAL_BEFORE_2ND_READING,
    ),
    (
        351,
        "At report stage and second reading in the House of Commons",
        StatusCode.HOUSE_AT_REPORT_STAGE_AND_2ND_READING,
    ),
    (352, "At consideration in committee in the House of Commons", StatusCode.HOUSE_IN_COMMITTEE),
    (353, "At report stage in the House of Commons", StatusCode.HOUSE_AT_REPORT_STAGE),
    (354, "At third reading in the House of Commons", StatusCode.HOUSE_AT_3RD_READING),
    (
        355,
        "At consideration in the House of Commons of amendments made by the Senate",
        StatusCode.HOUSE_CONSIDERING_SENATE_AMENDMENTS,
    ),
    (357, "Royal assent received", StatusCode.ROYAL_ASSENT_GIVEN),
    (358, "Bill not proceeded with", StatusCode.WILL_NOT_BE_PROCEEDED_WITH),
    (359, "Introduced as pro forma bill", StatusCode.PRO_FORMA),
    (360, "Outside the Order of Precedence", StatusCode.OUTSIDE_ORDER_PRECEDENCE),
    (None, "Awaiting royal assent", StatusCode.ROYAL_ASSENT_AWAITING),
)

TYPE_IDS = {
    3: BillType.HOUSE_GOVERNMENT,
    4: BillType.PRIVATE_MEMBERS,
    80759: BillType.SENATE_GOVERNMENT,
    80760: BillType.SENATE_PUBLIC,
    80761: BillType.SENATE_PRIVATE,
}

CHAMBERS = {1: Chamber.HOUSE, 2: Chamber.SENATE}

STAGES = {
    60029: StageCode.FIRST_READING,
    60030: StageCode.SECOND_READING,
    60031: StageCode.THIRD_READING,
    60032: StageCode.REPORT,
    60033: StageCode.MESSAGES,
    60038: StageCode.PRE_STUDY,
    60039: StageCode.REINSTATED,
    60047: StageCode.REFERRAL_BEFORE_SECOND_READING,
    60048: StageCode.REPORT_AND_SECOND_READING,
    60049: StageCode.COMMITTEE,
    60050: StageCode.ROYAL_ASSENT,
    60055: StageCode.ADDITIONAL_INFORMATION,
    60074: StageCode.COMMITTEE_EVENTS,
}
ROYAL_ASSENT = 60050

STAGE_STATES = {
    0: StageState.NOT_STATED,
    1: StageState.NOT_REACHED,
    2: StageState.NO_ACTIVITY,
    3: StageState.IN_PROGRESS,
    4: StageState.COMPLETED,
    5: StageState.NOT_COMPLETED,
}

# What a bill is made for, by LEGISinfo's id.
FORMS = {10: "regular", 13: "appropriation", 15: "pro_forma", 16: "ways_and_means", 17: "borrowing"}

# The printed versions: our name, and the number of its file.
VERSIONS = {
    80701: ("first_reading", 1),
    80702: ("as_amended_by_committee", 2),
    80703: ("as_passed", 3),
    80704: ("royal_assent", 4),
}

DAYS = {
    "house_first_reading_on": "PassedHouseFirstReadingDateTime",
    "house_second_reading_on": "PassedHouseSecondReadingDateTime",
    "house_third_reading_on": "PassedHouseThirdReadingDateTime",
    "senate_first_reading_on": "PassedSenateFirstReadingDateTime",
    "senate_second_reading_on": "PassedSenateSecondReadingDateTime",
    "senate_third_reading_on": "PassedSenateThirdReadingDateTime",
    "royal_assent_on": "ReceivedRoyalAssentDateTime",
}


def _fold(text: str) -> str:
    """Some copies of LEGISinfo's texts have straight quotes where it writes curly ones."""
    return text.strip().replace("’", "'").replace("‘", "'")


_STATUS_BY_TEXT = {_fold(text): (number, code) for number, text, code in _STATUSES}
STATUS_IDS = frozenset(number for number, _, _ in _STATUSES if number is not None)
_TYPE_BY_TEXT = {_fold(bill_type): bill_type for bill_type in BillType}


def status_of(text: str, name: str, place: Place) -> tuple[int | None, StatusCode]:
    """LEGISinfo's id of a status, where it was ever recorded, and our name. DocumentError for an unknown text."""
    found = _STATUS_BY_TEXT.get(_fold(text))
    if found is None:
        raise place.error(f"unknown status {quoted(text)}", name)
    return found


def type_of(text: str, name: str, place: Place) -> BillType:
    """DocumentError for an unknown text."""
    found = _TYPE_BY_TEXT.get(_fold(text))
    if found is None:
        raise place.error(f"unknown type {quoted(text)}", name)
    return found


def milestones_of(row: object, day: Callable[[datetime, str, Place], date | None], place: Place) -> Milestones:
    """The seven days of a row or a detail; ``day`` reads one moment, as its document writes them."""
    moments = ((name, key, getattr(row, name)) for name, key in DAYS.items())
    return Milestones(**{name: day(moment, key, place) if moment else None for name, key, moment in moments})
