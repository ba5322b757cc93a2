"""All SQL of webhooks' subscriptions, and of the tasks that deliver for them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from loyalnest.event_tracking.models import Status
from loyalnest.kit.database import Connection

_COLUMNS: Final = """
    merchant_id, subscription_id, url, topics, enabled, disabled_reason, secret, previous_secret, previous_until,
    failing_since, failing_told, created_at
"""


@dataclass(frozen=True, slots=True)
class Target:
    """What one delivery needs of its subscription. Secrets are sealed; there is a second one during a rotation."""

    url: str
    enabled: bool
    secrets: tuple[bytes, ...]
    failing: bool


async def insert(
    connection: Connection,
    merchant_id: str,
    subscription_id: UUID,
    url: str,
    topics: Sequence[str],
    secret: bytes,
    now: datetime,
) -> None:
    """Make a subscription."""
    await connection.execute(
        """
        INSERT INTO event_tracking.webhook_subscriptions
            (merchant_id, subscription_id, url, topics, enabled, secret, created_at)
        VALUES ($1, $2, $3, $4, true, $5, $6)
        """,
        merchant_id,
        subscription_id,
        url,
        topics,
        secret,
        now,
    )


async def subscriptions(connection: Connection, merchant_id: str) -> list[asyncpg.Record]:
    """The merchant's subscriptions, oldest first."""
    return await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM event_tracking.webhook_subscriptions WHERE merchant_id = $1 ORDER BY subscription_id
        """,
        merchant_id,
    )


async def subscription(
    connection: Connection, merchant_id: str, subscription_id: UUID, *, lock: bool = False
) -> asyncpg.Record | None:
    """One subscription, locked if it is to be changed."""
    return await connection.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM event_tracking.webhook_subscriptions
        WHERE merchant_id = $1 AND subscription_id = $2 {"FOR UPDATE" if lock else ""}
        """,
        merchant_id,
        subscription_id,
    )


async def lock_all(connection: Connection, merchant_id: str) -> None:
    """Let two who add a subscription for one merchant go one after the other, so that both count the same."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('event_tracking.webhook_subscriptions:' || $1, 0))", merchant_id
    )


async def update(
    connection: Connection,
    merchant_id: str,
    subscription_id: UUID,
    url: str,
    topics: Sequence[str],
    *,
    enabled: bool,
    sound: bool,
) -> None:
    """Change a subscription. sound: forget that it was failing, or why it was disabled."""
    await connection.execute(
        """
        UPDATE event_tracking.webhook_subscriptions
        SET url = $3, topics = $4, enabled = $5, disabled_reason = CASE WHEN $6 THEN '' ELSE disabled_reason END,
            failing_since = CASE WHEN NOT $6 THEN failing_since END, failing_told = failing_told AND NOT $6
        WHERE merchant_id = $1 AND subscription_id = $2
        """,
        merchant_id,
        subscription_id,
        url,
        topics,
        enabled,
        sound,
    )


async def delete(connection: Connection, merchant_id: str, subscription_id: UUID) -> None:
    """Remove a subscription."""
    await connection.execute(
        "DELETE FROM event_tracking.webhook_subscriptions WHERE merchant_id = $1 AND subscription_id = $2",
        merchant_id,
        subscription_id,
    )


async def rotate(
    connection: Connection, merchant_id: str, subscription_id: UUID, secret: bytes, overlap_until: datetime
) -> None:
    """Give a subscription a new secret; the one so far goes on until then."""
    await connection.execute(
        """
        UPDATE event_tracking.webhook_subscriptions SET previous_secret = secret, previous_until = $4, secret = $3
        WHERE merchant_id = $1 AND subscription_id = $2
        """,
        merchant_id,
        subscription_id,
        secret,
        overlap_until,
    )


async def wanted(connection: Connection, topic: str, merchants: Collection[str]) -> list[tuple[str, UUID]]:
    """Which enabled subscriptions of these merchants want a topic: one look at the key, whatever there is."""
    rows = await connection.fetch(
        """
        SELECT merchant_id, subscription_id FROM event_tracking.webhook_subscriptions
        WHERE merchant_id = ANY($1::text[]) AND enabled AND topics @> ARRAY[$2::text]
        ORDER BY merchant_id, subscription_id
        """,
        sorted(merchants),
        topic,
    )
    return [(row["merchant_id"], row["subscription_id"]) for row in rows]


async def target(connection: Connection, merchant_id: str, subscription_id: UUID, now: datetime) -> Target | None:
    """Where a delivery goes; None if its subscription was deleted."""
    row = await subscription(connection, merchant_id, subscription_id)
    if row is None:
        return None
    overlapping = row["previous_secret"] is not None and row["previous_until"] > now
    secrets = (row["secret"], row["previous_secret"]) if overlapping else (row["secret"],)
    return Target(row["url"], row["enabled"], secrets, row["failing_since"] is not None)


async def note_failure(connection: Connection, merchant_id: str, subscription_id: UUID, now: datetime) -> None:
    """Let a subscription be failing from now on, unless it is already."""
    await connection.execute(
        """
        UPDATE event_tracking.webhook_subscriptions SET failing_since = $3
        WHERE merchant_id = $1 AND subscription_id = $2 AND failing_since IS NULL
        """,
        merchant_id,
        subscription_id,
        now,
    )


async def note_success(connection: Connection, merchant_id: str, subscription_id: UUID) -> None:
    """Let a subscription be sound again."""
    await connection.execute(
        """
        UPDATE event_tracking.webhook_subscriptions SET failing_since = NULL, failing_told = false
        WHERE merchant_id = $1 AND subscription_id = $2
        """,
        merchant_id,
        subscription_id,
    )


async def disable(connection: Connection, merchant_id: str, subscription_id: UUID, url: str, reason: str) -> bool:
    """Disable a subscription unless it is so already, or its address was changed meanwhile. Returns whether it did."""
    return bool(
        await connection.fetchval(
            """
            UPDATE event_tracking.webhook_subscriptions SET enabled = false, disabled_reason = $4
            WHERE merchant_id = $1 AND subscription_id = $2 AND enabled AND url = $3 RETURNING true
            """,
            merchant_id,
            subscription_id,
            url,
            reason,
        )
    )


async def tell_failing(connection: Connection, before: datetime, most: int) -> list[asyncpg.Record]:
    """Mark subscriptions that have been failing since before then as told, and return them, `most` at a time."""
    return await connection.fetch(
        """
        UPDATE event_tracking.webhook_subscriptions s SET failing_told = true FROM (
            SELECT w.merchant_id, w.subscription_id FROM event_tracking.webhook_subscriptions w
            WHERE w.failing_since < $1 AND NOT w.failing_told AND w.enabled
            ORDER BY w.merchant_id, w.subscription_id LIMIT $2 FOR UPDATE SKIP LOCKED
        ) w WHERE s.merchant_id = w.merchant_id AND s.subscription_id = w.subscription_id
        RETURNING s.merchant_id, s.subscription_id, s.failing_since
        """,
        before,
        most,
    )


async def failing(connection: Connection, before: datetime) -> int:
    """How many enabled subscriptions have been failing since before then."""
    found: int = await connection.fetchval(
        """
        SELECT count(*) FROM event_tracking.webhook_subscriptions
        WHERE merchant_id <> '' AND failing_since < $1 AND enabled
        """,
        before,
    )
    return found


async def deliveries(
    connection: Connection,
    merchant_id: str,
    subscription_id: UUID,
    status: Status | None,
    before: UUID | None,
    limit: int,
) -> list[asyncpg.Record]:
    """A subscription's deliveries, newest first, each with its attempts as a JSON array of objects."""
    return await connection.fetch(
        """
        SELECT q.task_id, q.unique_key, q.reason, q.status, q.due_at, q.provider_id, q.error, q.created_at,
               q.finished_at,
               (SELECT coalesce(jsonb_agg(to_jsonb(a) ORDER BY a.attempt), '[]') FROM event_tracking.task_attempts a
                WHERE a.merchant_id = q.merchant_id AND a.task_id = q.task_id) AS attempts
        FROM event_tracking.queue_tasks q
        WHERE q.merchant_id = $1 AND q.subscription_id = $2 AND ($3::text IS NULL OR q.status = $3)
          AND ($4::uuid IS NULL OR q.task_id < $4)
        ORDER BY q.task_id DESC LIMIT $5
        """,
        merchant_id,
        subscription_id,
        status,
        before,
        limit,
    )


_AGAIN: Final = """
    status = 'waiting', due_at = $3, expires_at = $4, failures = 0, finished_at = NULL, open_provider = '',
        repeat_until = NULL, provider_id = '', error = ''
"""


async def replay(
    connection: Connection, merchant_id: str, task: tuple[UUID, UUID], now: datetime, span: timedelta
) -> bool:
    """Let a delivery (its subscription and task) that ended or waits be due. False if it runs or was erased."""
    subscription_id, task_id = task
    return bool(
        await connection.fetchval(
            f"""
            UPDATE event_tracking.queue_tasks q SET {_AGAIN}
            WHERE q.merchant_id = $1 AND q.subscription_id = $2 AND q.task_id = $5 AND q.sealed IS NOT NULL
              AND q.status <> 'running'
            RETURNING true
            """,
            merchant_id,
            subscription_id,
            now,
            now + span,
            task_id,
        )
    )


async def replay_failed(
    connection: Connection,
    merchant_id: str,
    subscription_id: UUID,
    now: datetime,
    span: timedelta,
    *,
    since: datetime,
    most: int,
) -> int:
    """Let deliveries that failed since `since` be due, `most` at most, the longest ended first. Returns how many."""
    result: str = await connection.execute(
        f"""
        UPDATE event_tracking.queue_tasks q SET {_AGAIN}
        FROM (
            SELECT o.merchant_id, o.task_id FROM event_tracking.queue_tasks o
            WHERE o.merchant_id = $1 AND o.subscription_id = $2 AND o.status = 'failed' AND o.finished_at >= $5
              AND o.sealed IS NOT NULL
            ORDER BY o.task_id LIMIT $6 FOR UPDATE
        ) o WHERE q.merchant_id = o.merchant_id AND q.task_id = o.task_id
        """,
        merchant_id,
        subscription_id,
        now,
        now + span,
        since,
        most,
    )
    return int(result.rpartition(" ")[2])
