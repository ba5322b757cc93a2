"""The loop of a worker: it is woken, paced, drained, and nothing ends it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from redis.asyncio import Redis

from integration.event_tracking.support import START, EventTracking, Script
from loyalnest.event_tracking.models import Delivered, NotTaken, Outcome, Task
from loyalnest.event_tracking.pacing import Pace
from loyalnest.event_tracking.task_queue import Round
from loyalnest.event_tracking.worker import Worker
from loyalnest.kit.errors import Unavailable


class Gate:
    """A provider that answers when the test says so."""

    def __init__(self) -> None:
        self.begun, self.open = asyncio.Event(), asyncio.Event()
        self.handler = replace(Script().handler, perform=self._perform)

    async def _perform(self, _task_id: UUID, _payload: bytes) -> Outcome:
        self.begun.set()
        await self.open.wait()
        return Delivered("x")


async def happens(what: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await what():  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    yield
    worker.stop()
    await asyncio.wait_for(task, 60)


async def test_it_is_woken_finishes_what_it_sends_and_gives_the_rest_back(
    tracking: EventTracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loyalnest.event_tracking.worker.IDLE_SECONDS", 3600.0)
    gate = Gate()
    worker = Worker("email", gate.handler, tracking.queue, tracking.keys, Pace("slow", 0.12))
    tracking.queue.listen(worker.wake)
    async with running(worker):
        first = await tracking.add()
        await asyncio.wait_for(gate.begun.wait(), 60)
        second = await tracking.add()  # it is claimed, and waits for its turn, which comes in eight seconds

        async def claimed() -> bool:
            return bool((await tracking.task(second))["status"] == "running")

        await happens(claimed)
        worker.stop()
        gate.open.set()
    assert (await tracking.task(first))["status"] == "done"
    row = await tracking.task(second)
    assert (row["status"], row["due_at"], await tracking.outcomes(second)) == ("waiting", START, [])


async def test_outages_and_bugs_do_not_end_it(tracking: EventTracking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.event_tracking.worker.OUTAGE_SECONDS", 0.01)
    script = Script(Delivered("x"))
    failures: list[Exception] = [KeyError("anna@example.com")]

    async def perform(task_id: UUID, payload: bytes) -> Outcome:
        if failures:
            raise failures.pop()
        return await script.handler.perform(task_id, payload)

    claim, outages = tracking.queue.claim, [OSError("away"), ValueError("a bug"), OSError("away")]

    async def failing(kind: str, room: int, turn: Round) -> list[Task]:
        if outages:
            raise outages.pop()
        return await claim(kind, room, turn)

    monkeypatch.setattr(tracking.queue, "claim", failing)
    tracking.queue._jitter = lambda: 0.0
    task_id = await tracking.add()

    async def done() -> bool:
        return bool((await tracking.task(task_id))["status"] == "done")

    async with running(tracking.worker_with(replace(script.handler, perform=perform))):
        await happens(done)
    assert await tracking.outcomes(task_id) == ["unknown", "delivered"]
    errors = await tracking.sql("SELECT error FROM event_tracking.task_attempts WHERE attempt = 1")
    assert errors[0]["error"] == "The attempt failed in LoyalNest itself (KeyError)."


async def test_a_provider_that_asks_for_a_break_gets_it(tracking: EventTracking) -> None:
    script = Script(NotTaken("429", 3600, throttled=True))
    first = await tracking.add()
    worker = tracking.worker_with(script.handler)
    await worker.run_due()
    second = await tracking.add()
    assert await worker._step() > 0
    assert (await tracking.task(second))["attempt"] == 0
    row = await tracking.task(first)
    assert (row["status"], row["failures"]) == ("waiting", 0)
    assert row["due_at"] >= START + timedelta(hours=1)
    assert script.asked == [first]


async def test_who_would_wait_long_for_the_pace_gives_its_task_back(tracking: EventTracking) -> None:
    script = Script()
    worker = Worker("email", script.handler, tracking.queue, tracking.keys, Pace("slow", 0.001))
    first, second = await tracking.add(), await tracking.add()
    assert await worker.run_due() == 2
    rows = [await tracking.task(each) for each in (first, second)]
    (waiting,) = [row for row in rows if row["status"] == "waiting"]
    assert waiting["due_at"] > START + timedelta(seconds=900)
    assert (waiting["failures"], len(script.asked)) == (0, 1)


async def test_a_long_sending_keeps_its_lease(tracking: EventTracking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loyalnest.event_tracking.worker.LEASE", timedelta(seconds=0.04))
    gate = Gate()
    task_id = await tracking.add()
    async with running(tracking.worker_with(gate.handler)):
        await asyncio.wait_for(gate.begun.wait(), 60)
        before = (await tracking.task(task_id))["lease_until"]
        tracking.clock.advance(seconds=60)

        async def renewed() -> bool:
            return bool((await tracking.task(task_id))["lease_until"] == before + timedelta(seconds=60))

        await happens(renewed)
        gate.open.set()
    assert await tracking.outcomes(task_id) == ["delivered"]


async def test_keys_that_cannot_be_had_now_are_not_the_tasks_fault(
    tracking: EventTracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await tracking.add("brew")
    tracking.keys.forget("brew")

    async def away(_merchant_id: str) -> None:
        raise Unavailable("auth is away")

    monkeypatch.setattr(tracking.keys, "_source", away)
    await tracking.worker_with(Script().handler).run_due()
    row = await tracking.task(task_id)
    assert (row["status"], row["failures"], await tracking.outcomes(task_id)) == ("waiting", 0, [])
    assert row["due_at"] > START


async def test_all_processes_share_a_pace_in_redis(redis_url: str) -> None:
    redis = Redis.from_url(redis_url)
    paces = [Pace("email:resend", 0.01, redis, "p:") for _ in range(3)]
    waits = [await pace._take(1e6) for pace in paces for _ in range(2)]
    assert waits[0] == 0
    assert [round(wait, -2) for wait in waits] == [0, 100, 200, 300, 400, 500]
    assert await paces[0].wait(10, asyncio.Event()) > 500, "a turn that far away is not taken"
    assert round(await paces[1]._take(1e6), -2) == 600
    assert await Pace("sms:http", 0.01, redis, "p:")._take(1e6) == 0
    await redis.aclose()


async def test_without_redis_each_process_keeps_the_pace_by_itself() -> None:
    redis = Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.2)
    pace = Pace("email:resend", 0.01, redis)
    assert [round(await pace._take(1e6), -2) for _ in range(3)] == [0, 100, 200]
    await redis.aclose()
