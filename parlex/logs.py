"""Logging, and errors to Sentry.

A line is an event, for a person or as JSON, on standard error; standard output is for answers.

The lines of libraries (celery, httpx, alembic) go the same way. What a block of work is about (task, run, bill) is
bound once with ``about`` and stands on every line inside it. Secrets are taken out last, whoever wrote them.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any

import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from parlex import __version__
from parlex.settings import Settings

HIDDEN = "***"
# All up to the last @: a password may hold what ends one, and a name alone may be a key. A name before a colon stays.
_SIGN_IN = re.compile(r"(?P<before>[a-z][a-z0-9+.-]*://(?:[^\s:/@?#'\"]*:)?)[^\s'\"<>]+(?=@)", re.IGNORECASE)
_HOST_NAME = re.compile(r"(?P<before>host name \")[^\"]+(?=@)")  # libpq's, of an address that was cut at the wrong @
_QUERY_SECRET = re.compile(r"(?P<before>[?&][^=&\s]*(?:secret|password|token|key)[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE)
_SECRET_NAME = re.compile(r"secret|password|passwd|token|authorization|api_?key|credential", re.IGNORECASE)

# One icon for each kind of event, told by the first word of its name; most events have none, so that these are seen.
ICONS = {"planned": "▶", "retry": "↻", "quarantine": "⚠", "guard": "⚠", "failed": "✖", "alert": "🔔", "exported": "⇪"}
_OUTCOME_ICONS = {"success": "✔", "partial": "◐", "failure": "✖", "abandoned": "✖", "skipped": "↷", "revoked": "↷"}
# Chatter that repeats what our own events say; DEBUG shows it all the same.
_CHATTY = ("httpx", "httpcore", "alembic", "kombu", "urllib3")


def configure(settings: Settings, *, level: str | None = None) -> None:
    """Route structlog and the standard library's logging through one formatter. May be called again after a fork."""
    level = level or settings.log_level
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(settings.log_format, colours=sys.stderr.isatty()))
    logging.captureWarnings(settings.log_format == "json")
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "DEBUG" else logging.WARNING)
    # Below that it names whole addresses, and those are secrets; our own lines say what arrived and what did not.
    logging.getLogger("apprise").setLevel(logging.ERROR)


def about(**context: str) -> AbstractContextManager[None]:
    """Bind ``task_id``, ``run_id`` or ``bill`` to every line written inside the block."""
    return structlog.contextvars.bound_contextvars(**context)


def redact(value: Any) -> Any:
    """The value without its secrets: passwords in URLs, secret query parameters, SecretStr, also deep inside."""
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, str):
        for secret in (_SIGN_IN, _HOST_NAME, _QUERY_SECRET):
            value = secret.sub(rf"\g<before>{HIDDEN}", value)
        return value
    if isinstance(value, Mapping):
        return {key: HIDDEN if _SECRET_NAME.search(str(key)) else redact(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(redact(item) for item in value) if type(value) in _PLAIN else redact(str(value))
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value))


_PLAIN = (list, tuple, set, frozenset)


_extras = structlog.stdlib.ExtraAdder()


def _own_extras(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """What our modules say beside the text.

    Celery repeats its whole message there, task arguments and tracebacks: of that the task's name and id are taken.
    """
    record = event["_record"]
    if record.name.startswith(("parlex.", "workers.")):
        return _extras(logger, method, event)
    told = getattr(record, "data", None)
    if record.name.startswith("celery.") and isinstance(told, Mapping) and "name" in told and "id" in told:
        return {"task": told["name"], "task_id": told["id"], **event}
    return event


def _redact_event(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The private keys (_record and the like) are structlog's own and never printed."""
    return {key: value if key.startswith("_") else redact({key: value})[key] for key, value in event.items()}


def _icon(logger: WrappedLogger, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    icon = _OUTCOME_ICONS.get(str(event.get("status"))) or ICONS.get(str(event["event"]).partition(" ")[0])
    event["event"] = f"{icon or ' '} {event['event']}"
    return event


def _shared() -> list[Processor]:
    """What every line goes through, ours or a library's."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]


def _formatter(log_format: str, *, colours: bool) -> logging.Formatter:
    rendering: list[Processor] = (
        [structlog.processors.JSONRenderer(ensure_ascii=False)]
        if log_format == "json"
        else [_icon, structlog.dev.ConsoleRenderer(colors=colours, pad_event_to=0)]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared(), _own_extras],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _redact_event, *rendering],
    )


# Errors to Sentry.


def report_errors(settings: Settings) -> bool:
    """Report unexpected errors and our own lines of level ERROR from here on; whether there is anywhere to report to.

    To be called again in a process that was forked: its sender is a thread.
    """
    if settings.sentry_dsn is None:
        return False
    import sentry_sdk

    sentry_sdk.init(
        dsn=settings.sentry_dsn.get_secret_value(),
        release=f"parlex@{__version__}",
        send_default_pii=False,
        include_local_variables=False,  # they hold URLs, and those hold passwords
        max_request_body_size="never",
        max_breadcrumbs=20,
        before_send=_scrub,
        before_breadcrumb=_scrub,
    )
    return True


def _scrub(event: Any, hint: dict[str, Any]) -> Any:
    """The event without passwords in URLs, secret query parameters, and values whose name tells of a secret."""
    return redact(event)
