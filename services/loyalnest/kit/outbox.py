"""The outbox: events written in the transaction of the change that caused them, and the relay that publishes them.

The relay takes the oldest rows that are visible, publishes them and deletes them. It keeps no cursor, so a row
that commits late under an early id is found at the next look and never skipped. One relay at a time runs for a
service (an advisory lock), because two would break the order of one key's events. A kill between publishing and
deleting repeats events; their ids let every handler drop the repeats.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import structlog

from loyalnest.kit import metrics
from loyalnest.kit.bus import EventBus
from loyalnest.kit.database import OUTAGES, Connection, Database, after_commit
from loyalnest.kit.events import Event

log = structlog.get_logger(__name__)

BATCH = 2000
IDLE_SECONDS = 1.0
"""How long a relay sleeps if nobody wakes it: the delay of events that another process wrote."""


class Outbox:
    """Writes events into `<schema>.outbox`.

    written: set after every commit that wrote events; this process's relay waits for it.
    """

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self.written = asyncio.Event()

    async def append(self, connection: Connection, events: Sequence[Event]) -> None:
        """Write `events` in the caller's transaction, in their order."""
        if not events:
            return
        await connection.execute(
            f"""
            INSERT INTO {self.schema}.outbox
                (merchant_id, event_id, topic, key, payload, occurred_at, traceparent)
            SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[],
                                 $7::text[])
            """,
            [event.merchant_id for event in events],
            [event.id for event in events],
            [event.topic for event in events],
            [event.key for event in events],
            [event.payload for event in events],
            [event.occurred_at for event in events],
            [event.traceparent for event in events],
        )
        after_commit(self.written.set)


class Relay:
    """Moves one service's outbox to the bus until it is stopped."""

    def __init__(self, database: Database, outbox: Outbox, bus: EventBus) -> None:
        self._database = database
        self._bus = bus
        self._schema = database.schema
        self._wake = outbox.written
        self._stopping = False

    async def run(self) -> None:
        """Relay until `stop`; outages are retried with a growing delay."""
        delay = 0.1
        while not self._stopping:
            try:
                await self._hold_lock_and_relay()
                delay = 0.1
            except OUTAGES as error:
                log.warning("outbox.relay_failed", service=self._schema, error=str(error), retry_in=delay)
                await self._sleep(delay)
                delay = min(delay * 2, 10.0)

    def stop(self) -> None:
        """Let the batch under way finish, publish what is left, then return from `run`."""
        self._stopping = True
        self._wake.set()

    async def _hold_lock_and_relay(self) -> None:
        async with self._database.session() as session:
            if not await session.fetchval("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", self._lock):
                await self._sleep(IDLE_SECONDS)
                return
            try:
                while True:
                    self._wake.clear()
                    moved = await self._relay_batch()
                    if moved == BATCH:
                        continue
                    if self._stopping:
                        return
                    await self._sleep(IDLE_SECONDS)
                    # The lock lives in the session: a lost connection is noticed here before another batch is read.
                    await session.fetchval("SELECT 1")
            finally:
                with suppress(*OUTAGES):
                    await session.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", self._lock)

    async def _relay_batch(self) -> int:
        async with self._database.worker() as connection:
            rows = await connection.fetch(
                f"""
                SELECT id, merchant_id, event_id, topic, key, payload, occurred_at, traceparent
                FROM {self._schema}.outbox ORDER BY id LIMIT $1
                """,
                BATCH,
            )
        if not rows:
            return 0
        await self._bus.publish(
            [
                Event(
                    id=row["event_id"],
                    topic=row["topic"],
                    merchant_id=row["merchant_id"],
                    key=row["key"],
                    payload=row["payload"],
                    occurred_at=row["occurred_at"],
                    traceparent=row["traceparent"],
                )
                for row in rows
            ]
        )
        async with self._database.worker() as connection:
            await connection.execute(
                f"DELETE FROM {self._schema}.outbox WHERE id = ANY($1::bigint[])", [row["id"] for row in rows]
            )
        metrics.OUTBOX_RELAYED.labels(self._schema).inc(len(rows))
        return len(rows)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)

    @property
    def _lock(self) -> str:
        return f"loyalnest.outbox.{self._schema}"
