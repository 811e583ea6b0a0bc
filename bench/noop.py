"""A task without a body, as a bare Celery application has it and as ours does; and the shell that measures them.

``python -m bench.noop`` reads one request a line (JSON) and answers one line of seconds.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from typing import Any

from celery import Celery

from workers.app import app as ours

_REDIS = os.environ["REDIS_URL"]
bare = Celery("bare", broker=_REDIS, backend=_REDIS)
bare.conf.task_default_queue = "bare"
bare.conf.broker_connection_retry_on_startup = True


@bare.task(name="bare.noop")
def bare_noop() -> None:
    return None


@ours.task(name="bench.noop", ignore_result=False)
def our_noop() -> None:
    return None


def measure(task: Any, count: int) -> dict[str, float]:
    """``each``: seconds a task when many are under way; ``round_trip``: the median from sending one to its result."""
    began = time.perf_counter()
    for sent in [task.delay() for _ in range(count)]:
        sent.get(timeout=60)
    each = (time.perf_counter() - began) / count
    trips = []
    for _ in range(max(20, count // 10)):
        began = time.perf_counter()
        task.delay().get(timeout=60)
        trips.append(time.perf_counter() - began)
    return {"each": each, "round_trip": statistics.median(trips)}


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        task = bare_noop if asked["application"] == "bare" else our_noop
        print(json.dumps(measure(task, asked["count"])), file=answers, flush=True)


if __name__ == "__main__":
    main()
