"""The command line as a user has it: processes, exit codes, what goes to which stream."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from parlex.db import migrate
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.settings import Settings, environment
from tests import rows
from tests.runs.test_reads import BILL_KEYS, CHANGE_KEYS, RUN_KEYS

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
    code = f"import sys, parlex.cli.app; print([name for name in {heavy} if name in sys.modules])"
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
        (["nonsense"], "No such command 'nonsense'. (see parlex --help)"),
        (["--bogus"], "No such option: --bogus (see parlex --help)"),
        (["fetch", "--bogus"], "No such option: --bogus (see parlex fetch --help)"),
        (["runs", "nonsense"], "No such command 'nonsense'. (see parlex runs --help)"),
        (["bills", "--session"], "Option '--session' requires an argument."),
        (["bill", "45-1", "C-2", "C-3"], "unexpected extra argument(s) (C-3) (see parlex bill --help)"),
        (["bill", "30-1", "C-2"], "sessions with bills begin with 35-1"),
        (["vote", "30-1", "1"], "sessions with votes begin with 38-1"),
        (["vote", "45-1", "1"], "parlex backfill --dataset votes 45-1"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(settings: Settings, arguments: list[str], told: str) -> None:
    assert told in complaint(run(settings, *arguments), 2)


@pytest.mark.parametrize("command", [[], ["db"]])
def test_a_command_that_cannot_stand_alone_answers_with_its_help(settings: Settings, command: list[str]) -> None:
    done = run(settings, *command)
    assert (done.returncode, done.stderr.startswith("Usage: ")) == (2, True)
    assert len(done.stderr.splitlines()) > 5


def test_no_session_is_advised_that_no_source_has(settings: Settings) -> None:
    assert run(settings, "bills", "--session", "44-1").stderr.strip().endswith("to fetch: parlex backfill 44-1")
    early = run(settings, "bills", "--session", "30-1").stderr
    assert "sessions with bills begin with 35-1" in early
    assert "backfill" not in early
    assert "sessions with votes begin with 38-1" in run(settings, "votes", "--session", "37-1").stderr


def test_a_bill_is_shown_with_its_summary_last_and_without_tags(settings: Settings, db: Session) -> None:
    html = (
        "<div><p>Part 1&nbsp;amends\n the <i>Customs&#160;Act</i> &amp; others.</p><br/><br/><br/>"
        "It would<ul><li>open mail</li><li>if 1 &lt; 2</li></ul></div>\n"
    )
    db.add(rows.bill(summary_en=html))
    db.commit()
    shown = [line.rstrip() for line in run(settings, "bill", "45-1", "C-2").stdout.splitlines()]
    assert shown[shown.index("Summary") :] == [
        "Summary",
        "Part 1 amends the Customs Act & others.",
        "",
        "It would",
        "open mail",
        "if 1 < 2",
    ]
    assert sum("Summary" in line for line in shown) == 1
    (told,) = objects(run(settings, "bill", "45-1", "C-2", "--json"))
    assert told["summary_en"] == html


@pytest.mark.parametrize(("hours", "told"), [("1", "hour"), ("24", "24 hours"), ("1.5", "1.5 hours")])
def test_the_monitor_says_how_far_it_looked_back(settings: Settings, hours: str, told: str) -> None:
    assert run(settings, "monitor", "--hours", hours).stdout.splitlines()[0].strip() == f"The last {told}"


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


@pytest.fixture
def worker(live: Settings, tmp_path: Path) -> Iterator[None]:
    """One worker for all queues of ``live``."""
    command = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "control,fetch,persist", "-c", "3"]
    log = tmp_path / "worker.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [*command, "--without-gossip", "--without-mingle"],
            env=environment(live, REMAP_SIGTERM="SIGQUIT", PARLEX_LOG_LEVEL="INFO"),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    with process:
        try:
            assert wait_until(lambda: "ready." in log.read_text(), 60), log.read_text()
            yield
        finally:
            process.terminate()


def seen_on_a_terminal(settings: Settings, *arguments: str) -> tuple[int, list[str]]:
    """The exit code, and each line that standard error showed, one after the other, without colours."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "parlex", *arguments],
        env=environment(settings, COLUMNS="100", TERM="xterm"),
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    with process, os.fdopen(ours, "rb", buffering=0) as screen:
        shown = b"".join(iter(lambda: _piece(screen), b"")).decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    return process.returncode, [line.strip() for line in re.split(r"[\r\n]+", plain)]


def _piece(screen: Any) -> bytes:
    try:
        return bytes(screen.read(65536))
    except OSError:  # how Linux tells of a terminal's end
        return b""


@pytest.mark.live
def test_workers_are_told_of_by_bars_that_are_true(live: Settings, sandbox: Sandbox, worker: None) -> None:
    """Of two sessions, the first waits for its list while the second is fetched."""
    sandbox.fault("slow", host="legisinfo", path="parlsession=45-1", seconds=4)
    code, lines = seen_on_a_terminal(live, "backfill", "45-1", "44-1", "--dispatch")
    assert code == 0
    first, second = ([line for line in lines if line.startswith(name)] for name in ("45-1", "44-1"))
    assert first[-1].endswith("60 done  0 left")
    assert second[-1].endswith("14 done  0 left")
    ended = next(number for number, line in enumerate(lines) if line == second[-1])
    assert any(line.startswith("45-1") and line.endswith("asking for the list") for line in lines[ended:])


@pytest.mark.live
def test_an_unknown_session_stops_no_other_of_the_workers(live: Settings, worker: None) -> None:
    done = run(live, "backfill", "99-1", "44-1", "--dispatch", "--json")
    assert "99-1" in complaint(done, 2)
    assert json.loads(done.stdout)["created"] == 14
    assert "99-1" in complaint(run(live, "fetch", "--session", "99-1", "--dispatch"), 2)


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


def test_up_without_its_database_is_one_line(settings: Settings) -> None:
    done = run(settings, "up", "--flower-port", "0", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/db")
    told = complaint(done, 1)
    assert re.search(r"it does not answer \(connection .* refused\): start it, or mend DATABASE_URL", told)
    assert "psycopg2" not in told
    assert "hunter2" not in told


def test_the_demo_names_a_malformed_setting(settings: Settings) -> None:
    assert complaint(run(settings, "demo", PARLEX_READ_TIMEOUT="0"), 2).startswith("PARLEX_READ_TIMEOUT: ")


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
    odd = {name: check["state"] for name, check in found.items() if check["state"] != "ok"}
    assert odd == {"workers": "warn", "beat": "warn"}
    assert {"settings", "contact", "servers", "database", "redis", "freshness"} <= found.keys()
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
