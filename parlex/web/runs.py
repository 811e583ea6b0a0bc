"""``POST /runs``: an operator has the workers fetch."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ValidationError
from starlette.responses import Response

from parlex.db.api_keys import OPERATOR
from parlex.serving.bodies import json_body
from parlex.serving.keys import require
from parlex.serving.problems import Problem
from parlex.serving.runs import LONGEST_KEY, Runs, Wanted
from parlex.web.problems import ANSWER

M = TypeVar("M", bound=BaseModel)


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
        wanted, once = await body_of(request, Wanted), request.headers.get("Idempotency-Key")
        if once is not None and not (0 < len(once) <= LONGEST_KEY and once.isprintable()):
            raise Problem(422, f"Idempotency-Key must have 1 to {LONGEST_KEY} characters")
        if runs is None:
            raise Problem(503, "this server does not reach the workers")
        run = await runs.start(wanted, key.id, once)
        headers = {"Location": f"{request.url.path}/{run.run_id}", "Cache-Control": "no-store"}
        return Response(json_body(run.story).content, 202, headers, "application/json")

    return found


def require_type(request: Request, wanted: str) -> None:
    """Problem 415 for a body that is of another type, by what it says of itself."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != wanted:
        raise Problem(415, f"the body must be {wanted}")


async def body_of(request: Request, model: type[M]) -> M:
    """The body as a model has it. Problem 415 for what is no JSON by its type, 422 for what does not fit."""
    require_type(request, "application/json")
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None
