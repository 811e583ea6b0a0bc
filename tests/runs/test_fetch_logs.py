"""The log and the work list on a real PostgreSQL: who joins whom, who holds what, and what becomes of the dead."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from parlex.db.models import RunKeyRow, RunRow
from parlex.parliament import Outcome
from parlex.runs import fetch_logs, run_keys
from parlex.runs.run_keys import MAX_DEATHS, Progress
from parlex.runs.work import Due, Plan, Request, Survey

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
LEASE = timedelta(minutes=3)
LATEST = Request("fetch_latest_bills", limit=50)


def minutes(count: float) -> datetime:
    return NOON + timedelta(minutes=count)


def open_run(db: Session, request: Request = LATEST, **options: Any) -> fetch_logs.Opened:
    usual: dict[str, Any] = {"source": "legisinfo", "now": NOON, "carrier": "worker"}
    return fetch_logs.open_run(db, request, **(usual | options))


def plan(db: Session, run_id: UUID, *keys: str, listed: int | None = None, deferred: int = 0) -> None:
    due = tuple(Due(key, ("legisinfo",), f"mark of {key}") for key in keys)
    found = Plan("45-1", len(keys) if listed is None else listed, Survey(()), (), due)
    fetch_logs.planned(db, run_id, found, due, deferred, now=NOON)


def planned_run(db: Session, *keys: str, **options: Any) -> UUID:
    run_id = open_run(db, **options).run.run_id
    fetch_logs.claim_planning(db, run_id, now=NOON, lease=LEASE)
    plan(db, run_id, *keys)
    return run_id


def states(db: Session, run_id: UUID) -> dict[str, str]:
    query = select(RunKeyRow.key, RunKeyRow.state).where(RunKeyRow.run_id == run_id)
    return {row.key: row.state for row in db.execute(query)}


def finish(db: Session, run_id: UUID, outcomes: dict[str, Outcome]) -> None:
    run_keys.claim_fetch(db, run_id, list(outcomes), now=NOON, lease=LEASE)
    ended = [
        Progress(key, "failed" if outcome is Outcome.FAILED else "done", outcome=outcome)
        for key, outcome in outcomes.items()
    ]
    run_keys.record(db, run_id, ended, now=NOON)


# Opening.


def test_equal_requests_by_hand_are_one_run_while_it_lasts(db: Session) -> None:
    first = open_run(db, waiter="one")
    second = open_run(db, waiter="two")
    assert (first.joined, second.joined) == (False, True)
    assert second.run.run_id == first.run.run_id
    assert second.run.waiters == ["one", "two"]
    fetch_logs.close(db, first.run, now=NOON)
    assert not open_run(db).joined


@pytest.mark.parametrize(
    "other",
    [
        Request("fetch_latest_bills", limit=51),
        Request("fetch_latest_bills", limit=50, recheck_after_days=7),
        Request("fetch_session_bills", scope="45-1"),
        Request("fetch_latest_bills", dataset="votes", limit=50),
    ],
)
def test_other_requests_are_other_runs(db: Session, other: Request) -> None:
    open_run(db)
    assert not open_run(db, other).joined


def test_two_dispatches_at_the_same_moment_are_one_run(engine: Engine) -> None:
    together = threading.Barrier(8)
    opened: list[fetch_logs.Opened] = []

    def dispatch() -> None:
        together.wait()
        with Session(engine, expire_on_commit=False) as db, db.begin():
            opened.append(open_run(db))

    threads = [threading.Thread(target=dispatch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.run.run_id for one in opened}) == 1
    assert sorted(one.joined for one in opened) == [False] + [True] * 7


def test_a_slot_is_one_run_whatever_came_of_it(db: Session) -> None:
    first = open_run(db, entry="hourly", slot=NOON)
    assert open_run(db, entry="hourly", slot=NOON).run.run_id == first.run.run_id
    fetch_logs.close(db, first.run, now=NOON)
    late = open_run(db, entry="hourly", slot=NOON)
    assert (late.joined, late.open) == (True, False)


def test_a_tick_whose_entry_still_runs_is_skipped(db: Session) -> None:
    first = open_run(db, entry="hourly", slot=NOON)
    second = open_run(db, entry="hourly", slot=minutes(60), now=minutes(60))
    assert (second.run.status, second.run.finished_at, second.run.duration_seconds) == ("skipped", minutes(60), 0.0)
    other = open_run(db, entry="daily", slot=NOON)
    assert other.open
    fetch_logs.close(db, first.run, now=NOON)
    assert open_run(db, entry="hourly", slot=minutes(120)).open


def test_a_slot_whose_run_a_person_ended_is_taken(db: Session) -> None:
    first = open_run(db, entry="hourly", slot=NOON)
    assert fetch_logs.revoke(db, first.run.run_id, now=NOON)
    assert open_run(db, entry="hourly", slot=NOON).joined
    assert fetch_logs.last_slot(db, "hourly") == NOON
    assert (first.run.status, first.run.error_count) == ("revoked", 0)
    assert not fetch_logs.revoke(db, first.run.run_id, now=NOON), "it is over"


def test_an_abandoned_run_gives_its_slot_back(db: Session) -> None:
    first = open_run(db, entry="hourly", slot=NOON)
    fetch_logs.abandon(db, first.run.run_id, "it died", now=NOON)
    again = open_run(db, entry="hourly", slot=NOON)
    assert (again.joined, again.open) == (False, True)
    assert fetch_logs.last_slot(db, "hourly") == NOON


def test_the_table_itself_refuses_a_slot_twice(db: Session) -> None:
    first = open_run(db, entry="hourly", slot=NOON).run
    copy = {name: getattr(first, name) for name in ("dataset", "source", "job", "params", "carrier", "started_at")}
    db.add(RunRow(run_id=UUID(int=1), entry="hourly", slot=NOON, status="running", progress_at=NOON, **copy))
    with pytest.raises(IntegrityError, match="uq_fetch_logs_entry_slot"):
        db.flush()


def test_the_log_reads_newest_first(db: Session) -> None:
    ids = [open_run(db, Request("job", limit=n), now=minutes(n)).run.run_id for n in (1, 2, 3)]
    assert [run.run_id for run in fetch_logs.get_recent_logs(db, 2)] == [ids[2], ids[1]]
    assert [run.run_id for run in fetch_logs.get_logs_since(db, minutes(2))] == [ids[2], ids[1]]


# Planning.


def test_planning_is_one_workers_until_its_lease_ends(db: Session) -> None:
    run_id = open_run(db).run.run_id
    assert fetch_logs.claim_planning(db, run_id, now=NOON, lease=LEASE) is not None
    assert fetch_logs.claim_planning(db, run_id, now=minutes(2), lease=LEASE) is None
    assert fetch_logs.claim_planning(db, run_id, now=minutes(4), lease=LEASE) is not None
    plan(db, run_id, "45-1 C-2")
    assert fetch_logs.claim_planning(db, run_id, now=minutes(60), lease=LEASE) is None


def test_planning_that_failed_is_due_again_after_its_wait(db: Session) -> None:
    run = open_run(db).run
    fetch_logs.claim_planning(db, run.run_id, now=NOON, lease=LEASE)
    fetch_logs.plan_later(db, run.run_id, until=minutes(1), attempts=1, now=NOON)
    db.refresh(run)
    assert (run.error_count, run.attempt) == (0, 1)
    assert fetch_logs.claim_planning(db, run.run_id, now=NOON, lease=LEASE) is None
    assert fetch_logs.claim_planning(db, run.run_id, now=minutes(1), lease=LEASE) is not None


def test_the_first_errors_are_kept_and_all_are_counted(db: Session) -> None:
    run = open_run(db).run
    fetch_logs.note_errors(db, run.run_id, [f"error {n}" for n in range(30)])
    fetch_logs.note_errors(db, run.run_id, ["one more"])
    assert (run.error_count, len(run.errors), run.errors[0]) == (31, fetch_logs.KEPT_ERRORS, "error 0")


# The work list.


def test_a_run_has_only_so_many_keys_under_way(db: Session) -> None:
    keys = [f"45-1 C-{n}" for n in range(2, 12)]
    run_id = planned_run(db, *keys)

    def take() -> list[str]:
        return run_keys.take_chunk(db, run_id, size=3, smallest=3, in_flight=5, now=NOON)

    assert (take(), take(), take()) == (keys[:3], keys[3:5], [])
    run_keys.claim_fetch(db, run_id, keys[:5], now=NOON, lease=LEASE)
    assert take() == []
    run_keys.record(db, run_id, [Progress(key, "fetched") for key in keys[:5]], now=NOON)
    assert take() == [], "fetching must not run away from saving"
    run_keys.claim_persist(db, run_id, keys[:2], now=NOON, lease=LEASE)
    assert take() == []
    run_keys.record(db, run_id, [Progress(key, "done", outcome=Outcome.CREATED) for key in keys[:2]], now=NOON)
    assert take() == keys[5:7], "what is fetched leaves its room to others"
    assert (take(), take(), take()) == (keys[7:9], keys[9:10], [])


def test_chunks_get_smaller_towards_the_end(db: Session) -> None:
    run_id = planned_run(db, *(f"45-1 C-{n}" for n in range(2, 42)))

    def take() -> int:
        return len(run_keys.take_chunk(db, run_id, size=8, smallest=3, in_flight=99, now=NOON))

    sizes = list(iter(take, 0))
    assert sum(sizes) == 40
    assert sizes == [8, 8, 8, 8, 4, 3, 1]


def test_a_key_is_one_workers(db: Session) -> None:
    run_id = planned_run(db, "45-1 C-2", "45-1 C-3")
    claimed = run_keys.claim_fetch(db, run_id, ["45-1 C-2"], now=NOON, lease=LEASE)
    assert [(claim.key, claim.wants, claim.fingerprint) for claim in claimed] == [
        ("45-1 C-2", ("legisinfo",), "mark of 45-1 C-2")
    ]
    rest = run_keys.claim_fetch(db, run_id, ["45-1 C-2", "45-1 C-3"], now=NOON, lease=LEASE)
    assert [claim.key for claim in rest] == ["45-1 C-3"]
    assert run_keys.claim_persist(db, run_id, ["45-1 C-2"], now=NOON, lease=LEASE) == []


def race(engine: Engine, claim: Callable[[Session], list[run_keys.Claim]]) -> list[list[str]]:
    """What each of two workers got, when both reached for the same keys at the same moment."""
    together = threading.Barrier(2)
    got: list[list[str]] = []

    def worker() -> None:
        together.wait()
        with Session(engine) as db, db.begin():
            got.append([claim.key for claim in claim(db)])

    threads = [threading.Thread(target=worker) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def test_two_workers_with_the_same_message_share_no_key(engine: Engine) -> None:
    keys = [f"45-1 C-{n}" for n in range(2, 102)]
    for _ in range(5):
        with Session(engine) as db, db.begin():
            run_id = planned_run(db, *keys, request=Request("job", limit=random.randrange(10**9)))
        one, two = race(engine, lambda db: run_keys.claim_fetch(db, run_id, keys, now=NOON, lease=LEASE))  # noqa: B023
        assert sorted(one + two) == sorted(keys)


def test_a_closed_run_hands_out_nothing(db: Session) -> None:
    run_id = planned_run(db, "45-1 C-2")
    fetch_logs.abandon(db, run_id, "it died", now=NOON)
    assert states(db, run_id) == {"45-1 C-2": "failed"}
    db.execute(update(RunKeyRow).values(state="waiting"))
    assert run_keys.claim_fetch(db, run_id, ["45-1 C-2"], now=NOON, lease=LEASE) == []


def test_a_key_that_waits_is_not_due_before_its_time(db: Session) -> None:
    run_id = planned_run(db, "45-1 C-2")
    run_keys.claim_fetch(db, run_id, ["45-1 C-2"], now=NOON, lease=LEASE)
    waits = Progress("45-1 C-2", "waiting", ("legisinfo",), 1, minutes(10), error="away")
    run_keys.record(db, run_id, [waits], now=NOON)
    assert run_keys.claim_fetch(db, run_id, ["45-1 C-2"], now=minutes(9), lease=LEASE) == []
    assert run_keys.due_keys(db, run_id, size=9, now=minutes(9)) == []
    assert run_keys.next_due(db, run_id) == (minutes(10), "away")
    assert [
        claim.attempt for claim in run_keys.claim_fetch(db, run_id, ["45-1 C-2"], now=minutes(10), lease=LEASE)
    ] == [1]


def test_a_late_report_does_not_undo_what_another_finished(db: Session) -> None:
    run_id = planned_run(db, "45-1 C-2")
    finish(db, run_id, {"45-1 C-2": Outcome.CREATED})
    run_keys.record(db, run_id, [Progress("45-1 C-2", "failed", outcome=Outcome.FAILED)], now=NOON)
    assert states(db, run_id) == {"45-1 C-2": "done"}


@pytest.mark.parametrize(
    ("before", "now", "both"),
    [
        (None, Outcome.UNCHANGED, Outcome.UNCHANGED),
        (Outcome.CREATED, Outcome.UPDATED, Outcome.CREATED),
        (Outcome.CREATED, Outcome.UNCHANGED, Outcome.CREATED),
        (Outcome.UNCHANGED, Outcome.UPDATED, Outcome.UPDATED),
        (Outcome.CREATED, Outcome.FAILED, Outcome.FAILED),
    ],
)
def test_a_key_that_is_saved_twice_in_a_run_counts_once(before: str | None, now: Outcome, both: Outcome) -> None:
    assert run_keys.combine(before, now) == both


@pytest.mark.parametrize(("attempt", "middle"), [(1, 60), (2, 120), (3, 240)])
def test_waits_double_and_vary_by_a_fifth(attempt: int, middle: float) -> None:
    waits = [run_keys.backoff(attempt, 60) for _ in range(500)]
    assert middle * 0.8 <= min(waits) < middle * 0.85
    assert middle * 1.15 < max(waits) <= middle * 1.2


# The end.


@pytest.mark.parametrize(
    ("outcomes", "errors", "status"),
    [
        ([], [], "success"),
        ([Outcome.CREATED, Outcome.UNCHANGED], [], "success"),
        ([Outcome.CREATED, Outcome.FAILED], ["bad"], "partial"),
        ([Outcome.FAILED, Outcome.FAILED], ["bad", "bad"], "failure"),
        ([Outcome.CREATED], ["the companion is away"], "partial"),
    ],
)
def test_a_run_closes_once_all_its_keys_ended(
    db: Session, outcomes: list[Outcome], errors: list[str], status: str
) -> None:
    keys = {f"45-1 C-{n}": outcome for n, outcome in enumerate(outcomes, 2)}
    run_id = planned_run(db, *keys)
    if keys:
        assert fetch_logs.close_if_complete(db, run_id, now=minutes(1)) is None
    finish(db, run_id, keys)
    fetch_logs.account(db, run_id, requests=3, received=4000, errors=errors, now=NOON)
    ended = fetch_logs.close_if_complete(db, run_id, now=minutes(1))
    assert ended is not None
    figures = ended.figures
    assert (figures.status, figures.error_count, figures.duration_seconds) == (status, len(errors), 60.0)
    assert figures.bills_fetched == figures.created + figures.updated + figures.unchanged + figures.failed == len(keys)
    run = fetch_logs.get_run(db, run_id)
    assert (run.requests, run.bytes) == (3, 4000)
    again = fetch_logs.close_if_complete(db, run_id, now=minutes(2))
    assert (again, ended.just_now) == (replace(ended, just_now=False), True), "until somebody has told who waits"
    fetch_logs.delivered(db, run_id, now=minutes(2))
    assert fetch_logs.close_if_complete(db, run_id, now=minutes(2)) is None


def test_deferred_keys_do_not_spoil_a_success(db: Session) -> None:
    run_id = open_run(db).run.run_id
    fetch_logs.claim_planning(db, run_id, now=NOON, lease=LEASE)
    plan(db, run_id, "45-1 C-2", listed=10, deferred=5)
    finish(db, run_id, {"45-1 C-2": Outcome.CREATED})
    assert fetch_logs.close_if_complete(db, run_id, now=NOON) is not None
    run = fetch_logs.get_run(db, run_id)
    assert (run.status, run.listed, run.not_due, run.attempted, run.deferred) == ("success", 10, 4, 1, 5)


# The dead.


def sweep(db: Session, now: datetime) -> run_keys.Overdue:
    run_keys.free_leases(db, now=now)
    return run_keys.take_overdue(db, now=now, patience=timedelta(minutes=2), most=100)


def found(overdue: run_keys.Overdue) -> dict[str, list[str]]:
    return {
        "fetch": [key for batch in overdue.fetch for key in batch.keys],
        "persist": [key for batch in overdue.persist for key in batch.keys],
    }


def test_what_a_dead_worker_held_is_sent_again(db: Session) -> None:
    run_id = planned_run(db, "45-1 C-2", "45-1 C-3")
    run_keys.take_chunk(db, run_id, size=9, smallest=9, in_flight=9, now=NOON)
    run_keys.claim_fetch(db, run_id, ["45-1 C-2"], now=NOON, lease=LEASE)
    run_keys.claim_fetch(db, run_id, ["45-1 C-3"], now=NOON, lease=LEASE)
    run_keys.record(db, run_id, [Progress("45-1 C-3", "fetched")], now=NOON)
    run_keys.claim_persist(db, run_id, ["45-1 C-3"], now=NOON, lease=LEASE)
    assert found(sweep(db, minutes(2))) == {"fetch": [], "persist": []}
    assert found(sweep(db, minutes(4))) == {"fetch": ["45-1 C-2"], "persist": ["45-1 C-3"]}
    assert states(db, run_id) == {"45-1 C-2": "waiting", "45-1 C-3": "fetched"}
    assert found(sweep(db, minutes(5))) == {"fetch": [], "persist": []}  # it is under way again


def test_a_message_that_was_lost_is_sent_again(db: Session) -> None:
    run_id = planned_run(db, "45-1 C-2")
    run_keys.take_chunk(db, run_id, size=9, smallest=9, in_flight=9, now=NOON)
    assert found(sweep(db, minutes(1)))["fetch"] == []
    assert found(sweep(db, minutes(3)))["fetch"] == ["45-1 C-2"]


def test_a_run_whose_planner_died_is_planned_again(db: Session) -> None:
    run_id = open_run(db).run.run_id
    assert sweep(db, minutes(1)).plan == ()
    assert sweep(db, minutes(3)).plan == (run_id,)
    fetch_logs.claim_planning(db, run_id, now=minutes(3), lease=LEASE)
    assert sweep(db, minutes(5)).plan == ()
    assert sweep(db, minutes(7)).plan == (run_id,)


def test_runs_of_a_process_are_nobody_elses(db: Session) -> None:
    planned_run(db, "45-1 C-2", carrier="process")
    run_keys.take_chunk(db, fetch_logs.get_recent_logs(db, 1)[0].run_id, size=9, smallest=9, in_flight=9, now=NOON)
    overdue = sweep(db, minutes(60))
    assert (overdue.plan, found(overdue)) == ((), {"fetch": [], "persist": []})


def test_a_key_that_kills_each_worker_is_given_up(db: Session) -> None:
    run_id = planned_run(db, "45-1 C-2", "45-1 C-3")
    finish(db, run_id, {"45-1 C-3": Outcome.CREATED})
    for death in range(MAX_DEATHS):
        now = minutes(10 * death)
        assert run_keys.claim_fetch(db, run_id, ["45-1 C-2"], now=now, lease=LEASE) != []
        sweep(db, now + timedelta(minutes=5))
    assert states(db, run_id) == {"45-1 C-2": "failed", "45-1 C-3": "done"}
    ended = fetch_logs.close_if_complete(db, run_id, now=NOON)
    assert ended is not None
    run = ended.figures
    assert (run.status, run.failed, run.created, run.error_count) == ("partial", 1, 1, 1)
    assert "died over it" in fetch_logs.get_run(db, run_id).errors[0], "a run that failed names its cause"
    assert "died over it" in str(db.scalar(text("SELECT error FROM run_keys WHERE state = 'failed'")))


def abandoned(db: Session, now: datetime) -> list[UUID]:
    dead = fetch_logs.abandon_dead(
        db,
        now=now,
        process_patience=timedelta(minutes=3),
        worker_patience=timedelta(minutes=30),
        deadline=timedelta(hours=24),
    )
    return [run.run_id for run in dead]


def test_a_run_dies_with_its_process(db: Session) -> None:
    run_id = planned_run(db, "45-1 C-2", carrier="process")
    fetch_logs.touch(db, run_id, now=minutes(5))
    assert abandoned(db, minutes(7)) == []
    assert abandoned(db, minutes(9)) == [run_id]
    run = fetch_logs.get_run(db, run_id)
    assert (run.status, run.finished_at) == ("abandoned", minutes(9))
    assert run.errors == ["the process that carried it is gone"]
    assert states(db, run_id) == {"45-1 C-2": "failed"}
    assert abandoned(db, minutes(9)) == []


def test_a_run_of_the_workers_is_given_up_when_nothing_moves_for_long(db: Session) -> None:
    run_id = planned_run(db, "45-1 C-2")
    assert abandoned(db, minutes(29)) == []
    assert abandoned(db, minutes(31)) == [run_id]
    assert fetch_logs.get_run(db, run_id).errors == ["nothing moved it for 30 min though work was due"]


def test_a_run_that_waits_as_it_was_asked_to_is_not_dead(db: Session) -> None:
    run_id = planned_run(db, "45-1 C-2")
    run_keys.claim_fetch(db, run_id, ["45-1 C-2"], now=NOON, lease=LEASE)
    waits = Progress("45-1 C-2", "waiting", ("legisinfo",), 0, minutes(120))
    run_keys.record(db, run_id, [waits], now=NOON)
    assert abandoned(db, minutes(60)) == []
    fetch_logs.touch(db, run_id, now=minutes(25 * 60))
    assert abandoned(db, minutes(25 * 60)) == [run_id]  # past its deadline all the same
    assert fetch_logs.get_run(db, run_id).errors == ["it was not over by its deadline"]


def test_figures_that_nobody_delivered_are_found(db: Session) -> None:
    run_id = planned_run(db, waiter="task")
    fetch_logs.close_if_complete(db, run_id, now=NOON)
    patience = timedelta(minutes=2)
    assert fetch_logs.undelivered(db, now=minutes(1), patience=patience) == []
    assert [run.run_id for run in fetch_logs.undelivered(db, now=minutes(3), patience=patience)] == [run_id]
    fetch_logs.delivered(db, run_id, now=minutes(3))
    db.expire_all()
    assert fetch_logs.undelivered(db, now=minutes(4), patience=patience) == []


def test_old_runs_are_pruned_with_their_keys_and_running_ones_stay(db: Session) -> None:
    old = planned_run(db, "45-1 C-2")
    finish(db, old, {"45-1 C-2": Outcome.CREATED})
    fetch_logs.close_if_complete(db, old, now=NOON)
    running = planned_run(db, "45-1 C-3")
    assert fetch_logs.prune_logs(db, minutes(1)) == 1
    assert [run.run_id for run in fetch_logs.get_recent_logs(db, 9)] == [running]
    assert db.scalar(text("SELECT count(*) FROM run_keys")) == 1


def test_the_rate_of_a_run_counts_from_its_plan(db: Session) -> None:
    assert fetch_logs.get_run(db, planned_run(db, "C-2")).counted_since == NOON
