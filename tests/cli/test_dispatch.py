"""What is sent to the workers is watched by its rows."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from parlex.db.models import RunRow
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.settings import Settings
from tests.chaos.proxy import Proxy
from tests.commands import complaint, run, seen_on_a_terminal, under_way

pytestmark = pytest.mark.live


def test_workers_are_told_of_by_bars_that_are_true(live: Settings, sandbox: Sandbox, worker: None) -> None:
    """Of two sessions, the first waits for its list while the second is fetched."""
    sandbox.fault("slow", host="legisinfo", path="parlsession=45-1", seconds=4)
    code, lines = seen_on_a_terminal(live, "backfill", "45-1", "44-1", "--dispatch")
    assert code == 0
    first, second = ([line for line in lines if line.startswith(name)] for name in ("45-1", "44-1"))
    assert first[-1].endswith("60 done  0 left")
    assert second[-1].endswith("14 done  0 left")
    ended = next(number for number, line in enumerate(lines) if line == second[-1])
    assert any(line.startswith("45-1") and line.endswith("asking for the list") for line in lines[ended:])


def test_an_unknown_session_stops_no_other_of_the_workers(live: Settings, worker: None) -> None:
    done = run(live, "backfill", "99-1", "44-1", "--dispatch", "--json")
    assert "99-1" in complaint(done, 2)
    assert json.loads(done.stdout)["created"] == 14
    assert "99-1" in complaint(run(live, "fetch", "--session", "99-1", "--dispatch"), 2)


def test_dispatch_without_workers_says_so(live: Settings) -> None:
    assert "parlex up" in complaint(run(live, "fetch", "--dispatch"), 1)


def test_a_fetch_that_fails_says_why(live: Settings, sandbox: Sandbox, worker: None) -> None:
    sandbox.fault("html_200", host="legisinfo", path="parlsession=44-1")
    done = run(live, "backfill", "44-1", "--dispatch", "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (1, "failure")
    assert any(line.startswith("44-1: ") and "legisinfo" in line for line in done.stderr.splitlines())


def test_a_redis_that_goes_away_ends_no_watching(live: Settings, sandbox: Sandbox, worker: None, db: Session) -> None:
    """For the process that watches it is gone for good; the rows tell all there is to tell."""
    sandbox.fault("slow", host="legisinfo", path="parlsession=44-1", seconds=3)
    with ExitStack() as stack:
        address = urlsplit(live.redis_url.get_secret_value()) if live.redis_url else None
        assert address is not None
        assert address.port is not None
        proxy = stack.enter_context(Proxy(address.port))
        there = address.netloc.replace(f":{address.port}", f":{proxy.port}")
        changes = {"REDIS_URL": address._replace(netloc=there).geturl()}
        with under_way(live, "backfill", "44-1", "--dispatch", "--json", **changes) as process:
            assert wait_until(lambda: is_asking(db), 60)
            stack.close()
            out, err = process.communicate(timeout=90)
    assert (process.returncode, json.loads(out)["created"]) == (0, 14), err
    assert "Traceback" not in err


def test_ctrl_c_says_that_the_run_goes_on_and_how_to_end_it(
    live: Settings, sandbox: Sandbox, worker: None, db: Session
) -> None:
    sandbox.fault("slow", host="legisinfo", path="parlsession=44-1", seconds=15)
    with under_way(live, "backfill", "44-1", "--dispatch") as process:
        assert wait_until(lambda: is_asking(db), 60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    told = err.splitlines()[-1]
    run_id = str(db.scalars(select(RunRow.run_id)).one())[:8]
    assert f"{run_id} goes on in the workers" in told
    assert told.endswith(f"to end it: parlex runs revoke {run_id}")
    assert wait_until(lambda: ended(db) == "success", 60)


def is_asking(db: Session) -> bool:
    """Whether a worker asks for the list."""
    db.rollback()
    return db.scalars(select(RunRow.lease_until)).first() is not None


def ended(db: Session) -> str:
    db.rollback()
    return db.scalars(select(RunRow.status)).one()
