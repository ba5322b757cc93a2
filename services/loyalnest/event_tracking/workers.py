"""The workers of one process: one for each kind of task."""

import asyncio
from collections.abc import Mapping

from redis.asyncio import Redis

from loyalnest.event_tracking.models import Handler
from loyalnest.event_tracking.pacing import Pace
from loyalnest.event_tracking.task_queue import TaskQueue
from loyalnest.event_tracking.worker import Worker
from loyalnest.kit.crypto.keyring import KeyRing


class Workers:
    """Started and stopped with the service. Any number of processes may have some; they share the tasks."""

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        queue: TaskQueue,
        keys: KeyRing,
        redis: "Redis | None",
        redis_prefix: str,
        *,
        drain_seconds: float,
    ) -> None:
        self._handlers = handlers
        self._drain_seconds = drain_seconds
        self._running: list[asyncio.Task[None]] = []
        self._workers = []
        for kind, handler in handlers.items():
            pace = Pace(f"{kind}:{handler.provider}", handler.per_second, redis, redis_prefix)
            self._workers.append(Worker(kind, handler, queue, keys, pace))
        for worker in self._workers:
            queue.listen(worker.wake)

    async def start(self) -> None:
        """Begin to work."""
        self._running = [asyncio.create_task(worker.run()) for worker in self._workers]

    async def stop(self) -> None:
        """Finish what is being sent, for as long as a drain may take. What is cut short is decided by the sweep."""
        for worker in self._workers:
            worker.stop()
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self._drain_seconds)
            for each in late:
                each.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for handler in self._handlers.values():
            await handler.close()
