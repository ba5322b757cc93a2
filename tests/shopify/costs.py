"""What a call of the GraphQL Admin API costs."""

from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
)

MOST_COST = 1000
"""Of a single query, whatever the plan."""

Variables = dict[str, Any]


def requested_cost(document: DocumentNode, operation: OperationDefinitionNode, variables: Variables) -> int:
    """10 for a mutation, 1 for an object, nothing for a scalar, and for a connection as often as it asks for items
    (shopify.dev "Cost calculation").
    """
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}

    def objects(selection_set: SelectionSetNode | None) -> int:
        total = 0
        for selection in selection_set.selections if selection_set else ():
            if isinstance(selection, FieldNode) and selection.selection_set:
                total += 1 + _items(selection, variables) * objects(selection.selection_set)
            elif isinstance(selection, InlineFragmentNode):
                total += objects(selection.selection_set)
            elif isinstance(selection, FragmentSpreadNode):
                total += objects(fragments[selection.name.value].selection_set)
        return total

    return max(1, objects(operation.selection_set)) + _mutations(operation)


def actual_cost(data: Variables | None, operation: OperationDefinitionNode) -> int:
    """The same, of what was answered: what is null cost nothing."""

    def objects(value: Any) -> int:
        if isinstance(value, dict):
            return sum(
                1 + objects(one) for one in value.values() if isinstance(one, dict) or (isinstance(one, list) and one)
            )
        return max((objects(one) for one in value), default=0) if isinstance(value, list) else 0

    return max(1, objects(data)) + _mutations(operation)


def _mutations(operation: OperationDefinitionNode) -> int:
    if operation.operation is not OperationType.MUTATION:
        return 0
    return 9 * len(operation.selection_set.selections)  # the tenth is the object it answers with


def _items(field: FieldNode, variables: Variables) -> int:
    """How many items a connection asks for; 1 for what is none."""
    for argument in field.arguments or ():
        if argument.name.value == "first":
            if isinstance(argument.value, VariableNode):
                return int(variables[argument.value.name.value])
            if isinstance(argument.value, IntValueNode):
                return int(argument.value.value)
    return 1
