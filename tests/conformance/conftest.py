"""An independent stand-in of both sources, run as a program of its own.

``PARLEX_STAND_IN`` names the folder that holds its ``serve.py``; where there is none, these tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from parlex.resources import Resources

FOLDER = Path(
    os.environ.get("PARLEX_STAND_IN") or Path(__file__).parents[2].parent.joinpath("shared", "upstream")
).resolve()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.conformance)


@dataclass(frozen=True)
class StandIn:
    """Its two hosts, and its control port."""

    legisinfo_url: str
    openparliament_url: str
    control: httpx.Client

    def state(self) -> dict[str, Any]:
        return self._json("GET", "/state")

    def as_of(self, day: str | None) -> None:
        self._json("POST", "/as-of", date=day)

    def configure(self, **options: Any) -> None:
        self._json("POST", "/config", **options)

    def fault(self, kind: str, **options: Any) -> None:
        self._json("POST", "/faults", kind=kind, **options)

    def clear_faults(self) -> None:
        self._json("DELETE", "/faults")

    def forget(self) -> None:
        """Forget statistics and faults."""
        self._json("POST", "/reset")

    def asked(self, host: str) -> dict[str, int]:
        """How many requests of each kind a host answered since the last ``forget``."""
        return dict(self._json("GET", "/stats")[host]["kinds"])

    def statuses(self, host: str) -> dict[str, int]:
        return dict(self._json("GET", "/stats")[host]["statuses"])

    def _json(self, verb: str, path: str, /, **body: Any) -> Any:
        answer = self.control.request(verb, path, json=body or None)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def running(*options: str) -> Iterator[StandIn]:
    if not (FOLDER / "serve.py").is_file():
        pytest.skip(f"no stand-in: {FOLDER.name}/serve.py is not there (PARLEX_STAND_IN names its folder)")
    command = [sys.executable, str(FOLDER / "serve.py"), "--port-base", "0", "--quiet", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=FOLDER) as process:
        try:
            assert process.stdout is not None
            ready, *addresses = process.stdout.readline().split()
            assert ready == "ready"
            urls = dict(address.split("=", 1) for address in addresses)
            with httpx.Client(base_url=urls["control"], timeout=30) as control:
                yield StandIn(urls["legisinfo"], urls["openparliament"], control)
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def whole() -> Iterator[StandIn]:
    """With every session of its data. Tests leave it as they found it."""
    with running() as stand_in:
        yield stand_in


@pytest.fixture(scope="session")
def _replaying() -> Iterator[StandIn]:
    with running("--data", "data", "data-replay", "--sessions", "43-1") as stand_in:
        yield stand_in


@pytest.fixture
def replay(_replaying: StandIn) -> StandIn:
    """43-1 alone, as it stood on any day."""
    _replaying.forget()
    _replaying.as_of(None)
    _replaying.configure(list_shape="A")
    return _replaying


@pytest.fixture
def mirror(replay: StandIn, make_resources: Callable[..., Resources]) -> Resources:
    """An empty mirror of ``replay``."""
    return make_resources(legisinfo_url=replay.legisinfo_url, openparliament_url=replay.openparliament_url)
