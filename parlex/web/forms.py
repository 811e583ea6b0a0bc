"""The form of the follow page: news by e-mail, for whoever has no key. Only where the server sends e-mail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import LANGUAGES
from parlex.db.clock import Clock
from parlex.errors import UsageError
from parlex.follow import subscriptions
from parlex.follow.subscriptions import EMAIL, Wanted
from parlex.runs.run_log import Transactions
from parlex.serving import paths
from parlex.serving.threads import Threads
from parlex.settings import Settings
from parlex.web.pages.simple import FORM
from parlex.web.runs import require_type

_MEDIA_TYPE = "application/x-www-form-urlencoded"


def router(db: Transactions, datasets: Mapping[str, Dataset], settings: Settings) -> APIRouter:
    """Takes the form of each language's page, and leads back to it: with what was given, where that cannot be. The
    address is not part of where it leads: what is asked of a server is written into logs."""
    found = APIRouter()
    threads = Threads(1)

    def subscribe(given: Mapping[str, str], lang: str) -> dict[str, str]:
        chosen = {name: text for name in FORM if (text := given.get(name, "").strip())}
        about: dict[str, Any] = {"address": given.get("address", "").strip(), "when": chosen.get("when", "now")}
        sought = {name: text for name, text in chosen.items() if name != "when"}
        try:
            wanted = Wanted.model_validate({"kind": EMAIL, "language": lang, "filter": sought, **about})
            with db() as session:
                subscriptions.create(session, wanted, datasets, settings, public=True, now=Clock(session).now())
        except ValidationError as error:
            return chosen | {"wrong": str(error.errors()[0]["loc"][0])}
        except UsageError as error:
            return chosen | {"wrong": str(error).partition(":")[0].partition(".")[0]}
        return {"asked": "yes"}

    def add(lang: str) -> None:
        here = paths.path(lang, "follow")

        async def answer(request: Request) -> Response:
            require_type(request, _MEDIA_TYPE)
            given = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), max_num_fields=20))
            led = await threads.run(lambda: subscribe(given, lang))
            return RedirectResponse(f"{here}?{paths.query_of(led)}#subscribe", 303, {"Cache-Control": "no-store"})

        found.add_api_route(here, answer, methods=["POST"], include_in_schema=False)

    for lang in LANGUAGES:
        add(lang)
    return found
