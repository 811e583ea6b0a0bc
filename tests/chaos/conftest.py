"""Faults on purpose, on real processes. ``make chaos`` runs them all; a few, marked ``chaos_short``, run always.

``PARLEX_TEST_TRIES`` (make chaos TRIES=50): how often each kill is tried; ``PARLEX_TEST_SEED``: which random moments.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos import site as sites

TRIES = int(os.environ.get("PARLEX_TEST_TRIES", "10"))
OTHERS = range(1, max(1, TRIES // 10) + 1)  # the tries of what is no kill


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("chaos_short"):
            item.add_marker(pytest.mark.chaos)


@contextmanager
def a_home() -> Iterator[Path]:
    # Directly in the system's temporary folder: PostgreSQL may run as nobody, who cannot pass pytest's private folders.
    home = Path(tempfile.mkdtemp(prefix="parlex-chaos-"))
    try:
        yield home
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sites.Site]:
    """Of one module: its processes must not take the time of all the tests that come after."""
    with a_home() as home, sites.running(home, tmp_path_factory.mktemp("crew")) as site:
        yield site
