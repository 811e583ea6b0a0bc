"""GraphQL at ``POST /graphql``, in a thread of those that ask the database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from parlex.datasets.dataset import Dataset
from parlex.datasets.served import Collection
from parlex.serving.state import Fact
from parlex.web.context import Context

if TYPE_CHECKING:
    from parlex.serving.graph import Graph

BYTES = 16 * 1024  # of a request's body


def router(
    context: Context, datasets: Mapping[str, Dataset], lists: Iterable[Collection], facts: Mapping[str, Fact]
) -> APIRouter:
    """The route. ``lists`` and ``facts``: what can be asked for beside the datasets."""
    found = APIRouter()

    @cache
    def graph() -> Graph:
        from parlex.serving.graph import Graph  # with its library, six megabytes, for who asks

        return Graph(context.engine, [d.served for d in datasets.values() if d.served], lists, facts)

    @found.post("/graphql", include_in_schema=False)
    async def answer(request: Request) -> Response:
        body = await request.body()  # which the door has bounded
        if len(body) > BYTES:
            return _response(400, {"errors": [{"message": f"the body is larger than {BYTES} bytes"}]})
        return _response(*await context.in_thread(lambda: graph().answer(body)))

    return found


def _response(status: int, told: Mapping[str, Any]) -> Response:
    content = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    return Response(content, status, {"Cache-Control": "no-store"}, "application/json")
