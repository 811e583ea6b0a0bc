"""/metrics over HTTP, and the dashboard and the alert rules made for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from sqlalchemy.orm import Session

from parlex.db.models import HeartbeatRow, QuarantineRow
from parlex.fetching.throttle import host_of
from parlex.resources import Resources
from parlex.watch import alerts, broker, metrics
from tests import rows

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
MINUTE = timedelta(minutes=1)

Found = dict[tuple[str, ...], float]


def scrape(resources: Resources) -> dict[str, Found]:
    """Metric to labels' values to value."""
    with metrics.serving(resources) as port:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").raise_for_status().text
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


@pytest.fixture
def resources(make_resources: Callable[..., Resources]) -> Resources:
    return make_resources(legisinfo_rate=60)


@pytest.fixture
def busy(resources: Resources, db: Session, redis: Redis) -> Resources:
    """A mirror with something of everything."""
    now = datetime.now(UTC)
    parked = {"dataset": "bills", "kind": "document", "guard": "malformed", "source": "legisinfo", "reason": "x"}
    db.add_all(
        [
            rows.sweep(now - 10 * MINUTE),
            rows.sweep(now - 5 * MINUTE, believed=False),
            rows.sweep(now - 90 * MINUTE, scope="44-1", is_current=False),
            rows.sweep(now - 170 * MINUTE, dataset="votes", source="openparliament"),
            rows.run(
                dataset="politicians",
                job="all",
                status="running",
                started_at=now - 40 * MINUTE,
                progress_at=now - 40 * MINUTE,
            ),
            rows.run(started_at=now - MINUTE, finished_at=now - MINUTE, requests=7, bytes=100, failed=1),
            rows.run(started_at=now - 2 * MINUTE, status="failure", requests=2, bytes=10),
            rows.run(started_at=now - timedelta(days=2), status="failure", requests=1000),
            QuarantineRow(**parked, opened_at=now, seen_at=now),
            HeartbeatRow(name="beat", seen_at=now - MINUTE),
            HeartbeatRow(name="beat host:7", seen_at=now - 2 * MINUTE),
            HeartbeatRow(name="stranger 0c0d", seen_at=now - 20 * MINUTE),
            rows.change(3),
        ]
    )
    db.commit()
    for minutes in (20, 10):
        sent = (now - minutes * MINUTE).isoformat()
        redis.lpush("parlex:fetch", json.dumps({"headers": {broker.SENT_AT: sent}, "body": ""}))
    redis.hset("parlex:unacked", "tag", "[]")
    redis.zadd("parlex:unacked_index", {"tag": now.timestamp() - 30})
    resources.throttle.block(host_of(resources.settings.openparliament_url), 7200)
    alerts.check(resources)
    return resources


def near(seconds: float) -> Any:
    """Now moves on while a test runs; it may take a while on a busy machine."""
    return pytest.approx(seconds, abs=60)


def test_each_number_is_what_the_rows_and_the_broker_say(busy: Resources) -> None:
    found = scrape(busy)
    assert found["parlex_session_freshness_seconds"] == {
        ("bills", "45-1", "legisinfo"): near(600),
        ("bills", "44-1", "legisinfo"): near(5400),
        ("votes", "45-1", "openparliament"): near(170 * 60),
    }
    assert found["parlex_list_age_seconds"] == {("bills",): near(600), ("votes",): near(170 * 60)}
    assert found["parlex_list_stale_after_seconds"] == {
        ("bills",): 3 * 3600,
        ("politicians",): 49 * 3600,  # begun, and never listed
        ("votes",): 3 * 3600,
    }
    assert found["parlex_stuck_runs"] == {("bills",): 0, ("politicians",): 1, ("votes",): 0}
    assert found["parlex_last_success_timestamp_seconds"] == {
        ("fetch_latest_bills",): near(datetime.now(UTC).timestamp() - 60)
    }
    job = "fetch_latest_bills"
    other = {("all",): 0}
    assert found["parlex_runs_last_day"] == {(job, "success"): 1, (job, "failure"): 1, ("all", "running"): 1}
    assert found["parlex_requests_last_day"] == {(job,): 9, **other}
    assert found["parlex_bytes_last_day"] == {(job,): 110, **other}
    assert found["parlex_failed_bills_last_day"] == {(job,): 1, **other}
    assert found["parlex_quarantine_open"] == {("bills", "malformed"): 1}
    assert found["parlex_heartbeat_age_seconds"] == {("beat",): near(60)}
    assert found["parlex_beat_age_seconds"] == {("host:7",): near(120)}
    assert found["parlex_stranger_age_seconds"] == {("0c0d",): near(1200)}
    assert found["parlex_last_change_seq"] == {(): 3}
    assert found["parlex_queue_messages"] == {("control",): 0, ("deliver",): 0, ("fetch",): 2, ("persist",): 0}
    assert found["parlex_queue_oldest_seconds"] == {
        ("control",): 0,
        ("deliver",): 0,
        ("fetch",): near(1200),
        ("persist",): 0,
    }
    assert found["parlex_unacked_messages"] == {(): 1}
    assert found["parlex_unacked_oldest_seconds"] == {(): near(30)}
    assert found["parlex_alerts_open"]["quarantine", "warning"] == 1
    assert found["parlex_alerts_open"]["stale", "failure"] == 0
    assert found["parlex_up"] == {("database",): 1, ("redis",): 1}
    assert found["parlex_host_wait_seconds"] == {
        (host_of(busy.settings.legisinfo_url),): 0,
        (host_of(busy.settings.openparliament_url),): near(7200),
    }
    assert set(found["parlex_budget_left_requests"]) == {(host_of(busy.settings.legisinfo_url),)}


def test_the_keys_are_those_that_kombu_writes(resources: Resources, redis: Redis, redis_url: str) -> None:
    """By a real message, through the application's own settings."""
    import celeryconfig
    from workers.tasks import app

    assert tuple(queue.name for queue in celeryconfig.task_queues) == broker.QUEUES
    with app.connection_for_write(redis_url) as connection:
        app.send_task("parlex.fetch_bills", ("run", []), queue="fetch", connection=connection, ignore_result=True)
        seen = broker.look(redis, datetime.now(UTC))
        assert {queue.name: queue.depth for queue in seen.queues} == {
            "control": 0,
            "deliver": 0,
            "fetch": 1,
            "persist": 0,
        }
        assert seen.queues[1].oldest_seconds == near(0)
        with connection.SimpleQueue("fetch") as queue:
            held = queue.get(timeout=10)
            seen = broker.look(redis, datetime.now(UTC))
            assert (seen.queues[1].depth, seen.unacked) == (0, 1)
            assert seen.unacked_oldest_seconds == near(0)
            held.ack()


@pytest.mark.parametrize(
    ("gone", "part"),
    [
        ({"database_url": "postgresql+psycopg2://parlex@127.0.0.1:1/parlex"}, "database"),
        ({"redis_url": "redis://127.0.0.1:1/0"}, "redis"),
    ],
)
def test_the_rest_is_told_while_one_part_is_away(
    make_resources: Callable[..., Resources], gone: dict[str, str], part: str
) -> None:
    found = scrape(make_resources(**gone))
    assert found["parlex_up"] == {("database",): part != "database", ("redis",): part != "redis"}
    assert ("parlex_last_change_seq" in found) is (part == "redis")
    assert ("parlex_unacked_messages" in found) is (part == "database")


def test_health_and_nothing_else(resources: Resources) -> None:
    with metrics.serving(resources) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404


# The files.


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    return loaded


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield from (rule["expr"] for rule in rules())


def test_every_metric_of_the_files_is_served_with_those_labels(busy: Resources) -> None:
    found = scrape(busy)
    labels: dict[str, set[str]] = {}
    with metrics.serving(busy) as port:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    for family in text_string_to_metric_families(text):
        labels[family.name] = {name for sample in family.samples for name in sample.labels}
    for expression in expressions():
        used = re.findall(r"\b(parlex_\w+)(?:\{([^}]*)\})?", expression)
        assert used, expression
        for name, selector in used:
            assert name in found, f"{expression}: no metric {name}"
            assert set(re.findall(r"(\w+)\s*[=!]", selector)) <= labels[name], expression


def test_every_metric_is_on_the_dashboard(busy: Resources) -> None:
    shown = " ".join(target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ()))
    missing = {name for name in scrape(busy) if not re.search(rf"\b{name}\b", shown)}
    assert not missing


def test_the_dashboard_can_be_imported_anywhere() -> None:
    board = dashboard()
    assert (board["id"], board["uid"]) == (None, "parlex")
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert 0 <= panel["gridPos"]["x"] <= 24 - panel["gridPos"]["w"]
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource"]


def test_every_alert_rule_says_how_bad_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} <= set(rule["annotations"])
        assert re.fullmatch(r"\d+[mh]", rule["for"])
