"""The commands of those who follow, as the operator has them."""

from __future__ import annotations

import json

import pytest

from parlex.settings import Settings
from tests.commands import complaint, run

pytestmark = pytest.mark.live
HOOK = "https://example.org/hook"


def test_a_subscription_from_its_making_to_its_end(settings: Settings) -> None:
    made = run(settings, "follow", "add", HOOK, "--number", "C-2", "--status", "RoyalAssentGiven")
    name, secret = made.stdout.split()
    assert secret.startswith("whsec_")
    listed = run(settings, "follow", "list", "--json").stdout
    assert json.loads(listed)["filter"] == {"number": ["C-2"], "status": ["RoyalAssentGiven"]}
    assert "number=C-2 status=RoyalAssentGiven" in run(settings, "follow", "list").stdout
    assert run(settings, "follow", "pause", name).returncode == 0
    assert json.loads(run(settings, "follow", "show", name).stdout)["paused_because"] == "by the operator"
    assert run(settings, "follow", "resume", name).returncode == 0
    sent = run(settings, "follow", "test", name).stdout.strip()
    assert json.loads(run(settings, "follow", "deliveries", name, "--json").stdout)["id"] == sent
    rotated = run(settings, "follow", "rotate", name).stdout.strip()
    assert rotated != secret
    shown = "".join(
        run(settings, "follow", *words).stdout for words in (["list"], ["show", name], ["deliveries", name])
    )
    assert not any(text in shown for text in (secret, rotated))
    assert run(settings, "follow", "delete", name).returncode == 0
    assert run(settings, "follow", "show", name).returncode == 2


@pytest.mark.parametrize("words", [["nonsense"], [HOOK, "--when", "hourly"], [HOOK, "--status", "Nowhere"], ["a@b.ca"]])
def test_what_cannot_be_is_refused_in_a_line(settings: Settings, words: list[str]) -> None:
    assert complaint(run(settings, "follow", "add", *words), code=2)
