"""What the runtime hands a service when it builds its live parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from loyalnest.kit.bus import EventBus
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Database
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
