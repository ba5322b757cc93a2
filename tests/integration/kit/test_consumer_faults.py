"""What a consumer loop makes of events that are at fault, and of what goes away under it."""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress

import pytest
from prometheus_client import REGISTRY

from integration.kit.consuming import LETTERS, caught_up, consuming, failing, letters, postgres_bus, service
from integration.kit.support import (
    Counted,
    Counters,
    asked,
    ids,
    plain_logs,
    terminate,
    until,
)
from loyalnest.kit.bus import EventBus
from loyalnest.kit.consumer import ATTEMPTS_ALONE
from loyalnest.kit.database import Connection
from loyalnest.kit.errors import NotFound, Unavailable
from loyalnest.kit.events import Event

__all__ = ["plain_logs", "postgres_bus", "service"]

pytestmark = pytest.mark.usefixtures("plain_logs")


async def test_one_failure_of_an_event_alone_is_forgiven(service: Counters, postgres_bus: EventBus) -> None:
    handled = "loyalnest_events_handled_total", {"service": "counters", "topic": Counted.topic}
    before = REGISTRY.get_sample_value(*handled) or 0
    service.before = failing(*[RuntimeError("a hiccup")] * ATTEMPTS_ALONE)  # in the batch's place, and twice alone
    await postgres_bus.publish(asked(1))
    async with consuming(service, postgres_bus):
        await until(lambda: caught_up(postgres_bus))
    assert await service.total() == 0
    assert [letter.error for letter in await letters(postgres_bus)] == ["RuntimeError: a hiccup"]
    service.before = failing(*[RuntimeError("a hiccup")] * (ATTEMPTS_ALONE - 1))
    await postgres_bus.publish(asked(1))
    async with consuming(service, postgres_bus):
        await until(lambda: caught_up(postgres_bus))
    assert await service.total() == 1
    assert len(await letters(postgres_bus)) == 1
    assert REGISTRY.get_sample_value(*handled) == before + 1


async def test_a_rule_broken_in_the_database_is_the_events_fault(service: Counters, postgres_bus: EventBus) -> None:
    events = [*asked(10), *asked(1, amount=-100), *asked(10, merchant_id="other")]
    await postgres_bus.publish(events)
    async with consuming(service, postgres_bus):
        await until(lambda: caught_up(postgres_bus))
    assert await service.total() == 20
    (letter,) = await letters(postgres_bus)
    assert letter.original == events[10]
    assert letter.error.startswith("CheckViolationError")


async def test_what_cannot_be_read_and_words_that_cannot_be_written_are_set_aside(
    service: Counters, postgres_bus: EventBus
) -> None:
    (event,) = asked(1)
    unreadable = Event(
        id=uuid.uuid4(), topic=Counted.topic, merchant_id="m", key="k", payload=b"\xff{", occurred_at=event.occurred_at
    )

    async def refuse(batch: Sequence[Event]) -> None:
        if batch[0].id == event.id:
            raise NotFound("half a pair: \ud83d" + "x" * 5000)

    service.before = refuse
    await postgres_bus.publish([event, unreadable])
    async with consuming(service, postgres_bus):
        await until(lambda: caught_up(postgres_bus))
    found = {letter.original.id: letter for letter in await letters(postgres_bus)}
    assert found.keys() == {event.id, unreadable.id}
    assert found[unreadable.id].original == unreadable
    assert found[event.id].error.startswith("NotFound: half a pair: ?xxx")
    assert len(found[event.id].error) == 2000


async def test_while_stopping_nothing_is_given_up_in_haste(service: Counters, postgres_bus: EventBus) -> None:
    async def refuse(_batch: Sequence[Event]) -> None:
        raise RuntimeError("what it stands on is being taken away")

    service.before = refuse
    await postgres_bus.publish(asked(8))
    async with consuming(service, postgres_bus) as loop:
        await until(lambda: len(service.batches) >= 4)
        loop.stop()
    assert await letters(postgres_bus) == []
    service.before = None
    async with consuming(service, postgres_bus):
        await until(lambda: caught_up(postgres_bus))
    assert await service.total() == 8


async def test_a_dead_letter_that_cannot_be_written_is_not_lost(
    service: Counters, postgres_bus: EventBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = asked(4)
    publish, refusals = postgres_bus.publish, [Unavailable("away"), Unavailable("away")]

    async def refusing(batch: Sequence[Event]) -> None:
        if batch[0].topic == LETTERS and refusals:
            raise refusals.pop()
        await publish(batch)

    async def refuse(batch: Sequence[Event]) -> None:
        if events[3].id in {event.id for event in batch}:
            raise ValueError

    await postgres_bus.publish(events)
    monkeypatch.setattr(postgres_bus, "publish", refusing)
    service.before = refuse
    async with consuming(service, postgres_bus):
        await until(lambda: caught_up(postgres_bus), 20)
    assert await service.total() == 3
    assert [letter.original.id for letter in await letters(postgres_bus)] == [events[3].id]


async def test_a_lost_database_connection_in_the_middle_is_an_outage(service: Counters, postgres_bus: EventBus) -> None:
    ended = 0

    async def pull_the_plug(_events: Sequence[Event], connection: Connection) -> None:
        nonlocal ended
        if ended < 3:
            ended += await terminate(service.url, f"pid = {connection.get_server_pid()}")
        await connection.fetchval("SELECT 1")

    service.within = pull_the_plug
    await postgres_bus.publish(asked(40))
    async with consuming(service, postgres_bus):
        await until(lambda: caught_up(postgres_bus), 20)
    assert ended == 3
    assert await service.total() == 40
    assert await letters(postgres_bus) == []


async def test_every_connection_lost_at_once_loses_and_doubles_nothing(
    service: Counters, postgres_bus: EventBus
) -> None:
    sent = asked(2000, keys=5)

    async def publish(events: list[Event]) -> None:
        while True:
            try:
                return await postgres_bus.publish(events)
            except Unavailable:
                await asyncio.sleep(0.02)

    async with consuming(service, postgres_bus, batch=100, workers=2):
        for first in range(0, 2000, 200):
            await publish(sent[first : first + 200])
            await terminate(service.url, "true")
        await asyncio.sleep(0.2)
        await until(lambda: settled(postgres_bus), 30)
    assert await service.values() == {("acme", f"k{key}"): 400 for key in range(5)}
    assert set(ids(event for batch in service.batches for event in batch)) == set(ids(sent))


async def settled(bus: EventBus) -> bool:
    with suppress(Unavailable):
        return await caught_up(bus)
    return False
