"""How a worker acknowledges a message."""

from __future__ import annotations

from typing import Any

from celery.worker import request


class Request(request.Request):
    """Takes a new connection to Redis where an acknowledgement was not taken.

    Celery only logs "Couldn't ack" and keeps the connection, whose channel counts the message as in hand for as long
    as it lives: a worker of one process would never take another. Seen where Redis was frozen for longer than
    ``socket_timeout``. Without errors to catch, this one reaches the worker's event loop, which connects anew. The
    message comes again after the visibility timeout, and finds nothing to do.
    """

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **{**options, "connection_errors": ()})
