"""LEGISinfo's documents: the facts of two bills, written here in the source's form, and what must not be believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parlex.datasets.bills.bill import (
    PARTICULARS,
    BillType,
    LegisinfoBill,
    Listing,
    Milestones,
    Stage,
    StageCode,
    StageState,
    StatusCode,
)
from parlex.datasets.bills.legisinfo import Legisinfo, SessionList, parse_bill, parse_list
from parlex.errors import DocumentError
from parlex.fetching.document import Document
from parlex.fetching.http import Client, Tally
from parlex.parliament import BillKey, Chamber, SessionId
from tests.throttles import NullThrottle

URL = "https://www.parl.test/doc"
KEY = BillKey.parse("45-1 C-4")
BOM = b"\xef\xbb\xbf"
OTTAWA = ZoneInfo("America/Toronto")

thorough = settings(max_examples=300, derandomize=True, deadline=None, database=None)

DAYS = {
    "house_first_reading_on": "PassedHouseFirstReadingDateTime",
    "house_second_reading_on": "PassedHouseSecondReadingDateTime",
    "house_third_reading_on": "PassedHouseThirdReadingDateTime",
    "senate_first_reading_on": "PassedSenateFirstReadingDateTime",
    "senate_second_reading_on": "PassedSenateSecondReadingDateTime",
    "senate_third_reading_on": "PassedSenateThirdReadingDateTime",
    "royal_assent_on": "ReceivedRoyalAssentDateTime",
}


def stage(
    stage_id: int, state: int, day: str | None = None, committee: str | None = None, sittings: int = 0
) -> dict[str, Any]:
    return {
        "BillStageId": stage_id,
        "State": state,
        "StateAsOfDate": day,
        "Committee": {"CommitteeAcronym": committee} if committee else None,
        "Sittings": [
            {
                "Date": "2025-06-05T00:00:00",
                "Number": str(number),
                **names("Name", "Debate at second reading", "Débat à l’étape de la deuxième lecture"),
                **names("AdditionalInformation", None, None),
            }
            for number in range(1, sittings + 1)
        ],
        "BillStageNameEn": "A stage",
        "SignificantEvents": [],
        "Decisions": [],
        "CommitteeMeetings": [],
    }


def names(key: str, en: str | None, fr: str | None) -> dict[str, str | None]:
    return {f"{key}En": en, f"{key}Fr": fr}


# What decides nothing, as null as it can be.
REST: dict[str, Any] = {
    **names("BillDocumentTypeName", "House Government Bill", "Projet de loi émanant du gouvernement (Cdc)"),
    "BillFormId": 10,
    **names("BillFormName", "Regular", "Ordinaire"),
    "OngoingStageId": 60050,
    **names("OngoingStageName", "Royal assent", "Sanction royale"),
    "LatestBillEventDateTime": "2026-03-12T20:00:00",
    **names("LatestBillEventTypeName", "Royal assent", "Sanction royale"),
    **names("SponsorAffiliationTitle", "Minister of Finance ", "ministre des Finances"),
    **names("SponsorConstituencyName", "Saint-Maurice—Champlain", "Saint-Maurice—Champlain"),
    "IsInSenatePreStudy": False,
    "SenatePreStudyCommitteeDetails": {"CommitteeAcronym": "NFFN"},
    "IsDroppedFromSenateOrderPaper": False,
    "ConsideredDuringPreviousSitting": True,
    **names("Notes", "", ""),
    "WebReferences": [],
    "SimilarBills": None,
    "HouseVoteDetails": [],
    "HouseRulingAndStatements": None,
    "SenateRulingAndStatements": None,
}
NO_STAGES: dict[str, Any] = {
    **{name: [] for name in ("HouseBillStages", "SenateBillStages", "RoyalAssent", "HouseAdditionalInformation")},
    **{name: [] for name in ("SenateAdditionalInformation", "InterChamberMessages")},
}


def publication(number: int, kind: int, name: str = "First Reading") -> dict[str, Any]:
    return {
        "PublicationId": number,
        "PublicationTypeId": kind,
        **names("PublicationTypeName", name, "Première lecture"),
    }


def detail(**changes: Any) -> dict[str, Any]:
    """Bill C-4 of 45-1, as far as Parlex reads it. Each caller's own: some change it at any depth."""
    return {
        **deepcopy(REST),
        "Id": 13539746,
        "NumberCode": "C-4",
        "ParliamentNumber": 45,
        "SessionNumber": 1,
        "LongTitleEn": "An Act respecting certain affordability measures for Canadians and another measure\r\n",
        "LongTitleFr": "Loi concernant certaines mesures d’abordabilité pour les Canadiens et une autre mesure",
        "ShortTitleEn": "Making Life More Affordable for Canadians Act",
        "ShortTitleFr": "Loi visant à rendre la vie plus abordable pour les Canadiens",
        "StatusId": 357,
        "StatusNameEn": "Royal assent received",
        "StatusNameFr": "Sanction royale reçue",
        "BillDocumentTypeId": 3,
        "OriginatingChamberOrganizationId": 1,
        "IsProForma": False,
        "SponsorPersonId": 88633,
        "SponsorPersonName": "François-Philippe Champagne",
        "PassedHouseFirstReadingDateTime": "2025-06-05T10:03:21.533",
        "PassedHouseSecondReadingDateTime": "2025-06-12T15:20:00",
        "PassedHouseThirdReadingDateTime": "2025-12-11T00:00:00",
        "PassedSenateFirstReadingDateTime": "2025-12-11T00:00:00",
        "PassedSenateSecondReadingDateTime": "2026-02-05T23:59:59.9",
        "PassedSenateThirdReadingDateTime": "2026-02-26T00:00:00",
        "ReceivedRoyalAssentDateTime": "2026-03-12T20:00:00",
        "StatuteYear": 2026,
        "StatuteChapter": 2,
        "ReinstatedFromBillNumberCode": None,
        "ReinstatedAsBillNumberCode": None,
        "Publications": [publication(13541234, 80701), publication(13969008, 80704)],
        "ShortLegislativeSummaryEn": None,
        "ShortLegislativeSummaryFr": " ",
        "BillStages": {
            **deepcopy(NO_STAGES),
            "HouseBillStages": [
                stage(60029, 4, "2025-06-05T10:03:21.533", sittings=1),
                stage(60030, 4, "2025-06-12T15:20:00", "FINA", 3),
            ],
            "SenateBillStages": [stage(60029, 1), stage(60038, 3, committee="NFFN")],
            "RoyalAssent": [stage(60050, 0, sittings=1)],
        },
    } | changes


def document(value: object) -> Document:
    body = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    return Document(URL, 200, datetime(2026, 11, 22, tzinfo=UTC), "application/json", body)


def parsed(key: BillKey = KEY, **changes: Any) -> LegisinfoBill:
    return parse_bill(document([detail(**changes)]), key)


def refused(field: str, **changes: Any) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parsed(**changes)
    error = caught.value
    assert (error.source, error.key, error.document) == ("legisinfo", "45-1 C-4", URL)
    assert error.field == field
    return error


def told(bill: LegisinfoBill, *parts: str) -> list[tuple[str | None, str]]:
    """The odd parts of a bill, of these parts alone where they are named: which, and where in the document."""
    assert {(error.source, error.key, error.document) for error in bill.odd} == {("legisinfo", "45-1 C-4", URL)}
    return [(error.part, error.field or "") for error in bill.odd if error.part in parts or not parts]


def core(bill: LegisinfoBill) -> LegisinfoBill:
    """The bill without what decides nothing: see ``test_legisinfo_rest.py``."""
    return replace(bill, odd=(), divisions=(), **dict.fromkeys(PARTICULARS))


def listed(moment: str | None) -> str | None:
    """As the lists print it: Ottawa's time taken for UTC, shown in Eastern time."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC).astimezone(OTTAWA).isoformat() if moment else None


def row(shape: str, source: dict[str, Any]) -> dict[str, Any]:
    same = ("LongTitleEn", "LongTitleFr", "ShortTitleEn", "ShortTitleFr", "ParliamentNumber", "SessionNumber")
    common = {name: source[name] for name in same} | {key: listed(source[key]) for key in DAYS.values()}
    names = {
        "A": ("Id", "NumberCode", "StatusNameEn", "BillDocumentTypeNameEn"),
        "B": ("BillId", "BillNumberFormatted", "CurrentStatusEn", "BillTypeEn"),
    }[shape]
    values = (source[name] for name in ("Id", "NumberCode", "StatusNameEn", "BillDocumentTypeNameEn"))
    return common | dict(zip(names, values, strict=True))


def other(**changes: Any) -> dict[str, Any]:
    """Bill S-1 of 45-1, the Senate's pro forma bill."""
    blank = dict.fromkeys(DAYS.values()) | {"PassedSenateFirstReadingDateTime": "2025-05-27T00:00:00"}
    facts = {
        "Id": 13539458,
        "NumberCode": "S-1",
        "LongTitleEn": "An Act relating to railways",
        "LongTitleFr": "Loi concernant les chemins de fer",
        "ShortTitleEn": "",
        "ShortTitleFr": None,
        "StatusNameEn": "Introduced as pro forma bill",
        "BillDocumentTypeNameEn": "Senate Government Bill",
    }
    return detail(**(facts | blank | changes))


def rows(shape: str = "A") -> list[dict[str, Any]]:
    return [row(shape, other()), row(shape, detail())]


# --- addresses ---------------------------------------------------------------------------------------------------


def test_addresses_and_the_way_to_them() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(304 if "if-none-match" in request.headers else 200, json=[])

    client = Client(
        user_agent="t",
        throttle=NullThrottle(),
        connect_timeout=1,
        read_timeout=1,
        max_body_bytes=1000,
        transport=httpx.MockTransport(answer),
    )
    source, tally = Legisinfo(client, "https://www.parl.test"), Tally()
    assert source.list_bills(SessionId(45, 1), tally).body == b"[]"
    assert source.list_bills(None, tally).body == b"[]"
    assert source.list_bills(None, tally, etag='"x"', last_modified=None) is None
    assert source.fetch_bill(BillKey.parse("37-1 C-15A"), tally) is not None
    assert source.fetch_bill(KEY, tally, etag='"x"', last_modified=None, background=True) is None
    assert tally.requests == 5
    assert asked == [
        "https://www.parl.test/legisinfo/en/bills/json?parlsession=45-1",
        "https://www.parl.test/legisinfo/en/bills/json",
        "https://www.parl.test/legisinfo/en/bills/json",
        "https://www.parl.test/legisinfo/en/bill/37-1/c-15a/json",
        "https://www.parl.test/legisinfo/en/bill/45-1/c-4/json",
    ]
    client.close()


# --- details -----------------------------------------------------------------------------------------------------


def test_a_detail_becomes_a_bill() -> None:
    assert core(parsed()) == LegisinfoBill(
        **dict.fromkeys(PARTICULARS),
        divisions=(),
        key=KEY,
        legisinfo_id=13539746,
        title_en="An Act respecting certain affordability measures for Canadians and another measure",
        title_fr="Loi concernant certaines mesures d’abordabilité pour les Canadiens et une autre mesure",
        short_title_en="Making Life More Affordable for Canadians Act",
        short_title_fr="Loi visant à rendre la vie plus abordable pour les Canadiens",
        status_code=StatusCode.ROYAL_ASSENT_GIVEN,
        status_en="Royal assent received",
        status_fr="Sanction royale reçue",
        bill_type=BillType.HOUSE_GOVERNMENT,
        is_government=True,
        chamber=Chamber.HOUSE,
        is_pro_forma=False,
        sponsor_person_id=88633,
        sponsor_name="François-Philippe Champagne",
        milestones=Milestones(
            date(2025, 6, 5),
            date(2025, 6, 12),
            date(2025, 12, 11),
            date(2025, 12, 11),
            date(2026, 2, 5),
            date(2026, 2, 26),
            date(2026, 3, 12),
        ),
        statute_year=2026,
        statute_chapter=2,
        reinstated_from=None,
        reinstated_as=None,
        text_url="https://www.parl.ca/DocumentViewer/en/13969008",
        summary_en=None,
        summary_fr=None,
        stages=(
            Stage(Chamber.HOUSE, StageCode.FIRST_READING, StageState.COMPLETED, date(2025, 6, 5), None, 1),
            Stage(Chamber.HOUSE, StageCode.SECOND_READING, StageState.COMPLETED, date(2025, 6, 12), "FINA", 3),
            Stage(Chamber.SENATE, StageCode.FIRST_READING, StageState.NOT_REACHED, None, None, 0),
            Stage(Chamber.SENATE, StageCode.PRE_STUDY, StageState.IN_PROGRESS, None, "NFFN", 0),
            Stage(None, StageCode.ROYAL_ASSENT, StageState.COMPLETED, date(2026, 3, 12), None, 1),
        ),
    )


def test_a_byte_order_mark_is_no_part_of_it() -> None:
    body = BOM + json.dumps([detail()]).encode()
    assert parse_bill(document(body), KEY) == parsed()


def test_what_the_source_leaves_out_is_null() -> None:
    bill = parsed(
        ShortTitleEn="  ",
        ShortTitleFr=None,
        SponsorPersonId=None,
        SponsorPersonName=" ",
        StatuteYear=None,
        StatuteChapter=None,
        Publications=[],
        BillStages=None,
        ReinstatedFromBillNumberCode=" ",
        **dict.fromkeys(DAYS.values(), "0001-01-01T00:00:00"),
    )
    assert (bill.short_title_en, bill.short_title_fr, bill.sponsor_person_id, bill.sponsor_name) == (None,) * 4
    assert (bill.statute_year, bill.statute_chapter, bill.text_url, bill.reinstated_from) == (None,) * 4
    assert bill.milestones.days() == (None,) * 7
    assert bill.stages == ()


def test_reinstated_bills_name_their_relatives() -> None:
    key = BillKey.parse("41-2 C-4")
    changes = {"ParliamentNumber": 41, "SessionNumber": 2}
    bill = parsed(key, **changes, ReinstatedFromBillNumberCode="C-15A", ReinstatedAsBillNumberCode="C-7 ")
    assert str(bill.reinstated_from) == "41-1 C-15A"
    assert str(bill.reinstated_as) == "41-3 C-7"


def test_assent_that_has_not_come_is_a_stage_not_reached() -> None:
    assert parsed(ReceivedRoyalAssentDateTime=None).stages[-1] == Stage(
        None, StageCode.ROYAL_ASSENT, StageState.NOT_REACHED, None, None, 1
    )


STATUSES = [
    (341, "Bill defeated", "BillDefeated"),
    (342, "House of Commons bill awaiting first reading in the Senate", "HouseBillWaitingSenate"),
    (343, "At second reading in the Senate", "SenateAt2ndReading"),
    (344, "At consideration in committee in the Senate", "SenateInCommittee"),
    (345, "At report stage in the Senate", "SenateAtReportStage"),
    (346, "At third reading in the Senate", "SenateAt3rdReading"),
    (
        347,
        "At consideration in the Senate of amendments made by the House of Commons",
        "SenConsideringHouseAmendments",
    ),
    (348, "Senate bill awaiting first reading in the House of Commons", "SenateBillWaitingHouse"),
    (349, "At second reading in the House of Commons", "HouseAt2ndReading"),
    (
        350,
        "Referred to committee before second reading in the House of Commons",
        "HouseAtReferralToCommitteeBeforeSecondReading",
    ),
    (351, "At report stage and second reading in the House of Commons", "HouseAtReportStageAndSecondReading"),
    (352, "At consideration in committee in the House of Commons", "HouseInCommittee"),
    (353, "At report stage in the House of Commons", "HouseAtReportStage"),
    (354, "At third reading in the House of Commons", "HouseAt3rdReading"),
    (
        355,
        "At consideration in the House of Commons of amendments made by the Senate",
        "HouseConsideringSenAmendments",
    ),
    (357, "Royal assent received", "RoyalAssentGiven"),
    (358, "Bill not proceeded with", "WillNotBeProceededWith"),
    (359, "Introduced as pro forma bill", "ProForma"),
    (360, "Outside the Order of Precedence", "OutsideOrderPrecedence"),
    (356, "Awaiting royal assent", "RoyalAssentAwaiting"),
    (0, "Awaiting royal assent", "RoyalAssentAwaiting"),
]


@pytest.mark.parametrize(("number", "text", "code"), STATUSES)
def test_the_twenty_statuses(number: int, text: str, code: str) -> None:
    bill = parsed(StatusId=number, StatusNameEn=f" {text} ")
    assert (bill.status_code, bill.status_en) == (code, text)


def test_every_status_code_is_reached() -> None:
    assert {code for _, _, code in STATUSES} == set(StatusCode)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (357, "Outside the Order of Precedence"),
        (361, "Royal assent received"),
        (0, "Royal assent received"),
        (357, "Awaiting royal assent"),
    ],
)
def test_a_status_that_contradicts_its_id(number: int, text: str) -> None:
    error = refused("StatusNameEn", StatusId=number, StatusNameEn=text)
    assert repr(text) in error.reason


@pytest.mark.parametrize(
    ("number", "text"), [(357, "Royal Assent Received"), (357, "Sent to the moon"), (999, "Sent to the moon")]
)
def test_a_status_that_is_unknown_is_taken_as_it_stands(number: int, text: str) -> None:
    found = parsed(StatusId=number, StatusNameEn=f" {text} ")
    assert (found.status_code, found.status_en) == ("unknown", text)


def test_a_type_that_is_unknown_is_taken_as_it_stands() -> None:
    for flag in (True, False):
        found = parsed(BillDocumentTypeId=3, BillDocumentTypeNameEn=" Royal Bill ", IsGovernmentBill=flag)
        assert (found.bill_type, found.is_government) == ("Royal Bill", flag)
    refused("IsGovernmentBill", BillDocumentTypeNameEn="Royal Bill")


@pytest.mark.parametrize(
    ("number", "text", "bill_type"),
    [
        (3, "House Government Bill", BillType.HOUSE_GOVERNMENT),
        (4, "Private Member’s Bill", BillType.PRIVATE_MEMBERS),
        (4, "Private Member's Bill", BillType.PRIVATE_MEMBERS),
        (80759, "Senate Government Bill", BillType.SENATE_GOVERNMENT),
        (80760, "Senate Public Bill", BillType.SENATE_PUBLIC),
        (80761, "Senate Private Bill", BillType.SENATE_PRIVATE),
    ],
)
def test_the_five_types(number: int, text: str, bill_type: BillType) -> None:
    assert parsed(BillDocumentTypeId=number, BillDocumentTypeNameEn=text).bill_type is bill_type


@pytest.mark.parametrize(("number", "text"), [(4, "House Government Bill"), (0, "Senate Public Bill")])
def test_a_type_that_contradicts_its_id(number: int, text: str) -> None:
    error = refused("BillDocumentTypeNameEn", BillDocumentTypeId=number, BillDocumentTypeNameEn=text)
    assert repr(text) in error.reason


@pytest.mark.parametrize("field", ["LongTitleEn", "LongTitleFr", "StatusNameEn", "StatusNameFr"])
@pytest.mark.parametrize("blank", ["", " \r\n"])
def test_both_languages_are_there(field: str, blank: str) -> None:
    refused(field, **{field: blank})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Id", "13539746"),
        ("Id", 1.5),
        ("Id", True),
        ("Id", None),
        ("Id", 0),
        ("Id", 2**63),
        ("IsProForma", "false"),
        ("IsProForma", None),
        ("SponsorPersonId", 2**63),
        ("SponsorPersonId", 0),
        ("StatuteYear", 26),
        ("StatuteYear", 32768),
        ("StatuteChapter", 32768),
        ("StatuteChapter", 0),
        ("ParliamentNumber", 0),
        ("LongTitleEn", "a\x00b"),
        ("LongTitleFr", "a\x1bb"),
        ("ShortTitleEn", "a\x0bb"),
        ("SponsorPersonName", "\x08"),
        ("ShortLegislativeSummaryFr", "\x0c"),
        ("PassedHouseFirstReadingDateTime", "2025-06-05T10:00:00-04:00"),
        ("PassedHouseFirstReadingDateTime", "2025-02-30T00:00:00"),
        ("PassedHouseFirstReadingDateTime", "2025-06-05"),
        ("PassedHouseFirstReadingDateTime", "yesterday"),
        ("PassedHouseFirstReadingDateTime", ""),
        ("PassedHouseFirstReadingDateTime", 20250605),
        ("PassedHouseFirstReadingDateTime", "0001-01-02T00:00:00"),
        ("ReceivedRoyalAssentDateTime", "1066-10-14T00:00:00"),
        ("OriginatingChamberOrganizationId", 2),
        ("OriginatingChamberOrganizationId", 3),
        ("ReinstatedFromBillNumberCode", "C-3"),  # there is no session before the first
        ("ReinstatedAsBillNumberCode", "Bill 3"),
    ],
)
def test_a_value_that_was_not_promised_names_its_field(field: str, value: object) -> None:
    refused(field, **{field: value})


@pytest.mark.parametrize("field", sorted(set(detail()) - (set(REST) - {"BillDocumentTypeNameEn"})))
def test_no_key_may_be_missing(field: str) -> None:
    value = detail()
    del value[field]
    with pytest.raises(DocumentError) as caught:
        parse_bill(document([value]), KEY)
    assert (caught.value.field, caught.value.reason) == (field, "is missing")


@pytest.mark.parametrize(
    ("path", "bad"),
    [
        ("BillStages.HouseBillStages[0].BillStageId", stage(60056, 1)),
        ("BillStages.HouseBillStages[0].State", stage(60029, 6)),
        ("BillStages.HouseBillStages[0].StateAsOfDate", stage(60029, 3, "2025-06-05T00:00:00")),
        ("BillStages.HouseBillStages[0].Sittings", stage(60029, 1) | {"Sittings": None}),
        ("BillStages.HouseBillStages[0].Committee.CommitteeAcronym", stage(60049, 1) | {"Committee": {}}),
    ],
)
def test_stages_are_from_a_closed_set(path: str, bad: dict[str, Any]) -> None:
    good = stage(60030, 1)
    bill = parsed(BillStages=NO_STAGES | {"HouseBillStages": [bad, good]})
    assert [found.code for found in bill.stages] == [StageCode.SECOND_READING]
    assert told(bill, "stages") == [("stages", path)]


@pytest.mark.parametrize("bad", [stage(60029, 0), stage(60050, 6)])
def test_assent_is_a_stage_of_its_own(bad: dict[str, Any]) -> None:
    stages = NO_STAGES | {"HouseBillStages": [stage(60029, 1)], "RoyalAssent": [bad]}
    bill = parsed(BillStages=stages, ReceivedRoyalAssentDateTime=None)
    assert [found.code for found in bill.stages] == [StageCode.FIRST_READING]
    ((part, field),) = told(bill, "stages")
    assert (part, field.rpartition(".")[0]) == ("stages", "BillStages.RoyalAssent[0]")


@pytest.mark.parametrize("bad", [None, {}, "none", [None], [{}], [{"PublicationId": None}]])
def test_texts_that_cannot_be_read_are_an_odd_part_of_the_bill(bad: object) -> None:
    bill = parsed(Publications=bad)
    ((part, field),) = told(bill, "text_url")
    assert (part, field.partition("[")[0].partition(".")[0]) == ("text_url", "Publications")
    assert core(bill) == replace(core(parsed()), text_url=None)


@pytest.mark.parametrize("bad", [[], {}, "none", NO_STAGES | {"HouseBillStages": None}])
def test_stages_that_are_none_are_an_odd_part_of_the_bill(bad: object) -> None:
    bill = parsed(BillStages=bad)
    ((part, field),) = told(bill, "stages")
    assert (part, field.partition(".")[0]) == ("stages", "BillStages")
    assert core(bill) == replace(core(parsed()), stages=())


def test_a_stage_whose_state_is_not_stated() -> None:
    """LEGISinfo states none (0) for royal assent and for additional information."""
    stages = NO_STAGES | {"HouseBillStages": [stage(60039, 0)]}
    (found,) = parsed(BillStages=stages).stages
    assert (found.code, found.state) == (StageCode.REINSTATED, StageState.NOT_STATED)


@pytest.mark.parametrize("changes", [{"NumberCode": "C-5"}, {"NumberCode": "c-4"}, {"SessionNumber": 2}])
def test_the_detail_of_another_bill_is_not_taken(changes: dict[str, Any]) -> None:
    assert "is the detail of" in refused("NumberCode", **changes).reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"[null]",
        b"[[]]",
        b"<html></html>",
        b"[" * 100_000,
        b'[{"a":' * 100_000,
        b'[{"Id": 1e999}]',
        b'[{"Id": ' + b"9" * 5000 + b"}]",
        b'[{"NumberCode": "\\ud800"}]',
        b'[{"Unread": "\xff"}]',
        json.dumps([detail(), detail()]).encode(),
        json.dumps([detail()]).encode()[:-3],
        json.dumps([detail()]).encode() + b"]",
        json.dumps([detail()]).encode("utf-16"),
        json.dumps([detail(LongTitleEn="\ud83d")]).encode(),
    ],
)
def test_what_is_no_detail_is_a_document_error(body: bytes) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_bill(document(body), KEY)
    assert (caught.value.key, caught.value.document) == ("45-1 C-4", URL)


# --- lists -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["A", "B"])
def test_both_shapes_become_the_same_listings(shape: str) -> None:
    sessions = parse_list(document(rows(shape)))
    bill = parsed()
    railways = sessions.listings[0]
    assert (sessions.session, sessions.shape, sessions.doubled, sessions.rejected) == (SessionId(45, 1), shape, (), ())
    assert str(railways.key) == "45-1 S-1"
    assert (railways.short_title_en, railways.short_title_fr) == (None, None)
    assert railways.milestones.days() == (None, None, None, date(2025, 5, 27), None, None, None)
    assert sessions.listings[1] == Listing(
        KEY,
        bill.legisinfo_id,
        bill.title_en,
        bill.title_fr,
        bill.short_title_en,
        bill.short_title_fr,
        bill.status_code,
        bill.status_en,
        bill.bill_type,
        bill.milestones,
    )


def test_the_days_of_a_list_are_ottawas() -> None:
    """Printed four or five hours early, midnight falls on the evening before."""
    printed = row("A", detail())["PassedSenateThirdReadingDateTime"]
    assert printed == "2026-02-25T19:00:00-05:00"
    assert parse_list(document(rows())).listings[1].milestones.senate_third_reading_on == date(2026, 2, 26)


def test_fill_rates_count_every_row() -> None:
    bad = row("A", other(NumberCode="S-2")) | {"StatusNameEn": None}
    rates = parse_list(document([*rows(), bad, None])).fill_rates
    assert rates["title_en"] == rates["legisinfo_id"] == 0.75
    assert rates["status_code"] == 0.5
    assert rates["short_title_en"] == rates["royal_assent_on"] == 0.25
    assert set(rates) == {
        *("legisinfo_id", "title_en", "title_fr", "short_title_en", "short_title_fr", "status_code", "bill_type"),
        *DAYS,
    }


def test_an_empty_list_says_nothing() -> None:
    assert parse_list(document(BOM + b"[]")) == SessionList(None, None, (), (), (), {})


@pytest.mark.parametrize("shape", ["A", "B"])
@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"LongTitleFr": ""}, "LongTitleFr", "is blank"),
        ({"LongTitleEn": "\x00"}, "LongTitleEn", "holds a control character"),
        ({"PassedHouseFirstReadingDateTime": "2025-06-05T10:00:00"}, "PassedHouseFirstReadingDateTime", "timezone"),
        ({"ReceivedRoyalAssentDateTime": "0001-01-01T00:00:00+05:00"}, "ReceivedRoyalAssentDateTime", "calendar"),
        ({"ReceivedRoyalAssentDateTime": "1001-01-01T00:00:00Z"}, "ReceivedRoyalAssentDateTime", "Confederation"),
        ({"ShortTitleEn": 7}, "ShortTitleEn", "Expected `str | null`, got `int`"),
        ({"ParliamentNumber": "forty-five"}, "ParliamentNumber", "Expected `int`, got `str`"),
    ],
)
def test_a_bad_row_is_rejected_by_its_key_and_the_rest_stands(
    shape: str, changes: dict[str, Any], field: str, reason: str
) -> None:
    good, bad = rows(shape)
    sessions = parse_list(document([bad | changes, good]))
    (error,) = sessions.rejected
    assert [str(listing.key) for listing in sessions.listings] == ["45-1 S-1"]
    assert (error.key, error.field, error.document) == ("45-1 C-4", field, URL)
    assert reason in error.reason


@pytest.mark.parametrize(("shape", "field"), [("A", "StatusNameEn"), ("B", "CurrentStatusEn")])
def test_an_unknown_status_is_taken_as_it_stands(shape: str, field: str) -> None:
    good, new = rows(shape)
    read = parse_list(document([good, new | {field: " Sent to the moon "}]))
    assert read.rejected == ()
    (found,) = (one for one in read.listings if str(one.key) == "45-1 C-4")
    assert (found.status_code, found.status_en) == ("unknown", "Sent to the moon")


@pytest.mark.parametrize(("shape", "field"), [("A", "StatusNameEn"), ("B", "CurrentStatusEn"), ("A", "LongTitleFr")])
def test_a_blank_where_a_text_must_be_is_rejected(shape: str, field: str) -> None:
    good, bad = rows(shape)
    (error,) = parse_list(document([good, bad | {field: "  "}])).rejected
    assert (error.key, error.field) == ("45-1 C-4", field)


def test_a_missing_key_is_named() -> None:
    good, bad = rows()
    del bad["StatusNameEn"]
    (error,) = parse_list(document([good, bad])).rejected
    assert (error.key, error.field, error.reason) == ("45-1 C-4", "StatusNameEn", "is missing")


@pytest.mark.parametrize("bad", [None, "not an object", 7, [], {}])
def test_a_row_that_is_none_is_rejected_without_a_key(bad: object) -> None:
    sessions = parse_list(document([bad, *rows()]))
    assert len(sessions.listings) == 2
    (error,) = sessions.rejected
    assert error.key is None


def test_a_number_that_is_none_is_rejected() -> None:
    good, bad = rows()
    sessions = parse_list(document([good, bad | {"NumberCode": "C-4x"}]))
    assert [(error.key, error.field) for error in sessions.rejected] == [(None, "NumberCode")]


def test_a_row_that_comes_twice_is_taken_once() -> None:
    sessions = parse_list(document([*rows(), rows()[0], rows()[0]]))
    assert [str(listing.key) for listing in sessions.listings] == ["45-1 S-1", "45-1 C-4"]
    assert (sessions.doubled, sessions.rejected) == (("45-1 S-1",), ())


def test_two_rows_that_contradict_each_other_are_both_rejected() -> None:
    sessions = parse_list(document([*rows(), rows()[0] | {"LongTitleEn": "Another Act"}]))
    assert [str(listing.key) for listing in sessions.listings] == ["45-1 C-4"]
    (error,) = sessions.rejected
    assert error.key == "45-1 S-1"
    assert "twice" in error.reason
    assert sessions.doubled == ("45-1 S-1",)


def test_a_row_that_comes_once_well_and_once_badly_is_doubled_too() -> None:
    sessions = parse_list(document([*rows(), rows()[0] | {"LongTitleEn": ""}]))
    assert len(sessions.listings) == 2
    assert (sessions.doubled, [error.key for error in sessions.rejected]) == (("45-1 S-1",), ["45-1 S-1"])


@pytest.mark.parametrize("shape", ["A", "B"])
def test_a_key_that_is_missing_everywhere_refuses_the_list(shape: str) -> None:
    for key in rows(shape)[0]:
        value = [{k: v for k, v in one.items() if k != key} for one in rows(shape)]
        with pytest.raises(DocumentError) as caught:
            parse_list(document(value))
        assert caught.value.key is None
        if key not in ("NumberCode", "BillNumberFormatted"):
            assert (caught.value.field, caught.value.reason) == (key, "is missing from every row")


def test_rows_of_two_sessions_refuse_the_list() -> None:
    first, second = rows()
    with pytest.raises(DocumentError, match="2 sessions: 44-1, 45-1"):
        parse_list(document([first, second | {"ParliamentNumber": 44}]))


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"null", b"[1]", b"[{}]", b"[" * 100_000, b'[{"NumberCode": "C-1"}, ', b"\xff[]"]
)
def test_what_is_no_list_is_refused(body: bytes) -> None:
    with pytest.raises(DocumentError):
        parse_list(document(body))


# --- properties: whatever is changed, the bill is right or it is refused -----------------------------------------

moments = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)).map(datetime.isoformat)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["", " ", "C-4", "S-1", "C-5", "Royal assent received", "Bill defeated", 0, 1, 45, 2**63, "45"])
    | moments,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def text(value: Any) -> Any:
    return (value or "").strip() or None


def day(value: Any) -> Any:
    return None if value is None or value == "0001-01-01T00:00:00" else date.fromisoformat(value[:10])


def same(value: Any) -> Any:
    return value


# What a field of the bill must be, given the upstream value, if the document is taken at all.
READINGS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "Id": ("legisinfo_id", same),
    "LongTitleEn": ("title_en", text),
    "LongTitleFr": ("title_fr", text),
    "ShortTitleEn": ("short_title_en", text),
    "ShortTitleFr": ("short_title_fr", text),
    "StatusNameEn": ("status_en", text),
    "StatusNameFr": ("status_fr", text),
    "BillDocumentTypeNameEn": ("bill_type", text),
    "IsProForma": ("is_pro_forma", same),
    "SponsorPersonId": ("sponsor_person_id", same),
    "SponsorPersonName": ("sponsor_name", text),
    "StatuteYear": ("statute_year", same),
    "StatuteChapter": ("statute_chapter", same),
    "ReinstatedAsBillNumberCode": ("reinstated_as", lambda v: BillKey.parse(f"45-2 {v.strip()}") if text(v) else None),
    "ShortLegislativeSummaryEn": ("summary_en", text),
    "ShortLegislativeSummaryFr": ("summary_fr", text),
}


def tried(value: Any) -> LegisinfoBill | DocumentError:
    """Parse a detail; anything but a bill or a DocumentError comes through."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        return parse_bill(document(body), KEY)
    except DocumentError as error:
        return error


def tried_list(value: Any) -> SessionList | DocumentError:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    try:
        return parse_list(document(body))
    except DocumentError as error:
        return error


@thorough
@given(st.sampled_from(sorted(READINGS)), json_values)
def test_a_changed_value_is_read_as_it_is_or_refused(key: str, value: Any) -> None:
    attribute, reading = READINGS[key]
    bill = tried([detail(**{key: value})])
    if isinstance(bill, DocumentError):
        assert bill.key == "45-1 C-4"
        return
    assert getattr(bill, attribute) == reading(value)
    assert type(getattr(bill, attribute)) in (type(reading(value)), BillType)
    if attribute == "status_en" and bill.status_en != parsed().status_en:
        assert bill.status_code == "unknown", "a known text would not go with the id"
        bill = replace(bill, status_code=parsed().status_code)
    assert core(replace(bill, **{attribute: getattr(parsed(), attribute)})) == core(parsed())


@thorough
@given(st.sampled_from(sorted(DAYS)), moments | json_values)
def test_a_changed_day_is_right_or_refused(attribute: str, value: Any) -> None:
    bill = tried([detail(**{DAYS[attribute]: value})])
    if isinstance(bill, DocumentError):
        return
    assert getattr(bill.milestones, attribute) == day(value)
    assert replace(bill.milestones, **{attribute: getattr(parsed().milestones, attribute)}) == parsed().milestones


@thorough
@given(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)))
def test_the_list_and_the_detail_agree_on_every_day(moment: datetime) -> None:
    """At any hour of any day, through both changes of the clock."""
    source = detail(ReceivedRoyalAssentDateTime=moment.isoformat())
    (listing,) = parse_list(document([row("A", source)])).listings
    assert listing.milestones.royal_assent_on == moment.date()
    assert parse_bill(document([source]), KEY).milestones.royal_assent_on == moment.date()


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, one in inner for found in paths(one, (*path, key)))]


@thorough
@given(st.sampled_from(paths([detail()])), json_values, st.booleans())
def test_no_change_anywhere_is_more_than_a_document_error(path: tuple[Any, ...], value: Any, drop: bool) -> None:
    """Sets or drops any value at any depth."""
    whole: Any = {"root": [detail()]}
    target: Any = whole
    steps = ("root", *path)
    for step in steps[:-1]:
        target = target[step]
    if drop:
        del target[steps[-1]]
    else:
        target[steps[-1]] = value
    assert tried(whole.get("root")).key in (KEY, "45-1 C-4")


WHOLE_BILL = BOM + json.dumps([detail()], ensure_ascii=False).encode()
WHOLE_LIST = BOM + json.dumps(rows("B"), ensure_ascii=False).encode()


@thorough
@given(st.integers(0, len(WHOLE_BILL)), st.integers(0, 40), st.binary(max_size=20))
def test_broken_bytes_are_no_more_than_a_document_error(at: int, gone: int, new: bytes) -> None:
    assert tried(WHOLE_BILL[:at] + new + WHOLE_BILL[at + gone :]).key in (KEY, "45-1 C-4")
    assert tried_list(WHOLE_LIST[:at] + new + WHOLE_LIST[at + gone :])


@thorough
@given(st.sampled_from(sorted(set(row("A", detail())) - {"NumberCode"})), json_values)
def test_a_changed_row_is_right_or_rejected_and_harms_no_other(key: str, value: Any) -> None:
    good = parse_list(document(rows()))
    first, second = rows()
    sessions = tried_list([first, second | {key: value}])
    if isinstance(sessions, DocumentError):
        assert key in ("ParliamentNumber", "SessionNumber")
        return
    assert sessions.listings[0] == good.listings[0]
    if sessions.rejected:
        assert [error.key for error in sessions.rejected] == ["45-1 C-4"]
    elif key in READINGS and key != "StatusNameEn":  # a listing has the code alone
        attribute, reading = READINGS[key]
        assert getattr(sessions.listings[1], attribute) == reading(value)
        as_before = {attribute: getattr(good.listings[1], attribute)}
        assert replace(sessions.listings[1], **as_before) == good.listings[1]
