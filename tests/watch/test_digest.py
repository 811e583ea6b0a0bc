"""The daily digest: what changed in Parliament, what failed, once, and nothing twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from parlex.db.models import HeartbeatRow
from parlex.resources import Resources
from parlex.settings import Settings, environment
from parlex.watch import alerts, digest, monitor, notify
from tests import rows
from tests.rows import NOON
from tests.webhook import Webhook, serving

DAY = timedelta(days=1)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with serving() as webhook:
        yield webhook


def post(resources: Resources, day: int = 0) -> bool:
    """The digest of a day; whether there was one to post."""
    now = NOON + day * DAY
    to = notify.targets(resources.settings)
    with resources.db() as db:
        overview = monitor.overview(db, now - DAY, now, resources.datasets, resources.settings)
        posted = digest.post(db, resources.datasets, overview, to, occasion=f"digest {now.isoformat()}")
    notify.deliver(resources, to, now=now)
    return posted is not None


def test_what_changed_and_what_failed(make_resources: Callable[..., Resources], db: Session, webhook: Webhook) -> None:
    resources = make_resources(alert_urls=webhook.url)
    db.add_all(
        [
            rows.bill("C-2", short_title_en="Strong Borders Act"),
            rows.bill("C-3", title_en="An Act " + "to amend " * 30),
            rows.bill("S-1"),
            rows.change(1, observed_at=NOON - 2 * DAY, field="status_en", old="long", new="ago"),
            rows.change(2, field="status_en", old="First reading", new="Second reading"),
            rows.change(3, field="status_code", old="a", new="b"),
            rows.change(4, field="status_en", old="Second reading", new="In committee"),
            rows.change(5, key="45-1 C-3", kind="created", field=None),
            rows.change(6, key="45-1 S-1", field="text_url", new="x"),
            rows.change(7, key="45-1 S-2", kind="reparsed", field="text_url"),
            rows.sweep(NOON),
            HeartbeatRow(name="beat", seen_at=NOON),
            rows.run(started_at=NOON - DAY / 2, requests=7),
            rows.run(started_at=NOON - DAY / 4, status="failure", errors=["refused"], failed=2),
        ]
    )
    db.commit()
    alerts.check(make_resources(), NOON)
    assert post(resources)
    [told] = webhook.take()
    assert told["title"] == "Parlex, 10 June 2026"
    assert told["message"].splitlines() == [
        "3 bills changed in Parliament.",
        "",
        "New:",
        "- 45-1 C-3 An Act" + 11 * " to amend" + " to a…",
        "",
        "New status:",
        "- 45-1 C-2 Strong Borders Act: First reading → In committee",
        "1 in other facts; see: parlex changes --dataset bills --after 1",
        "",
        "2 runs of bills in 24 h: 1 success, 1 failure.",
        "7 requests; 2 failed, 0 in quarantine.",
        "Freshness: 1 of 1 promise kept.",
        "Wrong now:",
        "- fetch_latest_bills ended as failure",
    ]


def test_the_other_datasets_are_told_of_after_the_bills(
    make_resources: Callable[..., Resources], db: Session, webhook: Webhook
) -> None:
    """By what each dataset says is news, and in one sequence with the bills."""
    votes, politicians = {"dataset": "votes"}, {"dataset": "politicians"}
    db.add_all(
        [
            rows.bill("C-2"),
            rows.vote(9, result="Passed", description_en="2nd reading of Bill C-2"),
            rows.vote(10, result="Failed", description_en="An amendment"),
            *(rows.politician(slug, name=slug.title()) for slug in ("a", "b", "c", "d", "e")),
            rows.change(1, **votes, key="45-1 10", kind="created", field=None),
            rows.change(2, **politicians, key="b", field="current_party", old="Liberal", new="Independent"),
            rows.change(3, kind="created", field=None),
            rows.change(4, **votes, key="45-1 9", kind="created", field=None),
            rows.change(5, **politicians, key="a", kind="created", field=None),
            rows.change(6, **politicians, key="c", kind="withdrawn", field=None),
            rows.change(7, **politicians, key="d", kind="reappeared", field=None),
            rows.change(8, **politicians, key="e", field="email", old="x", new="y"),
            rows.change(9, **politicians, key="b", field="current_riding", new="Ajax"),
            rows.sweep(NOON),
            rows.sweep(NOON, dataset="votes", source="openparliament"),
            rows.run(dataset="votes", job="fetch_latest_votes", started_at=NOON - DAY / 2, requests=3),
        ]
    )
    db.commit()
    assert post(make_resources(alert_urls=webhook.url))
    told = webhook.take()[0]["message"]
    assert "An Act of C-2\n\n5 politicians changed" in told
    assert [line for line in told.splitlines() if line] == [
        "1 bill changed in Parliament.",
        "New:",
        "- 45-1 C-2 An Act of C-2",
        "5 politicians changed in Parliament.",
        "New:",
        "- a A",
        "New party:",
        "- b B: Liberal → Independent",
        "New riding:",
        "- b B, Ajax",
        "Left the list:",
        "- c C",
        "Back on the list:",
        "- d D",
        "1 in other facts; see: parlex changes --dataset politicians --after 0",
        "2 divisions changed in Parliament.",
        "New:",
        "- 45-1 9 2026-06-10, Passed, 2nd reading of Bill C-2",
        "- 45-1 10 2026-06-10, Failed, An amendment",
        "0 runs of bills in 24 h.",
        "0 requests; 0 failed, 0 in quarantine.",
        "Freshness: 1 of 1 promise kept.",
        "1 run of votes in 24 h: 1 success.",
        "3 requests; 0 failed, 0 in quarantine.",
        "Freshness: 1 of 1 promise kept.",
        "Nothing is wrong.",
    ]


def test_each_change_is_told_once_also_when_a_day_is_missed(
    make_resources: Callable[..., Resources], db: Session, webhook: Webhook
) -> None:
    resources = make_resources(alert_urls=webhook.url)
    db.add_all([rows.bill("C-2"), rows.change(1, kind="created", field=None)])
    db.commit()
    assert post(resources)
    assert not post(resources)
    db.add(rows.change(2, kind="withdrawn", field=None, observed_at=NOON + DAY / 2))
    db.commit()
    assert post(resources, day=3)
    first, second = (told["message"] for told in webhook.take())
    assert ("New:" in first, "Left the list:" in first) == (True, False)
    assert ("New:" in second, "Left the list:" in second) == (False, True)


def test_a_long_list_says_how_much_it_leaves_out(
    make_resources: Callable[..., Resources], db: Session, webhook: Webhook
) -> None:
    resources = make_resources(alert_urls=webhook.url)
    numbers = [f"C-{2 + place}" for place in range(digest.SHOWN + 4)]
    db.add_all(rows.bill(number) for number in numbers)
    db.add_all(
        rows.change(place + 1, key=f"45-1 {number}", kind="created", field=None) for place, number in enumerate(numbers)
    )
    db.commit()
    post(resources)
    assert "- and 4 more; see: parlex changes --dataset bills --after 0" in webhook.take()[0]["message"]


def test_nothing_is_remembered_as_told_while_there_is_nobody_to_tell(
    make_resources: Callable[..., Resources], db: Session, webhook: Webhook
) -> None:
    db.add_all([rows.bill("C-2"), rows.change(1, kind="created", field=None)])
    db.commit()
    assert not post(make_resources())
    assert post(make_resources(alert_urls=webhook.url))
    assert "C-2" in webhook.take()[0]["message"]


def test_only_a_tick_of_the_schedule_posts_it_and_once(
    make_settings: Callable[..., Settings], db: Session, webhook: Webhook
) -> None:
    db.add_all([rows.bill("C-2"), rows.change(1, kind="created", field=None, observed_at=datetime.now(UTC))])
    db.commit()
    code = (
        "from datetime import UTC, datetime\n"
        "from workers import beat, tasks\n"
        "headers = beat.Tick('monitor-fetch-operations', datetime(2026, 6, 10, 3, tzinfo=UTC)).headers()\n"
        "task = tasks.monitor_fetch_operations\n"
        "by_hand = task.apply().get()\n"
        "ticks = [task.apply(headers=headers).get() for _ in range(2)]\n"
        "print(by_hand['runs'], [tick['runs'] for tick in ticks])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(make_settings(alert_urls=webhook.url)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "0 [0, 0]\n", done.stderr
    [told] = webhook.take()
    assert "- 45-1 C-2 An Act of C-2" in told["message"]
