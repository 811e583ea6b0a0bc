"""``POST /runs``: an operator has the workers fetch."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import ValidationError
from starlette.responses import Response

from parlex.db.api_keys import OPERATOR
from parlex.serving.bodies import json_body
from parlex.serving.keys import require
from parlex.serving.problems import Problem
from parlex.serving.runs import LONGEST_KEY, Runs, Wanted
from parlex.web.problems import ANSWER


def router(runs: Runs | None) -> APIRouter:
    """``runs`` None: a server that cannot reach the workers; it says so to whoever has a key."""
    found = APIRouter()
    bearer = HTTPBearer(auto_error=False, description="a key that `parlex keys add` printed")
    body = {"required": True, "content": {"application/json": {"schema": Wanted.model_json_schema()}}}
    told = dict.fromkeys((401, 403, 409, 415, 422, 503), ANSWER)
    answers: dict[int | str, dict[str, Any]] = {
        202: {"description": "The run, new or joined.", "headers": {"Location": {"schema": {"type": "string"}}}},
        **{status: {"description": HTTPStatus(status).phrase, **problem} for status, problem in told.items()},
    }

    @found.post(
        "/runs", status_code=202, summary="Have the workers fetch, or join the equal run that is under way.",
        operation_id="start_run", responses=answers, tags=["mirror"], dependencies=[Security(bearer)],
        openapi_extra={"requestBody": body, "parameters": [
            {"in": "header", "name": "Idempotency-Key", "schema": {"type": "string", "maxLength": LONGEST_KEY}}
        ]},
    )  # fmt: skip
    async def start(request: Request) -> Response:
        key = require(getattr(request.state, "key", None), OPERATOR)
        wanted, once = await _wanted(request), request.headers.get("Idempotency-Key")
        if once is not None and not (0 < len(once) <= LONGEST_KEY and once.isprintable()):
            raise Problem(422, f"Idempotency-Key must have 1 to {LONGEST_KEY} characters")
        if runs is None:
            raise Problem(503, "this server does not reach the workers")
        run = await runs.start(wanted, key.id, once)
        headers = {"Location": f"{request.url.path}/{run.run_id}", "Cache-Control": "no-store"}
        return Response(json_body(run.story).content, 202, headers, "application/json")

    return found


async def _wanted(request: Request) -> Wanted:
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "the body must be application/json")
    try:
        return Wanted.model_validate_json(await request.body())
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None
