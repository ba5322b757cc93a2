"""Gathers what a program's objects are decided from."""

import base64
from collections.abc import Awaitable, Callable, Sequence

from loyalnest.kit.program import LoyaltyProgram
from loyalnest.kit.program.credentials import Credentials, read_secret
from loyalnest.kit.service import Service
from loyalnest_operator import names, places, programs
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.credentials import References
from loyalnest_operator.facts import Capabilities, Facts, Generated, Manifest
from loyalnest_operator.keeping import Keeping
from loyalnest_operator.kinds import SECRET
from loyalnest_operator.obstacles import Obstacle
from loyalnest_operator.settings import OperatorSettings


class Inputs:
    """Reads the Secrets that a program needs. Raises Obstacle with words for what is missing."""

    def __init__(
        self,
        settings: OperatorSettings,
        services: Sequence[Service],
        cluster: Cluster,
        references: References,
        database_exists: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._settings = settings
        self._services = services
        self._cluster = cluster
        self._references = references
        self._keeping = Keeping(settings, cluster)
        self._database_exists = database_exists

    async def facts(self, program: LoyaltyProgram, live: Manifest, image: str, capabilities: Capabilities) -> Facts:
        """All of it."""
        return Facts(
            settings=self._settings,
            services=self._services,
            credentials=await self._credentials(program),
            generated=await self._generated(program, live),
            image=image,
            capabilities=capabilities,
            pull_secrets=await pull_secrets(self._cluster, self._settings),
        )

    async def _credentials(self, program: LoyaltyProgram) -> Credentials:
        reference = program.spec.shop.credentials_secret
        live = await self._cluster.get(SECRET, reference.name, reference.namespace)
        version = live["metadata"]["resourceVersion"] if live is not None else ""
        self._references.note(program.metadata.name, reference.namespace, reference.name, version)
        if live is None:
            raise Obstacle(
                "CredentialsMissing",
                f"The Secret {reference} is not there. Make it with apiKey and apiSecret of the shop's app.",
            )
        kept = {key: live[key] for key in ("data",) if live.get(key)}
        metadata = {"name": reference.name, "namespace": reference.namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **kept}
        _, credentials, found = read_secret(secret)
        if credentials is None:
            words = "; ".join(f"{each.path} {each.reason}" for each in found)
            raise Obstacle("CredentialsInvalid", f"The Secret {reference}: {words}.")
        return credentials

    async def _generated(self, program: LoyaltyProgram, live: Manifest) -> Generated:
        if not places.has_own(live):
            return Generated(encryption_keys="", passwords={})  # the pool has its own
        rotation = programs.annotation(live, names.ROTATE)
        services = [each.name for each in self._services]
        return await self._keeping.generated(program.metadata.name, services, rotation, self._database_exists)


async def pull_secrets(cluster: Cluster, settings: OperatorSettings) -> dict[str, str]:
    """The content of the Secrets that pull the image, by name. Raises Obstacle for one that is missing."""
    found: dict[str, str] = {}
    for name in settings.image_pull_secrets:
        live = await cluster.get(SECRET, name, settings.namespace)
        encoded = ((live or {}).get("data") or {}).get(".dockerconfigjson")
        if not encoded:
            raise Obstacle(
                "PullSecretMissing",
                f"The Secret {settings.namespace}/{name} is not there, or not of the type "
                "kubernetes.io/dockerconfigjson.",
            )
        found[name] = base64.b64decode(encoded).decode()
    return found
