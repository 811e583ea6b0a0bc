"""What a server is made of."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from parlex.db import migrate
from parlex.local import embedded
from parlex.local.locks import wait_until
from parlex.local.postgres import Postgres
from parlex.resources import Resources
from parlex.settings import Settings
from tests.web.serving import serving
from tests.web.test_streams import say, stream


def test_a_server_loads_nothing_that_only_others_need() -> None:
    """It runs beside the workers on small machines."""
    heavy = ["alembic", "celery", "graphql", "kombu", "obstore"]
    script = f"import sys, parlex.web.server\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def alone(redis_url: str) -> Iterator[Resources]:
    """A mirror in a PostgreSQL of its own, which may be stopped."""
    # Directly in the system's temporary folder: PostgreSQL may run as nobody, who cannot pass pytest's private folders.
    home = Path(tempfile.mkdtemp(prefix="parlex-tests-"))
    settings = Settings(home=home, redis_url=redis_url)
    try:
        with embedded.servers(settings) as addresses:
            migrate.upgrade(addresses.database_url)
            mirror = Resources(settings, addresses)
            yield mirror
            mirror.close()
    finally:
        shutil.rmtree(home)


def test_a_database_that_goes_and_comes_back(alone: Resources) -> None:
    """Streams and long polls are open meanwhile: they hear of what comes after, once, and nobody hangs."""
    postgres = Postgres(alone.settings.home)
    say(alone, "45-1 C-2")
    with serving(alone) as server, ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        server.wait_for(alone)
        client = stack.enter_context(httpx.Client(base_url=server.address, timeout=30))
        streams = [stack.enter_context(stream(server, "after=0")) for _ in range(5)]
        assert [one.event()["seq"] for one in streams] == [1] * 5
        news = f"{server.address}/api/v1/changes?after=1&wait=55"
        waiting = [pool.submit(httpx.get, news, timeout=60) for _ in range(3)]
        tag = client.get("/api/v1/bills").headers["etag"]

        postgres.stop()
        assert wait_until(lambda: client.get("/readyz").status_code == 503, 20)
        away = client.get("/api/v1/bills/45-1/C-2")
        assert (away.status_code, away.headers["content-type"]) == (503, "application/problem+json")
        assert int(away.headers["retry-after"]) > 0
        assert client.get("/livez").status_code == 200
        assert client.get("/api/v1/bills", headers={"If-None-Match": tag}).status_code == 304

        postgres.revived()
        assert wait_until(lambda: client.get("/readyz").status_code == 200, 20)
        say(alone, "45-1 C-3")
        assert [one.event()["seq"] for one in streams] == [2] * 5
        assert [one.result().json()["next_after"] for one in waiting] == [2] * 3
        assert client.get("/api/v1/bills").status_code == 200
        assert server.streams.open == 5
    assert server.streams.open == 0
