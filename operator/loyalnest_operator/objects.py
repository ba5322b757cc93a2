"""Comparing Kubernetes objects: what is wanted with what is there. Pure."""

import hashlib
import json
import sys
from typing import Any, NamedTuple, cast

import msgspec

from loyalnest_operator.facts import Manifest
from loyalnest_operator.names import DESIRED_HASH, FIELD_MANAGER

_SELECTORS = frozenset({"selector", "podSelector", "namespaceSelector", "labelSelector", "nodeSelector"})
"""Fields that the API server takes as a whole, not key by key."""


class Ref(NamedTuple):
    """Which object. `namespace` is empty for one of the whole cluster."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def ref_of(manifest: Manifest) -> Ref:
    """The reference of an object."""
    metadata = manifest["metadata"]
    return Ref(manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"])


def with_hash(manifest: Manifest) -> Manifest:
    """A copy of a desired object that carries the digest of itself."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    metadata = dict(manifest["metadata"])
    metadata["annotations"] = metadata.get("annotations", {}) | {
        DESIRED_HASH: hashlib.sha256(text.encode()).hexdigest()[:16]
    }
    return manifest | {"metadata": metadata}


def content(live: Manifest) -> bytes:
    """What people and controllers may change of an object, encoded; not its status and what the API server counts."""
    metadata = live.get("metadata", {})
    kept = {key: value for key, value in live.items() if key not in ("status", "metadata")}
    kept["metadata"] = {
        key: metadata[key] for key in ("name", "namespace", "labels", "annotations", "finalizers") if key in metadata
    }
    return msgspec.json.encode(kept, order="sorted")


def last_manager(live: Manifest) -> str:
    """Who changed an object last, but for its status and for ourselves, by the name that they gave; empty if nobody."""
    others = [
        each
        for each in live.get("metadata", {}).get("managedFields") or []
        if each.get("manager") != FIELD_MANAGER and not each.get("subresource")
    ]
    newest: Manifest = max(others, key=lambda each: each.get("time", ""), default={})
    return sys.intern(newest.get("manager", ""))


def digest(encoded: bytes) -> bytes:
    """A short digest of what `content` gave."""
    return hashlib.blake2b(encoded, digest_size=8).digest()


def decoded(encoded: bytes) -> Manifest:
    """The object of what `content` gave."""
    return cast("Manifest", msgspec.json.decode(encoded))


def contains(live: Any, desired: Any) -> bool:
    """Whether `live` says everything that `desired` says. What it says besides belongs to others.

    Lists of named things (containers, ports, variables) are compared by name, as the API server merges them; other
    lists must be the same, element by element, and so must selectors, of which one word more selects something else.
    A field that we no longer desire shows in the digest, not here.
    """
    if isinstance(desired, dict):
        return isinstance(live, dict) and all(
            key in live and (live[key] == value if key in _SELECTORS else contains(live[key], value))
            for key, value in desired.items()
        )
    if isinstance(desired, list):
        if not isinstance(live, list):
            return False
        if _named(desired):
            found = _by_name(live)
            return all(each["name"] in found and contains(found[each["name"]], each) for each in desired)
        return len(live) == len(desired) and all(map(contains, live, desired))
    return type(live) is type(desired) and bool(live == desired)


def changes(live: Manifest, desired: Manifest) -> list[str]:
    """`differences` of two objects, for everybody to read: nothing of what is in a Secret is shown."""
    found = differences(live, desired)
    return [each.partition(":")[0] for each in found] if desired["kind"] == "Secret" else found


def differences(live: Any, desired: Any, path: str = "") -> list[str]:
    """The places where `live` does not say what `desired` says, for people: `spec.replicas: 3, should be 2`."""
    if contains(live, desired):
        return []
    if isinstance(desired, dict) and isinstance(live, dict):
        found: list[str] = []
        for key, value in desired.items():
            place = f"{path}.{key}" if path else key
            if key not in live:
                found.append(f"{place}: missing")
            elif key not in _SELECTORS:
                found += differences(live[key], value, place)
            elif live[key] != value:
                found.append(f"{place}: {_short(live[key])}, should be {_short(value)}")
        return found
    if isinstance(desired, list) and isinstance(live, list):
        return _list_differences(live, desired, path)
    return [f"{path}: {_short(live)}, should be {_short(desired)}"]


def _list_differences(live: list[Any], desired: list[Any], path: str) -> list[str]:
    if _named(desired):
        there = _by_name(live)
        pairs = [(f"{path}[{each['name']}]", there.get(each["name"]), each) for each in desired]
        return [
            words
            for place, other, each in pairs
            for words in ([f"{place}: missing"] if other is None else differences(other, each, place))
        ]
    if len(live) != len(desired):
        return [f"{path}: {len(live)} elements, should be {len(desired)}"]
    places = enumerate(zip(live, desired, strict=True))
    return [words for index, (other, each) in places for words in differences(other, each, f"{path}[{index}]")]


def _named(elements: list[Any]) -> bool:
    """Whether it is a list of things that the API server tells apart by their names."""
    if not all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in elements):
        return False
    return bool(elements) and len(_by_name(elements)) == len(elements)


def _by_name(elements: list[Any]) -> dict[str, Any]:
    return {each["name"]: each for each in elements if isinstance(each, dict) and isinstance(each.get("name"), str)}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
