"""``/subscriptions``: a subscriber says what to be told of, and where; and sees and changes what was said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from sqlalchemy.orm import Session
from starlette.responses import Response

from parlex.datasets.dataset import Dataset
from parlex.db.api_keys import SUBSCRIBER
from parlex.db.clock import Clock
from parlex.db.models import SubscriptionRow
from parlex.follow import mails, subscriptions
from parlex.follow.subscriptions import Delivery, Subscription, Wanted
from parlex.runs.run_log import Transactions
from parlex.serving import questions
from parlex.serving.bodies import json_body
from parlex.serving.keys import require
from parlex.serving.problems import Problem
from parlex.serving.threads import Threads
from parlex.settings import Settings
from parlex.web.problems import ANSWER
from parlex.web.runs import body_of

_THREADS = 2
_POLICY = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
Act = Callable[[Session, SubscriptionRow, datetime], Any]  # what it answers; None: nothing
Change = Callable[[Session, str, datetime], Any]


def router(db: Transactions, datasets: Mapping[str, Dataset], settings: Settings) -> APIRouter:
    """What a subscriber's key may do. Its own subscriptions are there for it, and no others."""
    bearer = HTTPBearer(auto_error=False, description="a key that `parlex keys add` printed")
    found = APIRouter(prefix="/subscriptions", tags=["subscriptions"], dependencies=[Security(bearer)])
    threads = Threads(_THREADS)
    row_model = questions.model_of("Subscription", Subscription)

    async def work(request: Request, change: Change) -> Response:
        key = _subscriber(request)
        return await write(request, lambda session, now: change(session, key, now))

    async def write(request: Request, change: Callable[[Session, datetime], Any], status: int = 200) -> Response:
        def make() -> Any:
            with db() as session:
                return change(session, Clock(session).now())

        try:
            answer = await threads.run(make)
        except subscriptions.Unknown as error:
            raise Problem(404, str(error)) from None
        headers = {"Cache-Control": "no-store"}
        if answer is None:
            return Response(None, 204, headers)
        if status == HTTPStatus.CREATED:
            headers["Location"] = f"{request.url.path}/{answer['id']}"
        return Response(json_body(answer).content, status, headers, "application/json")

    def add(
        method: str, path: str, name: str, help: str, act: Act, model: type[BaseModel] | None = None, status: int = 200
    ) -> None:
        """A route of one subscription."""

        async def answer(request: Request, id: UUID) -> Response:
            return await work(
                request, lambda session, key, now: act(session, subscriptions.get(session, id, of=key), now)
            )

        about: dict[str, Any] = {"summary": help, "operation_id": name, "name": name, "responses": _answers(404, 422)}
        if model is not None:
            about["responses"][status] = {"description": help, "model": model}
        found.add_api_route(path, answer, methods=[method], status_code=status, response_model=None, **about)

    made = questions.model_of("NewSubscription", Subscription, ("secret", str | None))
    told = _answers(415, 422)
    told[201] = {"description": "It is made. Its secret is told this once.", "model": made}
    body = {"required": True, "content": {"application/json": {"schema": Wanted.model_json_schema()}}}

    @found.post(
        "", status_code=201, summary="Be told what changes.", operation_id="subscribe", response_model=None,
        responses=told, description="An e-mail address needs no key where the server sends e-mail: its owner is asked.",
        openapi_extra={"requestBody": body, "security": [{"HTTPBearer": []}, {}]},
    )  # fmt: skip
    async def create(request: Request) -> Response:
        key = getattr(request.state, "key", None)
        if key is not None or settings.smtp_url is None:
            _subscriber(request)
        wanted = await body_of(request, Wanted)
        if wanted.kind != subscriptions.EMAIL:
            _subscriber(request)

        def change(session: Session, now: datetime) -> Any:
            owner = {"public": True} if key is None else {"key_id": key.id}
            row, secret = subscriptions.create(session, wanted, datasets, settings, now=now, **owner)
            return subscriptions.told(session, row).as_json() | ({"secret": secret} if secret else {})

        return await write(request, change, 201)

    listed = questions.list_of("Subscription", row_model)

    @found.get(
        "", summary="The subscriptions of this key.", operation_id="subscriptions", response_model=None,
        responses=_answers() | {200: {"description": "All, the oldest first.", "model": listed}},
    )  # fmt: skip
    async def every(request: Request) -> Response:
        return await work(request, lambda session, key, now: _list(subscriptions.listed(session, of=key)))

    def one(session: Session, row: SubscriptionRow, now: datetime) -> Any:
        return subscriptions.told(session, row).as_json()

    def pause(session: Session, row: SubscriptionRow, now: datetime) -> Any:
        subscriptions.pause(row, "by its subscriber", now=now)
        return one(session, row, now)

    def resume(session: Session, row: SubscriptionRow, now: datetime) -> Any:
        subscriptions.resume(session, row, now=now)
        return one(session, row, now)

    def test(session: Session, row: SubscriptionRow, now: datetime) -> Any:
        return {"delivery": str(subscriptions.test(session, row, now=now).id)}

    def delete(session: Session, row: SubscriptionRow, now: datetime) -> None:
        session.delete(row)

    sent = questions.list_of("Delivery", questions.model_of("Delivery", Delivery))
    add("GET", "/{id}", "subscription", "One subscription.", one, row_model)
    add("DELETE", "/{id}", "unsubscribe", "End it.", delete, status=204)
    add("POST", "/{id}/pause", "pause_subscription", "Send nothing until it is resumed.", pause, row_model)
    add("POST", "/{id}/resume", "resume_subscription", "Go on where it stood.", resume, row_model)
    add("POST", "/{id}/test", "test_subscription", "Send a message that tells of nothing, once.", test)
    add("POST", "/{id}/rotate", "rotate_secret", "A new secret, told this once; the old one signs too for a day.",
        lambda _, row, now: {"secret": subscriptions.rotate(row, now=now)})  # fmt: skip
    add("GET", "/{id}/deliveries", "deliveries", "What was sent lately, and what was answered.",
        lambda session, row, _: _list(subscriptions.deliveries(session, row)), sent)  # fmt: skip
    return found


def links(db: Transactions) -> APIRouter:
    """Where the links of an e-mail lead. Reading one shows a button; only what is posted changes anything."""
    found = APIRouter(prefix="/subscriptions")
    threads = Threads(_THREADS)

    async def answer(request: Request, id: UUID, act: Literal["confirm", "unsubscribe"], token: str) -> Response:
        posted = request.method == "POST"

        def make() -> str:
            with db() as session:
                row = subscriptions.by_link(session, id, act, token)
                if posted and act == subscriptions.CONFIRM:
                    subscriptions.confirm(session, row, now=Clock(session).now())
                elif posted:
                    session.delete(row)
                return mails.page(row, act, done=posted)

        try:
            page = await threads.run(make)
        except subscriptions.Unknown as error:
            raise Problem(404, str(error)) from None
        headers = {"Cache-Control": "no-store", "Content-Security-Policy": _POLICY}
        return Response(page, headers=headers, media_type="text/html; charset=utf-8")

    found.add_api_route("/{id}/{act}", answer, methods=["GET", "POST"], include_in_schema=False)
    return found


def _subscriber(request: Request) -> str:
    return require(getattr(request.state, "key", None), SUBSCRIBER).id


def _list(rows: Any) -> Any:
    return {"data": [row.as_json() for row in rows], "next": None}


def _answers(*more: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": HTTPStatus(status).phrase, **ANSWER} for status in (401, 403, 503, *more)}
