"""What a GraphQL document may cost, known before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    Visitor,
    get_named_type,
    parse,
    validate,
    visit,
)

from parlex.serving.questions import USUAL

TOKENS = 1_000
ALIASES = 30
DEPTH = 6  # of fields within fields
COST = 20_000  # rows that could be read: each list counts as ``first``, for each row that it is below
SECONDS = 2.0
_ERRORS = 10  # told at most


class Refused(Exception):
    """A document that is wrong, or asks for too much."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__(*errors)
        self.errors = errors


def document(schema: GraphQLSchema, text: str) -> DocumentNode:
    """A document that is valid and has not too many words. Refused for another one."""
    try:
        found = parse(text, no_location=False, max_lexical_tokens=TOKENS)
    except GraphQLError as error:
        raise Refused(error) from None
    aliases = _Aliases()
    visit(found, aliases)
    if aliases.count > ALIASES:
        raise Refused(GraphQLError(f"there are {aliases.count} aliases: {ALIASES} at most"))
    if errors := validate(schema, found, max_errors=_ERRORS):
        raise Refused(*errors)
    return found


class _Aliases(Visitor):
    count = 0

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        self.count += node.alias is not None


@dataclass(frozen=True, slots=True)
class _Size:
    depth: int = 0
    cost: int = 0


class Measure:
    """The size of an operation. Each fragment is measured once, since fragments of fragments could be without end."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        found = document.definitions
        self._fragments = {one.name.value: one for one in found if isinstance(one, FragmentDefinitionNode)}
        self._measured: dict[str, _Size] = {}
        self._variables = variables

    def check(self, schema: GraphQLSchema, operation: OperationDefinitionNode) -> None:
        """Refused for an operation that is too deep or costs too much."""
        defaults = {
            one.variable.name.value: one.default_value.value
            for one in operation.variable_definitions or ()
            if isinstance(one.default_value, IntValueNode)
        }
        self._variables = {**defaults, **self._variables}
        assert schema.query_type is not None
        size = self._of(operation.selection_set, schema.query_type)
        if size.depth > DEPTH:
            raise Refused(GraphQLError(f"it is {size.depth} fields deep: {DEPTH} at most"))
        if size.cost > COST:
            told = f"the rows it could read are {size.cost:,}: {COST:,} at most; ask for fewer with first"
            raise Refused(GraphQLError(told))

    def _of(self, selections: SelectionSetNode, parent: GraphQLObjectType) -> _Size:
        depth = cost = 0
        for one in selections.selections:
            size = self._of_one(one, parent)
            depth, cost = max(depth, size.depth), cost + size.cost
        return _Size(depth, cost)

    def _of_one(self, node: Any, parent: GraphQLObjectType) -> _Size:
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name not in self._measured:
                self._measured[name] = self._of(self._fragments[name].selection_set, parent)
            return self._measured[name]
        if not isinstance(node, FieldNode):
            return self._of(node.selection_set, parent)
        if node.name.value.startswith("__"):
            return _Size()  # a rule of its own bounds what is asked of the schema
        if node.selection_set is None:
            return _Size(1)
        field = parent.fields[node.name.value]
        below = self._of(node.selection_set, get_named_type(field.type))
        rows = self._first(node) if "first" in field.args else 1
        return _Size(below.depth + 1, rows * (1 + below.cost))

    def _first(self, node: FieldNode) -> int:
        value = next((one.value for one in node.arguments or () if one.name.value == "first"), None)
        found: Any = None
        if isinstance(value, VariableNode):
            found = self._variables.get(value.name.value)
        elif isinstance(value, IntValueNode):
            found = value.value
        try:
            return max(1, int(found))
        except (TypeError, ValueError):
            return USUAL
