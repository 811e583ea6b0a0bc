"""What becomes of a key after each step: pure decisions, which the pipeline writes down."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from parlex.errors import BudgetSpent, ParlexError, RateLimited, Retryable, SourceUnavailable
from parlex.parliament import Outcome
from parlex.runs import run_keys
from parlex.runs.asking import Reply, not_yet
from parlex.runs.run_keys import Claim, Progress
from parlex.runs.work import Saved

# A row says when it is due, and the sweeper sends it then. A wait as short as this one may be a message's countdown
# instead: the worker holds it in memory, and it must not outlive the broker's visibility timeout.
LONGEST_COUNTDOWN = 300.0  # seconds


@dataclass(frozen=True, slots=True)
class Again:
    """Keys whose sources are to be asked again, and the seconds until all of them are due."""

    keys: tuple[str, ...]
    seconds: float


def again_soon(steps: Iterable[Progress], now: datetime) -> Again | None:
    """Those that are due within a countdown; None where there is none."""
    waits = {
        step.key: max((step.next_attempt_at - now).total_seconds(), 0.0)
        for step in steps
        if step.state == "waiting" and step.next_attempt_at
    }
    soon = {key: wait for key, wait in waits.items() if wait <= LONGEST_COUNTDOWN}
    return Again(tuple(soon), max(soon.values())) if soon else None


def wait_before(error: ParlexError | None, attempt: int, retry_delay: float) -> float:
    """Seconds before the next try: what the source asks for, else the delay of retry number ``attempt``."""
    delay = run_keys.backoff(max(attempt, 1), retry_delay)
    asked = error.retry_after if isinstance(error, Retryable) else None
    return max(asked, 0.0) if asked is not None and asked_to_wait(error) else max(delay, asked or 0.0)


def asked_to_wait(error: ParlexError | None) -> bool:
    """A source that says how long to wait is obeyed, and that costs no retry."""
    return isinstance(error, RateLimited) and error.retry_after is not None


def after_asking(
    claim: Claim,
    replies: Iterable[Reply],
    decides: Collection[str],
    before: str | None,
    *,
    retry_delay: float,
    now: datetime,
) -> Progress:
    """What becomes of a key after its sources were asked.

    Without each deciding source there is nothing to save yet; a companion that failed is asked again after the rest is
    saved. ``before`` is the outcome of what was saved already.
    """
    mine = [reply for reply in replies if reply.key == claim.key]
    errors = [reply for reply in mine if reply.error is not None and not not_yet(reply, decides)]
    text = "; ".join(str(reply.error) for reply in errors) or None
    again = [reply for reply in errors if isinstance(reply.error, Retryable)]
    attempt = claim.attempt + any(not asked_to_wait(reply.error) for reply in again)
    if attempt > run_keys.MAX_RETRIES:
        again = []
    wants = tuple(reply.source for reply in again)
    deciders_failed = {reply.source for reply in errors} & set(decides)
    if not deciders_failed <= set(wants):
        return Progress(claim.key, "failed", (), attempt, None, Outcome.FAILED, text)
    if any(_is_ours(reply.error) for reply in again):
        # Our own trouble is no reason to save a bill without what its companion knows.
        wants = claim.wants
    elif len(errors) < len(mine) and not deciders_failed:
        return Progress(claim.key, "fetched", wants, attempt, None, error=text)
    if wants:
        wait = max(wait_before(reply.error, attempt, retry_delay) for reply in again)
        return Progress(claim.key, "waiting", wants, attempt, now + timedelta(seconds=wait), error=text)
    return Progress(claim.key, "done", (), attempt, None, run_keys.combine(before, Outcome.UNCHANGED), text)


def _is_ours(error: ParlexError | None) -> bool:
    """Not the source failed to reply: it could not be asked, since the budget of its host gave no room, or Redis with
    that budget was away."""
    if isinstance(error, BudgetSpent):
        return True
    return isinstance(error, Retryable) and not isinstance(error, SourceUnavailable | RateLimited)


def final_errors(replies: Sequence[Reply], steps: Iterable[Progress], decides: Collection[str]) -> list[str]:
    """The errors that nothing will be done about in this run. What is asked again has not failed yet."""
    again = {(step.key, source) for step in steps for source in step.wants}
    failed = [reply for reply in replies if reply.error is not None and not not_yet(reply, decides)]
    return [str(reply.error) for reply in failed if (reply.key, reply.source) not in again]


def refused(steps: Iterable[Progress], replies: Sequence[Reply], decides: Collection[str]) -> list[str]:
    """Keys that failed for good. Those of a source that was merely away are due again at the next run."""
    final = {a.key for a in replies if a.source in decides and a.error and not isinstance(a.error, Retryable)}
    return [step.key for step in steps if step.state == "failed" and step.key in final]


def after_saving(claim: Claim, saved: Saved, before: str | None, *, retry_delay: float, now: datetime) -> Progress:
    """What becomes of a key after it was saved: it is over, or a companion is still to be asked."""
    outcome = run_keys.combine(before, saved.outcome)
    if saved.outcome is Outcome.FAILED:
        return Progress(claim.key, "failed", (), claim.attempt, None, outcome, saved.error)
    if claim.wants:
        due = now + timedelta(seconds=run_keys.backoff(max(claim.attempt, 1), retry_delay))
        return Progress(claim.key, "waiting", claim.wants, claim.attempt, due, outcome, saved.error)
    if saved.wants:
        return Progress(claim.key, "waiting", saved.wants, claim.attempt, now, outcome, saved.error)
    return Progress(claim.key, "done", (), claim.attempt, None, outcome, saved.error)
