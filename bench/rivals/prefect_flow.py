"""The same as a Prefect 3 flow, as its users write it: a task a bill with retries, sixteen threads, an upsert each."""

from __future__ import annotations

import threading
from typing import Any

import common
import httpx
from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

_here = threading.local()


def _client() -> httpx.Client:
    if not hasattr(_here, "client"):
        _here.client = httpx.Client(headers=common.HEADERS, timeout=20)
    return _here.client


def _db(job: dict[str, Any]) -> Any:
    if not hasattr(_here, "db"):
        _here.db = common.connect(job)
    return _here.db


@task(retries=3, retry_delay_seconds=10)
def fetch_list(job: dict[str, Any], session: str) -> list[str]:
    listed = _client().get(common.list_url(job, session)).raise_for_status()
    return common.numbers(listed.content, job["limit"])


@task(retries=3, retry_delay_seconds=10)
def fetch_bill(job: dict[str, Any], session: str, number: str) -> None:
    bodies = [_client().get(url).raise_for_status().content for url in common.urls(job, session, number)]
    db = _db(job)
    with db, db.cursor() as cursor:
        cursor.execute(common.UPSERT, common.row(session, bodies))


@flow(task_runner=ThreadPoolTaskRunner(max_workers=16))
def backfill(job: dict[str, Any]) -> int:
    bills = []
    for session in job["sessions"]:
        numbers = fetch_list(job, session)
        bills += [fetch_bill.submit(job, session, number) for number in numbers]
    for bill in bills:
        bill.result()
    return len(bills)


if __name__ == "__main__":
    common.drive(backfill)
