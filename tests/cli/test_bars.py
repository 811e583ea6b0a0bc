"""How far a run is: bars that no line breaks, and lines where there is no terminal."""

from __future__ import annotations

import re
from io import StringIO

from rich.console import Console

from parlex.cli import bars
from parlex.local.locks import wait_until
from parlex.local.sandbox import Sandbox
from parlex.settings import Settings
from tests.commands import seen_on_a_terminal


def test_without_a_terminal_a_line_now_and_then() -> None:
    out = StringIO()
    with bars.showing(Console(file=out, width=40), every=0.01) as showing:
        first, second = showing.add("44-1"), showing.add("45-1")
        assert wait_until(lambda: "44-1: begins" in out.getvalue(), 30)
        first(3, 14)
        assert wait_until(lambda: "44-1: 3 done  11 left" in out.getvalue(), 30)
        first.over = True
        second.say("waiting for a worker")
        assert wait_until(lambda: "45-1: waiting for a worker" in out.getvalue(), 30)
    told = out.getvalue()
    assert max(map(len, told.splitlines())) < 60


def test_a_rate_is_rounded_and_says_what_is_left() -> None:
    with bars.showing(Console(file=StringIO()), every=60) as showing:
        bar = showing.add("45-1")
        bar(0, 10)
        bar(7, 10)
    assert re.fullmatch(r"7 done  3 left  \d+\.\d/s  \d+ s to go", str(bar))
    bar.say("next try in 40 s")
    assert str(bar) == "7 done  3 left  next try in 40 s"


def test_a_run_of_nothing_says_so() -> None:
    with bars.showing(Console(file=StringIO()), every=60) as showing:
        bar = showing.add("45-1")
        bar.say("asking for the list")
        bar(0, 0)
    assert str(bar) == "nothing to fetch"


def test_the_log_breaks_no_bar(live: Settings, sandbox: Sandbox) -> None:
    sandbox.fault("garbage", host="legisinfo", path="/44-1/c-11/json")
    code, lines = seen_on_a_terminal(live, "backfill", "44-1")
    assert code == 1
    told = [line for line in lines if "quarantine" in line]
    assert told
    assert all(re.match(r"\d{4}-\d\d-\d\dT", line) for line in told)
    assert any(line.endswith("14 done  0 left") for line in lines)
