"""A server on a mirror that is filled: of all datasets, on the sandbox's last day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx
import pytest

from parlex.resources import Resources
from tests.web.serving import LAST, Served, filled, serving


@pytest.fixture(scope="session")
def held(
    new_database: Callable[..., AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Resources]:
    """A mirror that holds all that the sandbox has. For tests that write nothing."""
    with new_database() as url, filled(url, redis_url, tmp_path_factory.mktemp("held"), LAST) as mirror:
        yield mirror


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
