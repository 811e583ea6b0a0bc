"""The server and its keys as a person has them: commands, and what the workers come to."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from parlex.local.locks import wait_until
from parlex.settings import Settings, environment
from tests.commands import complaint, objects, run

pytestmark = pytest.mark.live


@contextmanager
def serving(settings: Settings, log: Path, **changes: str) -> Iterator[str]:
    """The address that ``parlex serve`` prints; where it writes to."""
    command = [sys.executable, "-m", "parlex", "serve", "--port", "0"]
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment(settings, **changes), stderr=out)
    with process:
        try:
            assert wait_until(lambda: "http://" in log.read_text(), 60), log.read_text()
            address = re.findall(r"^(http://\S+)$", log.read_text(), re.MULTILINE)[0]
            assert wait_until(lambda: httpx.get(f"{address}/readyz").status_code == 200, 20)
            yield address
        finally:
            process.terminate()


def test_keys_are_made_listed_and_revoked(live: Settings) -> None:
    made = run(live, "keys", "add", "the newsroom", "--role", "operator")
    assert made.returncode == 0
    assert re.fullmatch(r"plx_[0-9a-f]{12}_[\w-]{43}\n", made.stdout)
    assert made.stdout.strip() not in made.stderr
    (listed,) = objects(run(live, "keys", "list", "--json"))
    assert (listed["name"], listed["role"], listed["revoked_at"]) == ("the newsroom", "operator", None)
    assert listed["id"] == made.stdout.split("_")[1]
    shown = run(live, "keys", "list").stdout
    assert "the newsroom" in shown
    assert made.stdout.split("_", 2)[2].strip() not in shown
    assert run(live, "keys", "revoke", listed["id"]).returncode == 0
    assert "no key that is good" in complaint(run(live, "keys", "revoke", listed["id"]), 2)
    assert objects(run(live, "keys", "list", "--json"))[0]["revoked_at"]
    assert "'king' is no role" in complaint(run(live, "keys", "add", "x", "--role", "king"), 2)


def test_an_operator_has_the_workers_fetch(live: Settings, worker: None, tmp_path: Path) -> None:
    key = run(live, "keys", "add", "me", "--role", "operator").stdout.strip()
    log = tmp_path / "serve.log"
    with serving(live, log) as address, httpx.Client(base_url=address, timeout=20) as client:
        answer = client.post("/api/v1/runs", json={"session": "44-1"}, headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 202
        bills = "/api/v1/bills?session=44-1&count=true"
        assert wait_until(lambda: client.get(bills).json()["count"] == 14, 60)
    assert key not in log.read_text()
    (ended,) = objects(run(live, "runs", "--json"))
    assert (ended["run_id"], ended["status"], ended["created"]) == (answer.json()["run_id"], "success", 14)


def test_the_log_has_a_line_for_each_request_where_it_is_asked_for(live: Settings, tmp_path: Path) -> None:
    import json

    log = tmp_path / "serve.log"
    with serving(live, log, PARLEX_LOG_LEVEL="DEBUG", PARLEX_LOG_FORMAT="json") as address:
        httpx.get(f"{address}/nowhere", headers={"Request-Id": "mine-1"})
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("request_id") == "mine-1"]
    assert (line["event"], line["path"], line["status"]) == ("answered", "/nowhere", 404)


def test_the_role_is_made_by_hand_where_the_database_is_another_s(live: Settings, tmp_path: Path, db: Session) -> None:
    first = run(live, "db", "grant-web")
    assert (first.returncode, first.stderr) == (0, "")
    assert "let it read bills" in first.stdout.splitlines()
    assert not re.search("api_keys|alerts|notifications", first.stdout)
    assert "nothing was to be done" in run(live, "db", "grant-web").stdout
    with serving(live, tmp_path / "serve.log") as address:
        assert httpx.get(f"{address}/api/v1/bills").status_code == 200
        asked = "select count(*) from pg_stat_activity where usename = current_user and query like '%parlex_web%'"
        assert db.execute(text(asked)).scalar_one() > 0


def test_a_port_that_is_taken_is_one_line(live: Settings, tmp_path: Path) -> None:
    with serving(live, tmp_path / "serve.log") as address:
        port = address.rpartition(":")[2]
        assert port in complaint(run(live, "serve", "--port", port), 2)
