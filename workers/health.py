"""``python -m workers.health``: exit 0 if the worker on this host consumes its queue, else 1 and one line why.

Asked over the broker, so that a worker that lives but no longer hears it counts as ill. With the word ``beat`` it looks
for the heartbeat of this host's beat in the database.
"""

from __future__ import annotations

import socket
import sys
from datetime import timedelta

from parlex.errors import ParlexError
from parlex.settings import settings

TIMEOUT = 5.0  # seconds to wait for answers; a worker answers in its main process, also while its children are busy
BEATS_MISSED = 4  # heartbeats that may fail to come


def complaint() -> str | None:
    """What is wrong with the worker, or None."""
    from kombu.exceptions import KombuError
    from redis.exceptions import RedisError

    from parlex.fetching import redis_errors
    from workers.app import app

    here = socket.gethostname()
    # One worker a container: the first answer ends the wait.
    ask = app.control.inspect(timeout=TIMEOUT, pattern=f"*@{here}", matcher="glob", limit=1)
    try:
        answers = ask.active_queues() or {}
    except (KombuError, RedisError, ParlexError) as error:
        return redis_errors.explain(error) or str(error)
    if not answers:
        return f"no worker on {here} answers"
    return None if any(answers.values()) else f"{', '.join(answers)} consumes no queue"


def beat_complaint() -> str | None:
    """What is wrong with beat, or None. Without Celery, whose import costs a second."""
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.orm import Session

    from parlex.db import errors as db_errors
    from parlex.db.engine import build_patient_engine
    from parlex.local.embedded import resolve
    from parlex.watch import beats

    here = socket.gethostname()
    patience = timedelta(seconds=BEATS_MISSED * settings().keep_house_seconds)
    try:
        with Session(build_patient_engine(resolve(settings()).database_url)) as db:
            living = beats.alive(db, patience)
    except (SQLAlchemyError, ParlexError) as error:
        return db_errors.explain(error) or str(error)
    if any(name.startswith(f"{here}:") for name in living):
        return None
    return f"no beat on {here} left a heartbeat in the last {patience.total_seconds():.0f} s"


def main() -> int:
    problem = beat_complaint() if sys.argv[1:] == ["beat"] else complaint()
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
