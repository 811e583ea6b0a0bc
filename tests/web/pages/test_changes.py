"""The history on the pages: in words where there are words, and of many lines at once the first ones."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from parlex.local.sandbox import Sandbox
from parlex.resources import Resources
from parlex.runs import alone
from parlex.web.pages.changes import FEW
from tests.web.serving import LAST, serving

BEFORE = "2026-05-01"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(as_of=BEFORE) as sandbox:
        yield sandbox


def test_a_code_is_not_told_beside_its_words(mirror: Resources, sandbox: Sandbox) -> None:
    alone.run_latest(mirror.pipeline, limit=None, dataset="bills")
    sandbox.move(LAST)
    alone.run_latest(mirror.pipeline, limit=None, dataset="bills")
    with serving(mirror) as served, httpx.Client(base_url=served.address) as client:
        lines = client.get("/api/v1/changes?dataset=bills&limit=5000").raise_for_status().json()["data"]
        moved = [one for one in lines if one["field"] == "status_code"]
        assert moved
        words = {(one["key"], one["observed_at"]): one["new"] for one in lines if one["field"] == "status_fr"}
        for one in moved:
            path = f"/fr/projets-de-loi/{one['key'].replace(' ', '/')}"
            whole = client.get(f"{path}/historique").raise_for_status().text
            own = client.get(path).raise_for_status().text
            for page in (own[own.index('id="history"') :], whole):
                assert f"<bdi>{words[one['key'], one['observed_at']]}</bdi>" in page.replace("&#39;", "'")
                assert f"<bdi>{one['new']}</bdi>" not in page
            assert 2 <= len(re.findall("<tr[ >]", own[own.index('id="history"') :])) <= FEW + 1
        changed = client.get("/fr/changements?dataset=bills").raise_for_status().text
        assert not [one for one in moved if f"<bdi>{one['new']}</bdi>" in changed]
