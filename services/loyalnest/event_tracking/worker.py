"""Runs the tasks of one kind in one process: claims, opens, paces, sends, and keeps leases alive.

Each message is marked and ended in a transaction of its own. Both must stand before and after its sending, and a
provider's answer takes a hundred times as long.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

import structlog

from loyalnest.event_tracking import transitions
from loyalnest.event_tracking.models import Handler, NotTaken, Outcome, Rejected, Task, Unknown
from loyalnest.event_tracking.pacing import Pace
from loyalnest.event_tracking.task_queue import LEASE, Round, TaskQueue
from loyalnest.kit.crypto.envelope import SealError
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import OUTAGES
from loyalnest.kit.errors import NotFound, Unavailable

log = structlog.get_logger(__name__)

ATTEMPT_SECONDS: Final = 60.0
"""Longest time of one attempt: well within a lease."""
IDLE_SECONDS: Final = 1.0
"""How long a worker sleeps if nobody wakes it: the delay of what another process made."""
OUTAGE_SECONDS: Final = 2.0
MOST_AT_ONCE: Final = 20
"""Tasks that a process has of one kind. Claims are of at least a quarter of it, so that they stay batches."""
PACED_SECONDS: Final = 10.0
"""A task that would wait longer for the provider's pace is given back."""


class Worker:
    """The tasks of one kind, until `stop`."""

    def __init__(self, kind: str, handler: Handler, queue: TaskQueue, keys: KeyRing, pace: Pace) -> None:
        self._kind = kind
        self._handler = handler
        self._queue = queue
        self._keys = keys
        self._pace = pace
        self._room = min(MOST_AT_ONCE, max(1, int(handler.per_second * 2)))
        self._turn = Round()
        self._running: dict[asyncio.Task[None], Task] = {}
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()

    def wake(self) -> None:
        """Look for tasks now."""
        self._wake.set()

    def stop(self) -> None:
        """Claim nothing more, finish what is being sent, give the rest back, then return from `run`."""
        self._stopping.set()
        self._wake.set()

    async def run(self) -> None:
        """Work until `stop`. Nothing that goes wrong ends it."""
        leases = asyncio.create_task(self._keep_leases())
        try:
            while not self._stopping.is_set():
                pause = await self._guarded_step()
                if pause:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), pause)
            if self._running:
                await asyncio.wait(self._running)
        finally:
            leases.cancel()
            for running in self._running:
                running.cancel()

    async def run_due(self) -> int:
        """Do everything that is due now, then return how many attempts there were. For tests and commands."""
        attempts = 0
        while claimed := await self._queue.claim(self._kind, self._room, self._turn):
            attempts += len(claimed)
            await asyncio.gather(*(self._attempt(task) for task in claimed))
        return attempts

    async def _guarded_step(self) -> float:
        """One claim. Returns seconds to sleep unless something wakes the worker."""
        try:
            return await self._step()
        except OUTAGES as error:
            log.warning("tasks.outage", kind=self._kind, error=repr(error))
        except Exception:
            log.exception("tasks.worker_failed", kind=self._kind)
        self._wake.clear()
        return OUTAGE_SECONDS

    async def _step(self) -> float:
        room = self._room - len(self._running)
        if room < max(1, self._room // 4):
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
            return 0.0
        self._wake.clear()
        if (blocked := self._pace.blocked()) > 0:
            return min(blocked, IDLE_SECONDS)
        claimed = await self._queue.claim(self._kind, room, self._turn)
        for task in claimed:
            running = asyncio.create_task(self._guarded(task), name=f"task {task.task_id}")
            self._running[running] = task
            running.add_done_callback(self._running.pop)
        return 0.0 if claimed else IDLE_SECONDS

    async def _guarded(self, task: Task) -> None:
        """One attempt. If it cannot be put through, its lease runs out, and the sweep decides by what is stored."""
        try:
            await self._attempt(task)
        except OUTAGES as error:
            log.warning("tasks.outage", kind=self._kind, task_id=str(task.task_id), error=repr(error))
        except Exception:
            log.exception("tasks.attempt_failed", kind=self._kind, task_id=str(task.task_id))

    async def _attempt(self, task: Task) -> None:
        handler, queue = self._handler, self._queue
        try:
            payload = await self._prepared(task)
        except Unavailable:  # of the keys, so not the task's fault
            await queue.release([task], timedelta(seconds=OUTAGE_SECONDS))
            return
        if not isinstance(payload, bytes):
            await queue.end(task, handler.provider, payload)
            return
        wait = await self._pace.wait(PACED_SECONDS, self._stopping)
        if wait > 0 or self._stopping.is_set():
            await queue.release([task], timedelta(seconds=wait))
            return
        sent = await queue.begin(task, handler)
        if sent is None:
            log.info("tasks.not_ours_any_more", kind=self._kind, task_id=str(task.task_id))
            return
        outcome = await self._perform(task, payload)
        if isinstance(outcome, NotTaken) and outcome.throttled:
            self._pace.hold(outcome.retry_after)
        if not await queue.end(task, handler.provider, outcome, sent):
            log.warning("tasks.outcome_came_late", kind=self._kind, task_id=str(task.task_id))

    async def _perform(self, task: Task, payload: bytes) -> Outcome:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return await self._handler.perform(task.task_id, payload)
        except TimeoutError:
            return Unknown(f"{self._handler.provider} took too long to answer.")
        except Exception as error:  # a bug in a handler: nobody knows what it had done by then
            log.exception("tasks.handler_failed", kind=self._kind, task_id=str(task.task_id))
            return Unknown(f"The attempt failed in LoyalNest itself ({type(error).__name__}).")

    async def _prepared(self, task: Task) -> bytes | Outcome:
        """The opened payload, or why there will be no sending now."""
        handler = self._handler
        refused = transitions.refusal(task, handler.provider, self._queue.now())
        if refused is not None:
            return refused
        if task.sealed is None:
            return Rejected("Its message was erased.")
        try:
            return await self._keys.open(task.merchant_id, handler.purpose, task.sealed)
        except NotFound:
            return Rejected("The merchant's keys were destroyed, so its message cannot be read any more.")
        except SealError:
            return Rejected("Its message is damaged, or was sealed for something else.")

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(LEASE.total_seconds() / 4)
            if self._running:
                with suppress(*OUTAGES):
                    await self._queue.renew(list(self._running.values()))
