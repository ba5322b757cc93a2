"""All SQL of privacy requests: messages to a redacted customer are not sent, and nothing says whom a task was about."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from loyalnest.admin_features.events import MESSAGE_PURPOSE
from loyalnest.event_tracking import transitions
from loyalnest.event_tracking.handlers import WEBHOOK
from loyalnest.event_tracking.models import Status, Task
from loyalnest.event_tracking.queue_repository import TASK, task_of
from loyalnest.event_tracking.task_queue import TaskQueue
from loyalnest.event_tracking.webhook_bodies import WEBHOOK_PURPOSE
from loyalnest.kit.crypto.envelope import UnknownKeyVersion
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection
from loyalnest.kit.errors import Unavailable
from loyalnest.kit.privacy import Counts, Redaction

CHUNK: Final = 500
"""Tasks of a shop that one transaction deletes."""

_FORGET: Final = """
    UPDATE event_tracking.queue_tasks q
    SET customer_id = NULL, sealed = NULL,
        unique_key = CASE WHEN q.kind = 'webhook' THEN q.unique_key
                          WHEN q.unique_key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN q.unique_key
                          ELSE q.task_id::text END
    WHERE q.merchant_id = $1 AND q.customer_id = $2
"""
"""Keys that callers made up may tell whose they are; those of messages and webhooks are of random ids. What is being
sent just now goes its way, but it is erased here, so it is not tried again."""


class TasksKept:
    """The keeper of tasks (see `loyalnest.kit.privacy`)."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue

    async def redact(self, connection: Connection, redaction: Redaction, customer_id: int) -> Counts:
        """Cancel the customer's tasks that wait, erase their messages, and take the customer off all of them.

        The customer is remembered as long as messages may come late that were made before.
        """
        await connection.execute(
            """
            INSERT INTO event_tracking.recipients AS r (merchant_id, customer_id, told_at, redacted_at)
            VALUES ($1, $2, $3, $3)
            ON CONFLICT (merchant_id, customer_id) DO UPDATE SET redacted_at = excluded.redacted_at
            """,
            redaction.merchant_id,
            customer_id,
            redaction.at,
        )
        rows = await connection.fetch(
            f"""
            SELECT {TASK} FROM event_tracking.queue_tasks q WHERE q.merchant_id = $1 AND q.customer_id = $2
            ORDER BY q.task_id FOR UPDATE
            """,
            redaction.merchant_id,
            customer_id,
        )
        cancelled = await self._cancel(connection, [task_of(row) for row in rows], "Its customer was redacted.")
        await connection.execute(_FORGET, redaction.merchant_id, customer_id)
        return {"tasks": len(rows), "cancelled": cancelled}

    async def redact_next(self, connection: Connection, redaction: Redaction) -> Counts:
        """Delete the shop's next tasks; those that wait are cancelled. What is being sent goes its way."""
        rows = await connection.fetch(
            f"""
            SELECT {TASK} FROM event_tracking.queue_tasks q WHERE q.merchant_id = $1
            ORDER BY q.task_id LIMIT $2 FOR UPDATE
            """,
            redaction.merchant_id,
            CHUNK,
        )
        cancelled = await self._cancel(connection, [task_of(row) for row in rows], "Its shop was redacted.")
        await connection.execute(
            "DELETE FROM event_tracking.queue_tasks WHERE merchant_id = $1 AND task_id = ANY($2::uuid[])",
            redaction.merchant_id,
            [row["task_id"] for row in rows],
        )
        for table in ("recipients", "webhook_subscriptions"):
            await connection.execute(
                f"DELETE FROM event_tracking.{table} WHERE merchant_id = $1", redaction.merchant_id
            )
        return {"tasks": len(rows), "cancelled": cancelled} if rows else {}

    async def held(
        self, connection: Connection, merchant_id: str, customer_id: int, keys: MerchantKeys | None
    ) -> Mapping[str, Sequence[Any]]:
        """The customer's tasks with the messages that are still to be sent, in the clear, and their attempts.

        Raises Unavailable if one is sealed under a younger key than `keys` have.
        """
        tasks = await connection.fetch(
            """
            SELECT to_jsonb(q) - 'sealed' AS task, q.sealed FROM event_tracking.queue_tasks q
            WHERE q.merchant_id = $1 AND q.customer_id = $2 ORDER BY q.task_id
            """,
            merchant_id,
            customer_id,
        )
        attempts = await connection.fetch(
            """
            SELECT to_jsonb(a) AS attempt FROM event_tracking.task_attempts a
            JOIN event_tracking.queue_tasks q ON q.merchant_id = a.merchant_id AND q.task_id = a.task_id
            WHERE q.merchant_id = $1 AND q.customer_id = $2 ORDER BY a.task_id, a.attempt
            """,
            merchant_id,
            customer_id,
        )
        return {
            "tasks": [_exported(keys, msgspec.json.decode(row["task"]), row["sealed"]) for row in tasks],
            "attempts": [msgspec.Raw(row["attempt"].encode()) for row in attempts],
        }

    async def _cancel(self, connection: Connection, tasks: Sequence[Task], why: str) -> int:
        """Cancel those that have not ended and are not being sent. Returns how many."""
        ends = [
            (task, "", transitions.cancelled(task, why))
            for task in tasks
            if task.status is Status.WAITING or (task.status is Status.RUNNING and task.open is None)
        ]
        return len(await self._queue.put_through(connection, ends))


def _exported(keys: MerchantKeys | None, task: dict[str, Any], sealed: bytes | None) -> dict[str, Any]:
    """A task with its content in the clear, if it is there and can be read."""
    if keys is None or sealed is None:
        return {**task, "message": None}
    purpose = WEBHOOK_PURPOSE if task["kind"] == WEBHOOK else MESSAGE_PURPOSE
    try:
        return {**task, "message": msgspec.Raw(keys.open(purpose, sealed))}
    except UnknownKeyVersion:
        raise Unavailable("The merchant's keys were rotated just now.") from None
