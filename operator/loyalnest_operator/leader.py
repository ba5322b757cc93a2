"""Leadership by a Lease: of several replicas one acts.

Time is the local monotonic clock, as in Kubernetes' own components: a candidate takes over only after it has itself
seen the Lease unchanged for its whole duration, and a leader that could not renew for two thirds of it stops by then.
Between the two nobody leads, so that there are never two leaders.
"""

import asyncio
import math
import time
from datetime import UTC, datetime
from typing import Any

import structlog

from loyalnest.kit.errors import LoyalNestError
from loyalnest_operator.cluster import Cluster
from loyalnest_operator.facts import Manifest
from loyalnest_operator.kinds import LEASE
from loyalnest_operator.names import labels_of_operator

log = structlog.get_logger(__name__)

NAME = "loyalnest-operator"
MOST_PAUSE_SECONDS = 3.0
"""A Lease that was released is taken so soon, however long it would have lasted."""


class Leadership:
    """One candidate. `acquire`, then `hold` for as long as it lasts, then `release`."""

    def __init__(self, cluster: Cluster, namespace: str, identity: str, seconds: int) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._identity = identity
        self._seconds = seconds
        self._seen: tuple[str, float] = ("", 0.0)
        self._renewed = -math.inf

    @property
    def pause(self) -> float:
        """Seconds between two tries."""
        return min(self._seconds / 5, MOST_PAUSE_SECONDS)

    async def acquire(self) -> None:
        """Return when this candidate leads."""
        while not await self._try():  # noqa: ASYNC110 - another process lets it go
            await asyncio.sleep(self.pause)
        log.info("leader.acquired", identity=self._identity)

    async def hold(self) -> None:
        """Renew for as long as possible; return when the lead is lost."""
        while (left := self._left()) > 0:
            await asyncio.sleep(min(self.pause, left))
            if await self._try(self._left()) is False:
                self._renewed = -math.inf
        log.error("leader.lost", identity=self._identity)

    def leads(self) -> bool:
        """Whether the lead is surely ours at this moment. Nothing may be written without, however late it is asked."""
        return self._left() > 0

    async def release(self) -> None:
        """Let the next one begin at once."""
        try:
            async with asyncio.timeout(self._seconds / 3):
                lease = await self._cluster.get(LEASE, NAME, self._namespace)
                if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                    lease["spec"]["holderIdentity"] = ""
                    await self._cluster.replace(LEASE, NAME, lease, self._namespace)
        except (LoyalNestError, TimeoutError) as error:
            log.warning("leader.not_released", error=repr(error))

    def _left(self) -> float:
        """For how many seconds the lead is surely ours without another renewal."""
        return self._renewed + self._seconds * 2 / 3 - time.monotonic()

    async def _try(self, most: float = math.inf) -> bool | None:
        """Whether the Lease is ours as of now; None if that could not be found out in `most` seconds."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(min(self._seconds / 3, most)):
                ours = await self._take()
        except (LoyalNestError, TimeoutError) as error:
            log.warning("leader.no_answer", error=repr(error))
            return None
        if ours:
            self._renewed = began
        return ours

    async def _take(self) -> bool:
        lease = await self._cluster.get(LEASE, NAME, self._namespace)
        if lease is None:
            await self._cluster.create(LEASE, self._lease(), self._namespace)
            return True
        holder, version = lease["spec"].get("holderIdentity") or "", lease["metadata"]["resourceVersion"]
        if holder not in ("", self._identity):
            if self._seen[0] != version:
                self._seen = (version, time.monotonic())
            duration = lease["spec"].get("leaseDurationSeconds", self._seconds)
            if time.monotonic() - self._seen[1] < duration:
                return False
        await self._cluster.replace(LEASE, NAME, self._lease(lease), self._namespace)
        return True

    def _lease(self, before: Manifest | None = None) -> Manifest:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec: dict[str, Any] = dict(before["spec"]) if before else {}
        if spec.get("holderIdentity") != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": spec.get("leaseTransitions", 0) + bool(before)}
        spec |= {"holderIdentity": self._identity, "leaseDurationSeconds": self._seconds, "renewTime": now}
        metadata: Manifest = {"name": NAME, "namespace": self._namespace, "labels": labels_of_operator()}
        if before is not None:
            metadata = before["metadata"] | {"labels": labels_of_operator()}
        return {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}
