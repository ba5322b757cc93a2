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
from loyalnest.kit.database import OUTAGES, Connection, Database, Held, Locks, after_commit
from loyalnest.kit.events import Event

log = structlog.get_logger(__name__)

BATCH = 2000
IDLE_SECONDS = 1.0
"""How long a relay sleeps if nobody wakes it: the delay of events that another process wrote."""
PACE_SECONDS = 0.02
"""Rest after a batch that was not full: what is written meanwhile goes together."""
RETRY_SECONDS = 0.1
MOST_RETRY_SECONDS = 10.0
"""The pause after the first failure in a row, and after many."""


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
    """Moves one service's outbox to the bus until it is stopped. `locks` are of the outbox's database."""

    def __init__(self, database: Database, outbox: Outbox, bus: EventBus, locks: Locks) -> None:
        self._database = database
        self._bus = bus
        self._locks = locks
        self._schema = database.schema
        self._wake = outbox.written
        self._stopping = asyncio.Event()
        self._delay = RETRY_SECONDS

    async def run(self) -> None:
        """Relay until `stop`; outages are retried with a growing delay."""
        while not self._stopping.is_set():
            try:
                async with self._locks.hold(f"loyalnest.outbox.{self._schema}") as held:
                    if held is not None:
                        await self._relay(held)
                # Somebody else relays. Commits of ours must not wake us here: they would for ever.
                await _happens(self._stopping, IDLE_SECONDS)
            except OUTAGES as error:
                log.warning("outbox.relay_failed", service=self._schema, error=repr(error), retry_in=self._delay)
                await _happens(self._stopping, self._delay)
                self._delay = min(self._delay * 2, MOST_RETRY_SECONDS)

    def stop(self) -> None:
        """Let the batch under way finish, publish what is left, then return from `run`."""
        self._stopping.set()
        self._wake.set()

    async def _relay(self, held: Held) -> None:
        while True:
            last = self._stopping.is_set()  # asked first: what is written while the batch moves must not be left
            self._wake.clear()
            moved = await self._relay_batch()
            self._delay = RETRY_SECONDS
            if moved < BATCH:
                if last:
                    return
                await _happens(self._stopping, PACE_SECONDS)
                await _happens(self._wake, IDLE_SECONDS)
            await held.prove()

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


async def _happens(event: asyncio.Event, seconds: float) -> None:
    """Return when `event` is set, or after `seconds`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
