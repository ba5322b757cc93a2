"""Messages that admin_features made, taken into the queue."""

from collections.abc import Sequence
from typing import Final

import structlog

from loyalnest.admin_features.events import EmailEventCreated
from loyalnest.event_tracking import queue_repository
from loyalnest.event_tracking.handlers import MESSAGE_KINDS
from loyalnest.event_tracking.models import (
    DEFAULT_PRIORITY,
    EXPIRES_AFTER,
    MAX_ATTEMPTS,
    URGENT_PRIORITY,
    NewTask,
)
from loyalnest.event_tracking.task_queue import TaskQueue
from loyalnest.kit.clock import Clock
from loyalnest.kit.database import Database
from loyalnest.kit.errors import InvalidInput
from loyalnest.kit.events import Event, new_id
from loyalnest.kit.inbox import take_new

log = structlog.get_logger(__name__)

MOST_SEALED_BYTES: Final = 1024 * 1024


class EmailEvents:
    """Makes one task a message, once by its message_id however often it is told. The message stays sealed."""

    def __init__(self, database: Database, queue: TaskQueue, clock: Clock) -> None:
        self._database = database
        self._queue = queue
        self._clock = clock

    async def handle(self, events: Sequence[Event]) -> None:
        """Apply a batch of `email_event.created`. Raises InvalidInput for a channel that there is not."""
        tasks = [self._task(event) for event in events]
        async with self._database.worker() as connection:
            new = {id(event) for event in await take_new(connection, "event_tracking", events)}
            wanted = [task for event, task in zip(events, tasks, strict=True) if id(event) in new]
            reachable = [task for task in wanted if task.customer_id is None or task.customer_id > 0]
            redacted = await queue_repository.tell_recipients(
                connection,
                ((task.merchant_id, task.customer_id) for task in reachable if task.customer_id is not None),
                self._clock(),
            )
            # What was made before its customer was redacted comes too late; what is made after that may be sent.
            sendable = [
                task
                for task in reachable
                if task.customer_id is None
                or (at := redacted.get((task.merchant_id, task.customer_id))) is None
                or task.created_at > at
            ]
            if len(sendable) < len(wanted):
                log.info("tasks.to_redacted_customers", left_out=len(wanted) - len(sendable))
            await self._queue.add(connection, sendable)

    def _task(self, event: Event) -> NewTask:
        read = EmailEventCreated.read(event)
        if read.channel not in MESSAGE_KINDS:
            raise InvalidInput(f"A message's channel is one of {', '.join(MESSAGE_KINDS)}, not {read.channel[:40]!r}.")
        if len(read.sealed) > MOST_SEALED_BYTES:
            raise InvalidInput(f"A message has at most {MOST_SEALED_BYTES} bytes, sealed.")
        due_at = read.send_after or self._clock()
        return NewTask(
            merchant_id=event.merchant_id,
            task_id=new_id(),
            kind=read.channel,
            unique_key=str(read.message_id),
            customer_id=read.customer_id,
            reason=read.reason,
            priority=DEFAULT_PRIORITY if read.customer_id is not None else URGENT_PRIORITY,
            due_at=due_at,
            expires_at=read.expires_at or due_at + EXPIRES_AFTER,
            max_attempts=MAX_ATTEMPTS,
            created_at=read.created_at,
            sealed=read.sealed,
        )
