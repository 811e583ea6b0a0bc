"""How a route is made: the signature that FastAPI reads, and what the documents say of its answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from inspect import Parameter, Signature
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from parlex.serving import formats
from parlex.serving.questions import Parameters
from parlex.web.problems import ANSWER

Answer = Callable[[Request, Any], Awaitable[Response]]  # of a request and its parameters

_KEY_LENGTH = 200


def get(
    router: APIRouter,
    path: str,
    answer: Answer,
    *,
    help: str,
    tag: str,
    parameters: type[Parameters] = Parameters,
    parts: Mapping[str, str] | None = None,
    model: type[BaseModel] | None = None,
    written_as: tuple[str, ...] = (formats.JSON,),
    problems: Mapping[int, str] | None = None,
) -> None:
    """Add a route for GET. ``parts``: an example of each part of the path. ``problems``: those that others lack."""
    content: dict[str, Any] = {formats.MEDIA_TYPES[name].partition(";")[0]: {} for name in written_as}
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": help, "content": content, **({"model": model} if model else {})},
        304: {"description": "The client has it: If-None-Match."},
        404: {"description": "There is no such thing.", **ANSWER},
        406: {"description": "It is not written like that.", **ANSWER},
        409: {"description": "The cursor is of another question.", **ANSWER},
        414: {"description": "The address is too long.", **ANSWER},
        422: {"description": "A parameter is wrong.", **ANSWER},
        429: {"description": "Too many questions: see Retry-After.", **ANSWER},
        503: {"description": "The database does not answer, or not in time.", **ANSWER},
        **{status: {"description": why, **ANSWER} for status, why in (problems or {}).items()},
    }
    name = path.strip("/").replace("/", "_").replace("{", "").replace("}", "")
    router.add_api_route(
        path,
        _endpoint(answer, parameters, parts or {}),
        responses=answers,
        summary=help,
        operation_id=name,
        name=name,
        response_model=None,
        tags=[tag],
    )


def _endpoint(answer: Answer, parameters: type[Parameters], parts: Mapping[str, str]) -> Any:
    async def endpoint(request: Request, query: Any, **parts: str) -> Response:
        return await answer(request, query)

    about = [("request", Request), ("query", Annotated[parameters, Query()])]
    about += [(name, Annotated[str, Path(examples=[one], max_length=_KEY_LENGTH)]) for name, one in parts.items()]
    named = [Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind) for name, kind in about]
    endpoint.__signature__ = Signature(named)  # type: ignore[attr-defined]
    return endpoint
