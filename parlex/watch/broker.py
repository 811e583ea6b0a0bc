"""What waits in the broker, read from its Redis keys: how much in each queue, and for how long.

Only numbers for people come from here; what should run is known to the database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis

from parlex.runs.queues import QUEUES

PREFIX = "parlex:"  # celeryconfig's global_keyprefix, which kombu puts before each of its keys
SENT_AT = "parlex_sent_at"  # header of each message: kombu itself does not say when it was sent


@dataclass(frozen=True, slots=True)
class Queue:
    """``oldest_seconds``: how long its oldest message waits; None where none waits, or it does not say."""

    name: str
    depth: int
    oldest_seconds: float | None


@dataclass(frozen=True, slots=True)
class Broker:
    """``unacked``: messages that workers hold, run or put off; ``unacked_oldest_seconds``: held for how long."""

    queues: tuple[Queue, ...]
    unacked: int
    unacked_oldest_seconds: float | None


def look(redis: Redis, now: datetime) -> Broker:
    """Ask once for everything. RedisError where Redis is away."""
    with redis.pipeline(transaction=False) as asked:
        for name in QUEUES:
            asked.llen(PREFIX + name)
            asked.lindex(PREFIX + name, -1)  # new messages come in at the head
        asked.hlen(PREFIX + "unacked")
        asked.zrange(PREFIX + "unacked_index", 0, 0, withscores=True)
        *answers, unacked, first = asked.execute()
    pairs = zip(QUEUES, answers[::2], answers[1::2], strict=True)
    queues = tuple(Queue(name, depth, _age(message, now)) for name, depth, message in pairs)
    return Broker(queues, unacked, now.timestamp() - first[0][1] if first else None)


def _age(message: bytes | None, now: datetime) -> float | None:
    """Seconds since a message was sent. Others may write to the same Redis: what cannot be read has no age."""
    try:
        headers: Mapping[str, Any] = json.loads(message or b"")["headers"]
        return max(0.0, (now - datetime.fromisoformat(headers[SENT_AT])).total_seconds())
    except (ValueError, KeyError, TypeError):
        return None
