"""The outbox and its relay: what is committed is published, in order, whatever dies."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence

import pytest

from integration.kit.relaying import Open, another, bus, kill, relaying, service
from integration.kit.support import (
    Counted,
    Counters,
    Tap,
    asked,
    everything,
    ids,
    until,
)
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import BATCH, IDLE_SECONDS, Relay

__all__ = ["another", "bus", "service"]


async def test_what_is_committed_is_published_once_as_it_was(service: Counters, bus: Tap) -> None:
    events = asked(5, keys=3)
    async with relaying(service, bus):
        await service.write(events)
        await until(lambda: len(bus.published) == 5)
        await asyncio.sleep(0.1)
    assert sorted(await everything(bus, Counted.topic), key=lambda event: event.id) == sorted(
        events, key=lambda event: event.id
    )
    assert await service.waiting() == 0


async def test_what_is_rolled_back_is_never_published(service: Counters, bus: Tap) -> None:
    async def change_mind() -> None:
        async with service.database.worker() as connection:
            await service.outbox.append(connection, asked(3))
            raise LookupError

    async with relaying(service, bus):
        with pytest.raises(LookupError):
            await change_mind()
        assert not service.outbox.written.is_set()
        kept = asked(1)
        await service.write(kept)
        await until(lambda: bool(bus.published))
    assert ids(bus.published) == ids(kept)


async def test_a_keys_events_stay_in_order_over_batches(service: Counters, bus: Tap) -> None:
    events = asked(2 * BATCH + 500, keys=7)
    for first in range(0, len(events), 900):
        await service.write(events[first : first + 900])
    async with relaying(service, bus):
        await until(lambda: len(bus.published) == len(events))
    found: dict[str, list[str]] = defaultdict(list)
    for event in await everything(bus, Counted.topic):
        found[event.key].append(str(event.id))
    assert found == {f"k{key}": ids(events[key::7]) for key in range(7)}


async def test_an_early_id_that_commits_late_is_not_skipped(service: Counters, bus: Tap) -> None:
    early, late = asked(1), asked(1)
    async with relaying(service, bus):
        async with service.database.worker() as connection:
            await service.outbox.append(connection, early)
            await service.write(late)
            await until(lambda: len(bus.published) == 1)
            assert ids(bus.published) == ids(late)
        await until(lambda: len(bus.published) == 2)
    assert ids(bus.published) == ids([*late, *early])
    assert await service.waiting() == 0


async def test_a_kill_between_publishing_and_deleting_repeats_the_same_ids(service: Counters, bus: Tap) -> None:
    events = asked(10)
    await service.write(events)
    published = asyncio.Event()

    async def stall(_events: Sequence[Event]) -> None:
        published.set()
        await asyncio.Event().wait()

    bus.after = stall
    relay = asyncio.create_task(Relay(service.database, service.outbox, bus, service.locks).run())
    await asyncio.wait_for(published.wait(), 5)
    await kill(relay)
    assert await service.waiting() == 10
    bus.after = None
    async with relaying(service, bus):
        await until(lambda: len(bus.published) == 20)
    assert ids(bus.published) == ids(events) * 2
    assert await service.waiting() == 0


async def test_a_commit_wakes_the_relay_before_its_next_look(service: Counters, bus: Tap) -> None:
    async with relaying(service, bus):
        await service.write(asked(1))
        await until(lambda: len(bus.published) == 1)
        took = []
        for count in range(2, 12):
            await service.write(asked(1))
            took.append(await until(lambda count=count: len(bus.published) == count))
    assert sorted(took)[len(took) // 2] < IDLE_SECONDS / 5


async def test_events_of_another_process_are_found_by_looking(service: Counters, bus: Tap, another: Open) -> None:
    writer = await another()
    async with relaying(service, bus):
        await writer.write(asked(1))
        assert await until(lambda: len(bus.published) == 1) < 2 * IDLE_SECONDS


async def test_an_outage_of_the_bus_is_waited_out_without_haste(service: Counters, bus: Tap) -> None:
    async def refuse(_events: Sequence[Event]) -> None:
        raise Unavailable("away")

    bus.before = refuse
    async with relaying(service, bus):
        for _ in range(20):  # each commit asks for the relay's attention
            await service.write(asked(1))
            await asyncio.sleep(0.02)
        assert 1 <= bus.attempts <= 4
        bus.before = None
        await until(lambda: len(bus.published) == 20)
    assert await service.waiting() == 0


async def test_a_second_outage_is_not_punished_for_the_first(service: Counters, bus: Tap) -> None:
    async def refuse(_events: Sequence[Event]) -> None:
        raise Unavailable("away")

    async with relaying(service, bus) as relay:
        for outage in range(1, 4):
            bus.before = refuse
            start = bus.attempts
            await service.write(asked(1))
            await until(lambda start=start: bus.attempts >= start + 2)
            bus.before = None
            await until(lambda outage=outage: len(bus.published) == outage)
            assert relay._delay < 1.0


async def test_stop_publishes_what_is_left(service: Counters, bus: Tap) -> None:
    async with relaying(service, bus):
        await asyncio.sleep(0.1)
        events = asked(2 * BATCH + 10)
        await service.write(events)
    assert await service.waiting() == 0
    assert len(bus.published) == len(events)


async def test_stop_publishes_what_was_written_while_the_last_batch_moved(service: Counters, bus: Tap) -> None:
    under_way, go_on = asyncio.Event(), asyncio.Event()

    async def hold_up(_events: Sequence[Event]) -> None:
        under_way.set()
        await go_on.wait()

    bus.before = hold_up
    async with relaying(service, bus) as relay:
        await service.write(asked(1))
        await asyncio.wait_for(under_way.wait(), 5)
        await service.write(asked(1))
        relay.stop()
        go_on.set()
    assert await service.waiting() == 0
