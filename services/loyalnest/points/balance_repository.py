"""All SQL that reads balances and the ledger for one merchant, under its request role."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from loyalnest.kit.database import Connection

EXPIRING_ROWS = 100


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a merchant's customers, in points; orders counts those that earned."""

    members: int
    pending: int
    available: int
    debt: int
    lifetime_earned: int
    lifetime_redeemed: int
    orders: int


async def expiring(connection: Connection, merchant_id: str, customer_id: int) -> list[tuple[int, datetime]]:
    """Available points by the moment they run out, soonest first, at most `EXPIRING_ROWS` moments."""
    rows = await connection.fetch(
        """
        SELECT sum(remaining)::bigint AS points, expires_at
        FROM points.lots
        WHERE merchant_id = $1 AND customer_id = $2 AND remaining > 0 AND NOT pending AND expires_at IS NOT NULL
        GROUP BY expires_at ORDER BY expires_at LIMIT $3
        """,
        merchant_id,
        customer_id,
        EXPIRING_ROWS,
    )
    return [(row["points"], row["expires_at"]) for row in rows]


async def balance(connection: Connection, merchant_id: str, customer_id: int) -> asyncpg.Record | None:
    """The customer's balances, or None before anything was posted."""
    return await connection.fetchrow(
        """
        SELECT pending, available, held, lifetime_earned, lifetime_redeemed
        FROM points.balances WHERE merchant_id = $1 AND customer_id = $2
        """,
        merchant_id,
        customer_id,
    )


_TRANSACTION = """
    SELECT t.transaction_id, t.customer_id, t.kind, t.points, t.source, t.order_id, t.rule, t.settings_version, t.actor,
           t.note, t.created_at, e.accounts, e.amounts
    FROM points.points_transactions t
    CROSS JOIN LATERAL (
        SELECT array_agg(account::text ORDER BY account) AS accounts, array_agg(amount ORDER BY account) AS amounts
        FROM points.ledger_entries
        WHERE merchant_id = t.merchant_id AND transaction_id = t.transaction_id
    ) e
"""


async def transactions(
    connection: Connection, merchant_id: str, customer_id: int, before: UUID | None, limit: int
) -> list[asyncpg.Record]:
    """Transactions of a customer with their entries, newest first, those older than `before`."""
    return await connection.fetch(
        f"""
        {_TRANSACTION}
        WHERE t.merchant_id = $1 AND t.customer_id = $2 AND ($3::uuid IS NULL OR t.transaction_id < $3)
        ORDER BY t.transaction_id DESC LIMIT $4
        """,
        merchant_id,
        customer_id,
        before,
        limit,
    )


async def transaction_of(connection: Connection, merchant_id: str, source: str) -> asyncpg.Record | None:
    """The transaction with a business key, with its entries."""
    return await connection.fetchrow(f"{_TRANSACTION} WHERE t.merchant_id = $1 AND t.source = $2", merchant_id, source)


async def awards(connection: Connection, merchant_id: str, orders: Sequence[int]) -> list[asyncpg.Record]:
    """What is known of orders, with the ids of their refunds, by ascending id."""
    return await connection.fetch(
        """
        SELECT a.*, ARRAY(SELECT r.refund_id FROM points.order_refunds r
                          WHERE r.merchant_id = a.merchant_id AND r.order_id = a.order_id ORDER BY 1) AS refund_ids
        FROM points.order_awards a WHERE a.merchant_id = $1 AND a.order_id = ANY($2::bigint[]) ORDER BY a.order_id
        """,
        merchant_id,
        orders,
    )


async def totals(connection: Connection, merchant_id: str) -> Totals:
    """Sums over all customers of a merchant."""
    row = await connection.fetchrow(
        """
        SELECT count(*) AS members, coalesce(sum(pending), 0)::bigint AS pending,
               coalesce(sum(greatest(available, 0)), 0)::bigint AS available,
               coalesce(sum(greatest(-available, 0)), 0)::bigint AS debt,
               coalesce(sum(lifetime_earned), 0)::bigint AS lifetime_earned,
               coalesce(sum(lifetime_redeemed), 0)::bigint AS lifetime_redeemed,
               (SELECT count(*) FROM points.order_awards a
                WHERE a.merchant_id = $1 AND a.awarded_at IS NOT NULL) AS orders
        FROM points.balances b WHERE b.merchant_id = $1
        """,
        merchant_id,
    )
    assert row is not None
    return Totals(**row)
