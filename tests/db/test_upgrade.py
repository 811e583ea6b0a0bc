"""A mirror that an older version filled, brought to today's schema: nothing is lost, and it goes on."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, make_url, text

from parlex.datasets.bills.bill import PARTICULARS
from parlex.db import migrate
from parlex.local.sandbox import Sandbox
from parlex.mirror.archive import open_archive
from parlex.resources import Resources
from parlex.settings import Settings, environment
from tests.db import dump
from tests.db.dump import Row, dumped

NewDatabase = Callable[..., AbstractContextManager[str]]
LAST = "2026-07-24"  # the sandbox's day that the mirror saw last
HISTORIES = ("bill_changes", "record_changes")
COUNTERS, RUNS = "counters", "fetch_logs"
ALONE = ("bills", "politicians", "votes")


def last(table: str) -> int:
    """The last number of one of the two old histories."""
    return max(row["seq"] for row in dumped()[table])


def history() -> list[Row]:
    """The one history that the two old ones become: the bills' lines, then the others'."""
    after = last("bill_changes")
    return dumped()["bill_changes"] + [row | {"seq": after + row["seq"]} for row in dumped()["record_changes"]]


def judged(run: Row) -> Row:
    """A run as it stands since what a person ended, or asked for in vain, is a status and not the text of an error."""
    errors = run["errors"]
    if "revoked by hand" in errors:
        left = [error for error in errors if error != "revoked by hand"]
        return run | {"status": "revoked", "errors": left, "error_count": run["error_count"] - 1}
    if errors and errors[0].startswith("wrong request: "):
        return run | {"status": "refused", "errors": [errors[0].removeprefix("wrong request: "), *errors[1:]]}
    return run


def in_order(rows: list[Row], columns: Any) -> list[str]:
    """Rows so that two tables can be compared; columns that the old one had not are left out."""
    return sorted(json.dumps({name: row[name] for name in columns}, sort_keys=True) for row in rows)


def assert_same(found: list[Row], wanted: list[Row]) -> None:
    columns = wanted[0].keys()
    assert in_order(found, columns) == in_order(wanted, columns)


@pytest.fixture(scope="module")
def _upgraded(new_database: NewDatabase) -> Iterator[str]:
    """The name of a database that the old version filled and that was upgraded; tests take copies of it."""
    with new_database("template1") as url:
        dump.load(url)
        migrate.upgrade(url)
        yield str(make_url(url).database)


@pytest.fixture
def database(_upgraded: str, new_database: NewDatabase) -> Iterator[str]:
    with new_database(_upgraded) as url:
        yield url


# The dump.


@pytest.mark.parametrize("revision", ["0001", "0006"])
def test_the_dump_is_loaded_whole(empty_database: str, revision: str) -> None:
    tables = dump.load(empty_database, revision)
    assert {"bill_changes", "documents", "fetch_logs", "quarantine"} <= set(tables)
    for table in tables:
        assert_same(dump.rows(empty_database, table), dumped()[table])


def test_the_dump_is_rich() -> None:
    """What the tests below say of a dump that has nothing of a kind they would say in vain."""
    kinds = {"created", "changed", "withdrawn", "reappeared", "reparsed"}
    assert {row["kind"] for row in dumped()["bill_changes"]} == kinds
    assert {row["kind"] for row in dumped()["record_changes"]} == kinds
    assert {row["dataset"] for row in dumped()["record_changes"]} == {"politicians", "votes"}
    parked = {(row["dataset"], row["kind"], row["state"]) for row in dumped()["quarantine"]}
    assert len(parked) == 3 * (2 * 3 + 2 * 4)  # what cannot be read cannot be approved
    assert {row["status"] for row in dumped()["fetch_logs"]} == {
        *("running", "success", "partial", "failure", "skipped", "abandoned"),
    }
    assert {judged(run)["status"] for run in dumped()[RUNS]} >= {"revoked", "refused"}
    assert {row["name"] for row in dumped()[COUNTERS]} == {*HISTORIES, "digest"}
    assert all(dumped()[table] for table in ("alerts", "notifications", "heartbeats", "run_keys", "ballots"))
    archived = {row["sha256"] for row in dumped()["documents"] if row["body"] is None}
    assert archived == {row["sha256"] for row in dumped()[dump.ARCHIVE]} != set()


# The upgrade.


@pytest.mark.parametrize("revision", ["0001", "0003", "0006"])
def test_every_row_is_still_there(empty_database: str, revision: str) -> None:
    tables = dump.load(empty_database, revision)
    migrate.upgrade(empty_database)
    for table in set(tables) - {*HISTORIES, COUNTERS, RUNS}:
        assert_same(dump.rows(empty_database, table), dumped()[table])
    assert_same(dump.rows(empty_database, RUNS), [judged(run) for run in dumped()[RUNS]])
    assert_same(dump.rows(empty_database, "bill_changes"), dumped()["bill_changes"])
    if "record_changes" not in tables:
        assert dump.rows(empty_database, "record_changes") == []


def test_the_two_histories_become_one(database: str) -> None:
    assert_same(dump.rows(database, "bill_changes"), dumped()["bill_changes"])
    after = last("bill_changes")
    assert_same(
        dump.rows(database, "record_changes"),
        [row | {"seq": after + row["seq"]} for row in dumped()["record_changes"]],
    )
    found = sorted(dump.rows(database, "changes"), key=lambda row: row["seq"])
    wanted = history()
    assert [row["seq"] for row in found] == list(range(1, len(wanted) + 1))
    for name in ("kind", "field", "old", "new", "observed_at", "run_id", "source", "document"):
        assert [row[name] for row in found] == [row[name] for row in wanted]
    assert [(row["dataset"], row["key"]) for row in found] == [name_of(row) for row in wanted]


def name_of(row: Row) -> tuple[str, str]:
    """The dataset and the key of a line of either old history."""
    if "key" in row:
        return row["dataset"], row["key"]
    return "bills", f"{row['parliament']}-{row['session']} {row['number']}"


def test_what_an_old_version_held_is_found(database: str) -> None:
    for table, vector in (
        ("bills", "words_en"),
        ("bills", "words_fr"),
        ("votes", "words_en"),
        ("politicians", "words"),
    ):
        found = {row["key" if "key" in row else "slug"] for row in dump.rows(database, table) if row[vector]}
        assert len(found) == len(dumped()[table])


def test_the_counters_go_on(database: str) -> None:
    found = {row["name"]: row["value"] for row in dump.rows(database, COUNTERS)}
    assert found["changes"] == len(history())
    assert not set(HISTORIES) & set(found)
    # A digest had told of every line there was: the next one does not tell of the politicians' and votes' anew.
    assert found["digest"] == found["changes"]


def test_a_mirror_without_history_counts_from_one(empty_database: str) -> None:
    migrate.upgrade(empty_database, "0006")
    migrate.upgrade(empty_database)
    assert dump.rows(empty_database, "changes") == []
    assert dump.rows(empty_database, COUNTERS) == []


def test_every_document_can_be_read(database: str, tmp_path: Path) -> None:
    dump.fill_archive(tmp_path)
    archive = open_archive(str(tmp_path))
    engine = create_engine(database, poolclass=NullPool)
    with engine.connect() as connection:
        found = {row.sha256: row.body for row in connection.execute(text("SELECT sha256, body FROM documents"))}
    assert found.keys() == {row["sha256"] for row in dumped()["documents"]}
    for sha256, body in found.items():
        content = archive.get(sha256) if body is None else zlib.decompress(body)
        assert content is not None
        assert hashlib.sha256(content).hexdigest() == sha256


def test_the_way_back_gives_the_old_tables(database: str) -> None:
    migrate.downgrade(database, "0006")
    assert migrate.current(database) == "0006"
    for table in dumped().keys() - {dump.ARCHIVE}:
        assert_same(dump.rows(database, table), dumped()[table])
    migrate.upgrade(database)
    assert len(dump.rows(database, "changes")) == len(history())


# What the mirror does next.


def test_a_run_that_was_under_way_comes_to_its_end(
    make_resources: Callable[..., Resources], sandbox: Sandbox, database: str
) -> None:
    """Of its keys one was saved, one was fetched, one waited; the messages about them are still in the queues."""
    urls = {"legisinfo_url": sandbox.legisinfo_url, "openparliament_url": sandbox.openparliament_url}
    pipeline = make_resources(**urls).pipeline
    (run,) = pipeline.open_runs()
    keys = [row["key"] for row in dumped()["run_keys"] if row["run_id"] == str(run.run_id)]
    pipeline.persist(run, keys)
    pipeline.persist(run, pipeline.fetch(run, keys).persist)
    figures = pipeline.close_if_complete(run)
    assert figures is not None
    # Partial for what its list had in quarantine when the old version planned it.
    # The sandbox says more of the sittings of a bill than it did then, so that one that is fetched now differs.
    assert (figures.status, figures.failed, figures.unchanged, figures.updated) == ("partial", 0, 2, 1)
    states = {row["state"] for row in dump.rows(database, "run_keys") if row["run_id"] == str(run.run_id)}
    assert (len(keys), states) == (3, {"done"})


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(as_of=LAST) as sandbox:
        yield sandbox


@pytest.fixture
def parlex(make_settings: Callable[..., Settings], sandbox: Sandbox, tmp_path: Path) -> Callable[..., list[Row]]:
    """What a command prints with --json; ``code`` is how it has to end."""
    dump.fill_archive(tmp_path / "archive")
    settings = make_settings(
        legisinfo_url=sandbox.legisinfo_url,
        openparliament_url=sandbox.openparliament_url,
        archive_url=str(tmp_path / "archive"),
    )

    def run(*arguments: str, code: int = 0) -> list[Row]:
        done = subprocess.run(
            [sys.executable, "-m", "parlex", *arguments, "--json"],
            env=environment(settings, PARLEX_LOG_LEVEL="ERROR"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def test_the_history_is_told_in_one_order(parlex: Callable[..., list[Row]]) -> None:
    found = parlex("changes", "--after", "0")
    assert [line["seq"] for line in found] == list(range(1, len(history()) + 1))
    assert [(line["dataset"], line["key"]) for line in found] == [name_of(row) for row in history()]
    assert parlex("changes", "--after", str(len(history()))) == []
    (newest,) = parlex("changes", "--after", str(len(history()) - 1))
    assert newest == found[-1]
    for dataset in ALONE:
        assert parlex("changes", "--dataset", dataset) == [line for line in found if line["dataset"] == dataset]


def test_what_was_parked_is_listed(parlex: Callable[..., list[Row]]) -> None:
    found = {entry["id"]: entry["state"] for entry in parlex("quarantine", "list", "--state", "all")}
    assert found == {row["id"]: row["state"] for row in dumped()["quarantine"]}
    waiting = {row["id"] for row in dumped()["quarantine"] if row["state"] == "open"}
    assert {entry["id"] for entry in parlex("quarantine", "list")} == waiting


def test_the_mirror_is_judged_as_before(parlex: Callable[..., list[Row]]) -> None:
    """It stood incomplete: lists were parked, and what could not be read was."""
    checks = {check.get("scope", check.get("session")): check for check in parlex("verify", code=1)}
    assert {scope: check["complete"] for scope, check in checks.items()} == {"44-1": False, "45-1": False}
    assert checks["45-1"]["held"] == sum(row["session"] == 1 and row["parliament"] == 45 for row in held("bills"))
    for dataset, scope in (("politicians", "all"), ("votes", "45-1")):
        (check,) = parlex("verify", "--dataset", dataset, code=1)
        assert (check["scope"], check["complete"], check["believed"]) == (scope, False, True)


def held(table: str) -> list[Row]:
    return [row for row in dumped()[table] if not row["withdrawn"]]


@pytest.mark.parametrize("dataset", ALONE)
def test_todays_code_reads_the_old_documents_as_they_were_read(parlex: Callable[..., list[Row]], dataset: str) -> None:
    """But for what is read since, which was not there, and for a status that old code parked since it did not know it:
    now the bill has it, without a name."""
    differences = parlex("replay", "--dataset", dataset)
    others = [item for item in differences if item["field"].partition(".")[0] not in ("flags", *PARTICULARS)]
    found = [(item["key"], item["field"], item["new"]) for item in others]
    landed = [("45-1 C-5", "status_code", "unknown"), ("45-1 C-5", "status_en", "At the printer's")]
    assert found == (landed if dataset == "bills" else [])


def test_the_next_fetch_goes_on_where_the_old_version_ended(parlex: Callable[..., list[Row]], database: str) -> None:
    (bills,) = parlex("backfill", "45-1")
    (politicians,) = parlex("fetch", "--dataset", "politicians", "--limit", "20")
    # The sandbox never names a context of a vote, and one whose context went blank still waits for a person.
    (votes,) = parlex("fetch", "--dataset", "votes", "--session", "45-1", code=1)
    assert [run["status"] for run in (bills, politicians, votes)] == ["success", "success", "partial"]
    assert [(run["failed"], run["error_count"]) for run in (bills, politicians, votes)] == [(0, 0), (0, 0), (0, 1)]
    assert (politicians["bills_fetched"], votes["created"]) == (20, 4)

    lines = sorted(dump.rows(database, "changes"), key=lambda row: row["seq"])
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(lines) > len(history())
    (counted,) = [row["value"] for row in dump.rows(database, COUNTERS) if row["name"] == "changes"]
    assert counted == len(lines)
    back = {(line["dataset"], line["key"]) for line in lines[len(history()) :] if line["kind"] == "reappeared"}
    assert back >= {("bills", "45-1 C-4"), ("politicians", "ziad-aboultaif"), ("votes", "45-1 47")}
    # What was open or rejected of the lists has mended itself.
    left = {row["state"] for row in dump.rows(database, "quarantine") if row["kind"] in ("row", "sweep")}
    assert left <= {"resolved", "approved", "rejected"}
