"""What the PostgreSQL bus promises beyond the common suite."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import msgspec
import pytest

from integration.kit.test_bus import TOPIC, event, numbers, read
from loyalnest.kit.bus.postgres import PostgresBus
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import Event


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


async def test_publishes_at_once_share_transactions(database_url: str, bus: PostgresBus) -> None:
    await bus.publish([event(0)])
    await asyncio.gather(*(bus.publish([event(number, key=f"c{number}")]) for number in range(200)))
    connection = await asyncpg.connect(database_url)
    transactions = await connection.fetchval("SELECT count(DISTINCT xmin::text) FROM bus.events")
    await connection.close()
    assert transactions <= 6


async def test_a_large_publish_is_written_in_pieces_and_in_order(bus: PostgresBus) -> None:
    large = msgspec.structs.replace(event(0), payload=b"x" * (5 * 1024 * 1024))
    await bus.publish([event(number) for number in range(5000)])
    assert numbers(await read(bus.subscribe("g", TOPIC), 5000)) == list(range(5000))
    await bus.publish([large, large, large])
    assert (await bus.lag("g", TOPIC)).events == 3


async def test_an_event_that_postgresql_refuses_fails_its_own_call_only(bus: PostgresBus) -> None:
    async def attempt(each: Event) -> bool:
        try:
            await bus.publish([each])
        except (asyncpg.PostgresError, asyncpg.InterfaceError, UnicodeEncodeError):
            return False
        return True

    results = await asyncio.gather(*(attempt(event(n, key="zero\0byte" if n == 3 else "fine")) for n in range(8)))
    assert results == [n != 3 for n in range(8)]
    assert numbers(await read(bus.subscribe("g", TOPIC), 7)) == [0, 1, 2, 4, 5, 6, 7]


async def test_a_second_process_gets_no_partition_that_the_first_reads(bus: PostgresBus, other: PostgresBus) -> None:
    await bus.publish([event(number, key=f"c{number}") for number in range(40)])
    mine, theirs = bus.subscribe("g", TOPIC), other.subscribe("g", TOPIC)
    assert len((await mine.fetch(100, 1.0)).events) == 40
    assert not (await theirs.fetch(100, 0.8)).events
    twin = bus.subscribe("g", TOPIC)
    assert not (await twin.fetch(100, 0.1)).events
    await mine.close()
    assert len(await read(theirs, 40)) == 40  # nothing was committed


async def test_members_that_disagree_on_their_number_never_share_a_partition(
    bus: PostgresBus, other: PostgresBus
) -> None:
    await bus.publish([event(number, key=f"c{number}") for number in range(60)])
    half = await bus.subscribe("g", TOPIC, member=0, members=2).fetch(100, 1.0)
    rest = await other.subscribe("g", TOPIC, member=0, members=1).fetch(100, 1.0)
    assert sorted(numbers(half.events) + numbers(rest.events)) == list(range(60))
    assert half.events
    assert rest.events


async def test_a_lost_lease_connection_is_mended_and_reading_starts_at_the_committed_position(
    database_url: str, bus: PostgresBus
) -> None:
    await bus.publish([event(number) for number in range(6)])
    subscription = bus.subscribe("g", TOPIC)
    batch = await subscription.fetch(2, 1.0)
    await subscription.commit(batch)
    assert numbers((await subscription.fetch(2, 1.0)).events) == [2, 3]
    connection = await asyncpg.connect(database_url)
    ended = await connection.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'loyalnest bus watch' AND datname = current_database()"
    )
    await connection.close()
    assert ended == 1
    await asyncio.sleep(0.1)
    assert numbers((await subscription.fetch(10, 1.0)).events) == [2, 3, 4, 5]


async def test_prune_deletes_what_is_older_than_the_retention(database_url: str, bus: PostgresBus) -> None:
    old = [
        msgspec.structs.replace(e, occurred_at=e.occurred_at - timedelta(hours=200))
        for e in (event(number, key=f"c{number % 9}") for number in range(2500))
    ]
    await bus.publish(old)
    await bus.publish([event(9000), event(9001)])
    assert await bus.prune() == 2500
    assert await bus.prune() == 0
    assert numbers(await read(bus.subscribe("g", TOPIC), 2)) == [9000, 9001]


async def test_a_topic_keeps_the_partitions_it_was_made_with(database_url: str, bus: PostgresBus) -> None:
    wider = PostgresBus(database_url, partitions=16)
    await wider.start()
    try:
        await wider.publish([event(number, key=f"c{number}") for number in range(40)])
        assert await wider.partitions_of(TOPIC) == 4
    finally:
        await wider.stop()
    assert len(await read(bus.subscribe("g", TOPIC), 40)) == 40


async def test_forty_subscriptions_share_a_few_connections(database_url: str, bus: PostgresBus) -> None:
    subscriptions = [bus.subscribe(f"g{number}", TOPIC) for number in range(40)]
    await bus.publish([event(1)])
    await asyncio.gather(*(read(subscription, 1) for subscription in subscriptions))
    connection = await asyncpg.connect(database_url)
    count = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name LIKE 'loyalnest bus%' AND datname = current_database()"
    )
    await connection.close()
    assert count <= 6


async def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await PostgresBus("postgresql://postgres@/x?host=/nonexistent").start()


@dataclass
class OwnServer:
    server: EmbeddedPostgres
    data: Path


@pytest.fixture
def own_server() -> Iterator[OwnServer]:
    folder = Path(tempfile.mkdtemp(prefix="ln-"))
    server = EmbeddedPostgres(folder / "pg", shared_buffers="32MB")
    server.start()
    yield OwnServer(server, folder / "pg")
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


async def apply(bus: PostgresBus, applied: list[int], stop: asyncio.Event) -> None:
    """Read as the consumer loop does, until `stop` and then to the end."""
    subscription = bus.subscribe("g", TOPIC)
    while not stop.is_set():
        try:
            batch = await subscription.fetch(200, 0.2)
            applied.extend(numbers(batch.events))
            await subscription.commit(batch)
        except Unavailable:
            await asyncio.sleep(0.05)
            await subscription.rewind()
    applied.extend(numbers((await subscription.fetch(100_000, 1.0)).events))


@pytest.mark.parametrize("kill", [False, True])
async def test_every_acknowledged_event_survives_a_restart_in_the_middle(own_server: OwnServer, *, kill: bool) -> None:
    server = own_server.server
    bus = PostgresBus(server.url("postgres"))
    await bus.start()
    await bus.ensure_topics([TOPIC])
    acknowledged: list[int] = []
    refused: list[int] = []
    stop = asyncio.Event()

    async def publisher(name: int) -> None:
        number = name * 1_000_000
        while not stop.is_set():
            try:
                await bus.publish([event(number, key=f"p{name}")])
            except Unavailable:
                refused.append(number)
                await asyncio.sleep(0.05)
            else:
                acknowledged.append(number)
            number += 1

    applied: list[int] = []
    tasks = [asyncio.create_task(publisher(name)) for name in range(10)]
    published = asyncio.Event()
    reading = asyncio.create_task(apply(bus, applied, published))
    await asyncio.sleep(0.7)
    if kill:
        os.kill(int((own_server.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)
    else:
        await asyncio.to_thread(server.stop)
    await asyncio.sleep(0.3)
    await asyncio.to_thread(server.start)
    before = len(acknowledged)
    async with asyncio.timeout(20):
        while len(acknowledged) < before + 200:  # noqa: ASYNC110 - ten publishers, no one event
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*tasks)
    published.set()
    await reading
    stored = numbers([each async for each in bus.read_all(TOPIC)])
    await bus.stop()
    assert refused
    assert set(acknowledged) <= set(stored)
    assert set(stored) <= set(applied)
    for name in range(10):
        mine = [number for number in stored if number // 1_000_000 == name]
        assert mine == sorted(mine)
