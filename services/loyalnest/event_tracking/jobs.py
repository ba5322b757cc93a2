"""What event_tracking does by the clock: it forgets old tasks, tells of failing webhooks, and measures both."""

from datetime import timedelta
from typing import Final

from loyalnest.event_tracking import repository, webhook_repository
from loyalnest.event_tracking.auditing import audited
from loyalnest.event_tracking.handlers import KINDS
from loyalnest.event_tracking.metrics import TASKS, TASKS_OLDEST_DUE_SECONDS, WEBHOOKS_FAILING
from loyalnest.event_tracking.webhook_service import FAILING_AFTER
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.outbox import Outbox

BATCH: Final = 1000


class TaskJobs:
    """Each is safe to kill and to run again."""

    def __init__(self, database: Database, outbox: Outbox, keep: timedelta, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
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

    async def tell_failing(self) -> int:
        """Tell the audit log, once each, of webhooks that have come to be failing. Returns how many."""
        now, total = self._clock(), 0
        while True:
            async with self._database.worker() as connection:
                found = await webhook_repository.tell_failing(connection, now - FAILING_AFTER, BATCH)
                entries = [
                    audited(
                        row["merchant_id"],
                        "webhook.failing",
                        f"webhook:{row['subscription_id']}",
                        now,
                        {},
                        {"failing_since": row["failing_since"].isoformat()},
                    )
                    for row in found
                ]
                await self._outbox.append(connection, entries)
            total += len(found)
            if len(found) < BATCH:
                return total

    async def observe(self) -> None:
        """Set the gauges of the queue's depth and age, and of failing webhooks."""
        now = self._clock()
        async with self._database.worker() as connection:
            WEBHOOKS_FAILING.set(await webhook_repository.failing(connection, now - FAILING_AFTER))
        for kind in KINDS:
            async with self._database.worker() as connection:
                found = await repository.depth(connection, kind, now)
            for state in ("due", "later", "running"):
                TASKS.labels(kind, state).set(getattr(found, state))
            age = 0.0 if found.oldest_due_at is None else (now - found.oldest_due_at).total_seconds()
            TASKS_OLDEST_DUE_SECONDS.labels(kind).set(age)
