"""Messages to people: written down first, then sent, and tried again until they arrive.

The addresses are those of ``PARLEX_ALERT_URLS``, as Apprise reads them (Slack, e-mail, webhooks, some hundred more).
They are secrets, so a row knows its address by scheme and digest only.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

import structlog
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import Session

from parlex.db import outbox
from parlex.db.models import NotificationRow
from parlex.errors import ConfigurationError
from parlex.resources import Resources
from parlex.settings import Settings

log = structlog.get_logger(__name__)

Severity = Literal["info", "success", "warning", "failure"]

RETRIES = [*(timedelta(minutes=minutes) for minutes in (1, 2, 4, 8, 16, 32)), timedelta(hours=1)]  # and then each
GIVE_UP = timedelta(days=1)  # after that the news is stale; the row stays, and parlex alerts shows it
LEASE = timedelta(minutes=3)  # a sender that died in the middle is followed by the next one
CALL_SECONDS = 20.0  # how long one call goes on sending: it holds up the queue that ticks come through


@dataclass(frozen=True, slots=True)
class Message:
    severity: Severity
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that has not arrived: still to be tried, or given up."""

    occasion: str
    target: str
    title: str
    created_at: datetime
    attempt: int
    given_up: bool
    error: str | None


def targets(settings: Settings) -> dict[str, str]:
    """The addresses by their public name (``slack:1f2e3d4c``). ConfigurationError for one that Apprise cannot read."""
    if settings.alert_urls is None:
        return {}
    apprise = _apprise()
    given = re.split(r"[\s,]+(?=[a-z][a-z0-9+.-]*://)", settings.alert_urls.get_secret_value().strip())
    found: dict[str, str] = {}
    for position, url in enumerate(given, 1):
        if apprise.Apprise.instantiate(url) is None:
            raise ConfigurationError(f"PARLEX_ALERT_URLS: address {position} is not one that Apprise can read")
        found[f"{urlsplit(url).scheme}:{hashlib.sha256(url.encode()).hexdigest()[:8]}"] = url
    return found


def put(db: Session, occasion: str, message: Message, to: Mapping[str, str], *, now: datetime) -> None:
    """Write a message down for each address, once for each occasion; ``deliver`` sends it."""
    for target in to:
        row = upsert(NotificationRow).values(
            occasion=occasion,
            target=target,
            severity=message.severity,
            title=message.title,
            body=message.body,
            created_at=now,
            next_attempt_at=now,
        )
        db.execute(row.on_conflict_do_nothing(index_elements=["occasion", "target"]))


def was_put(db: Session, occasion: str) -> bool:
    """Whether a message for this occasion was written down for anybody."""
    return db.scalar(select(NotificationRow.id).where(NotificationRow.occasion == occasion).limit(1)) is not None


def deliver(resources: Resources, to: Mapping[str, str], *, now: datetime) -> tuple[int, int]:
    """Send what is due, oldest first; (arrived, failed). What fails is due again later."""
    arrived = failed = 0
    until = time.monotonic() + CALL_SECONDS
    while time.monotonic() < until and (row := _claim(resources, now)):
        error = send(to[row.target], _message(row)) if row.target in to else "the address is no longer configured"
        _note(resources, row, error, now, gone=row.target not in to)
        arrived, failed = arrived + (error is None), failed + (error is not None)
    return arrived, failed


def send(url: str, message: Message) -> str | None:
    """Send to one address, now. None, or why it failed, without the address."""
    apprise = _apprise()
    # Apprise tells what went wrong to its log only; below WARNING that names whole addresses.
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:
        sender = apprise.Apprise()
        sender.add(url)
        sent = sender.notify(title=message.title, body=message.body, notify_type=message.severity)
        reason = _without_secrets(said.getvalue(), url)
    return None if sent else reason or "not sent"


def waiting(db: Session) -> list[Waiting]:
    """What has not arrived, newest first."""
    query = select(NotificationRow).where(NotificationRow.delivered_at.is_(None))
    rows = db.scalars(query.order_by(NotificationRow.created_at.desc(), NotificationRow.id.desc()))
    return [
        Waiting(r.occasion, r.target, r.title, r.created_at, r.attempt, r.given_up_at is not None, r.error)
        for r in rows
    ]


def _claim(resources: Resources, now: datetime) -> NotificationRow | None:
    with resources.db() as db:
        return next(iter(outbox.claim(db, NotificationRow, now=now, lease=LEASE)), None)


def _note(resources: Resources, row: NotificationRow, error: str | None, now: datetime, *, gone: bool) -> None:
    again = None
    if error is not None and (gone or now - row.created_at >= GIVE_UP):
        log.error("notification given up", title=row.title, target=row.target, error=error, attempts=row.attempt)
    elif error is not None:
        again = outbox.wait_of(row, RETRIES)
        log.warning("retry", what="notification", title=row.title, target=row.target, error=error, attempt=row.attempt)
    with resources.db() as db:
        outbox.note(db, row, error, now=now, again=again)


def _apprise() -> Any:
    """Apprise knows some hundred services and takes its time to load; only who has somebody to tell waits for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it looks for a module that Python 3.13 has no more
        apprise = importlib.import_module("apprise")
        apprise.Apprise.instantiate("json://localhost")  # the first address makes it load all services
    return apprise


def _message(row: NotificationRow) -> Message:
    return Message(row.severity, row.title, row.body)  # type: ignore[arg-type]


def _without_secrets(text: str, url: str) -> str:
    """What Apprise said, in one line, with every longer part of the address but its host taken out."""
    said = " ".join(text.split())
    host = urlsplit(url).hostname or ""
    for part in sorted(re.split(r"[/:@?&=,]+", url), key=len, reverse=True):
        if len(part) > 5 and part != host:
            said = said.replace(part, "***")
    return said[:300]
