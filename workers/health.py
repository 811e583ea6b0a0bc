"""``python -m workers.health``: exit 0 if each worker on this host consumes its queue, else 1 and one line why.

Asked over the broker, so that a worker that lives but no longer hears it counts as ill.
"""

from __future__ import annotations

import socket
import sys

from workers.app import app

TIMEOUT = 5.0  # seconds to wait for answers; a worker answers in its main process, also while its children are busy


def complaint() -> str | None:
    """What is wrong, or None."""
    here = f"@{socket.gethostname()}"
    answers = app.control.inspect(timeout=TIMEOUT).active_queues() or {}
    ours = {name: queues for name, queues in answers.items() if name.endswith(here)}
    if not ours:
        return f"no worker on {here[1:]} answers"
    idle = sorted(name for name, queues in ours.items() if not queues)
    return f"{', '.join(idle)} consumes no queue" if idle else None


def main() -> int:
    problem = complaint()
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
