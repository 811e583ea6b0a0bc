"""What the rivals share: addresses, the row each bill becomes, the upsert, and the loop that the benchmark drives.

Imports nothing of Parlex. A rival reads one job a line (JSON) from standard input and answers one line.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg2

Row = tuple[Any, ...]

COLUMNS = (
    "parliament",
    "session",
    "number",
    "title_en",
    "title_fr",
    "status_en",
    "sponsor_name",
    "sponsor_slug",
    "house_first_reading_on",
    "royal_assent_on",
)
TABLE = """
CREATE TABLE IF NOT EXISTS rival_bills (
    parliament smallint, session smallint, number text, title_en text, title_fr text, status_en text,
    sponsor_name text, sponsor_slug text, house_first_reading_on date, royal_assent_on date,
    PRIMARY KEY (parliament, session, number))
"""
UPSERT = (
    f"INSERT INTO rival_bills ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))}) "
    f"ON CONFLICT (parliament, session, number) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[3:])
)
HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "rival"}
COMPANION_SINCE = 37


def list_url(job: dict[str, Any], session: str) -> str:
    return f"{job['legisinfo']}/legisinfo/en/bills/json?parlsession={session}"


def urls(job: dict[str, Any], session: str, number: str) -> list[str]:
    """The addresses of one bill: LEGISinfo's detail and, since the 37th parliament, OpenParliament's."""
    found = [f"{job['legisinfo']}/legisinfo/en/bill/{session}/{number.lower()}/json"]
    if int(session.partition("-")[0]) >= COMPANION_SINCE:
        found.append(f"{job['openparliament']}/bills/{session}/{number}/")
    return found


def decoded(body: bytes) -> Any:
    return json.loads(body.decode("utf-8-sig"))


def numbers(body: bytes, limit: int | None = None) -> list[str]:
    """The numbers on a list. Twice the same line is one bill."""
    return list(dict.fromkeys(item["NumberCode"] for item in decoded(body)))[:limit]


def row(session: str, bodies: list[bytes]) -> Row:
    detail = decoded(bodies[0])
    detail = detail[0] if isinstance(detail, list) else detail
    companion = decoded(bodies[1]) if len(bodies) > 1 else {}
    parliament, number = session.split("-")
    politician = companion.get("sponsor_politician_url")
    return (
        int(parliament),
        int(number),
        detail["NumberCode"],
        _text(detail["LongTitleEn"]),
        _text(detail["LongTitleFr"]),
        _text(detail["StatusNameEn"]),
        _text(detail["SponsorPersonName"]),
        politician.rstrip("/").rpartition("/")[2] if politician else None,
        _day(detail["PassedHouseFirstReadingDateTime"]),
        _day(detail["ReceivedRoyalAssentDateTime"]),
    )


def _text(value: str | None) -> str | None:
    return value.strip() or None if value else None


def _day(value: str | None) -> str | None:
    return value[:10] if value else None


def connect(job: dict[str, Any]) -> Any:
    return psycopg2.connect(job["database"])


def drive(work: Callable[[dict[str, Any]], int]) -> None:
    """Do each job on standard input; answer seconds, processor seconds and how many bills it came to."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        job = json.loads(line)
        with connect(job) as db, db.cursor() as cursor:
            cursor.execute(TABLE)
            cursor.execute("TRUNCATE rival_bills" if job["fresh"] else "SELECT 1")
        db.close()
        cpu, began = _cpu(), time.perf_counter()
        bills = work(job)
        seconds = time.perf_counter() - began
        print(json.dumps({"seconds": seconds, "cpu": _cpu() - cpu, "bills": bills}), file=answers, flush=True)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
