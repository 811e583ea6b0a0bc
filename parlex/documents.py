"""Documents: the raw bytes one GET returned, and how they are kept.

PostgreSQL keeps each body once, compressed, by its sha256, since workers share no disk; every fetch of it is a row.
"""

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
