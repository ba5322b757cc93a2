"""The reading side of the PostgreSQL log: who reads which partition, and one member's subscription."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import asyncpg

from loyalnest.kit.bus.base import Batch
from loyalnest.kit.bus.postgres_appender import Heads
from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import Event

POLL_SECONDS = 0.5
"""How late an event of another process may be noticed."""

READ = """
SELECT e.partition, e.position, e.event_id, e.merchant_id, e.key, e.payload, e.occurred_at, e.traceparent
FROM unnest($2::smallint[], $3::bigint[]) AS cursor(partition, position)
CROSS JOIN LATERAL (
    SELECT * FROM bus.events AS e
    WHERE e.topic = $1 AND e.partition = cursor.partition AND e.position > cursor.position
    ORDER BY e.position LIMIT $4
) AS e
ORDER BY e.position LIMIT $4
"""

HEADS = """
SELECT t.topic, p.partition, h.position
FROM bus.topics AS t
CROSS JOIN LATERAL generate_series(0, t.partitions - 1) AS p(partition)
CROSS JOIN LATERAL (
    SELECT position FROM bus.events AS e
    WHERE e.topic = t.topic AND e.partition = p.partition::smallint
    ORDER BY position DESC LIMIT 1
) AS h
WHERE t.topic = ANY($1::text[])
"""

OFFSETS = "SELECT partition, position FROM bus.offsets WHERE consumer_group = $1 AND topic = $2"

COMMIT = """
INSERT INTO bus.offsets AS o (consumer_group, topic, partition, position)
SELECT $1, $2, c.partition, c.position
FROM unnest($3::smallint[], $4::bigint[]) AS c(partition, position) ORDER BY c.partition
ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET position = excluded.position
WHERE o.position < excluded.position
"""


def event_of(topic: str, row: "asyncpg.Record") -> Event:
    """The event in a row of READ."""
    return Event(
        id=row["event_id"],
        topic=topic,
        merchant_id=row["merchant_id"],
        key=row["key"],
        payload=row["payload"],
        occurred_at=row["occurred_at"],
        traceparent=row["traceparent"],
    )


class Watch:
    """The connection on which a bus looks at the log: it holds the bus's leases, and asks where the log ends.

    A lease is a session advisory lock on one partition for one group, so that two processes, or two members whose
    numbers disagree during a rollout, never read a partition at the same time. All leases of a process live in this
    one session and end with it; `generation` counts the sessions, and a lease of an earlier one is worth nothing.
    """

    def __init__(self, connect: "Callable[[], Awaitable[asyncpg.Connection[asyncpg.Record]]]") -> None:
        self._connect = connect
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._lock = asyncio.Lock()
        self._looked_at = float("-inf")
        self._looked_for: set[str] = set()
        self._leases: dict[tuple[str, str, int], object] = {}
        self._wake: dict[str, asyncio.Event] = {}
        self.heads: Heads = {}
        self.generation = 0

    def advance(self, heads: Heads) -> None:
        """Note new ends of the log and wake who waits for these topics."""
        for place, position in heads.items():
            if position > self.heads.get(place, 0):
                self.heads[place] = position
                if place[0] in self._wake:
                    self._wake[place[0]].set()

    async def wait(self, topic: str, seconds: float) -> None:
        """Return when `topic` may have grown, or after `seconds`."""
        event = self._wake.setdefault(topic, asyncio.Event())
        event.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), seconds)

    async def look(self, topic: str) -> None:
        """Ask where the log ends, unless somebody asked less than POLL_SECONDS ago. Proves the session alive.

        Raises one of OUTAGES or Unavailable.
        """
        self._wake.setdefault(topic, asyncio.Event())
        async with self._lock:
            clock = asyncio.get_running_loop().time
            fresh = topic in self._looked_for and clock() - self._looked_at < POLL_SECONDS
            if fresh and self._connection is not None and not self._connection.is_closed():
                return
            connection, topics = await self._session(), set(self._wake)
            rows = await connection.fetch(HEADS, list(topics))
            self._looked_at, self._looked_for = clock(), topics
        self.advance({(row["topic"], row["partition"]): row["position"] for row in rows})

    async def lease(self, holder: object, group: str, topic: str, partitions: Sequence[int]) -> tuple[int, list[int]]:
        """The generation, and those of `partitions` that in it only `holder` reads for `group`."""
        # Shielded: a lock that is granted while its asker is cancelled must still be written down.
        return await asyncio.shield(self._lease(holder, group, topic, partitions))

    async def release(self, holder: object) -> None:
        """Give back every lease of `holder`."""
        await asyncio.shield(self._release(holder))

    async def close(self) -> None:
        """Disconnect; every lease ends."""
        async with self._lock:
            connection, self._connection = self._connection, None
            self._leases.clear()
            if connection is not None:
                with suppress(*OUTAGES):
                    await connection.close(timeout=2.0)

    async def _lease(self, holder: object, group: str, topic: str, partitions: Sequence[int]) -> tuple[int, list[int]]:
        async with self._lock:
            connection = await self._session()
            asked = [p for p in partitions if (group, topic, p) not in self._leases]
            if asked:
                granted = await connection.fetch(
                    "SELECT p FROM unnest($1::int[], $2::text[]) AS l(p, name) "
                    "WHERE pg_try_advisory_lock(hashtextextended(name, 0))",
                    asked,
                    [_lock_name(group, topic, p) for p in asked],
                )
                self._leases |= {(group, topic, row["p"]): holder for row in granted}
            return self.generation, [p for p in partitions if self._leases.get((group, topic, p)) is holder]

    async def _release(self, holder: object) -> None:
        async with self._lock:
            held = [place for place, owner in self._leases.items() if owner is holder]
            for place in held:
                del self._leases[place]
            if held and self._connection is not None and not self._connection.is_closed():
                with suppress(*OUTAGES):
                    await self._connection.execute(
                        "SELECT pg_advisory_unlock(hashtextextended(name, 0)) FROM unnest($1::text[]) AS name",
                        [_lock_name(*place) for place in held],
                    )

    async def _session(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._connection is None or self._connection.is_closed():
            self._leases.clear()
            self.generation += 1
            self._connection = None
            self._connection = await self._connect()
        return self._connection


def _lock_name(group: str, topic: str, partition: int) -> str:
    return f"loyalnest.bus.read:{group}:{topic}:{partition}"


class Source(Protocol):
    """What a subscription needs of its bus."""

    watch: Watch

    async def partitions_of(self, topic: str) -> int:
        """How many partitions `topic` has."""
        ...

    async def query(self, statement: str, *arguments: Any) -> "list[asyncpg.Record]":
        """Run one statement on a pooled connection. Raises one of OUTAGES."""
        ...


class PostgresSubscription:
    """One member's reading of the partitions p with p % members == member, as far as it gets their leases."""

    def __init__(self, source: Source, group: str, topic: str, member: int, members: int) -> None:
        self._source = source
        self._group, self._topic = group, topic
        self._member, self._members = member, members
        self._cursor: dict[int, int] = {}
        self._done: dict[int, int] = {}
        self._generation = -1
        self._ask_again_at = 0.0
        self._closed = False

    async def fetch(self, limit: int, wait: float) -> Batch:
        """See Subscription. Raises Unavailable while the log cannot be read; the next call tries again."""
        if self._closed:
            raise Unavailable("The subscription is closed.")
        watch, deadline = self._source.watch, asyncio.get_running_loop().time() + wait
        try:
            while True:
                await watch.look(self._topic)
                await self._join()
                if any(watch.heads.get((self._topic, p), 0) > position for p, position in self._cursor.items()):
                    batch = await self._read(limit)
                    if batch.events:
                        return batch
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    return Batch((), {})
                await watch.wait(self._topic, min(left, POLL_SECONDS))
        except OUTAGES as error:
            raise Unavailable(f"The event log cannot be read: {error!r}") from error

    async def commit(self, batch: Batch) -> None:
        """See Subscription. Raises Unavailable if it was not noted."""
        if not batch.position:
            return
        partitions = list(batch.position)
        try:
            await self._source.query(COMMIT, self._group, self._topic, partitions, list(batch.position.values()))
        except OUTAGES as error:
            raise Unavailable(f"The position in the event log cannot be written: {error!r}") from error
        self._done |= batch.position

    async def rewind(self) -> None:
        """See Subscription."""
        self._cursor = {p: self._done[p] for p in self._cursor}

    async def close(self) -> None:
        """See Subscription."""
        if not self._closed:
            self._closed = True
            await self._source.watch.release(self)

    async def _read(self, limit: int) -> Batch:
        cursor = dict(self._cursor)
        heads = {p: self._source.watch.heads.get((self._topic, p), 0) for p in cursor}
        rows = await self._source.query(READ, self._topic, list(cursor), list(cursor.values()), limit)
        reached = {row["partition"]: row["position"] for row in rows}
        self._cursor |= reached
        if len(rows) < limit:  # nothing is left up to the heads we knew, even where they are pruned by now
            self._cursor = {p: max(position, heads[p]) for p, position in self._cursor.items()}
        return Batch([event_of(self._topic, row) for row in rows], reached)

    async def _join(self) -> None:
        """Take the leases that are still missing. What is gained, or was lost with the session, starts at the
        committed position, because somebody else may have read on in between."""
        watch, now = self._source.watch, asyncio.get_running_loop().time()
        if self._generation == watch.generation and now < self._ask_again_at:
            return
        partitions = await self._source.partitions_of(self._topic)
        mine = [p for p in range(partitions) if p % self._members == self._member]
        generation, leased = await watch.lease(self, self._group, self._topic, mine)
        if self._generation != generation:
            self._cursor, self._done = {}, {}
        new = [p for p in leased if p not in self._cursor]
        if new:
            rows = await self._source.query(OFFSETS, self._group, self._topic)
            committed = {row["partition"]: row["position"] for row in rows}
            self._done |= {p: committed.get(p, 0) for p in new}
            self._cursor |= {p: committed.get(p, 0) for p in new}
        self._generation = generation
        self._ask_again_at = math.inf if len(leased) == len(mine) else now + POLL_SECONDS
