"""Alerts from rows to a real webhook: opened once, repeated sparingly, closed with an all-clear, never lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from parlex.db import outbox
from parlex.db.models import AlertRow, HeartbeatRow, NotificationRow, QuarantineRow, RunRow
from parlex.errors import ConfigurationError
from parlex.fetching.throttle import host_of
from parlex.resources import Resources
from parlex.settings import Settings
from parlex.watch import alerts, broker, notify
from tests import rows
from tests.db.test_engine import with_query
from tests.rows import NOON
from tests.webhook import Webhook, serving

MakeResources = Callable[..., Resources]
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with serving() as webhook:
        yield webhook


@pytest.fixture
def resources(make_resources: MakeResources, webhook: Webhook, db: Session) -> Resources:
    """A mirror that was fetched a moment ago and whose beat is alive, with one address to tell."""
    db.add_all([rows.sweep(NOON), rows.run(finished_at=NOON), HeartbeatRow(name="beat", seen_at=NOON)])
    db.commit()
    return make_resources(alert_urls=webhook.url)


def failed(minutes_ago: float, **changes: Any) -> RunRow:
    at = NOON - minutes_ago * MINUTE
    return rows.run(started_at=at, status="failure", entry="hourly", slot=at, errors=["legisinfo: refused"], **changes)


def parked(number: str, **changes: Any) -> QuarantineRow:
    usual = {"dataset": "bills", "scope": "45-1", "key": f"45-1 {number}", "kind": "document", "guard": "malformed"}
    usual |= {"source": "legisinfo", "reason": "no title", "opened_at": NOON, "seen_at": NOON}
    return QuarantineRow(**(usual | changes))


def found_by(resources: Resources, now: Any = NOON) -> set[tuple[str, str]]:
    alerts.check(resources, now)
    with resources.db() as db:
        return {(row.rule, row.subject) for row in alerts.alerts(db)}


# The rules.


def test_nothing_is_wrong(resources: Resources, webhook: Webhook) -> None:
    assert found_by(resources) == set()
    assert webhook.take() == []


def test_a_run_that_failed(resources: Resources, db: Session, webhook: Webhook) -> None:
    run = failed(-1)
    db.add(run)
    db.commit()
    assert found_by(resources) == {("run_failed", "fetch_latest_bills")}
    [told] = webhook.take()
    assert told["title"] == "Parlex: fetch_latest_bills ended as failure"
    assert str(run.run_id)[:8] in told["message"]
    assert "legisinfo: refused" in told["message"]
    assert told["type"] == "warning"


@pytest.mark.parametrize(("last", "in_a_row"), [(3, True), (2, False)])
def test_failures_in_a_row(resources: Resources, db: Session, last: int, in_a_row: bool) -> None:
    db.add_all([failed(-10 * turn - 1) for turn in range(last)])
    db.commit()
    assert (("failing", "fetch_latest_bills") in found_by(resources)) is in_a_row


def test_a_success_between_failures_breaks_the_row(resources: Resources, db: Session) -> None:
    db.add_all([failed(-1), rows.run(started_at=NOON - MINUTE), failed(2), failed(3)])
    db.commit()
    assert ("failing", "fetch_latest_bills") not in found_by(resources)


def test_what_a_person_ended_or_asked_in_vain_is_no_alert(resources: Resources, db: Session) -> None:
    for minute in range(4):
        for status in ("revoked", "refused"):
            at = NOON + minute * MINUTE
            db.add(rows.run(job=status, status=status, errors=["by hand"], entry=status, slot=at, started_at=at))
    db.commit()
    assert found_by(resources) == set()


def test_what_a_person_saw_fail_long_ago_is_no_alert(resources: Resources, db: Session) -> None:
    yesterday = rows.run(job="b", status="failure", started_at=NOON - 25 * HOUR)
    today = rows.run(job="c", status="failure", params={"scope": "44-1"}, started_at=NOON - HOUR)
    db.add_all([yesterday, today])
    db.commit()
    assert found_by(resources) == {("run_failed", "c 44-1")}


@pytest.mark.parametrize("keys", [True, False])
def test_a_failure_names_its_cause_though_the_run_does_not(
    resources: Resources, db: Session, webhook: Webhook, keys: bool
) -> None:
    run = rows.run(status="failure" if keys else "abandoned", started_at=NOON + MINUTE)
    db.add(run)
    db.flush()
    if keys:
        db.add(rows.run_key(run, "45-1 C-2", 0, state="done"))
        db.add(rows.run_key(run, "45-1 C-3", 1, state="failed", error="refused by the guard"))
    db.commit()
    alerts.check(resources, NOON)
    cause = "45-1 C-3: refused by the guard" if keys else "nobody carried it to its end"
    assert cause in webhook.take()[0]["message"]


@pytest.mark.parametrize(
    ("name", "source", "scope", "hours"),
    [
        ("bills", "legisinfo", "45-1", 3),
        ("votes", "openparliament", "45-1", 3),
        ("politicians", "openparliament", "all", 49),
    ],
)
@pytest.mark.parametrize("more", [0, 4])
def test_a_list_of_any_dataset_that_is_stale(
    make_resources: MakeResources, db: Session, name: str, source: str, scope: str, hours: int, more: int
) -> None:
    """Fresh until its threshold, told beyond it; and the setting moves that."""
    resources = make_resources(alert_stale_hours=3 + more)
    db.add_all([rows.sweep(NOON, dataset=name, source=source, scope=scope), rows.run(dataset=name, finished_at=NOON)])
    if name != "bills":
        db.add(rows.sweep(NOON + 90 * HOUR))
    db.commit()
    limit = NOON + (hours + more) * HOUR
    assert found_by(resources, limit) == set()
    assert found_by(resources, limit + MINUTE) == {("stale", name)}


def test_the_bills_count_though_only_others_were_ever_run(make_resources: MakeResources, db: Session) -> None:
    votes = {"dataset": "votes", "source": "openparliament"}
    db.add_all([rows.run(**votes, started_at=NOON), rows.sweep(NOON + 4 * HOUR, **votes)])
    db.commit()
    assert found_by(make_resources(), NOON + 4 * HOUR) == {("stale", "bills")}


def test_a_dataset_that_was_begun_and_never_listed_is_stale(make_resources: MakeResources, db: Session) -> None:
    db.add_all([rows.run(dataset="votes", status="partial", started_at=NOON), rows.sweep(NOON + 4 * HOUR)])
    db.commit()
    assert found_by(make_resources(), NOON + 2 * HOUR) == set()
    assert found_by(make_resources(), NOON + 4 * HOUR) == {("stale", "votes")}


@pytest.mark.parametrize(("hours", "stale"), [(2.9, False), (3.1, True)])
def test_a_session_that_is_stale(resources: Resources, db: Session, hours: float, stale: bool) -> None:
    then = NOON + hours * HOUR
    db.execute(update(HeartbeatRow).values(seen_at=then))
    db.add(rows.sweep(then, believed=False, reason="shrunk"))
    db.commit()
    assert found_by(resources, then) == ({("stale", "bills")} if stale else set())


def test_a_mirror_that_never_believed_a_list_is_stale_too(make_resources: MakeResources, db: Session) -> None:
    db.add(rows.run(status="partial", started_at=NOON - 4 * HOUR))
    db.commit()
    assert found_by(make_resources()) == {("stale", "bills")}


def test_beat_that_is_silent(resources: Resources, db: Session) -> None:
    assert found_by(resources, NOON + 6 * MINUTE) == {("beat_silent", "beat")}


def test_a_run_that_is_stuck(resources: Resources, db: Session) -> None:
    run = rows.run(status="running", started_at=NOON - HOUR, progress_at=NOON - HOUR)
    db.add(run)
    db.commit()
    assert found_by(resources) == {("stuck", str(run.run_id))}


def test_a_queue_that_is_not_worked_off(resources: Resources, redis: Redis, webhook: Webhook) -> None:
    for minutes in (31, 5):
        sent = (NOON - minutes * MINUTE).isoformat()
        redis.lpush("parlex:fetch", json.dumps({"body": "", "headers": {broker.SENT_AT: sent}}))
    redis.lpush("parlex:persist", "not one of ours")
    assert found_by(resources) == {("queue_old", "fetch")}
    assert "2 messages wait, the oldest for 31 min" in webhook.take()[0]["message"]


def test_a_budget_that_stays_exhausted(make_resources: MakeResources, resources: Resources) -> None:
    slow = make_resources(legisinfo_rate=60, alert_urls=None)
    host = host_of(slow.settings.legisinfo_url)
    slow.throttle.block(host, 3600)
    assert found_by(slow) == set()  # so it is at times
    assert found_by(slow, NOON + 4 * MINUTE) == set()
    with slow.db() as db:
        db.execute(update(HeartbeatRow).values(seen_at=NOON + 31 * MINUTE))
    assert found_by(slow, NOON + 31 * MINUTE) == {("budget_exhausted", host)}


@pytest.mark.parametrize(("seconds", "told"), [(3500, False), (30 * 86400, True)])
def test_a_host_that_asked_for_a_long_wait(
    make_resources: MakeResources, resources: Resources, webhook: Webhook, seconds: float, told: bool
) -> None:
    host = host_of(resources.settings.openparliament_url)
    resources.throttle.block(host, seconds)
    assert found_by(resources) == ({("long_wait", host)} if told else set())
    assert [("30 d more" in each["message"]) for each in webhook.take()] == [True] * told


def test_redis_that_is_away_hides_nothing_and_ends_nothing(make_resources: MakeResources, resources: Resources) -> None:
    resources.redis.lpush(
        "parlex:fetch", json.dumps({"headers": {broker.SENT_AT: (NOON - HOUR).isoformat()}, "body": ""})
    )
    assert found_by(resources) == {("queue_old", "fetch")}
    away = make_resources(redis_url="redis://127.0.0.1:1/0", alert_clear_minutes=0)
    assert found_by(away, NOON + MINUTE) == {("queue_old", "fetch")}
    assert found_by(away, NOON + 4 * MINUTE) == {("queue_old", "fetch"), ("redis_away", "redis")}


# From finding to all-clear.


def test_opened_once_repeated_sparingly_closed_with_an_all_clear(
    resources: Resources, db: Session, webhook: Webhook
) -> None:
    db.add(failed(-1))
    db.commit()
    titles: list[str] = []
    for minute in range(0, 14 * 60, 10):
        now = NOON + minute * MINUTE
        db.add(rows.sweep(now))
        db.execute(update(HeartbeatRow).values(seen_at=now))
        db.commit()
        alerts.check(resources, now)
        titles += [told["title"] for told in webhook.take()]
    assert titles == [
        "Parlex: fetch_latest_bills ended as failure",
        "Parlex: still fetch_latest_bills ended as failure",
    ]
    now = NOON + 14 * HOUR
    db.add_all([rows.run(started_at=now), rows.sweep(now)])
    db.execute(update(HeartbeatRow).values(seen_at=now))
    db.commit()
    alerts.check(resources, now)
    assert webhook.take() == []  # well, but only just
    alerts.check(resources, now + 5 * MINUTE)
    [told] = webhook.take()
    assert (told["title"], told["type"]) == ("Parlex: over: fetch_latest_bills ended as failure", "success")
    assert "lasted 14.1 h" in told["message"]
    db.expire_all()
    assert [row.closed_at for row in alerts.alerts(db, closed=True)] == [now + 5 * MINUTE]


def test_quarantine_is_news_again_when_it_grows(resources: Resources, db: Session, webhook: Webhook) -> None:
    def told_with(*more: QuarantineRow) -> list[str]:
        db.add_all(more)
        db.commit()
        alerts.check(resources, NOON)
        return [told["title"] for told in webhook.take()]

    assert told_with(parked("C-2"), parked("C-3")) == ["Parlex: 2 in quarantine of bills"]
    assert told_with() == []
    assert told_with(parked("C-4")) == ["Parlex: 3 in quarantine of bills"]
    db.execute(update(QuarantineRow).where(QuarantineRow.key != "45-1 C-2").values(state="rejected"))
    assert told_with() == []
    assert told_with(parked("C-5")) == ["Parlex: 2 in quarantine of bills"]


def test_all_that_one_check_finds_is_one_message_the_worst_first(
    resources: Resources, db: Session, webhook: Webhook
) -> None:
    db.add_all([failed(-turn) for turn in range(1, 4)])
    db.commit()
    alerts.check(resources, NOON + 4 * HOUR)
    [told] = webhook.take()
    assert (told["title"], told["type"]) == ("Parlex: 4 problems", "failure")
    assert told["message"].index("in a row") < told["message"].index("ended as failure")


def test_without_an_address_alerts_open_and_are_told_once_there_is_one(
    make_resources: MakeResources, resources: Resources, db: Session, webhook: Webhook
) -> None:
    db.add(failed(-1))
    db.commit()
    silent = make_resources()
    assert [row.rule for row in alerts.check(silent, NOON).opened] == ["run_failed"]
    assert not alerts.check(silent, NOON + MINUTE)
    alerts.check(resources, NOON + 2 * MINUTE)
    assert len(webhook.take()) == 1


# Delivery.


def test_what_does_not_arrive_is_tried_again_later_and_arrives_once(
    resources: Resources, db: Session, webhook: Webhook
) -> None:
    db.add(failed(-1))
    db.commit()
    webhook.status = 500
    alerts.check(resources, NOON)
    [waiting] = notify.waiting(db)
    assert (waiting.attempt, waiting.given_up) == (1, False)
    assert "500" in str(waiting.error)
    webhook.status = 200
    alerts.check(resources, NOON + MINUTE / 2)
    assert webhook.take() == []  # not yet due
    alerts.check(resources, NOON + MINUTE)
    alerts.check(resources, NOON + 3 * MINUTE)
    assert [told["title"] for told in webhook.take()] == ["Parlex: fetch_latest_bills ended as failure"]
    db.rollback()
    assert notify.waiting(db) == []


def test_a_deaf_address_does_not_keep_the_others_from_hearing(
    make_resources: MakeResources, resources: Resources, db: Session, webhook: Webhook
) -> None:
    both = make_resources(alert_urls=f"json://127.0.0.1:1/away-secret, {webhook.url}")
    db.add(failed(-1))
    db.commit()
    alerts.check(both, NOON)
    assert len(webhook.take()) == 1
    alerts.check(both, NOON + MINUTE)
    assert webhook.take() == []


def test_what_is_given_up_after_a_day_stays_to_be_seen(resources: Resources, db: Session, webhook: Webhook) -> None:
    with resources.db() as writing:
        to = notify.targets(resources.settings)
        notify.put(writing, "test", notify.Message("info", "title", "body"), to, now=NOON)
    webhook.status = 404
    with capture_logs() as lines:
        for hours in (0, 12, 25, 26):
            notify.deliver(resources, to, now=NOON + hours * HOUR)
    [lost] = notify.waiting(db)
    assert (lost.given_up, lost.attempt) == (True, 3)
    assert [line["log_level"] for line in lines] == ["warning", "warning", "error"]
    assert outbox.counts(db, NotificationRow) == (0, 1)


def test_a_sender_that_died_is_followed_by_the_next(resources: Resources, db: Session, webhook: Webhook) -> None:
    to = notify.targets(resources.settings)
    with resources.db() as writing:
        notify.put(writing, "test", notify.Message("info", "title", "body"), to, now=NOON)
    # It took the message into its hands, and was never heard of again.
    db.execute(update(NotificationRow).values(attempt=1, next_attempt_at=NOON + notify.LEASE))
    db.commit()
    assert notify.deliver(resources, to, now=NOON) == (0, 0)
    assert notify.deliver(resources, to, now=NOON + notify.LEASE) == (1, 0)


def test_no_row_and_no_error_holds_the_secret(resources: Resources, db: Session, webhook: Webhook) -> None:
    db.add(failed(-1))
    db.commit()
    webhook.status = 500
    alerts.check(resources, NOON)
    [row] = db.scalars(select(NotificationRow))
    assert "hush" not in " ".join(str(value) for value in vars(row).values())
    assert "hush" not in repr(resources.settings)


def test_an_address_that_nobody_can_read_is_named_by_its_place(make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigurationError, match="PARLEX_ALERT_URLS: address 2") as error:
        notify.targets(make_settings(alert_urls="json://127.0.0.1:1/x nonsense://hush"))
    assert "hush" not in str(error.value)


def test_two_checks_at_once_tell_once(resources: Resources, db: Session, webhook: Webhook) -> None:
    db.add(failed(-1))
    db.commit()
    with resources.db() as other:
        other.execute(select(alerts.lock()))
        assert not alerts.check(resources, NOON)
    assert webhook.take() == []


# Who watches from outside.


@pytest.mark.parametrize("cause", ["the database does not answer (connection", "the database is read-only"])
def test_a_database_that_is_away_or_read_only_is_told_once_and_so_is_its_end(
    cause: str, make_resources: MakeResources, resources: Resources, database: str, webhook: Webhook
) -> None:
    url = "postgresql+psycopg2://parlex@127.0.0.1:1/parlex"
    if "read-only" in cause:
        url = with_query(database, options="-cdefault_transaction_read_only=on")
    watch = alerts.Watch(make_resources(database_url=url, alert_urls=webhook.url))
    assert [watch.look(NOON + minute * MINUTE) for minute in range(6)] == [False] * 6
    [told] = webhook.take()
    assert told["title"] == "Parlex: the database cannot be used"
    assert cause in told["message"]
    back = alerts.Watch(resources)
    back.told |= watch.told
    assert back.look(NOON)
    assert back.look(NOON + MINUTE)
    assert [told["type"] for told in webhook.take()] == ["success"]


def test_what_the_settings_no_longer_keep_is_deleted(resources: Resources, db: Session) -> None:
    usual = {"subject": "x", "severity": "warning", "headline": "", "detail": "", "level": 1, "seen_at": NOON}
    old, open_ = (
        AlertRow(rule=rule, since=NOON, opened_at=NOON, closed_at=closed, **usual)
        for rule, closed in (("a", NOON - HOUR), ("b", None))
    )
    db.add_all([old, open_])
    db.flush()
    assert alerts.prune(db, NOON) == 1
    assert [row.rule for row in alerts.alerts(db, closed=True)] == ["b"]
