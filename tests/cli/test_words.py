"""``parlex words``: a person names what LEGISinfo newly writes."""

from __future__ import annotations

import json
import re
from typing import Any

from parlex.datasets.bills.bill import BillType, StatusCode
from parlex.local.sandbox import Sandbox
from parlex.local.sandbox.faults import NEW_STATUS
from parlex.resources import Resources
from parlex.runs import alone
from tests.commands import run


def listed(mirror: Resources) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(mirror.settings, "words", "--json").stdout.splitlines()]


def test_a_word_is_shown_named_and_forgotten(sandbox: Sandbox, mirror: Resources) -> None:
    sandbox.fault("new_status", host="legisinfo", share=30)
    alone.run_latest(mirror.pipeline, limit=1000)
    (new,) = listed(mirror)
    assert (new["kind"], new["text"], new["code"]) == ("status", NEW_STATUS, None)
    assert new["records"] > 10

    done = run(mirror.settings, "words", "add", "status", NEW_STATUS, "house_paused")
    assert done.returncode == 0, done.stderr
    assert "house_paused is a code that Parlex did not know" in done.stderr
    assert f"on {new['records']} bills" in done.stderr
    (named,) = listed(mirror)
    assert (named["text"], named["code"]) == (NEW_STATUS, "house_paused")
    assert named["added_by"]
    shown = run(mirror.settings, "bills", "--status", "house_paused", "--json").stdout.splitlines()
    assert len(shown) == new["records"]

    done = run(mirror.settings, "words", "remove", "status", NEW_STATUS)
    assert f"on {new['records']} bills" in done.stderr
    assert listed(mirror) == [new]
    assert len(run(mirror.settings, "bills", "--status", "unknown", "--json").stdout.splitlines()) == new["records"]


def test_what_is_wrong_is_said(mirror: Resources) -> None:
    for arguments in (("remove", "status", "Never named"), ("add", "status", "Bill defeated", "house_paused")):
        done = run(mirror.settings, "words", *arguments)
        assert done.returncode == 2, arguments
        assert len(done.stderr.splitlines()) == 1


def test_the_help_names_every_code(mirror: Resources) -> None:
    told = re.sub(r"\s+", " ", run(mirror.settings, "words", "add", "--help").stdout)
    assert [code for code in (*StatusCode, *BillType) if code not in told] == []
