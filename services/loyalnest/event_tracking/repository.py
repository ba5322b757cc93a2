"""All SQL that reads tasks, for one merchant under its request role, and what the clock asks for."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from loyalnest.event_tracking.models import ENDED, Status
from loyalnest.kit.database import Connection

_SHOWN = """
    task_id, kind, unique_key, customer_id, reason, priority, status, due_at, expires_at, attempt, failures,
    max_attempts, lease_until, open_provider, provider, provider_id, error, created_at, finished_at
"""

MOST_COUNTED: Final = 100_000
"""Counts for the metrics stop here, so that a flood does not make the look at it dear."""


async def task(connection: Connection, merchant_id: str, task_id: UUID) -> asyncpg.Record | None:
    """One task."""
    return await connection.fetchrow(
        f"SELECT {_SHOWN} FROM event_tracking.queue_tasks WHERE merchant_id = $1 AND task_id = $2", merchant_id, task_id
    )


async def task_of_key(connection: Connection, merchant_id: str, kind: str, key: str) -> asyncpg.Record | None:
    """The task that has a unique key."""
    return await connection.fetchrow(
        f"""
        SELECT {_SHOWN} FROM event_tracking.queue_tasks WHERE merchant_id = $1 AND kind = $2 AND unique_key = $3
        """,
        merchant_id,
        kind,
        key,
    )


async def attempts(connection: Connection, merchant_id: str, task_id: UUID) -> list[asyncpg.Record]:
    """A task's attempts that ended, first to last."""
    return await connection.fetch(
        """
        SELECT attempt, provider, outcome, error, started_at, ended_at FROM event_tracking.task_attempts
        WHERE merchant_id = $1 AND task_id = $2 ORDER BY attempt
        """,
        merchant_id,
        task_id,
    )


async def tasks(
    connection: Connection, merchant_id: str, status: Status | None, before: UUID | None, limit: int
) -> list[asyncpg.Record]:
    """Tasks of a status, or of all, by id, newest first, those made before `before`."""
    # There is an index for tasks that have ended and one for the others.
    condition = "true" if status is None else f"finished_at IS {'NOT ' if status in ENDED else ''}NULL"
    return await connection.fetch(
        f"""
        SELECT {_SHOWN} FROM event_tracking.queue_tasks
        WHERE merchant_id = $1 AND {condition} AND ($2::text IS NULL OR status = $2)
          AND ($3::uuid IS NULL OR task_id < $3)
        ORDER BY task_id DESC LIMIT $4
        """,
        merchant_id,
        status,
        before,
        limit,
    )


async def make_due(connection: Connection, merchant_id: str, task_id: UUID, now: datetime) -> None:
    """Let a waiting task be due, as if it had never failed."""
    await connection.execute(
        """
        UPDATE event_tracking.queue_tasks SET due_at = $3, failures = 0
        WHERE merchant_id = $1 AND task_id = $2 AND status = 'waiting'
        """,
        merchant_id,
        task_id,
        now,
    )


async def counts(connection: Connection, merchant_id: str) -> list[asyncpg.Record]:
    """The merchant's tasks by kind and status."""
    return await connection.fetch(
        """
        SELECT kind, status, count(*) AS tasks FROM event_tracking.queue_tasks
        WHERE merchant_id = $1 GROUP BY kind, status ORDER BY kind, status
        """,
        merchant_id,
    )


async def stuck(connection: Connection, merchant_id: str) -> list[asyncpg.Record]:
    """Last errors of waiting tasks that were attempted before."""
    return await connection.fetch(
        """
        SELECT kind, error, count(*) AS tasks FROM event_tracking.queue_tasks
        WHERE merchant_id = $1 AND status = 'waiting' AND error <> ''
        GROUP BY kind, error ORDER BY tasks DESC, kind, error LIMIT 20
        """,
        merchant_id,
    )


async def oldest_due(connection: Connection, merchant_id: str, now: datetime) -> datetime | None:
    """When the merchant's task that waits longest was due."""
    found: datetime | None = await connection.fetchval(
        """
        SELECT min(due_at) FROM event_tracking.queue_tasks
        WHERE merchant_id = $1 AND status = 'waiting' AND due_at <= $2
        """,
        merchant_id,
        now,
    )
    return found


@dataclass(frozen=True, slots=True)
class Depth:
    """All merchants' tasks of one kind that have not ended."""

    due: int
    later: int
    running: int
    oldest_due_at: datetime | None


async def depth(connection: Connection, kind: str, now: datetime) -> Depth:
    """How deep the queue is; each count stops at MOST_COUNTED."""
    row = await connection.fetchrow(
        """
        WITH due AS (
            SELECT merchant_id FROM event_tracking.queue_tasks
            WHERE kind = $1 AND finished_at IS NULL AND lease_until IS NULL AND due_at <= $2 LIMIT $3
        ), later AS (
            SELECT merchant_id FROM event_tracking.queue_tasks
            WHERE kind = $1 AND finished_at IS NULL AND lease_until IS NULL AND due_at > $2 LIMIT $3
        ), running AS (
            SELECT merchant_id FROM event_tracking.queue_tasks WHERE kind = $1 AND status = 'running' LIMIT $3
        ), oldest AS (
            SELECT merchant_id, due_at FROM event_tracking.queue_tasks
            WHERE kind = $1 AND finished_at IS NULL AND lease_until IS NULL AND due_at <= $2 ORDER BY due_at LIMIT 1
        )
        SELECT (SELECT count(*) FROM due) AS due, (SELECT count(*) FROM later) AS later,
               (SELECT count(*) FROM running) AS running, (SELECT due_at FROM oldest) AS oldest_due_at
        """,
        kind,
        now,
        MOST_COUNTED,
    )
    assert row is not None
    return Depth(**row)


async def prune_tasks(connection: Connection, before: datetime, most: int) -> int:
    """Delete tasks that ended before a moment, with their attempts. Returns how many, at most so many."""
    result: str = await connection.execute(
        """
        DELETE FROM event_tracking.queue_tasks q USING (
            SELECT o.merchant_id, o.task_id FROM event_tracking.queue_tasks o
            WHERE o.finished_at < $1 ORDER BY o.finished_at LIMIT $2 FOR UPDATE SKIP LOCKED
        ) o WHERE q.merchant_id = o.merchant_id AND q.task_id = o.task_id
        """,
        before,
        most,
    )
    return int(result.rpartition(" ")[2])


async def prune_recipients(connection: Connection, told_before: datetime, redacted_before: datetime) -> int:
    """Forget recipients: they matter while a redaction is under way, and then until no late event comes any more."""
    result: str = await connection.execute(
        """
        DELETE FROM event_tracking.recipients
        WHERE merchant_id <> '' AND told_at < $1 AND (redacted_at IS NULL OR redacted_at < $2)
        """,
        told_before,
        redacted_before,
    )
    return int(result.rpartition(" ")[2])
