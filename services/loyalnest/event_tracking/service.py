"""What event_tracking does on request: queue a task, show what waits and why, try again, cancel."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from loyalnest.admin_features.events import MESSAGE_PURPOSE, Message
from loyalnest.event_tracking import queue_repository, repository, transitions
from loyalnest.event_tracking.auditing import audited
from loyalnest.event_tracking.handlers import MESSAGE_KINDS
from loyalnest.event_tracking.models import (
    DEFAULT_PRIORITY,
    EXPIRES_AFTER,
    MAX_ATTEMPTS,
    NewTask,
    Status,
    Task,
)
from loyalnest.event_tracking.task_queue import TaskQueue
from loyalnest.kit.clock import Clock
from loyalnest.kit.crypto.keyring import KeyRing
from loyalnest.kit.database import Connection, Database
from loyalnest.kit.errors import InvalidInput, NotFound, PreconditionFailed
from loyalnest.kit.events import new_id
from loyalnest.kit.outbox import Outbox
from loyalnest.kit.paging import page_limit, page_of, uuid_after

MOST_AHEAD: Final = timedelta(days=366)
MOST_MESSAGE_BYTES: Final = 512 * 1024
MOST_TEXT: Final = 200
"""Characters of a key, a reason or an address."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A task as it is asked for. None and 0 stand for the defaults."""

    kind: str
    unique_key: str
    customer_id: int
    reason: str
    priority: int | None
    not_before: datetime | None
    expires_at: datetime | None
    max_attempts: int
    message: Message


class TaskService:
    """Use cases of one merchant at a time. `merchant_id` always comes from the call's context, never from its input."""

    def __init__(self, database: Database, outbox: Outbox, queue: TaskQueue, keys: KeyRing, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._queue = queue
        self._keys = keys
        self._clock = clock

    async def create(self, merchant_id: str, wanted: Wanted) -> tuple[Any, bool]:
        """Queue a task. Returns it, and whether it was made now: a key that was used answers with the first task.

        Raises InvalidInput for what no task can be, PreconditionFailed for a customer who was redacted just now.
        """
        now = self._clock()
        _check(wanted, now)
        keys = await self._keys.for_merchant(merchant_id)
        due_at = wanted.not_before or now
        task = NewTask(
            merchant_id=merchant_id,
            task_id=new_id(),
            kind=wanted.kind,
            unique_key=wanted.unique_key,
            customer_id=wanted.customer_id or None,
            reason=wanted.reason,
            priority=DEFAULT_PRIORITY if wanted.priority is None else wanted.priority,
            due_at=due_at,
            expires_at=wanted.expires_at or due_at + EXPIRES_AFTER,
            max_attempts=wanted.max_attempts or MAX_ATTEMPTS,
            created_at=now,
            sealed=keys.seal(MESSAGE_PURPOSE, msgspec.json.encode(wanted.message)),
        )
        async with self._database.request(merchant_id) as connection:
            if task.customer_id is not None:
                redacted = await queue_repository.tell_recipients(connection, [(merchant_id, task.customer_id)], now)
                if any(at >= now for at in redacted.values()):
                    raise PreconditionFailed("This customer was redacted just now, and gets no messages.")
            created = await self._queue.add(connection, [task]) == 1
            if created:
                await self._audit(connection, merchant_id, "task.created", task.task_id, {}, {"kind": task.kind})
            row = await repository.task_of_key(connection, merchant_id, task.kind, task.unique_key)
        return row, created

    async def get(self, merchant_id: str, task_id: UUID) -> tuple[Any, list[Any]]:
        """A task and its attempts. Raises NotFound."""
        async with self._database.request(merchant_id) as connection:
            return await self._shown(connection, merchant_id, task_id), await repository.attempts(
                connection, merchant_id, task_id
            )

    async def list_by(self, merchant_id: str, status: str, page_size: int, page_token: str) -> tuple[list[Any], str]:
        """A page of tasks of a status, or of all, newest first. Raises InvalidInput for a status that there is not."""
        if status and status not in set(Status):
            raise InvalidInput(f"A status is one of {', '.join(Status)}, not {status[:40]!r}.")
        limit = page_limit(page_size)
        async with self._database.request(merchant_id) as connection:
            rows = await repository.tasks(
                connection, merchant_id, Status(status) if status else None, uuid_after(page_token), limit + 1
            )
        return page_of(rows, limit, lambda row: row["task_id"])

    async def retry(self, merchant_id: str, task_id: UUID) -> Any:
        """Let a waiting task be attempted now, its failures forgotten. Raises NotFound, PreconditionFailed."""
        async with self._database.request(merchant_id) as connection:
            task = await self._lock(connection, merchant_id, task_id)
            if task.status is not Status.WAITING:
                raise PreconditionFailed(
                    f"This task is {task.status}, and only a waiting one can be tried again: the message of one that "
                    "has ended is erased. Have the message made anew."
                )
            await repository.make_due(connection, merchant_id, task_id, self._clock())
            self._queue.announce()
            await self._audit(connection, merchant_id, "task.retried", task_id, {"failures": str(task.failures)}, {})
            return await self._shown(connection, merchant_id, task_id)

    async def cancel(self, merchant_id: str, task_id: UUID, reason: str) -> Any:
        """End a task before it is sent; one that is cancelled stays so. Raises NotFound, PreconditionFailed."""
        if not reason.strip() or len(reason) > MOST_TEXT:
            raise InvalidInput(f"A cancellation needs a reason of 1 to {MOST_TEXT} characters, for the audit log.")
        async with self._database.request(merchant_id) as connection:
            task = await self._lock(connection, merchant_id, task_id)
            if task.status is not Status.CANCELLED:
                if task.status is Status.RUNNING and task.open is not None:
                    raise PreconditionFailed("This task is being sent right now: it is too late to cancel it.")
                if task.status not in {Status.WAITING, Status.RUNNING}:
                    raise PreconditionFailed(f"This task is {task.status}, so there is nothing to cancel.")
                end = transitions.cancelled(task, "Cancelled by a person.")
                await self._queue.put_through(connection, [(task, "", end)])
                before, after = {"status": str(task.status)}, {"status": "cancelled", "reason": reason.strip()}
                await self._audit(connection, merchant_id, "task.cancelled", task_id, before, after)
            return await self._shown(connection, merchant_id, task_id)

    async def stats(self, merchant_id: str) -> tuple[list[Any], list[Any], datetime | None]:
        """Tasks by kind and status, why tasks are stuck, and when the oldest due one was due."""
        async with self._database.request(merchant_id) as connection:
            return (
                await repository.counts(connection, merchant_id),
                await repository.stuck(connection, merchant_id),
                await repository.oldest_due(connection, merchant_id, self._clock()),
            )

    @staticmethod
    async def _shown(connection: Connection, merchant_id: str, task_id: UUID) -> Any:
        row = await repository.task(connection, merchant_id, task_id)
        if row is None:
            raise NotFound(f"No task {task_id} is known.")
        return row

    @staticmethod
    async def _lock(connection: Connection, merchant_id: str, task_id: UUID) -> Task:
        task = await queue_repository.lock(connection, merchant_id, task_id)
        if task is None:
            raise NotFound(f"No task {task_id} is known.")
        return task

    async def _audit(
        self,
        connection: Connection,
        merchant_id: str,
        action: str,
        task_id: UUID,
        before: dict[str, str],
        after: dict[str, str],
    ) -> None:
        entry = audited(merchant_id, action, f"task:{task_id}", self._clock(), before, after)
        await self._outbox.append(connection, [entry])


def _check(wanted: Wanted, now: datetime) -> None:
    """Raises InvalidInput for what no task can be."""
    if wanted.kind not in MESSAGE_KINDS:
        raise InvalidInput(f"A task's kind is one of {', '.join(MESSAGE_KINDS)}, not {wanted.kind[:40]!r}.")
    for name, value in (("unique_key", wanted.unique_key), ("reason", wanted.reason), ("to", wanted.message.to)):
        if not value.strip() or len(value) > MOST_TEXT or not value.isprintable():
            raise InvalidInput(f"{name} must be one line of 1 to {MOST_TEXT} characters.")
    if wanted.customer_id < 0:
        raise InvalidInput("customer_id must be Shopify's numeric customer id, or 0 for nobody.")
    if wanted.priority is not None and not 0 <= wanted.priority <= 9:
        raise InvalidInput("priority is 0 (first) to 9 (last).")
    if not 0 <= wanted.max_attempts <= 100:
        raise InvalidInput("max_attempts is 1 to 100.")
    due_at = wanted.not_before or now
    if due_at > now + MOST_AHEAD:
        raise InvalidInput("not_before is at most a year ahead.")
    if wanted.expires_at is not None and not max(due_at, now) < wanted.expires_at <= now + 2 * MOST_AHEAD:
        raise InvalidInput("expires_at must be later than not_before and than now, and within two years.")
    if not wanted.message.text and not wanted.message.html:
        raise InvalidInput("A message needs a text.")
    if len(msgspec.json.encode(wanted.message)) > MOST_MESSAGE_BYTES:
        raise InvalidInput(f"A message has at most {MOST_MESSAGE_BYTES} bytes.")
