"""A bill's page against its JSON, each made anew in turn, in this process: ``python -m bench.pages``.

On the mirror that the settings name, which should hold a session with its votes, and the politicians. No page or body
is kept. How the parties voted is kept by the server until the history has newer votes, so that both are told: as it
runs, and with the ballots counted each time.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from starlette.requests import Request

from bench.workloads import say
from parlex.db.engine import build_reading_engine
from parlex.db.migrate import head
from parlex.local.embedded import servers
from parlex.resources import Resources
from parlex.serving import records
from parlex.serving.tags import Poller
from parlex.settings import Settings
from parlex.web.context import Context
from parlex.web.pages import bill
from parlex.web.pages.site import Site
from parlex.web.server import STATEMENT_SECONDS

ROUNDS = 31
BILLS = 60  # of each session, by chance


def main(sessions: Iterable[str]) -> None:
    settings = Settings()
    with servers(settings) as addresses:
        datasets = Resources(settings, addresses).datasets
        dataset = datasets["bills"]
        served = dataset.served
        assert served is not None
        engine = build_reading_engine(addresses.database_url, pool_size=2, statement_seconds=STATEMENT_SECONDS)
        poller = Poller(engine, head())
        poller.read()
        kept = Site(Context(engine, poller), datasets, settings)
        counting = Site(Context(engine, Poller(engine, head())), datasets, settings)
        for session in sessions:
            with engine.connect() as db:
                rows = db.exec_driver_sql("select key from bills where key like %s order by key", (f"{session} %",))
                keys = [key for (key,) in rows]
            found = []
            for key in random.Random(0).sample(keys, min(BILLS, len(keys))):
                asked = _request(key)
                makes: list[Callable[[], Any]] = [
                    lambda key=key: records.whole(engine, dataset, served, key, ()),
                    lambda asked=asked: kept.made("en", asked, bill.read),
                    lambda asked=asked: counting.made("en", asked, bill.read),
                ]
                json, page, counted = _medians(makes)
                found.append((page / json, counted / json, json, page, key))
            ratios, counted = sorted(one[0] for one in found), sorted(one[1] for one in found)
            say(
                f"{session}: {len(found)} bills, a page {1000 * median(one[3] for one in found):.2f} ms, its JSON "
                f"{1000 * median(one[2] for one in found):.2f} ms: {median(ratios):.2f} x, at most {ratios[-1]:.2f} x "
                f"({max(found)[4]}), nine in ten {ratios[len(ratios) * 9 // 10]:.2f} x; "
                f"with the ballots counted each time {median(counted):.2f} x, at most {counted[-1]:.2f} x"
            )
        engine.dispose()


def _medians(makes: list[Callable[[], Any]]) -> list[float]:
    """Seconds of each, one after the other in turn; the first two rounds are for the caches of statements."""
    taken: list[list[float]] = [[] for _ in makes]
    for _ in range(ROUNDS + 2):
        for seconds, make in zip(taken, makes, strict=True):
            began = time.perf_counter()
            make()
            seconds.append(time.perf_counter() - began)
    return [median(seconds[2:]) for seconds in taken]


def _request(key: str) -> Request:
    session, number = key.split(" ")
    path = f"/en/bills/{session}/{number}"
    parts = {"session": session, "number": number}
    about = {"type": "http", "method": "GET", "scheme": "http", "server": ("127.0.0.1", 80), "root_path": ""}
    return Request({**about, "path": path, "query_string": b"", "headers": [], "path_params": parts})


if __name__ == "__main__":
    main(sys.argv[1:] or ["45-1"])
