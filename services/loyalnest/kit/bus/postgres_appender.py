"""The writing side of the PostgreSQL log: concurrent publishes share a transaction.

Nobody waits for company: while one write is under way the next ones gather, and go together when it returns.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from zlib import crc32

import asyncpg
import structlog

from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import Event

log = structlog.get_logger(__name__)

MOST_EVENTS = 2000
MOST_BYTES = 8 * 1024 * 1024
"""Bounds of one write: large enough to carry a burst, small enough to keep the others' wait short."""

WRITE_SECONDS = 30.0
_FAILURES: tuple[type[BaseException], ...] = (*OUTAGES, Unavailable)

# Positions are drawn only by rows that joined the lock, so by one transaction at a time, and the lock is let go
# after the commit is visible. Without it a reader at position 7 would never see a 6 that commits later.
APPEND = """
WITH appending AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(hashtextextended('loyalnest.bus.append', 0))
), written AS (
    INSERT INTO bus.events (topic, partition, event_id, merchant_id, key, payload, occurred_at, traceparent)
    SELECT e.topic, e.partition, e.event_id, e.merchant_id, e.key, e.payload, e.occurred_at, e.traceparent
    FROM appending, unnest($1::text[], $2::smallint[], $3::uuid[], $4::text[], $5::text[], $6::bytea[],
                           $7::timestamptz[], $8::text[]) WITH ORDINALITY
        AS e(topic, partition, event_id, merchant_id, key, payload, occurred_at, traceparent, place)
    ORDER BY e.place
    RETURNING topic, partition, position
)
SELECT topic, partition, max(position) AS position FROM written GROUP BY topic, partition
"""

Heads = dict[tuple[str, int], int]
"""The last visible position per (topic, partition)."""


def partition_of(event: Event, partitions: int) -> int:
    """Where `event` belongs: the same for every event of one (merchant, key), in every process and version."""
    return crc32(f"{event.merchant_id}:{event.key}".encode()) % partitions


@dataclass(slots=True, eq=False)
class _Waiting:
    events: Sequence[tuple[Event, int]]
    size: int
    done: "asyncio.Future[None]"


class Appender:
    """Writes events in the order they come, on one connection.

    connect: opens that connection; called again after it is lost.
    written: told the new heads after every write.
    """

    def __init__(
        self,
        connect: "Callable[[], Awaitable[asyncpg.Connection[asyncpg.Record]]]",
        written: Callable[[Heads], None],
    ) -> None:
        self._connect = connect
        self._written = written
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._stopping = False
        self._calls = 0
        self._task: asyncio.Task[None] | None = None
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    def start(self) -> None:
        """Begin to write what is appended."""
        self._stopping = False
        self._task = asyncio.create_task(self._run(), name="bus.append")

    async def stop(self) -> None:
        """Write what waits, then disconnect."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await self._task
            self._task = None

    async def append(self, events: Sequence[tuple[Event, int]]) -> None:
        """Write `events`, each with its partition. Raises Unavailable if that was not confirmed."""
        if self._stopping or self._task is None:
            raise Unavailable("The event bus is stopped.")
        self._calls += 1
        try:
            await self._append_pieces(events)
        finally:
            self._calls -= 1
            self._wake.set()

    async def _append_pieces(self, events: Sequence[tuple[Event, int]]) -> None:
        start = 0
        while start < len(events):  # one piece after the other: a later one never lands without an earlier one
            end, size = start, 0
            while end < len(events) and end - start < MOST_EVENTS:
                length = len(events[end][0].payload)
                if end > start and size + length > MOST_BYTES:
                    break
                size += length
                end += 1
            waiting = _Waiting(events[start:end], size, asyncio.get_running_loop().create_future())
            self._queue.append(waiting)
            self._wake.set()
            await waiting.done
            start = end

    async def _run(self) -> None:
        while True:
            if not self._queue:
                if self._stopping and self._calls == 0:
                    break
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._write(self._take())
        await self._disconnect()

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        count = size = 0
        while self._queue:
            first = self._queue[0]
            if first.done.done():  # its caller has gone away
                self._queue.popleft()
                continue
            if taken and (count + len(first.events) > MOST_EVENTS or size + first.size > MOST_BYTES):
                break
            taken.append(self._queue.popleft())
            count += len(first.events)
            size += first.size
        return taken

    async def _write(self, group: list[_Waiting]) -> None:
        if not group:
            return
        try:
            heads = await self._insert([pair for waiting in group for pair in waiting.events])
        except _FAILURES as error:
            log.warning("bus.append_failed", calls=len(group), error=repr(error))
            await self._disconnect()
            self._fail(group, Unavailable(f"The event log cannot be written: {error!r}"))
        except Exception as error:  # PostgreSQL refuses some event (a zero byte in a text): find out whose
            if len(group) == 1:
                self._fail(group, error)
                return
            for waiting in group:
                await self._write([waiting])
        else:
            self._written(heads)
            for waiting in group:
                if not waiting.done.done():
                    waiting.done.set_result(None)

    @staticmethod
    def _fail(group: list[_Waiting], error: Exception) -> None:
        for waiting in group:
            if not waiting.done.done():
                waiting.done.set_exception(error)

    async def _insert(self, pairs: list[tuple[Event, int]]) -> Heads:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        rows = await self._connection.fetch(
            APPEND,
            [event.topic for event, _ in pairs],
            [partition for _, partition in pairs],
            [event.id for event, _ in pairs],
            [event.merchant_id for event, _ in pairs],
            [event.key for event, _ in pairs],
            [event.payload for event, _ in pairs],
            [event.occurred_at for event, _ in pairs],
            [event.traceparent for event, _ in pairs],
            timeout=WRITE_SECONDS,
        )
        return {(row["topic"], row["partition"]): row["position"] for row in rows}

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*OUTAGES):
                await connection.close(timeout=2.0)
