"""All SQL that reads balances and the ledger for one merchant, under its request role."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
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


async def transactions(
    connection: Connection, merchant_id: str, customer_id: int, before: UUID | None, limit: int
) -> list[asyncpg.Record]:
    """Transactions of a customer with their entries, newest first, those older than `before`."""
    return await connection.fetch(
        """
        SELECT t.transaction_id, t.kind, t.points, t.source, t.order_id, t.rule, t.settings_version, t.actor, t.note,
               t.created_at, e.accounts, e.amounts
        FROM points.points_transactions t
        CROSS JOIN LATERAL (
            SELECT array_agg(account::text ORDER BY account) AS accounts, array_agg(amount ORDER BY account) AS amounts
            FROM points.ledger_entries
            WHERE merchant_id = t.merchant_id AND transaction_id = t.transaction_id
        ) e
        WHERE t.merchant_id = $1 AND t.customer_id = $2 AND ($3::uuid IS NULL OR t.transaction_id < $3)
        ORDER BY t.transaction_id DESC LIMIT $4
        """,
        merchant_id,
        customer_id,
        before,
        limit,
    )


async def transaction_of(connection: Connection, merchant_id: str, source: str) -> asyncpg.Record | None:
    """The transaction with a business key, without its entries."""
    return await connection.fetchrow(
        """
        SELECT transaction_id, customer_id, kind, points, source, order_id, rule, settings_version, actor, note,
               created_at
        FROM points.points_transactions WHERE merchant_id = $1 AND source = $2
        """,
        merchant_id,
        source,
    )


async def award(connection: Connection, merchant_id: str, order_id: int) -> asyncpg.Record | None:
    """An order's award."""
    return await connection.fetchrow(
        "SELECT * FROM points.order_awards WHERE merchant_id = $1 AND order_id = $2", merchant_id, order_id
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


_CHECKS: dict[str, str] = {
    "entries sum to zero": """
        SELECT e.transaction_id::text AS subject, 'entries sum to ' || sum(e.amount) AS detail
        FROM points.ledger_entries e WHERE e.merchant_id = $1
        GROUP BY e.transaction_id HAVING sum(e.amount) <> 0
    """,
    "balances equal their entries": """
        WITH posted AS (
            SELECT customer_id,
                   coalesce(sum(amount) FILTER (WHERE account = 'pending'), 0) AS pending,
                   coalesce(sum(amount) FILTER (WHERE account = 'available'), 0) AS available,
                   coalesce(sum(amount) FILTER (WHERE account = 'held'), 0) AS held,
                   coalesce(sum(amount) FILTER (WHERE account = 'redeemed'), 0) AS redeemed
            FROM points.ledger_entries WHERE merchant_id = $1 GROUP BY customer_id
        ), kept AS (
            SELECT customer_id, pending, available, held, lifetime_redeemed
            FROM points.balances WHERE merchant_id = $1
        )
        SELECT coalesce(p.customer_id, k.customer_id)::text AS subject,
               format('pending %s, entries %s; available %s, entries %s; held %s, entries %s; redeemed %s, entries %s',
                      k.pending, p.pending, k.available, p.available, k.held, p.held, k.lifetime_redeemed,
                      p.redeemed) AS detail
        FROM posted p FULL JOIN kept k ON k.customer_id = p.customer_id
        WHERE (coalesce(k.pending, 0), coalesce(k.available, 0), coalesce(k.held, 0), coalesce(k.lifetime_redeemed, 0))
           <> (coalesce(p.pending, 0), coalesce(p.available, 0), coalesce(p.held, 0), coalesce(p.redeemed, 0))
    """,
    "lots equal balances": """
        WITH lots AS (
            SELECT customer_id, coalesce(sum(remaining) FILTER (WHERE pending), 0) AS pending,
                   coalesce(sum(remaining) FILTER (WHERE NOT pending), 0) AS available
            FROM points.lots WHERE merchant_id = $1 GROUP BY customer_id
        )
        SELECT b.customer_id::text AS subject,
               format('lots hold %s pending and %s available; the balance says %s and %s',
                      l.pending, l.available, b.pending, b.available) AS detail
        FROM points.balances b LEFT JOIN lots l ON l.customer_id = b.customer_id
        WHERE b.merchant_id = $1
          AND (coalesce(l.pending, 0), coalesce(l.available, 0)) <> (b.pending, greatest(b.available, 0))
    """,
    "awards equal their postings": """
        WITH posted AS (
            SELECT order_id, sum(points) FILTER (WHERE kind = 'accrual') AS awarded
            FROM points.points_transactions WHERE merchant_id = $1 AND order_id IS NOT NULL GROUP BY order_id
        )
        SELECT a.order_id::text AS subject, format('award %s, posted %s', a.awarded, p.awarded) AS detail
        FROM points.order_awards a LEFT JOIN posted p ON p.order_id = a.order_id
        WHERE a.merchant_id = $1 AND a.awarded <> coalesce(p.awarded, 0)
    """,
    "refunds equal their sum": """
        WITH refunds AS (
            SELECT order_id, sum(base) AS base FROM points.order_refunds WHERE merchant_id = $1 GROUP BY order_id
        )
        SELECT a.order_id::text AS subject,
               format('refunded base %s, refunds sum to %s', a.refunded_base, r.base) AS detail
        FROM points.order_awards a LEFT JOIN refunds r ON r.order_id = a.order_id
        WHERE a.merchant_id = $1 AND a.refunded_base <> coalesce(r.base, 0)
    """,
    "holds equal redemptions under way": """
        WITH under_way AS (
            SELECT customer_id, sum(points) AS points FROM points.reward_redemptions
            WHERE merchant_id = $1 AND status = 'held' GROUP BY customer_id
        )
        SELECT b.customer_id::text AS subject, format('held %s, under way %s', b.held, u.points) AS detail
        FROM points.balances b LEFT JOIN under_way u ON u.customer_id = b.customer_id
        WHERE b.merchant_id = $1 AND b.held <> coalesce(u.points, 0)
    """,
}


async def verify(connection: Connection, merchant_id: str) -> tuple[int, int, list[tuple[str, str, str]]]:
    """Prove the ledger: transactions and members counted, and problems as (check, subject, detail).

    Runs in one snapshot, so that orders may go on arriving.
    """
    problems: list[tuple[str, str, str]] = []
    for check, query in _CHECKS.items():
        rows: list[Any] = await connection.fetch(f"{query} LIMIT 100", merchant_id)
        problems.extend((check, row["subject"], row["detail"]) for row in rows)
    counted = await connection.fetchrow(
        """
        SELECT (SELECT count(*) FROM points.points_transactions WHERE merchant_id = $1) AS transactions,
               (SELECT count(*) FROM points.balances WHERE merchant_id = $1) AS members
        """,
        merchant_id,
    )
    assert counted is not None
    return counted["transactions"], counted["members"], problems
