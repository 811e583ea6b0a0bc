"""What Flower tells beside what the workers say."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from redis import Redis
from sqlalchemy.orm import Session

from parlex.local.locks import wait_until
from parlex.runs import schedule
from parlex.settings import Settings
from tests.test_door import CREDENTIALS, program, worker
from tests.workers.test_logs import answer

VOTES = "fetch-latest-votes-hourly"


@pytest.mark.live
def test_flower_shows_what_is_paused_and_since_when_below_the_schedule(
    make_settings: Callable[..., Settings], db: Session, redis: Redis, log: Path, free_port: int
) -> None:
    settings = make_settings(flower_basic_auth=":".join(CREDENTIALS))

    def row(client: httpx.Client) -> str:
        page = html.unescape(answer(client, "/worker/door@test"))
        found = re.search(r">beat_schedule_changes</a></td>\s*<td[^>]*>(.*?)</td>", page)
        return found[1] if found else ""

    with (
        worker(settings, log),
        program(settings, log, "flower", "--address=127.0.0.1", f"--port={free_port}"),
        httpx.Client(base_url=f"http://127.0.0.1:{free_port}", auth=CREDENTIALS, timeout=30) as client,
    ):
        assert wait_until(lambda: row(client) == "none", 60, every=0.2), log.read_text()
        schedule.pause(db, VOTES)
        schedule.move(db, "prune", "50 * * * *")
        db.commit()
        since = schedule.overrides(db)[VOTES].paused_at
        told = f"{VOTES} is paused since {since:%Y-%m-%d %H:%M} UTC; prune is at '50 * * * *'"
        assert wait_until(lambda: row(client) == told, 60, every=0.2), row(client)
        page = client.get("/worker/door@test").text
        assert page.index(">beat_schedule<") < page.index(">beat_schedule_changes<") < page.index(">beat_scheduler<")
