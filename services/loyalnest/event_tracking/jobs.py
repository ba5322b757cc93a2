"""What event_tracking does by the clock: it takes tasks from dead workers, forgets old ones, and measures the queue."""

from datetime import timedelta
from typing import Final

from loyalnest.event_tracking import repository
from loyalnest.event_tracking.handlers import KINDS
from loyalnest.event_tracking.metrics import TASKS, TASKS_OLDEST_DUE_SECONDS
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database

BATCH: Final = 1000


class TaskJobs:
    """Each is safe to kill and to run again."""

    def __init__(self, database: Database, keep: timedelta, clock: Clock) -> None:
        self._database = database
        self._keep = keep
        self._clock = clock

    async def prune(self) -> int:
        """Delete tasks that ended longer ago than they are kept, and recipients. Returns how many tasks."""
        now, total = self._clock(), 0
        async with self._database.worker() as connection:
            await repository.prune_recipients(connection, now - timedelta(days=1), now - self._keep)
        while True:
            async with self._database.worker() as connection:
                deleted = await repository.prune_tasks(connection, now - self._keep, BATCH)
            total += deleted
            if deleted < BATCH:
                return total

    async def observe(self) -> None:
        """Set the gauges of the queue's depth and age."""
        now = self._clock()
        for kind in KINDS:
            async with self._database.worker() as connection:
                found = await repository.depth(connection, kind, now)
            for state in ("due", "later", "running"):
                TASKS.labels(kind, state).set(getattr(found, state))
            age = 0.0 if found.oldest_due_at is None else (now - found.oldest_due_at).total_seconds()
            TASKS_OLDEST_DUE_SECONDS.labels(kind).set(age)
