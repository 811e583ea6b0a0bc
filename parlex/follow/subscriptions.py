"""Subscriptions: who is told of what, when and in which language. Takes an open ``db``; never commits.

A subscription is a filter with a cursor of its own. Its secret is given out once, and signs what it is sent; that of an
e-mail address makes the links by which its owner agrees and ends it, and is given to nobody.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import httpx
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from parlex.answers import Record
from parlex.datasets.dataset import Dataset
from parlex.db import outbox
from parlex.db.models import ApiKeyRow, DeliveryRow, SubscriptionRow
from parlex.db.reads import columns
from parlex.errors import UsageError
from parlex.follow import bodies, webhooks
from parlex.follow.matching import Filter
from parlex.mirror import history
from parlex.settings import MAIL, Settings

WEBHOOK, EMAIL = "webhook", "email"
ROTATION = timedelta(days=1)  # for which the old secret signs too
HOUR = 11  # UTC, at which daily and weekly news are sent: six or seven in the morning in Ottawa
MOST_UNCONFIRMED = 3  # of one e-mail address: who did not agree is not written to again and again
MOST_ASKED = 200  # owners of addresses a day who were named by nobody's key, and have not agreed
CONFIRM, UNSUBSCRIBE = "confirm", "unsubscribe"  # what a link of an e-mail may do


class Wanted(BaseModel):
    """What a subscriber asks for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: Literal["webhook", "email"] = Field(description="what the address is")
    address: Annotated[str, Field(min_length=3, max_length=2000, pattern=r"^[!-~]+$")] = Field(
        description="an http or https address, or an e-mail address whose owner is asked first"
    )
    filter: Filter = Field(default_factory=Filter, description="what it is to be told of; all, where it is empty")
    when: Literal["now", "daily", "weekly"] = Field("now", description=f"at once, or at {HOUR}:00 UTC")
    language: Literal["en", "fr"] = Field("en", description="of what people read")
    after: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = Field(
        None, description="what came after that line of the history; without it, what comes from now on"
    )


class Unknown(UsageError):
    """There is no such subscription, or not for this caller."""


@dataclass(frozen=True, slots=True)
class Subscription(Record):
    """A subscription as it is told. ``next_after``: its receiver was told what matches up to there."""

    id: UUID
    kind: str
    address: str
    filter: dict[str, Any]
    when: str
    language: str
    state: str  # active, unconfirmed, paused, or revoked as its key is
    next_after: int
    made_at: datetime
    confirmed_at: datetime | None
    rotated_at: datetime | None
    failing_since: datetime | None
    paused_at: datetime | None
    paused_because: str | None


@dataclass(frozen=True, slots=True)
class Delivery(Record):
    """A message to a subscriber: which lines it tells of, and what was answered last."""

    id: UUID
    type: str
    after: int
    to: int
    changes: int
    created_at: datetime
    attempt: int
    sent_at: datetime | None
    status: int | None
    answer: str | None
    error: str | None
    delivered_at: datetime | None
    next_attempt_at: datetime


def create(
    db: Session,
    wanted: Wanted,
    datasets: Mapping[str, Dataset],
    settings: Settings,
    *,
    key_id: str | None = None,
    public: bool = False,
    now: datetime,
) -> tuple[SubscriptionRow, str | None]:
    """A new subscription, and its secret, which nobody is told again. That of an e-mail address begins once its owner
    has agreed. ``public``: anybody may have asked for it. UsageError for what cannot be; it begins with what is wrong,
    and a colon."""
    wanted.filter.require_known(datasets)
    last = history.last_seq(db)
    if wanted.after is not None and wanted.after > last:
        raise UsageError(f"after: the history ends at {last}")
    _require_address(db, wanted, settings)
    if public:
        _require_few(db, now)
    row = SubscriptionRow(
        id=uuid4(),
        **wanted.model_dump(include={"kind", "address", "when", "language"}),
        filter=wanted.filter.model_dump(exclude_none=True),
        key_id=key_id,
        secret=secrets.token_bytes(32),
        cursor=last if wanted.after is None else wanted.after,
        caught_up=wanted.after is None,
        next_look_at=next_look(wanted.when, now),
        made_at=now,
        confirmed_at=now if wanted.kind == WEBHOOK else None,
    )
    db.add(row)
    db.flush()
    if wanted.kind == EMAIL:
        put(db, row, "confirm", now=now)
    return row, _text(row) if wanted.kind == WEBHOOK else None


def get(db: Session, subscription: UUID, *, of: str | None) -> SubscriptionRow:
    """``of``: the key whose it must be; None for any. Locked. Unknown where there is none."""
    query = select(SubscriptionRow).where(SubscriptionRow.id == subscription).with_for_update()
    row = db.scalars(query if of is None else query.where(SubscriptionRow.key_id == of)).first()
    if row is None:
        raise Unknown(f"there is no subscription {subscription}")
    return row


def listed(db: Session, *, of: str | None) -> Sequence[Subscription]:
    """The oldest first."""
    query = select(SubscriptionRow).order_by(SubscriptionRow.made_at, SubscriptionRow.id)
    return [told(db, row) for row in db.scalars(query if of is None else query.where(SubscriptionRow.key_id == of))]


def told(db: Session, row: SubscriptionRow) -> Subscription:
    key = db.get(ApiKeyRow, row.key_id) if row.key_id else None
    good = "revoked" if key and key.revoked_at else "active"
    state = "paused" if row.paused_at else good if row.confirmed_at else "unconfirmed"
    names = ("id", "kind", "address", "filter", "when", "language")
    times = ("made_at", "confirmed_at", "rotated_at", "failing_since", "paused_at", "paused_because")
    about = {name: getattr(row, name) for name in (*names, *times)}
    return Subscription(**about, state=state, next_after=row.cursor)


def active() -> ColumnElement[bool]:
    """Whether a subscription is told anything: it is confirmed, not paused, and its key is good."""
    row = SubscriptionRow
    good = select(ApiKeyRow.id).where(ApiKeyRow.revoked_at.is_(None))
    return and_(row.confirmed_at.is_not(None), row.paused_at.is_(None), or_(row.key_id.is_(None), row.key_id.in_(good)))


def pause(row: SubscriptionRow, because: str, *, now: datetime) -> None:
    if row.paused_at is None:
        row.paused_at, row.paused_because = now, because


def resume(db: Session, row: SubscriptionRow, *, now: datetime) -> None:
    """Go on where it stood: what could not be delivered is tried at once."""
    row.paused_at = row.paused_because = row.failing_since = None
    row.caught_up = False  # what came meanwhile is not too much at once
    waiting = select(DeliveryRow).where(DeliveryRow.subscription_id == row.id, outbox.waiting(DeliveryRow))
    for each in db.scalars(waiting):
        each.next_attempt_at, each.attempt = now, 0


def test(db: Session, row: SubscriptionRow, *, now: datetime) -> DeliveryRow:
    """A message that tells of nothing, tried once, whatever state the subscription is in."""
    if row.kind != WEBHOOK:
        raise UsageError("an e-mail address is tested by the message that asks its owner")
    return put(db, row, "test", now=now, body=bodies.test(row))


def rotate(row: SubscriptionRow, *, now: datetime) -> str:
    """A new secret; the old one signs beside it for a day. UsageError for an e-mail address."""
    if row.kind != WEBHOOK:
        raise UsageError("an e-mail address has no secret")
    row.old_secret, row.secret, row.rotated_at = row.secret, secrets.token_bytes(32), now
    return _text(row)


def deliveries(db: Session, row: SubscriptionRow, *, most: int = 100) -> Sequence[Delivery]:
    """The newest first."""
    query = select(*columns(Delivery, DeliveryRow)).where(DeliveryRow.subscription_id == row.id)
    return [Delivery(*found) for found in db.execute(query.order_by(DeliveryRow.created_at.desc()).limit(most))]


def put(db: Session, row: SubscriptionRow, type: str, *, now: datetime, **about: Any) -> DeliveryRow:
    """Write a message down, which is due at once."""
    told = {"after": row.cursor, "to": row.cursor, "changes": 0, **about}
    made = DeliveryRow(id=uuid4(), subscription_id=row.id, type=type, created_at=now, next_attempt_at=now, **told)
    db.add(made)
    db.flush()
    return made


def next_look(when: str, now: datetime) -> datetime:
    """When the history is looked through next."""
    if when == "now":
        return now
    day = now.replace(hour=HOUR, minute=0, second=0, microsecond=0)
    day += timedelta(days=day <= now)
    return day + timedelta(days=-day.weekday() % 7) if when == "weekly" else day


def signing(row: SubscriptionRow, now: datetime) -> Sequence[bytes]:
    """The secrets that sign, the newest first."""
    rotating = row.old_secret is not None and row.rotated_at is not None and now - row.rotated_at < ROTATION
    return [row.secret, row.old_secret] if rotating and row.old_secret else [row.secret]


def _text(row: SubscriptionRow) -> str:
    return webhooks.SECRET_PREFIX + base64.b64encode(row.secret).decode()


# What the owner of an e-mail address may do, by a link that only was sent there.


def token(row: SubscriptionRow, act: str) -> str:
    return hmac.digest(row.secret, act.encode(), hashlib.sha256).hex()[:40]


def by_link(db: Session, subscription: UUID, act: str, given: str) -> SubscriptionRow:
    """The subscription of a link. Unknown for a link that is none of ours."""
    row = get(db, subscription, of=None)
    if row.kind != EMAIL or not hmac.compare_digest(token(row, act).encode(), given.encode()):
        raise Unknown("there is no such subscription: it was ended, or the link is cut short")
    return row


def confirm(db: Session, row: SubscriptionRow, *, now: datetime) -> None:
    """Its owner agrees: news begin here, where no earlier line was asked for."""
    if row.confirmed_at is None:
        row.cursor = history.last_seq(db) if row.caught_up else row.cursor
        row.confirmed_at, row.next_look_at = now, next_look(row.when, now)


def _require_few(db: Session, now: datetime) -> None:
    """So that nobody writes to the world in our name, one message an address."""
    row = SubscriptionRow
    waiting = and_(row.kind == EMAIL, row.key_id.is_(None), row.confirmed_at.is_(None))
    asked = select(func.count()).where(waiting, row.made_at > now - timedelta(days=1))
    if (db.scalar(asked) or 0) >= MOST_ASKED:
        raise UsageError("many: too many owners of addresses were asked today and have not agreed; try tomorrow")


def _require_address(db: Session, wanted: Wanted, settings: Settings) -> None:
    if wanted.kind == EMAIL:
        if settings.smtp_url is None:
            raise UsageError("kind: this mirror sends no e-mail: it has no PARLEX_SMTP_URL")
        if not MAIL.fullmatch(wanted.address) or len(wanted.address) > 254:
            raise UsageError("address: must be an e-mail address, like you@example.org")
        same = func.lower(SubscriptionRow.address) == wanted.address.lower()
        asked = select(func.count()).where(same, SubscriptionRow.confirmed_at.is_(None))
        if (db.scalar(asked) or 0) >= MOST_UNCONFIRMED:
            raise UsageError("address: its owner was asked already, and has not agreed yet")
        return
    try:
        url = httpx.URL(wanted.address)
        if not settings.follow_private:
            webhooks.require_public(url.host)
    except (httpx.InvalidURL, ValueError) as error:
        raise UsageError(f"address: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.fragment:
        raise UsageError("address: must be like https://example.org/hook, without a name, a password or a fragment")
