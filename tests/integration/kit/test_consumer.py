"""The consumer loop on both buses: every event has its effect once, outages are waited out, faults are set aside."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from integration.kit.consuming import LETTERS, bus, caught_up, consuming, failing, letters, service
from integration.kit.support import (
    Counted,
    Counters,
    asked,
    everything,
    plain_logs,
    until,
)
from loyalnest.kit.bus import EventBus, Subscription
from loyalnest.kit.consumer import ATTEMPTS_ALONE, ConsumerLoop
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import Event
from loyalnest.kit.service import Consumer

__all__ = ["bus", "plain_logs", "service"]

pytestmark = pytest.mark.usefixtures("plain_logs")


async def test_every_event_counts_once_though_published_twice(service: Counters, bus: EventBus) -> None:
    events = asked(500, keys=20)
    async with consuming(service, bus, batch=100, workers=2):
        await bus.publish(events)
        await bus.publish(events[:100])
        await until(lambda: caught_up(bus), 30)
    assert await service.values() == {("acme", f"k{key}"): 25 for key in range(20)}
    assert max(map(len, service.batches)) <= 100


async def test_an_outage_is_waited_out_without_dead_letters(service: Counters, bus: EventBus) -> None:
    service.before = failing(
        asyncpg.DeadlockDetectedError("deadlock"),
        asyncpg.ConnectionDoesNotExistError("gone"),
        ConnectionRefusedError("refused"),
        Unavailable("away"),
        TimeoutError(),
    )
    await bus.publish(asked(50))
    async with consuming(service, bus):
        await until(lambda: caught_up(bus), 30)
    assert await service.total() == 50
    assert all(len(batch) > 1 for batch in service.batches)
    assert await letters(bus) == []


async def test_a_poison_event_is_set_aside_alone(service: Counters, bus: EventBus) -> None:
    events = asked(100, keys=1)
    poison = events[37]

    async def refuse(batch: Sequence[Event]) -> None:
        if poison.id in {event.id for event in batch}:
            raise ValueError(f"no sense in {poison.key}")

    service.before = refuse
    await bus.publish(events)
    async with consuming(service, bus):
        await until(lambda: caught_up(bus), 30)
    assert await service.total() == 99
    (letter,) = await letters(bus)
    assert letter.original == poison
    assert letter.service == "counters"
    assert letter.error == "ValueError: no sense in k0"
    assert sum(len(batch) == 1 and batch[0].id == poison.id for batch in service.batches) == ATTEMPTS_ALONE
    (wrapped,) = await everything(bus, LETTERS)
    assert (wrapped.merchant_id, wrapped.key) == (poison.merchant_id, poison.key)
    service.before = None
    await bus.publish([letter.original])  # a replay of it
    async with consuming(service, bus):
        await until(lambda: caught_up(bus), 30)
    assert await service.total() == 100


async def test_stop_finishes_the_batch_under_way(service: Counters, bus: EventBus) -> None:
    under_way = asyncio.Event()

    async def slowly(_events: Sequence[Event]) -> None:
        under_way.set()
        await asyncio.sleep(0.3)

    service.before = slowly
    await bus.publish(asked(20))
    async with consuming(service, bus, batch=10) as loop:
        await asyncio.wait_for(under_way.wait(), 20)
        loop.stop()
    assert 0 < await service.total() == sum(map(len, service.batches)) <= 10
    assert (await bus.lag("counters", Counted.topic)).events == 20 - await service.total()


async def test_a_kill_before_the_commit_repeats_the_batch_without_effect(
    service: Counters, bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bus.publish(asked(30))
    applied = asyncio.Event()

    async def handle_and_stall(events: Sequence[Event]) -> None:
        await service.handle(events)
        applied.set()
        await asyncio.Event().wait()

    doomed = ConsumerLoop("counters", Consumer(Counted.topic, handle_and_stall), bus, 0)
    subscriptions: list[Subscription] = []
    subscribe = bus.subscribe

    def remember(*args: Any, **more: Any) -> Subscription:
        subscriptions.append(subscribe(*args, **more))
        return subscriptions[-1]

    with monkeypatch.context() as patch:
        patch.setattr(bus, "subscribe", remember)
        task = asyncio.create_task(doomed.run())
        await asyncio.wait_for(applied.wait(), 20)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await subscriptions[0].close()  # as the end of its process would
    before = await service.total()
    assert before > 0
    async with consuming(service, bus):
        await until(lambda: caught_up(bus), 30)
    assert await service.total() == 30
    assert sum(map(len, service.batches)) == 30 + before
