"""Measures what only a look can tell: how far consumers are behind, and how old the outbox is."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import structlog

from loyalnest.kit import metrics
from loyalnest.kit.bus import EventBus
from loyalnest.kit.database import OUTAGES, Database
from loyalnest.kit.service import Service

log = structlog.get_logger(__name__)

EVERY_SECONDS = 10.0


class Observer:
    """Sets the gauges of the services of this process every `EVERY_SECONDS`."""

    def __init__(self, bus: EventBus, services: Mapping[str, tuple[Service, Database]]) -> None:
        self._bus = bus
        self._services = services
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Look until `stop`; what cannot be seen during an outage keeps its last value."""
        while not self._stopping.is_set():
            for service, database in self._services.values():
                try:
                    await self._look(service, database)
                except OUTAGES as error:
                    log.warning("observer.outage", service=service.name, error=str(error))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), EVERY_SECONDS)

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
