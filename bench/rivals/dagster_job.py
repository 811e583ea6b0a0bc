"""The same as a Dagster job, as its users write it: a dynamic op a bill with a retry policy, an upsert each."""

# Dagster reads annotations as they are: no `from __future__ import annotations` here.
from typing import Any, Optional

import common
import httpx
from dagster import Config, DynamicOut, DynamicOutput, OpExecutionContext, RetryPolicy, job, op


class Backfill(Config):
    """The benchmark's job, as its keys are."""

    legisinfo: str
    openparliament: str
    database: str
    sessions: list[str]
    limit: Optional[int] = None  # noqa: UP045
    fresh: bool = True


_client = httpx.Client(headers=common.HEADERS, timeout=20)


@op(out=DynamicOut(), retry_policy=RetryPolicy(max_retries=3, delay=10))
def list_bills(context: OpExecutionContext, config: Backfill) -> Any:
    given = config.model_dump()
    for session in config.sessions:
        listed = _client.get(common.list_url(given, session)).raise_for_status()
        for number in common.numbers(listed.content, config.limit):
            name = f"{session}_{number}".replace("-", "_").replace(".", "_")
            yield DynamicOutput((given, session, number), mapping_key=name)


@op(retry_policy=RetryPolicy(max_retries=3, delay=10))
def fetch_bill(bill: Any) -> int:
    given, session, number = bill
    bodies = [_client.get(url).raise_for_status().content for url in common.urls(given, session, number)]
    db = common.connect(given)
    with db, db.cursor() as cursor:
        cursor.execute(common.UPSERT, common.row(session, bodies))
    db.close()
    return 1


@op
def count(bills: list) -> int:  # type: ignore[type-arg]
    return sum(bills)


@job
def backfill() -> None:
    count(list_bills().map(fetch_bill).collect())


def run(given: dict[str, Any]) -> int:
    done = backfill.execute_in_process(run_config={"ops": {"list_bills": {"config": given}}})
    return done.output_for_node("count")


if __name__ == "__main__":
    common.drive(run)
