"""Clients that poll each bill through the life of a session: a body is sent where something changed, and else a 304."""

from __future__ import annotations

from datetime import date

import httpx
from sqlalchemy import text

from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from tests.conformance.conftest import StandIn
from tests.conformance.test_replay import expected_by_day
from tests.web.serving import serving

SESSION = SessionId(43, 1)
HOURS = 24  # polls of a bill a day


def test_polls_through_the_life_of_a_session(replay: StandIn, mirror: Resources) -> None:
    """The days as recorded, each an hourly fetch. What is polled again on the same day has not changed."""
    days = sorted(expected_by_day())
    tags: dict[str, str] = {}
    sent = unchanged = seen = 0
    with serving(mirror) as served, httpx.Client(base_url=served.address) as client:
        for day in days:
            replay.as_of(day)
            with mirror.db() as db:
                before = db.execute(text("SELECT max(seq) FROM changes")).scalar() or 0
            assert alone.run_session(mirror.pipeline, SESSION).status == "success"
            served.wait_for(mirror)
            with mirror.db() as db:
                changed = db.execute(
                    text("SELECT DISTINCT key FROM changes WHERE dataset = 'bills' AND seq > :seq"), {"seq": before}
                )
                moved = {key for (key,) in changed}
                held = list(
                    db.execute(text("SELECT parliament || '-' || session || ' ' || number FROM bills")).scalars()
                )
            for key in held:
                known = {"If-None-Match": tags[key]} if key in tags else {}
                answer = client.get(f"/api/v1/bills/{key.replace(' ', '/')}", headers=known)
                if key in tags:
                    sent += answer.status_code == 200
                    unchanged += answer.status_code == 304
                    assert (answer.status_code == 200) == (key in moved), (day, key)
                tags[key] = answer.headers["etag"]
            seen += len(held)
    lived = (date.fromisoformat(days[-1]) - date.fromisoformat(days[0])).days + 1
    polls = seen * HOURS * lived // len(days)
    print(
        f"{len(days)} recorded days of {lived}: {sent} sent, {unchanged} unchanged; {1 - sent / polls:.4%} of {polls}"
    )
    assert sent / polls <= 0.01
