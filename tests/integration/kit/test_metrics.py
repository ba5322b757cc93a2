"""What is measured of transactions, pools and loops: the figures that alerts stand on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from integration.kit.support import Counted, Counters, counters, counters_service, migrated, until
from integration.kit.world import World, told
from loyalnest.kit.consumer import ConsumerLoop
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.jobs import JobLoop
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.service import Consumer, Job, Parts, Service
from loyalnest.kit.settings import Settings


@pytest.fixture
async def service(database_url: str, tmp_path: Path) -> AsyncIterator[Counters]:
    await migrated(database_url, counters_service(tmp_path, "measured"))
    async with counters(database_url, schema="measured", connections=2) as opened:
        yield opened


def steps(what: str) -> dict[str, float]:
    """A figure of each step of the service's transactions: `count` or `sum` in seconds."""
    found = {}
    for step in ("acquire", "begin", "commit"):
        labels = {"service": "measured", "step": step}
        found[step] = REGISTRY.get_sample_value(f"loyalnest_database_seconds_{what}", labels) or 0.0
    return found


async def test_each_step_of_a_transaction_is_measured(service: Counters) -> None:
    before = steps("count")
    async with service.database.request("acme") as connection:
        await connection.execute("SELECT pg_sleep(0.3)")
    async with service.database.worker():
        pass
    with pytest.raises(LookupError):
        async with service.database.worker():
            raise LookupError
    after = steps("count")
    assert {step: after[step] - before[step] for step in after} == {"acquire": 3, "begin": 3, "commit": 2}


async def test_the_wait_for_a_connection_of_a_pool_that_is_used_up_is_measured(service: Counters) -> None:
    async def hold() -> None:
        async with service.database.worker():
            holding.release()
            await done.wait()

    holding, done = asyncio.Semaphore(0), asyncio.Event()
    holders = [asyncio.create_task(hold()) for _ in range(2)]
    for _ in holders:
        await holding.acquire()
    usage = service.pools.usage()
    assert (usage.used, usage.idle, usage.limit) == (2, 0, 2)
    before = steps("sum")
    third = asyncio.create_task(service.write([]))
    await asyncio.sleep(0.3)
    done.set()
    await asyncio.gather(third, *holders)
    assert steps("sum")["acquire"] - before["acquire"] >= 0.25
    usage = service.pools.usage()
    assert (usage.used, usage.idle, usage.limit) == (0, 2, 2)


async def test_failures_are_counted_from_zero(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """Prometheus sees no increase in the first sample of a series, so a failure must not be the first."""
    world = World(tmp_path, told(database_url, redis_url))
    await migrated(database_url, world.services()["counters"])
    runtime = world.runtime()
    await runtime.open()
    try:
        ConsumerLoop("fresh", Consumer(Counted.topic, world.before), runtime.bus, 0)  # type: ignore[arg-type]
        JobLoop("fresh", Job("sweep", every=1, run=world._tick), runtime._pools.locks(database_url))
    finally:
        await runtime.stop()
    topic = {"service": "fresh", "topic": Counted.topic}
    for name in ("dead_letters_total", "events_handled_total", "event_batches_retried_total"):
        assert REGISTRY.get_sample_value(f"loyalnest_{name}", topic) == 0
    for outcome in ("done", "outage", "failed"):
        job = {"service": "fresh", "job": "sweep", "outcome": outcome}
        assert REGISTRY.get_sample_value("loyalnest_job_runs_total", job) == 0


async def test_services_set_gauges_of_their_own(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """One whose look meets an outage does not keep the next from its own."""
    world = World(tmp_path, told(database_url, redis_url) | {"database_connections": 7})
    looked: list[str] = []

    async def fails() -> None:
        looked.append("tellers")
        raise Unavailable("The database is away.")

    async def looks() -> None:
        looked.append("others")

    tellers = Service(
        name="tellers",
        summary="",
        build=lambda _: Parts(observe=fails),
        key_source=lambda _: world._no_keys,
    )
    others = Service(name="others", summary="", build=lambda _: Parts(observe=looks), needs=("tellers",))
    runtime = Runtime(
        Settings(**world.settings), ["tellers", "others"], services={"tellers": tellers, "others": others}
    )
    await runtime.start()
    try:
        await until(lambda: looked == ["tellers", "others"])
        assert REGISTRY.get_sample_value("loyalnest_database_connections_limit") == 7
        assert (REGISTRY.get_sample_value("loyalnest_database_connections", {"state": "idle"}) or 0) >= 1
    finally:
        await runtime.stop()
