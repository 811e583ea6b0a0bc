"""Two mirrors on one Redis database by mistake: both fetch, workers of both are killed, and neither takes the other's
work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from sqlalchemy.engine import make_url

from parlex.db import migrate
from parlex.local.embedded import Addresses
from parlex.local.locks import wait_until
from parlex.mirror import identity
from parlex.resources import Resources
from parlex.settings import environment
from tests.chaos.conftest import OTHERS
from tests.chaos.crew import BOUND, Crew
from tests.chaos.mirror import Reader
from tests.chaos.site import SESSION, Result, Site, dsn

NAME = "two mirrors on one Redis, and kill -9"
KILLED_AFTER = (40, 200, 350)  # keys that have ended, of each


@contextmanager
def staging(site: Site, folder: Path) -> Iterator[tuple[Resources, Crew]]:
    """Another mirror, in a database of its own, whose crew has the Redis of the first."""
    url = make_url(site.addresses.database_url).set(database="staging").render_as_string(hide_password=False)
    site.reader.rows("CREATE DATABASE staging")
    try:
        migrate.upgrade(url)
        told = environment(site.settings, DATABASE_URL=url, REDIS_URL=site.addresses.redis_url, REMAP_SIGTERM="SIGQUIT")
        resources = Resources(site.settings, Addresses(url, site.addresses.redis_url))
        try:
            with Crew(folder, told, "staging") as crew:
                crew.hire_all()
                yield resources, crew
        finally:
            resources.close()
    finally:
        site.reader.rows("DROP DATABASE staging WITH (FORCE)")


def begin(resources: Resources) -> UUID:
    """Write a backfill down, as ``parlex backfill --dispatch`` does. Its message may fall to the other; then the
    sweeper sends one more."""
    return resources.pipeline.open_run(resources.pipeline.session_request(SESSION)).run.run_id


@pytest.mark.parametrize("number", OTHERS)
def test_two_mirrors_on_one_redis(site: Site, tmp_path: Path, number: int) -> None:
    random = Random(number)
    right = site.begin(random, "new")
    ours = Resources(site.settings, site.addresses)
    try:
        with staging(site, tmp_path) as (theirs, their_crew):
            crews = {ours: site.crew, theirs: their_crew}
            readers = {mirror: Reader(dsn(mirror.addresses.database_url)) for mirror in crews}
            runs = {mirror: begin(mirror) for mirror in crews}
            for keys in KILLED_AFTER:
                for mirror, reader in readers.items():
                    assert wait_until(lambda reader=reader, keys=keys: reader.ended() >= keys, BOUND), site.crew_says()  # type: ignore[misc]
                    crews[mirror][random.choice(["fetch", "persist", "control"])].kill(random)
            at = time.monotonic()
            for mirror, reader in readers.items():
                assert reader.settles(), site.crew_says()
                verdict = reader.judge(right)
                took = round(time.monotonic() - at, 1)
                site.report(Result(NAME, number, "", seconds=took, **asdict(verdict)))
                assert verdict.clean, f"{verdict}\n{site.crew_says()}"
                assert reader.rows("SELECT run_id::text, status FROM fetch_logs") == [(str(runs[mirror]), "success")]
            with ours.db() as db, theirs.db() as other:
                # The workers of the try before may put back a message of the mirror that was there then.
                assert str(identity.mirror_id(other)) in identity.strangers(db, identity.FORGOTTEN_AFTER)
    finally:
        ours.close()
