"""Errors as ``application/problem+json`` (RFC 9457). Nothing of ours that could be secret is in one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from sqlalchemy.exc import DBAPIError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 5  # after which a database that was away may be asked again
_CANCELLED = "57014"  # query_canceled: statement_timeout


class Problem(Exception):
    """An answer that is an error. ``about`` is more of it, as the parameter and what is allowed."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
        **about: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.kind, self.about = status, detail, kind, about
        self.headers = dict(headers or {})

    @property
    def content(self) -> bytes:
        title = HTTPStatus(self.status).phrase
        told = {"type": self.kind or "about:blank", "title": title, "status": self.status, "detail": self.detail}
        return json.dumps({**told, **self.about}, ensure_ascii=False).encode()


def away(detail: str) -> Problem:
    """503 for what may be asked again soon."""
    return Problem(503, detail, headers={"Retry-After": str(RETRY_SECONDS)})


def is_too_slow(error: Exception) -> bool:
    """Whether a statement took longer than it may."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "pgcode", None) == _CANCELLED
