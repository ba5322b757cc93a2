"""A merchant's credentials at Shopify, from a `v1 Secret`. No message and no repr here holds a secret's value."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pydantic import Field

from loyalnest.kit.program.fields import Flag, Model
from loyalnest.kit.program.problems import InvalidPrograms, Problem, kind_of, suggestion, validate
from loyalnest.kit.program.spec import SYSTEM_NAMESPACE, SecretReference

_KEYS = {
    "apiKey": "api_key",
    "apiSecret": "api_secret",
    "apiSecretPrevious": "api_secret_previous",
    "accessToken": "access_token",
}
_REQUIRED = ("apiKey", "apiSecret")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What Shopify knows a merchant's app by; none of it is in the repr.

    api_secret: signs webhooks, OAuth calls and session tokens. api_secret_previous: accepted too while a rotation
    lasts. access_token: calls the shop's Admin API; without it the app gets one by OAuth.
    """

    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    api_secret_previous: str | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)


class SecretName(NamedTuple):
    """Where a Secret is."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class _Metadata(SecretReference):
    labels: dict[str, str] = Field(default={})
    annotations: dict[str, str] = Field(default={})


class _Secret(Model):
    api_version: Literal["v1"]
    kind: Literal["Secret"]
    metadata: _Metadata
    type: str = "Opaque"
    immutable: Flag = False
    data: dict[str, object] = Field(default={})
    string_data: dict[str, object] = Field(default={})


def read_secret(value: dict[str, object]) -> tuple[SecretName | None, Credentials | None, list[Problem]]:
    """Name and credentials of the Secret `value`, as far as they can be read, and what is wrong with it.

    A Secret without a namespace is in loyalnest-system. `stringData` goes before `data`, as in Kubernetes; keys that
    mean nothing here are left alone.
    """
    try:
        secret = validate(_Secret, value)
    except InvalidPrograms as error:
        return _name(value), None, [_without_value(problem) for problem in error.problems]
    problems: list[Problem] = []
    found: dict[str, str] = {}
    for key, attribute in _KEYS.items():
        text = _text(secret, key, problems)
        if text is not None:
            found[attribute] = text
    problems += [
        Problem(path=f"stringData.{key}", reason=f"is required{_near(secret, key)}")
        for key in _REQUIRED
        if key not in secret.data and key not in secret.string_data
    ]
    name = SecretName(secret.metadata.namespace, secret.metadata.name)
    return name, None if problems else Credentials(**found), problems


def write_secret(reference: SecretReference, credentials: Credentials) -> dict[str, object]:
    """The Secret document that `read_secret` reads `credentials` from."""
    found = {key: getattr(credentials, attribute) for key, attribute in _KEYS.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": reference.name, "namespace": reference.namespace},
        "stringData": {key: text for key, text in found.items() if text is not None},
    }


def _text(secret: _Secret, key: str, problems: list[Problem]) -> str | None:
    """The value of `key`, or None; what is wrong with it goes to `problems`, without the value."""
    encoded = key not in secret.string_data
    path = f"data.{key}" if encoded else f"stringData.{key}"
    if encoded and key not in secret.data:
        return None
    value = secret.data[key] if encoded else secret.string_data[key]
    reason = ""
    text = ""
    if not isinstance(value, str):
        reason = f"must be text (put it in quotes), found {kind_of(value)}"
    else:
        try:
            # Kubernetes allows line breaks inside base64.
            text = base64.b64decode("".join(value.splitlines()), validate=True).decode() if encoded else value
        except (binascii.Error, ValueError):
            reason = "must be base64 of UTF-8 text; use stringData for plain text"
    if not reason and not text:
        reason = "must not be empty"
    if not reason and (text != text.strip() or not text.isprintable()):
        reason = "must have no spaces around it and no line breaks (echo adds one: use printf)"
    if reason:
        problems.append(Problem(path=path, reason=reason))
        return None
    return text


def _near(secret: _Secret, key: str) -> str:
    """A hint at a misspelt `key`: only names that are close to it are shown, never other keys."""
    near = next(
        (name for name in (*secret.string_data, *secret.data) if name not in _KEYS and key in suggestion(name, [key])),
        "",
    )
    return f"; did you write {near[:40]!a} for it?" if near else ""


def _name(value: dict[str, object]) -> SecretName | None:
    """The name of a Secret that is wrong elsewhere, so that its programs are not told that it is missing."""
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        return None
    namespace = metadata.get("namespace", SYSTEM_NAMESPACE)
    return SecretName(namespace if isinstance(namespace, str) else SYSTEM_NAMESPACE, metadata["name"])


def _without_value(problem: Problem) -> Problem:
    return Problem(path=problem.path, reason=problem.reason.partition(", found ")[0])
