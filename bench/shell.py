"""A Python shell as a user has one open: sends tasks to the workers and waits for their results.

Reads one request a line (JSON) and answers one line: when it sent the task, how long the sending and the result took.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def main() -> None:
    from workers.app import app

    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(_ask(app, json.loads(line))), file=answers, flush=True)


def _ask(app: Any, asked: dict[str, Any]) -> dict[str, Any]:
    calls = [app.signature(asked["task"], args=args) for args in asked["calls"]]
    began = time.monotonic()
    sent = [call.apply_async() for call in calls]
    dispatched = time.monotonic()
    results = [one.get(timeout=asked["timeout"]) for one in sent]
    return {
        "began": began,
        "dispatch": dispatched - began,
        "seconds": time.monotonic() - began,
        "results": results,
    }


if __name__ == "__main__":
    main()
