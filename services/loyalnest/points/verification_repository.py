"""All SQL that proves the ledger: what is kept beside the entries is computed anew from them and compared."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from loyalnest.kit.database import Connection

PROBLEMS = 100
"""Most problems that one check reports."""
TIMEOUT_SECONDS = 600.0
"""For one check of a large ledger; the pool's own limit is made for requests."""

_CHECKS: dict[str, str] = {
    "entries sum to zero": """
        SELECT e.transaction_id::text AS subject, 'entries sum to ' || sum(e.amount) AS detail
        FROM points.ledger_entries e WHERE e.merchant_id = $1
        GROUP BY e.transaction_id HAVING sum(e.amount) <> 0
    """,
    "points equal their entries": """
        WITH posted AS (
            SELECT transaction_id, sum(amount) FILTER (WHERE account IN ('pending', 'available')) AS points
            FROM points.ledger_entries WHERE merchant_id = $1 GROUP BY transaction_id
        ), told AS (
            SELECT transaction_id, points FROM points.points_transactions WHERE merchant_id = $1
        )
        SELECT coalesce(t.transaction_id, p.transaction_id)::text AS subject,
               format('the transaction says %s, its entries %s', t.points, p.points) AS detail
        FROM told t FULL JOIN posted p ON p.transaction_id = t.transaction_id
        WHERE t.points IS DISTINCT FROM coalesce(p.points, 0)
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
        ), kept AS (
            SELECT customer_id, pending, available FROM points.balances WHERE merchant_id = $1
        )
        SELECT coalesce(k.customer_id, l.customer_id)::text AS subject,
               format('lots hold %s pending and %s available; the balance says %s and %s',
                      l.pending, l.available, k.pending, k.available) AS detail
        FROM kept k FULL JOIN lots l ON l.customer_id = k.customer_id
        WHERE (coalesce(l.pending, 0), coalesce(l.available, 0))
           <> (coalesce(k.pending, 0), greatest(coalesce(k.available, 0), 0))
    """,
    "lifetime points equal awards less clawbacks": """
        WITH granted AS (
            SELECT customer_id, sum(points) AS points FROM points.points_transactions
            WHERE merchant_id = $1 AND kind = 'accrual' GROUP BY customer_id
        ), clawed AS (
            SELECT customer_id, sum(clawed_back) AS points FROM points.order_awards
            WHERE merchant_id = $1 AND clawed_back > 0 GROUP BY customer_id
        ), unreferred AS (
            SELECT g.customer_id, sum(g.points) AS points
            FROM points.points_transactions c
            JOIN points.points_transactions g ON g.merchant_id = c.merchant_id AND c.source = g.source || ':clawback'
            WHERE c.merchant_id = $1 AND c.kind = 'clawback' AND c.order_id IS NULL GROUP BY g.customer_id
        )
        SELECT b.customer_id::text AS subject,
               format('lifetime %s, granted %s, clawed back %s of orders and %s of referrals', b.lifetime_earned,
                      g.points, c.points, u.points) AS detail
        FROM points.balances b
        LEFT JOIN granted g ON g.customer_id = b.customer_id
        LEFT JOIN clawed c ON c.customer_id = b.customer_id
        LEFT JOIN unreferred u ON u.customer_id = b.customer_id
        WHERE b.merchant_id = $1
          AND b.lifetime_earned <> coalesce(g.points, 0) - coalesce(c.points, 0) - coalesce(u.points, 0)
    """,
    # All that a reversed referral gave is taken back, once; under the setting Floor less may be posted, never more.
    "reversed referrals have given nothing": """
        WITH grants AS (
            SELECT t.source, split_part(t.source, ':', 2) AS referral_id, t.customer_id, t.points
            FROM points.points_transactions t
            WHERE t.merchant_id = $1 AND t.kind = 'accrual' AND t.source LIKE 'referral:%'
        ), clawbacks AS (
            SELECT t.source, split_part(t.source, ':', 2) AS referral_id, t.customer_id,
                   coalesce(e.amount, 0) AS points
            FROM points.points_transactions t
            LEFT JOIN points.ledger_entries e
                ON e.merchant_id = t.merchant_id AND e.transaction_id = t.transaction_id AND e.account = 'clawback'
            WHERE t.merchant_id = $1 AND t.kind = 'clawback' AND t.source LIKE 'referral:%'
        ), reversals AS (
            SELECT referral_id FROM points.referral_rewards WHERE merchant_id = $1 AND reversed_at IS NOT NULL
        )
        SELECT coalesce(g.source, c.source) AS subject,
               format('gave %s to %s, took back %s of %s; reversed: %s', g.points, g.customer_id, c.points,
                      c.customer_id, r.referral_id IS NOT NULL) AS detail
        FROM grants g FULL JOIN clawbacks c ON c.source = g.source || ':clawback'
        LEFT JOIN reversals r ON r.referral_id = coalesce(g.referral_id, c.referral_id)
        WHERE (r.referral_id IS NULL) <> (c.source IS NULL) OR c.points > g.points
           OR c.customer_id <> g.customer_id OR (c.source IS NOT NULL AND g.source IS NULL)
    """,
    # A clawback under the setting Floor may post less than it takes off the award, never more.
    "awards equal their postings": """
        WITH posted AS (
            SELECT t.order_id, coalesce(sum(t.points) FILTER (WHERE t.kind = 'accrual'), 0) AS awarded,
                   count(*) FILTER (WHERE t.kind = 'clawback') AS clawbacks, coalesce(sum(e.amount), 0) AS clawed_back
            FROM points.points_transactions t
            LEFT JOIN points.ledger_entries e
                ON e.merchant_id = t.merchant_id AND e.transaction_id = t.transaction_id AND e.account = 'clawback'
            WHERE t.merchant_id = $1 AND t.order_id IS NOT NULL AND t.kind IN ('accrual', 'clawback')
            GROUP BY t.order_id
        ), kept AS (
            SELECT order_id, awarded, clawbacks, clawed_back FROM points.order_awards WHERE merchant_id = $1
        )
        SELECT coalesce(k.order_id, p.order_id)::text AS subject,
               format('awarded %s, posted %s; clawed back %s in %s, posted %s in %s', k.awarded, p.awarded,
                      k.clawed_back, k.clawbacks, p.clawed_back, p.clawbacks) AS detail
        FROM kept k FULL JOIN posted p ON p.order_id = k.order_id
        WHERE (coalesce(k.awarded, 0), coalesce(k.clawbacks, 0)) <> (coalesce(p.awarded, 0), coalesce(p.clawbacks, 0))
           OR coalesce(p.clawed_back, 0) > coalesce(k.clawed_back, 0)
    """,
    "campaigns' spending equals their bonuses": """
        WITH given AS (
            SELECT b.campaign_id, sum(b.points - b.clawed_back) AS points
            FROM points.order_awards a,
                 jsonb_to_recordset(a.bonuses) AS b(campaign_id uuid, points bigint, clawed_back bigint)
            WHERE a.merchant_id = $1 AND a.bonuses <> '[]' GROUP BY b.campaign_id
        ), kept AS (
            SELECT campaign_id, spent FROM points.campaigns WHERE merchant_id = $1
        )
        SELECT coalesce(k.campaign_id, g.campaign_id)::text AS subject,
               format('spent %s, bonuses that stand %s', k.spent, g.points) AS detail
        FROM kept k FULL JOIN given g ON g.campaign_id = k.campaign_id
        WHERE coalesce(k.spent, 0) <> coalesce(g.points, 0)
    """,
    "refunds equal their sum": """
        WITH refunds AS (
            SELECT order_id, sum(base) AS base FROM points.order_refunds WHERE merchant_id = $1 GROUP BY order_id
        ), kept AS (
            SELECT order_id, refunded_base FROM points.order_awards WHERE merchant_id = $1
        )
        SELECT coalesce(k.order_id, r.order_id)::text AS subject,
               format('refunded base %s, refunds sum to %s', k.refunded_base, r.base) AS detail
        FROM kept k FULL JOIN refunds r ON r.order_id = k.order_id
        WHERE coalesce(k.refunded_base, 0) <> coalesce(r.base, 0)
    """,
    "redemptions equal balances": """
        WITH redemptions AS (
            SELECT customer_id, coalesce(sum(points) FILTER (WHERE status = 'held'), 0) AS held,
                   coalesce(sum(points) FILTER (WHERE status = 'issued'), 0) AS issued
            FROM points.reward_redemptions WHERE merchant_id = $1 GROUP BY customer_id
        ), kept AS (
            SELECT customer_id, held, lifetime_redeemed FROM points.balances WHERE merchant_id = $1
        )
        SELECT coalesce(k.customer_id, r.customer_id)::text AS subject,
               format('held %s, under way %s; redeemed %s, issued %s', k.held, r.held, k.lifetime_redeemed, r.issued)
                   AS detail
        FROM kept k FULL JOIN redemptions r ON r.customer_id = k.customer_id
        WHERE (coalesce(k.held, 0), coalesce(k.lifetime_redeemed, 0)) <> (coalesce(r.held, 0), coalesce(r.issued, 0))
    """,
    "redemptions equal their lots": """
        WITH taken AS (
            SELECT redemption_id, sum(points) AS points FROM points.redemption_lots
            WHERE merchant_id = $1 GROUP BY redemption_id
        )
        SELECT r.redemption_id::text AS subject, format('costs %s, taken from lots %s', r.points, t.points) AS detail
        FROM points.reward_redemptions r LEFT JOIN taken t ON t.redemption_id = r.redemption_id
        WHERE r.merchant_id = $1 AND r.points <> coalesce(t.points, 0)
    """,
}


async def verify(connection: Connection, merchant_id: str) -> tuple[int, int, list[tuple[str, str, str]]]:
    """Prove the ledger: transactions and members counted, and problems as (check, subject, detail).

    Needs a transaction of one snapshot, so that orders may go on arriving.
    """
    problems: list[tuple[str, str, str]] = []
    for check, query in _CHECKS.items():
        rows: list[Any] = await connection.fetch(f"{query} LIMIT {PROBLEMS}", merchant_id, timeout=TIMEOUT_SECONDS)
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


async def due(connection: Connection, since: datetime) -> Sequence[str]:
    """Merchants whose ledger was not verified since `since`.

    In another order each time: one whose ledger cannot be verified does not keep the same others from it for ever.
    """
    rows = await connection.fetch(
        """
        SELECT r.merchant_id FROM points.program_rules r
        LEFT JOIN points.verifications v ON v.merchant_id = r.merchant_id
        WHERE v.verified_at IS NULL OR v.verified_at < $1 ORDER BY random()
        """,
        since,
    )
    return [row["merchant_id"] for row in rows]


async def record(connection: Connection, merchant_id: str, verified_at: datetime, mismatches: int) -> None:
    """Keep what a verification that began at `verified_at` found."""
    await connection.execute(
        """
        INSERT INTO points.verifications (merchant_id, verified_at, mismatches) VALUES ($1, $2, $3)
        ON CONFLICT (merchant_id) DO UPDATE SET verified_at = excluded.verified_at, mismatches = excluded.mismatches
        """,
        merchant_id,
        verified_at,
        mismatches,
    )


async def standing(connection: Connection, since: datetime) -> tuple[int, int]:
    """Mismatches of all merchants' newest verifications, and how many merchants were not verified since `since`."""
    row = await connection.fetchrow(
        """
        SELECT coalesce(sum(v.mismatches), 0) AS mismatches,
               count(*) FILTER (WHERE v.verified_at IS NULL OR v.verified_at < $1) AS unverified
        FROM points.program_rules r LEFT JOIN points.verifications v ON v.merchant_id = r.merchant_id
        """,
        since,
    )
    assert row is not None
    return row["mismatches"], row["unverified"]
