"""Scheduled jobs: one process at a time, whatever fails or dies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest
from prometheus_client import REGISTRY

from integration.kit.support import plain_logs, terminate, until
from loyalnest.kit.database import OUTAGES, Locks
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.jobs import JobLoop
from loyalnest.kit.service import Job

__all__ = ["plain_logs"]

pytestmark = pytest.mark.usefixtures("plain_logs")


class Work:
    """A job that counts its runs, how many ran at once, and does in each what the test says."""

    def __init__(self, name: str = "sweep", every: float = 0.02) -> None:
        self.job = Job(name, every=every, run=self.run)
        self.runs = self.active = self.peak = 0
        self.inside: Callable[[], Awaitable[None]] | None = None

    async def run(self) -> int:
        self.runs += 1
        self.active += 1
        self.peak = max(self.peak, self.active)
        try:
            if self.inside is not None:
                await self.inside()
        finally:
            self.active -= 1
        return 3


@pytest.fixture
async def locks(database_url: str) -> AsyncIterator[Callable[[], Locks]]:
    """Makes the locks of one more process."""
    made: list[Locks] = []

    def make() -> Locks:
        made.append(Locks(database_url))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@asynccontextmanager
async def looping(work: Work, *locks: Locks) -> AsyncIterator[list[JobLoop]]:
    loops = [JobLoop("counters", work.job, each) for each in locks]
    tasks = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield loops
    finally:
        for loop in loops:
            loop.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)


def counted(name: str, outcome: str) -> float:
    labels = {"service": "counters", "job": name, "outcome": outcome}
    return REGISTRY.get_sample_value("loyalnest_job_runs_total", labels) or 0.0


async def test_one_process_at_a_time(locks: Callable[[], Locks]) -> None:
    work = Work(every=0.005)

    async def a_while() -> None:
        await asyncio.sleep(0.01)

    work.inside = a_while
    shared = locks()
    async with looping(work, shared, shared, locks(), locks()):
        await until(lambda: work.runs >= 20)
    assert work.peak == 1
    assert work.active == 0


async def test_different_jobs_run_at_once(locks: Callable[[], Locks]) -> None:
    first, second = Work("first"), Work("second")
    met = asyncio.Barrier(2)

    async def meet() -> None:
        await met.wait()

    first.inside = second.inside = meet
    process = locks()
    async with looping(first, process), looping(second, process):
        await until(lambda: min(first.runs, second.runs) >= 2)
        first.inside = second.inside = None
        await met.abort()


async def test_a_failure_does_not_stop_the_loop_nor_keep_the_lock(locks: Callable[[], Locks]) -> None:
    work = Work("fails")
    errors: list[Exception] = [ValueError("a bug"), Unavailable("away"), asyncpg.DeadlockDetectedError("no")]

    async def fail() -> None:
        if errors:
            raise errors.pop()

    work.inside = fail
    async with looping(work, locks()):
        await until(lambda: work.runs >= 5)
        async with locks().hold("loyalnest.job.counters.fails") as held:
            pass
        await until(lambda: counted("fails", "done") >= 2)
    assert (counted("fails", "failed"), counted("fails", "outage")) == (1, 2)
    async with locks().hold("loyalnest.job.counters.fails") as held:
        assert held is not None


async def test_another_process_runs_it_when_the_first_dies(locks: Callable[[], Locks], database_url: str) -> None:
    stuck = Work("hangs")
    begun = asyncio.Event()

    async def hang() -> None:
        begun.set()
        await asyncio.Event().wait()

    stuck.inside = hang
    doomed = asyncio.create_task(JobLoop("counters", stuck.job, locks()).run())
    await asyncio.wait_for(begun.wait(), 5)
    other = Work("hangs")
    async with looping(other, locks()):
        await asyncio.sleep(0.2)
        assert other.runs == 0
        assert await terminate(
            database_url,
            "application_name = 'loyalnest locks' AND EXISTS "
            "(SELECT FROM pg_locks AS l WHERE l.pid = a.pid AND l.locktype = 'advisory')",
        )
        await until(lambda: other.runs >= 2)
    doomed.cancel()
    with suppress(asyncio.CancelledError):
        await doomed


async def test_a_run_that_is_cancelled_gives_the_lock_back(locks: Callable[[], Locks]) -> None:
    work = Work("cut")

    async def hang() -> None:
        await asyncio.Event().wait()

    work.inside = hang
    task = asyncio.create_task(JobLoop("counters", work.job, locks()).run())
    await until(lambda: work.active == 1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    async with locks().hold("loyalnest.job.counters.cut") as held:
        assert held is not None


async def test_stop_finishes_the_run_and_ends_the_pause(locks: Callable[[], Locks]) -> None:
    work, finished = Work("slow", every=3600), asyncio.Event()

    async def slowly() -> None:
        await asyncio.sleep(0.2)
        finished.set()

    work.inside = slowly
    async with looping(work, locks()):
        await until(lambda: work.active == 1)
    assert finished.is_set()
    async with looping(work, locks()):
        await until(lambda: work.runs == 2 and work.active == 0)
        loop_clock = asyncio.get_running_loop().time
        stopped = loop_clock()
    assert loop_clock() - stopped < 1


async def test_a_lock_proves_itself_until_its_session_ends(locks: Callable[[], Locks], database_url: str) -> None:
    process = locks()
    async with process.hold("a") as first, process.hold("b") as second, process.hold("a") as again:
        assert first is not None
        assert second is not None
        assert again is None
        await first.prove()
        await terminate(database_url, "application_name = 'loyalnest locks'")
        for held in (first, second):
            with pytest.raises(OUTAGES):
                await held.prove()
        async with process.hold("a") as renewed:
            assert renewed is not None
            with pytest.raises(OUTAGES):
                await first.prove()
            await renewed.prove()


async def test_a_cancelled_attempt_leaves_nothing_locked(locks: Callable[[], Locks]) -> None:
    process = locks()
    async with process.hold("warm"):
        pass
    for delay in (0.0, 0.0001, 0.0003, 0.001, 0.003):

        async def hold() -> None:
            async with process.hold("x"):
                await asyncio.sleep(1)

        task = asyncio.create_task(hold())
        await asyncio.sleep(delay)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    async with locks().hold("x") as held:
        assert held is not None
