"""The CustomResourceDefinition: that it is whole, structural and what the models say."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import Field

from loyalnest.kit.program.cel import Rule, matches
from loyalnest.kit.program.crd import definition, structural
from loyalnest.kit.program.fields import Model

SCHEMA = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema in `schema` with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from nodes(part, f"{path}.{name}")
    for key, sign in (("items", "[]"), ("additionalProperties", "{}")):
        if key in schema:
            yield from nodes(schema[key], path + sign)


def test_every_field_is_described_in_one_line_a_paragraph() -> None:
    for path, node in nodes(SCHEMA):
        if path not in {".apiVersion", ".kind", ".metadata"}:  # those are Kubernetes' own
            assert node["description"].endswith("."), path
            assert "  " not in node["description"]


def test_every_text_and_list_has_a_bound() -> None:
    """Without one, what a rule may cost cannot be estimated, and the API server refuses the definition."""
    for path, node in nodes(SCHEMA["properties"]["spec"], ".spec"):
        if node.get("type") == "string":
            assert "maxLength" in node or "enum" in node, path
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


def test_what_is_absent_in_a_program_has_no_default() -> None:
    spec = SCHEMA["properties"]["spec"]["properties"]
    assert "default" not in spec["referrals"]
    assert spec["dashboard"]["default"] == {}
    assert spec["retention"]["default"] == {"topicHours": 168, "inboxDays": 30}
    assert SCHEMA["required"] == ["spec"]


def test_a_field_has_the_rules_of_its_type_and_its_own() -> None:
    class Part(Model):
        api_rules = (Rule("self.many > 1", "must be several", ".many"),)
        many: int = Field(description="How many.")

    class Derived(Part):
        api_rules = (Rule("self.many < 9", "must be few"),)

    class Whole(Model):
        part: Annotated[Derived, Rule("self.many != 4", "must not be four")] | None = Field(default=None)

    rules = structural(Whole)["properties"]["part"]["x-kubernetes-validations"]
    assert [rule["message"] for rule in rules] == ["must be several", "must be few", "must not be four"]
    assert rules[0]["fieldPath"] == ".many"


def test_what_kubernetes_cannot_say_is_not_left_out_silently() -> None:
    class Choice(Model):
        value: int | str = 1

    class Multiple(Model):
        value: Annotated[int, Field(multiple_of=5)] = 5

    for model in (Choice, Multiple):
        with pytest.raises(ValueError, match="A structural schema"):
            structural(model)


def test_a_pattern_that_raw_text_cannot_hold_is_noticed() -> None:
    with pytest.raises(ValueError, match="quotation mark"):
        matches("self", "it's", "no name")
