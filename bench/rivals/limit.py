"""The least that the work can cost: the same bytes merely downloaded, with as many requests in flight, and merely
COPYed into PostgreSQL. No parsing, no history, no second look.

``way``: ``httpx`` (one process of threads, a client each), ``pycurl`` (libcurl's multi interface, one thread).
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import common
import httpx

TABLE = "CREATE TABLE IF NOT EXISTS limit_bodies (url text, body bytea)"


def work(job: dict[str, Any]) -> int:
    download = by_pycurl if job["way"] == "pycurl" else by_httpx
    bodies: list[tuple[str, bytes]] = []
    bills = 0
    for session in job["sessions"]:
        url = common.list_url(job, session)
        listed = dict(download([url], 1))
        numbers = common.numbers(listed[url])
        bills += len(numbers)
        wanted = [found for number in numbers for found in common.urls(job, session, number)]
        bodies += [*listed.items(), *download(wanted, job["in_flight"])]
    if job["copy"]:
        copy(job, bodies)
    return bills


def by_httpx(wanted: Iterable[str], in_flight: int) -> Iterator[tuple[str, bytes]]:
    with ThreadPoolExecutor(in_flight) as pool:
        yield from pool.map(lambda url: (url, _client.get(url).raise_for_status().content), wanted)


_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=60)
_client = httpx.Client(headers=common.HEADERS, timeout=20, limits=_LIMITS)


def by_pycurl(wanted: Iterable[str], in_flight: int) -> Iterator[tuple[str, bytes]]:
    import pycurl

    multi, waiting = pycurl.CurlMulti(), deque(wanted)
    idle = [_handle(pycurl) for _ in range(min(in_flight, len(waiting)))]
    busy = 0
    while waiting or busy:
        while waiting and idle:
            handle = idle.pop()
            handle.wanted, handle.into = waiting.popleft(), io.BytesIO()
            handle.setopt(pycurl.URL, handle.wanted)
            handle.setopt(pycurl.WRITEDATA, handle.into)
            multi.add_handle(handle)
            busy += 1
        multi.perform()
        _, done, failed = multi.info_read()
        if failed:
            raise OSError(f"{failed[0][0].wanted}: {failed[0][2]}")
        for handle in done:
            yield handle.wanted, handle.into.getvalue()
            multi.remove_handle(handle)
            idle.append(handle)
            busy -= 1
        if not done:
            multi.select(1.0)


def _handle(pycurl: Any) -> Any:
    handle = pycurl.Curl()
    handle.setopt(pycurl.ACCEPT_ENCODING, "gzip")
    handle.setopt(pycurl.HTTPHEADER, ["Accept: application/json", "User-Agent: rival"])
    handle.setopt(pycurl.FAILONERROR, True)
    return handle


def copy(job: dict[str, Any], bodies: Iterable[tuple[str, bytes]]) -> None:
    db = common.connect(job)
    with db, db.cursor() as cursor:
        cursor.execute(TABLE)
        cursor.execute("TRUNCATE limit_bodies")
        lines = "".join(f"{url}\t\\\\x{body.hex()}\n" for url, body in bodies)
        cursor.copy_expert("COPY limit_bodies FROM STDIN", io.StringIO(lines))
    db.close()


if __name__ == "__main__":
    common.drive(work)
