"""An operator's commands as processes, against the sandbox, a webhook and the servers of the tests."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy.orm import Session

from parlex.db import migrate
from parlex.db.models import HeartbeatRow
from parlex.settings import Settings, effective, environment
from tests import rows
from tests.commands import complaint, objects, run
from tests.webhook import Webhook, serving


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with serving() as webhook:
        yield webhook


# Alerts.


def test_alerts_are_checked_told_and_listed(
    make_settings: Callable[..., Settings], db: Session, webhook: Webhook
) -> None:
    settings = make_settings(alert_urls=webhook.url)
    assert run(settings, "alerts").returncode == 0
    db.add(HeartbeatRow(name="beat", seen_at=datetime.now(UTC) - timedelta(hours=1)))
    db.commit()
    checked = run(settings, "alerts", "check")
    assert (checked.returncode, checked.stderr.splitlines()[-1]) == (0, "1 opened, 0 grown, 0 repeated, 0 over")
    assert [told["title"] for told in webhook.take()] == ["Parlex: beat is silent: nothing is scheduled"]
    listed = run(settings, "alerts", "--json")
    assert listed.returncode == 1
    assert json.loads(listed.stdout)["rule"] == "beat_silent"
    assert "beat is silent" in run(settings, "alerts").stdout


def test_alerts_test_says_which_address_hears(make_settings: Callable[..., Settings], webhook: Webhook) -> None:
    deaf = "json://127.0.0.1:1/hush-token"
    tried = run(make_settings(alert_urls=f"{webhook.url} {deaf}"), "alerts", "test")
    heard, not_heard = tried.stdout.splitlines()
    assert (tried.returncode, heard.split(": ")[1]) == (1, "sent")
    assert "Connection" in not_heard
    assert "hush" not in tried.stdout + tried.stderr
    assert [told["title"] for told in webhook.take()] == ["Parlex: a test"]
    nobody = run(make_settings(), "alerts", "test")
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
    refused = run(make_settings(), "metrics", "--port", str(webhook.port))
    assert refused.returncode == 2
    assert f"port {webhook.port} cannot be used" in refused.stderr


# Exports.


def test_export_says_what_it_wrote(make_settings: Callable[..., Settings], db: Session, tmp_path: Path) -> None:
    db.add(rows.bill("C-2"))
    db.commit()
    done = run(make_settings(), "export", "--to", str(tmp_path / "out"), "--format", "csv", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told == json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [file["rows"] for file in told["files"] if file["name"] == "bills.csv"] == [1]
    nowhere = run(make_settings(), "export")
    assert (nowhere.returncode, "PARLEX_EXPORT_URL" in nowhere.stderr) == (2, True)
    configured = make_settings(export_url=str(tmp_path / "other"))
    assert run(configured, "export", "--format", "jsonl").returncode == 0
    assert (tmp_path / "other" / "bills.jsonl").exists()


# Doctor, monitor, the schema.


@pytest.mark.parametrize(("hours", "told"), [("1", "hour"), ("24", "24 hours"), ("1.5", "1.5 hours")])
def test_the_monitor_says_how_far_it_looked_back(settings: Settings, hours: str, told: str) -> None:
    assert run(settings, "monitor", "--hours", hours).stdout.splitlines()[0].strip() == f"The last {told}"


def test_db_upgrade(settings: Settings, empty_database: str) -> None:
    done = run(settings, "db", "upgrade", DATABASE_URL=empty_database)
    assert done.returncode == 0
    assert migrate.current(empty_database) == migrate.head()


def test_db_downgrade_asks_first_and_says_what_is_lost(settings: Settings, db: Session) -> None:
    database = str(db.get_bind().engine.url.render_as_string(hide_password=False))
    asked = complaint(run(settings, "db", "downgrade", "0008"), 2)
    assert asked.startswith(f"this goes from {migrate.head()} to 0008 and loses what came with {migrate.head()} (")
    assert "0009 (who this mirror is" in asked
    assert "0008 (" not in asked
    assert migrate.current(database) == migrate.head()
    done = run(settings, "db", "downgrade", "0008", "--yes")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "the schema is at 0008")
    assert migrate.current(database) == "0008"


@pytest.mark.parametrize(
    ("revision", "told"),
    [("0000", "'0000' is no revision; known: base, 0001, 0002"), (migrate.head(), "is not below it")],
)
def test_db_downgrade_goes_nowhere_but_down(settings: Settings, revision: str, told: str) -> None:
    assert told in complaint(run(settings, "db", "downgrade", revision, "--yes"), 2)


def test_a_newer_schema_is_not_taken_back(settings: Settings, db: Session) -> None:
    db.connection().exec_driver_sql("update alembic_version set version_num = '0099'")
    db.commit()
    assert "newer than this Parlex" in complaint(run(settings, "db", "downgrade", "0008", "--yes"), 2)


def test_config_has_every_variable_and_no_secret(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(sentry_dsn="https://hush-key@errors.example.org/1", flower_basic_auth="me:hush-word")
    done = run(settings, "config", "--json", PARLEX_READ_TIMEOUT="", PARLEX_LEGISINFO_RATE="12.5")
    found = {one["name"]: one for one in objects(done)}
    assert list(found) == [one.variable for one in effective(settings)]
    assert found["PARLEX_LEGISINFO_RATE"] == {"name": "PARLEX_LEGISINFO_RATE", "value": 12.5, "from": "environment"}
    assert found["PARLEX_READ_TIMEOUT"] == {"name": "PARLEX_READ_TIMEOUT", "value": 20.0, "from": "default"}
    assert found["PARLEX_ARCHIVE_URL"] == {"name": "PARLEX_ARCHIVE_URL", "value": None, "from": "default"}
    assert found["DATABASE_URL"] == {"name": "DATABASE_URL", "value": "***", "from": "environment"}
    assert found["FLOWER_BASIC_AUTH"]["value"] == "***"
    shown = run(settings, "config").stdout
    assert "PARLEX_CONTACT" in shown
    for secret in ("hush", str(settings.redis_url.get_secret_value() if settings.redis_url else "")):
        assert secret not in done.stdout + shown


def test_doctor_when_nothing_is_running(live: Settings) -> None:
    run(live, "fetch", "--limit", "1")
    done = run(live, "doctor", "--json")
    found = {check["name"]: check for check in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0
    states = {name: check["state"] for name, check in found.items()}
    assert "fail" not in states.values()
    assert (
        states.items()
        >= {
            "settings": "ok",
            "contact": "ok",
            "servers": "ok",
            "database": "ok",
            "redis": "ok",
            "workers": "warn",
            "beat": "warn",
            "freshness": "ok",
        }.items()
    )
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


@pytest.mark.parametrize("broken", [{"PARLEX_READ_TIMEOUT": "0"}, {"PARLEX_NONSENSE": "1"}, {"REDIS_URL": "http://x"}])
def test_doctor_tells_of_broken_settings_once(settings: Settings, broken: dict[str, str]) -> None:
    done = run(settings, "doctor", **broken)
    assert (done.returncode, done.stderr) == (1, "")
    assert [done.stdout.count(name) for name in broken] == [1]


def test_doctor_finds_an_old_schema(settings: Settings, db: Session) -> None:
    db.connection().exec_driver_sql("update alembic_version set version_num = '0000'")
    db.commit()
    done = run(settings, "doctor")
    assert done.returncode == 1
    assert "parlex db upgrade" in done.stdout
