"""One good answer of a source, as bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property


@dataclass(frozen=True)
class Document:
    """One good answer. ``body`` is decoded of its transfer coding, and otherwise untouched."""

    url: str
    status: int
    fetched_at: datetime
    content_type: str
    body: bytes
    etag: str | None = None
    last_modified: str | None = None

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()
