"""The rest of a LEGISinfo detail: what happened, texts, links, similar bills; none of it rejects a bill."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from parlex.datasets.bills.bill import NamedDivision
from parlex.datasets.bills.events import PARTS, Event, EventKind, Link, Publication, Similar
from parlex.datasets.bills.legisinfo import parse_bill
from parlex.parliament import Chamber
from tests.datasets.bills.test_legisinfo import (
    KEY,
    NO_STAGES,
    REST,
    core,
    detail,
    document,
    names,
    parsed,
    publication,
    told,
)
from tests.datasets.bills.test_legisinfo import stage as bare

DAY = date(2026, 2, 9)
AT = "2026-02-09T16:15:44"


def stage(stage_id: int = 60030, committee: str | None = None, **lists: Any) -> dict[str, Any]:
    return bare(stage_id, 3, committee=committee) | lists


def happened(**lists: Any) -> tuple[Event, ...]:
    """What a bill of the House tells whose stages are these."""
    return parsed(BillStages=NO_STAGES | lists, **rest(lists)).events


def rest(lists: dict[str, Any]) -> dict[str, Any]:
    return {name: lists.pop(name) for name in list(lists) if name not in NO_STAGES}


def test_a_sitting_is_a_day_with_its_number() -> None:
    row = {"Date": "2016-06-17T00:00:00", "Number": "75A", **names("Name", "Debate", "Débat")}
    (event,) = happened(SenateBillStages=[stage(Sittings=[row | names("AdditionalInformation", " A note ", None)])])
    assert event == Event(
        kind=EventKind.SITTING,
        chamber=Chamber.SENATE,
        stage="second_reading",
        day=date(2016, 6, 17),
        sitting_number="75A",
        name_en="Debate",
        name_fr="Débat",
        note_en="A note",
    )


def test_an_event_has_the_committee_of_its_report() -> None:
    row = {
        "EventDateTime": AT,
        "EventTypeId": 60124,
        **names("EventName", "Committee report presented", "Présentation du rapport de comité"),
        "CommitteeReportNumber": 3,
        **names("AdditionalInformation", "", ""),
    }
    other = row | {"EventTypeId": 60123, "CommitteeReportNumber": None}
    report, referral = happened(HouseBillStages=[stage(60049, "FINA", SignificantEvents=[row, other])])
    assert (report.kind, report.stage, report.day) == (EventKind.EVENT, "committee", DAY)
    assert (report.committee, report.report_number, report.type_id) == ("FINA", 3, 60124)
    assert (referral.committee, referral.report_number) == (None, None)


def test_a_decision_says_how() -> None:
    row = {
        "DecisionSittingDate": AT,
        "DecisionSittingNumber": "82",
        **names("DecisionMotionTitle", "2nd reading", "2e lecture"),
        "DivisionNumber": 61,
        **names("DecisionResultName", "Agreed To", "Adoptée"),
        **names("DecisionMethodName", "On recorded division", "Par appel nominal"),
    }
    division, voice = happened(HouseBillStages=[stage(Decisions=[row, row | {"DivisionNumber": None}])])
    assert (division.sitting_number, division.result_fr, division.method_en) == (
        "82",
        "Adoptée",
        "On recorded division",
    )
    assert division.url_fr == "https://www.ourcommons.ca/members/fr/votes/45/1/61"
    assert (voice.division_number, voice.url_en) == (None, None)


def test_a_meeting_of_the_house_has_its_evidence() -> None:
    row = {"Date": AT, "CommitteeAcronym": "INAN", "Number": "22", **names("CommitteeName", "Committee", "Comité")}
    house, senate = happened(
        HouseBillStages=[stage(60049, CommitteeMeetings=[row])],
        SenateBillStages=[stage(60049, CommitteeMeetings=[row | {"CommitteeAcronym": "LCJC"}])],
    )
    assert house.url_en == "https://www.ourcommons.ca/DocumentViewer/en/45-1/INAN/meeting-22/evidence"
    assert (senate.committee, senate.meeting_number, senate.url_en) == ("LCJC", "22", None)


def test_messages_and_rulings_name_their_chamber() -> None:
    sent = {"Date": AT, "ChamberOrganizationId": 2, "MeetingNumber": "54", **names("EventName", "Sent", "Envoyé")}
    ruled = {
        "RulingStatementDateTime": AT,
        "ChamberOrganizationId": 1,
        "EventTypeId": 60154,
        "MeetingNumber": 49,
        **names("EventTypeName", "Ruling", "Décision"),
        **names("Url", "https://x.test/en", ""),
    }
    message, ruling = happened(InterChamberMessages=[sent], HouseRulingAndStatements=[ruled])
    assert (message.kind, message.chamber, message.stage) == (EventKind.MESSAGE, Chamber.SENATE, "messages")
    assert (ruling.kind, ruling.chamber, ruling.stage) == (EventKind.RULING, Chamber.HOUSE, None)
    assert (ruling.sitting_number, ruling.url_en, ruling.url_fr) == ("49", "https://x.test/en", None)


def test_royal_assent_is_given_in_the_senate() -> None:
    row = {"Date": AT, "Number": "58", **names("Name", "Assent", "Sanction"), **names("AdditionalInformation", "", "")}
    (event,) = happened(RoyalAssent=[bare(60050, 0) | {"Sittings": [row]}])
    assert (event.chamber, event.stage) == (Chamber.SENATE, "royal_assent")


@pytest.mark.parametrize(
    ("number", "bill_type", "folder"),
    [("C-4", (3, "House Government Bill"), "Government"), ("C-4", (4, "Private Member’s Bill"), "Private")],
)
def test_a_printed_version_is_found_by_rule(number: str, bill_type: tuple[int, str], folder: str) -> None:
    rows = [publication(1, 80701), publication(2, 80703, "As passed by the House of Commons")]
    changes = {"BillDocumentTypeId": bill_type[0], "BillDocumentTypeNameEn": bill_type[1], "Publications": rows}
    _, passed = parsed(**changes).publications
    file = f"https://www.parl.ca/Content/Bills/451/{folder}/C-4/C-4_3"
    assert passed == Publication(
        version="as_passed",
        publication_id=2,
        name_en="As passed by the House of Commons",
        name_fr="Première lecture",
        xml_url_en=f"{file}/C-4_E.xml",
        xml_url_fr=f"{file}/C-4_F.xml",
        pdf_url=f"{file}/C-4_3.PDF",
        viewer_url="https://www.parl.ca/DocumentViewer/en/2",
    )


def test_links_similar_bills_and_divisions() -> None:
    link = {
        **names("WebReferenceTypeName", "Press Release", "Communiqué"),
        **names("Title", "T", ""),
        **names("Url", "U", ""),
    }
    vote = {
        "DivisionNumber": 8,
        "DecisionDateTime": AT,
        "DivisionVotesYeas": 335,
        "DivisionVotesNays": 0,
        "DivisionVotePaired": None,
        "DecisionResultNameEn": "Agreed To",
        "DivisionSubjectEn": "2nd reading",
    }
    similar = {"NumberCode": "C-15A", "ParliamentNumber": 37, "SessionNumber": 1}
    bill = parsed(WebReferences=[link], SimilarBills=[similar], HouseVoteDetails=[vote])
    assert bill.links == (
        Link(kind="Press Release", kind_fr="Communiqué", title_en="T", title_fr=None, url_en="U", url_fr=None),
    )
    assert bill.similar == (Similar(similar_key="37-1 C-15A"),)
    assert bill.divisions == (NamedDivision(8, DAY, 335, 0, None, "Agreed To", "2nd reading"),)


def test_what_is_new_upstream_lands_with_the_source_s_words() -> None:
    bill = parsed(
        BillFormId=99,
        BillFormNameEn="Charter",
        OngoingStageId=60099,
        OngoingStageNameEn="Second thoughts",
        Publications=[publication(7, 80709, "As reconsidered")],
    )
    assert (bill.form, bill.form_en, bill.ongoing_stage, bill.ongoing_stage_en) == (
        "unknown",
        "Charter",
        "unknown",
        "Second thoughts",
    )
    (version,) = bill.publications
    assert (version.version, version.xml_url_en, version.viewer_url[-2:]) == ("As reconsidered", None, "/7")
    assert bill.odd == ()
    row = {"Date": AT, "Number": "1", **names("Name", "Debate", "Débat"), **names("AdditionalInformation", "", "")}
    (event,) = happened(HouseBillStages=[bare(60099, 3) | {"Sittings": [row], "BillStageNameEn": "Second thoughts"}])
    assert event.stage == "Second thoughts"


@pytest.mark.parametrize("name", sorted(set(REST) - {"BillDocumentTypeNameEn"}))
@pytest.mark.parametrize("bad", [[1], "missing"])
def test_a_key_that_cannot_be_read_is_an_odd_part_and_the_rest_stands(name: str, bad: object) -> None:
    value = detail(**{name: bad})
    if bad == "missing":
        del value[name]
    body = json.dumps([value]).encode()
    bill = parse_bill(document(body), KEY)
    ((_, field),) = told(bill)
    assert field.partition("[")[0].partition(".")[0] == name
    assert core(bill) == core(parsed())


def test_one_odd_entry_leaves_its_neighbours() -> None:
    good = {
        "Date": AT,
        "Number": "82",
        **names("Name", "Debate", "Débat"),
        **names("AdditionalInformation", None, None),
    }
    bads = [good | {"Number": 82}, good | {"Date": None}, {}, good | {"Date": "1066-01-01T00:00:00"}, None]
    bill = parsed(BillStages=NO_STAGES | {"HouseBillStages": [stage(Sittings=[*bads, good])]})
    assert [event.sitting_number for event in bill.events] == ["82"]
    assert len(told(bill, "events")) == len(bads)
    assert told(bill, "events")[0] == ("events", "BillStages.HouseBillStages[0].Sittings[0].Number")


def test_stages_of_sessions_before_2001_are_no_odd_part() -> None:
    bill = parsed(BillStages=None)
    assert (bill.events, bill.odd) == ((), ())


def test_the_facts() -> None:
    bill = parsed(LatestBillEventDateTime="0001-01-01T00:00:00", NotesEn="<p>A royal recommendation</p>\r\n")
    assert bill.last_event_on is None
    assert bill.notes_en == "<p>A royal recommendation</p>"
    assert (bill.sponsor_title_en, bill.sponsor_riding_fr) == ("Minister of Finance", "Saint-Maurice—Champlain")
    assert (bill.form, bill.ongoing_stage, bill.pre_study_committee) == ("regular", "royal_assent", "NFFN")
    assert (bill.is_in_pre_study, bill.is_dropped, bill.was_debated_last) == (False, False, True)


def test_entries_have_names_that_do_not_hang_on_their_order() -> None:
    row = {"Date": AT, "Number": "82", **names("Name", "Debate", "Débat"), **names("AdditionalInformation", None, None)}
    twin = row | names("Name", "Adoption", "Adoption")
    later = row | {"Date": "2026-02-10T00:00:00", "Number": "83"}
    one = PARTS["events"].named(happened(HouseBillStages=[stage(Sittings=[later, twin, row])]))
    other = PARTS["events"].named(happened(HouseBillStages=[stage(Sittings=[row, later, twin])]))
    assert list(one.items()) == list(other.items())
    assert list(one) == [
        "house.second_reading.sitting.2026-02-09.82",
        "house.second_reading.sitting.2026-02-09.82.2",
        "house.second_reading.sitting.2026-02-10.83",
    ]
    assert PARTS["events"].of_values(one) == tuple(
        sorted(happened(HouseBillStages=[stage(Sittings=[twin, row, later])]), key=lambda one: one.day)
    )
