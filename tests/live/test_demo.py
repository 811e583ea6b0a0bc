from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from parlex.settings import Settings, environment

pytestmark = pytest.mark.live


def test_the_demo_shows_everything_and_leaves_nothing(settings: Settings) -> None:
    """With a database and a Redis set, too: the demo must not touch them."""
    before = _folders()
    done = subprocess.run(
        [sys.executable, "-m", "parlex", "demo"],
        env=environment(settings, COLUMNS="100"),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "One Canadian Economy Act" in done.stdout
    requests = [line.split() for line in done.stdout.splitlines() if line.startswith((" first", " after", " nothing"))]
    assert [(line[2], line[3]) for line in requests] == [("63", "60"), ("14", "13"), ("1", "0")]
    assert "queue persist  0 waiting, worker persist@" in done.stdout
    assert "Success rate" in done.stdout
    assert _folders() <= before


def _folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("parlex-demo-*"))
