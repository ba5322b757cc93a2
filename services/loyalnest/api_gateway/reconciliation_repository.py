"""All SQL of the reconciliation: how far each merchant's is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from loyalnest.kit.database import Connection

_COLUMNS = "since, until, page, orders, recovered, problem, problem_at, done_at"


@dataclass(frozen=True, slots=True)
class Progress:
    """A merchant's reconciliation.

    Orders that changed before `since` were compared. [since, until) is under way, `page` the cursor of the next page.
    orders, recovered: how many were compared, and found that no delivery had brought, over all time.
    problem: why the last try failed, and when; empty once one has succeeded. done_at: when a window was finished last.
    """

    since: datetime
    until: datetime | None
    page: str
    orders: int
    recovered: int
    problem: str
    problem_at: datetime | None
    done_at: datetime | None


async def load(connection: Connection, merchant_id: str) -> Progress | None:
    """How far a merchant's is; None before the first."""
    row: Any = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM api_gateway.reconciliations WHERE merchant_id = $1", merchant_id
    )
    return None if row is None else Progress(**row)


async def store(connection: Connection, merchant_id: str, progress: Progress) -> None:
    """Write how far a merchant's is."""
    await connection.execute(
        """
        INSERT INTO api_gateway.reconciliations
            (merchant_id, since, until, page, orders, recovered, problem, problem_at, done_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (merchant_id) DO UPDATE SET since = excluded.since, until = excluded.until, page = excluded.page,
            orders = excluded.orders, recovered = excluded.recovered, problem = excluded.problem,
            problem_at = excluded.problem_at, done_at = excluded.done_at
        """,
        merchant_id,
        progress.since,
        progress.until,
        progress.page,
        progress.orders,
        progress.recovered,
        progress.problem,
        progress.problem_at,
        progress.done_at,
    )


async def oldest(connection: Connection) -> datetime | None:
    """The `since` of the merchant that is furthest behind."""
    row = await connection.fetchrow("SELECT merchant_id, since FROM api_gateway.reconciliations ORDER BY since LIMIT 1")
    return None if row is None else row["since"]
