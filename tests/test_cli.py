"""The command line as a user has it: processes, exit codes, what goes to which stream."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from parlex.db import migrate
from parlex.sandbox import Sandbox
from parlex.settings import Settings, environment
from tests import rows
from tests.test_queries import BILL_KEYS, CHANGE_KEYS, RUN_KEYS

Parlex = Callable[..., subprocess.CompletedProcess[str]]

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


def run(settings: Settings, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parlex", *arguments],
        env=environment(settings, COLUMNS="100", **changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def live(make_settings: Callable[..., Settings], sandbox: Sandbox) -> Settings:
    """Settings whose sources are the sandbox, back at its beginning."""
    sandbox.reset()
    return make_settings(
        legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url, log_level="WARNING"
    )


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.stderr == ""
    return [json.loads(line) for line in done.stdout.splitlines()]


def complaint(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line of an error."""
    assert done.returncode == code
    (line,) = done.stderr.splitlines()
    assert line.startswith("parlex: ")
    return line.removeprefix("parlex: ")


def test_nothing_heavy_is_imported_before_a_command_runs() -> None:
    heavy = ("alembic", "celery", "httpx", "pydantic", "redis", "rich", "sqlalchemy", "structlog", "workers")
    code = f"import sys, parlex.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


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
    assert list(changes[0]) == CHANGE_KEYS

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


def test_what_a_person_sees(live: Settings) -> None:
    fetched = run(live, "backfill", "44-1", "45-1")
    assert fetched.returncode == 0
    assert [line.split()[:3] for line in fetched.stdout.splitlines() if "success" in line] == [
        ["44-1", "success", "14"],
        ["45-1", "success", "60"],
    ]
    bills = run(live, "bills", "--session", "45-1")
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
    assert "more: parlex changes --after 20" in run(live, "changes").stderr


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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bills", "--session", "45"], "write it like 45-1"),
        (["fetch", "--session", "x"], "write it like 45-1"),
        (["backfill", "45-1", "x"], "write it like 45-1"),
        (["backfill"], "name the sessions"),
        (["bill", "45-1", "2"], "write it like C-2"),
        (["bill", "45-1", "C-2"], "parlex backfill 45-1"),
        (["bills", "--status", "Dead"], "HouseInCommittee"),
        (["runs", "show", "12345678"], "no run has an id that begins with 12345678"),
        (["sandbox", "--list-shape", "C"], "A or B"),
        (["sandbox", "--as-of", "yesterday"], "write it like 2026-03-01"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(settings: Settings, arguments: list[str], told: str) -> None:
    assert told in complaint(run(settings, *arguments), 2)


def test_an_unknown_session_is_wrong_use_and_makes_no_bill(live: Settings) -> None:
    done = run(live, "fetch", "--session", "99-1")
    assert "99-1" in complaint(done, 2)
    assert objects(run(live, "bills", "--json")) == []


def test_without_a_contact_the_public_sites_are_not_asked(make_settings: Callable[..., Settings]) -> None:
    public = make_settings(contact=None, legisinfo_url="https://www.parl.ca")
    assert "PARLEX_CONTACT" in complaint(run(public, "fetch"), 2)


def test_a_malformed_setting_is_named_without_its_value(settings: Settings) -> None:
    done = run(settings, "runs", DATABASE_URL="mysql://me:hunter2@there/db")
    assert "DATABASE_URL" in complaint(done, 2)
    assert "hunter2" not in done.stderr


def test_a_database_that_is_away_is_one_line(settings: Settings) -> None:
    done = run(settings, "bills", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/db")
    assert "DATABASE_URL" in complaint(done, 1)
    assert "hunter2" not in done.stderr


def test_an_empty_database_gets_its_tables_by_itself(settings: Settings, empty_database: str) -> None:
    done = run(settings, "runs", "--json", DATABASE_URL=empty_database)
    assert (done.returncode, done.stdout) == (0, "")
    assert migrate.current(empty_database) == migrate.head()


def test_db_upgrade(settings: Settings, empty_database: str) -> None:
    done = run(settings, "db", "upgrade", DATABASE_URL=empty_database)
    assert done.returncode == 0
    assert migrate.current(empty_database) == migrate.head()


def test_a_database_of_another_version_is_left_alone(settings: Settings, db: Session) -> None:
    db.connection().exec_driver_sql("update alembic_version set version_num = '0000'")
    db.commit()
    assert "parlex db upgrade" in complaint(run(settings, "bills"), 2)


def test_dispatch_without_workers_says_so(live: Settings) -> None:
    assert "parlex up" in complaint(run(live, "fetch", "--dispatch"), 1)


def test_a_reader_that_stops_early_is_no_error(settings: Settings, db: Session) -> None:
    """As ``parlex changes --json | head -1``: more than a pipe holds, and nobody reads it."""
    db.add_all(rows.change(seq) for seq in range(1, 2000))
    db.commit()
    process = subprocess.Popen(
        [sys.executable, "-m", "parlex", "changes", "--json"],
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stdout, process.stderr:
        assert json.loads(process.stdout.readline())["seq"] == 1
        process.stdout.close()
        assert process.stderr.read() == ""


def test_doctor_when_nothing_is_running(live: Settings) -> None:
    run(live, "fetch", "--limit", "1")
    done = run(live, "doctor", "--json")
    found = {check["name"]: check for check in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0
    assert {name: check["state"] for name, check in found.items()} == {
        "settings": "ok",
        "contact": "ok",
        "servers": "ok",
        "database": "ok",
        "redis": "ok",
        "workers": "warn",
        "beat": "warn",
        "freshness": "ok",
    }
    assert found["workers"]["advice"] == "run: parlex up"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "redis"),
        ({"DATABASE_URL": "postgresql://127.0.0.1:1/db"}, "database"),
        ({"PARLEX_LEGISINFO_RATE": "fast"}, "settings"),
        ({"PARLEX_LEGISINFO_URL": "https://www.parl.ca", "PARLEX_CONTACT": ""}, "contact"),
    ],
    ids=["redis", "database", "settings", "contact"],
)
def test_doctor_names_what_failed_and_what_to_do(settings: Settings, changes: dict[str, str], name: str) -> None:
    done = run(settings, "doctor", **changes)
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("fail")] == [f"{name}:"]
    assert "->" in done.stdout


def test_doctor_finds_an_old_schema(settings: Settings, db: Session) -> None:
    db.connection().exec_driver_sql("update alembic_version set version_num = '0000'")
    db.commit()
    done = run(settings, "doctor")
    assert done.returncode == 1
    assert "parlex db upgrade" in done.stdout
