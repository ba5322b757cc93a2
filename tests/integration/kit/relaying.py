"""The counters' outbox behind relays, of one process and of several."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest

from integration.kit.support import (
    Counters,
    Tap,
    counters,
    counters_service,
    migrated,
)
from loyalnest.kit.bus.postgres import PostgresBus
from loyalnest.kit.outbox import Relay

Open = Callable[[], Awaitable[Counters]]


@pytest.fixture
async def another(database_url: str, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the service as one more process would."""
    await migrated(database_url, counters_service(tmp_path))
    async with AsyncExitStack() as stack:

        async def opened() -> Counters:
            return await stack.enter_async_context(counters(database_url))

        yield opened


@pytest.fixture
async def service(another: Open) -> Counters:
    return await another()


@pytest.fixture
async def bus(service: Counters) -> AsyncIterator[Tap]:
    bus = PostgresBus(service.url)
    await bus.start()
    yield Tap(bus)
    await bus.stop()


@asynccontextmanager
async def relaying(service: Counters, bus: Tap) -> AsyncIterator[Relay]:
    relay = Relay(service.database, service.outbox, bus, service.locks)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        relay.stop()
        await asyncio.wait_for(task, 10)


async def kill(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
