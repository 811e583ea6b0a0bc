"""How replies are handed on while others are still asked for."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC, datetime

from parlex.runs.asking import SLICE, Asked, Reply, slices
from parlex.runs.run_keys import Claim


def claim(key: str) -> Claim:
    return Claim(key, ("somewhere",), 1, None, datetime(2026, 1, 1, tzinfo=UTC))


def replied(key: str) -> Future[Reply]:
    future: Future[Reply] = Future()
    future.set_result(Reply(key, "somewhere", None, None))
    return future


def test_what_is_there_is_handed_on_while_a_slow_source_still_owes_the_next() -> None:
    owed: Future[Reply] = Future()
    under_way = Asked({"a": [replied("a")], "b": [replied("b")], "c": [owed]})
    parts = slices([claim("a"), claim("b"), claim("c")], under_way, slowest=0)
    part, replies = next(parts)
    assert [one.key for one in part] == ["a", "b"]
    assert [reply.key for reply in replies] == ["a", "b"]
    owed.set_result(Reply("c", "somewhere", None, None))
    part, _ = next(parts)
    assert [one.key for one in part] == ["c"]
    assert next(parts, None) is None


def test_quick_replies_are_one_slice() -> None:
    keys = [str(n) for n in range(3 * SLICE)]
    ((part, replies),) = slices([claim(key) for key in keys], Asked({key: [replied(key)] for key in keys}))
    assert [one.key for one in part] == keys
    assert len(replies) == len(keys)
