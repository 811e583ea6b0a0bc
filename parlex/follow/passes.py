"""One pass of a worker: what is due is written down for each subscription, and sent, many at a time.

For each subscription one message is under way; what comes after it is written down when it has arrived. So the order
holds, and a receiver that is away delays nobody else. What was never sent before and what failed before have threads
of their own: receivers that hang hold up no others.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from parlex import __version__
from parlex.answers import counted
from parlex.db import outbox
from parlex.db.clock import Clock
from parlex.db.models import DeliveryRow, SubscriptionRow
from parlex.follow import bodies, mails, subscriptions, webhooks
from parlex.follow.bodies import Composed
from parlex.follow.matching import Found, found
from parlex.follow.subscriptions import WEBHOOK
from parlex.follow.webhooks import Sent
from parlex.mirror import history
from parlex.resources import Resources
from parlex.settings import Settings
from parlex.watch import notify
from parlex.watch.notify import Message

log = structlog.get_logger(__name__)

RETRIES = [timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=6)]
GIVE_UP = timedelta(days=5)  # without an answer that will do: paused
THREADS = 16  # for the first tries, and as many for the others
LOOKED_AT = 200  # subscriptions at a time
CALL_SECONDS = 20.0  # how long one pass takes up new work
SOON = timedelta(seconds=10)  # what is due within that is waited for
TURN = 0.5  # seconds after which one looks for news again, whatever one waits for


def are_wanted(resources: Resources) -> bool:
    """Whether there is a subscription at all."""
    with resources.db() as db:
        return db.scalar(select(SubscriptionRow.id).limit(1)) is not None


def run(resources: Resources) -> int:
    """Write down and send all that is due; how many arrived. Any number of processes may do so at once."""
    until, arrived = time.monotonic() + CALL_SECONDS, 0
    with resources.db() as db:
        clock = Clock(db)  # whoever subscribed, or sends beside us, may be on another host
    with ExitStack() as ending:
        lanes = [_Lane(ending.enter_context(ThreadPoolExecutor(THREADS, "deliver"))) for _ in range(2)]
        look = True
        while True:
            now = clock.now()
            open_ = time.monotonic() < until
            while open_ and look and plan(resources, now) == LOOKED_AT:
                pass
            taken = sum(_take(resources, lane, again=lane is lanes[1], now=now) for lane in lanes) if open_ else 0
            under_way = [each for lane in lanes for each in lane.sending]
            if not under_way and not (open_ and _wait(resources, until, now)):
                return arrived
            done = wait(under_way, timeout=TURN, return_when=FIRST_COMPLETED).done if under_way else set()
            for lane in lanes:
                for each in lane.sending.keys() & done:
                    arrived += _note(resources, lane.sending.pop(each), each.result(), clock.now())
            look = bool(done) or not taken


@dataclass
class _Lane:
    threads: ThreadPoolExecutor
    sending: dict[Future[Sent], DeliveryRow] = field(default_factory=dict)


def plan(resources: Resources, now: datetime) -> int:
    """Write down what is news for the subscriptions that are due for a look, some at a time; how many were looked at.

    Where there is no news, the cursor moves on, and nobody looks again before the history has grown.
    """
    settings, datasets = resources.settings, resources.datasets
    row = SubscriptionRow
    with resources.db() as db:
        last = history.last_seq(db)
        open_ = exists().where(
            DeliveryRow.subscription_id == row.id, outbox.waiting(DeliveryRow), DeliveryRow.type != "test"
        )
        due = select(row).where(subscriptions.active(), row.next_look_at <= now, row.cursor < last, ~open_)
        due = due.order_by(row.cursor, row.id).limit(LOOKED_AT).with_for_update(skip_locked=True, of=row)
        held = {one.id: one for one in db.scalars(due)}
        for name, news in found(db, held, datasets, last=last, most=settings.follow_most):
            subscription = held[name]
            if news.seqs:
                composed, type = _compose(db, resources, subscription, news, last)
                about = {"after": subscription.cursor, "to": composed.to, "changes": composed.changes}
                subscriptions.put(db, subscription, type, now=now, **about, body=composed.body)
            else:
                subscription.cursor = news.looked_to
            at_end = news.looked_to == last and not news.more
            subscription.caught_up = subscription.caught_up or (at_end and not news.seqs)
            if subscription.when != "now" and at_end:
                subscription.next_look_at = subscriptions.next_look(subscription.when, now)
    return len(held)


def _compose(
    db: Session, resources: Resources, subscription: SubscriptionRow, news: Found, last: int
) -> tuple[Composed, str]:
    settings = resources.settings
    if news.more and subscription.caught_up:
        tell = bodies.too_many if subscription.kind == WEBHOOK else mails.too_many
        return tell(subscription, last, settings.follow_most, settings), "too_many"
    compose = bodies.changes if subscription.kind == WEBHOOK else mails.digest
    return compose(db, subscription, news, resources.datasets, settings), "changes"


def _take(resources: Resources, lane: _Lane, *, again: bool, now: datetime) -> int:
    """Claim what is due for as many threads as are free, and begin to send it; how many."""
    room, row = THREADS - len(lane.sending), DeliveryRow
    if not room:
        return 0
    mine = [sent.id for sent in lane.sending.values()]
    where = row.id.not_in(mine), (row.attempt > 0) if again else (row.attempt == 0), _is_wanted()
    lease = timedelta(seconds=resources.settings.lease_seconds)
    with resources.db() as db:
        claimed = outbox.claim(db, row, *where, now=now, lease=lease, most=room)
        names = [each.subscription_id for each in claimed]
        held = {one.id: one for one in db.scalars(select(SubscriptionRow).where(SubscriptionRow.id.in_(names)))}
    for each in claimed:
        lane.sending[lane.threads.submit(_send, resources.settings, each, held[each.subscription_id])] = each
    return len(claimed)


def _is_wanted() -> ColumnElement[bool]:
    """Whether the receiver of a message is sent it, as things are."""
    row, of = DeliveryRow, SubscriptionRow
    told = select(of.id).where(subscriptions.active())
    asked = select(of.id).where(of.confirmed_at.is_(None), of.paused_at.is_(None))
    confirm = (row.type == "confirm") & row.subscription_id.in_(asked)
    return or_(row.type == "test", row.subscription_id.in_(told), confirm)


def _send(settings: Settings, delivery: DeliveryRow, subscription: SubscriptionRow) -> Sent:
    now = datetime.now(UTC)
    if subscription.kind != WEBHOOK:
        return mails.send(settings, delivery, subscription, now)
    body, name, timestamp = (delivery.body or "").encode(), f"msg_{delivery.id.hex}", int(now.timestamp())
    contact = f" (+{settings.contact})" if settings.contact else ""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"parlex/{__version__}{contact}",
        "webhook-id": name,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": webhooks.signature(subscriptions.signing(subscription, now), name, timestamp, body),
    }
    return webhooks.post(subscription.address, body, headers, private=settings.follow_private)


def _note(resources: Resources, delivery: DeliveryRow, sent: Sent, now: datetime) -> bool:
    """What came of one; whether it arrived."""
    about = {"status": sent.status, "answer": sent.answer, "sent_at": now}
    with resources.db() as db:
        subscription = db.get(SubscriptionRow, delivery.subscription_id, with_for_update=True)
        if subscription is None:
            return False  # it was ended meanwhile
        if sent.error is None:
            outbox.note(db, delivery, None, now=now, again=None, **about, body=None)
            if delivery.type != "test":
                subscription.failing_since = None
                subscription.cursor = max(subscription.cursor, delivery.to)
            return True
        outbox.note(db, delivery, sent.error, now=now, again=_again(delivery, sent), **about)
        log.warning("retry", what="delivery", delivery=str(delivery.id), error=sent.error, attempt=delivery.attempt)
        if delivery.type != "test":
            _fail(resources, db, subscription, sent, now)
    return False


def _again(delivery: DeliveryRow, sent: Sent) -> timedelta | None:
    if delivery.type == "test":
        return None
    return max(outbox.wait_of(delivery, RETRIES), min(timedelta(seconds=sent.retry_after or 0), GIVE_UP))


def _fail(resources: Resources, db: Session, subscription: SubscriptionRow, sent: Sent, now: datetime) -> None:
    subscription.failing_since = subscription.failing_since or now
    subscription.caught_up = False
    if sent.gone or now - subscription.failing_since >= GIVE_UP:
        because = str(sent.error) if sent.gone else f"for {counted(GIVE_UP.days, 'day')}: {sent.error}"
        subscriptions.pause(subscription, because, now=now)
        log.error("subscription paused", subscription=str(subscription.id), because=because)
        message = Message("warning", f"Parlex: subscription {subscription.id} is paused", because)
        notify.put(db, f"paused {subscription.id} {now}", message, notify.targets(resources.settings), now=now)


def _wait(resources: Resources, until: float, now: datetime) -> bool:
    """Wait for what is due soon, if there is any."""
    soonest = select(func.min(DeliveryRow.next_attempt_at)).where(outbox.waiting(DeliveryRow), _is_wanted())
    with resources.db() as db:
        due = db.scalar(soonest)
    if due is None or due - now > SOON:
        return False
    time.sleep(min(max((due - now).total_seconds(), 0.05), max(until - time.monotonic(), 0), TURN))
    return True
