"""A list whose pages overlap, in a run whose workers are killed: nobody is withdrawn by it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from parlex.local.locks import wait_until
from parlex.local.sandbox.faults import Fault
from parlex.local.sandbox.web import Answer
from tests.chaos.conftest import OTHERS
from tests.chaos.crew import BOUND
from tests.chaos.site import SLOW, Result, Site

_WHEN = "- 'first_seen_at' - 'last_changed_at'"
HELD = f"SELECT (to_jsonb(p) {_WHEN})::text FROM politicians p ORDER BY 1"
HISTORY = "SELECT seq, key, kind, field FROM changes ORDER BY seq"


def torn(fault: Fault, answer: Answer) -> Answer:
    """Its first row stands in it twice, and has pushed the last one over the border of the page."""
    page = json.loads(answer.body)
    rows = page["objects"]
    return replace(answer, body=json.dumps(page | {"objects": [rows[0], *rows[:-1]]}).encode(), packed=None)


def fetch(site: Site) -> list[Any]:
    """The statuses of all runs of politicians, once that of another one is over."""
    statuses = "SELECT status FROM fetch_logs WHERE dataset = 'politicians' ORDER BY started_at"
    before = len(site.reader.rows(statuses))
    site.send("parlex.fetch_latest_politicians", "control", limit=None)
    assert wait_until(lambda: len(site.reader.rows(statuses)) > before and site.reader.settled(), BOUND)
    return [status for (status,) in site.reader.rows(statuses)]


@pytest.mark.parametrize("number", OTHERS)
def test_nobody_is_withdrawn_on_a_torn_list(site: Site, number: int) -> None:
    random = Random(number)
    site.begin(random, "new")
    assert fetch(site) == ["success"]
    held, history = site.reader.rows(HELD), site.reader.rows(HISTORY)
    site.sandbox.fault("torn", spoiler=torn, host="openparliament", path=r"/politicians/\?")
    site.sandbox.fault("slow", host="openparliament", path=r"/politicians/[^?]", seconds=SLOW)
    site.reader.rows("UPDATE listings SET fetched_fingerprint = 'older' WHERE dataset = 'politicians'")
    site.reader.rows("DELETE FROM run_keys")
    site.send("parlex.fetch_latest_politicians", "control", limit=None)
    site.reach(random.randrange(1, 200))
    at = time.monotonic()
    for victim in ("fetch", "persist"):
        site.crew[victim].kill(random)
    assert site.reader.settles(site.alive), site.crew_says()
    seconds = round(time.monotonic() - at, 1)
    after, lines = site.reader.rows(HELD), site.reader.rows(HISTORY)
    lost, wrong, more = len(set(held) - set(after)), len(set(after) - set(held)), len(lines) - len(history)
    site.report(Result("a torn list, and kill -9", number, "", lost, wrong, more, 0, seconds, []))
    assert (after, lines) == (held, history)
    assert site.reader.rows("SELECT status FROM fetch_logs ORDER BY started_at")[-1:] == [("partial",)]
    site.sandbox.clear_faults()
    assert fetch(site)[-1] == "success"
    assert site.reader.rows(HISTORY) == history
