"""A GraphQL document's answer: what the datasets declare, read only, a statement for each level that is asked for.

Limits are checked before anything is read.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    execute_sync,
    get_operation_ast,
)
from sqlalchemy import Engine

from parlex.datasets.served import Collection, Served
from parlex.serving import graph_limits, graph_types
from parlex.serving.graph_limits import SECONDS, Measure, Refused
from parlex.serving.graph_rows import Reading, Stop, TooSlow
from parlex.serving.state import Fact

_KEPT = 32  # documents; one of a thousand tokens takes about a megabyte


class Graph:
    """``lists`` and ``facts``: what can be asked for beside the datasets."""

    def __init__(
        self, engine: Engine, every: Iterable[Served], lists: Iterable[Collection], facts: Mapping[str, Fact]
    ) -> None:
        self._engine, self._schema = engine, graph_types.schema(every, lists, facts)
        self._document = lru_cache(maxsize=_KEPT)(partial(graph_limits.document, self._schema))

    def answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """The status and the answer to the body of a request."""
        until = time.monotonic() + SECONDS
        try:
            result = self._execute(*_question(body), until)
        except Refused as refused:
            return 400, {"errors": [error.formatted for error in refused.errors]}
        except Stop as stop:
            if not isinstance(stop.cause, TooSlow):
                raise stop.cause from None
            return 400, {"errors": [{"message": f"it takes longer than {SECONDS:g} seconds: ask for less at once"}]}
        for error in result.errors or ():
            if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
                raise error.original_error
        return 200 if result.data is not None else 400, dict(result.formatted)

    def _execute(self, text: str, variables: dict[str, Any], name: str | None, until: float) -> ExecutionResult:
        document: DocumentNode = self._document(text)
        operation = get_operation_ast(document, name)
        if isinstance(operation, OperationDefinitionNode):
            Measure(document, variables).check(self._schema, operation)
        with self._engine.connect() as db:
            return execute_sync(
                self._schema,
                document,
                context_value=Reading(db, until),
                variable_values=variables,
                operation_name=name,
                field_resolver=graph_types.plain,
            )


def _question(body: bytes) -> tuple[str, dict[str, Any], str | None]:
    """The document, the variables and the operation's name that a body asks with. Refused where it is none."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(GraphQLError("the body is no JSON")) from None
    found = given if isinstance(given, dict) else {}
    text, variables, name = (found.get(part) for part in ("query", "variables", "operationName"))
    if not isinstance(text, str) or not isinstance(variables, dict | None) or not isinstance(name, str | None):
        raise Refused(GraphQLError('the body is not like {"query": "…", "variables": {…}, "operationName": "…"}'))
    return text, variables or {}, name
