"""Erases a merchant's rows, a few thousand at a time, so that nobody else waits for it."""

from collections.abc import Iterable

from loyalnest.kit.database import Connection
from loyalnest.kit.moving.tables import Table, confine, session, tables_of
from loyalnest.kit.placement import Placement
from loyalnest.kit.service import Service

CHUNK = 5000


async def erase_merchant(placement: Placement, services: Iterable[Service], merchant_id: str) -> dict[str, int]:
    """Delete every row of a closed merchant, `services` in their order. Returns the rows that went, by table.

    Safe to kill, and to run again: it ends when a look at all tables finds none. Raises as `session`.
    """
    gone: dict[str, int] = {}
    residents = [service for service in services if service.migrations]
    while True:
        found = 0
        for service in residents:
            async with session(placement.database_for(service.name)) as connection:
                for table in reversed(await tables_of(connection, service.name)):
                    while count := await _erase_chunk(connection, table, merchant_id):
                        gone[table.full] = gone.get(table.full, 0) + count
                        found += count
        if not found:  # what a job wrote meanwhile would have been found
            return gone


async def _erase_chunk(connection: Connection, table: Table, merchant_id: str) -> int:
    async with connection.transaction():
        await confine(connection, merchant_id)
        status = await connection.execute(
            f"""
            DELETE FROM {table.full} WHERE merchant_id = $1 AND (tableoid, ctid) IN
                (SELECT tableoid, ctid FROM {table.full} WHERE merchant_id = $1 LIMIT {CHUNK})
            """,
            merchant_id,
        )
    return int(status.rpartition(" ")[2])
