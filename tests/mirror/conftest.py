"""A mirror of the edited sandbox, for the tests that ask what it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from parlex.resources import Resources
from parlex.sandbox import Sandbox
from tests.edited import Edited, edited
from tests.mirror.looking import fetch


@pytest.fixture
def source() -> Iterator[Edited]:
    """Both sources, on the sandbox's first day, with nothing rewritten yet."""
    with Sandbox() as sandbox, edited(sandbox) as front:
        yield front


@pytest.fixture
def mirror(source: Edited, make_resources: Callable[..., Resources]) -> Resources:
    """An empty mirror of ``source``."""
    return make_resources(legisinfo_url=source.url, openparliament_url=source.url)


@pytest.fixture
def filled(mirror: Resources) -> Resources:
    """A mirror that holds 45-1."""
    assert fetch(mirror).status == "success"
    return mirror
