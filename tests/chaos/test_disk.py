"""A disk that is full: everything of PARLEX_HOME stands on a small file system, which a file of ours fills."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from parlex.local.locks import wait_until
from parlex.settings import environment
from tests.chaos import site as sites
from tests.chaos.conftest import OTHERS, a_home
from tests.chaos.crew import BOUND, ROOT
from tests.chaos.site import SESSION, Site

SIZE = "400m"  # PostgreSQL's files and its log of 540 bills, several times over
PAGE = 4096  # bytes
NO_ROOM = ("No space left on device", "Short write while writing to the AOF file")


@pytest.fixture(scope="module")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose home is a file system of its own."""
    with a_home() as home:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0700", "tmpfs", str(home)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"mounting is not allowed here ({done.stderr.strip()}): try it below unshare -rm")
        try:
            with sites.running(home, tmp_path_factory.mktemp("crew")) as site:
                yield site
        finally:
            subprocess.run(["umount", str(home)], check=True)


@contextmanager
def full(home: Path) -> Iterator[None]:
    """No page is free while the block lasts."""
    ballast = home / "ballast"
    try:
        with ballast.open("wb") as file:
            size = shutil.disk_usage(home).free
            while size >= PAGE:
                try:
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, size)
                except OSError:  # the servers write beside us
                    size //= 2
        yield
    finally:
        ballast.unlink(missing_ok=True)


def complaints(site: Site) -> int:
    """How often PostgreSQL and Valkey said that they find no room."""
    logs = [site.home / name / "log" for name in ("postgres", "valkey")]
    said = "".join(log.read_text(errors="replace") for log in logs)
    return sum(map(said.count, NO_ROOM))


def fill(site: Site, random: Random) -> None:
    """Until a server runs into it, and a while longer."""
    before = complaints(site)
    with full(site.home):
        assert wait_until(lambda: complaints(site) > before, BOUND), "no server ran into the full disk"
        time.sleep(random.uniform(1, 10))  # its length is meant to be random


@pytest.mark.parametrize("number", OTHERS)
def test_a_full_disk(small_site: Site, number: int) -> None:
    """Celery's workers end when Redis refuses to write, and are started again."""
    verdict = small_site.try_fault("a full disk", number, fill, scenario="new")
    assert verdict.clean, f"{verdict}\n{small_site.crew_says()}"


@pytest.mark.parametrize("number", OTHERS)
def test_the_first_command_after_a_full_disk_goes_on_at_once(small_site: Site, number: int) -> None:
    """Nobody waits for the lease of the one before, which may have found no room to write that it ended."""
    site = small_site
    site.begin(Random(number), "new")
    # It cannot be over before the disk is full.
    site.sandbox.fault("slow", host="legisinfo", path="/bill/", skip=100, seconds=10)
    names = [member.name for member in site.crew]
    site.crew.dismiss(*names)
    try:
        with backfill(site) as first:
            site.reach(10 * number)
            fill(site, Random(number))
            said = first.communicate()[1]
        assert first.returncode not in (0, None), said
        assert "Traceback" not in said, said
        site.sandbox.clear_faults()
        site.start_servers()
        with backfill(site) as second:
            said = second.communicate()[1]
        assert second.returncode == 0, said
    finally:
        site.crew.hire_all()
    runs = site.reader.rows("SELECT status, errors::text FROM fetch_logs ORDER BY started_at")
    assert runs[-1][0] == "success", runs
    assert "the process that carried it is gone" not in str(runs)
    verdict = site.reader.judge(site.right["new"])
    assert verdict.clean, verdict


@contextmanager
def backfill(site: Site) -> Iterator[subprocess.Popen[str]]:
    """``parlex backfill``, with the lease that an operator has."""
    urls = {"DATABASE_URL": site.addresses.database_url, "REDIS_URL": site.addresses.redis_url}
    with subprocess.Popen(
        [sys.executable, "-m", "parlex", "backfill", str(SESSION)],
        cwd=ROOT,
        env=environment(site.settings, PARLEX_LEASE_SECONDS="180", **urls),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
