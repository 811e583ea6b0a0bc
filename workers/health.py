"""``python -m workers.health``: exit 0 if the worker on this host consumes its queue, else 1 and one line why.

Asked over the broker, so that a worker that lives but no longer hears it counts as ill.
"""

from __future__ import annotations

import socket
import sys

from workers.app import app

TIMEOUT = 5.0  # seconds to wait for answers; a worker answers in its main process, also while its children are busy


def complaint() -> str | None:
    """What is wrong, or None."""
    here = socket.gethostname()
    # One worker a container: the first answer ends the wait.
    ask = app.control.inspect(timeout=TIMEOUT, pattern=f"*@{here}", matcher="glob", limit=1)
    answers = ask.active_queues() or {}
    if not answers:
        return f"no worker on {here} answers"
    return None if any(answers.values()) else f"{', '.join(answers)} consumes no queue"


def main() -> int:
    problem = complaint()
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
