"""Keys of the API: ``plx_<id>_<secret>``, of which the database has the SHA-256 of the secret alone.

A secret has 256 bits of chance, so that a plain hash is as good as a slow one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.db.models import ApiKeyRow

READER, SUBSCRIBER, OPERATOR = ROLES = ("reader", "subscriber", "operator")
PREFIX = "plx"


@dataclass(frozen=True, slots=True)
class KeyRecord(Record):
    """A key as ``parlex keys list`` prints it."""

    id: str
    name: str
    role: str
    made_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Held:
    """What the database has of a key."""

    role: str
    secret_sha256: bytes

    def fits(self, secret: str) -> bool:
        """Whether it is the key's secret. The time that this takes tells nothing of it."""
        return hmac.compare_digest(_hash(secret), self.secret_sha256)


def add(db: Session, name: str, role: str) -> str:
    """Make a key: the whole of it, which nobody can be told again."""
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    db.add(ApiKeyRow(id=key_id, name=name, role=role, secret_sha256=_hash(secret)))
    return f"{PREFIX}_{key_id}_{secret}"


def listed(db: Session) -> Sequence[KeyRecord]:
    """All that were ever made, oldest first."""
    row = ApiKeyRow
    columns = (row.id, row.name, row.role, row.made_at, row.revoked_at)
    return [KeyRecord(*found) for found in db.execute(select(*columns).order_by(row.made_at, row.id))]


def find(db: Session, key_id: str) -> Held | None:
    """The key of this id; None where there is none, or it was revoked."""
    row = ApiKeyRow
    query = select(row.role, row.secret_sha256).where(row.id == key_id, row.revoked_at.is_(None))
    found = db.execute(query).first()
    return Held(*found) if found else None


def revoke(db: Session, key_id: str) -> bool:
    """End a key; whether there was one to end."""
    row = ApiKeyRow
    statement = update(row).where(row.id == key_id, row.revoked_at.is_(None)).values(revoked_at=func.now())
    return db.execute(statement.returning(row.id)).first() is not None


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
