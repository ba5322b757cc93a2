"""Stands in for nodes and their controllers by the thousand: Jobs succeed and Deployments are ready at once.

It patches their status itself, since a pod for each would measure the stand-in. Nothing else may write those statuses,
so there must be no controller manager.
"""

import asyncio
import contextlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec

from fixtures.kubernetes import ApiServer
from loyalnest.kit.errors import LoyalNestError
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.kinds import DEPLOYMENT, JOB, PROGRAM, Kind
from loyalnest_operator.watch import OURS

PATCHES = 16
"""Statuses that are patched at the same time."""


class _Metadata(msgspec.Struct):
    name: str
    namespace: str = ""
    generation: int = 0


class _Spec(msgspec.Struct):
    replicas: int = 1


class _Status(msgspec.Struct):
    observedGeneration: int = 0  # noqa: N815 - Kubernetes' name
    succeeded: int = 0
    conditions: list[dict[str, Any]] = []


class _Object(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


class _Event(msgspec.Struct):
    type: str
    object: _Object


class Workloads:
    """`run` it beside the operator.

    ready: for each program, the generation with which it is Ready; absent while it is not. patched: statuses by kind.
    """

    def __init__(self, cluster: Cluster, server: ApiServer) -> None:
        self._cluster = cluster
        self._server = server
        self._work: asyncio.Queue[tuple[Kind, _Object]] = asyncio.Queue()
        self.ready: dict[str, int] = {}
        self.patched: Counter[str] = Counter()
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Watch and patch until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind, labels in ((JOB, OURS), (DEPLOYMENT, OURS), (PROGRAM, "")):
                group.create_task(self._watch(kind, labels))
            for _ in range(PATCHES):
                group.create_task(self._patch())

    async def _watch(self, kind: Kind, labels: str) -> None:
        """Every object of a kind, now and later. A watch that ends is begun anew with everything there is."""
        query = {"watch": "1", "labelSelector": labels}
        url, headers = self._server.url + kind.path(), {"Authorization": f"Bearer {self._server.token}"}
        decoder = msgspec.json.Decoder(_Event)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, read_bufsize=2**22) as session:
            while True:
                async with session.get(url, params=query, ssl=False) as response:
                    if response.status == 429:  # a kind that the server has only just learnt
                        await asyncio.sleep(0.2)
                        continue
                    response.raise_for_status()
                    async for line in response.content:
                        self._see(kind, decoder.decode(line))

    def _see(self, kind: Kind, event: _Event) -> None:
        if event.type not in ("ADDED", "MODIFIED"):
            return
        live, status = event.object, event.object.status
        if kind is PROGRAM:
            self._see_program(live)
            return
        done = status.succeeded if kind is JOB else status.observedGeneration >= live.metadata.generation
        if not done:
            self._work.put_nowait((kind, live))

    def _see_program(self, live: _Object) -> None:
        name = live.metadata.name
        ready = next((each for each in live.status.conditions if each["type"] == "Ready"), None)
        if ready is not None and ready["status"] == "True":
            self.ready[name] = ready["observedGeneration"]
        else:
            self.ready.pop(name, None)
        self.changed.set()

    async def _patch(self) -> None:
        while True:
            kind, live = await self._work.get()
            status = _succeeded() if kind is JOB else _available(live)
            name, namespace = live.metadata.name, live.metadata.namespace
            with contextlib.suppress(LoyalNestError):  # a Job that was pruned meanwhile
                await self._cluster.patch(kind, name, {"status": status}, namespace, "status")
                self.patched[kind.kind] += 1


def _succeeded() -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("SuccessCriteriaMet", "Complete")
    ]
    return {"startTime": now, "completionTime": now, "succeeded": 1, "conditions": conditions}


def _available(live: _Object) -> dict[str, Any]:
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return {"observedGeneration": live.metadata.generation} | dict.fromkeys(counts, live.spec.replicas)
