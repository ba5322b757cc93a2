"""One relay at a time: who waits, who takes over, and that waiting costs nothing."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from integration.kit.relaying import Open, another, bus, kill, relaying, service
from integration.kit.support import (
    Counters,
    Tap,
    asked,
    counters,
    counters_service,
    in_process,
    migrated,
    terminate,
    until,
)
from loyalnest.kit.bus.postgres import PostgresBus
from loyalnest.kit.database import Held
from loyalnest.kit.events import Event
from loyalnest.kit.outbox import IDLE_SECONDS, Relay

__all__ = ["another", "bus", "service"]


async def test_one_relay_at_a_time(service: Counters, bus: Tap, another: Open) -> None:
    other = await another()
    active = peak = 0

    async def count_in(_events: Sequence[Event]) -> None:
        nonlocal active, peak
        active += 1
        peak = max(peak, active)
        await asyncio.sleep(0.02)

    async def count_out(_events: Sequence[Event]) -> None:
        nonlocal active
        active -= 1

    bus.before, bus.after = count_in, count_out
    async with relaying(service, bus), relaying(other, bus), relaying(service, bus):
        for number in range(30):
            await (service, other)[number % 2].write(asked(3))
            await asyncio.sleep(0.01)
        await until(lambda: len(bus.published) >= 90)
    assert len(bus.published) == 90
    assert peak == 1


async def test_a_relay_that_waits_for_its_turn_stays_quiet(
    service: Counters, bus: Tap, another: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await another()
    tries = 0
    take = other.locks._take

    async def counted(name: str) -> Held | None:
        nonlocal tries
        tries += 1
        return await take(name)

    monkeypatch.setattr(other.locks, "_take", counted)
    async with relaying(service, bus):
        await service.write(asked(1))
        await until(lambda: len(bus.published) == 1)
        async with relaying(other, bus):
            for _ in range(5):
                await other.write(asked(1))
            await asyncio.sleep(0.5)
            assert 1 <= tries <= 2


async def test_another_takes_over_when_the_lock_is_lost_with_its_connection(
    service: Counters, bus: Tap, another: Open
) -> None:
    other, stuck = await another(), asyncio.Event()

    async def stall(_events: Sequence[Event]) -> None:
        stuck.set()
        await asyncio.Event().wait()

    hung = Tap(bus)
    hung.before = stall
    first = asyncio.create_task(Relay(service.database, service.outbox, hung, service.locks).run())
    events = asked(4)
    await service.write(events)
    await asyncio.wait_for(stuck.wait(), 5)
    async with relaying(other, bus):
        await asyncio.sleep(0.2)
        assert bus.published == []
        assert (
            await terminate(
                service.url,
                "EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid AND granted "
                "AND l.locktype = 'advisory') AND application_name = 'loyalnest locks'",
            )
            == 1
        )
        await until(lambda: len(bus.published) == 4, 3 * IDLE_SECONDS)
    await kill(first)


async def test_a_relay_that_lost_its_lock_to_another_publishes_no_more(
    service: Counters, bus: Tap, another: Open
) -> None:
    other = await another()
    async with relaying(service, bus):
        await service.write(asked(1))
        await until(lambda: len(bus.published) == 1)
        await terminate(service.url, "application_name = 'loyalnest locks'")
        async with other.locks.hold("loyalnest.outbox.counters") as held:
            assert held is not None
            await service.write(asked(1))
            await asyncio.sleep(2 * IDLE_SECONDS)
            assert len(bus.published) == 1
        await until(lambda: len(bus.published) == 2)


async def test_a_relay_that_lost_its_lock_takes_it_again(service: Counters, bus: Tap) -> None:
    async with relaying(service, bus):
        await service.write(asked(1))
        await until(lambda: len(bus.published) == 1)
        assert await terminate(service.url, "application_name = 'loyalnest locks'") == 1
        await service.write(asked(1))
        await until(lambda: len(bus.published) == 2, 5)
        assert await terminate(service.url, "true") > 2  # and so with everything else it holds
        await asyncio.sleep(0.2)
        await until(lambda: written(service), 5)
        await until(lambda: len(bus.published) == 3, 10)


async def written(service: Counters) -> bool:
    try:
        await service.write(asked(1))
    except Exception:  # a pooled connection that has just been ended
        return False
    return True


async def test_many_relays_do_not_starve_a_small_pool(database_url: str, tmp_path: Path) -> None:
    schemas = [f"s{number}" for number in range(6)]
    await migrated(database_url, *(counters_service(tmp_path, schema) for schema in schemas))
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(counters(database_url, schemas[0], connections=2))
        services = [first, *[await in_process(first.pools, database_url, schema) for schema in schemas[1:]]]
        bus = PostgresBus(database_url)
        await bus.start()
        stack.push_async_callback(bus.stop)
        tap = Tap(bus)
        for service in services:
            await stack.enter_async_context(relaying(service, tap))
        await asyncio.sleep(0.3)
        await asyncio.wait_for(asyncio.gather(*(service.write(asked(2)) for service in services)), 5)
        await until(lambda: len(tap.published) == 12)
