"""Measures what only a look can tell: how far consumers are behind, how old the outbox is, what connections do."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog

from loyalnest.kit import metrics
from loyalnest.kit.bus import EventBus
from loyalnest.kit.database import OUTAGES, Database, Pools
from loyalnest.kit.service import Observe, Service

log = structlog.get_logger(__name__)

EVERY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Observed:
    """A service that runs here, and what sets the gauges of its own."""

    service: Service
    database: Database
    observe: Observe | None = None


class Observer:
    """Sets the gauges of this process and its services every `EVERY_SECONDS`."""

    def __init__(self, bus: EventBus, pools: Pools, services: Sequence[Observed]) -> None:
        self._bus = bus
        self._pools = pools
        self._services = services
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Look until `stop`; what cannot be seen during an outage keeps its last value."""
        while not self._stopping.is_set():
            self._count_connections()
            for each in self._services:
                try:
                    await self._look(each.service, each.database)
                    if each.observe is not None:
                        await each.observe()
                except OUTAGES as error:
                    log.warning("observer.outage", service=each.service.name, error=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), EVERY_SECONDS)

    def _count_connections(self) -> None:
        usage = self._pools.usage()
        metrics.DATABASE_CONNECTIONS.labels("used").set(usage.used)
        metrics.DATABASE_CONNECTIONS.labels("idle").set(usage.idle)
        metrics.DATABASE_CONNECTIONS_LIMIT.set(usage.limit)

    async def _look(self, service: Service, database: Database) -> None:
        for topic in service.consumes:
            lag = await self._bus.lag(service.name, topic)
            metrics.CONSUMER_LAG.labels(service.name, topic).set(lag.events)
        if service.migrations:
            async with database.worker() as connection:
                age = await connection.fetchval(
                    f"SELECT extract(epoch FROM now() - min(occurred_at)) FROM {service.name}.outbox"
                )
            metrics.OUTBOX_AGE_SECONDS.labels(service.name).set(float(age or 0))
