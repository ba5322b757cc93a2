"""Notices when a Secret changes that a program's credentials come from.

Such a Secret is the merchant's: it has no label of ours by which a watch could ask for it, and may be anywhere. So the
versions of the Secrets that are not ours are listed again and again, without what is in them: one call, however many
programs there are.
"""

from loyalnest_operator import names
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.kinds import SECRET

LOOK_SECONDS = 10.0
_OTHERS = f"{names.MANAGED_BY}!={names.FIELD_MANAGER}"
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


class References:
    """Which Secret each program has read, and its version then; an empty version is one that was not there."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._read: dict[str, tuple[tuple[str, str], str]] = {}

    def note(self, program: str, namespace: str, name: str, version: str) -> None:
        """A program has read a Secret, or found that it is not there."""
        self._read[program] = ((namespace, name), version)

    def forget(self, program: str) -> None:
        """The program is gone."""
        self._read.pop(program, None)

    async def changed(self) -> list[str]:
        """The programs whose Secret is another than what they have read; each change is told once."""
        if not self._read:
            return []
        there = await self._versions({namespace for (namespace, _), _ in self._read.values()})
        found = [program for program, (secret, version) in self._read.items() if there.get(secret, "") != version]
        for program in found:
            secret, _ = self._read[program]
            self._read[program] = (secret, there.get(secret, ""))
        return found

    async def _versions(self, namespaces: set[str]) -> dict[tuple[str, str], str]:
        where = next(iter(namespaces)) if len(namespaces) == 1 else ""
        pages = self._cluster.pages(SECRET, where, _OTHERS, accept=_METADATA)
        metadata = [each["metadata"] async for _, page in pages for each in page]
        return {(each["namespace"], each["name"]): each["resourceVersion"] for each in metadata}
