"""What becomes of a key, by what its sources said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from parlex.errors import BudgetSpent, ParlexError, RateLimited, Retryable, SourceUnavailable
from parlex.fetching.document import Document
from parlex.runs import run_keys, steps
from parlex.runs.asking import Reply
from parlex.runs.run_keys import Claim, Progress

NOON = datetime(2026, 6, 10, 12, tzinfo=UTC)
SPINE, COMPANION = "legisinfo", "openparliament"
CLAIM = Claim("45-1 C-2", (SPINE, COMPANION), 0, None, NOON)


def said(source: str, error: ParlexError | None = None) -> Reply:
    body = Document(url="https://x.test/", status=200, fetched_at=NOON, content_type="application/json", body=b"[]")
    return Reply(CLAIM.key, source, None if error else body, error)


def after(*answers: Reply, claim: Claim = CLAIM) -> Progress:
    return steps.after_asking(claim, answers, {SPINE}, None, retry_delay=60, now=NOON)


@pytest.mark.parametrize("error", [SourceUnavailable("away"), RateLimited("wait", retry_after=9)])
def test_what_is_there_is_saved_though_the_companion_fails(error: ParlexError) -> None:
    step = after(said(SPINE), said(COMPANION, error))
    assert (step.state, step.wants) == ("fetched", (COMPANION,))


@pytest.mark.parametrize("error", [BudgetSpent("spent", retry_after=90), Retryable("Redis is away")])
def test_our_own_trouble_is_no_reason_to_save_half(error: ParlexError) -> None:
    step = after(said(SPINE), said(COMPANION, error))
    assert (step.state, step.wants) == ("waiting", (SPINE, COMPANION))


def test_a_budget_that_is_spent_costs_no_retry_however_often() -> None:
    claim = Claim(CLAIM.key, CLAIM.wants, run_keys.MAX_RETRIES, None, NOON)
    step = after(said(SPINE), said(COMPANION, BudgetSpent("spent", retry_after=90)), claim=claim)
    assert (step.state, step.attempt, step.next_attempt_at) == ("waiting", 3, NOON + timedelta(seconds=90))


def test_only_what_is_due_soon_is_a_countdown() -> None:
    waits = {"soon": 20.0, "sooner": 5.0, "late": steps.LONGEST_COUNTDOWN + 1}
    taken = [Progress(key, "waiting", (SPINE,), 1, NOON + timedelta(seconds=wait)) for key, wait in waits.items()]
    assert steps.again_soon([*taken, Progress("done", "done")], NOON) == steps.Again(("soon", "sooner"), 20.0)
    assert steps.again_soon(taken[2:], NOON) is None
