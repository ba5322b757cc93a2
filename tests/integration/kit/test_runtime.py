"""The runtime: services composed into a process, which starts whole or not at all, tells how it is, and drains."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from integration.kit.support import Counted, asked, ids, migrated, plain_logs, until
from integration.kit.world import World, told
from loyalnest.kit.context import as_merchant
from loyalnest.kit.embedded.postgres import EmbeddedPostgres
from loyalnest.kit.errors import InvalidInput, Unavailable
from loyalnest.kit.events import Event
from loyalnest.kit.program import load_programs
from loyalnest.kit.runtime import Runtime
from loyalnest.kit.service import Consumer, Parts, Service
from loyalnest.kit.settings import Settings
from loyalnest.points import points_pb2
from loyalnest.points.points_pb2_grpc import (
    PointsServiceStub,
)

__all__ = ["plain_logs"]

pytestmark = pytest.mark.usefixtures("plain_logs")

PROGRAM = """
apiVersion: v1
kind: Secret
metadata: {name: acme-shopify, namespace: loyalnest-system}
stringData: {apiKey: acme-key, apiSecret: acme-secret}
---
apiVersion: loyalnest.io/v1alpha1
kind: LoyaltyProgram
metadata: {name: acme}
spec:
  shop:
    domain: acme.myshopify.com
    credentialsSecret: {name: acme-shopify, namespace: loyalnest-system}
  earning:
    rules:
      - {name: purchase, trigger: order, pointsPerUnit: 10}
"""


@pytest.fixture
async def world(database_url: str, redis_url: str, tmp_path: Path) -> World:
    world = World(tmp_path, told(database_url, redis_url))
    await migrated(database_url, world.services()["counters"])
    return world


@asynccontextmanager
async def started(runtime: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    await runtime.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{runtime.http_port}", timeout=10) as client:
            yield client
    finally:
        await runtime.stop()


async def connections(url: str) -> int:
    """How many others are connected to this database; those that say goodbye get a moment."""
    connection = await asyncpg.connect(url)
    count = -1
    try:
        for _ in range(50):
            count = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            if count == 0:
                break
            await asyncio.sleep(0.05)
    finally:
        await connection.close()
    return count


async def test_services_are_built_provisioned_and_started_in_order_and_stopped_in_reverse(
    world: World, tmp_path: Path
) -> None:
    (tmp_path / "acme.yaml").write_text(PROGRAM)
    (program,) = load_programs([tmp_path / "acme.yaml"])
    runtime = world.runtime(programs=[program])
    async with started(runtime):
        assert world.happened == [
            "build tellers",
            "build counters",
            "provision tellers acme",
            "provision counters acme",
            "start tellers",
            "start counters",
        ]
        environment = world.environments["counters"]
        assert environment.running == ["tellers", "counters"]
        assert environment.services.keys() == {"tellers", "counters"}
        assert environment.database.schema == "counters"
        await until(lambda: world.jobs >= 2)
    assert world.happened[6:] == ["stop counters", "stop tellers"]


async def test_it_answers_how_it_is(world: World) -> None:
    async with started(world.runtime()) as client:
        assert (await client.get("/healthz")).json() == {"status": "alive"}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready", "problems": {}})
        metrics = await client.get("/metrics")
        assert "loyalnest_job_runs_total" in metrics.text
        assert metrics.headers["content-type"].startswith("text/plain")


async def test_a_process_without_an_application_still_answers(world: World) -> None:
    async with started(world.runtime("tellers")) as client:
        assert (await client.get("/readyz")).status_code == 200
        missing = await client.get("/nothing")
        assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


async def test_an_event_goes_all_the_way(world: World) -> None:
    runtime = world.runtime()
    async with started(runtime):
        assert world.counters is not None
        await world.counters.write(asked(20, keys=3))
        assert not await runtime.settled()
        await until(runtime.settled)
        assert await world.counters.total() == 20


async def test_ready_follows_postgresql(server_folder: Path, redis_url: str, tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(server_folder / "of-its-own", durable=False, shared_buffers="16MB")
    await asyncio.to_thread(postgres.start)
    try:
        url = postgres.url("postgres")
        world = World(tmp_path, told(url, redis_url))
        await migrated(url, world.services()["counters"])
        runtime = world.runtime()

        async def status() -> int:
            return (await client.get("/readyz")).status_code

        async def is_ready() -> bool:
            return await status() == 200

        async with started(runtime) as client:
            assert await status() == 200
            await asyncio.to_thread(postgres.stop)
            answer = await client.get("/readyz")
            assert answer.status_code == 503
            assert answer.json()["problems"].keys() == {"database counters", "database tellers"}
            assert (await client.get("/healthz")).status_code == 200
            await asyncio.sleep(1.5)  # long enough for every loop to have met it
            await asyncio.to_thread(postgres.start)
            await until(is_ready, 15)
            assert world.counters is not None
            await world.counters.write(asked(5))
            await until(runtime.settled, 30)
            assert await world.counters.total() == 5
    finally:
        await asyncio.to_thread(postgres.stop)


async def test_stop_finishes_what_is_under_way_and_leaves_nothing(world: World, database_url: str) -> None:
    before = asyncio.all_tasks()

    async def slowly(_events: Sequence[Event]) -> None:
        if "batch begins" not in world.happened:
            world.happened.append("batch begins")
            await asyncio.sleep(3.0)
            assert world.counters is not None
            await world.counters.write(asked(1))  # relays must outlive consumers
            world.happened.append("batch ends")

    world.before = slowly
    runtime = world.runtime()
    async with started(runtime) as client:
        await runtime.bus.publish(asked(1))
        request = asyncio.create_task(client.get("/slow"))
        await until(lambda: {"batch begins", "request begins"} <= set(world.happened))
        await runtime.stop()
        assert (await request).json() == {"done": "well"}
    assert world.happened.index("batch ends") < world.happened.index("stop counters")
    assert world.happened.index("request ends") < world.happened.index("stop counters")
    assert await connections(database_url) == 0
    await until(lambda: not {task for task in asyncio.all_tasks() - before if not task.done()} - {request})
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT sum(value) FROM counters.counters") >= 1
        assert await connection.fetchval("SELECT count(*) FROM counters.outbox") == 0
        assert await connection.fetchval("SELECT count(*) FROM bus.events") == 3
    finally:
        await connection.close()
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", runtime.http_port)


async def test_many_loops_stop_together(world: World) -> None:
    services = world.services()
    many = [Consumer(f"quiet.{number}", _nothing) for number in range(12)]
    services["tellers"] = Service(
        name="tellers", summary="", build=lambda _: Parts(consumers=many), key_source=lambda _: world._no_keys
    )
    runtime = Runtime(Settings(**world.settings), ["tellers"], services=services)
    await runtime.start()
    await asyncio.sleep(0.3)
    clock = asyncio.get_running_loop().time
    begun = clock()
    await runtime.stop()
    assert clock() - begun < 3.0  # each may wait a second for events


async def _nothing(_events: Sequence[Event]) -> None:
    pass


async def test_what_does_not_end_is_cut_short(world: World, database_url: str) -> None:
    async def for_ever(_events: Sequence[Event]) -> None:
        world.happened.append("batch begins")
        await asyncio.Event().wait()

    world.before = for_ever
    runtime = world.runtime(drain_seconds=0.3)
    await runtime.start()
    await runtime.bus.publish(asked(1))
    await until(lambda: "batch begins" in world.happened)
    await asyncio.wait_for(runtime.stop(), 5)
    assert await connections(database_url) == 0


@pytest.mark.parametrize("how", ["a part", "the port", "the bus", "redis"])
async def test_a_start_that_fails_stops_what_had_started(world: World, database_url: str, how: str) -> None:
    before = asyncio.all_tasks()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        world.fault = LookupError("no") if how == "a part" else None
        cases: dict[str, tuple[type[Exception], dict[str, Any]]] = {
            "a part": (LookupError, {}),
            "the port": (InvalidInput, {"http_port": taken.getsockname()[1]}),
            "the bus": (Unavailable, {"bus": "kafka", "kafka_brokers": "127.0.0.1:1"}),
            "redis": (InvalidInput, {"redis_url": ""}),
        }
        error, settings = cases[how]
        with pytest.raises(error):
            await world.runtime(**settings).start()
    stopped = ["stop counters", "stop tellers"]
    assert world.happened[-2:] == stopped if "build counters" in world.happened else world.happened == []
    assert await connections(database_url) == 0
    await until(lambda: not {task for task in asyncio.all_tasks() - before if not task.done()})


async def test_a_loop_that_dies_is_told_by_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = world.runtime()
    async with started(runtime):
        waiting = asyncio.create_task(runtime.wait())
        await asyncio.sleep(0.1)
        assert not waiting.done()

        async def broken(*_arguments: Any) -> None:
            raise LookupError("a bug in a loop")

        monkeypatch.setattr("loyalnest.kit.observer.EVERY_SECONDS", 0.05)
        monkeypatch.setattr(runtime.bus, "lag", broken)
        with pytest.raises(LookupError):
            await asyncio.wait_for(waiting, 15)


async def test_a_service_is_called_here_or_at_its_peer(world: World) -> None:
    request = points_pb2.GetPointsBalanceRequest(customer_id=7)
    here = world.runtime()
    async with started(here):
        with as_merchant("acme"):
            stub = PointsServiceStub(here.channel("tellers"))
            answer = await stub.GetPointsBalance(request)
        assert (answer.available, answer.customer_id) == (4, 7)
        elsewhere = world.runtime("counters", peers={"tellers": f"127.0.0.1:{here.grpc_port}"})
        async with started(elsewhere):
            assert elsewhere.grpc_port not in (0, here.grpc_port)
            with as_merchant("zenith"):
                stub = PointsServiceStub(elsewhere.channel("tellers"))
                answer = await stub.GetPointsBalance(request)
            assert (answer.available, answer.customer_id) == (6, 7)
            with pytest.raises(InvalidInput, match="LOYALNEST_PEERS"):
                elsewhere.channel("nobody")


async def test_two_processes_share_the_work(world: World) -> None:
    first, second = world.runtime(), world.runtime("counters", peers={"tellers": "127.0.0.1:1"})
    async with started(first), started(second):
        assert world.counters is not None
        events = asked(300, keys=30)
        await world.counters.write(events)
        await until(first.settled, 20)
        assert await world.counters.total() == 300
        published = [event async for event in first.bus.read_all(Counted.topic)]
        assert sorted(ids(published)) == sorted(ids(events))
