"""A plain script: one request after the other with httpx, one upsert a bill, as OpenParliament's importer works."""

from __future__ import annotations

from typing import Any

import common
import httpx


def backfill(job: dict[str, Any]) -> int:
    bills = 0
    db = common.connect(job)
    with httpx.Client(headers=common.HEADERS, timeout=20) as client:
        for session in job["sessions"]:
            listed = client.get(common.list_url(job, session)).raise_for_status()
            for number in common.numbers(listed.content, job["limit"]):
                bodies = [client.get(url).raise_for_status().content for url in common.urls(job, session, number)]
                with db, db.cursor() as cursor:
                    cursor.execute(common.UPSERT, common.row(session, bodies))
                bills += 1
    db.close()
    return bills


if __name__ == "__main__":
    common.drive(backfill)
