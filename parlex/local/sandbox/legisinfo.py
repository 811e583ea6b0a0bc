"""LEGISinfo's documents: the detail, and the list in either of its two shapes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from parlex.local.sandbox.sample import HOUSE, SENATE, SESSIONS, Committee, Sponsor, State

EASTERN = ZoneInfo("America/Toronto")
NEVER = "0001-01-01T00:00:00"
Json = dict[str, Any]
Names = tuple[str, str]

STATUSES: dict[int, Names] = {
    341: ("Bill defeated", "Projet de loi rejeté"),
    342: (
        "House of Commons bill awaiting first reading in the Senate",
        "Projet de loi de la Chambre des communes en attente de la première lecture au Sénat",
    ),
    343: ("At second reading in the Senate", "À la deuxième lecture au Sénat"),
    344: ("At consideration in committee in the Senate", "À l'examen en comité au Sénat"),
    345: ("At report stage in the Senate", "À l'étape du rapport au Sénat"),
    346: ("At third reading in the Senate", "À la troisième lecture au Sénat"),
    348: (
        "Senate bill awaiting first reading in the House of Commons",
        "Projet de loi du Sénat en attente de la première lecture à la Chambre des communes",
    ),
    349: ("At second reading in the House of Commons", "À la deuxième lecture à la Chambre des communes"),
    352: ("At consideration in committee in the House of Commons", "À l'examen en comité à la Chambre des communes"),
    353: ("At report stage in the House of Commons", "À l'étape du rapport à la Chambre des communes"),
    354: ("At third reading in the House of Commons", "À l'étape de la troisième lecture à la Chambre des communes"),
    356: ("Awaiting royal assent", "En attente de la sanction royale"),
    357: ("Royal assent received", "Sanction royale reçue"),
    359: ("Introduced as pro forma bill", "Présenté en tant que projet de loi pro forma"),
    360: ("Outside the Order of Precedence", "Ne fait pas partie de l'Ordre de priorité"),
}
TYPES: dict[int, Names] = {
    3: ("House Government Bill", "Projet de loi émanant du gouvernement (Cdc)"),
    4: ("Private Member’s Bill", "Projet de loi émanant d'un député"),
    80759: ("Senate Government Bill", "Projet de loi émanant du gouvernement (Sénat)"),
    80760: ("Senate Public Bill", "Projet de loi d'intérêt public du Sénat"),
    80761: ("Senate Private Bill", "Projet de loi d'intérêt privé (Sénat)"),
}
FORMS: dict[int, Names] = {
    10: ("Regular", "Ordinaire"),
    13: ("Appropriation", "Crédits"),
    15: ("Pro forma", "Pro forma"),
}
ROLES: dict[int, Names] = {
    1: ("Prime Minister", "premier ministre"),
    2: ("Member of Parliament", "député(e)"),
    3: ("Senator", "sénateur"),
    4: ("Minister", "ministre"),
    23: ("President of the Treasury Board", "président du Conseil du Trésor"),
    96: ("HansardDisplay", "HansardDisplay"),
}
CHAMBERS: dict[int, Names] = {HOUSE: ("House of Commons", "Chambre des communes"), SENATE: ("Senate", "Sénat")}
STAGES: dict[int, Names] = {
    60029: ("First reading", "Première lecture"),
    60030: ("Second reading", "Deuxième lecture"),
    60031: ("Third reading", "Troisième lecture"),
    60032: ("Report stage", "Étape du rapport"),
    60049: ("Consideration in committee", "Examen en comité"),
    60050: ("Royal assent", "Sanction royale"),
}
MAJOR_STAGES: dict[str, tuple[int, str, str]] = {
    "1": (60043, "First reading", "Première lecture"),
    "2": (60044, "Second reading", "Deuxième lecture"),
    "3": (60045, "Third reading", "Troisième lecture"),
    "assent": (60046, "Royal assent", "Sanction royale"),
}
EVENTS: dict[int, tuple[int | None, str, str]] = {
    60110: (60029, "Introduction and first reading", "Dépôt et première lecture"),
    60111: (60029, "First reading", "Première lecture"),
    60112: (60030, "Placed in the Order of Precedence", "Ajouté à l'Ordre de priorité"),
    60115: (60030, "Debate at second reading", "Débat à l’étape de la deuxième lecture"),
    60119: (
        60030,
        "Bill defeated at second reading",
        "Rejet du projet de loi à l’étape de la deuxième lecture",
    ),
    60120: (60030, "Second reading", "Deuxième lecture"),
    60121: (60030, "Second reading and referral to committee", "Deuxième lecture et renvoi en comité"),
    60123: (60030, "Referral to committee", "Renvoi en comité"),
    60124: (60049, "Committee report presented", "Présentation du rapport de comité"),
    60126: (60032, "Debate at report stage", "Débat à l’étape du rapport"),
    60130: (60032, "Committee report adopted", "Adoption du rapport de comité"),
    60131: (60031, "Debate at third reading", "Débat à l’étape de la troisième lecture"),
    60134: (60031, "Third reading", "Troisième lecture"),
    60141: (
        None,
        "The Senate does not insist on its amendment(s)",
        "Le Sénat n’insiste pas sur ses amendements",
    ),
    60149: (60050, "Royal assent", "Sanction royale"),
    60285: (60032, "Concurrence at report stage", "Adoption à l’étape du rapport"),
}
TEXTS: dict[int, Names] = {
    1: ("First Reading", "Première lecture"),
    2: ("As amended by committee", "Tel que modifié par le comité"),
    4: ("Royal Assent", "Royal Assent"),
}
PASSED: dict[int, Names] = {
    HOUSE: ("As passed by the House of Commons", "Tel qu’adopté par la Chambre des communes"),
    SENATE: ("As passed by the Senate", "Tel qu’adopté par le Sénat"),
}
DATES = {
    "PassedHouseFirstReadingDateTime": "house_1",
    "PassedHouseSecondReadingDateTime": "house_2",
    "PassedHouseThirdReadingDateTime": "house_3",
    "PassedSenateFirstReadingDateTime": "senate_1",
    "PassedSenateSecondReadingDateTime": "senate_2",
    "PassedSenateThirdReadingDateTime": "senate_3",
    "ReceivedRoyalAssentDateTime": "assent",
}
STAGE_OF_STEP = {"1": 60029, "2": 60030, "committee": 60049, "report": 60032, "3": 60031, "assent": 60050}
NOT_REACHED, NO_ACTIVITY, IN_PROGRESS, COMPLETED, NOT_COMPLETED = 1, 2, 3, 4, 5
STATES: dict[int, Names] = {
    NOT_REACHED: ("Not reached", "Non atteinte"),
    NO_ACTIVITY: ("No activity", "Aucune activité"),
    IN_PROGRESS: ("In progress", "En cours"),
    COMPLETED: ("Completed", "Terminée"),
    NOT_COMPLETED: ("Not completed", "Non achevée"),
}
MONTHS_EN = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
MONTHS_FR = [
    "janvier",
    "février",
    "mars",
    "avril",
    "mai",
    "juin",
    "juillet",
    "août",
    "septembre",
    "octobre",
    "novembre",
    "décembre",
]


def list_time(naive: str | None) -> str | None:
    """The time as the lists print it: Eastern time taken for UTC, then shown in Eastern time with its offset."""
    if naive is None:
        return None
    whole, dot, fraction = naive.partition(".")
    shifted = datetime.fromisoformat(whole).replace(tzinfo=UTC).astimezone(EASTERN).isoformat()
    return f"{shifted[:19]}{dot}{fraction}{shifted[19:]}"


def detail(state: State) -> Json:
    """The one element of a detail's list, with its 135 keys."""
    bill = state.bill
    parliament, session = bill.session.split("-")
    completed = state.reached
    return {
        "Id": bill.id,
        "NumberCode": bill.number,
        "NumberPrefix": bill.prefix,
        "Number": bill.bare_number,
        **_titles(state),
        "StatusId": state.status_id,
        **_names("StatusName", STATUSES[state.status_id]),
        **_major_stage(state),
        "IsInSenatePreStudy": False,
        **_chamber("LatestCompletedMajorStageChamber", _where(_last_major(state))),
        "OngoingStageId": _ongoing(state),
        **_names("OngoingStageName", STAGES[_ongoing(state)]),
        "LatestCompletedBillStageId": _stage(completed),
        **_names("LatestCompletedBillStageName", STAGES[_stage(completed)]),
        **_chamber("LatestCompletedBillStageChamber", _where(completed)),
        "LatestCompletedBillStageDateTime": state.passed[completed],
        "ParliamentNumber": int(parliament),
        "SessionNumber": int(session),
        "BillDocumentTypeId": bill.type_id,
        **_names("BillDocumentTypeName", TYPES[bill.type_id]),
        "IsGovernmentBill": bill.type_id in (3, 80759),
        **_chamber("OriginatingChamber", bill.chamber),
        "IsHouseBill": bill.chamber == HOUSE,
        "IsSenateBill": bill.chamber == SENATE,
        **_sponsor(bill.sponsor),
        **_latest_event(state),
        **{key: state.when(step) for key, step in DATES.items()},
        **_reinstated(),
        **_booleans(state),
        "ConsideredDuringPreviousSitting": False,
        "IsProForma": state.status_id == 359,
        "BillFormId": bill.form_id,
        **_names("BillFormName", FORMS[bill.form_id]),
        **_names("Notes", ("", "")),
        **_names("ShortLegislativeSummary", (None, None)),
        "IsFullLegislativeSummaryAvailable": False,
        "StatuteYear": bill.statute[0] if bill.statute and state.when("assent") else None,
        "StatuteChapter": bill.statute[1] if bill.statute and state.when("assent") else None,
        "BillStages": _bill_stages(state),
        "Publications": [_publication(kind, text, bill.chamber) for kind, text in state.texts],
        "HouseVoteDetails": [],
        "SenateVoteDetails": [],
        "HouseRulingAndStatements": [] if len(state.passed) > 1 else None,  # null or a list, as upstream
        "SenateRulingAndStatements": [] if len(state.passed) > 1 else None,
        "WebReferences": [],
        "BibliographicNotices": [],
        "SenatePreStudyCommitteeDetails": None,
        "SimilarBills": None,
        "IsDroppedFromSenateOrderPaper": False,
        "IsSessionOngoing": state.session_ongoing,
    }


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
        **_major_stage(state),
        **{key: list_time(full[key]) for key in DATES},
        "SponsorPersonName": " ",
        "LatestBillEventDateTime": NEVER,
        "BillStages": _no_stages(),
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


def _names(key: str, names: tuple[str | None, str | None]) -> Json:
    """LEGISinfo's four-name pattern; the key without a suffix repeats the language of the address, English."""
    return {f"{key}En": names[0], f"{key}Fr": names[1], key: names[0]}


def _titles(state: State) -> Json:
    bill = state.bill
    return {
        **_names("LongTitle", (bill.title_en, bill.title_fr)),
        **_names("ShortTitle", (bill.short_en, bill.short_fr)),
    }


def _chamber(key: str, chamber: int) -> Json:
    return {f"{key}OrganizationId": chamber, **_names(f"{key}Name", CHAMBERS[chamber])}


def _where(step: str) -> int:
    return HOUSE if step.startswith("house") else SENATE


def _stage(step: str) -> int:
    return STAGE_OF_STEP[step.rpartition("_")[2]]


def _last_major(state: State) -> str:
    return [step for step in state.bill.path if step in state.passed and step in DATES.values()][-1]


def _major_stage(state: State) -> Json:
    step = _last_major(state)
    milestone, en, fr = MAJOR_STAGES[step.rpartition("_")[2]]
    suffix = {HOUSE: " in the House of Commons", SENATE: " in the Senate"}[_where(step)]
    return {
        "LatestCompletedMajorStageId": milestone,
        **_names("LatestCompletedMajorStageName", (en, fr)),
        "LatestCompletedMajorStageNameWithChamberSuffix": en if step == "assent" else en + suffix,
    }


def _ongoing(state: State) -> int:
    """The stage the bill is at: that of its status, or the one it has just completed."""
    by_status = {349: 60030, 343: 60030, 352: 60049, 344: 60049, 353: 60032, 345: 60032, 354: 60031, 346: 60031}
    return by_status.get(state.status_id, _stage(state.reached))


def _sponsor(sponsor: Sponsor | None) -> Json:
    if sponsor is None:
        return _no_sponsor()
    role = ROLES[sponsor.role]
    return {
        "SponsorSenateSystemAffiliationId": sponsor.senate_affiliation,
        "SponsorPersonId": sponsor.person_id,
        "SponsorPersonOfficialFirstName": sponsor.first,
        "SponsorPersonOfficialLastName": sponsor.last,
        "SponsorPersonUsualFirstName": "",
        "SponsorPersonMiddleName": sponsor.middle,
        "SponsorPersonName": sponsor.name,
        **_names("SponsorPersonShortHonorific", (sponsor.honorific_en, sponsor.honorific_fr)),
        **_names("SponsorAffiliationTitle", (sponsor.title_en, sponsor.title_fr)),
        "SponsorAffiliationRoleId": sponsor.role,
        **_names("SponsorAffiliationRoleName", role),
        "SponsorConstituencyId": sponsor.constituency_id,
        **_names("SponsorConstituencyName", (sponsor.riding_en, sponsor.riding_fr)),
    }


def _no_sponsor() -> Json:
    """As in the 506 records without one: ids null, the name a blank, texts empty."""
    return {
        "SponsorSenateSystemAffiliationId": None,
        "SponsorPersonId": None,
        "SponsorPersonOfficialFirstName": "",
        "SponsorPersonOfficialLastName": "",
        "SponsorPersonUsualFirstName": "",
        "SponsorPersonMiddleName": "",
        "SponsorPersonName": " ",
        **_names("SponsorPersonShortHonorific", ("", "")),
        **_names("SponsorAffiliationTitle", ("", "")),
        "SponsorAffiliationRoleId": None,
        **_names("SponsorAffiliationRoleName", ("", "")),
        "SponsorConstituencyId": None,
        **_names("SponsorConstituencyName", ("", "")),
    }


def _sponsor_b(sponsor: Sponsor | None, senator: str) -> str | None:
    if sponsor is None:
        return None
    if sponsor.role == 3:
        return f"{senator} {sponsor.name}"
    honorific = sponsor.honorific_en if senator == "Sen." else sponsor.honorific_fr
    return f"{honorific} {sponsor.name}".strip()


def _latest_event(state: State) -> Json:
    event = state.latest
    stage, en, fr = EVENTS[event.type_id]
    referred = event.type_id in (60121, 60123, 60124)
    committee = state.bill.house_committee if event.chamber == HOUSE else state.bill.senate_committee
    return {
        "LatestBillEventEventTypeId": event.type_id,
        "LatestBillEventTypeNameEn": en,
        "LatestBillEventTypeNameFr": fr,
        "LatestBillEventStageId": stage,
        "LatestBillEventTypeName": en,
        "LatestBillEventCommitteeDetails": _committee(committee) if referred and committee else None,
        "LatestBillEventDateTime": event.at,
        **_chamber("LatestBillEventChamber", event.chamber),
        "LatestBillEventNumberOfAmendments": 0,
        "LatestBillEventAmendmentNoteId": 0,
        "LatestBillEventMeetingNumber": event.sitting,
        **_names("LatestBillEventAdditionalInformation", ("", "")),
    }


def _reinstated() -> Json:
    return {
        "DidReinstateFromPreviousSession": False,
        "ReinstatedFromBillDocumentId": None,
        "ReinstatedFromBillNumberCode": None,
        "DidReinstateInNextSession": False,
        "ReinstatedAsBillDocumentId": None,
        "ReinstatedAsBillNumberCode": None,
    }


def _booleans(state: State) -> Json:
    first, second = ("house", "senate") if state.bill.chamber == HOUSE else ("senate", "house")
    readings = {"First": "1", "Second": "2", "Third": "3"}
    return {
        **{f"PassedFirstChamber{name}Reading": f"{first}_{n}" in state.passed for name, n in readings.items()},
        **{f"PassedSecondChamber{name}Reading": f"{second}_{n}" in state.passed for name, n in readings.items()},
        "ReceivedRoyalAssent": "assent" in state.passed,
    }


def _publication(kind: int, text: int, chamber: int) -> Json:
    names = PASSED[chamber] if kind == 3 else TEXTS[kind]
    return {"PublicationId": text, "PublicationTypeId": 80700 + kind, **_names("PublicationTypeName", names)}


def _committee(committee: Committee) -> Json:
    """``IsHouseOfCommonsCommittee`` is true for the Senate's committees too, as upstream."""
    return {
        "BillDocumentId": 0,
        "CommitteeOrganizationId": committee.organization_id,
        **_names("CommitteeName", (committee.name_en, committee.name_fr)),
        "CommitteeAcronym": committee.acronym,
        "StudyActivityId": None,
        "OrganizationTypeId": None,
        "ParentCommittee": None,
        "IsSubCommittee": False,
        "IsHouseOfCommonsCommittee": True,
        "IsSenateCommittee": False,
        "IsJointCommittee": False,
    }


def _no_stages() -> Json:
    return {
        "BillId": 0,
        "HouseBillStages": [],
        "SenateBillStages": [],
        "RoyalAssent": [],
        "HouseAdditionalInformation": [],
        "SenateAdditionalInformation": [],
        "InterChamberMessages": [],
    }


def _bill_stages(state: State) -> Json:
    senate = ["1", "2", *(step for step in ("committee", "report") if f"senate_{step}" in state.passed), "3"]
    if state.status_id == 344 and "committee" not in senate:
        senate.insert(2, "committee")
    house = ["1", "2", "committee", "report", "3"]
    return {
        **_no_stages(),
        "HouseBillStages": [_chamber_stage(state, "house", step) for step in house],
        "SenateBillStages": [_chamber_stage(state, "senate", step) for step in senate],
        "RoyalAssent": [_royal_assent(state)] if state.when("assent") else [],
    }


def _chamber_stage(state: State, chamber: str, step: str) -> Json:
    name = f"{chamber}_{step}"
    stage = _stage(name)
    condition = _condition(state, name)
    reached = condition != NOT_REACHED
    en, fr = STATES[condition]
    if stage == 60049:  # "examen" is masculine
        fr = {"Non atteinte": "Non atteint", "Terminée": "Terminé"}.get(fr, fr)
    parliament, session = state.bill.session.split("-")
    committee = state.bill.house_committee if chamber == "house" else state.bill.senate_committee
    names_it = stage in (60030, 60049) or name == "senate_report"
    return {
        "BillStageId": stage,
        **_names("BillStageName", STAGES[stage]),
        "ChamberOrganizationId": _where(name) if reached else 0,
        "ParliamentNumber": int(parliament) if reached else 0,
        "SessionNumber": int(session) if reached else 0,
        "State": condition,
        "StateNameEn": en,
        "StateNameFr": fr,
        "StateAsOfDate": state.when(name),
        "StateName": en,
        "Committee": _committee(committee) if committee and reached and names_it else None,
        **_stage_events(state.when(name), *_end_event(name)),
    }


def _end_event(step: str) -> tuple[int, str, str]:
    by_step = {"1": 60110, "2": 60121, "committee": 60124, "report": 60285, "3": 60134, "assent": 60149}
    by_senate_step = {"2": 60120, "report": 60130}
    key = step.rpartition("_")[2]
    event = by_senate_step.get(key, by_step[key]) if step.startswith("senate") else by_step[key]
    _, en, fr = EVENTS[event]
    return event, en, fr


def _condition(state: State, step: str) -> int:
    """A stage with a day is completed; one jumped over had no activity; the one the bill is at depends on its end."""
    if step in state.passed:
        return COMPLETED
    path = state.bill.path
    if path.index(step) < path.index(state.reached):
        return NO_ACTIVITY if _where(step) == _where(state.reached) or f"{step[:-1]}1" in path else NOT_REACHED
    if _ongoing(state) == _stage(step) and _where(step) == _ongoing_chamber(state.status_id):
        happened = EVENTS[state.latest.type_id][0] == _stage(step) and state.latest.chamber == _where(step)
        return IN_PROGRESS if happened else NO_ACTIVITY
    defeated = state.status_id == 341 and EVENTS[state.latest.type_id][0] == _stage(step)
    return NOT_COMPLETED if defeated and _where(step) == state.latest.chamber else NOT_REACHED


def _ongoing_chamber(status_id: int) -> int | None:
    if status_id in (349, 352, 353, 354):
        return HOUSE
    return SENATE if status_id in (343, 344, 345, 346) else None


def _stage_events(at: str | None, event: int, en: str, fr: str) -> Json:
    """One sitting and one event where the stage ended; how often it was debated in between is not recorded here."""
    day = f"{at[:10]}T00:00:00" if at else None
    sitting = {**_names("Name", (en, fr)), "Number": "", "Date": day, **_names("AdditionalInformation", (None, None))}
    return {
        "Sittings": [{**sitting, "IsPublished": True}] if at else [],
        "Decisions": [],
        "CommitteeMeetings": [],
        "SignificantEvents": [_significant(day, event, en, fr)] if day else [],
        "EndOfStageEvent": _end_of_stage(at, event, en, fr) if at else None,
        "StageEventCount": 1 if at else 0,
        "LastStageEventStartDateTime": at,
        "Speeches": None,
        "ContainsReferralToCommitteeEvent": False,
        "ContainsRecommittalOfBillEvent": False,
    }


def _significant(day: str, event: int, en: str, fr: str) -> Json:
    return {
        "EventTypeId": event,
        "BillDocumentId": 0,
        **_names("EventName", (en, fr)),
        "EventDateTime": day,
        "IsCompletionOfBillStage": True,
        "IsDefeatedEvent": False,
        "CommitteeReportId": None,
        "CommitteeReportNumber": None,
        **_names("AdditionalInformation", ("", "")),
        "MeetingEventId": None,
        "AmendmentNoteId": None,
    }


def _end_of_stage(at: str, event: int, en: str, fr: str) -> Json:
    return {
        "EventTypeId": event,
        **_names("EventTypeName", (en, fr)),
        "EventStartDateTime": at,
        "EventEndDateTime": at,
    }


def _royal_assent(state: State) -> Json:
    """Its state is 0 with null names in every record, even when it was given."""
    parliament, session = state.bill.session.split("-")
    return {
        "BillStageId": 60050,
        **_names("BillStageName", STAGES[60050]),
        "ChamberOrganizationId": SENATE,
        "ParliamentNumber": int(parliament),
        "SessionNumber": int(session),
        "State": 0,
        "StateNameEn": None,
        "StateNameFr": None,
        "StateAsOfDate": None,
        "StateName": None,
        "Committee": None,
        **_stage_events(state.when("assent"), *_end_event("assent")),
    }


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
