"""The commands of those who follow: who is told of what, and what became of what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from parlex.cli.frame import Commands, Json, command, looking, note, print_json, reading
from parlex.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from parlex.db.models import SubscriptionRow

follow = typer.Typer(cls=Commands, help="See to those who are told what changes.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="The subscription's id, as parlex follow list has it.")]


def _text(help: str) -> Any:
    return typer.Option(help=help, metavar="TEXT")


@command(follow)
def add(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="A webhook's address, or an e-mail address.")],
    dataset: Annotated[str | None, _text("Only of this dataset.")] = None,
    session: Annotated[str | None, _text("Only of this session, like 45-1.")] = None,
    number: Annotated[list[str] | None, _text("Only of this number, like C-2; may be given again.")] = None,
    status: Annotated[list[str] | None, _text("Only of bills with this status; may be given again.")] = None,
    sponsor: Annotated[str | None, _text("Only of bills of this sponsor.")] = None,
    politician: Annotated[str | None, _text("Only of divisions in which this member has a ballot.")] = None,
    q: Annotated[str | None, _text("Only of what has all these words.")] = None,
    include: Annotated[list[str] | None, _text("Also backfills, or reparsed; may be given again.")] = None,
    when: Annotated[str, _text("now, daily or weekly.")] = "now",
    language: Annotated[str, _text("en or fr.")] = "en",
    after: Annotated[int | None, typer.Option(help="What came after that line of the history.", metavar="SEQ")] = None,
) -> None:
    """Tell somebody what changes, and print the id, and the secret that signs what a webhook is sent, this once.

    Example: parlex follow add https://example.org/hook --dataset bills --session 45-1 --number C-2
    """
    from pydantic import ValidationError

    from parlex.follow import subscriptions

    asked = {"dataset": dataset, "session": session, "number": number, "status": status, "sponsor": sponsor}
    asked |= {"politician": politician, "q": q, "include": include}
    kind = subscriptions.EMAIL if "@" in address and "://" not in address else subscriptions.WEBHOOK
    given = {"kind": kind, "address": address, "when": when, "language": language, "after": after}
    try:
        wanted = subscriptions.Wanted.model_validate(given | {"filter": {k: v for k, v in asked.items() if v}})
    except ValidationError as error:
        found = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, found['loc']))}: {found['msg']}") from None
    with looking() as resources, resources.db() as db:
        row, secret = subscriptions.create(db, wanted, resources.datasets, resources.settings, now=_now(db))
    print(row.id)
    if secret:
        print(secret)
        note("keep the secret: it is shown this once")
    else:
        note("its owner is asked first")


@command(follow, name="list")
def list_all(as_json: Json = False) -> None:
    """List who is told of what."""
    from parlex.follow import subscriptions

    with reading() as db:
        for one in subscriptions.listed(db, of=None):
            if as_json:
                print_json(one.as_json())
            else:
                given = {name: ",".join(v) if isinstance(v, list) else v for name, v in one.filter.items()}
                told = " ".join(f"{name}={text}" for name, text in given.items()) or "everything"
                print(f"{one.id}  {one.state:11}  {one.when:6}  {one.address}  {told}")


@command(follow)
def show(subscription: Id) -> None:
    """Show one, as JSON."""
    from parlex.follow import subscriptions

    with _one(subscription) as (db, row):
        print_json(subscriptions.told(db, row).as_json())


@command(follow)
def pause(subscription: Id) -> None:
    """Send nothing until it is resumed; nothing is lost."""
    from parlex.follow import subscriptions

    with _one(subscription) as (db, row):
        subscriptions.pause(row, "by the operator", now=_now(db))


@command(follow)
def resume(subscription: Id) -> None:
    """Go on where it stood."""
    from parlex.follow import subscriptions

    with _one(subscription) as (db, row):
        subscriptions.resume(db, row, now=_now(db))


@command(follow)
def test(subscription: Id) -> None:
    """Send a webhook a message that tells of nothing, once; parlex follow deliveries shows what was answered."""
    from parlex.follow import subscriptions

    with _one(subscription) as (db, row):
        print(subscriptions.test(db, row, now=_now(db)).id)


@command(follow)
def rotate(subscription: Id) -> None:
    """Print a new secret, this once; the old one signs too for a day."""
    from parlex.follow import subscriptions

    with _one(subscription) as (db, row):
        secret = subscriptions.rotate(row, now=_now(db))
    print(secret)


@command(follow)
def delete(subscription: Id) -> None:
    """End one."""
    with _one(subscription) as (db, row):
        db.delete(row)


@command(follow)
def deliveries(subscription: Id, as_json: Json = False) -> None:
    """List what was sent lately, newest first, and what was answered."""
    from parlex.follow import subscriptions

    with _one(subscription) as (db, row):
        for one in subscriptions.deliveries(db, row):
            if as_json:
                print_json(one.as_json())
            else:
                came = "arrived" if one.delivered_at else one.error or "waits"
                print(f"{one.created_at:%Y-%m-%d %H:%M:%S}  {one.type:8}  {one.after}-{one.to}  {came}")


def _now(db: Session) -> datetime:
    """By the database's clock, as whoever sends goes by it."""
    from parlex.db.clock import Clock

    return Clock(db).now()


@contextmanager
def _one(subscription: str) -> Iterator[tuple[Session, SubscriptionRow]]:
    """One subscription, in a transaction. UsageError where there is none."""
    from parlex.follow import subscriptions

    try:
        name = UUID(subscription)
    except ValueError:
        raise UsageError(f"{subscription!r:.50} is no id: see parlex follow list") from None
    with looking() as resources, resources.db() as db:
        yield db, subscriptions.get(db, name, of=None)
