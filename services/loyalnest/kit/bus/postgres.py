"""The event bus in PostgreSQL: one append-only table, read by position.

Positions grow over the whole log, and become visible in their order, so a reader needs no more than "after this
one". A process holds one connection for writing, one for leases and looking, and a few for reading.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from loyalnest.kit.bus.base import BEGINNING, Positions, TopicLag
from loyalnest.kit.bus.postgres_appender import Appender, partition_of
from loyalnest.kit.bus.postgres_reader import HEADS, OFFSETS, READ, PostgresSubscription, Watch, event_of
from loyalnest.kit.clock import system_clock
from loyalnest.kit.database import OUTAGES, connecting
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import Event

READERS = 4
CHUNK = 1000
STOP_SECONDS = 10.0

SCHEMA = """
CREATE SCHEMA IF NOT EXISTS bus;
CREATE TABLE IF NOT EXISTS bus.topics (
    topic text PRIMARY KEY,
    partitions smallint NOT NULL CHECK (partitions > 0)
);
CREATE TABLE IF NOT EXISTS bus.events (
    topic text NOT NULL,
    partition smallint NOT NULL,
    position bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    event_id uuid NOT NULL,
    merchant_id text NOT NULL,
    key text NOT NULL,
    payload bytea NOT NULL,
    occurred_at timestamptz NOT NULL,
    traceparent text NOT NULL,
    PRIMARY KEY (topic, partition, position)
);
CREATE TABLE IF NOT EXISTS bus.offsets (
    consumer_group text NOT NULL,
    topic text NOT NULL,
    partition smallint NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (consumer_group, topic, partition)
);
"""

PRUNE = """
WITH eldest AS (
    SELECT position, occurred_at FROM bus.events WHERE topic = $1 AND partition = $2 ORDER BY position LIMIT $3
)
DELETE FROM bus.events AS e USING eldest
WHERE e.topic = $1 AND e.partition = $2 AND e.position = eldest.position AND eldest.occurred_at < $4
RETURNING 1
"""

LAG = """
SELECT coalesce(sum(behind.events), 0)::bigint AS events
FROM bus.topics AS t
CROSS JOIN LATERAL generate_series(0, t.partitions - 1) AS p(partition)
LEFT JOIN bus.offsets AS o ON o.consumer_group = $1 AND o.topic = t.topic AND o.partition = p.partition
CROSS JOIN LATERAL (
    SELECT count(*) AS events FROM bus.events AS e
    WHERE e.topic = t.topic AND e.partition = p.partition::smallint AND e.position > coalesce(o.position, 0)
) AS behind
WHERE t.topic = $2
"""

BEFORE = """
SELECT partition, min(position) - 1 AS position FROM bus.events WHERE topic = $1 AND occurred_at >= $2
GROUP BY partition
"""


class PostgresBus:
    """EventBus on the database at `url`.

    partitions: of a topic made by this process. A topic keeps the number it was made with.
    retention_hours: how long `prune` leaves events in the log, by the time they occurred.
    """

    def __init__(self, url: str, *, partitions: int = 4, retention_hours: int = 168) -> None:
        self._url = url
        self._partitions = partitions
        self._retention = timedelta(hours=retention_hours)
        self._topics: dict[str, int] = {}
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.watch = Watch(lambda: self._connect("watch"))
        self._appender = Appender(lambda: self._connect("append"), self.watch.advance)

    async def start(self) -> None:
        """See EventBus. Makes the schema where it is missing."""
        if self._pool is not None:
            return
        with connecting("The event log", self._url):
            # Positions of readers are a hint: they need not wait for the disk.
            pool = await asyncpg.create_pool(
                self._url,
                min_size=1,
                max_size=READERS,
                command_timeout=60,
                server_settings={"application_name": "loyalnest bus", "synchronous_commit": "off"},
            )
        self._pool = pool
        try:
            await self.ensure_schema()
        except BaseException:
            self._pool = None
            await pool.close()
            raise
        self._appender.start()

    async def stop(self) -> None:
        """See EventBus."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), STOP_SECONDS)
        await self._appender.stop()
        await self.watch.close()
        with suppress(*OUTAGES):
            await asyncio.wait_for(pool.close(), STOP_SECONDS)
        pool.terminate()

    async def ensure_schema(self) -> None:
        """Make the tables that are missing. Raises Unavailable."""
        try:
            async with self._started().acquire() as connection, connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('loyalnest.bus.schema', 0))")
                await connection.execute(SCHEMA)
        except OUTAGES as error:
            raise Unavailable(f"The event log cannot be prepared: {error!r}") from error

    async def ensure_topics(self, topics: Sequence[str]) -> None:
        """See EventBus. Raises Unavailable."""
        pool = self._started()
        with self._call():
            await self._make_topics(pool, set(topics) - self._topics.keys())

    async def _make_topics(self, pool: "asyncpg.Pool[asyncpg.Record]", missing: set[str]) -> None:
        if not missing:
            return
        topics = sorted(missing)
        try:
            await pool.execute(
                "INSERT INTO bus.topics (topic, partitions) SELECT unnest($1::text[]), $2 ON CONFLICT DO NOTHING",
                topics,
                self._partitions,
            )
            rows = await pool.fetch("SELECT topic, partitions FROM bus.topics WHERE topic = ANY($1::text[])", topics)
        except OUTAGES as error:
            raise Unavailable(f"Topics cannot be made: {error!r}") from error
        self._topics |= {row["topic"]: row["partitions"] for row in rows}

    async def publish(self, events: Sequence[Event]) -> None:
        """See EventBus."""
        if not events:
            return
        pool = self._started()
        with self._call():
            await self._make_topics(pool, {event.topic for event in events} - self._topics.keys())
            await self._appender.append([(event, partition_of(event, self._topics[event.topic])) for event in events])

    def subscribe(self, group: str, topic: str, *, member: int = 0, members: int = 1) -> PostgresSubscription:
        """See EventBus. In another process the same member gets what this one does not hold."""
        return PostgresSubscription(self, group, topic, member, members)

    async def read_all(self, topic: str, after: Positions = BEGINNING) -> AsyncIterator[Event]:
        """See EventBus. Raises Unavailable."""
        try:
            rows = await self.query(HEADS, [topic])
            ends = {row["partition"]: row["position"] for row in rows}
            cursor = {p: after.get(p, 0) for p, end in ends.items() if after.get(p, 0) < end}
            while cursor:
                rows = await self.query(READ, topic, list(cursor), list(cursor.values()), CHUNK)
                for row in rows:
                    cursor[row["partition"]] = row["position"]
                    if row["position"] <= ends[row["partition"]]:
                        yield event_of(topic, row)
                if len(rows) < CHUNK:
                    return
                cursor = {p: position for p, position in cursor.items() if position < ends[p]}
        except OUTAGES as error:
            raise Unavailable(f"The event log cannot be read: {error!r}") from error

    async def positions(self, group: str, topic: str) -> Positions:
        """See EventBus. Raises Unavailable."""
        return await self._positions(OFFSETS, group, topic)

    async def positions_at(self, topic: str, moment: datetime) -> Positions:
        """See EventBus. Raises Unavailable."""
        ends = await self._positions(HEADS, [topic])
        return {**ends, **await self._positions(BEFORE, topic, moment)}

    async def _positions(self, statement: str, *arguments: Any) -> dict[int, int]:
        try:
            return {row["partition"]: row["position"] for row in await self.query(statement, *arguments)}
        except OUTAGES as error:
            raise Unavailable(f"The event log cannot be read: {error!r}") from error

    async def lag(self, group: str, topic: str) -> TopicLag:
        """See EventBus. Raises Unavailable."""
        try:
            rows = await self.query(LAG, group, topic)
        except OUTAGES as error:
            raise Unavailable(f"The event log cannot be read: {error!r}") from error
        return TopicLag(group, topic, rows[0]["events"])

    async def prune(self) -> int:
        """Delete what is older than the retention, from each partition's beginning, a few thousand rows at a time.

        Returns how many events went. Raises Unavailable.
        """
        before, deleted = system_clock() - self._retention, 0
        try:
            for topic, partitions in await self.query("SELECT topic, partitions FROM bus.topics ORDER BY topic"):
                for partition in range(partitions):
                    gone = CHUNK
                    while gone == CHUNK:
                        gone = len(await self.query(PRUNE, topic, partition, CHUNK, before))
                        deleted += gone
        except OUTAGES as error:
            raise Unavailable(f"The event log cannot be pruned: {error!r}") from error
        return deleted

    async def partitions_of(self, topic: str) -> int:
        """How many partitions `topic` has; it is made if missing. Raises Unavailable."""
        await self.ensure_topics([topic])
        return self._topics[topic]

    async def query(self, statement: str, *arguments: Any) -> "list[asyncpg.Record]":
        """Run one statement on a pooled connection. Raises one of OUTAGES, or Unavailable when stopped."""
        pool = self._started()
        with self._call():
            async with pool.acquire(timeout=30) as connection:
                return await connection.fetch(statement, *arguments)

    @contextmanager
    def _call(self) -> Iterator[None]:
        """Keep `stop` from disconnecting until the block is left."""
        self._calls += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._calls -= 1
            if self._calls == 0:
                self._idle.set()

    def _started(self) -> "asyncpg.Pool[asyncpg.Record]":
        if self._pool is None:
            raise Unavailable("The event bus is stopped.")
        return self._pool

    async def _connect(self, use: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            self._url, timeout=10, command_timeout=60, server_settings={"application_name": f"loyalnest bus {use}"}
        )
