"""A backfill of everything the stand-in has, compared field by field with its own JSON, by rules written here anew."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from redis import Redis
from sqlalchemy import text

from parlex.datasets.bills.bill import PARTICULARS
from parlex.db.models import BillRow
from parlex.local.embedded import resolve
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs.fetch_logs import Figures
from parlex.settings import Settings
from parlex.watch import upkeep
from tests.conformance.conftest import FOLDER, StandIn

DAYS = {
    "house_first_reading_on": "PassedHouseFirstReadingDateTime",
    "house_second_reading_on": "PassedHouseSecondReadingDateTime",
    "house_third_reading_on": "PassedHouseThirdReadingDateTime",
    "senate_first_reading_on": "PassedSenateFirstReadingDateTime",
    "senate_second_reading_on": "PassedSenateSecondReadingDateTime",
    "senate_third_reading_on": "PassedSenateThirdReadingDateTime",
    "royal_assent_on": "ReceivedRoyalAssentDateTime",
}
# The two that OpenParliament does not map; all others are compared with its own codes.
UNMAPPED = {
    "At report stage and second reading in the House of Commons": "HouseAtReportStageAndSecondReading",
    "Referred to committee before second reading in the House of Commons": (
        "HouseAtReferralToCommitteeBeforeSecondReading"
    ),
}
# bills, House, Senate, government, royal assent, reinstated, without a first reading, without a sponsor, first and last
# first reading: counted by others over the same records.
COUNTS = {
    "35-1": (300, 286, 14, 122, 101, 0, 0, 235, "1994-01-18", "1995-12-14"),
    "36-2": (390, 358, 32, 56, 38, 0, 0, 0, "1999-10-12", "2000-10-19"),
    "38-1": (395, 348, 47, 94, 60, 0, 0, 0, "2004-10-05", "2005-11-28"),
    "41-1": (447, 405, 42, 82, 83, 0, 0, 0, "2011-06-03", "2013-06-17"),
    "42-1": (441, 371, 70, 107, 111, 0, 0, 0, "2015-12-04", "2019-06-20"),
    "43-1": (86, 65, 21, 20, 12, 0, 0, 0, "2019-12-05", "2020-07-21"),
    "45-1": (185, 128, 57, 42, 29, 0, 0, 0, "2025-05-27", "2026-06-18"),
}
_COUNT = """
SELECT count(*), count(*) FILTER (WHERE chamber = 'house'), count(*) FILTER (WHERE chamber = 'senate'),
       count(*) FILTER (WHERE is_government), count(royal_assent_on), count(reinstated_from),
       count(*) FILTER (WHERE introduced_on IS NULL), count(*) FILTER (WHERE sponsor_person_id IS NULL),
       min(introduced_on)::text, max(introduced_on)::text
FROM bills WHERE parliament = :parliament AND session = :session
"""
MOVING = ("first_seen_at", "last_changed_at", "key")
Key = tuple[str, str]
Published = tuple[dict[Key, Any], dict[Key, Any]]

PARTS = ("bill_events", "bill_publications", "bill_links", "similar_bills")
TABLES = ("bills", "bill_stages", *PARTS, "changes", "listings", "latest_documents", "documents", "quarantine")


@pytest.fixture(scope="module")
def mirror(
    whole: StandIn,
    new_database: Callable[[], AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Resources]:
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
    with new_database() as database:
        settings = Settings(
            database_url=database,
            redis_url=redis_url,
            home=tmp_path_factory.mktemp("home"),
            legisinfo_url=whole.legisinfo_url,
            openparliament_url=whole.openparliament_url,
            legisinfo_rate=0,
            openparliament_rate=0,
            retry_delay=0,
        )
        resources = Resources(settings, resolve(settings))
        yield resources
        resources.close()


def sweep(mirror: Resources, sessions: list[str]) -> dict[str, Figures]:
    return {session: alone.run_session(mirror.pipeline, SessionId.parse(session)) for session in sessions}


@pytest.fixture(scope="module")
def backfill(whole: StandIn, mirror: Resources) -> dict[str, Figures]:
    """The figures of the first run of each session."""
    return sweep(mirror, sorted(whole.state()["sessions"]))


@pytest.fixture(scope="module")
def published(whole: StandIn, backfill: dict[str, Figures]) -> Published:
    return details(whole, sorted(backfill))


def snapshot(mirror: Resources) -> dict[str, list[str]]:
    """Every row with the transaction that wrote it: a row written again, even with equal values, differs."""
    with mirror.db() as db:
        return {
            table: list(db.scalars(text(f"SELECT t.xmin::text || md5(t::text) AS row FROM {table} t ORDER BY 1")))
            for table in TABLES
        }


def test_a_backfill_creates_exactly_what_is_there(whole: StandIn, backfill: dict[str, Figures]) -> None:
    there = whole.state()["sessions"]
    assert {session: run.status for session, run in backfill.items()} == dict.fromkeys(there, "success")
    assert {session: run.created for session, run in backfill.items()} == there
    assert {session: run.bills_fetched for session, run in backfill.items()} == there
    assert {(run.failed, run.deferred, run.error_count) for run in backfill.values()} == {(0, 0, 0)}


def test_nothing_is_in_quarantine(mirror: Resources, backfill: dict[str, Figures]) -> None:
    with mirror.db() as db:
        assert db.execute(text("SELECT key, field, reason FROM quarantine")).all() == []


def test_every_sweep_finds_the_mirror_complete(mirror: Resources, backfill: dict[str, Figures]) -> None:
    query = "SELECT scope, listed, held, missing, extra FROM sweeps WHERE source = 'legisinfo' AND believed"
    with mirror.db() as db:
        found = {row.scope: tuple(row[1:]) for row in db.execute(text(query))}
    assert found == {session: (run.created, run.created, [], []) for session, run in backfill.items()}


def test_the_mirror_counts_as_others_counted(mirror: Resources, backfill: dict[str, Figures]) -> None:
    with mirror.db() as db:
        found = {}
        for session in sorted(set(COUNTS) & set(backfill)):
            parliament, number = map(int, session.split("-"))
            found[session] = tuple(db.execute(text(_COUNT), {"parliament": parliament, "session": number}).one())
    assert found == {session: COUNTS[session] for session in found}
    assert found


def test_every_field_of_every_bill(mirror: Resources, published: Published) -> None:
    with mirror.db() as db:
        held = {
            (f"{row['parliament']}-{row['session']}", row["number"]): row
            for row in db.execute(text("SELECT * FROM bills")).mappings()
        }
    spines, companions = published
    assert set(held) == set(spines)
    codes = status_codes(spines, companions) | UNMAPPED
    wrong = [
        (key, field, held[key][field], value)
        for key, spine in spines.items()
        for field, value in expected(spine, companions.get(key), codes).items()
        if held[key][field] != value
    ]
    assert wrong == []
    assert not any(row["withdrawn"] for row in held.values())


def test_every_stage_of_every_bill(mirror: Resources, published: Published) -> None:
    query = "SELECT parliament, session, number, chamber, completed_on, committee, sittings FROM bill_stages"
    held: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    with mirror.db() as db:
        for row in db.execute(text(f"{query} ORDER BY position")):
            held.setdefault((f"{row[0]}-{row[1]}", row[2]), []).append(tuple(row[3:]))
    spines, _ = published
    wrong = [key for key, spine in spines.items() if held.get(key, []) != expected_stages(spine)]
    assert wrong == []
    assert sum(map(len, held.values())) > 1000


@pytest.mark.parametrize("table", PARTS)
def test_every_row_of_what_belongs_to_a_bill(mirror: Resources, published: Published, table: str) -> None:
    columns, expected_of = WHOLE[table]
    with mirror.db() as db:
        query = f"SELECT parliament || '-' || session, number, {columns} FROM {table}"
        held = Counter(map(tuple, db.execute(text(query))))
    spines, _ = published
    wanted = Counter((*key, *row) for key, spine in spines.items() for row in expected_of(spine))
    assert held == wanted
    assert sum(wanted.values()) > 1000


def test_the_days_on_which_the_chambers_sat(mirror: Resources, published: Published) -> None:
    """As numbered by the details; and each day of a division or of the end of a stage that they do not number."""
    numbered, others = set(), set()
    for (session, _), spine in published[0].items():
        for chamber, stage in stages_of(spine):
            numbered |= {(session, chamber, day(row["Date"]), row["Number"]) for row in stage["Sittings"]}
            others |= {(session, chamber, day(stage["StateAsOfDate"]))} if stage["State"] == 4 else set()
            divided = [row["DecisionSittingDate"] for row in stage["Decisions"] if row["DivisionNumber"] is not None]
            others |= {(session, "house", day(moment)) for moment in divided}
    with mirror.db() as db:
        query = "SELECT parliament || '-' || session, chamber, day, number, source FROM sittings"
        held = [tuple(row) for row in db.execute(text(query))]
    assert len(held) == len(set(held))
    assert {row[:4] for row in held if row[3] is not None} == numbered
    assert {row[:3] for row in held if row[3] is None} == others - {row[:3] for row in numbered}
    assert {row[4] for row in held} == {"legisinfo"}  # no division is held here


def test_the_days_are_those_that_others_derived(mirror: Resources, backfill: dict[str, Figures]) -> None:
    """From the same records, but without royal assent and without second sittings of a day; where they close a gap of
    one weekday by guessing, the mirror has nothing to say."""
    derived = json.loads(next((FOLDER / "calendar").glob("sitting-days-derived-*.json")).read_text(encoding="utf-8"))
    with mirror.db() as db:
        query = "SELECT parliament || '-' || session, chamber, number, day::text FROM sittings WHERE number IS NOT NULL"
        rows = [tuple(row) for row in db.execute(text(query))]
    for scope in sorted({row[:2] for row in rows}):
        ours = {number: on for *of, number, on in rows if tuple(of) == scope}
        theirs = derived[f"{scope[0]} {scope[1][0].upper()}"]
        guessed = set(map(str, theirs["forced_numbers"]))
        told = {number: on for number, on in theirs["days"].items() if number not in guessed}
        beyond = {number: on for number, on in ours.items() if theirs["days"].get(number) != on}
        assert {number: on for number, on in told.items() if ours.get(number) != on} == {}, scope
        assert not beyond.keys() & theirs["days"].keys(), scope
        assert [n for n in beyond if n.isdigit() and n not in theirs["open"] and int(n) <= theirs["last_number"]] == []


def test_a_second_run_writes_no_row_and_asks_for_one_list(
    whole: StandIn, mirror: Resources, backfill: dict[str, Figures]
) -> None:
    before = snapshot(mirror)
    lists = before.pop("documents")
    whole.forget()
    again = sweep(mirror, sorted(backfill))
    assert {(run.status, run.bills_fetched, run.error_count) for run in again.values()} == {("success", 0, 0)}
    assert whole.asked("legisinfo") == {"list": len(backfill)}
    assert whole.asked("openparliament") == {}
    after = snapshot(mirror)
    assert after.pop("documents") == lists
    assert after == before


def test_another_shape_of_the_list_changes_nothing(
    whole: StandIn, mirror: Resources, backfill: dict[str, Figures]
) -> None:
    before = snapshot(mirror)
    before.pop("documents")
    whole.forget()
    try:
        for shape in ("B", "A"):
            whole.configure(list_shape=shape)
            runs = sweep(mirror, sorted(backfill))
            assert {(run.status, run.bills_fetched, run.error_count) for run in runs.values()} == {("success", 0, 0)}
    finally:
        whole.configure(list_shape="A")
    assert whole.asked("legisinfo") == {"list": 2 * len(backfill)}
    after = snapshot(mirror)
    after.pop("documents")
    assert after == before


def test_an_upgrade_fills_what_is_new_by_itself(
    whole: StandIn, mirror: Resources, backfill: dict[str, Figures]
) -> None:
    """As an older version left it: without the new tables and columns, every document read by its reading."""
    new = [name for name in PARTICULARS if name not in ("events", "publications", "links", "similar")]
    columns = ", ".join(name for name in BillRow.__table__.columns.keys() if name not in MOVING)  # noqa: SIM118
    told = f"SELECT md5(({columns})::text) FROM bills ORDER BY 1"
    with mirror.db() as db:
        before = {table: list(db.scalars(text(f"SELECT md5(t::text) FROM {table} t ORDER BY 1"))) for table in PARTS}
        before["bills"] = list(db.scalars(text(told)))
        last = db.scalar(text("SELECT max(seq) FROM changes"))
        for table in PARTS:
            db.execute(text(f"DELETE FROM {table}"))
        db.execute(text(f"UPDATE bills SET {', '.join(f'{name} = NULL' for name in new)}"))
        db.execute(text("UPDATE latest_documents SET reading = 1"))
    whole.forget()

    assert upkeep.read_again(mirror, within=timedelta()) == 200  # one batch, and the next call goes on
    assert upkeep.read_again(mirror) == sum(run.created for run in backfill.values()) - 200
    with mirror.db() as db:
        after = {table: list(db.scalars(text(f"SELECT md5(t::text) FROM {table} t ORDER BY 1"))) for table in PARTS}
        after["bills"] = list(db.scalars(text(told)))
        kinds = list(db.scalars(text("SELECT DISTINCT kind FROM changes WHERE seq > :last"), {"last": last}))
    assert (whole.asked("legisinfo"), whole.asked("openparliament")) == ({}, {})
    assert after == before
    assert kinds == ["reparsed"]
    again = snapshot(mirror)
    assert upkeep.read_again(mirror) == 0
    assert snapshot(mirror) == again


# What the stand-in says, read by the rules of the sources' description and nothing of parlex.


def details(whole: StandIn, sessions: list[str]) -> Published:
    """LEGISinfo's detail of each bill, and OpenParliament's of those it has."""
    with (
        httpx.Client(base_url=whole.legisinfo_url, timeout=60) as spine,
        httpx.Client(base_url=whole.openparliament_url, timeout=60) as companion,
        ThreadPoolExecutor(4) as pool,
    ):
        lists = [loads(spine.get("/legisinfo/en/bills/json", params={"parlsession": session})) for session in sessions]
        keys = [(session, row["NumberCode"]) for session, rows in zip(sessions, lists, strict=True) for row in rows]
        found = pool.map(lambda key: loads(spine.get(f"/legisinfo/en/bill/{key[0]}/{key[1].lower()}/json"))[0], keys)
        modern = [key for key in keys if int(key[0].partition("-")[0]) >= 37]
        others = pool.map(
            lambda key: loads(companion.get(f"/bills/{key[0]}/{key[1]}/", params={"format": "json"})), modern
        )
        return dict(zip(keys, found, strict=True)), dict(zip(modern, others, strict=True))


def loads(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.url
    return json.loads(answer.content.decode("utf-8-sig"))


def status_codes(spines: dict[Key, Any], companions: dict[Key, Any]) -> dict[str, str]:
    pairs = {(spines[key]["StatusNameEn"], bill["status_code"]) for key, bill in companions.items()}
    known = [pair for pair in pairs if pair[1]]
    assert len(known) == len(dict(known))
    return dict(known)


def expected(spine: dict[str, Any], companion: dict[str, Any] | None, codes: dict[str, str]) -> dict[str, Any]:
    other = companion or {}
    days = {name: day(spine[source]) for name, source in DAYS.items()}
    session, parliament = spine["SessionNumber"], spine["ParliamentNumber"]
    return {
        "title_en": spine["LongTitleEn"].strip(),
        "title_fr": spine["LongTitleFr"].strip(),
        "short_title_en": words(spine["ShortTitleEn"]) or words(other.get("short_title", {}).get("en")),
        "short_title_fr": words(spine["ShortTitleFr"]) or words(other.get("short_title", {}).get("fr")),
        "status_en": spine["StatusNameEn"],
        "status_fr": spine["StatusNameFr"],
        "status_code": codes.get(spine["StatusNameEn"], "unknown"),
        "bill_type": spine["BillDocumentTypeNameEn"],
        "chamber": {1: "house", 2: "senate"}[spine["OriginatingChamberOrganizationId"]],
        "is_government": spine["BillDocumentTypeId"] in (3, 80759),
        "is_pro_forma": spine["StatusId"] == 359,
        "sponsor_person_id": spine["SponsorPersonId"],
        "sponsor_name": words(spine["SponsorPersonName"]),
        "sponsor_slug": slug(other.get("sponsor_politician_url")),
        **days,
        "introduced_on": min(
            filter(None, (days["house_first_reading_on"], days["senate_first_reading_on"])), default=None
        ),
        "statute_year": spine["StatuteYear"],
        "statute_chapter": spine["StatuteChapter"],
        "reinstated_from": relative(parliament, session - 1, spine["ReinstatedFromBillNumberCode"]),
        "reinstated_as": relative(parliament, session + 1, spine["ReinstatedAsBillNumberCode"]),
        "legisinfo_id": spine["Id"],
        "text_url": text_url(spine["Publications"]) or other.get("text_url"),
        "summary_en": words(spine["ShortLegislativeSummaryEn"]),
        "summary_fr": words(spine["ShortLegislativeSummaryFr"]),
        "bill_type_fr": spine["BillDocumentTypeNameFr"],
        "form": {10: "regular", 13: "appropriation", 15: "pro_forma", 16: "ways_and_means"}[spine["BillFormId"]],
        "ongoing_stage_fr": words(spine["OngoingStageNameFr"]),
        "last_event_on": day(spine["LatestBillEventDateTime"]),
        "last_event_en": words(spine["LatestBillEventTypeNameEn"]),
        "sponsor_title_fr": words(spine["SponsorAffiliationTitleFr"]),
        "sponsor_riding_en": words(spine["SponsorConstituencyNameEn"]),
        "is_in_pre_study": spine["IsInSenatePreStudy"],
        "pre_study_committee": words((spine["SenatePreStudyCommitteeDetails"] or {}).get("CommitteeAcronym")),
        "is_dropped": spine["IsDroppedFromSenateOrderPaper"],
        "was_debated_last": spine["ConsideredDuringPreviousSitting"],
        "notes_fr": words(spine["NotesFr"]),
    }


def expected_stages(spine: dict[str, Any]) -> list[tuple[Any, ...]]:
    parts = spine["BillStages"]
    if parts is None:
        return []
    chambers = [
        (name, day(stage["StateAsOfDate"]), acronym(stage), len(stage["Sittings"]))
        for name, part in (("house", "HouseBillStages"), ("senate", "SenateBillStages"))
        for stage in parts[part]
    ]
    assent = day(spine["ReceivedRoyalAssentDateTime"])
    return chambers + [(None, assent, acronym(stage), len(stage["Sittings"])) for stage in parts["RoyalAssent"]]


def stages_of(spine: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each stage with its chamber; royal assent is given in the Senate."""
    for name, stages in (spine["BillStages"] or {}).items():
        if name not in ("BillId", "InterChamberMessages"):
            for stage in stages:
                yield "house" if name.startswith("House") else "senate", stage


EVENTS = "kind, chamber, day, sitting_number, name_en, name_fr, division_number, report_number, committee"


def expected_events(spine: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    for chamber, stage in stages_of(spine):
        for row in stage["Sittings"]:
            yield ("sitting", chamber, day(row["Date"]), row["Number"], *named(row, "Name"), None, None, None)
        for row in stage["SignificantEvents"]:
            report = row["CommitteeReportNumber"]
            at_work = acronym(stage) if report else None
            told = day(row["EventDateTime"]), None, *named(row, "EventName")
            yield ("event", chamber, *told, None, report, at_work)
        for row in stage["Decisions"]:
            told = day(row["DecisionSittingDate"]), row["DecisionSittingNumber"], *named(row, "DecisionMotionTitle")
            yield ("decision", chamber, *told, row["DivisionNumber"], None, None)
        for row in stage["CommitteeMeetings"]:
            told = day(row["Date"]), None, *named(row, "CommitteeName")
            yield ("meeting", chamber, *told, None, None, row["CommitteeAcronym"])
    for row in (spine["BillStages"] or {}).get("InterChamberMessages", []):
        yield ("message", at(row), day(row["Date"]), row["MeetingNumber"], *named(row, "EventName"), None, None, None)
    for row in (spine["HouseRulingAndStatements"] or []) + (spine["SenateRulingAndStatements"] or []):
        told = day(row["RulingStatementDateTime"]), str(row["MeetingNumber"]), *named(row, "EventTypeName")
        yield ("ruling", at(row), *told, None, None, None)


def expected_publications(spine: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    number, session = spine["NumberCode"], f"{spine['ParliamentNumber']}{spine['SessionNumber']}"
    folder = "Government" if spine["IsGovernmentBill"] else "Private"
    for row in spine["Publications"]:
        version = row["PublicationTypeId"] - 80700
        file = f"https://www.parl.ca/Content/Bills/{session}/{folder}/{number}/{number}_{version}/{number}"
        yield (row["PublicationId"], *named(row, "PublicationTypeName"), f"{file}_F.xml", f"{file}_{version}.PDF")


def expected_links(spine: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    for row in spine["WebReferences"]:
        yield (*named(row, "WebReferenceTypeName"), *named(row, "Title"), *named(row, "Url"))


def expected_similar(spine: dict[str, Any]) -> Iterator[tuple[str]]:
    for row in spine["SimilarBills"] or []:
        yield (f"{row['ParliamentNumber']}-{row['SessionNumber']} {row['NumberCode']}",)


WHOLE: dict[str, tuple[str, Callable[[dict[str, Any]], Iterator[tuple[Any, ...]]]]] = {
    "bill_events": (EVENTS, expected_events),
    "bill_publications": ("publication_id, name_en, name_fr, xml_url_fr, pdf_url", expected_publications),
    "bill_links": ("kind, kind_fr, title_en, title_fr, url_en, url_fr", expected_links),
    "similar_bills": ("similar_key", expected_similar),
}


def at(row: dict[str, Any]) -> str:
    return {1: "house", 2: "senate"}[row["ChamberOrganizationId"]]


def named(row: dict[str, Any], key: str) -> tuple[str | None, str | None]:
    return words(row[f"{key}En"]), words(row[f"{key}Fr"])


def acronym(stage: dict[str, Any]) -> str | None:
    return words((stage["Committee"] or {}).get("CommitteeAcronym"))


def day(moment: str | None) -> date | None:
    """The detail's times are Ottawa's."""
    return None if moment is None or moment.startswith("0001-01-01") else date.fromisoformat(moment[:10])


def words(value: str | None) -> str | None:
    return (value or "").strip() or None


def slug(url: str | None) -> str | None:
    """The last part of the politician's address; some have a number there instead of a name."""
    found = re.fullmatch(r"/politicians/([^/]+)/", url or "")
    return found[1] if found else None


def relative(parliament: int, session: int, number: str | None) -> str | None:
    return f"{parliament}-{session} {number.strip()}" if number and number.strip() else None


def text_url(publications: list[dict[str, Any]]) -> str | None:
    return f"https://www.parl.ca/DocumentViewer/en/{publications[-1]['PublicationId']}" if publications else None
