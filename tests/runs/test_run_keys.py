"""Who may write, and what becomes of work that does not come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.orm import Session

from parlex.db.models import RunKeyRow, RunRow
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import fetch_logs, run_keys
from parlex.runs.pipeline import FetchReport


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(world: Sandbox) -> Sandbox:
    world.reset()
    return world


@pytest.fixture
def mirror(sandbox: Sandbox, make_resources: Callable[..., Resources]) -> Resources:
    return make_resources(
        legisinfo_url=sandbox.legisinfo_url,
        openparliament_url=sandbox.openparliament_url,
        lease_seconds=1,
        resend_after_seconds=3600,
    )


def planned(mirror: Resources, limit: int = 3) -> tuple[RunRow, list[str]]:
    """A run of a few bills that the workers carry, and the keys of its first message."""
    run = mirror.pipeline.open_run(mirror.pipeline.session_request(SessionId(45, 1), limit)).run
    mirror.pipeline.plan(run)
    return run, mirror.pipeline.take_chunk(run)


def keys_of(mirror: Resources, run: RunRow) -> list[RunKeyRow]:
    with mirror.db() as db:
        return list(db.scalars(select(RunKeyRow).where(RunKeyRow.run_id == run.run_id).order_by(RunKeyRow.position)))


def states(mirror: Resources, run: RunRow) -> list[tuple[str, int, bool]]:
    return [(key.state, key.claims, key.lease_until is not None) for key in keys_of(mirror, run)]


@contextmanager
def refusing(mirror: Resources, table: str, code: str) -> Iterator[None]:
    """Every row that is written to the table raises this error."""
    body = f"BEGIN RAISE EXCEPTION 'the table says no' USING ERRCODE = '{code}'; END"
    with mirror.db() as db:
        db.execute(text(f"CREATE OR REPLACE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$"))
        db.execute(text(f"CREATE TRIGGER no BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION no()"))
    try:
        yield
    finally:
        with mirror.db() as db:
            db.execute(text(f"DROP TRIGGER no ON {table}"))


def test_a_worker_slower_than_its_lease_writes_nothing(mirror: Resources, sandbox: Sandbox) -> None:
    run, keys = planned(mirror)
    sandbox.fault("slow", host="legisinfo", path="/bill/", first=1, seconds=5)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(mirror.pipeline.fetch, run, keys)
        assert wait_until(lambda: {state for state, *_ in states(mirror, run)} == {"fetching"}, 5)

        def is_free() -> bool:
            mirror.pipeline.recover()
            return {state for state, *_ in states(mirror, run)} == {"waiting"}

        assert wait_until(is_free, 4, every=0.1)
        quick = mirror.pipeline.fetch(run, keys)
        assert set(quick.persist) == set(keys)
        mirror.pipeline.persist(run, keys)
        figures = mirror.pipeline.close_if_complete(run)
        assert figures is not None
        before = keys_of(mirror, run)
        assert slow.result() == FetchReport()
    assert (figures.status, figures.created) == ("success", 3)
    assert states(mirror, run) == [(key.state, key.claims, False) for key in before]
    assert mirror.pipeline.figures(run.run_id) == figures


def test_a_claim_that_was_taken_over_is_no_longer_held(mirror: Resources) -> None:
    run, keys = planned(mirror)
    now = datetime.now(UTC)
    with mirror.db() as db:
        first = run_keys.claim_fetch(db, run.run_id, keys, now=now, lease=timedelta(seconds=5))
        assert run_keys.still_held(db, run.run_id, first) == first
        later = now + timedelta(seconds=6)
        run_keys.free_leases(db, now=later)
        assert run_keys.still_held(db, run.run_id, first) == []
        second = run_keys.claim_fetch(db, run.run_id, keys[:2], now=later, lease=timedelta(seconds=5))
        assert run_keys.still_held(db, run.run_id, first) == []
        assert run_keys.still_held(db, run.run_id, second) == second


def test_rows_that_are_being_written_are_not_taken_from_their_writer(mirror: Resources) -> None:
    """However long the transaction waits for a lock."""
    run, keys = planned(mirror)
    now = datetime.now(UTC)
    with mirror.db() as db:
        claims = run_keys.claim_fetch(db, run.run_id, keys, now=now, lease=timedelta(seconds=5))
    with mirror.db() as writer, mirror.db() as sweeper:
        assert run_keys.still_held(writer, run.run_id, claims) == claims
        run_keys.free_leases(sweeper, now=now + timedelta(hours=1))
    assert {state for state, *_ in states(mirror, run)} == {"fetching"}


@pytest.mark.parametrize(("table", "step"), [("documents", "fetch"), ("bills", "persist")])
def test_an_outage_gives_the_bills_back_and_blames_none(mirror: Resources, table: str, step: str) -> None:
    run, keys = planned(mirror)
    if step == "persist":
        mirror.pipeline.fetch(run, keys)
    with refusing(mirror, table, "53100"):
        for _ in range(2 * run_keys.MAX_DEATHS):
            with pytest.raises(OperationalError):
                getattr(mirror.pipeline, step)(run, keys)
    assert states(mirror, run) == [("waiting" if step == "fetch" else "fetched", 0, False)] * 3
    if step == "fetch":
        mirror.pipeline.fetch(run, keys)
    mirror.pipeline.persist(run, keys)
    figures = mirror.pipeline.close_if_complete(run)
    assert figures is not None
    assert (figures.status, figures.created) == ("success", 3)


def test_a_bill_that_fails_each_time_is_given_up_with_the_error(mirror: Resources) -> None:
    run, keys = planned(mirror)
    mirror.pipeline.fetch(run, keys)
    with refusing(mirror, "bills", "22000"):
        with pytest.raises(DataError):
            mirror.pipeline.persist(run, keys)
        assert states(mirror, run) == [("fetched", 1, False)] * 3
        # The sweeper tries each alone, at once: one of them may be to blame.
        overdue = mirror.pipeline.recover()
        assert [batch.keys for batch in overdue.persist] == [(key,) for key in keys]
        for _ in range(run_keys.MAX_DEATHS - 1):
            with pytest.raises(DataError):
                mirror.pipeline.persist(run, keys[:1])
    given_up = keys_of(mirror, run)[0]
    assert (given_up.state, given_up.outcome) == ("failed", "failed")
    assert given_up.error
    assert "given up after 3 errors: DataError" in given_up.error
    assert "the table says no" in given_up.error
    mirror.pipeline.persist(run, keys)
    figures = mirror.pipeline.close_if_complete(run)
    assert figures is not None
    assert (figures.status, figures.created, figures.failed) == ("partial", 2, 1)


def test_a_run_whose_planners_die_is_given_up(mirror: Resources) -> None:
    run = mirror.pipeline.open_run(mirror.pipeline.session_request(SessionId(45, 1))).run
    now = datetime.now(UTC)
    for death in range(run_keys.MAX_RETRIES + 1):
        now += timedelta(minutes=5)
        with mirror.db() as db:
            assert _dead(db, now) == [], death
            assert fetch_logs.claim_planning(db, run.run_id, now=now, lease=timedelta(minutes=3))
    now += timedelta(minutes=5)
    with mirror.db() as db:
        assert _dead(db, now) == [run.run_id]
        given_up = db.get_one(RunRow, run.run_id)
        assert (given_up.status, given_up.errors) == ("abandoned", ["4 workers died while they planned it"])


def _dead(db: Session, now: datetime) -> list[UUID]:
    patience = timedelta(hours=5)
    found = fetch_logs.abandon_dead(db, now=now, process_patience=patience, worker_patience=patience, deadline=patience)
    return [run.run_id for run in found]
