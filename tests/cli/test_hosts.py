"""The commands about the hosts of the sources, as processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from parlex.fetching.throttle import host_of
from parlex.resources import Resources
from parlex.settings import Settings
from tests.commands import run


def listed(settings: Settings) -> dict[str, Any]:
    return {found["host"]: found for found in map(json.loads, run(settings, "hosts", "--json").stdout.splitlines())}


def test_a_host_that_asked_for_a_month_is_told_and_lifted(
    settings: Settings, make_resources: Callable[..., Resources]
) -> None:
    host = host_of(settings.legisinfo_url)
    make_resources().throttle.block(host, 2_592_000)
    assert listed(settings)[host]["asked_to_wait_seconds"] > 2_500_000
    assert "it asked us to wait" in run(settings, "hosts").stdout

    lifted = run(settings, "hosts", "lift", host)
    assert (lifted.returncode, lifted.stderr) == (0, f"{host} may be asked again, 0 that waited are due\n")
    assert listed(settings)[host] == {"host": host, "asked_to_wait_seconds": 0.0, "failing_seconds": 0.0}
    assert "was not left alone" in run(settings, "hosts", "lift", host).stderr


def test_a_host_that_is_none_of_ours_is_named_with_those_that_are(settings: Settings) -> None:
    done = run(settings, "hosts", "lift", "example.org")
    assert done.returncode == 2
    assert host_of(settings.legisinfo_url) in done.stderr
