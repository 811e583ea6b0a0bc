"""Every error of the application as a problem, in its answers and in the documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError, SQLAlchemyError, TimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from parlex.errors import UsageError
from parlex.serving.problems import MEDIA_TYPE, Problem, away, is_too_slow
from parlex.serving.queries import WrongCursor

log = structlog.get_logger(__name__)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "the kind of error: about:blank, or a name of ours"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "what is wrong, in words"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"parameter": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


# How the documents describe an answer that is one.
ANSWER: dict[str, Any] = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def install(app: FastAPI) -> None:
    """Make every error a problem, and say in the documents what that is."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        found = describe()
        found["components"]["schemas"].setdefault("Problem", SCHEMA)
        return found

    app.openapi = described  # type: ignore[method-assign]
    for kind in _PROBLEMS:
        app.add_exception_handler(kind, _answer)


def _answer(request: Request, error: Exception) -> Response:
    return response(problem_of(request, error))


def response(problem: Problem) -> Response:
    headers = {"Cache-Control": "no-store", **problem.headers}
    return Response(problem.content, problem.status, headers, MEDIA_TYPE)


def problem_of(request: Request, error: Exception) -> Problem:
    """The problem that an error of a request is; what nobody expected is logged."""
    made = next(of for kind, of in _PROBLEMS.items() if isinstance(error, kind))
    return made(request, error)


def _told(request: Request, error: Any) -> Problem:
    problem: Problem = error
    return problem


def _http(request: Request, error: Any) -> Problem:
    words = {404: f"there is nothing at {request.url.path}", 405: f"{request.method} is not allowed here"}
    return Problem(error.status_code, words.get(error.status_code, str(error.detail)), headers=error.headers)


def _unprocessable(request: Request, error: Any) -> Problem:
    found = [{"parameter": _parameter(one["loc"]), "detail": one["msg"]} for one in error.errors()]
    detail = "; ".join(f"{one['parameter']}: {one['detail']}" for one in found[:5])
    return Problem(422, detail, errors=found)


def _parameter(place: tuple[Any, ...]) -> str:
    return ".".join(str(part) for part in place[1:]) or str(place[0])


def _wrong(request: Request, error: Any) -> Problem:
    if isinstance(error, WrongCursor):
        return Problem(409, str(error), kind="wrong-cursor")
    return Problem(422, str(error))


def _database(request: Request, error: Any) -> Problem:
    if is_too_slow(error):
        return Problem(503, "the question takes too long: ask for less at once")
    if not _is_away(error):
        return _unexpected(request, error)
    log.warning("database", path=request.url.path, error=str(error).splitlines()[0])
    return away("the database does not answer, or too many ask at once")


def _is_away(error: Any) -> bool:
    """Whether it may answer later: it is away, or no connection came free."""
    return isinstance(error, OperationalError | TimeoutError) or getattr(error, "connection_invalidated", False)


def _unexpected(request: Request, error: Any) -> Problem:
    log.error("request failed", path=request.url.path, exc_info=error)
    return Problem(500, "the server failed; the log says more")


_PROBLEMS: dict[type[Exception], Callable[[Request, Any], Problem]] = {
    Problem: _told,
    HTTPException: _http,
    RequestValidationError: _unprocessable,
    UsageError: _wrong,
    SQLAlchemyError: _database,
    Exception: _unexpected,
}
