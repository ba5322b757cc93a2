"""What the runtime hands a service when it builds its live parts, and how the shared means are opened."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from loyalnest.kit.bus import EventBus
from loyalnest.kit.bus.kafka import KafkaBus
from loyalnest.kit.bus.postgres import PostgresBus
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Database
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.service import Service
from loyalnest.kit.settings import Settings


@dataclass(frozen=True, slots=True)
class Environment:
    """The means of one service in one process. A service asks for what it needs and never how it is provided.

    database, outbox: of this service; using them in a service that declared no migrations fails in PostgreSQL.
    redis: for limits and projections; may be away, which a service must survive.
    keys: encryption keys of the merchants.
    channel: the gRPC channel to a service by name, local or remote, behind the same interceptors.
    services: every service there is, also those that run elsewhere; `running`: the names of those that run here.
    """

    settings: Settings
    clock: Clock
    database: Database
    outbox: Outbox
    bus: EventBus
    redis: Redis
    redis_prefix: str
    keys: KeyRing
    channel: Callable[[str], Any]
    services: Mapping[str, Service]
    running: Sequence[str]


def open_bus(settings: Settings) -> EventBus:
    """The event bus that `settings` name, not started. Raises InvalidInput if its address is missing."""
    if settings.bus == "kafka":
        if not settings.kafka_brokers:
            raise InvalidInput("LOYALNEST_BUS is kafka, so LOYALNEST_KAFKA_BROKERS must name the brokers.")
        return KafkaBus(
            settings.kafka_brokers,
            settings.topic_prefix,
            partitions=settings.topic_partitions,
            retention_hours=settings.topic_retention_hours,
        )
    return PostgresBus(
        settings.placement().database_for("bus"),
        partitions=settings.topic_partitions,
        retention_hours=settings.topic_retention_hours,
    )


def open_redis(settings: Settings) -> Redis:
    """A client of the Redis that `settings` name, not connected. Raises InvalidInput if the address is missing."""
    url = settings.placement().redis_url
    if not url:
        raise InvalidInput("No Redis address: set LOYALNEST_REDIS_URL.")
    redis: Redis = Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0, max_connections=64)
    return redis
