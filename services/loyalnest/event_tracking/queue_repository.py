"""All SQL by which tasks are made, claimed and ended. Who may change a running task is decided by its attempt's number.

Rows are locked in the order of (merchant_id, task_id), or skipped.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from loyalnest.event_tracking.models import ENDED, NewTask, Open, Status, Task, Transition
from loyalnest.kit.database import Connection

TASK = """
    q.merchant_id, q.task_id, q.kind, q.unique_key, q.status, q.attempt, q.failures, q.max_attempts, q.expires_at,
    q.started_at, q.open_provider, q.repeat_until, q.sealed
"""

_NEXT: Final = "ORDER BY q.merchant_id, q.priority, q.due_at, q.task_id LIMIT 1"
"""In the order of the index of waiting tasks, which so is the only one that can give it. By the merchants' ids alone
any index that begins with them could, and would read through tasks that have ended."""

NEXT_MERCHANTS: Final = f"""
    WITH RECURSIVE turns AS (
        (SELECT q.merchant_id, 1 AS turn FROM event_tracking.queue_tasks q
         WHERE q.status = 'waiting' AND q.kind = $1 AND q.merchant_id > $2 {_NEXT})
        UNION ALL
        SELECT n.merchant_id, t.turn + 1 FROM turns t CROSS JOIN LATERAL (
            SELECT q.merchant_id FROM event_tracking.queue_tasks q
            WHERE q.status = 'waiting' AND q.kind = $1 AND q.merchant_id > t.merchant_id {_NEXT}
        ) n WHERE t.turn < $3
    )
    SELECT merchant_id FROM turns ORDER BY turn
"""

CLAIM: Final = f"""
    WITH due AS (
        SELECT d.merchant_id, d.task_id FROM unnest($1::text[]) AS m(merchant_id) CROSS JOIN LATERAL (
            SELECT q.merchant_id, q.task_id FROM event_tracking.queue_tasks q
            WHERE q.merchant_id = m.merchant_id AND q.kind = $2 AND q.status = 'waiting' AND q.due_at <= $4
            ORDER BY q.priority, q.due_at, q.task_id LIMIT $3 FOR UPDATE SKIP LOCKED
        ) d
    ), claimed AS (
        UPDATE event_tracking.queue_tasks q
        SET status = 'running', attempt = q.attempt + 1, started_at = $4, lease_until = $5
        FROM due d WHERE q.merchant_id = d.merchant_id AND q.task_id = d.task_id
        RETURNING q.*
    )
    SELECT {TASK} FROM claimed q ORDER BY q.priority, q.due_at, q.task_id
"""


async def tell_recipients(
    connection: Connection, recipients: Iterable[tuple[str, int]], now: datetime
) -> dict[tuple[str, int], datetime]:
    """Note that these (merchant_id, customer_id) are about to get tasks. Returns when who of them was redacted.

    It changes their rows, so that a redaction at the same time waits, and begins anew with what was made here.
    """
    keys = sorted(set(recipients))
    rows = await connection.fetch(
        """
        INSERT INTO event_tracking.recipients AS r (merchant_id, customer_id, told_at)
        SELECT k.merchant_id, k.customer_id, $3 FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
        ON CONFLICT (merchant_id, customer_id) DO UPDATE SET told_at = excluded.told_at
        RETURNING r.merchant_id, r.customer_id, r.redacted_at
        """,
        [merchant_id for merchant_id, _ in keys],
        [customer_id for _, customer_id in keys],
        now,
    )
    return {(row["merchant_id"], row["customer_id"]): row["redacted_at"] for row in rows if row["redacted_at"]}


async def create(connection: Connection, tasks: Sequence[NewTask]) -> set[UUID]:
    """Make tasks. Returns the ids of those made; the others' keys are taken."""
    ordered = sorted(tasks, key=lambda task: (task.merchant_id, task.kind, task.unique_key))
    columns = [
        "merchant_id", "task_id", "kind", "unique_key", "customer_id", "reason", "priority", "due_at", "expires_at",
        "max_attempts", "created_at", "sealed", "subscription_id",
    ]  # fmt: skip
    rows = await connection.fetch(
        f"""
        INSERT INTO event_tracking.queue_tasks AS q ({", ".join(columns)}, status)
        SELECT t.*, 'waiting' FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[],
            $7::smallint[], $8::timestamptz[], $9::timestamptz[], $10::int[], $11::timestamptz[], $12::bytea[],
            $13::uuid[]) AS t
        ON CONFLICT (merchant_id, kind, unique_key) DO NOTHING
        RETURNING q.task_id
        """,
        *([getattr(task, column) for task in ordered] for column in columns),
    )
    return {row["task_id"] for row in rows}


async def merchants_after(connection: Connection, kind: str, after: str, most: int) -> list[str]:
    """The next merchants, at most so many, that have waiting tasks of a kind: one look into the index for each."""
    rows = await connection.fetch(
        NEXT_MERCHANTS,
        kind,
        after,
        most,
    )
    return [row["merchant_id"] for row in rows]


async def claim(
    connection: Connection, kind: str, merchants: Sequence[str], share: int, now: datetime, lease_until: datetime
) -> list[Task]:
    """Claim up to `share` due tasks of each merchant: by priority, then by how long they are due."""
    rows = await connection.fetch(
        CLAIM,
        merchants,
        kind,
        share,
        now,
        lease_until,
    )
    return [task_of(row) for row in rows]


async def begin_sending(connection: Connection, task: Task, opened: Open, now: datetime, lease_until: datetime) -> bool:
    """Note, before anything is sent, that `task` is being sent. False if it is not this worker's any more."""
    found = await connection.fetchval(
        """
        UPDATE event_tracking.queue_tasks q SET open_provider = $4, repeat_until = $5, lease_until = $7
        WHERE q.merchant_id = $1 AND q.task_id = $2 AND q.attempt = $3 AND q.status = 'running' AND q.lease_until > $6
          AND q.sealed IS NOT NULL
        RETURNING true
        """,
        task.merchant_id,
        task.task_id,
        task.attempt,
        opened.provider,
        opened.until,
        now,
        lease_until,
    )
    return bool(found)


async def renew(connection: Connection, tasks: Sequence[Task], now: datetime, lease_until: datetime) -> set[UUID]:
    """Keep the leases of `tasks` that this worker still has. Returns the ids of those."""
    rows = await connection.fetch(
        """
        WITH held AS (
            SELECT q.merchant_id, q.task_id FROM event_tracking.queue_tasks q
            JOIN unnest($1::text[], $2::uuid[], $3::int[]) AS k(merchant_id, task_id, attempt)
              ON k.merchant_id = q.merchant_id AND k.task_id = q.task_id AND k.attempt = q.attempt
            WHERE q.status = 'running' AND q.lease_until > $4
            ORDER BY q.merchant_id, q.task_id FOR UPDATE OF q
        )
        UPDATE event_tracking.queue_tasks q SET lease_until = $5
        FROM held h WHERE q.merchant_id = h.merchant_id AND q.task_id = h.task_id
        RETURNING q.task_id
        """,
        [task.merchant_id for task in tasks],
        [task.task_id for task in tasks],
        [task.attempt for task in tasks],
        now,
        lease_until,
    )
    return {row["task_id"] for row in rows}


async def release(connection: Connection, tasks: Sequence[Task], due_at: datetime) -> None:
    """Let tasks wait that their worker still has and has not begun to send."""
    await connection.execute(
        """
        UPDATE event_tracking.queue_tasks q SET status = 'waiting', lease_until = NULL, due_at = $4
        FROM unnest($1::text[], $2::uuid[], $3::int[]) AS k(merchant_id, task_id, attempt)
        WHERE q.merchant_id = k.merchant_id AND q.task_id = k.task_id AND q.attempt = k.attempt
          AND q.status = 'running' AND q.sealed IS NOT NULL
        """,
        [task.merchant_id for task in tasks],
        [task.task_id for task in tasks],
        [task.attempt for task in tasks],
        due_at,
    )


async def lock_lost(connection: Connection, now: datetime, most: int) -> list[Task]:
    """Lock tasks whose worker let the lease run out."""
    rows = await connection.fetch(
        f"""
        SELECT {TASK} FROM event_tracking.queue_tasks q WHERE q.status = 'running' AND q.lease_until <= $1
        ORDER BY q.lease_until LIMIT $2 FOR UPDATE SKIP LOCKED
        """,
        now,
        most,
    )
    return [task_of(row) for row in rows]


async def lock(connection: Connection, merchant_id: str, task_id: UUID) -> Task | None:
    """Lock one task of a merchant."""
    row = await connection.fetchrow(
        f"""
        SELECT {TASK} FROM event_tracking.queue_tasks q
        WHERE q.merchant_id = $1 AND q.task_id = $2 FOR UPDATE
        """,
        merchant_id,
        task_id,
    )
    return None if row is None else task_of(row)


async def put_through(
    connection: Connection, changes: Sequence[tuple[Task, str, Transition]], now: datetime
) -> dict[UUID, tuple[Status, str]]:
    """Change tasks as decided, each with its provider. Returns the new status and error of those still as held.

    The message is erased with a task's end, but for a webhook's, which may be delivered again. One whose message was
    erased meanwhile, by a redaction, is not tried again.
    """
    rows = await connection.fetch(
        """
        WITH t AS (
            SELECT * FROM jsonb_to_recordset($1::jsonb) AS t(
                merchant_id text, task_id uuid, attempt int, held text, status text, outcome text, provider text,
                provider_id text, error text, failures int, due_at timestamptz, open_provider text,
                repeat_until timestamptz, ended boolean, started_at timestamptz)
        ), changed AS (
            UPDATE event_tracking.queue_tasks q
            SET status = CASE WHEN t.ended OR q.sealed IS NOT NULL THEN t.status ELSE 'cancelled' END,
                error = CASE WHEN t.ended OR q.sealed IS NOT NULL THEN t.error ELSE 'Its customer was redacted.' END,
                finished_at = CASE WHEN t.ended OR q.sealed IS NULL THEN $2::timestamptz END,
                sealed = CASE WHEN NOT t.ended OR q.kind = 'webhook' THEN q.sealed END, lease_until = NULL,
                provider = t.provider, provider_id = t.provider_id, failures = t.failures,
                due_at = coalesce(t.due_at, q.due_at), open_provider = t.open_provider, repeat_until = t.repeat_until
            FROM t
            WHERE q.merchant_id = t.merchant_id AND q.task_id = t.task_id AND q.attempt = t.attempt
              AND q.status = t.held
            RETURNING q.merchant_id, q.task_id, q.status, q.error
        ), noted AS (
            INSERT INTO event_tracking.task_attempts
                (merchant_id, task_id, attempt, provider, outcome, error, started_at, ended_at)
            SELECT t.merchant_id, t.task_id, t.attempt, t.provider, t.outcome, t.error, t.started_at, $2
            FROM t JOIN changed c ON c.merchant_id = t.merchant_id AND c.task_id = t.task_id WHERE t.outcome <> ''
        )
        SELECT c.merchant_id, c.task_id, c.status, c.error FROM changed c
        """,
        msgspec.json.encode([_record(*change) for change in changes]).decode(),
        now,
    )
    return {row["task_id"]: (Status(row["status"]), row["error"]) for row in rows}


def _record(task: Task, provider: str, change: Transition) -> dict[str, Any]:
    return {
        "merchant_id": task.merchant_id,
        "task_id": task.task_id,
        "attempt": task.attempt,
        "held": task.status,
        "status": change.status,
        "outcome": change.outcome,
        "provider": provider,
        "provider_id": change.provider_id,
        "error": change.error,
        "failures": change.failures,
        "due_at": change.due_at,
        "open_provider": "" if change.open is None else change.open.provider,
        "repeat_until": None if change.open is None else change.open.until,
        "ended": change.status in ENDED,
        "started_at": task.started_at,
    }


def task_of(row: Any) -> Task:
    """A task from a row of the columns `TASK`."""
    return Task(
        merchant_id=row["merchant_id"],
        task_id=row["task_id"],
        kind=row["kind"],
        unique_key=row["unique_key"],
        status=Status(row["status"]),
        attempt=row["attempt"],
        failures=row["failures"],
        max_attempts=row["max_attempts"],
        expires_at=row["expires_at"],
        started_at=row["started_at"],
        open=Open(row["open_provider"], row["repeat_until"]) if row["open_provider"] else None,
        sealed=row["sealed"],
    )
