"""How objects are written: the few shapes that several builders share.

Everything is written as the API server gives it back, so that what is desired is found again in what is there.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from loyalnest_operator import names
from loyalnest_operator.facts import Manifest

MOST_NAME = 63
"""Characters of a name that also stands in a label, such as a Job's."""


def manifest(
    kind: str, name: str, namespace: str, labels: Mapping[str, str], *, api: str = "v1", **parts: Any
) -> Manifest:
    """An object. `parts` are what stands beside its metadata; `annotations` among them goes into it."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": dict(labels)}
    annotations = parts.pop("annotations", None)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **parts}


def secret(
    name: str, namespace: str, labels: Mapping[str, str], values: Mapping[str, str], kind: str = "Opaque"
) -> Manifest:
    """A Secret, with `data` in base64: `stringData` would never be seen again."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in sorted(values.items())}
    return manifest("Secret", name, namespace, labels, type=kind, data=data)


def selector(program: str, component: str) -> dict[str, str]:
    """Labels that select the pods of one component; they can never be changed once a Deployment has them."""
    return {names.PROGRAM: program, names.COMPONENT: component}


def dashed(name: str) -> str:
    """The name of a service as Kubernetes allows it."""
    return name.replace("_", "-")


def digest(value: object) -> str:
    """Ten hexadecimal digits that change with `value`, which is plain data; the order of a mapping does not count."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
