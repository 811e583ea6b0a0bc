"""JSON lines are JSON from the first byte, whichever program writes them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery
from honcho.environ import parse_procfile
from redis import Redis

from parlex.local.locks import wait_until
from parlex.settings import Settings
from tests.test_door import CREDENTIALS, program, publish, worker
from tests.test_structure import ROOT

# How each begins, without and with the banner that Celery prints unless it is told not to.
BEGINNINGS = {
    "worker-control": " ready.",
    "beat": "beat: Starting",
    "flower": "Visit me at",
}


def lines(log: Path) -> list[dict[str, Any]]:
    """Every line that was written; fails on the first that is no JSON."""
    found = []
    for line in log.read_text().splitlines():
        assert line.startswith("{"), f"no JSON: {line!r}"
        found.append(json.loads(line))
    return found


@pytest.mark.live
@pytest.mark.parametrize("process", BEGINNINGS)
def test_every_program_of_the_procfile_writes_json_only(
    process: str, make_settings: Callable[..., Settings], redis: Redis, log: Path, free_port: int
) -> None:
    command = parse_procfile((ROOT / "Procfile").read_text()).processes[process]
    words = [word for word in shlex.split(command.partition("-A workers.app ")[2]) if "$" not in word]
    options = {"worker-control": ["-P", "solo"], "flower": [f"--port={free_port}", "--address=127.0.0.1"]}
    settings = make_settings(log_format="json", keep_house_seconds=1, flower_basic_auth=":".join(CREDENTIALS))
    words = [word for word in words if word != "-c"]
    with program(settings, log, *words, *options.get(process, []), quiet="celery -q " in command):
        assert wait_until(lambda: BEGINNINGS[process] in log.read_text(), 60), log.read_text()
        if process == "beat":
            assert wait_until(lambda: "keep-house" in log.read_text(), 60), log.read_text()
    told = lines(log)
    assert told
    assert {"event", "level", "timestamp", "logger"} <= set.intersection(*(set(line) for line in told))


@pytest.mark.live
def test_each_line_of_a_task_names_it(make_settings: Callable[..., Settings], redis: Redis, log: Path) -> None:
    settings = make_settings(log_format="json")
    with worker(settings, log):
        publish(settings, "parlex.prune")
        publish(settings, "parlex.fetch_latest_bills", -1)
        assert wait_until(lambda: "succeeded in" in log.read_text() and "UsageError" in log.read_text(), 60)
    of_tasks = [line for line in lines(log) if line["event"].startswith("Task ")]
    assert {line["task"] for line in of_tasks} == {"parlex.prune", "parlex.fetch_latest_bills"}
    assert all(line["task_id"] for line in of_tasks)


@pytest.mark.live
def test_flower_shows_arguments_and_neither_housekeeping_nor_ghosts(
    make_settings: Callable[..., Settings], redis: Redis, redis_url: str, log: Path, free_port: int
) -> None:
    settings = make_settings(flower_basic_auth=":".join(CREDENTIALS))
    command = parse_procfile((ROOT / "Procfile").read_text()).processes["flower"]
    columns = next(word for word in shlex.split(command) if word.startswith("--tasks_columns="))
    with (
        worker(settings, log),
        program(settings, log, "flower", "--address=127.0.0.1", f"--port={free_port}", columns),
        httpx.Client(base_url=f"http://127.0.0.1:{free_port}", auth=CREDENTIALS, timeout=30) as client,
    ):
        assert wait_until(lambda: "door@test" in answer(client, "/api/workers?status=1"), 60, every=0.2)
        publish(settings, "parlex.keep_house")
        sender = Celery("sender", broker=redis_url)
        sender.conf.broker_transport_options = {"global_keyprefix": "parlex:"}
        sender.send_task("parlex.fetch_session_bills", (44, 1), {"limit": 3}, queue="control")
        sender.close()
        publish(settings, "parlex.prune")
        assert wait_until(lambda: "parlex.prune" in answer(client, "/api/tasks"), 60, every=0.2), log.read_text()
        found = {task["name"]: task for task in client.get("/api/tasks").json().values()}
        workers = client.get("/api/workers?status=1").json()
        page = client.get("/tasks").text
    assert "parlex.keep_house" not in found
    asked = found["parlex.fetch_session_bills"]
    assert (asked["args"], asked["kwargs"]) == ("(44, 1)", "{'limit': 3}")
    assert set(workers) == {"door@test"}
    assert all(f">{label}<" in re.sub(r"\s", "", page) for label in ("Name", "args", "kwargs")), page


def answer(client: httpx.Client, path: str) -> str:
    try:
        return client.get(path).text
    except httpx.TransportError:
        return ""
