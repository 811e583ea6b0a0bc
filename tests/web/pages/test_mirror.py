"""The state of the mirror: each problem that the API tells is told in the page's language."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx

from parlex.db.models import HeartbeatRow
from parlex.resources import Resources
from parlex.serving.records import PREFIX
from tests import rows
from tests.web.serving import serving

WORDS = {
    "/en/mirror": ("never fetched", "last sign of life", "abandoned", "were a success", "the last run of", "is stuck"),
    "/fr/miroir": ("jamais été", "signe de vie", "abandonnées", "ont réussi", "la dernière exécution", "est bloquée"),
}


def test_each_problem_is_told_in_the_language_of_the_page(mirror: Resources) -> None:
    before = datetime.now(UTC) - timedelta(hours=8)
    ended = {"started_at": before, "finished_at": before + timedelta(minutes=1), "duration_seconds": 60.0}
    with mirror.db() as db:
        db.add_all(rows.run(status=status, **ended) for status in ["success"] + ["failure"] * 5 + ["abandoned"])
        db.add(rows.run(status="failure", job="fetch_session_bills", **ended))
        db.add(rows.run(status="running", started_at=before, finished_at=None))
        db.merge(HeartbeatRow(name="beat", seen_at=before))
    with serving(mirror) as server, httpx.Client(base_url=server.address) as client:
        problems = client.get(f"{PREFIX}/status").raise_for_status().json()["problems"]
        for path, told in WORDS.items():
            page = client.get(path).raise_for_status().text
            lines = re.findall("<li>(.*?)</li>", page[page.index('<ul class="problems">') :].partition("</ul>")[0])
            assert len(lines) == len(problems) == len(told)
            assert [one for one in told if one not in " ".join(lines)] == []
