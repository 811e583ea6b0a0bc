"""Sources at their worst, through a whole run: each fault ends as a named error in the log, the other bills land, and
memory stays bounded. What the client and the parsers do with each alone is in test_http.py and tests/sources.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from sqlalchemy import select

from parlex.db.models import BillRow, RunRow
from parlex.local.sandbox import Sandbox
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.runs import reads as run_reads
from parlex.settings import Settings, environment
from tests.sandbox_faults import fault as add_fault

SESSION = SessionId(45, 1)
BILLS = 60
VICTIM = r"/bill/45-1/c-11/json"

# How a source goes wrong, and how the log names it. The session's run is over when its retries are spent.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "429 without Retry-After": ({"kind": "rate_limit"}, "answered 429"),
    "503": ({"kind": "error"}, "answered 503"),
    "500": ({"kind": "error", "status": 500}, "answered 500"),
    "520": ({"kind": "error", "status": 520}, "answered 520"),
    "404": ({"kind": "error", "status": 404}, "answered 404"),
    "hang": ({"kind": "slow", "seconds": 30}, "ReadTimeout"),
    "reset": ({"kind": "reset"}, "did not answer"),
    "cut body": ({"kind": "cut"}, "did not answer"),
    "HTML with 200": ({"kind": "html_200"}, "text/html"),
    "invalid JSON": ({"kind": "garbage"}, "JSON|Expected `array`"),
    "endless redirect": ({"kind": "redirect_loop"}, "redirects more than"),
    "a body of 200 MB": ({"kind": "huge"}, "is larger than"),
    "a gzip bomb": ({"kind": "gzip_bomb"}, "is larger than"),
    "wrong charset": ({"kind": "charset"}, "UTF-8"),
    "deep nesting": ({"kind": "deep"}, "nested too deeply|Expected `object`, got `array`"),
    "huge integers": ({"kind": "big_numbers"}, "out of range"),
    "NUL in a title": ({"kind": "nul"}, "control character"),
}


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(world: Sandbox) -> Sandbox:
    world.reset()
    return world


@pytest.fixture
def mirror(sandbox: Sandbox, make_resources: Callable[..., Resources]) -> Resources:
    return make_resources(
        legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url, read_timeout=1
    )


def story(mirror: Resources) -> run_reads.RunStory:
    with mirror.db() as db:
        run_id = db.scalars(select(RunRow.run_id).order_by(RunRow.started_at.desc()).limit(1)).one()
        found = run_reads.run_story(db, run_id)
    assert found is not None
    return found


def held(mirror: Resources) -> set[str]:
    with mirror.db() as db:
        return set(db.scalars(select(BillRow.number)))


@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_bill_is_named_and_its_neighbours_land(mirror: Resources, sandbox: Sandbox, fault: str) -> None:
    options, named = FAULTS[fault]
    add_fault(sandbox, host="legisinfo", path=VICTIM, **options)
    figures = alone.run_session(mirror.pipeline, SESSION)
    assert (figures.status, figures.created, figures.failed) == ("partial", BILLS - 1, 1)
    found = story(mirror)
    (failed,) = [key for key in found.keys if key.outcome == "failed"]
    assert failed.key == "45-1 C-11"
    assert failed.error
    assert re.search(named, failed.error), failed.error
    assert any(re.search(named, error) for error in found.run.errors)
    assert len(failed.error) < 1000
    assert "\n" not in failed.error
    assert len(held(mirror)) == BILLS - 1
    # When the source is well again, so is the bill.
    sandbox.clear_faults()
    again = alone.run_session(mirror.pipeline, SESSION)
    assert (again.status, again.created) == ("success", 1)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name not in ("404", "500", "520")])
def test_a_bad_list_of_the_spine_is_named_and_changes_nothing(mirror: Resources, sandbox: Sandbox, fault: str) -> None:
    alone.run_session(mirror.pipeline, SESSION)
    before = held(mirror)
    options, named = FAULTS[fault]
    sandbox.advance()
    add_fault(sandbox, host="legisinfo", path="/bills/json", **options)
    figures = alone.run_session(mirror.pipeline, SESSION)
    assert (figures.status, figures.bills_fetched) == ("failure", 0)
    errors = story(mirror).run.errors
    assert any(re.search(named, error) for error in errors), errors
    assert all(len(error) < 1000 and "\n" not in error and "\0" not in error for error in errors)
    assert held(mirror) == before


@pytest.mark.parametrize(
    "fault",
    [
        "429 without Retry-After",
        "hang",
        "HTML with 200",
        "endless redirect",
        "endless next_url",
        "a gzip bomb",
        "deep nesting",
    ],
)
def test_a_bad_companion_costs_no_bill(mirror: Resources, sandbox: Sandbox, fault: str) -> None:
    options, named = FAULTS.get(fault, ({"kind": "endless_pages"}, "page"))
    add_fault(sandbox, host="openparliament", path=r"^/bills/\?", **options)
    figures = alone.run_session(mirror.pipeline, SESSION)
    assert (figures.status, figures.created) == ("partial", BILLS)
    errors = story(mirror).run.errors
    assert any(re.search(named, error) for error in errors), errors
    assert sandbox.stats()["openparliament"]["requests"] < 3 * BILLS


def test_what_a_source_asks_us_to_wait_is_waited_and_costs_no_bill(mirror: Resources, sandbox: Sandbox) -> None:
    """In seconds, and as a date."""
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    sandbox.fault("rate_limit", host="legisinfo", path=VICTIM, first=2, retry_after=1)
    sandbox.fault("rate_limit", host="legisinfo", path=r"/c-14/json", first=1, retry_after=soon)
    sandbox.fault("error", host="openparliament", path=r"/C-16/", first=3)
    figures = alone.run_session(mirror.pipeline, SESSION)
    assert (figures.created, figures.failed) == (BILLS, 0)


RUN = """
import json, re
from parlex.local.embedded import resolve
from parlex.parliament import SessionId
from parlex.resources import Resources
from parlex.runs import alone
from parlex.settings import load
settings = load()
mirror = Resources(settings, resolve(settings))
figures = alone.run_session(mirror.pipeline, SessionId(45, 1))
mirror.close()
# Not ru_maxrss: that begins with what the process that started this one held.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
print(json.dumps({"peak": peak, **figures.to_dict()}))
"""


def peak_of_a_run(settings: Settings) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", RUN], env=environment(settings), capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("kind", ["huge", "gzip_bomb", "deep"])
def test_memory_stays_under_the_cap(make_settings: Callable[..., Settings], sandbox: Sandbox, kind: str) -> None:
    """Sixteen threads meet a monster each, 200 MB on the wire or unpacked: 3.2 GB, if they were taken."""
    settings = make_settings(
        legisinfo_url=sandbox.legisinfo_url,
        openparliament_url=sandbox.openparliament_url,
        max_body_bytes=4 * 1024 * 1024,
    )
    add_fault(sandbox, kind, host="legisinfo", path=r"/bill/45-1/c-[12]\d?/json", first=16)
    figures = peak_of_a_run(settings)
    assert figures["status"] == "partial"
    assert figures["failed"] >= 10
    assert figures["created"] == BILLS - figures["failed"]
    # Python with all of it imported takes 100 MB, the bodies of sixteen threads may take twice their cap.
    assert figures["peak"] < 350 * 1024, f"{figures['peak'] / 1024:.0f} MB"
