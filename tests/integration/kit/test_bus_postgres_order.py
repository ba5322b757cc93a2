"""The order of the PostgreSQL log: no position becomes visible before an earlier one.

A reader goes on from the last position it saw; one that commits late behind it would be lost for ever.
"""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from integration.kit.test_bus import TOPIC, event, numbers
from loyalnest.kit.bus import postgres_appender
from loyalnest.kit.bus.postgres import PostgresBus


@pytest.fixture
async def bus(database_url: str) -> AsyncIterator[PostgresBus]:
    bus = PostgresBus(database_url)
    await bus.start()
    await bus.ensure_topics([TOPIC])
    yield bus
    await bus.stop()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[PostgresBus]:
    other = PostgresBus(database_url)
    await other.start()
    yield other
    await other.stop()


async def skipped(database_url: str, slow: PostgresBus, fast: PostgresBus) -> int:
    """How many events a third process, reading by position, never sees while two append: large writes and small."""
    stop = asyncio.Event()
    seen: set[int] = set()
    third = PostgresBus(database_url)
    await third.start()
    subscription = third.subscribe("g", TOPIC)

    async def fetch() -> int:
        third.watch._looked_at = float("-inf")  # look at every turn, not every half second
        batch = await subscription.fetch(500, 0.0)
        seen.update(numbers(batch.events))
        return len(batch.events)

    async def reader() -> None:
        while not stop.is_set():
            await fetch()
        while await fetch():
            pass

    async def small() -> int:
        number = 1_000_000
        while not stop.is_set():
            await fast.publish([event(number)])
            number += 1
        return number - 1_000_000

    await fetch()
    reading, writing = asyncio.create_task(reader()), asyncio.create_task(small())
    for start in range(0, 40 * 400, 400):
        await slow.publish([event(number) for number in range(start, start + 400)])
    stop.set()
    await reading
    published = 40 * 400 + await writing
    while await fetch():
        pass
    await third.stop()
    return published - len(seen)


async def test_a_reader_skips_nothing_while_two_processes_append(
    database_url: str, bus: PostgresBus, other: PostgresBus
) -> None:
    assert await skipped(database_url, bus, other) == 0


async def waits_for_the_lock(observer: "asyncpg.Connection[asyncpg.Record]") -> bool:
    return bool(
        await observer.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
        )
    )


async def overtaken(database_url: str, bus: PostgresBus, append: str) -> list[int]:
    """What a reader gets of event 0, whose position is drawn first, and event 1, which tries to commit before it."""
    early, late, observer = [await asyncpg.connect(database_url) for _ in range(3)]
    subscription = bus.subscribe("g", TOPIC)

    def row(number: int) -> list[object]:
        each, partition = event(number), 0
        columns = each.topic, partition, each.id, each.merchant_id, each.key, each.payload, each.occurred_at, ""
        return [[column] for column in columns]

    try:
        transaction = early.transaction()
        await transaction.start()
        await early.fetch(append, *row(0))
        writing = asyncio.create_task(late.fetch(append, *row(1)))
        async with asyncio.timeout(20):
            while not writing.done() and not await waits_for_the_lock(observer):  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(0.01)
        found = list((await subscription.fetch(10, 1.0)).events) if writing.done() else []
        await transaction.commit()
        await writing
        while batch := (await subscription.fetch(10, 1.5)).events:
            found += batch
        return numbers(found)
    finally:
        await asyncio.gather(*(connection.close() for connection in (early, late, observer)))


async def test_positions_become_visible_in_the_order_they_are_drawn(database_url: str, bus: PostgresBus) -> None:
    assert await overtaken(database_url, bus, postgres_appender.APPEND) == [0, 1]


async def test_without_the_lock_a_reader_skips_what_commits_late(database_url: str, bus: PostgresBus) -> None:
    """Shows that the two tests above can fail: the same statement, and positions drawn without the lock."""
    unlocked = postgres_appender.APPEND.replace(
        "pg_advisory_xact_lock(hashtextextended('loyalnest.bus.append', 0))", "1 AS one"
    )
    assert unlocked != postgres_appender.APPEND
    assert await overtaken(database_url, bus, unlocked) == [1]
