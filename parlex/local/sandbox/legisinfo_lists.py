"""LEGISinfo's rows of a list, in either of its two shapes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from parlex.local.sandbox.legisinfo import Json, detail, major_stage, no_stages
from parlex.local.sandbox.legisinfo_names import CHAMBERS, DATES, EVENTS, MONTHS_EN, MONTHS_FR
from parlex.local.sandbox.sample import SESSIONS, Sponsor, State

EASTERN = ZoneInfo("America/Toronto")
NEVER = "0001-01-01T00:00:00"


def list_time(naive: str | None) -> str | None:
    """The time as the lists print it: Eastern time taken for UTC, then shown in Eastern time with its offset."""
    if naive is None:
        return None
    whole, dot, fraction = naive.partition(".")
    shifted = datetime.fromisoformat(whole).replace(tzinfo=UTC).astimezone(EASTERN).isoformat()
    return f"{shifted[:19]}{dot}{fraction}{shifted[19:]}"


_ZERO_IN_A = (
    "Number",
    "OngoingStageId",
    "LatestCompletedBillStageId",
    "LatestCompletedBillStageChamberOrganizationId",
    "BillDocumentTypeId",
    "LatestBillEventEventTypeId",
    "LatestBillEventChamberOrganizationId",
    "LatestBillEventNumberOfAmendments",
    "LatestBillEventAmendmentNoteId",
    "BillFormId",
)
_FALSE_IN_A = (
    "IsInSenatePreStudy",
    "IsGovernmentBill",
    "DidReinstateInNextSession",
    "ConsideredDuringPreviousSitting",
    "IsProForma",
    "IsFullLegislativeSummaryAvailable",
    "IsDroppedFromSenateOrderPaper",
)
_FILLED_IN_A = (
    "Id",
    "NumberCode",
    "ParliamentNumber",
    "SessionNumber",
    "OriginatingChamberOrganizationId",
    "IsHouseBill",
    "IsSenateBill",
    "LatestCompletedMajorStageChamberOrganizationId",
    "DidReinstateFromPreviousSession",
    "ReceivedRoyalAssent",
    "IsSessionOngoing",
)
_FILLED_PREFIXES = ("LongTitle", "ShortTitle", "StatusName", "BillDocumentTypeName", "PassedFirst", "PassedSecond")


def row_a(state: State) -> Json:
    """A row of the list of today: the detail's keys, most of them with a placeholder."""
    full = detail(state)
    filled = {key: value for key, value in full.items() if key in _FILLED_IN_A or key.startswith(_FILLED_PREFIXES)}
    return {
        **dict.fromkeys(full),
        **dict.fromkeys(_ZERO_IN_A, 0),
        **dict.fromkeys(_FALSE_IN_A, False),
        **filled,
        **major_stage(state),
        **{key: list_time(full[key]) for key in DATES},
        "SponsorPersonName": " ",
        "LatestBillEventDateTime": NEVER,
        "BillStages": no_stages(),
    }


def row_b(state: State) -> Json:
    """A row of the list as it was from January 2025 to August 2026, with its 45 keys."""
    bill = state.bill
    full = detail(state)
    titles = {key: full[key] for key in ("LongTitleEn", "LongTitleFr", "ShortTitleEn", "ShortTitleFr")}
    return {
        "SearchScore": 1.0,
        "BillId": bill.id,
        "BillNumberPrefix": None,
        "BillNumber": 0,
        "BillNumberSuffix": None,
        "BillNumberFormatted": bill.number,
        **titles,
        "LatestBillMilestoneId": full["LatestCompletedMajorStageId"],
        "LatestCompletedMajorStageEn": full["LatestCompletedMajorStageNameEn"],
        "LatestCompletedMajorStageFr": full["LatestCompletedMajorStageNameFr"],
        "LatestCompletedMajorStageChamberId": full["LatestCompletedMajorStageChamberOrganizationId"],
        "DidReinstateFromPreviousSession": False,
        **{key: list_time(full[key]) for key in DATES},
        **_session_b(bill.session),
        "OriginatingChamberId": bill.chamber,
        "BillTypeId": 0,
        "BillTypeEn": full["BillDocumentTypeNameEn"],
        "BillTypeFr": full["BillDocumentTypeNameFr"],
        "CurrentStatusId": 0,
        "CurrentStatusEn": full["StatusNameEn"],
        "CurrentStatusFr": full["StatusNameFr"],
        "MinistryId": 0,
        "SponsorId": 0,
        "SponsorEn": _sponsor_b(bill.sponsor, "Sen."),
        "SponsorFr": _sponsor_b(bill.sponsor, "Sén."),
        "PoliticalAffiliationId": 0,
        "IsFromCurrentSession": state.session_ongoing,
        "Highlight": None,
        "LatestBillTextTypeId": 80700 + state.texts[-1][0] if state.texts else 0,
        **_activity(state),
    }


def _sponsor_b(sponsor: Sponsor | None, senator: str) -> str | None:
    if sponsor is None:
        return None
    if sponsor.role == 3:
        return f"{senator} {sponsor.name}"
    honorific = sponsor.honorific_en if senator == "Sen." else sponsor.honorific_fr
    return f"{honorific} {sponsor.name}".strip()


def _session_b(code: str) -> Json:
    session = next(s for s in SESSIONS if s.code == code)
    parliament, number = code.split("-")
    end_en = f"to {_day_en(session.last)}" if session.last else "to present"
    end_fr = f"au {_day_fr(session.last)}" if session.last else "à aujourd'hui"
    en = f"{parliament}th Parliament, {number}st session~{_day_en(session.first)} {end_en}"
    fr = f"{parliament}<sup>e</sup> législature, {number}<sup>re</sup> session~{_day_fr(session.first)} {end_fr}"
    return {
        "ParlSessionCode": code,
        "ParlSessionEn": en,
        "ParlSessionFr": fr,
        "ParliamentNumber": int(parliament),
        "SessionNumber": int(number),
    }


def _activity(state: State) -> Json:
    event = state.latest
    _, en, fr = EVENTS[event.type_id]
    day = date.fromisoformat(event.at[:10])
    same_day = [at for at in state.passed.values() if at[:10] == event.at[:10]]
    place_en, place_fr = CHAMBERS[event.chamber]
    return {
        "LatestActivityEn": f"{en} on {_day_en(day)} ({place_en})",
        "LatestActivityFr": f"{fr} le {_day_fr(day)} ({place_fr})",
        "LatestActivityDateTime": list_time(same_day[-1] if same_day else event.at),
    }


def _day_en(day: date) -> str:
    return f"{MONTHS_EN[day.month - 1]} {day.day}, {day.year}"


def _day_fr(day: date) -> str:
    return f"{day.day} {MONTHS_FR[day.month - 1]} {day.year}"
