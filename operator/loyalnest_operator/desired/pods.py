"""The hardened pod that every process of a program runs in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loyalnest_operator.desired import configuration
from loyalnest_operator.desired.packing import Packing

USER = 10001
"""The user and group that the image is made for."""

_READABLE = 0o440


@dataclass(frozen=True, slots=True)
class SecretFiles:
    """A Secret that containers read as files in `folder`."""

    secret: str
    folder: str


KEYS = SecretFiles(configuration.KEYS_SECRET, configuration.KEYS_FOLDER)


def container(
    packing: Packing,
    name: str,
    command: Sequence[str],
    *,
    variables: Sequence[Mapping[str, Any]],
    files: Sequence[SecretFiles],
    resources: Mapping[str, Any],
) -> dict[str, Any]:
    """A container of the program's image that can write nothing but /tmp."""
    mounts: list[dict[str, Any]] = [{"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108 - a volume of the pod's own
    mounts += [{"name": each.secret, "mountPath": each.folder, "readOnly": True} for each in files]
    return {
        "name": name,
        "image": packing.facts.image,
        "imagePullPolicy": packing.facts.settings.image_pull_policy,
        "command": list(command),
        "envFrom": list(variables),
        "resources": dict(resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        # What a process said last explains its failure: in the pod's status, and from there in the program's.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def pod(packing: Packing, files: Sequence[SecretFiles], **parts: Any) -> dict[str, Any]:
    """A pod spec whose containers may mount `files`, without any right at the API server. `parts` go into it."""
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}}]
    volumes += [
        {"name": each.secret, "secret": {"secretName": each.secret, "defaultMode": _READABLE}} for each in files
    ]
    pulls = [{"name": name} for name in _pull_secrets(packing)]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": volumes,
        **({"imagePullSecrets": pulls} if pulls else {}),
        **parts,
    }


def variables(purpose: str) -> list[dict[str, Any]]:
    """Where a process takes its variables from, if its database login is that of `purpose`."""
    return [
        {"configMapRef": {"name": configuration.COMMON}},
        {"secretRef": {"name": configuration.COMMON}},
        {"secretRef": {"name": configuration.database_secret(purpose)}},
    ]


def pull_secret(name: str) -> str:
    """The name in a program's own namespace of a Secret that pulls the image."""
    return f"pull-{name}"


def _pull_secrets(packing: Packing) -> list[str]:
    """The pool's namespace has its own; a program's gets copies."""
    if packing.pooled:
        return packing.facts.settings.image_pull_secrets
    return [pull_secret(name) for name in sorted(packing.facts.pull_secrets)]
