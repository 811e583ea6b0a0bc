"""A task without a body in a bare Celery application, in one that Flower watches, in one with our settings, in ours.

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
# What any application sends that Flower is to show.
watched = Celery("watched", broker=_REDIS, backend=_REDIS)
watched.conf.task_default_queue = "watched"
watched.conf.broker_connection_retry_on_startup = True
watched.conf.worker_send_task_events = watched.conf.task_send_sent_event = True
# No line of ours but the settings: late acknowledgement, one message at a time, events for Flower.
tuned = Celery("tuned")
tuned.config_from_object("celeryconfig")
tuned.conf.update(task_queues=None, task_default_queue="tuned", task_create_missing_queues=True, task_routes=None)


@bare.task(name="bare.noop")
def bare_noop() -> None:
    return None


@watched.task(name="watched.noop")
def watched_noop() -> None:
    return None


@tuned.task(name="tuned.noop", ignore_result=False)
def tuned_noop() -> None:
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
    return {"each": each, "round_trip": statistics.median(trips), "tasks": count + len(trips)}


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        task = {"bare": bare_noop, "watched": watched_noop, "tuned": tuned_noop, "ours": our_noop}[asked["application"]]
        print(json.dumps(measure(task, asked["count"])), file=answers, flush=True)


if __name__ == "__main__":
    main()
