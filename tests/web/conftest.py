"""A server on a mirror that is filled: of all datasets, on the sandbox's last day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx
import pytest

from parlex.local.embedded import resolve
from parlex.local.sandbox import Sandbox
from parlex.resources import Resources
from parlex.settings import Settings
from tests.web.serving import LAST, Served, fill, serving


@pytest.fixture(scope="session")
def held(
    new_database: Callable[..., AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Resources]:
    """A mirror that holds all that the sandbox has. For tests that write nothing."""
    with Sandbox(as_of=LAST) as sandbox, new_database() as url:
        settings = Settings(
            database_url=url,
            redis_url=redis_url,
            home=tmp_path_factory.mktemp("held"),
            legisinfo_url=sandbox.legisinfo_url,
            openparliament_url=sandbox.openparliament_url,
            legisinfo_rate=0,
            openparliament_rate=0,
        )
        mirror = Resources(settings, resolve(settings))
        fill(mirror)
        yield mirror
        mirror.close()


@pytest.fixture(scope="session")
def served(held: Resources) -> Iterator[Served]:
    """A server of ``held``."""
    with serving(held) as server:
        yield server


@pytest.fixture(scope="session")
def client(served: Served) -> Iterator[httpx.Client]:
    """Asks ``served``."""
    with httpx.Client(base_url=served.address, timeout=10) as client:
        yield client
