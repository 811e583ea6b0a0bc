"""The domain of bills: identities, listings, bills, stages, outcomes. Frozen, and without I/O.

The closed sets below are what LEGISinfo published in 7,145 records up to October 2026; a value outside them is
an error for a person to look at, never a new member made up on the spot.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from datetime import date
from enum import StrEnum

from parlex.datasets.bills.events import Event, Link, Publication, Similar
from parlex.errors import DocumentError
from parlex.parliament import BillKey, Chamber


class StatusCode(StrEnum):
    """OpenParliament's names for LEGISinfo's twenty statuses."""

    ROYAL_ASSENT_GIVEN = "RoyalAssentGiven"
    ROYAL_ASSENT_AWAITING = "RoyalAssentAwaiting"
    BILL_DEFEATED = "BillDefeated"
    WILL_NOT_BE_PROCEEDED_WITH = "WillNotBeProceededWith"
    PRO_FORMA = "ProForma"
    OUTSIDE_ORDER_PRECEDENCE = "OutsideOrderPrecedence"
    HOUSE_AT_2ND_READING = "HouseAt2ndReading"
    HOUSE_AT_REFERRAL_BEFORE_2ND_READING = "HouseAtReferralToCommitteeBeforeSecondReading"
    HOUSE_IN_COMMITTEE = "HouseInCommittee"
    HOUSE_AT_REPORT_STAGE = "HouseAtReportStage"
    HOUSE_AT_REPORT_STAGE_AND_2ND_READING = "HouseAtReportStageAndSecondReading"
    HOUSE_AT_3RD_READING = "HouseAt3rdReading"
    HOUSE_BILL_WAITING_SENATE = "HouseBillWaitingSenate"
    HOUSE_CONSIDERING_SENATE_AMENDMENTS = "HouseConsideringSenAmendments"
    SENATE_AT_2ND_READING = "SenateAt2ndReading"
    SENATE_IN_COMMITTEE = "SenateInCommittee"
    SENATE_AT_REPORT_STAGE = "SenateAtReportStage"
    SENATE_AT_3RD_READING = "SenateAt3rdReading"
    SENATE_BILL_WAITING_HOUSE = "SenateBillWaitingHouse"
    SENATE_CONSIDERING_HOUSE_AMENDMENTS = "SenConsideringHouseAmendments"


class BillType(StrEnum):
    """LEGISinfo's five types, as it writes them (the apostrophe is a curly one)."""

    HOUSE_GOVERNMENT = "House Government Bill"
    PRIVATE_MEMBERS = "Private Member’s Bill"
    SENATE_GOVERNMENT = "Senate Government Bill"
    SENATE_PUBLIC = "Senate Public Bill"
    SENATE_PRIVATE = "Senate Private Bill"

    @property
    def is_government(self) -> bool:
        return self in (BillType.HOUSE_GOVERNMENT, BillType.SENATE_GOVERNMENT)


class StageCode(StrEnum):
    """The stages a bill may pass, by LEGISinfo's stage ids."""

    FIRST_READING = "first_reading"
    SECOND_READING = "second_reading"
    REFERRAL_BEFORE_SECOND_READING = "referral_before_second_reading"
    COMMITTEE = "committee"
    REPORT = "report"
    REPORT_AND_SECOND_READING = "report_and_second_reading"
    THIRD_READING = "third_reading"
    MESSAGES = "messages"
    PRE_STUDY = "pre_study"
    REINSTATED = "reinstated"
    ROYAL_ASSENT = "royal_assent"
    ADDITIONAL_INFORMATION = "additional_information"
    COMMITTEE_EVENTS = "committee_events"


class StageState(StrEnum):
    NOT_STATED = "not_stated"
    NOT_REACHED = "not_reached"
    NO_ACTIVITY = "no_activity"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    NOT_COMPLETED = "not_completed"


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one bill. ``chamber`` is null for royal assent, which belongs to neither."""

    chamber: Chamber | None
    code: StageCode
    state: StageState
    completed_on: date | None
    committee: str | None  # acronym, as INAN
    sittings: int

    @property
    def name(self) -> str:
        """Its name in the history: ``house.committee``, ``royal_assent``."""
        return f"{self.chamber}.{self.code}" if self.chamber else str(self.code)


@dataclass(frozen=True, slots=True)
class Milestones:
    """The seven days of a bill, in Ottawa; null where the source has none."""

    house_first_reading_on: date | None
    house_second_reading_on: date | None
    house_third_reading_on: date | None
    senate_first_reading_on: date | None
    senate_second_reading_on: date | None
    senate_third_reading_on: date | None
    royal_assent_on: date | None

    @property
    def introduced_on(self) -> date | None:
        """The earlier of the two first readings, as OpenParliament defines it."""
        return min(filter(None, (self.house_first_reading_on, self.senate_first_reading_on)), default=None)

    @property
    def latest(self) -> date | None:
        return max(filter(None, self.days()), default=None)

    def days(self) -> tuple[date | None, ...]:
        return (
            self.house_first_reading_on,
            self.house_second_reading_on,
            self.house_third_reading_on,
            self.senate_first_reading_on,
            self.senate_second_reading_on,
            self.senate_third_reading_on,
            self.royal_assent_on,
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """One bill's line in LEGISinfo's list of a session, the same whichever shape the list had."""

    key: BillKey
    legisinfo_id: int
    title_en: str
    title_fr: str
    short_title_en: str | None
    short_title_fr: str | None
    status_code: StatusCode
    bill_type: BillType
    milestones: Milestones

    @property
    def fingerprint(self) -> str:
        """Changes when a fact of the listing changes; a new list shape, other blanks or quotes do not count."""
        facts = (
            self.status_code,
            self.bill_type,
            *(fold(t) for t in (self.title_en, self.title_fr, self.short_title_en, self.short_title_fr)),
            *(day.isoformat() if day else "" for day in self.milestones.days()),
        )
        return hashlib.sha256("\x1f".join(facts).encode()).hexdigest()[:32]

    @property
    def activity_on(self) -> date | None:
        """The latest of the seven days: shape A of the list has no other sign of activity."""
        return self.milestones.latest


def fold(text: str | None) -> str:
    """The text without what the sources themselves vary: blanks, quotes, dashes."""
    folded = (text or "").translate(_FOLD)
    return " ".join(folded.split())


_FOLD = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "\u00a0": " ", "\u202f": " "})


@dataclass(frozen=True, slots=True, kw_only=True)
class Particulars:
    """What LEGISinfo alone says of a bill and nothing is decided by. Null: it does not say.

    ``form`` and ``ongoing_stage`` are codes, ``unknown`` for a new one; their texts are the source's.
    """

    bill_type_fr: str | None
    form: str | None
    form_en: str | None
    form_fr: str | None
    ongoing_stage: str | None
    ongoing_stage_en: str | None
    ongoing_stage_fr: str | None
    last_event_on: date | None
    last_event_en: str | None
    last_event_fr: str | None
    sponsor_title_en: str | None  # at the time, as "Minister of Justice"
    sponsor_title_fr: str | None
    sponsor_riding_en: str | None
    sponsor_riding_fr: str | None
    is_in_pre_study: bool | None
    pre_study_committee: str | None
    is_dropped: bool | None  # from the Senate's order paper
    was_debated_last: bool | None  # considered at the last sitting before it was looked at
    notes_en: str | None
    notes_fr: str | None
    events: tuple[Event, ...]
    publications: tuple[Publication, ...]
    links: tuple[Link, ...]
    similar: tuple[Similar, ...]


PARTICULARS = tuple(field.name for field in fields(Particulars))


@dataclass(frozen=True, slots=True)
class NamedDivision:
    """A division of the House as the detail of its bill names it. The totals count members."""

    number: int
    held_on: date
    yeas: int | None
    nays: int | None
    paired: int | None
    result: str | None
    subject: str | None


@dataclass(frozen=True, slots=True)
class LegisinfoBill(Particulars):
    """What LEGISinfo's detail says of a bill. Texts are stripped at the ends; blank texts are null.

    ``odd`` has an error for each part that could not be read; what is told here stands without it.
    """

    key: BillKey
    legisinfo_id: int
    title_en: str
    title_fr: str
    short_title_en: str | None
    short_title_fr: str | None
    status_code: StatusCode
    status_en: str
    status_fr: str
    bill_type: BillType
    chamber: Chamber
    is_pro_forma: bool
    sponsor_person_id: int | None
    sponsor_name: str | None
    milestones: Milestones
    statute_year: int | None
    statute_chapter: int | None
    reinstated_from: BillKey | None
    reinstated_as: BillKey | None
    text_url: str | None
    summary_en: str | None
    summary_fr: str | None
    stages: tuple[Stage, ...]
    divisions: tuple[NamedDivision, ...]
    odd: tuple[DocumentError, ...] = ()


@dataclass(frozen=True, slots=True)
class OpenParliamentBill:
    """What OpenParliament's detail says of a bill."""

    key: BillKey
    legisinfo_id: int | None
    title_en: str | None
    title_fr: str | None
    short_title_en: str | None
    short_title_fr: str | None
    status_code: str | None  # its own set is larger than LEGISinfo's; kept for comparison only
    chamber: Chamber
    is_law: bool | None
    introduced_on: date | None
    sponsor_slug: str | None
    text_url: str | None


@dataclass(frozen=True, slots=True)
class Bill(Particulars):
    """A bill as the mirror holds it, merged from its sources. Its field names are the columns of ``bills``."""

    key: BillKey
    title_en: str
    title_fr: str
    short_title_en: str | None
    short_title_fr: str | None
    status_code: StatusCode
    status_en: str
    status_fr: str
    bill_type: BillType
    chamber: Chamber
    is_government: bool
    is_pro_forma: bool
    sponsor_person_id: int | None
    sponsor_name: str | None
    sponsor_slug: str | None
    introduced_on: date | None
    house_first_reading_on: date | None
    house_second_reading_on: date | None
    house_third_reading_on: date | None
    senate_first_reading_on: date | None
    senate_second_reading_on: date | None
    senate_third_reading_on: date | None
    royal_assent_on: date | None
    statute_year: int | None
    statute_chapter: int | None
    reinstated_from: str | None
    reinstated_as: str | None
    legisinfo_id: int | None
    text_url: str | None
    summary_en: str | None
    summary_fr: str | None
    stages: tuple[Stage, ...]


# The facts of a bill whose values are a closed set.
CLOSED = {"status_code": StatusCode, "bill_type": BillType, "chamber": Chamber}
