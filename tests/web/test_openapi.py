"""What the documents promise: the file that clients are made from, and that the server keeps to it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from tests.web.serving import Served

PHASES = [Phase.generate]  # what is found is short enough, and each smaller one is a request
GOLDEN = Path(__file__).parent.parent / "golden" / "openapi.json"


def test_the_file_only_grows(client: httpx.Client) -> None:
    """What is in the golden file stays. After an addition, write it anew: see the message."""
    found = client.get("/openapi.json").json()
    if not GOLDEN.exists() or found != json.loads(GOLDEN.read_text()):
        new = GOLDEN.with_suffix(".new.json")
        new.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        pytest.fail(f"it differs: where nothing went or changed its meaning, mv {new.name} {GOLDEN.name}")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_no_question_breaks_the_server_or_its_promise(served: Served, mode: GenerationMode) -> None:
    """Whatever the file allows, and whatever it does not: no 5xx, and no answer that the file does not know."""
    asked = 0
    for found in schemathesis.openapi.from_url(f"{served.address}/openapi.json").get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            wait = str((case.query or {}).get("wait", ""))
            if wait.isdigit() and int(wait) < 60:
                case.query["wait"] = 0  # it may ask for a minute
            answer = case.call()
            # Too long an address is refused at the door; the tool takes 414 for an answer to the question.
            if answer.status_code != 414:
                case.validate_response(answer)

        try:
            ask()
        except Unsatisfiable:
            assert not operation.query, "nothing can be wrong where there are no parameters"
    assert asked > 50


def test_the_documents_need_no_foreign_host(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script" not in page.text
    assert "//" not in page.text.replace("http://", "")
    assert "/api/v1/bills/{session}/{number}" in page.text
