"""The queue as the service uses it: every change of a task, with the events that tell of it, in one transaction.

Fairness between merchants. A claim goes round the merchants that have waiting tasks, in the order of their ids, from
where this worker's last claim stopped, and takes at most an equal share of each: room for n tasks and m merchants
gives each max(1, n // m). So one who comes with a single message waits for one round at most, however many thousands
another has queued, and whatever their priority: priorities order a merchant's own tasks only. A merchant who is alone
gets all the room.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from loyalnest.event_tracking import queue_repository, transitions
from loyalnest.event_tracking.events import TaskCompleted, TaskCreated
from loyalnest.event_tracking.metrics import TASK_OUTCOMES
from loyalnest.event_tracking.models import ENDED, Handler, NewTask, Open, Outcome, Status, Task, Transition
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Connection, Database, after_commit
from loyalnest.kit.outbox import Outbox

LEASE: Final = timedelta(seconds=120)
"""For how long a worker has a task without renewing. Far more than an attempt may take (see `sending.TIMEOUT`)."""
LOST_BATCH: Final = 500


def share(room: int, merchants: int) -> int:
    """Tasks of each of so many merchants that fit into the room: see above."""
    return max(1, room // max(1, merchants))


@dataclass(slots=True)
class Round:
    """Where a worker's next claim of one kind begins: after this merchant."""

    after: str = ""


class TaskQueue:
    """Changes of tasks. Killed at any point, each of its methods has done all or nothing."""

    def __init__(
        self, database: Database, outbox: Outbox, clock: Clock, jitter: Callable[[], float] = random.random
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._jitter = jitter
        self._listeners: list[Callable[[], None]] = []

    def now(self) -> datetime:
        """The present moment by the service's clock."""
        return self._clock()

    def listen(self, wake: Callable[[], None]) -> None:
        """Call `wake` after this process has made tasks, or made some due."""
        self._listeners.append(wake)

    def announce(self) -> None:
        """Wake the workers of this process once the transaction that is open is committed."""
        for wake in self._listeners:
            after_commit(wake)

    async def add(self, connection: Connection, tasks: Sequence[NewTask]) -> int:
        """Make tasks in the caller's transaction; one whose key is taken is left out. Returns how many were made."""
        if not tasks:
            return 0
        made = await queue_repository.create(connection, tasks)
        await self._outbox.append(
            connection,
            [
                TaskCreated(
                    task_id=task.task_id, kind=task.kind, unique_key=task.unique_key, created_at=task.created_at
                ).event(task.merchant_id, str(task.task_id))
                for task in tasks
                if task.task_id in made
            ],
        )
        self.announce()
        return len(made)

    async def claim(self, kind: str, room: int, turn: Round) -> list[Task]:
        """Claim due tasks of a kind, at most `room`; none only if nobody has a due one that is free."""
        start, wrapped = turn.after, not turn.after
        while True:
            claimed = await self._claim_part(kind, room, turn)
            if claimed:
                return claimed
            if not turn.after:  # that was the last merchant
                if wrapped:
                    return []
                wrapped = True
            elif wrapped and start and turn.after >= start:
                return []

    async def _claim_part(self, kind: str, room: int, turn: Round) -> list[Task]:
        async with self._database.worker() as connection:
            now = self._clock()
            merchants = await queue_repository.merchants_after(connection, kind, turn.after, room)
            turn.after = merchants[-1] if len(merchants) == room else ""
            return await queue_repository.claim(
                connection, kind, merchants, share(room, len(merchants)), now, now + LEASE
            )

    async def begin(self, task: Task, handler: Handler) -> Open | None:
        """Note durably that `task` is being sent from now on, and what is unknown until it ends.

        None if it was lost, cancelled or redacted: it must not be sent.
        """
        async with self._database.worker() as connection:
            now = self._clock()
            opened = transitions.opened(task, handler.provider, handler.remembers, now)
            mine = await queue_repository.begin_sending(connection, task, opened, now, now + LEASE)
        return opened if mine else None

    async def end(self, task: Task, provider: str, outcome: Outcome, sent: Open | None = None) -> bool:
        """Put the outcome of an attempt through. False if this worker had lost the task, and nothing was changed.

        sent: what `begin` opened, if it came to that.
        """
        async with self._database.worker() as connection:
            change = transitions.after(task, sent, outcome, self._clock(), self._jitter())
            return bool(await self.put_through(connection, [(task, provider, change)]))

    async def renew(self, tasks: Sequence[Task]) -> set[UUID]:
        """Keep the leases of tasks that are under way. Returns the ids of those that this worker still has."""
        async with self._database.worker() as connection:
            now = self._clock()
            return await queue_repository.renew(connection, tasks, now, now + LEASE)

    async def release(self, tasks: Sequence[Task], wait: timedelta = timedelta()) -> None:
        """Give tasks back that were claimed and not begun: due after `wait`, with nothing held against them."""
        async with self._database.worker() as connection:
            await queue_repository.release(connection, tasks, self._clock() + wait)

    async def take_from_the_dead(self) -> int:
        """Decide what becomes of tasks whose workers let their leases run out. Returns how many there were."""
        total = 0
        while True:
            async with self._database.worker() as connection:
                now = self._clock()
                found = await queue_repository.lock_lost(connection, now, LOST_BATCH)
                changes = [
                    (task, "" if task.open is None else task.open.provider, transitions.lost(task, now, self._jitter()))
                    for task in found
                ]
                await self.put_through(connection, changes)
            total += len(found)
            if len(found) < LOST_BATCH:
                return total

    async def put_through(
        self, connection: Connection, changes: Sequence[tuple[Task, str, Transition]]
    ) -> dict[Task, tuple[Status, str]]:
        """Change tasks as decided in the caller's transaction, and tell of those that ended.

        Returns the new status and error of those that were still as their holder had them.
        """
        if not changes:
            return {}
        now = self._clock()
        found = await queue_repository.put_through(connection, changes, now)
        changed = [(*change, *found[change[0].task_id]) for change in changes if change[0].task_id in found]
        told = []
        for task, provider, change, status, error in changed:
            after_commit(TASK_OUTCOMES.labels(task.kind, provider, change.outcome or status).inc)
            if status not in ENDED:
                continue
            completed = TaskCompleted(
                task_id=task.task_id,
                kind=task.kind,
                unique_key=task.unique_key,
                outcome=status,
                attempts=task.attempt,
                provider=provider,
                provider_id=change.provider_id,
                error=error,
                completed_at=now,
            )
            told.append(completed.event(task.merchant_id, str(task.task_id)))
        await self._outbox.append(connection, told)
        return {task: (status, error) for task, _, _, status, error in changed}
