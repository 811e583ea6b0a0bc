"""A server on a mirror with a past: it saw the sandbox two days ago, on an earlier day, and again now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

import pytest

from parlex.parliament import OTTAWA
from tests.web.serving import LAST, Served, filled, serving

BEFORE = "2026-05-01"  # the sandbox's day of then


@pytest.fixture(scope="session")
def lived(
    new_database: Callable[..., AbstractContextManager[str]],
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """For tests that write nothing."""
    with (
        new_database() as url,
        filled(url, redis_url, tmp_path_factory.mktemp("lived"), LAST, before=BEFORE) as mirror,
        serving(mirror) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def then(lived: Served) -> str:
    """The day in Ottawa that ended after the mirror's first look, and before its second one."""
    return (datetime.now(OTTAWA) - timedelta(days=1)).date().isoformat()
