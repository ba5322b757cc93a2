"""The CustomResourceDefinition of LoyaltyProgram, made from the models that `loyalnest up` and the operator read."""

import json
from typing import Any

from pydantic import BaseModel

from loyalnest.kit.program.cel import VALIDATIONS
from loyalnest.kit.program.spec import API_VERSION, KIND, LoyaltyProgram
from loyalnest.kit.program.status import ProgramStatus

PLURAL = "loyaltyprograms"

Schema = dict[str, Any]

_KEPT = (
    "type",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)
_REWRITTEN = {"description", "properties", "items", "patternProperties", "additionalProperties", VALIDATIONS}
_DROPPED = {"title", "propertyNames"}
"""Titles repeat the names. Of a mapping's keys a structural schema can say nothing; a rule in CEL does."""


def definition() -> dict[str, Any]:
    """The whole CustomResourceDefinition, as plain values."""
    group, _, name = API_VERSION.partition("/")
    version = {
        "name": name,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _columns(),
        "schema": {"openAPIV3Schema": _root()},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{group}"},
        "spec": {
            "group": group,
            "scope": "Cluster",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["lp", "loyalty"],
                "categories": ["loyalnest"],
            },
            "versions": [version],
        },
    }


def _columns() -> list[dict[str, str]]:
    """What `kubectl get` shows."""

    def column(name: str, path: str, words: str, kind: str = "string") -> dict[str, str]:
        return {"name": name, "type": kind, "jsonPath": path, "description": words}

    return [
        column("Tier", ".spec.tier", "How the merchant is packed."),
        column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the merchant is served."),
        column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why, in one word."),
        column("Shop", ".spec.shop.domain", "The merchant's shop."),
        column("Version", ".status.version", "Version of LoyalNest that runs."),
        column("Merchant Orders/h", ".status.ordersPerHour", "Orders in the last hour, where known.", "integer"),
        column("Age", ".metadata.creationTimestamp", "Time since the program was made.", "date"),
    ]


def _root() -> Schema:
    """Schema of the whole document. What Kubernetes itself has in every object is left to it."""
    root = structural(LoyaltyProgram)
    own = ("apiVersion", "kind", "metadata")
    properties = {name: schema for name, schema in root["properties"].items() if name not in own}
    return {
        "description": root["description"],
        "type": "object",
        "required": [name for name in root["required"] if name not in own],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            **properties,
            "status": structural(ProgramStatus),
        },
        VALIDATIONS: root[VALIDATIONS],
    }


def structural(model: type[BaseModel]) -> Schema:
    """The structural schema of `model`: the subset of JSON Schema that Kubernetes takes, with nothing referred to.

    Raises ValueError if the model has something that the subset cannot say, so that no check is lost unnoticed.
    """
    schema = model.model_json_schema(by_alias=True)
    # Through text, so that no two places share an object: YAML would write the second as an alias.
    found: Schema = json.loads(json.dumps(_structural(schema, schema.get("$defs", {}))))
    return found


def _structural(schema: Schema, definitions: Schema) -> Schema:
    node = _resolved(schema, definitions)
    unknown = set(node) - set(_KEPT) - _REWRITTEN - _DROPPED
    if unknown:
        raise ValueError(f"A structural schema cannot say {', '.join(sorted(unknown))}: {node}")
    found: Schema = {}
    if "description" in node:
        found["description"] = _unfolded(node["description"])
    found |= {key: node[key] for key in _KEPT if key in node}
    if VALIDATIONS in node:
        # A pattern that has a rule in words beside it would be told twice, and once as a regular expression.
        found.pop("pattern", None)
    if "properties" in node:
        found["properties"] = {name: _structural(part, definitions) for name, part in node["properties"].items()}
    if "items" in node:
        found["items"] = _structural(node["items"], definitions)
    values = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    if values[0]:
        found["additionalProperties"] = _structural(values[0], definitions)
    if VALIDATIONS in node:
        found[VALIDATIONS] = node[VALIDATIONS]
    return found


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """`schema` with what it refers to put in, without null as a choice or default, and a constant as an enumeration.

    Kubernetes drops a null where it is not allowed, which is what null means in a program: the same as absent.
    """
    node = dict(schema)
    choices = [choice for choice in node.pop("anyOf", []) if choice.get("type") != "null"]
    if len(choices) > 1:
        raise ValueError(f"A structural schema has one type for a field: {schema}")
    for choice in choices:
        node = _merged(choice, node)
    if "$ref" in node:
        target = definitions[node.pop("$ref").rpartition("/")[2]]
        return _resolved(_merged(target, node), definitions)
    if "const" in node:
        node["enum"] = [node.pop("const")]
    node.pop("$defs", None)
    if "default" in node:
        default = _without_nulls(node.pop("default"))
        node |= {} if default is None else {"default": default}
    return node


def _merged(general: Schema, own: Schema) -> Schema:
    """What holds for a type, and what a field says of itself besides, which goes before."""
    rules = [*general.get(VALIDATIONS, []), *own.get(VALIDATIONS, [])]
    return general | own | ({VALIDATIONS: rules} if rules else {})


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return value


def _unfolded(text: str) -> str:
    """`text` with a line for each paragraph, which is what `kubectl explain` folds."""
    return "\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
