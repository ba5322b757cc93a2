"""What `desired` is decided from, besides the program itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loyalnest.kit.program import Credentials
from loyalnest.kit.service import Service
from loyalnest_operator.settings import OperatorSettings

Manifest = dict[str, Any]
"""A Kubernetes object as it is applied."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What is made once for a program and kept in the operator's namespace. None of it is in the repr.

    encryption_keys: the key-encryption keys, as `LOYALNEST_ENCRYPTION_KEYS` wants them.
    passwords: by purpose of the login (see `names.login`).
    """

    encryption_keys: str = field(repr=False)
    passwords: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the cluster has beyond plain Kubernetes."""

    keda: bool = False
    prometheus: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a program's objects are built.

    services: those that this version declares, in dependency order.
    image: the image that the program may run now; during a fleet upgrade not always `settings.image`.
    pull_secrets: content (`.dockerconfigjson`) of each of `settings.image_pull_secrets`, by name.
    """

    settings: OperatorSettings
    services: Sequence[Service]
    credentials: Credentials
    generated: Generated
    image: str
    capabilities: Capabilities = Capabilities()
    pull_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
