"""The stand-in behaves as the two sites were seen to behave, over real HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from parlex.local.sandbox import Sandbox
from parlex.local.sandbox.sample import AWAITING_ASSENT, RECORDED, START, load, state_on

JSON = {"Accept": "application/json"}
LIST = "/legisinfo/en/bills/json"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def legisinfo(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.legisinfo_url) as client:
        yield client


@pytest.fixture
def openparliament(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.openparliament_url, headers=JSON) as client:
        yield client


@pytest.fixture
def control(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.control_url) as client:
        yield client


def document(answer: httpx.Response) -> Any:
    """LEGISinfo's JSON begins with a byte order mark."""
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    return json.loads(answer.content.decode("utf-8-sig"))


def listed(client: httpx.Client, session: str) -> dict[str, Any]:
    rows = document(client.get(LIST, params={"parlsession": session}))
    return {row.get("NumberCode") or row["BillNumberFormatted"]: row for row in rows}


# The sample


def test_the_sample_holds_what_it_promises() -> None:
    states = load().on(RECORDED)
    by_session = {s: [x.bill for x in states if x.bill.session == s] for s in ("44-1", "45-1")}
    assert len(by_session["44-1"]) >= 10
    assert len(by_session["45-1"]) >= 50
    assert 60 <= len(states) <= 100
    assert {x.bill.type_id for x in states} == {3, 4, 80759, 80760, 80761}
    assert {x.status_id for x in states} >= {341, 343, 349, 352, 353, 354, 357, 359, 360}
    assert sum(1 for x in states if x.bill.session == "44-1" and x.when("assent")) >= 9
    assert any("é" in x.bill.title_fr for x in states)


def test_the_last_state_of_every_bill_is_the_recorded_one() -> None:
    states = load().on(RECORDED)
    assert states
    assert [x.bill.number for x in states if x.status_id != x.bill.status_id] == []


def test_a_bill_begins_with_its_first_reading_and_follows_its_dates() -> None:
    bill = next(b for b in load().bills if (b.session, b.number) == ("45-1", "C-8"))
    seen = {day: state_on(bill, date.fromisoformat(day)) for day in ("2025-06-17", "2025-06-18", "2025-10-03")}
    assert seen["2025-06-17"] is None
    assert seen["2025-06-18"] is not None
    assert seen["2025-06-18"].status_id == 349
    assert seen["2025-10-03"] is not None
    assert seen["2025-10-03"].status_id == 352
    waiting = state_on(bill, date(2026, 6, 14))
    assert waiting is not None
    assert waiting.status_id == AWAITING_ASSENT
    law = state_on(bill, date(2026, 6, 15))
    assert law is not None
    assert law.status_id == 357


# LEGISinfo


def test_list_in_shape_a_is_full_of_placeholders(legisinfo: httpx.Client) -> None:
    rows = listed(legisinfo, "45-1")
    assert len(rows) > 50
    row = rows["C-4"]
    assert len(row) == 135
    assert (row["NumberPrefix"], row["Number"], row["StatusId"]) == (None, 0, None)
    assert (row["SponsorPersonId"], row["SponsorPersonName"]) == (None, " ")
    assert row["IsGovernmentBill"] is False
    assert row["BillDocumentTypeNameEn"] == "House Government Bill"
    assert row["LatestBillEventDateTime"] == "0001-01-01T00:00:00"
    assert row["BillStages"]["HouseBillStages"] == []
    assert row["StatuteYear"] is None
    assert row["ReceivedRoyalAssent"] is True
    assert row["LatestCompletedMajorStageId"] == 60046
    assert rows["C-1"]["IsProForma"] is False
    assert rows["C-1"]["StatusNameEn"] == "Introduced as pro forma bill"


def test_list_in_shape_b(sandbox: Sandbox, legisinfo: httpx.Client) -> None:
    sandbox.list_shape("B")
    rows = listed(legisinfo, "45-1")
    row = rows["S-227"]
    assert len(row) == 45
    assert (row["BillNumber"], row["CurrentStatusId"], row["SponsorId"]) == (0, 0, 0)
    assert row["ParlSessionCode"] == "45-1"
    assert "<sup>" in row["ParlSessionFr"]
    assert row["SponsorEn"] == "Sen. Mohammad Khair Al Zaibak"
    assert rows["C-1"]["SponsorFr"] == "Le très hon. Mark Carney"
    assert rows["C-2"]["LatestActivityEn"] == "Debate at second reading on September 17, 2025 (House of Commons)"
    assert "NumberCode" not in row


def test_lists_put_s_bills_first_each_by_number(legisinfo: httpx.Client) -> None:
    numbers = list(listed(legisinfo, "45-1"))
    order = [(number[0] == "C", int(number[2:])) for number in numbers]
    assert order == sorted(order)
    assert numbers[0] == "S-1"


@pytest.mark.parametrize("shape", ["A", "B"])
def test_list_dates_carry_the_time_zone_error(sandbox: Sandbox, legisinfo: httpx.Client, shape: Any) -> None:
    sandbox.list_shape(shape)
    row = listed(legisinfo, "45-1")["S-2"]
    assert row["PassedSenateFirstReadingDateTime"] == "2025-05-28T20:00:00-04:00"
    assert row["PassedHouseSecondReadingDateTime"] == "2026-02-27T10:00:00.31-05:00"
    [detail] = document(legisinfo.get("/legisinfo/en/bill/45-1/s-2/json"))
    assert detail["PassedSenateFirstReadingDateTime"] == "2025-05-29T00:00:00"
    assert detail["PassedHouseSecondReadingDateTime"] == "2026-02-27T15:00:00.31"


def test_every_list_date_read_as_utc_is_the_details(legisinfo: httpx.Client) -> None:
    for session in ("44-1", "45-1"):
        rows = listed(legisinfo, session)
        assert len(rows) > 9
        for number, row in rows.items():
            [detail] = document(legisinfo.get(f"/legisinfo/en/bill/{session}/{number.lower()}/json"))
            days = [k for k in row if k.startswith(("Passed", "Received")) and k.endswith("DateTime")]
            assert len(days) == 7
            for key in days:
                assert _naive_utc(row[key]) == (detail[key] and datetime.fromisoformat(detail[key])), (number, key)


def _naive_utc(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None) if text else None


def test_detail_is_a_list_of_one_with_135_keys(legisinfo: httpx.Client) -> None:
    answer = legisinfo.get("/legisinfo/en/bill/45-1/c-4/json")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    [detail] = document(answer)
    assert len(detail) == 135
    assert (detail["NumberCode"], detail["NumberPrefix"], detail["Number"]) == ("C-4", "C", 4)
    assert (detail["StatusId"], detail["StatusNameFr"]) == (357, "Sanction royale reçue")
    assert (detail["StatuteYear"], detail["StatuteChapter"]) == (2026, 2)
    assert (detail["SponsorPersonId"], detail["SponsorPersonName"]) == (88633, "François-Philippe Champagne")
    assert [p["PublicationTypeId"] for p in detail["Publications"]] == [80701, 80702, 80703, 80704]
    assert detail["ShortLegislativeSummaryEn"] is None


def test_bill_stages_are_an_object_with_six_lists(legisinfo: httpx.Client) -> None:
    [detail] = document(legisinfo.get("/legisinfo/en/bill/45-1/c-4/json"))
    stages = detail["BillStages"]
    assert stages["BillId"] == 0
    assert sum(isinstance(value, list) for value in stages.values()) == 6
    house = [(s["BillStageId"], s["State"]) for s in stages["HouseBillStages"]]
    assert house == [(60029, 4), (60030, 4), (60049, 4), (60032, 4), (60031, 4)]
    committee = stages["HouseBillStages"][2]
    assert committee["Committee"]["CommitteeAcronym"] == "FINA"
    assert committee["StateAsOfDate"] == "2025-10-29T14:29:10.107"
    [assent] = stages["RoyalAssent"]
    assert (assent["State"], assent["StateNameEn"]) == (0, None)


@pytest.mark.parametrize(
    ("number", "chamber", "stage", "state"),
    [
        ("c-2", "House", 60030, 3),
        ("c-201", "House", 60030, 1),
        ("c-220", "House", 60030, 5),
        ("s-222", "Senate", 60030, 5),
        ("c-34", "House", 60030, 2),
        ("c-1", "Senate", 60029, 1),
    ],
)
def test_stage_states(
    sandbox: Sandbox, legisinfo: httpx.Client, number: str, chamber: str, stage: int, state: int
) -> None:
    sandbox.move(RECORDED)
    [detail] = document(legisinfo.get(f"/legisinfo/en/bill/45-1/{number}/json"))
    states = {s["BillStageId"]: s["State"] for s in detail["BillStages"][f"{chamber}BillStages"]}
    assert states[stage] == state


def test_upper_case_is_a_redirect(legisinfo: httpx.Client) -> None:
    answer = legisinfo.get("/legisinfo/en/bill/45-1/C-2/json")
    assert (answer.status_code, answer.headers["Location"]) == (301, "/legisinfo/en/bill/45-1/c-2/json")


def test_an_id_redirects_to_its_bill(legisinfo: httpx.Client) -> None:
    answer = legisinfo.get("/legisinfo/en/bill/13543613")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/legisinfo/en/bill/45-1/c-2")


def test_the_list_without_a_session_is_the_current_one(sandbox: Sandbox, legisinfo: httpx.Client) -> None:
    assert {row["ParliamentNumber"] for row in document(legisinfo.get(LIST))} == {45}
    sandbox.move("2023-01-10")
    assert {row["ParliamentNumber"] for row in document(legisinfo.get(LIST))} == {44}


def test_unknown_session_is_an_empty_list_and_all_is_everything(legisinfo: httpx.Client) -> None:
    assert listed(legisinfo, "99-1") == {}
    everything = document(legisinfo.get(LIST, params={"parlsession": "all"}))
    assert len(everything) == len(listed(legisinfo, "44-1")) + len(listed(legisinfo, "45-1"))
    assert everything[0]["ParliamentNumber"] == 45


def test_a_bill_that_is_not_there_is_a_404_in_html(legisinfo: httpx.Client) -> None:
    answer = legisinfo.get("/legisinfo/en/bill/45-1/c-999/json")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


# OpenParliament


def test_pages_link_relatively_and_keep_other_parameters(openparliament: httpx.Client) -> None:
    answer = openparliament.get("/bills/?session=45-1&nonsense=1&limit=30&order_by=-introduced").json()
    assert answer["pagination"]["previous_url"] is None
    assert answer["pagination"]["next_url"] == "/bills/?session=45-1&nonsense=1&order_by=-introduced&limit=30&offset=30"
    assert "count" not in answer["pagination"]


def test_pages_of_a_session_hold_each_bill_once(sandbox: Sandbox, openparliament: httpx.Client) -> None:
    url: str | None = "/bills/?session=45-1&limit=7"
    urls: list[str] = []
    while url:
        page = openparliament.get(url).json()
        urls += [row["url"] for row in page["objects"]]
        url = page["pagination"]["next_url"]
    assert len(urls) == len(set(urls)) == sum(1 for s in load().on(START) if s.bill.session == "45-1")


def test_limit_is_20_by_default_and_500_at_most(openparliament: httpx.Client) -> None:
    assert openparliament.get("/bills/").json()["pagination"]["limit"] == 20
    assert openparliament.get("/bills/?limit=0").json()["pagination"]["limit"] == 20
    assert openparliament.get("/bills/?limit=10000").json()["pagination"]["limit"] == 500


@pytest.mark.parametrize("query", ["limit=-1", "limit=", "limit=many", "offset=-2", "introduced__near=2026"])
def test_bad_queries_are_a_400_in_plain_text(openparliament: httpx.Client, query: str) -> None:
    answer = openparliament.get(f"/bills/?{query}")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "text/plain"


def test_filters(openparliament: httpx.Client) -> None:
    def numbers(query: str) -> list[str]:
        return [
            row["number"] for row in openparliament.get(f"/bills/?session=45-1&limit=500&{query}").json()["objects"]
        ]

    assert numbers("number=C-4") == ["C-4"]
    assert numbers("legisinfo_id=13543613") == ["C-2"]
    assert numbers("introduced=2025-06-05&private_member_bill=true") == ["S-227", "S-228"]
    assert set(numbers("introduced__gte=2026-06-08&introduced__lt=2026-06-10")) == {"C-32", "C-33"}
    assert numbers("sponsor_politician=mark-carney") == ["C-1"]
    assert "C-4" in numbers("law=True")
    assert len(numbers("status=Passed")) == len(numbers("number="))


def test_bill_detail(openparliament: httpx.Client) -> None:
    bill = openparliament.get("/bills/45-1/C-4/").json()
    assert bill["sponsor_politician_url"] == "/politicians/francois-philippe-champagne/"
    assert bill["text_url"] == "https://www.parl.ca/DocumentViewer/en/13969008"
    assert (bill["law"], bill["status_code"], bill["private_member_bill"]) == (True, "RoyalAssentGiven", False)
    senate = openparliament.get("/bills/45-1/S-227/").json()
    assert (senate["sponsor_politician_url"], senate["home_chamber"]) == (None, "Senate")
    assert senate["private_member_bill"] is True
    assert openparliament.get("/bills/45-1/C-2/").json()["law"] is None


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("application/json", "application/json"),
        ("application/json, */*", "application/json"),
        ("*/*", "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text/html"),
        ("text/html, application/json;q=0.5", "text/html"),
    ],
)
def test_accept_decides(sandbox: Sandbox, accept: str | None, kind: str) -> None:
    with httpx.Client(base_url=sandbox.openparliament_url) as client:
        request = client.build_request("GET", "/bills/45-1/C-4/")
        del request.headers["Accept"]
        if accept is not None:
            request.headers["Accept"] = accept
        assert client.send(request).headers["Content-Type"].startswith(kind)


def test_format_json_wins_over_accept_and_other_formats_are_406(openparliament: httpx.Client) -> None:
    answer = openparliament.get("/bills/?format=json", headers={"Accept": "*/*"})
    assert answer.headers["Content-Type"] == "application/json"
    assert openparliament.get("/bills/?format=xml").status_code == 406


def test_redirects_and_refusals(openparliament: httpx.Client) -> None:
    slash = openparliament.get("/bills/45-1/C-4?format=json")
    assert (slash.status_code, slash.headers["Location"]) == (301, "/bills/45-1/C-4/?format=json")
    session = openparliament.get("/bills/45-1/")
    assert (session.status_code, session.headers["Location"]) == (302, "/bills/?session=45-1")
    lower = openparliament.get("/bills/45-1/c-4/")
    assert (lower.status_code, lower.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert openparliament.post("/bills/").status_code == 405
    assert openparliament.head("/bills/").status_code == 405


def test_both_hosts_agree(legisinfo: httpx.Client, openparliament: httpx.Client) -> None:
    for session in ("44-1", "45-1"):
        rows = openparliament.get(f"/bills/?session={session}&limit=500").json()["objects"]
        theirs = listed(legisinfo, session)
        assert {row["number"]: row["legisinfo_id"] for row in rows} == {n: row["Id"] for n, row in theirs.items()}


# Time


def test_advance_goes_to_the_next_day_of_change_and_stops_at_the_record(
    sandbox: Sandbox, legisinfo: httpx.Client
) -> None:
    before = listed(legisinfo, "45-1")
    assert sandbox.advance() is True
    assert sandbox.as_of > START
    after = listed(legisinfo, "45-1")
    assert before != after
    while sandbox.advance():
        pass
    assert listed(legisinfo, "45-1") == _recorded(legisinfo, sandbox)


def _recorded(legisinfo: httpx.Client, sandbox: Sandbox) -> dict[str, Any]:
    sandbox.move(RECORDED)
    return listed(legisinfo, "45-1")


def test_every_step_changes_the_list(sandbox: Sandbox, legisinfo: httpx.Client) -> None:
    sandbox.move("2026-04-01")
    seen = [listed(legisinfo, "45-1")]
    while sandbox.advance():
        seen.append(listed(legisinfo, "45-1"))
    assert all(one != two for one, two in pairwise(seen))
    assert len(seen) > 10


def test_later_days_never_lose_a_bill_or_a_date(sandbox: Sandbox, legisinfo: httpx.Client) -> None:
    sandbox.move("2025-09-15")
    earlier = listed(legisinfo, "45-1")
    while sandbox.advance():
        later = listed(legisinfo, "45-1")
        assert set(earlier) <= set(later)
        for number, row in earlier.items():
            kept = {k: v for k, v in row.items() if k.endswith("DateTime") and v}
            assert kept.items() <= later[number].items()
        earlier = later


# Control


def test_control_moves_time_and_shape(control: httpx.Client, legisinfo: httpx.Client) -> None:
    assert control.get("/health").json()["as_of"] == START.isoformat()
    assert control.post("/as-of", json={"date": "2025-06-01"}).json()["as_of"] == "2025-06-01"
    assert set(listed(legisinfo, "45-1")) == {"S-1", "S-2", "C-1", "C-201", "C-202", "S-203", "S-209", "S-210", "S-222"}
    assert control.post("/as-of", json={"date": None}).json()["as_of"] == RECORDED.isoformat()
    assert control.post("/advance").json()["advanced"] is False
    control.post("/config", json={"list_shape": "B"})
    assert "BillNumberFormatted" in listed(legisinfo, "45-1")["C-2"]
    assert control.post("/reset").json() | {"next": None, "bills": None} == {
        "as_of": START.isoformat(),
        "next": None,
        "list_shape": "A",
        "current_session": "45-1",
        "bills": None,
    }


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("POST", "/as-of", {"date": "yesterday"}, 400),
        ("POST", "/as-of", {"date": "1999-01-01"}, 400),
        ("POST", "/config", {"list_shape": "C"}, 400),
        ("POST", "/faults", {"kind": "gremlin"}, 400),
        ("POST", "/faults", {"kind": "error", "hosts": "legisinfo"}, 400),
        ("POST", "/faults", {"kind": "error", "first": "one"}, 400),
        ("POST", "/faults", [], 400),
        ("GET", "/nowhere", None, 404),
    ],
)
def test_control_refuses_what_it_does_not_know(
    control: httpx.Client, verb: str, path: str, body: Any, status: int
) -> None:
    answer = control.request(verb, path, json=body)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_stats_count_requests_kinds_and_statuses(
    sandbox: Sandbox, control: httpx.Client, legisinfo: httpx.Client, openparliament: httpx.Client
) -> None:
    listed(legisinfo, "45-1")
    legisinfo.get("/legisinfo/en/bill/45-1/c-2/json", headers={"User-Agent": "parlex/0 (+test)"})
    legisinfo.get("/legisinfo/en/bill/45-1/c-999/json")
    openparliament.get("/bills/45-1/C-2/")
    stats = control.get("/stats").json()
    assert stats == sandbox.stats()
    assert stats["legisinfo"]["requests"] == 3
    assert stats["legisinfo"]["kinds"] == {"list": 1, "detail": 1, "not_found": 1}
    assert stats["legisinfo"]["statuses"] == {"200": 2, "404": 1}
    assert stats["legisinfo"]["user_agents"]["parlex/0 (+test)"] == 1
    assert stats["openparliament"]["kinds"] == {"detail": 1}
    assert sandbox.log("openparliament") == ["GET /bills/45-1/C-2/ 200"]
    sandbox.reset()
    assert sandbox.stats()["legisinfo"]["requests"] == 0


# Faults


def test_rate_limit_with_and_without_retry_after(sandbox: Sandbox, legisinfo: httpx.Client) -> None:
    sandbox.fault("rate_limit", host="legisinfo", first=1, retry_after=7)
    limited = legisinfo.get(LIST)
    assert (limited.status_code, limited.headers["Retry-After"]) == (429, "7")
    assert legisinfo.get(LIST).status_code == 200
    sandbox.fault("rate_limit", first=1)
    limited = legisinfo.get(LIST)
    assert limited.status_code == 429
    assert "Retry-After" not in limited.headers
    assert "text/html" in limited.headers["Content-Type"]


def test_a_fault_keeps_to_its_host_path_and_turn(
    sandbox: Sandbox, legisinfo: httpx.Client, openparliament: httpx.Client
) -> None:
    fault = sandbox.fault("error", host="legisinfo", path=r"/bill/45-1/c-2/", skip=1, first=2, status=502)
    asked = [legisinfo.get("/legisinfo/en/bill/45-1/c-2/json").status_code for _ in range(4)]
    assert asked == [200, 502, 502, 200]
    assert legisinfo.get("/legisinfo/en/bill/45-1/c-3/json").status_code == 200
    assert openparliament.get("/bills/45-1/C-2/").status_code == 200
    assert (fault.matched, fault.fired) == (4, 2)
    assert sandbox.stats()["legisinfo"]["faults"] == 2


def test_a_cut_body_breaks_the_connection(sandbox: Sandbox, legisinfo: httpx.Client) -> None:
    sandbox.fault("cut", host="legisinfo", first=1)
    with pytest.raises(httpx.RemoteProtocolError):
        legisinfo.get(LIST)
    assert legisinfo.get(LIST).status_code == 200


def test_html_and_garbage_come_with_200(sandbox: Sandbox, legisinfo: httpx.Client) -> None:
    sandbox.fault("html_200", first=1)
    page = legisinfo.get(LIST)
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    sandbox.fault("garbage", first=1)
    garbage = legisinfo.get(LIST)
    assert garbage.headers["Content-Type"] == "application/json"
    with pytest.raises(json.JSONDecodeError):
        garbage.json()


def test_empty_lists_spare_the_details(sandbox: Sandbox, legisinfo: httpx.Client, openparliament: httpx.Client) -> None:
    sandbox.fault("empty_list")
    assert listed(legisinfo, "45-1") == {}
    assert openparliament.get("/bills/?session=45-1").json()["objects"] == []
    assert openparliament.get("/bills/45-1/C-2/").json()["number"] == "C-2"


def test_a_slow_answer_outlasts_an_impatient_client(sandbox: Sandbox, legisinfo: httpx.Client) -> None:
    sandbox.fault("slow", first=1, seconds=60)
    with pytest.raises(httpx.ReadTimeout):
        legisinfo.get(LIST, timeout=0.05)
    assert legisinfo.get(LIST).status_code == 200


def test_faults_over_http_can_be_listed_and_cleared(control: httpx.Client, legisinfo: httpx.Client) -> None:
    made = control.post("/faults", json={"host": "legisinfo", "kind": "error", "status": 500}).json()
    assert legisinfo.get(LIST).status_code == 500
    [shown] = control.get("/faults").json()["faults"]
    assert (shown["id"], shown["fired"]) == (made["id"], 1)
    control.delete("/faults")
    assert legisinfo.get(LIST).status_code == 200


# The wire


def test_answers_are_gzip_only_for_clients_that_take_it(sandbox: Sandbox) -> None:
    url = f"{sandbox.legisinfo_url}{LIST}"
    packed = httpx.get(url)
    plain = httpx.get(url, headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.content == plain.content
    assert int(packed.headers["Content-Length"]) < len(plain.content) / 5


def test_one_connection_serves_many_requests(sandbox: Sandbox) -> None:
    opened: list[str] = []

    def trace(event: str, info: dict[str, Any]) -> None:
        if event == "connection.connect_tcp.started":
            opened.append(event)

    with httpx.Client(base_url=sandbox.legisinfo_url) as client:
        for _ in range(5):
            client.get(LIST, extensions={"trace": trace})
    assert len(opened) == 1


def test_etag_only_when_asked_for(legisinfo: httpx.Client) -> None:
    assert "ETag" not in legisinfo.get(LIST).headers
    with Sandbox(etag=True) as sandbox, httpx.Client(base_url=sandbox.legisinfo_url) as client:
        first = client.get(LIST)
        again = client.get(LIST, headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        sandbox.advance()
        assert client.get(LIST, headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_answers_still_owed_are_counted_until_sent_or_given_up(sandbox: Sandbox) -> None:
    url = f"{sandbox.legisinfo_url}/legisinfo/en/bill/45-1/c-2/json"
    sandbox.fault("slow", seconds=60)
    for turn in (1, 2):
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(url, timeout=0.05)
        _until(lambda turn=turn: sandbox.stats()["legisinfo"]["statuses"].get("none") == turn)
    assert sandbox.stats()["legisinfo"]["max_in_flight"] == 1
    threads = [threading.Thread(target=_give_up, args=[url, sandbox]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sandbox.stats()["legisinfo"]["max_in_flight"] == 2


def _give_up(url: str, sandbox: Sandbox) -> None:
    """Ask, and go away once both threads' requests have arrived."""
    with socket.create_connection(_address(url)) as connection:
        connection.sendall(f"GET {urlsplit(url).path} HTTP/1.1\r\nHost: sandbox\r\n\r\n".encode())
        _until(lambda: sandbox.stats()["legisinfo"]["requests"] == 4)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_status_no_standard_names_is_sent(sandbox: Sandbox, legisinfo: httpx.Client) -> None:
    sandbox.fault("error", status=520, first=1)
    assert legisinfo.get(LIST).status_code == 520


def test_multiply_makes_copies_under_numbers_no_bill_has() -> None:
    with Sandbox(multiply=3) as sandbox, httpx.Client(base_url=sandbox.legisinfo_url) as client:
        rows = listed(client, "45-1")
        real = [number for number in rows if int(number[2:]) < 2000]
        assert len(rows) == 4 * len(real)
        assert len({row["Id"] for row in rows.values()}) == len(rows)
        details = [document(client.get(f"/legisinfo/en/bill/45-1/{n.lower()}/json"))[0] for n in rows]
    orphans = [d for d in details if d["SponsorPersonId"] is None]
    assert orphans
    assert {d["SponsorPersonName"] for d in orphans} == {" "}


def test_a_taken_port_is_an_error(sandbox: Sandbox) -> None:
    port = int(sandbox.control_url.rpartition(":")[2])
    with pytest.raises(OSError, match="address"), Sandbox(port_base=port):
        pass


def test_serve_says_ready_and_stops_on_sigterm() -> None:
    code = "from parlex.local.sandbox import serve; serve(port_base=0)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        word, *addresses = process.stdout.readline().split()
        urls = dict(address.split("=", 1) for address in addresses)
        assert word == "ready"
        assert list(urls) == ["control", "openparliament", "legisinfo"]
        assert httpx.get(f"{urls['control']}/health").json()["current_session"] == "45-1"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(timeout=20) == 0
