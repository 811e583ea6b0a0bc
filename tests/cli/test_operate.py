"""An operator's commands as processes, against the sandbox, a webhook and the servers of the tests."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy.orm import Session
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from parlex.db.models import HeartbeatRow, RunRow
from parlex.errors import UsageError
from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone, fetch_logs
from parlex.settings import Settings, environment
from tests import rows
from tests.webhook import Webhook, serving


def parlex(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "parlex", *arguments],
        env=environment(settings, COLUMNS="120"),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with serving() as webhook:
        yield webhook


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def live(make_resources: Callable[..., Resources], sandbox: Sandbox) -> Resources:
    return make_resources(legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url)


# Alerts.


def test_alerts_are_checked_told_and_listed(
    make_settings: Callable[..., Settings], db: Session, webhook: Webhook
) -> None:
    settings = make_settings(alert_urls=webhook.url)
    assert parlex(settings, "alerts").returncode == 0
    db.add(HeartbeatRow(name="beat", seen_at=datetime.now(UTC) - timedelta(hours=1)))
    db.commit()
    checked = parlex(settings, "alerts", "check")
    assert (checked.returncode, checked.stderr.splitlines()[-1]) == (0, "1 opened, 0 grown, 0 repeated, 0 over")
    assert [told["title"] for told in webhook.take()] == ["Parlex: beat is silent: nothing is scheduled"]
    listed = parlex(settings, "alerts", "--json")
    assert listed.returncode == 1
    assert json.loads(listed.stdout)["rule"] == "beat_silent"
    assert "beat is silent" in parlex(settings, "alerts").stdout


def test_alerts_test_says_which_address_hears(make_settings: Callable[..., Settings], webhook: Webhook) -> None:
    deaf = "json://127.0.0.1:1/hush-token"
    tried = parlex(make_settings(alert_urls=f"{webhook.url} {deaf}"), "alerts", "test")
    heard, not_heard = tried.stdout.splitlines()
    assert (tried.returncode, heard.split(": ")[1]) == (1, "sent")
    assert "Connection" in not_heard
    assert "hush" not in tried.stdout + tried.stderr
    assert [told["title"] for told in webhook.take()] == ["Parlex: a test"]
    nobody = parlex(make_settings(), "alerts", "test")
    assert (nobody.returncode, nobody.stderr.strip()) == (
        2,
        "parlex: there is nobody to tell: set PARLEX_ALERT_URLS",
    )


# Metrics.


@pytest.mark.live
def test_metrics_are_served_until_term(make_settings: Callable[..., Settings]) -> None:
    command = [sys.executable, "-m", "parlex", "metrics", "--port", "0"]
    with subprocess.Popen(command, env=environment(make_settings()), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            url = process.stderr.readline().strip()
            assert "parlex_up" in httpx.get(url).raise_for_status().text
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.stderr.read()
        assert (process.wait(), rest) == (0, "")


def test_metrics_on_a_taken_port_say_so(make_settings: Callable[..., Settings], webhook: Webhook) -> None:
    refused = parlex(make_settings(), "metrics", "--port", str(webhook.port))
    assert refused.returncode == 2
    assert f"port {webhook.port} cannot be used" in refused.stderr


# Exports.


def test_export_says_what_it_wrote(make_settings: Callable[..., Settings], db: Session, tmp_path: Path) -> None:
    db.add(rows.bill("C-2"))
    db.commit()
    done = parlex(make_settings(), "export", "--to", str(tmp_path / "out"), "--format", "csv", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [file["rows"] for file in told["files"] if file["name"] == "bills.csv"] == [1]
    nowhere = parlex(make_settings(), "export")
    assert (nowhere.returncode, "PARLEX_EXPORT_URL" in nowhere.stderr) == (2, True)
    configured = make_settings(export_url=str(tmp_path / "other"))
    assert parlex(configured, "export", "--format", "jsonl").returncode == 0
    assert (tmp_path / "other" / "bills.jsonl").exists()


# What failed, once more.


def failed_run(live: Resources, sandbox: Sandbox) -> UUID:
    """A run of 44-1 in which two bills could not be had."""
    sandbox.fault("error", host="legisinfo", path="(?i)/c-1[12]/", status=404)
    figures = alone.run_session(live.pipeline, SessionId(44, 1))
    sandbox.clear_faults()
    assert (figures.status, figures.failed) == ("partial", 2)
    return UUID(figures.run_id)


def test_a_retry_fetches_what_failed_and_nothing_else(live: Resources, sandbox: Sandbox) -> None:
    run_id = failed_run(live, sandbox)
    before = len(sandbox.log("legisinfo"))
    again = alone.rerun_failures(live.pipeline, run_id)
    assert (again.status, again.bills_fetched, again.created) == ("success", 2, 2)
    asked = sandbox.log("legisinfo")[before:]
    assert sum("/bill/" in line.lower() for line in asked) == 2
    with live.db() as db:
        assert fetch_logs.get_run(db, UUID(again.run_id)).params == {"scope": "44-1", "retry_of": str(run_id)}
    assert alone.rerun_failures(live.pipeline, run_id).bills_fetched == 0  # nothing is due any more
    with pytest.raises(UsageError, match="nothing failed"):
        alone.rerun_failures(live.pipeline, UUID(again.run_id))


def test_a_run_that_never_had_its_list_is_run_again_whole(live: Resources, sandbox: Sandbox) -> None:
    sandbox.fault("html_200", host="legisinfo", first=4)
    figures = alone.run_latest(live.pipeline, limit=3)
    assert figures.status == "failure"
    sandbox.clear_faults()
    assert alone.rerun_failures(live.pipeline, UUID(figures.run_id)).created == 3


def test_the_command_retries_and_shows(live: Resources, sandbox: Sandbox) -> None:
    run_id = failed_run(live, sandbox)
    done = parlex(live.settings, "runs", "retry", str(run_id)[:8], "--json")
    assert (done.returncode, json.loads(done.stdout)["created"]) == (0, 2)
    shown = parlex(live.settings, "runs", "show", str(run_id)[:8])
    assert "closed: partial" in shown.stdout
    refused = parlex(live.settings, "runs", "revoke", str(run_id)[:8])
    assert (refused.returncode, "is over already" in refused.stderr) == (1, True)


def test_a_run_under_way_is_ended_by_hand(live: Resources, db: Session) -> None:
    opened = live.pipeline.open_run(live.pipeline.session_request(SessionId(44, 1)))
    assert parlex(live.settings, "runs", "revoke", str(opened.run.run_id)).returncode == 0
    row = db.get(RunRow, opened.run.run_id)
    assert row is not None
    assert (row.status, row.errors) == ("revoked", [])


# Lines.


def test_each_line_of_a_run_names_it_and_its_bill(live: Resources, sandbox: Sandbox) -> None:
    sandbox.fault("error", host="legisinfo", path="(?i)/c-11/", status=404)
    sandbox.fault("error", host="legisinfo", path="(?i)/c-12/", status=500, first=1)
    sandbox.fault("garbage", host="legisinfo", path="(?i)/c-14/", first=1)
    with capture_logs(processors=[merge_contextvars]) as lines:
        figures = alone.run_session(live.pipeline, SessionId(44, 1))
    assert {line["run_id"] for line in lines} == {figures.run_id}
    told = {(line["event"], line["key"]) for line in lines if "key" in line}
    assert ("failed", "44-1 C-11") in told
    assert ("retry", "44-1 C-12") in told
    assert ("quarantine", "44-1 C-14") in told
    assert {"planned", "closed"} <= {line["event"] for line in lines}


# The shell.


def test_the_shell_has_the_tasks_and_the_queries(make_settings: Callable[..., Settings], db: Session) -> None:
    run = rows.run(scope="45-1")
    db.add_all([rows.bill("C-2"), run])
    db.commit()
    code = (
        "print(fetch_latest_bills.name, app.main, len(ask(queries.bills)));"
        f"show('{str(run.run_id)[:8]}');"
        f"print(ask(queries.find_run, '{str(run.run_id)[:8]}'))"
    )
    done = parlex(make_settings(), "shell", "-c", code)
    assert done.stdout.splitlines()[0] == "parlex.fetch_latest_bills parlex 1"
    assert f"Run {run.run_id}" in done.stdout
    assert done.stdout.splitlines()[-1] == str(run.run_id)
    assert done.returncode == 0
