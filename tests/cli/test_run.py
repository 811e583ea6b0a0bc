"""The commands that fetch, and those about runs."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from parlex.db.clock import Clock
from parlex.db.models import RunRow
from parlex.errors import UsageError
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone, fetch_logs
from parlex.settings import Settings
from tests import rows
from tests.commands import complaint, objects, run, under_way
from tests.runs.test_reads import BILL_KEYS, CHANGE_KEYS, RUN_KEYS

FIGURES = {
    "run_id",
    "status",
    "bills_fetched",
    "created",
    "updated",
    "unchanged",
    "failed",
    "deferred",
    "error_count",
    "duration_seconds",
}


def test_fetch_and_read_it_back(live: Settings) -> None:
    """The commands of one reader, one after the other, as a program uses them."""
    (figures,) = objects(run(live, "fetch", "--limit", "10", "--json"))
    assert set(figures) == FIGURES
    assert (figures["status"], figures["created"], figures["deferred"]) == ("success", 10, 50)

    bills = objects(run(live, "bills", "--session", "45-1", "--json"))
    assert len(bills) == 10
    assert all(list(bill) == BILL_KEYS for bill in bills)

    changes = objects(run(live, "changes", "--after", "7", "--json"))
    assert [change["seq"] for change in changes] == [8, 9, 10]
    assert set(changes[0]) == {*CHANGE_KEYS, "dataset", "key"}

    (logged,) = objects(run(live, "runs", "--json"))
    assert list(logged) == RUN_KEYS
    assert (logged["run_id"], logged["bills_fetched"]) == (figures["run_id"], 10)

    (story,) = objects(run(live, "runs", "show", figures["run_id"][:8], "--json"))
    assert len(story["keys"]) == 10
    assert story["sweeps"][0]["listed"] == 60

    (bill,) = objects(run(live, "bill", "45-1", bills[0]["number"].lower(), "--json"))
    assert bill["title_fr"] == bills[0]["title_fr"]
    assert bill["stages"]

    (report,) = objects(run(live, "monitor", "--json"))
    assert (report["success_rate"], report["records"]["created"], report["healthy"]) == (1.0, 10, True)


def test_a_backfill_that_is_only_planned(live: Settings) -> None:
    """Each session is told of but the one that nobody knows, and nothing is written down."""
    planned = run(live, "backfill", "44-1", "99-9", "45-1", "--dry-run", "--json")
    found = [json.loads(line) for line in planned.stdout.splitlines()]
    keys = ["dataset", "scope", "listed", "due", "requests", "bytes", "hours"]
    assert [list(one) for one in found] == [keys, keys]
    assert [(one["scope"], one["listed"], one["due"], one["bytes"]) for one in found] == [
        ("44-1", 14, 14, None),
        ("45-1", 60, 60, None),
    ]
    assert "no source knows session 99-9" in complaint(planned, 2)
    assert run(live, "runs", "--json").stdout == ""
    told = run(live, "backfill", "44-1", "45-1", "--dry-run")
    assert told.returncode == 0
    assert ["together", "74", "74", "74", "unknown", "unknown"] in [line.split() for line in told.stdout.splitlines()]
    assert "leave --dispatch out" in complaint(run(live, "backfill", "45-1", "--dry-run", "--dispatch"), 2)


def test_what_a_person_sees(live: Settings) -> None:
    fetched = run(live, "backfill", "44-1", "45-1")
    assert fetched.returncode == 0
    assert [line.split()[:3] for line in fetched.stdout.splitlines() if "success" in line] == [
        ["44-1", "success", "14"],
        ["45-1", "success", "60"],
    ]
    bills = run(live, "bills", "--session", "45-1", COLUMNS="")
    assert "C-5" in bills.stdout
    assert "One Canadian Economy Act" in bills.stdout
    assert "Royal assent received" in bills.stdout
    assert "60 bills" in bills.stderr
    bill = run(live, "bill", "45-1", "C-5")
    assert "2025-06-26" in bill.stdout
    assert "third reading" in bill.stdout
    assert run(live, "fetch").returncode == 0
    for command in (["runs"], ["changes"], ["monitor"], ["bills"]):
        done = run(live, *command)
        assert done.returncode == 0
        assert max(map(len, done.stdout.splitlines())) <= 100
    assert "what comes next: parlex changes --after 74" in run(live, "changes").stderr


def test_a_session_with_a_bad_bill_is_partial_and_exits_1(live: Settings, sandbox: Sandbox) -> None:
    sandbox.fault("garbage", host="legisinfo", path="/44-1/c-11/json")
    done = run(live, "fetch", "--session", "44-1", "--json")
    assert done.returncode == 1
    figures = json.loads(done.stdout)
    assert (figures["status"], figures["failed"], figures["created"]) == ("partial", 1, 13)
    shown = run(live, "runs", "show", figures["run_id"])
    assert "44-1 C-11" in shown.stdout
    assert "Quarantine" in shown.stdout


def test_a_source_that_is_down_is_a_failure(live: Settings, sandbox: Sandbox) -> None:
    sandbox.fault("error", status=500)
    done = run(live, "fetch", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "failure"
    judged = run(live, "monitor", "--json")
    assert judged.returncode == 1
    assert "the last run of fetch_latest_bills failed: see parlex runs" in json.loads(judged.stdout)["problems"]


def test_a_fetch_that_fails_says_why(live: Settings, sandbox: Sandbox) -> None:
    sandbox.fault("garbage", host="legisinfo", path="/44-1/c-1[124]/json")
    sandbox.fault("error", host="legisinfo", path="/44-1/c-[478]/json", status=404)
    done = run(live, "fetch", "--session", "44-1", PARLEX_LOG_LEVEL="ERROR")
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("44-1: ")]
    assert all(re.search(r"44-1.C-\d", line, re.IGNORECASE) for line in told[:-1])
    assert re.fullmatch(r"44-1: \d more errors: parlex runs show [0-9a-f]{8}", told[-1])
    assert len(told) == 4


def test_an_unknown_session_is_wrong_use_and_makes_no_bill(live: Settings) -> None:
    done = run(live, "fetch", "--session", "99-1")
    assert "99-1" in complaint(done, 2)
    assert objects(run(live, "bills", "--json")) == []


def test_an_unknown_session_stops_no_other(live: Settings) -> None:
    done = run(live, "backfill", "44-1", "99-1", "45-1", "--json")
    assert "99-1" in complaint(done, 2)
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["success", "success"]

    shown = run(live, "backfill", "99-1", "44-1")
    assert "99-1" in complaint(shown, 2)
    assert [line.split()[:2] for line in shown.stdout.splitlines() if "success" in line] == [["44-1", "success"]]

    alone = run(live, "backfill", "99-1")
    assert (alone.stdout, "99-1" in complaint(alone, 2)) == ("", True)
    # What is wrong with every session is said once.
    assert "nonsense" in complaint(run(live, "backfill", "--dataset", "nonsense", "44-1", "45-1"), 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_is_stopped_says_what_is_saved_and_how_it_goes_on(
    live: Settings, sandbox: Sandbox, db: Session, number: signal.Signals
) -> None:
    """Whether by a person, or by a supervisor, which may say so twice."""
    sandbox.fault("slow", host="legisinfo", path="/45-1/", seconds=3)
    with under_way(live, "backfill", "44-1", "45-1", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["created"] == 14
        assert wait_until(lambda: is_planned(db, "45-1"), 60)
        process.send_signal(number)
        if number == signal.SIGTERM:
            process.send_signal(number)
        # A machine that is slow enough is told before how far it is, and one that is quick before its bar knows.
        told = next(line for line in process.stderr if line.startswith("parlex:"))
        saved = "14 of 14 of 44-1, (nothing|0 of 60) of 45-1"
        assert re.fullmatch(f"parlex: stopped: saved {saved}; the same command goes on from there\n", told)
        assert process.wait() == 128 + number
    db.rollback()
    assert db.scalars(select(RunRow.status).order_by(RunRow.started_at)).all() == ["success", "revoked"]
    assert run(live, "alerts").returncode == 0


def test_no_session_is_advised_that_no_source_has(settings: Settings) -> None:
    assert run(settings, "bills", "--session", "44-1").stderr.strip().endswith("to fetch: parlex backfill 44-1")
    early = run(settings, "bills", "--session", "30-1").stderr
    assert "sessions with bills begin with 35-1" in early
    assert "backfill" not in early
    assert "sessions with votes begin with 38-1" in run(settings, "votes", "--session", "37-1").stderr


def test_the_demo_names_a_malformed_setting(settings: Settings) -> None:
    assert complaint(run(settings, "demo", PARLEX_READ_TIMEOUT="0"), 2).startswith("PARLEX_READ_TIMEOUT: ")


def test_up_without_its_database_is_one_line(settings: Settings) -> None:
    done = run(settings, "up", "--flower-port", "0", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/db")
    told = complaint(done, 1)
    assert re.search(r"the database does not answer \(connection .* refused\): start it, or mend DATABASE_URL", told)
    assert "psycopg2" not in told
    assert "hunter2" not in told


def is_planned(db: Session, scope: str) -> bool:
    db.rollback()
    return bool(db.scalars(select(RunRow.planned).where(RunRow.scope == scope)).first())


# Runs.


def failed_run(mirror: Resources, sandbox: Sandbox) -> UUID:
    """A run of 44-1 in which two bills could not be had."""
    sandbox.fault("error", host="legisinfo", path="(?i)/c-1[12]/", status=404)
    figures = alone.run_session(mirror.pipeline, SessionId(44, 1))
    sandbox.clear_faults()
    assert (figures.status, figures.failed) == ("partial", 2)
    return UUID(figures.run_id)


def test_a_retry_fetches_what_failed_and_nothing_else(mirror: Resources, sandbox: Sandbox) -> None:
    run_id = failed_run(mirror, sandbox)
    before = len(sandbox.log("legisinfo"))
    again = alone.rerun_failures(mirror.pipeline, run_id)
    assert (again.status, again.bills_fetched, again.created) == ("success", 2, 2)
    asked = sandbox.log("legisinfo")[before:]
    assert sum("/bill/" in line.lower() for line in asked) == 2
    with mirror.db() as db:
        assert fetch_logs.get_run(db, UUID(again.run_id)).params == {"scope": "44-1", "retry_of": str(run_id)}
    assert alone.rerun_failures(mirror.pipeline, run_id).bills_fetched == 0  # nothing is due any more
    with pytest.raises(UsageError, match="nothing failed"):
        alone.rerun_failures(mirror.pipeline, UUID(again.run_id))


def test_a_run_that_never_had_its_list_is_run_again_whole(mirror: Resources, sandbox: Sandbox) -> None:
    sandbox.fault("html_200", host="legisinfo", first=4)
    figures = alone.run_latest(mirror.pipeline, limit=3)
    assert figures.status == "failure"
    sandbox.clear_faults()
    assert alone.rerun_failures(mirror.pipeline, UUID(figures.run_id)).created == 3


def test_the_command_retries_and_shows(mirror: Resources, sandbox: Sandbox) -> None:
    run_id = failed_run(mirror, sandbox)
    done = run(mirror.settings, "runs", "retry", str(run_id)[:8], "--json")
    assert (done.returncode, json.loads(done.stdout)["created"]) == (0, 2)
    retried = json.loads(done.stdout)["run_id"][:8]
    shown = run(mirror.settings, "runs", "show", str(run_id)[:8])
    assert "closed: partial" in shown.stdout
    refused = run(mirror.settings, "runs", "revoke", str(run_id)[:8])
    assert (refused.returncode, "is over already" in refused.stderr) == (2, True)
    assert complaint(run(mirror.settings, "runs", "retry", retried), 2) == f"nothing failed in run {retried}"


def test_a_run_under_way_is_ended_by_hand(mirror: Resources, db: Session) -> None:
    opened = mirror.pipeline.open_run(mirror.pipeline.session_request(SessionId(44, 1)))
    assert run(mirror.settings, "runs", "revoke", str(opened.run.run_id)).returncode == 0
    row = db.get(RunRow, opened.run.run_id)
    assert row is not None
    assert (row.status, row.errors) == ("revoked", [])


def test_one_wrong_id_ends_no_run(mirror: Resources) -> None:
    run_id = mirror.pipeline.open_run(mirror.pipeline.session_request(SessionId(44, 1))).run.run_id
    for command in ("revoke", "pause", "resume"):
        assert "no run has an id" in complaint(run(mirror.settings, "runs", command, str(run_id)[:8], "00000000"), 2)
    assert mirror.pipeline.run(run_id).status == "running"
    assert mirror.pipeline.run(run_id).paused_at is None


@pytest.mark.parametrize("status", ["revoked", "abandoned"])
def test_what_an_ended_run_did_not_reach_is_no_failure_and_can_be_fetched(
    mirror: Resources, sandbox: Sandbox, status: str
) -> None:
    sandbox.fault("error", host="legisinfo", path="(?i)/c-11/", status=404)
    pipeline = mirror.pipeline
    opened = pipeline.open_run(pipeline.session_request(SessionId(44, 1))).run
    pipeline.plan(opened)
    reached = ["44-1 C-11", "44-1 C-14"]
    pipeline.persist(opened, pipeline.fetch(opened, reached).persist)
    if status == "revoked":
        pipeline.revoke(opened.run_id)
    else:
        pipeline.abandon(opened.run_id, "the power was cut")
    sandbox.clear_faults()

    assert pipeline.progress(opened.run_id) == (2, 14)
    short = str(opened.run_id)[:8]
    (story,) = objects(run(mirror.settings, "runs", "show", short, "--json"))
    assert (story["status"], story["failed"], story["created"], story["unreached"]) == (status, 1, 1, 12)
    assert [key["state"] for key in story["keys"] if key["key"] in reached] == ["failed", "done"]
    unreached = [key for key in story["keys"] if key["key"] not in reached]
    assert {(key["state"], key["outcome"], key["error"]) for key in unreached} == {("unreached", None, None)}
    shown = run(mirror.settings, "runs", "show", short).stdout
    assert f"12; to fetch them: parlex runs retry {short}" in shown
    again = run(mirror.settings, "runs", "retry", short, "--json")
    assert json.loads(again.stdout)["created"] == 13


def test_lists_of_a_run_that_was_not_seen_to_its_end_are_not_said_to_be_compared(mirror: Resources) -> None:
    opened = mirror.pipeline.open_run(mirror.pipeline.session_request(SessionId(44, 1))).run
    assert mirror.pipeline.plan(opened).due == 14
    mirror.pipeline.revoke(opened.run_id)
    lines = run(mirror.settings, "runs", "show", str(opened.run_id)[:8]).stdout.splitlines()
    (listed,) = [line.split() for line in lines if line.startswith("44-1") and "legisinfo" in line]
    assert listed[-3:] == ["14", "-", "-"]


def test_what_is_parked_names_its_dataset(mirror: Resources, sandbox: Sandbox) -> None:
    sandbox.fault("garbage", host="legisinfo", path="(?i)/c-14/", first=1)
    alone.run_session(mirror.pipeline, SessionId(44, 1))
    told = run(mirror.settings, "quarantine", "list", "--state", "all")
    assert any(line.split()[1:4] == ["bills", "44-1", "C-14"] for line in told.stdout.splitlines())
    assert told.stderr == "1 entry\n"
    assert run(mirror.settings, "quarantine", "--state", "all").stdout == told.stdout
    assert run(mirror.settings, "quarantine").stderr == "1 open entry\n"
    assert run(mirror.settings, "quarantine", "list", "--dataset", "votes").stderr == "0 open entries\n"
    assert "known: bills" in complaint(run(mirror.settings, "quarantine", "list", "--dataset", "laws"), 2)


def test_a_run_under_way_is_paused_and_goes_on(mirror: Resources) -> None:
    opened = mirror.pipeline.open_run(mirror.pipeline.session_request(SessionId(44, 1))).run
    short = str(opened.run_id)[:8]
    paused = run(mirror.settings, "runs", "pause", short)
    assert (paused.returncode, paused.stderr) == (0, f"run {short} is paused; to go on: parlex runs resume {short}\n")
    assert mirror.pipeline.run(opened.run_id).paused_at is not None
    assert "paused" in run(mirror.settings, "runs").stdout.split()
    assert "Paused" in run(mirror.settings, "runs", "show", short).stdout.split()
    assert "paused already" in complaint(run(mirror.settings, "runs", "pause", short), 2)
    assert run(mirror.settings, "runs", "resume", short).returncode == 0
    assert mirror.pipeline.run(opened.run_id).paused_at is None
    assert "is not paused" in complaint(run(mirror.settings, "runs", "resume", short), 2)


def test_the_table_tells_how_long_a_run_takes(mirror: Resources, db: Session) -> None:
    going = rows.run(status="running", counted_since=Clock(db).now() - timedelta(hours=50), paused_for=timedelta())
    db.add(going)
    db.flush()
    db.add_all(rows.run_key(going, f"45-1 C-{at}", at, state=state) for at, state in enumerate(("done", "waiting")))
    db.commit()
    assert "2.1 d left" in run(mirror.settings, "runs").stdout
    assert "To go  " in run(mirror.settings, "runs", "show", str(going.run_id)).stdout


# Lines.


def test_each_line_of_a_run_names_it_and_its_bill(mirror: Resources, sandbox: Sandbox) -> None:
    sandbox.fault("error", host="legisinfo", path="(?i)/c-11/", status=404)
    sandbox.fault("error", host="legisinfo", path="(?i)/c-12/", status=500, first=1)
    sandbox.fault("garbage", host="legisinfo", path="(?i)/c-14/", first=1)
    with capture_logs(processors=[merge_contextvars]) as lines:
        figures = alone.run_session(mirror.pipeline, SessionId(44, 1))
    assert {line["run_id"] for line in lines} == {figures.run_id}
    told = {(line["event"], line["key"]) for line in lines if "key" in line}
    assert ("failed", "44-1 C-11") in told
    assert ("retry", "44-1 C-12") in told
    assert ("quarantine", "44-1 C-14") in told
    assert {"planned", "closed"} <= {line["event"] for line in lines}


# The shell.


def test_the_shell_has_the_tasks_and_the_queries(make_settings: Callable[..., Settings], db: Session) -> None:
    row = rows.run(scope="45-1")
    db.add_all([rows.bill("C-2"), row])
    db.commit()
    code = (
        "print(fetch_latest_bills.name, app.main, len(ask(queries.bills)));"
        f"show('{str(row.run_id)[:8]}');"
        f"print(ask(queries.find_run, '{str(row.run_id)[:8]}'))"
    )
    done = run(make_settings(), "shell", "-c", code)
    assert done.stdout.splitlines()[0] == "parlex.fetch_latest_bills parlex 1"
    assert f"Run {row.run_id}" in done.stdout
    assert done.stdout.splitlines()[-1] == str(row.run_id)
    assert done.returncode == 0


def test_an_answer_that_does_not_come_is_one_line(settings: Settings) -> None:
    code = "fetch_latest_bills.delay(limit=5).get(timeout=0.1)"
    assert "is a worker running?" in complaint(run(settings, "shell", "-c", code), 1)
    assert "no run has an id that begins with 12345678" in complaint(
        run(settings, "shell", "-c", "show('12345678')"), 1
    )
    assert "ZeroDivisionError" in run(settings, "shell", "-c", "1/0").stdout
