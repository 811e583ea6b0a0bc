"""LEGISinfo's detail of a bill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parlex.local.sandbox.house import Division
from parlex.local.sandbox.legisinfo_names import (
    CHAMBERS,
    COMPLETED,
    DATES,
    EVENTS,
    FORMS,
    IN_PROGRESS,
    MAJOR_STAGES,
    NO_ACTIVITY,
    NOT_COMPLETED,
    NOT_REACHED,
    PASSED,
    RESULTS,
    ROLES,
    STAGE_OF_STEP,
    STAGES,
    STATES,
    STATUSES,
    TEXTS,
    TYPES,
)
from parlex.local.sandbox.sample import HOUSE, SENATE, Committee, Sponsor, State, sitting_numbers

Json = dict[str, Any]


def detail(state: State, divisions: Sequence[Division] = ()) -> Json:
    """The one element of a detail's list, with its 135 keys. ``divisions``: those of the House on the bill."""
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
        **major_stage(state),
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
        "BillStages": _bill_stages(state, divisions),
        "Publications": [_publication(kind, text, bill.chamber) for kind, text in state.texts],
        "HouseVoteDetails": [_house_vote(division) for division in divisions],
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


def major_stage(state: State) -> Json:
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


def no_stages() -> Json:
    return {
        "BillId": 0,
        "HouseBillStages": [],
        "SenateBillStages": [],
        "RoyalAssent": [],
        "HouseAdditionalInformation": [],
        "SenateAdditionalInformation": [],
        "InterChamberMessages": [],
    }


def _house_vote(division: Division) -> Json:
    result_id, result_en, result_fr = RESULTS[division.result]
    return {
        "BillDocumentId": 0,
        "DivisionNumber": division.number,
        **_names("DivisionSubject", (division.description_en, division.description_fr)),
        "DivisionVotesYeas": division.yeas,
        "DivisionVotesNays": division.nays,
        "DivisionVotePaired": division.paired,
        "DivisionVoteTotal": division.yeas + division.nays + division.paired,
        "DecisionResultId": result_id,
        **_names("DecisionResultName", (result_en, result_fr)),
        "DecisionDateTime": f"{division.date}T10:00:00",
        "IsAgreedTo": division.result == "Passed",
        "IsNegatived": division.result == "Failed",
        "IsTied": division.result == "Tie",
        "OrganizationId": 0,
    }


def _decision(division: Division) -> Json:
    """The division by which a stage ended."""
    result_id, result_en, result_fr = RESULTS[division.result]
    return {
        "DecisionProceduralEventId": 0,
        "DecisionMotionDocumentId": 0,
        **_names("DecisionMotionTitle", (division.description_en, division.description_fr)),
        "DecisionResultId": result_id,
        **_names("DecisionResultName", (result_en, result_fr)),
        "DecisionMethodId": 10,
        **_names("DecisionMethodName", ("On recorded division", "Par vote par appel nominal")),
        "DivisionNumber": division.number,
        "DivisionVotesYeas": division.yeas,
        "DivisionVotesNays": division.nays,
        "DivisionVotePaired": division.paired,
        "DecisionSittingDate": f"{division.date}T00:00:00",
        "DecisionSittingNumber": "",
    }


def _bill_stages(state: State, divisions: Sequence[Division]) -> Json:
    senate = ["1", "2", *(step for step in ("committee", "report") if f"senate_{step}" in state.passed), "3"]
    if state.status_id == 344 and "committee" not in senate:
        senate.insert(2, "committee")
    house = ["1", "2", "committee", "report", "3"]
    return {
        **no_stages(),
        "HouseBillStages": [_chamber_stage(state, "house", step, divisions) for step in house],
        "SenateBillStages": [_chamber_stage(state, "senate", step) for step in senate],
        "RoyalAssent": [_royal_assent(state)] if state.when("assent") else [],
    }


def _chamber_stage(state: State, chamber: str, step: str, divisions: Sequence[Division] = ()) -> Json:
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
        **_stage_events(state, name),
        "Decisions": [_decision(one) for one in divisions if one.date == (state.when(name) or "")[:10]],
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


def _stage_events(state: State, step: str) -> Json:
    """One sitting and one event where the stage ended; how often it was debated in between is not recorded here, and
    of few sittings the number is."""
    at, (event, en, fr) = state.when(step), _end_event(step)
    day = f"{at[:10]}T00:00:00" if at else None
    number = sitting_numbers().get((state.bill.session, _where(step), (at or "")[:10]), "")
    sitting = {
        **_names("Name", (en, fr)),
        "Number": number,
        "Date": day,
        **_names("AdditionalInformation", (None, None)),
    }
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
        **_stage_events(state, "assent"),
    }
