"""What the Kafka bus promises beyond the common suite."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import msgspec
import pytest
from confluent_kafka import Producer

from fixtures.kafka import KafkaBroker
from fixtures.machine import free_port
from integration.kit.test_bus import TOPIC, event, numbers, read
from loyalnest.kit.bus.kafka import KafkaBus
from loyalnest.kit.bus.kafka_reader import FOREIGN
from loyalnest.kit.errors import TooLarge, Unavailable


@pytest.fixture
def prefix() -> str:
    return f"t{uuid.uuid4().hex}."


@pytest.fixture
async def bus(kafka_brokers: str, prefix: str) -> AsyncIterator[KafkaBus]:
    bus = KafkaBus(kafka_brokers, prefix, delivery_timeout=3.0)
    await bus.start()
    await bus.ensure_topics([TOPIC])
    yield bus
    await bus.stop()


async def test_a_foreign_message_is_counted_and_skipped(bus: KafkaBus, kafka_brokers: str, prefix: str) -> None:
    foreign = Producer({"bootstrap.servers": kafka_brokers})
    before = FOREIGN.labels(TOPIC)._value.get()
    subscription = bus.subscribe("g", TOPIC)
    await bus.publish([event(1)])
    strange: list[tuple[str, str | bytes | None]] = [
        ("id", b"no uuid"),
        ("merchant_id", b"m"),
        ("key", b"k"),
        ("occurred_at", b"yesterday"),
    ]
    for headers in ([], strange):
        foreign.produce(prefix + TOPIC, b"hello", b"m1:c1", headers=headers)
        foreign.produce(prefix + TOPIC, None, b"m1:c1", headers=headers)
    foreign.flush(10)
    await bus.publish([event(2)])
    assert numbers(await read(subscription, 2)) == [1, 2]
    assert FOREIGN.labels(TOPIC)._value.get() == before + 4
    foreign.produce(prefix + TOPIC, b"hello", b"m1:c1")
    foreign.flush(10)
    async with asyncio.timeout(10):
        while (await bus.lag("g", TOPIC)).events:  # a foreign message at the end does not count as lag for ever
            assert not (await subscription.fetch(10, 0.2)).events
    assert numbers([each async for each in bus.read_all(TOPIC)]) == [1, 2]


async def test_an_event_beyond_what_kafka_takes_is_too_large(bus: KafkaBus) -> None:
    huge = msgspec.structs.replace(event(1), payload=b"x" * 9_000_000)
    with pytest.raises(TooLarge):
        await bus.publish([huge])
    await bus.publish([event(1)])


async def test_a_cluster_that_is_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.kit.bus.kafka.ASK_SECONDS", 1.0)
    with pytest.raises(Unavailable):
        await KafkaBus(f"127.0.0.1:{free_port()}", "x.").start()


async def test_a_topic_that_is_not_there_is_unavailable(bus: KafkaBus) -> None:
    with pytest.raises(Unavailable):
        await bus.publish([event(1, topic="never.made")])
    assert (await bus.lag("g", "never.made")).events == 0


async def test_every_acknowledged_event_survives_a_killed_broker_and_readers_resume(
    bus: KafkaBus, kafka_broker: KafkaBroker
) -> None:
    acknowledged: list[int] = []
    refused: list[int] = []
    applied: list[int] = []
    stop, published = asyncio.Event(), asyncio.Event()

    async def publisher(name: int) -> None:
        number = name * 1_000_000
        while not stop.is_set():
            try:
                await bus.publish([event(number, key=f"p{name}")])
            except Unavailable:
                refused.append(number)
            else:
                acknowledged.append(number)
            number += 1

    async def reader() -> None:
        subscription = bus.subscribe("g", TOPIC)
        while not published.is_set():
            try:
                batch = await subscription.fetch(200, 0.2)
                applied.extend(numbers(batch.events))
                await subscription.commit(batch)
            except Unavailable:
                await asyncio.sleep(0.1)
                await subscription.rewind()
        async with asyncio.timeout(30):
            while (await bus.lag("g", TOPIC)).events:
                batch = await subscription.fetch(1000, 0.5)
                applied.extend(numbers(batch.events))
                await subscription.commit(batch)

    tasks = [asyncio.create_task(publisher(name)) for name in range(10)] + [asyncio.create_task(reader())]
    await asyncio.sleep(2.0)
    assert applied
    kafka_broker.kill()
    await asyncio.sleep(4.0)  # longer than the delivery timeout
    await asyncio.to_thread(kafka_broker.start)
    before = len(acknowledged)
    async with asyncio.timeout(40):
        while len(acknowledged) < before + 200:  # noqa: ASYNC110 - ten publishers, no one event
            await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*tasks[:-1])
    published.set()
    await tasks[-1]
    stored = numbers([each async for each in bus.read_all(TOPIC)])
    assert refused
    assert set(acknowledged) <= set(stored)
    assert set(acknowledged) <= set(applied)
