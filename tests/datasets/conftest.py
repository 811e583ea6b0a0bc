"""A mirror of the edited sandbox, for the tests that ask what it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import make_url

from parlex.local.embedded import resolve
from parlex.local.sandbox import Sandbox
from parlex.resources import Resources
from parlex.settings import Settings
from tests.edited import Edited, edited
from tests.looking import fetch

NewDatabase = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="session")
def _source() -> Iterator[Edited]:
    # One for all tests: what a mirror holds names the address that it came from, and a copy of a mirror goes on asking.
    with Sandbox() as sandbox, edited(sandbox) as front:
        yield front


@pytest.fixture
def source(_source: Edited) -> Iterator[Edited]:
    """Both sources, on the sandbox's first day, with nothing rewritten yet."""
    yield _source
    _source.reset()


@pytest.fixture(scope="session")
def _filled(
    _source: Edited, new_database: NewDatabase, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The name of a database that holds 45-1: copying it is much quicker than fetching again."""
    with new_database() as url:
        settings = Settings(
            database_url=url,
            redis_url=redis_url,
            home=tmp_path_factory.mktemp("filled"),
            legisinfo_url=_source.url,
            openparliament_url=_source.url,
            legisinfo_rate=0,
            openparliament_rate=0,
        )
        mirror = Resources(settings, resolve(settings))
        assert fetch(mirror).status == "success"
        mirror.close()
        _source.reset()
        yield str(make_url(url).database)


@pytest.fixture
def database(request: pytest.FixtureRequest, new_database: NewDatabase) -> Iterator[str]:
    """Fresh and migrated, as everywhere; for a test that asks for ``filled``, a copy of one that is."""
    copied = [request.getfixturevalue("_filled")] if "filled" in request.fixturenames else []
    with new_database(*copied) as url:
        yield url


@pytest.fixture
def mirror(source: Edited, make_resources: Callable[..., Resources]) -> Resources:
    """An empty mirror of ``source``."""
    return make_resources(legisinfo_url=source.url, openparliament_url=source.url)


@pytest.fixture
def filled(mirror: Resources) -> Resources:
    """A mirror that holds 45-1."""
    return mirror
