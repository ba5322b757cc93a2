"""Checks that the Kubernetes API server makes itself, in CEL: each stands beside the Python check that it repeats.

They may refuse less than Python does, never more: what `loyalnest up` takes, a cluster takes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

VALIDATIONS = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class Rule:
    """One check of a model, or, among the metadata of `Annotated`, of a field.

    rule: an expression about `self` that is true if all is well; with `oldSelf` it is asked for changes only.
    message: what the person reads otherwise. place: the field below `self` that is to blame, such as `.points`.
    """

    rule: str
    message: str
    place: str = ""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return with_rules(handler(schema), [self])

    def to_json(self) -> dict[str, Any]:
        """As a CustomResourceDefinition has it."""
        found = {"rule": self.rule, "message": self.message}
        return found | ({"fieldPath": self.place} if self.place else {})


def with_rules(schema: JsonSchemaValue, rules: Iterable[Rule]) -> JsonSchemaValue:
    """`schema` with `rules` after those that it has."""
    every = [*schema.get(VALIDATIONS, ()), *(rule.to_json() for rule in rules)]
    return schema | ({VALIDATIONS: every} if every else {})


def matches(value: str, pattern: str, words: str) -> Rule:
    """That the text `value` (an expression) matches `pattern`, which Go and Python must read alike."""
    if "'" in pattern:
        raise ValueError("CEL's raw text has no way to write a quotation mark.")
    return Rule(f"{value}.matches(r'{pattern}')", f"must be {words}")


def unique(items: str, key: str, words: str) -> Rule:
    """That no two `items` (a field) have an equal `key`, an expression about `item`."""
    return Rule(
        f"self.{items}.map(item, {key}).all(one, self.{items}.exists_one(item, {key} == one))", words, f".{items}"
    )
