"""Keeps what was generated for a program in a Secret of the operator's namespace."""

from collections.abc import Awaitable, Callable, Sequence

from loyalnest_operator import generated, names
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.facts import Generated
from loyalnest_operator.kinds import SECRET
from loyalnest_operator.obstacles import Obstacle
from loyalnest_operator.settings import OperatorSettings


class Keeping:
    """Makes the Secret once, completes it, and never replaces a key."""

    def __init__(self, settings: OperatorSettings, cluster: Cluster) -> None:
        self._namespace = settings.namespace
        self._cluster = cluster

    async def generated(
        self, program: str, services: Sequence[str], rotation: str, database_exists: Callable[[str], Awaitable[bool]]
    ) -> Generated:
        """What was generated for a program, made now if it never was.

        Raises Obstacle if the Secret is gone while the database is there: new keys could not open it.
        """
        name = names.secrets(program)
        live = await self._cluster.get(SECRET, name, self._namespace)
        if live is None:
            if await database_exists(program):
                raise Obstacle(
                    "KeysLost",
                    f"The Secret {self._namespace}/{name} is gone, and the database {names.database(program)} is "
                    "there. Restore the Secret from a backup: its key opens the merchant's personal data. Only if that "
                    "database holds nothing of worth, drop it.",
                )
            data = generated.new_data(services, rotation)
            metadata = {"name": name, "namespace": self._namespace, "labels": names.labels(program)}
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
            await self._cluster.create(SECRET, secret, self._namespace)
            return generated.read(data)
        before = live.get("data") or {}
        data = generated.complete(before, services, rotation)
        if data != before:
            metadata = {"resourceVersion": live["metadata"]["resourceVersion"]}
            await self._cluster.patch(SECRET, name, {"metadata": metadata, "data": data}, self._namespace)
        return generated.read(data)

    async def planned(self, program: str, services: Sequence[str]) -> tuple[Generated, bool]:
        """What a program has or would get, with nothing made; whether it has anything.

        Values that would be made stand for themselves: they will be others.
        """
        live = await self._cluster.get(SECRET, names.secrets(program), self._namespace)
        if live is None:
            return generated.read(generated.new_data(services)), False
        return generated.read(generated.complete(live.get("data") or {}, services)), True

    async def existing(self, program: str) -> Generated | None:
        """What was generated for a program, if it ever was."""
        live = await self._cluster.get(SECRET, names.secrets(program), self._namespace)
        return generated.read(live.get("data") or {}) if live is not None else None
