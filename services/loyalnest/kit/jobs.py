"""Runs a service's scheduled jobs, each in one process at a time."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import structlog

from loyalnest.kit import metrics
from loyalnest.kit.database import OUTAGES, Locks
from loyalnest.kit.service import Job

log = structlog.get_logger(__name__)


class JobLoop:
    """One job of one service. A lock in the service's database keeps a second process from running it too."""

    def __init__(self, service: str, job: Job, locks: Locks) -> None:
        self._service = service
        self._job = job
        self._locks = locks
        for outcome in ("done", "outage", "failed"):
            metrics.JOB_RUNS.labels(service, job.name, outcome)  # at 0, else the first failure is no increase
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Finish the run under way, then return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Run the job at once and then every `every` seconds, give or take a tenth, until `stop`."""
        while not self._stopping.is_set():
            await self.run_once()
            with suppress(TimeoutError):
                pause = self._job.every * random.uniform(0.9, 1.1)  # noqa: S311 - jitter
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def run_once(self) -> None:
        """One run, unless another process is at it. A failure is logged and counted; the next run is the retry."""
        labels = (self._service, self._job.name)
        lock = f"loyalnest.job.{self._service}.{self._job.name}"
        try:
            async with self._locks.hold(lock) as held:
                if held is None:
                    return
                done = await self._job.run()
        except OUTAGES as error:
            log.warning("job.outage", service=self._service, job=self._job.name, error=repr(error))
            metrics.JOB_RUNS.labels(*labels, "outage").inc()
        except Exception:
            log.exception("job.failed", service=self._service, job=self._job.name)
            metrics.JOB_RUNS.labels(*labels, "failed").inc()
        else:
            metrics.JOB_RUNS.labels(*labels, "done").inc()
            metrics.JOB_ITEMS.labels(*labels).inc(done)


async def each_merchant(job: str, merchants: Iterable[str], work: Callable[[str], Awaitable[int]]) -> int:
    """Do `work` for one merchant after another. Returns the sum of what it returns.

    A merchant that fails is logged and does not hold up the others; the first failure is raised at the end. An outage,
    which the others would meet as well, is raised at once.
    """
    total = 0
    failure: Exception | None = None
    for merchant_id in merchants:
        try:
            total += await work(merchant_id)
        except OUTAGES:
            raise
        except Exception as error:  # whatever ails one merchant's data must not stop the rest
            log.exception("job.merchant_failed", job=job, merchant_id=merchant_id)
            failure = failure or error
    if failure is not None:
        raise failure
    return total
