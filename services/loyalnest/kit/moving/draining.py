"""Whether everything that was told about a merchant has been applied.

Two looks belong to it, one before and one after the moment that counts (a snapshot of the databases): what a group had
committed before, and what a topic holds after. What lies between was perhaps not applied at the moment.
"""

from collections.abc import Iterable, Mapping, Sequence

from loyalnest.kit.bus import EventBus, Positions
from loyalnest.kit.database import Connection
from loyalnest.kit.moving.tables import OUTBOX, confine, session
from loyalnest.kit.placement import Placement
from loyalnest.kit.service import Service

Marks = Mapping[str, Positions]
"""By topic, what each of the groups that read it has committed."""


async def marks(bus: EventBus, services: Iterable[Service]) -> Marks:
    """How far `services` are, at least, from now on."""
    readers: dict[str, list[str]] = {}
    for service in services:
        for topic in service.consumes:
            readers.setdefault(topic, []).append(service.name)
    return {
        topic: slowest([await bus.positions(group, topic) for group in groups])
        for topic, groups in sorted(readers.items())
    }


def slowest(positions: Sequence[Positions]) -> Positions:
    """Per partition the position that all have reached; a partition that one has not begun is left out."""
    begun = set.intersection(*(set(each) for each in positions))
    return {partition: min(each[partition] for each in positions) for partition in begun}


async def unapplied(bus: EventBus, since: Marks, merchant_id: str) -> str:
    """A topic with events of the merchant that perhaps were not applied at `since`, and how many; else nothing."""
    for topic, positions in since.items():
        count = 0
        async for event in bus.read_all(topic, positions):
            count += event.merchant_id == merchant_id
        if count:
            return f"{count} events of {topic}"
    return ""


async def unsettled(bus: EventBus, placement: Placement, services: Sequence[Service], merchant_id: str) -> str:
    """What of the merchant was perhaps under way when this was called, in words; nothing if all was applied."""
    since = await marks(bus, services)
    by_url: dict[str, list[str]] = {}
    for service in services:
        if service.migrations:
            by_url.setdefault(placement.database_for(service.name), []).append(service.name)
    for url, schemas in by_url.items():
        async with session(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            if words := await unpublished(connection, schemas, merchant_id):
                return words
    return await unapplied(bus, since, merchant_id)


async def unpublished(connection: Connection, schemas: Iterable[str], merchant_id: str) -> str:
    """An outbox with events of the merchant that wait, and how many; else nothing. In the caller's transaction."""
    await confine(connection, merchant_id)
    for schema in schemas:
        if await connection.fetchval("SELECT to_regclass($1)", f"{schema}.{OUTBOX}") is None:
            continue
        count = await connection.fetchval(f"SELECT count(*) FROM {schema}.{OUTBOX} WHERE merchant_id = $1", merchant_id)
        if count:
            return f"{count} events in the outbox of {schema}"
    return ""
