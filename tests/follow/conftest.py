"""A mirror of the sandbox that may be moved on by days, and receivers of what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import make_url

from parlex.local.sandbox import Sandbox
from parlex.local.sandbox.sample import START
from parlex.resources import Resources
from tests.follow.receivers import Receivers, receiving
from tests.web.serving import filled

NewDatabase = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="session")
def _filled(new_database: NewDatabase, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database that holds what the sandbox has on its first day; tests take copies of it."""
    with new_database() as url:
        with filled(url, redis_url, tmp_path_factory.mktemp("filled"), START):
            pass
        yield str(make_url(url).database)


@pytest.fixture
def database(_filled: str, new_database: NewDatabase) -> Iterator[str]:
    with new_database(_filled) as url:
        yield url


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(as_of=START) as running:
        yield running


@pytest.fixture
def mirror(sandbox: Sandbox, make_resources: Callable[..., Resources]) -> Resources:
    """It may send to this machine."""
    return make_resources(
        legisinfo_url=sandbox.legisinfo_url, openparliament_url=sandbox.openparliament_url, follow_private=True
    )


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with receiving() as found:
        yield found
