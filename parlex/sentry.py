"""Errors to Sentry, where ``SENTRY_DSN`` is set; nothing is imported otherwise."""

from __future__ import annotations

from typing import Any

from parlex import __version__
from parlex.logs import redact
from parlex.settings import Settings


def start(settings: Settings) -> bool:
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
