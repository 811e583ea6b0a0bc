"""The stand-in misbehaves in each way it knows. Nothing that was there is lost, and the next good run heals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs.fetch_logs import Figures
from tests.conformance.conftest import StandIn
from tests.looking import fetch_all

SESSION = SessionId(43, 1)
BILLS = 86
SPONSORED = 65  # those of whose sponsor the companion knows a page
# Between these two days 24 bills move and four are new.
EARLIER, LATER = "2020-02-26", "2020-03-10"
DETAIL, LIST = "/bill/", "/bills/json"


def fetch(mirror: Resources) -> Figures:
    return alone.run_session(mirror.pipeline, SESSION)


def rows(mirror: Resources, query: str, **values: Any) -> list[tuple[Any, ...]]:
    with mirror.db() as db:
        return [tuple(row) for row in db.execute(text(query), values)]


def bills(mirror: Resources) -> list[tuple[Any, ...]]:
    return rows(mirror, "SELECT * FROM bills ORDER BY number")


def changes(mirror: Resources, run: Figures) -> list[tuple[Any, ...]]:
    query = "SELECT number, kind, field FROM bill_changes WHERE run_id = :run_id"
    return rows(mirror, query, run_id=run.run_id)


def errors(mirror: Resources, run: Figures) -> list[str]:
    return rows(mirror, "SELECT errors FROM fetch_logs WHERE run_id = :run_id", run_id=run.run_id)[0][0]


def parked(mirror: Resources, state: str = "open") -> list[tuple[Any, ...]]:
    return rows(mirror, "SELECT kind, guard, source FROM quarantine WHERE state = :state", state=state)


@pytest.fixture
def filled(replay: StandIn, mirror: Resources) -> Resources:
    """A mirror that holds the session as it stood on ``EARLIER``; the stand-in has moved on to ``LATER``."""
    replay.as_of(EARLIER)
    assert fetch(mirror).status == "success"
    replay.as_of(LATER)
    replay.forget()
    return mirror


@pytest.fixture
def current(replay: StandIn, mirror: Resources) -> Resources:
    """A mirror that holds everything."""
    assert fetch(mirror).status == "success"
    replay.forget()
    return mirror


def moved(replay: StandIn, mirror: Resources) -> Figures:
    """What an undisturbed run makes of the same move, in numbers."""
    replay.clear_faults()
    healed = fetch(mirror)
    assert healed.status == "success"
    assert healed.updated > 20
    replay.forget()
    assert fetch(mirror).bills_fetched == 0
    assert replay.asked("legisinfo") == {"list": 1}
    return healed


# The source is away.


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("error_rate", {}),
        ("html_200", {}),
        ("truncate", {"mode": "body"}),
        ("reset", {}),
        ("wrong_content_type", {}),
    ],
)
def test_details_that_cannot_be_had_lose_nothing(
    replay: StandIn, filled: Resources, kind: str, options: dict[str, Any]
) -> None:
    before = bills(filled)
    replay.fault(kind, host="legisinfo", path=DETAIL, **options)
    run = fetch(filled)
    assert (run.status, run.failed, run.error_count) == ("failure", run.bills_fetched, run.bills_fetched)
    assert run.failed > 20
    assert bills(filled) == before
    assert changes(filled, run) == []
    first_try_and_three_more = rows(filled, "SELECT DISTINCT attempt FROM run_keys WHERE run_id = :id", id=run.run_id)
    assert first_try_and_three_more == [(4,)]
    moved(replay, filled)


@pytest.mark.parametrize("kind", ["garbage", "truncate"])
def test_details_that_cannot_be_read_are_parked(replay: StandIn, filled: Resources, kind: str) -> None:
    before = bills(filled)
    replay.fault(kind, host="legisinfo", path=DETAIL, mode="json")
    run = fetch(filled)
    assert (run.status, run.failed) == ("failure", run.bills_fetched)
    assert bills(filled) == before
    assert set(parked(filled)) == {("document", "unreadable", "legisinfo")}
    assert len(parked(filled)) == run.failed
    moved(replay, filled)
    assert parked(filled) == []


@pytest.mark.parametrize("kind", ["error_rate", "down", "html_200", "redirect_loop"])
def test_a_list_that_cannot_be_had_is_a_failure(replay: StandIn, filled: Resources, kind: str) -> None:
    before = bills(filled)
    replay.fault(kind, host="legisinfo")
    run = fetch(filled)
    assert (run.status, run.bills_fetched) == ("failure", 0)
    assert run.error_count > 0
    assert bills(filled) == before
    moved(replay, filled)


@pytest.mark.parametrize(("kind", "options"), [("garbage", {}), ("truncate", {"mode": "json"})])
def test_a_list_that_cannot_be_read_is_parked(
    replay: StandIn, filled: Resources, kind: str, options: dict[str, Any]
) -> None:
    before = bills(filled)
    replay.fault(kind, host="legisinfo", path=LIST, **options)
    assert fetch(filled).status == "failure"
    assert bills(filled) == before
    assert parked(filled) == [("sweep", "malformed", "legisinfo")]
    moved(replay, filled)
    assert parked(filled) == []


@pytest.mark.parametrize("host", ["legisinfo", "openparliament"])
def test_a_few_bad_answers_are_asked_again_and_leave_no_trace(replay: StandIn, filled: Resources, host: str) -> None:
    replay.fault("error_rate", host=host, first=2)
    run = fetch_all(filled, SESSION)
    assert (run.status, run.failed, run.error_count) == ("success", 0, 0)
    assert replay.statuses(host)["200"] > 20
    assert run.updated > 20


def test_retry_after_is_obeyed_and_costs_no_retry(replay: StandIn, mirror: Resources) -> None:
    replay.as_of("2019-12-10")
    replay.fault("rate_limit", host="legisinfo", path=DETAIL, per_minute=0, first=3, retry_after=1)
    started = datetime.now(UTC)
    run = fetch(mirror)
    waited = (datetime.now(UTC) - started).total_seconds()
    assert (run.status, run.error_count, run.created) == ("success", 0, 7)
    assert replay.statuses("legisinfo")["429"] == 3
    assert waited >= 1
    assert rows(mirror, "SELECT DISTINCT attempt FROM run_keys") == [(0,)]


# The companion is away.


def test_without_the_companion_the_run_is_partial_and_the_next_heals(replay: StandIn, mirror: Resources) -> None:
    replay.fault("down", host="openparliament")
    run = fetch(mirror)
    assert (run.status, run.created, run.failed) == ("partial", BILLS, 0)
    assert rows(mirror, "SELECT count(sponsor_slug) FROM bills") == [(0,)]
    replay.clear_faults()
    replay.forget()
    healed = fetch(mirror)
    assert (healed.status, healed.failed) == ("success", 0)
    assert replay.asked("legisinfo") == {"list": 1}
    assert rows(mirror, "SELECT count(sponsor_slug) > 50 FROM bills") == [(True,)]
    assert {field for _, _, field in changes(mirror, healed)} == {"sponsor_slug"}


def test_a_companion_that_goes_away_erases_nothing(replay: StandIn, filled: Resources) -> None:
    slugs = "SELECT number, sponsor_slug FROM bills WHERE sponsor_slug IS NOT NULL"
    before = rows(filled, slugs)
    replay.fault("down", host="openparliament")
    run = fetch_all(filled, SESSION)
    assert (run.status, run.failed) == ("partial", 0)
    assert run.updated > 20
    assert set(before) <= set(rows(filled, slugs))
    replay.clear_faults()
    assert fetch(filled).status == "success"


@pytest.mark.parametrize("kind", ["empty_list", "shrink", "loop_next", "garbage", "bad_row"])
def test_a_bad_list_of_the_companion_leaves_the_spine_alone(replay: StandIn, mirror: Resources, kind: str) -> None:
    replay.fault(kind, host="openparliament", path=r"^/bills/\?")
    run = fetch(mirror)
    assert (run.created, run.failed) == (BILLS, 0)
    assert run.status == ("success" if kind == "shrink" else "partial")
    replay.clear_faults()
    healed = fetch(mirror)
    assert healed.status == "success"
    # What the stand-in says of the session while nothing is wrong.
    assert rows(mirror, "SELECT count(sponsor_slug) FROM bills") == [(SPONSORED,)]


# The source answers, and is not to be believed.


def test_an_empty_list_is_parked(replay: StandIn, current: Resources) -> None:
    before = bills(current)
    replay.fault("empty_list", host="legisinfo")
    run = fetch(current)
    assert (run.status, run.bills_fetched) == ("failure", 0)
    assert bills(current) == before
    assert changes(current, run) == []
    assert parked(current) == [("sweep", "empty", "legisinfo")]
    replay.clear_faults()
    assert (fetch(current).status, parked(current)) == ("success", [])


def test_half_a_list_is_parked(replay: StandIn, current: Resources) -> None:
    before = bills(current)
    replay.fault("shrink", host="legisinfo")
    run = fetch(current)
    assert (run.status, run.bills_fetched) == ("failure", 0)
    assert bills(current) == before
    assert parked(current) == [("sweep", "shrunken", "legisinfo")]
    replay.clear_faults()
    assert (fetch(current).status, parked(current)) == ("success", [])
    assert bills(current) == before


@pytest.mark.parametrize("name", ["StatusNameEn", "PassedHouseFirstReadingDateTime", "LongTitleFr", "NumberCode"])
def test_a_field_that_left_the_list_is_named(replay: StandIn, current: Resources, name: str) -> None:
    before = bills(current)
    replay.fault("drop_field", host="legisinfo", path=LIST, name=name)
    run = fetch(current)
    assert (run.status, run.bills_fetched) == ("failure", 0)
    assert name in " ".join(errors(current, run))
    assert bills(current) == before
    assert parked(current) == [("sweep", "malformed", "legisinfo")]


def test_a_field_that_left_the_details_is_named(replay: StandIn, filled: Resources) -> None:
    before = bills(filled)
    replay.fault("drop_field", host="legisinfo", path=DETAIL, name="StatuteYear")
    run = fetch(filled)
    assert (run.status, run.failed) == ("failure", run.bills_fetched)
    assert all("StatuteYear" in error for error in errors(filled, run))
    assert bills(filled) == before
    moved(replay, filled)


def test_an_unknown_status_in_the_list_freezes_nothing(replay: StandIn, current: Resources) -> None:
    """The list knows it before the details do: these are asked for again in a day, and not at each tick."""
    before = bills(current)
    replay.fault("unknown_status", host="legisinfo", path=LIST)
    run = fetch(current)
    assert (run.status, run.failed, run.unchanged) == ("success", 0, BILLS)
    assert bills(current) == before
    assert parked(current) == []


def test_an_unknown_status_in_the_details_lands_as_it_is_written(replay: StandIn, filled: Resources) -> None:
    replay.fault("unknown_status", host="legisinfo")
    run = fetch(filled)
    assert (run.status, run.failed) == ("success", 0)
    found = rows(filled, "SELECT DISTINCT status_code, status_en, flags[cardinality(flags)] FROM bills")
    assert ("unknown", "At an entirely new stage", "unknown_status") in found
    assert parked(filled) == []


@pytest.mark.parametrize("how", ["types", "missing", "null", "string"])
def test_one_bad_row_costs_one_bill(replay: StandIn, mirror: Resources, how: str) -> None:
    replay.fault("bad_row", host="legisinfo", path=LIST, how=how)
    run = fetch(mirror)
    assert (run.status, run.created, run.error_count) == ("partial", BILLS - 1, 1)
    assert parked(mirror) == [("row", "unreadable", "legisinfo")]
    replay.clear_faults()
    healed = fetch(mirror)
    assert (healed.status, healed.created) == ("success", 1)
    assert parked(mirror) == []


@pytest.mark.parametrize("how", ["types", "missing", "null", "string"])
def test_a_bad_row_withdraws_nothing(replay: StandIn, current: Resources, how: str) -> None:
    before = bills(current)
    replay.fault("bad_row", host="legisinfo", path=LIST, how=how)
    assert fetch(current).status == "partial"
    assert bills(current) == before


def test_doubled_rows_are_one_bill_each_and_recorded(replay: StandIn, mirror: Resources) -> None:
    replay.fault("duplicate_rows", host="legisinfo", path=LIST, count=5)
    run = fetch(mirror)
    assert (run.status, run.created) == ("success", BILLS)
    doubled = rows(mirror, "SELECT cardinality(doubled) FROM sweeps WHERE source = 'legisinfo'")
    assert doubled == [(5,)]


def test_a_session_that_nobody_knows_is_refused(
    replay: StandIn, mirror: Resources, make_resources: Callable[..., Resources]
) -> None:
    from parlex.errors import UnknownSession

    with pytest.raises(UnknownSession, match="99-1"):
        alone.run_session(mirror.pipeline, SessionId(99, 1))
    assert bills(mirror) == []


def test_who_asks_says_who_it_is(replay: StandIn, mirror: Resources) -> None:
    fetch(mirror)
    agents = replay.control.get("/stats").json()["legisinfo"]["user_agents"]
    assert [agent for agent in agents if not agent.startswith("parlex/")] == []
    assert all("(+tests@example.org)" in agent for agent in agents)
