"""A worker that is killed between any two steps: a message arrives once, or at most once where none knows repeats."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import pytest

from fixtures.mortal import MortalDatabase, until_death
from integration.event_tracking.providers import HttpProviders, SmtpServer, Taken
from integration.event_tracking.support import EventTracking, open_event_tracking
from integration.event_tracking.test_sending import by_smtp, mailgun, resend
from integration.event_tracking.victim import Victim
from loyalnest.event_tracking.models import Status
from loyalnest.event_tracking.task_queue import LEASE
from loyalnest.kit.database import Pools

LEAST_STEPS = 15


async def kill_everywhere(tracking: EventTracking, url: str, settings: dict[str, Any]) -> list[UUID]:
    """A task for each step before which its worker is killed; then others finish it. Returns the tasks."""
    worker = tracking.worker(**settings)
    tasks: list[UUID] = []
    async with Victim(tracking, url, **settings) as victim:
        outlived = False
        while not outlived:
            tasks.append(await tracking.add(sealed=await tracking.sealed(subject=f"number {len(tasks)}")))
            outlived = await victim.work(len(tasks), tracking.clock())
            # While the lease lasts, nobody else has the task.
            if not outlived and (await tracking.task(tasks[-1]))["status"] == "running":
                assert await worker.run_due() == 0
                assert await tracking.queue.take_from_the_dead() == 0
                tracking.clock.advance(seconds=LEASE.total_seconds())
            await tracking.finish(worker)
    assert len(tasks) > LEAST_STEPS
    return tasks


def copies(taken: list[Taken], tasks: list[UUID]) -> list[int]:
    counted = Counter(each.subject for each in taken)
    return [counted[f"number {place}"] for place in range(len(tasks))]


async def test_with_resend_each_message_arrives_exactly_once(
    tracking: EventTracking, migrated: str, providers: HttpProviders
) -> None:
    tasks = await kill_everywhere(tracking, migrated, resend(providers))
    assert copies(providers.taken, tasks) == [1] * len(tasks)
    assert providers.requests > len(tasks), "no kill fell between its being taken and its being noted"
    assert {(await tracking.task(each))["status"] for each in tasks} == {Status.DONE}
    assert [each.outcome for each in await tracking.completed()] == ["done"] * len(tasks)


@pytest.mark.parametrize("provider", ["smtp", "mailgun"])
async def test_who_knows_no_repeats_gets_each_message_at_most_once_and_doubt_is_said(
    tracking: EventTracking, migrated: str, providers: HttpProviders, smtp: SmtpServer, provider: str
) -> None:
    settings = by_smtp(smtp) if provider == "smtp" else mailgun(providers)
    tasks = await kill_everywhere(tracking, migrated, settings)
    arrived = copies(smtp.taken if provider == "smtp" else providers.taken, tasks)
    rows = [await tracking.task(each) for each in tasks]
    assert max(arrived) == 1
    for copy, row in zip(arrived, rows, strict=True):
        if row["status"] == "failed":
            assert f"{provider} may have taken this message" in row["error"]
        else:
            assert (row["status"], copy) == ("done", 1)
    doubtful = [copy for copy, row in zip(arrived, rows, strict=True) if row["status"] == "failed"]
    assert set(doubtful) == {0, 1}, "kills on both sides of its being taken"
    assert len(doubtful) < len(tasks) / 2, "what was certainly not sent is sent later"
    assert len(await tracking.completed()) == len(tasks)


async def test_taking_messages_in_that_is_killed_anywhere_makes_each_task_once(
    tracking: EventTracking, migrated: str
) -> None:
    kills = 0
    while True:
        kills += 1
        batch = [await tracking.told(customer_id=kills), await tracking.told("globex", customer_id=kills)]
        pools = Pools(1)
        database = MortalDatabase(tracking.database, await pools.open(migrated), kills)
        victim = EventTracking(database, tracking.clock, tracking.store)
        died = await until_death(lambda: victim.events.handle(batch))  # noqa: B023 - run at once
        await pools.close()
        assert len(await tracking.sql("SELECT FROM event_tracking.queue_tasks")) == 2 * (kills - died)
        await tracking.handle(*batch)
        assert len(await tracking.sql("SELECT FROM event_tracking.queue_tasks")) == 2 * kills
        if not died:
            break
    assert kills > 4
    assert len(await tracking.published("task.created")) == 2 * kills


async def test_many_workers_send_each_message_once(
    tracking: EventTracking, migrated: str, providers: HttpProviders
) -> None:
    merchants = [f"m{number}" for number in range(5)]
    events = [await tracking.told(each, customer_id=1) for each in merchants for _ in range(30)]
    await tracking.handle(*events)
    pools = [Pools(4) for _ in range(4)]
    others = [await open_event_tracking(migrated, each, clock=tracking.clock, store=tracking.store) for each in pools]
    workers = [other.worker(**mailgun(providers)) for other in others for _ in range(2)]
    attempts = await asyncio.gather(*(worker.run_due() for worker in workers))
    assert sum(attempts) == len(providers.taken) == len(events)
    assert sum(1 for each in attempts if each) > 1, "they shared"
    assert len({each.headers["Message-Id"] for each in providers.taken}) == len(events)
    assert len(await tracking.completed()) == len(events)
    for other, each in zip(others, pools, strict=True):
        for handler in other.closing:
            await handler.close()
        await each.close()
