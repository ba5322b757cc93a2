"""The work queue: programs that wait to be reconciled, each once, the failing ones later and later.

A program is never reconciled twice at the same time; a wish that comes while it is under way is kept for after.
"""

import asyncio
import heapq
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from loyalnest_operator import metrics

log = structlog.get_logger(__name__)

FIRST_RETRY_SECONDS = 1.0

Work = Callable[[str], Awaitable[float | None]]
"""Reconciles one program; returns after how many seconds to look at it again unasked, or None for never.

Raising means that it failed and is tried again, with growing pauses.
"""


@dataclass(slots=True)
class _Item:
    """What the queue knows of one program. `due` is None while nobody wants it."""

    due: float | None = None
    running: bool = False
    failures: int = 0


@dataclass(slots=True)
class Queue:
    """Runs `work` for the programs that were asked for, at most `workers` at a time.

    longest_pause: seconds to which the pauses of a failing program grow.
    """

    work: Work
    workers: int
    longest_pause: float
    _items: dict[str, _Item] = field(default_factory=dict)
    _heap: list[tuple[float, str]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, name: str, after: float = 0.0) -> None:
        """Want `name` reconciled in `after` seconds, or sooner if somebody wanted that."""
        item = self._items.setdefault(name, _Item())
        due = time.monotonic() + after
        if item.due is None or due < item.due:
            item.due = due
            if not item.running:
                heapq.heappush(self._heap, (due, name))
                self._changed.set()

    def forget(self, name: str) -> None:
        """The program is gone. If it is under way it ends by itself."""
        item = self._items.get(name)
        if item is not None and not item.running:
            del self._items[name]

    def oldest(self) -> float:
        """For how many seconds the program that waits longest has been due and not begun."""
        now = time.monotonic()
        waiting = (item.due for item in self._items.values() if item.due is not None and not item.running)
        return max(0.0, now - min(waiting, default=now))

    def __len__(self) -> int:
        now = time.monotonic()
        return sum(1 for item in self._items.values() if item.due is not None and item.due <= now and not item.running)

    async def run(self) -> None:
        """Work until cancelled; what is under way then is cancelled too, which it must survive."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            name = await self._next()
            await self._process(name, self._items[name])

    async def _next(self) -> str:
        while True:
            now = time.monotonic()
            while self._heap and self._heap[0][0] <= now:
                due, name = heapq.heappop(self._heap)
                item = self._items.get(name)
                if item is not None and item.due == due and not item.running:
                    item.due, item.running = None, True
                    metrics.QUEUE_SECONDS.observe(now - due)
                    return name
            self._changed.clear()
            pause = self._heap[0][0] - now if self._heap else None
            try:
                await asyncio.wait_for(self._changed.wait(), pause)
            except TimeoutError:
                continue

    async def _process(self, name: str, item: _Item) -> None:
        again: float | None
        try:
            again = await self.work(name)
            item.failures = 0
        except Exception as error:
            item.failures += 1
            again = self._pause(item.failures)
            log.warning(
                "reconcile.failed", program=name, error=repr(error), failures=item.failures, again=round(again, 1)
            )
        finally:
            item.running = False
        wanted = item.due
        item.due = None
        if wanted is not None:
            self.add(name, max(0.0, wanted - time.monotonic()))
        if again is not None:
            self.add(name, again)
        if item.due is None:
            self._items.pop(name, None)

    def _pause(self, failures: int) -> float:
        """Exponential, with full jitter over its upper half so that programs that failed together come apart."""
        longest: float = min(self.longest_pause, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 30))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
