"""Runs from list to rows, on a real PostgreSQL, against the sandbox over real HTTP."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import time_machine
from sqlalchemy import event, text

from parlex.datasets import verdicts
from parlex.db.models import RunRow
from parlex.errors import RateLimited, UnknownSession, UsageError
from parlex.fetching.http import Client
from parlex.fetching.throttle import host_of
from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone, asking
from parlex.runs.fetch_logs import Figures
from parlex.runs.pipeline import FetchReport
from parlex.runs.run_keys import Overdue
from tests.looking import let_pass
from tests.throttles import NullThrottle

CURRENT = SessionId(45, 1)
LAST = SessionId(44, 1)
DETAIL, LIST = "/bill/", "/bills/json"


def rows(mirror: Resources, query: str, **values: Any) -> list[tuple[Any, ...]]:
    with mirror.db() as db:
        return [tuple(row) for row in db.execute(text(query), values)]


def value(mirror: Resources, query: str, **values: Any) -> Any:
    return rows(mirror, query, **values)[0][0]


def changes(mirror: Resources, run: Figures) -> list[tuple[Any, ...]]:
    query = "SELECT number, kind, field, old, new FROM bill_changes WHERE run_id = :run_id ORDER BY seq"
    return rows(mirror, query, run_id=run.run_id)


def bills(mirror: Resources) -> list[tuple[Any, ...]]:
    return rows(mirror, "SELECT * FROM bills ORDER BY parliament, session, number")


def numbers(mirror: Resources) -> set[str]:
    return {number for (number,) in rows(mirror, "SELECT number FROM bills")}


def parked(mirror: Resources) -> list[tuple[Any, ...]]:
    return rows(mirror, "SELECT kind, guard, field FROM quarantine WHERE state = 'open' ORDER BY id")


def asked(sandbox: Sandbox, host: str = "legisinfo") -> dict[str, int]:
    return dict(sandbox.stats()[host]["kinds"])


def fetch(mirror: Resources, session: SessionId = CURRENT, **options: Any) -> Figures:
    return alone.run_session(mirror.pipeline, session, **options)


class Watched:
    """What a watcher is told, in order; ``then`` is done at each count."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.told: list[tuple[int, int] | str] = []
        self._then = then

    def __call__(self, done: int, total: int) -> None:
        self.told.append((done, total))
        self._then()

    def say(self, doing: str) -> None:
        self.told.append(doing)


class Edited(httpx.BaseTransport):
    """The network, but for the bodies that ``edit`` (url, JSON) rewrites."""

    def __init__(self, edit: Callable[[str, Any], None]) -> None:
        self._edit = edit
        self._network = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._network.handle_request(request)
        answer.read()
        answer.close()
        body = json.loads(answer.content.decode("utf-8-sig"))
        self._edit(str(request.url), body)
        return httpx.Response(200, json=body)

    def close(self) -> None:
        self._network.close()


@pytest.fixture
def edited(
    sandbox: Sandbox, make_resources: Callable[..., Resources]
) -> Iterator[Callable[[Callable[[str, Any], None]], Resources]]:
    """A second look at the same mirror through ``Edited``."""
    clients: list[Client] = []

    def edit(how: Callable[[str, Any], None]) -> Resources:
        resources = make_resources(legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url)
        client = Client(
            user_agent="tests",
            throttle=NullThrottle(),
            connect_timeout=5,
            read_timeout=5,
            max_body_bytes=10**7,
            transport=Edited(how),
        )
        clients.append(client)
        resources.__dict__["client"] = client
        return resources

    yield edit
    for client in clients:
        client.close()


# A mirror that follows its sources.


def test_the_first_run_lands_everything(sandbox: Sandbox, mirror: Resources) -> None:
    run = fetch(mirror)
    assert (run.status, run.failed, run.deferred, run.error_count) == ("success", 0, 0, 0)
    assert run.created == run.bills_fetched == value(mirror, "SELECT count(*) FROM bills") > 20
    assert {kind for _, kind, *_ in changes(mirror, run)} == {"created"}
    assert asked(sandbox) == {"list": 1, "detail": run.created}


def test_a_second_run_asks_for_the_list_and_writes_no_bill(sandbox: Sandbox, mirror: Resources) -> None:
    fetch(mirror)
    before = rows(mirror, "SELECT xmin::text, number FROM bills"), rows(mirror, "SELECT xmin::text, key FROM listings")
    sandbox.reset()
    run = fetch(mirror)
    assert (run.status, run.bills_fetched) == ("success", 0)
    assert asked(sandbox) == {"list": 1}
    assert asked(sandbox, "openparliament") == {}
    assert before == (
        rows(mirror, "SELECT xmin::text, number FROM bills"),
        rows(mirror, "SELECT xmin::text, key FROM listings"),
    )


def test_what_moves_is_fetched_and_recorded_in_the_same_run(sandbox: Sandbox, mirror: Resources) -> None:
    fetch(mirror)
    before = numbers(mirror)
    for _ in range(5):
        assert sandbox.advance()
    run = fetch(mirror)
    assert run.status == "success"
    assert run.created + run.updated == run.bills_fetched > 0
    recorded = changes(mirror, run)
    assert {number for number, kind, *_ in recorded if kind == "created"} == numbers(mirror) - before
    assert len({number for number, *_ in recorded}) == run.bills_fetched
    assert all(old != new for _, kind, _, old, new in recorded if kind == "changed")
    assert changes(mirror, fetch(mirror)) == []


def test_the_current_session_is_what_the_list_says(sandbox: Sandbox, mirror: Resources) -> None:
    run = alone.run_latest(mirror.pipeline, limit=3)
    assert run.created == 3
    assert rows(mirror, "SELECT DISTINCT parliament, session FROM bills") == [(45, 1)]
    assert rows(mirror, "SELECT scope, is_current FROM sweeps WHERE source = 'legisinfo'") == [("45-1", True)]


def test_a_limit_defers_the_rest_and_later_runs_take_it_up(sandbox: Sandbox, mirror: Resources) -> None:
    listed = fetch(mirror, limit=10).deferred + 10
    assert value(mirror, "SELECT count(*) FROM bills") == 10
    run = fetch(mirror, limit=15)
    assert (run.status, run.created, run.deferred) == ("success", 15, listed - 25)
    log = rows(mirror, "SELECT listed, not_due, attempted, deferred FROM fetch_logs ORDER BY started_at")
    assert log == [(listed, 0, 10, listed - 10), (listed, 10, 15, listed - 25)]


def test_the_newest_activity_comes_first(sandbox: Sandbox, mirror: Resources) -> None:
    fetch(mirror, limit=10)
    taken = "SELECT min(activity_on) FROM listings WHERE source = 'legisinfo' AND fetched_fingerprint IS NOT NULL"
    left = "SELECT max(activity_on) FROM listings WHERE source = 'legisinfo' AND fetched_fingerprint IS NULL"
    assert value(mirror, taken) >= value(mirror, left)


def test_details_that_nobody_looked_at_for_long_are_looked_at(
    sandbox: Sandbox, make_resources: Callable[..., Resources]
) -> None:
    urls = {"legisinfo_url": sandbox.legisinfo_url, "openparliament_url": sandbox.openparliament_url}
    mirror = make_resources(**urls, companion_sample=0)
    total = fetch(mirror).created
    sandbox.reset()
    let_pass(mirror, days=6)
    assert alone.run_latest(mirror.pipeline, limit=100, recheck_after_days=7).bills_fetched == 0
    let_pass(mirror, days=2)
    run = alone.run_latest(mirror.pipeline, limit=5, recheck_after_days=7)
    assert (run.status, run.unchanged, run.deferred) == ("success", 5, total - 5)
    assert alone.run_latest(mirror.pipeline, limit=5).bills_fetched == 0
    rest = alone.run_latest(mirror.pipeline, limit=100, recheck_after_days=7)
    assert rest.unchanged == total - 5
    assert asked(sandbox)["detail"] == total


def test_another_shape_of_the_list_changes_nothing(sandbox: Sandbox, mirror: Resources) -> None:
    fetch(mirror)
    sandbox.list_shape("B")
    assert fetch(mirror).bills_fetched == 0


@pytest.mark.parametrize("limit", [0, -1, True, 2.5])
def test_a_wrong_limit_is_refused(mirror: Resources, limit: Any) -> None:
    with pytest.raises(UsageError, match="limit must be a whole number"):
        alone.run_latest(mirror.pipeline, limit=limit)
    assert rows(mirror, "SELECT * FROM fetch_logs") == []


def test_a_session_that_nobody_knows_leaves_no_bill(mirror: Resources) -> None:
    with pytest.raises(UnknownSession, match="99-1"):
        fetch(mirror, SessionId(99, 1))
    assert bills(mirror) == []
    assert rows(mirror, "SELECT status, error_count FROM fetch_logs") == [("refused", 1)]


# Each step twice.


def test_each_step_twice_changes_nothing(sandbox: Sandbox, mirror: Resources) -> None:
    opened = mirror.pipeline.open_run(mirror.pipeline.session_request(CURRENT))
    run = opened.run
    for _ in range(2):
        mirror.pipeline.plan(run)
    assert asked(sandbox)["list"] == 1
    while keys := mirror.pipeline.take_chunk(run, in_flight=10):
        report = mirror.pipeline.fetch(run, keys)
        assert mirror.pipeline.fetch(run, keys).persist == ()
        assert set(report.persist) == set(keys)
        mirror.pipeline.persist(run, keys)
        assert mirror.pipeline.persist(run, keys) is None
    figures = mirror.pipeline.close_if_complete(run)
    assert figures is not None
    assert figures.created == value(mirror, "SELECT count(*) FROM bill_changes")
    assert mirror.pipeline.close_if_complete(run) is None
    assert asked(sandbox)["detail"] == figures.created


def test_the_first_keys_are_handed_over_while_the_others_are_asked_for(
    edited: Callable[[Callable[[str, Any], None]], Resources],
) -> None:
    late: list[str] = []
    told: list[list[str]] = []
    handed, in_time = threading.Event(), []

    def hold(url: str, document: Any) -> None:
        if "/legisinfo/en/bill/" in url and f"{CURRENT} {document[0]['NumberCode']}" in late:
            in_time.append(handed.wait(30))

    def hand_over(fetched: Sequence[str]) -> None:
        told.append(list(fetched))
        handed.set()

    mirror = edited(hold)
    run = mirror.pipeline.open_run(mirror.pipeline.session_request(CURRENT)).run
    mirror.pipeline.plan(run)
    keys = [*mirror.pipeline.take_chunk(run), *mirror.pipeline.take_chunk(run)]
    late += keys[asking.SLICE :]
    report = mirror.pipeline.fetch(run, keys, hand_over)
    assert late
    assert told[0] == keys[: asking.SLICE]
    assert [key for part in told for key in part] == keys == list(report.persist)
    assert all(in_time)


def test_both_lists_of_a_named_session_are_asked_for_at_once(
    edited: Callable[[Callable[[str, Any], None]], Resources],
) -> None:
    meeting = threading.Barrier(2)

    def meet(url: str, document: Any) -> None:
        if LIST in url or "/bills/?" in url:
            meeting.wait(30)

    mirror = edited(meet)
    mirror.pipeline.plan(mirror.pipeline.open_run(mirror.pipeline.session_request(CURRENT)).run)
    assert value(mirror, "SELECT count(*) FROM sweeps WHERE believed") == 2


@contextmanager
def counted(mirror: Resources) -> Iterator[list[str]]:
    sent: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    event.listen(mirror.engine, "before_cursor_execute", note)
    yield sent
    event.remove(mirror.engine, "before_cursor_execute", note)


def drive(mirror: Resources, run: RunRow) -> Figures:
    """Carry a run to its end as workers would, each message at once."""
    mirror.pipeline.plan(run)
    while keys := mirror.pipeline.take_chunk(run):
        mirror.pipeline.persist(run, mirror.pipeline.fetch(run, keys).persist)
    figures = mirror.pipeline.close_if_complete(run)
    assert figures is not None
    return figures


def scheduled(mirror: Resources, slot: datetime, limit: int = 100) -> Figures:
    opened = mirror.pipeline.open_run(mirror.pipeline.latest_request(limit), entry="hourly", slot=slot)
    assert not opened.joined
    return drive(mirror, opened.run)


def test_no_step_makes_a_round_trip_for_each_bill(sandbox: Sandbox, make_resources: Callable[..., Resources]) -> None:
    urls = {"legisinfo_url": sandbox.legisinfo_url, "openparliament_url": sandbox.openparliament_url}
    mirror = make_resources(**urls)
    spent = []
    for limit in (5, asking.SLICE):
        opened = mirror.pipeline.open_run(mirror.pipeline.session_request(CURRENT, limit))
        with counted(mirror) as sent:
            assert drive(mirror, opened.run).bills_fetched == limit
        spent.append(len(sent))
    # The first run also keeps the companion's list, which is due once a day.
    assert spent[1] <= spent[0]


def test_hosts_whose_clocks_are_apart_share_a_run(sandbox: Sandbox, mirror: Resources) -> None:
    """What one host writes down is due by the database's clock, whatever the next host's says."""
    now, pipeline = datetime.now(UTC), mirror.pipeline
    with time_machine.travel(now + timedelta(minutes=10)):
        run = pipeline.open_run(pipeline.session_request(CURRENT, 5)).run
    with time_machine.travel(now - timedelta(minutes=10)):
        assert pipeline.plan(run).due == 5
    with time_machine.travel(now + timedelta(seconds=60)):
        keys = pipeline.take_chunk(run)
    with time_machine.travel(now - timedelta(minutes=10)):
        assert len(pipeline.fetch(run, keys).persist) == 5
        assert pipeline.recover() == Overdue((), [], [])
    with time_machine.travel(now + timedelta(hours=5)):
        assert pipeline.abandon_dead() == []
        pipeline.persist(run, keys)
        figures = pipeline.close_if_complete(run)
    assert figures is not None
    assert (figures.status, figures.created) == ("success", 5)
    assert 0 <= (figures.duration_seconds or -1) < 600


# Sources that fail.


def test_a_hiccup_is_retried_and_leaves_no_trace(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.fault("error", host="legisinfo", path=LIST, first=1)
    sandbox.fault("error", host="legisinfo", path=DETAIL, first=3)
    run = fetch(mirror)
    assert (run.status, run.failed, run.error_count) == ("success", 0, 0)
    assert asked(sandbox)["list"] == 2


def test_details_that_fail_are_tried_three_times_more(sandbox: Sandbox, mirror: Resources) -> None:
    fault = sandbox.fault("error", host="legisinfo", path="/c-4/")
    run = fetch(mirror)
    assert (run.status, run.failed, run.error_count) == ("partial", 1, 1)
    assert fault.fired == 4
    assert rows(mirror, "SELECT key FROM run_keys WHERE state = 'failed'") == [("45-1 C-4",)]
    sandbox.clear_faults()
    healed = fetch(mirror)
    assert (healed.status, healed.created) == ("success", 1)


def test_a_detail_that_is_not_there_is_not_asked_for_again(sandbox: Sandbox, mirror: Resources) -> None:
    fault = sandbox.fault("error", host="legisinfo", path="/c-4/", status=404)
    run = fetch(mirror)
    assert (run.status, run.failed, fault.fired) == ("partial", 1, 1)


def test_what_failed_waits_a_day_on_the_schedule_and_not_by_hand(sandbox: Sandbox, mirror: Resources) -> None:
    fault = sandbox.fault("error", host="legisinfo", path="/c-4/", status=404)
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    assert scheduled(mirror, now).failed == 1
    assert scheduled(mirror, now + timedelta(hours=1)).bills_fetched == 0
    assert fetch(mirror).failed == 1
    assert fault.fired == 2
    let_pass(mirror, hours=25)
    assert scheduled(mirror, now + timedelta(hours=25)).failed == 1


def test_a_wait_that_the_source_asks_for_costs_no_retry(sandbox: Sandbox, mirror: Resources) -> None:
    lists = sandbox.fault("rate_limit", host="legisinfo", path=LIST, first=6, retry_after=0)
    details = sandbox.fault("rate_limit", host="legisinfo", path="/c-4/", first=6, retry_after=0)
    run = fetch(mirror)
    assert (run.status, run.error_count) == ("success", 0)
    assert (lists.fired, details.fired) == (6, 6)
    assert rows(mirror, "SELECT DISTINCT attempt FROM run_keys") == [(0,)]
    assert value(mirror, "SELECT attempt FROM fetch_logs") == 1


def test_a_limit_without_a_wait_costs_retries(sandbox: Sandbox, mirror: Resources) -> None:
    fault = sandbox.fault("rate_limit", host="legisinfo", path=LIST)
    run = fetch(mirror)
    assert (run.status, run.bills_fetched, run.error_count, fault.fired) == ("failure", 0, 1, 4)


def test_long_waits_are_rows_and_not_countdowns(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.fault("rate_limit", host="legisinfo", path=DETAIL, retry_after=1800)
    run = mirror.pipeline.open_run(mirror.pipeline.session_request(CURRENT, 5)).run
    mirror.pipeline.plan(run)
    report = mirror.pipeline.fetch(run, mirror.pipeline.take_chunk(run))
    assert report == FetchReport()
    waits = "SELECT DISTINCT state, next_attempt_at > now() + interval '29 minutes' FROM run_keys"
    assert rows(mirror, waits) == [("waiting", True)]
    assert mirror.pipeline.take_chunk(run) == []


def test_a_list_that_asks_to_wait_puts_the_planning_off(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.fault("rate_limit", host="legisinfo", path=LIST, retry_after=1800)
    run = mirror.pipeline.open_run(mirror.pipeline.session_request(CURRENT)).run
    report = mirror.pipeline.plan(run)
    assert (report.due, report.retry_after) == (None, None), "no countdown lasts that long"
    assert value(mirror, "SELECT next_attempt_at > now() + interval '29 minutes' FROM fetch_logs")
    mirror.pipeline.plan(run)  # not due: nobody is asked
    assert asked(sandbox)["list"] == 1


def test_a_month_is_obeyed_but_nobody_sleeps_in_front_of_it(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.fault("rate_limit", host="legisinfo", path=LIST, retry_after=2_592_000)
    with pytest.raises(RateLimited, match="asks to be left alone until"):
        fetch(mirror)
    with pytest.raises(RateLimited, match="asks to be left alone until"):
        fetch(mirror)
    assert asked(sandbox)["list"] == 1, "obeyed"
    (first, second) = rows(mirror, "SELECT status, errors ->> 0 FROM fetch_logs")
    assert first[0] == second[0] == "abandoned"
    assert "a source asks to be left alone until" in first[1]
    host = host_of(mirror.settings.legisinfo_url)
    assert 2_591_000 < mirror.throttle.blocked(host) <= 2_592_000
    sandbox.clear_faults()
    assert mirror.throttle.lift(host)
    assert (mirror.throttle.blocked(host), mirror.throttle.lift(host)) == (0, False)
    assert fetch(mirror).status == "success"


def test_what_waits_for_a_source_can_be_woken(sandbox: Sandbox, mirror: Resources) -> None:
    pipeline, host = mirror.pipeline, host_of(mirror.settings.legisinfo_url)
    lists = sandbox.fault("rate_limit", host="legisinfo", path=LIST, first=1, retry_after=1800)
    sandbox.fault("rate_limit", host="legisinfo", path=DETAIL, first=1, retry_after=1800)
    run = pipeline.open_run(pipeline.session_request(CURRENT, 1)).run
    assert pipeline.plan(run).due is None
    mirror.throttle.lift(host)
    assert (pipeline.wake(), pipeline.wake(), lists.fired) == (1, 0, 1)
    assert pipeline.plan(run).due == 1
    keys = pipeline.take_chunk(run)
    assert pipeline.fetch(run, keys) == FetchReport()
    mirror.throttle.lift(host)
    assert (pipeline.wake(), pipeline.take_chunk(run)) == (1, keys)
    assert pipeline.fetch(run, keys).persist == tuple(keys)


def test_a_wall_before_the_details_is_not_asked_key_by_key(
    sandbox: Sandbox, make_resources: Callable[..., Resources]
) -> None:
    mirror = make_resources(
        legisinfo_url=sandbox.legisinfo_url,
        openparliament_url=sandbox.openparliament_url,
        fetch_threads=1,
        retry_delay=0.5,
    )
    wall = sandbox.fault("error", host="legisinfo", path=DETAIL, status=403)
    run = fetch(mirror)
    assert (run.status, run.created) == ("failure", 0)
    assert run.failed > 20
    assert wall.fired < 15, "five in a row, then one after each pause"
    sandbox.clear_faults()
    assert fetch(mirror).created == run.failed, "nothing of it is held against a bill"


def test_without_the_companion_bills_land_and_the_next_run_heals(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.fault("error", host="openparliament")
    run = fetch(mirror)
    assert run.status == "partial"
    assert run.created == run.bills_fetched > 20
    assert value(mirror, "SELECT count(sponsor_slug) FROM bills") == 0
    sandbox.clear_faults()
    healed = fetch(mirror)
    assert (healed.status, healed.failed) == ("success", 0)
    assert {field for _, _, field, *_ in changes(mirror, healed)} == {"sponsor_slug"}
    assert value(mirror, "SELECT count(sponsor_slug) FROM bills") == healed.updated > 5


def test_a_companion_that_does_not_show_a_bill_yet_is_asked_daily(sandbox: Sandbox, mirror: Resources) -> None:
    fault = sandbox.fault("error", host="openparliament", path="/bills/45-1/", status=404)
    sandbox.fault("error", host="openparliament", path="/politicians/", status=404)
    run = fetch(mirror)
    assert (run.status, run.failed) == ("partial", 0), "nobody knows the politicians, by whom slugs follow"
    house = value(mirror, "SELECT count(*) FROM bills WHERE chamber = 'house'")
    assert fault.fired == house > 5, "a bill of the Senate has no slug to ask for"
    sandbox.clear_faults()
    assert fetch(mirror).bills_fetched == 0
    let_pass(mirror, hours=25)
    healed = fetch(mirror)
    assert healed.bills_fetched == healed.updated == house == value(mirror, "SELECT count(sponsor_slug) FROM bills")


# Sources that are not to be believed.


def test_an_empty_list_is_parked_and_loses_nothing(sandbox: Sandbox, mirror: Resources) -> None:
    fetch(mirror)
    before = bills(mirror)
    sandbox.fault("empty_list", host="legisinfo")
    run = fetch(mirror)
    assert (run.status, bills(mirror), parked(mirror)) == ("failure", before, [("sweep", "empty", None)])
    sandbox.clear_faults()
    assert (fetch(mirror).status, parked(mirror)) == ("success", [])


@pytest.mark.parametrize("filled", [True, False])
def test_an_empty_current_list_is_a_source_that_fails(sandbox: Sandbox, mirror: Resources, filled: bool) -> None:
    if filled:  # by name: nobody has yet said which session is the current one
        fetch(mirror)
    before = bills(mirror)
    sandbox.fault("empty_list", host="legisinfo")
    run = alone.run_latest(mirror.pipeline)
    assert (run.status, bills(mirror), parked(mirror)) == ("failure", before, [("sweep", "empty", None)])
    sandbox.clear_faults()
    assert (alone.run_latest(mirror.pipeline).status, parked(mirror)) == ("success", [])


def slugs(mirror: Resources) -> int:
    return int(value(mirror, "SELECT count(sponsor_slug) FROM bills"))


def test_an_empty_list_of_the_companion_s_is_judged_by_the_spine_s(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.fault("empty_list", host="openparliament")
    run = fetch(mirror)
    assert (run.status, parked(mirror)) == ("partial", [("sweep", "empty", None)])
    # Each bill was asked for all the same.
    assert slugs(mirror) > 5
    sandbox.clear_faults()
    sandbox.reset()
    assert (fetch(mirror).status, parked(mirror)) == ("success", [])
    assert asked(sandbox, "openparliament") == {"list": 1, "politicians": 1}, "that list was empty too"


def test_an_empty_list_of_the_companion_s_is_believed_once_it_is_approved(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.fault("empty_list", host="openparliament")
    fetch(mirror)
    with mirror.db() as db:
        (number,) = db.scalars(text("SELECT id FROM quarantine"))
        verdicts.approve(db, mirror.datasets, number, now=datetime.now(UTC))
    assert (fetch(mirror).status, parked(mirror)) == ("success", [])


def test_a_short_list_of_the_companion_s_is_not_the_last_word_for_a_day(
    sandbox: Sandbox, mirror: Resources, edited: Callable[..., Resources]
) -> None:
    def halved(url: str, body: Any) -> None:
        if "/bills/?" in url:
            del body["objects"][::2]

    def fetch_all(mirror: Resources) -> Figures:
        return alone.run_here(mirror.pipeline, mirror.pipeline.session_request(CURRENT, companion="all"))

    details = "SELECT count(*) FROM latest_documents WHERE source = 'openparliament'"
    assert fetch_all(edited(halved)).status == "success"
    some = value(mirror, details)
    assert fetch_all(mirror).status == "success"
    assert value(mirror, details) > some
    sandbox.reset()
    assert fetch_all(mirror).bills_fetched == 0
    assert asked(sandbox, "openparliament") == {}, "now it is whole, and good for a day"


def test_a_row_of_the_companion_s_that_cannot_be_read_hides_no_bill(
    sandbox: Sandbox, mirror: Resources, edited: Callable[..., Resources]
) -> None:
    def nameless(url: str, body: Any) -> None:
        if "/bills/?" in url:
            for row in body["objects"][:3]:
                del row["number"]

    fetch(mirror)
    every = slugs(mirror)
    let_pass(mirror, hours=25)
    assert fetch(edited(nameless)).status == "partial"
    assert value(mirror, "SELECT count(*) FROM listings WHERE gone_at IS NOT NULL") == 0
    sandbox.reset()
    assert fetch(mirror).status == "success"
    assert asked(sandbox, "openparliament") == {"list": 1}, "asked for again at the next run"
    assert slugs(mirror) == every


def test_a_bill_that_leaves_the_list_is_withdrawn_and_may_come_back(
    sandbox: Sandbox, mirror: Resources, edited: Callable[..., Resources]
) -> None:
    fetch(mirror)

    def without_c_4(url: str, body: Any) -> None:
        if LIST in url:
            body[:] = [row for row in body if row["NumberCode"] != "C-4"]

    shorter = fetch(edited(without_c_4))
    assert changes(mirror, shorter) == [("C-4", "withdrawn", None, None, None)]
    assert rows(mirror, "SELECT number FROM bills WHERE withdrawn") == [("C-4",)]
    assert changes(mirror, fetch(edited(without_c_4))) == []
    longer = fetch(mirror)
    assert [change[:2] for change in changes(mirror, longer)] == [("C-4", "reappeared")]
    assert rows(mirror, "SELECT number FROM bills WHERE withdrawn") == []


def test_a_field_that_goes_blank_in_all_details_keeps_its_values(
    sandbox: Sandbox, mirror: Resources, edited: Callable[..., Resources]
) -> None:
    fetch(mirror)
    sponsors = "SELECT number, sponsor_name FROM bills ORDER BY number"
    before = rows(mirror, sponsors)

    def without_sponsors(url: str, body: Any) -> None:
        if url.endswith("/json") and DETAIL in url:
            body[0]["SponsorPersonName"] = " "

    let_pass(mirror, days=8)
    run = alone.run_latest(edited(without_sponsors).pipeline, limit=100, recheck_after_days=7)
    assert rows(mirror, sponsors) == before
    assert changes(mirror, run) == []
    assert run.status == "partial"
    assert set(parked(mirror)) == {("field", "blanked", "sponsor_name")}
    let_pass(mirror, days=8)
    assert alone.run_latest(mirror.pipeline, limit=100, recheck_after_days=7).status == "success"
    assert parked(mirror) == []


def test_a_date_that_one_bill_loses_is_believed(
    sandbox: Sandbox, mirror: Resources, edited: Callable[..., Resources]
) -> None:
    fetch(mirror)
    name = "PassedHouseFirstReadingDateTime"

    def without_one_date(url: str, body: Any) -> None:
        for row in body if "legisinfo" in url else []:
            if row["NumberCode"] == "C-4":
                row[name] = None if LIST in url else "0001-01-01T00:00:00"

    run = fetch(edited(without_one_date))
    assert (run.status, run.updated) == ("success", 1)
    lost = {field: new for _, _, field, _, new in changes(mirror, run)}
    assert lost["house_first_reading_on"] is None
    assert rows(mirror, "SELECT house_first_reading_on FROM bills WHERE number = 'C-4'") == [(None,)]


def test_a_detail_that_lags_behind_its_list_is_asked_for_again(
    sandbox: Sandbox, mirror: Resources, edited: Callable[..., Resources]
) -> None:
    fetch(mirror)

    def ahead(url: str, body: Any) -> None:
        for row in body if LIST in url else []:
            if row["NumberCode"] == "C-4":
                row["StatusNameEn"] = "Bill defeated"

    early = edited(ahead)
    assert fetch(early).unchanged == 1
    assert fetch(early).unchanged == 1  # not taken for done
    assert fetch(mirror).bills_fetched == 0


def test_one_malformed_bill_is_quarantined_and_its_neighbours_land(
    sandbox: Sandbox, edited: Callable[..., Resources]
) -> None:
    def one_bad(url: str, body: Any) -> None:
        if url.endswith("/c-4/json"):
            body[0]["StatusId"] = 341

    mirror = edited(one_bad)
    run = fetch(mirror)
    assert (run.status, run.failed, run.error_count) == ("partial", 1, 1)
    assert run.created > 20
    assert parked(mirror) == [("document", "unreadable", "StatusNameEn")]
    assert "does not go with StatusId 341" in value(mirror, "SELECT error FROM run_keys WHERE state = 'failed'")


# Several at once.


def test_two_callers_of_the_same_share_one_run(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.fault("slow", host="legisinfo", path=LIST, seconds=1)
    together = threading.Barrier(2)
    ended: list[Figures] = []

    def call() -> None:
        together.wait()
        ended.append(fetch(mirror))

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ended[0] == ended[1]
    assert ended[0].status == "success"
    assert asked(sandbox)["list"] == 1


@pytest.mark.parametrize("word", [KeyboardInterrupt(), SystemExit(143)], ids=["Ctrl-C", "TERM"])
def test_whoever_is_interrupted_says_so_in_the_log(sandbox: Sandbox, mirror: Resources, word: BaseException) -> None:
    def interrupt() -> None:
        raise word

    with pytest.raises(type(word)):
        fetch(mirror, LAST, watcher=Watched(interrupt))
    assert rows(mirror, "SELECT status, errors FROM fetch_logs") == [("revoked", [])]
    assert fetch(mirror, LAST).status == "success"


def test_a_run_that_its_process_gives_up_names_the_cause(sandbox: Sandbox, mirror: Resources) -> None:
    def break_off() -> None:
        raise RuntimeError("the screen is gone")

    with pytest.raises(RuntimeError):
        fetch(mirror, LAST, watcher=Watched(break_off))
    assert rows(mirror, "SELECT status, errors FROM fetch_logs") == [
        ("abandoned", ["RuntimeError: the screen is gone"])
    ]


def test_progress_begins_with_the_plan_and_reaches_all_of_it(sandbox: Sandbox, mirror: Resources) -> None:
    watched = Watched()
    run = fetch(mirror, watcher=watched)
    asking, *told = watched.told
    assert (asking, told[0], told[-1]) == ("asking for the list", (0, run.created), (run.created, run.created))
    assert told == sorted(told)


@pytest.mark.parametrize("path", [LIST, DETAIL])
def test_whoever_watches_is_told_what_is_waited_for(sandbox: Sandbox, mirror: Resources, path: str) -> None:
    host = host_of(sandbox.legisinfo_url)
    sandbox.fault("rate_limit", host="legisinfo", path=path, first=1, retry_after=600)
    watched = Watched()

    def lift(doing: str) -> None:
        watched.told.append(doing)
        if doing.startswith("next try"):
            mirror.throttle.lift(host)
            mirror.pipeline.wake()

    watched.say = lift  # type: ignore[method-assign]
    assert fetch(mirror, limit=1, watcher=watched).status == "success"
    (waited,) = [told for told in watched.told if isinstance(told, str) and told.startswith("next try")]
    assert re.fullmatch(rf"next try in \d+ s \({re.escape(host)} answered 429\)", waited)


def test_whoever_watches_a_run_that_others_carry_is_told_what_it_waits_for(mirror: Resources) -> None:
    run = mirror.pipeline.open_run(mirror.pipeline.session_request(LAST)).run
    watched = Watched(lambda: mirror.pipeline.revoke(run.run_id))
    watched.say = lambda doing: (watched.told.append(doing), mirror.pipeline.plan(run))  # type: ignore[method-assign]
    assert fetch(mirror, LAST, watcher=watched).status == "revoked"
    assert watched.told[:2] == ["waiting for a worker", (0, 14)]


def test_a_sweep_is_closed_with_what_is_missing(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.fault("error", host="legisinfo", path="/c-4/", status=404)
    run = fetch(mirror)
    query = "SELECT listed, held, missing, extra FROM sweeps WHERE source = 'legisinfo'"
    assert rows(mirror, query) == [(run.created + 1, run.created, ["45-1 C-4"], [])]
