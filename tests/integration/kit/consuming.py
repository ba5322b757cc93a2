"""The counters behind consumer loops, on either bus."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from integration.kit.support import (
    Counted,
    Counters,
    counters,
    counters_service,
    everything,
    migrated,
)
from loyalnest.kit.bus import EventBus
from loyalnest.kit.bus.kafka import KafkaBus
from loyalnest.kit.bus.postgres import PostgresBus
from loyalnest.kit.consumer import ConsumerLoop, DeadLetter, dead_letter_topic
from loyalnest.kit.events import Event
from loyalnest.kit.service import Consumer

LETTERS = dead_letter_topic("counters")


@pytest.fixture
async def service(database_url: str, tmp_path: Path) -> AsyncIterator[Counters]:
    await migrated(database_url, counters_service(tmp_path))
    async with counters(database_url) as opened:
        yield opened


@pytest.fixture(params=["postgres", "kafka"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[EventBus]:
    bus: EventBus
    if request.param == "postgres":
        bus = PostgresBus(request.getfixturevalue("database_url"))
    else:
        bus = KafkaBus(request.getfixturevalue("kafka_brokers"), f"t{uuid.uuid4().hex}.")
    await bus.start()
    await bus.ensure_topics([Counted.topic, LETTERS])
    yield bus
    await bus.stop()


@pytest.fixture
async def postgres_bus(database_url: str) -> AsyncIterator[EventBus]:
    """For what does not depend on the bus."""
    bus = PostgresBus(database_url)
    await bus.start()
    await bus.ensure_topics([Counted.topic, LETTERS])
    yield bus
    await bus.stop()


@asynccontextmanager
async def consuming(
    service: Counters, bus: EventBus, batch: int = 1000, workers: int = 1
) -> AsyncIterator[ConsumerLoop]:
    consumer = Consumer(Counted.topic, service.handle, batch=batch, workers=workers)
    loops = [ConsumerLoop("counters", consumer, bus, member) for member in range(workers)]
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield loops[0]
    finally:
        for loop in loops:
            loop.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 30)


async def caught_up(bus: EventBus) -> bool:
    return (await bus.lag("counters", Counted.topic)).events == 0


async def letters(bus: EventBus) -> list[DeadLetter]:
    return [DeadLetter.read(event) for event in await everything(bus, LETTERS)]


def failing(*errors: Exception) -> Callable[[Sequence[Event]], Awaitable[None]]:
    """A hook that raises these one after the other, and then nothing."""
    left = list(errors)

    async def hook(_events: Sequence[Event]) -> None:
        if left:
            raise left.pop(0)

    return hook
