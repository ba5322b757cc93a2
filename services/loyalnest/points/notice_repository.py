"""All SQL of announcing what will expire."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from loyalnest.kit.database import Connection


@dataclass(frozen=True, slots=True)
class Expiring:
    """What a customer loses on one day of the merchant's time zone; `expires_at` is when the first of it goes."""

    merchant_id: str
    customer_id: int
    points: int
    expires_at: datetime


async def announce(
    connection: Connection, now: datetime, days_ahead: int, hour: int, customers: int
) -> Sequence[Expiring]:
    """Mark the lots that are to be announced by now as told, those of `customers` at most. Returns what they hold.

    Lots that a batch has locked are left for the next time: waiting for them could make both wait for ever, because
    a batch locks lots in an order of its own.
    """
    rows = await connection.fetch(
        """
        WITH due AS (
            SELECT l.merchant_id, l.lot_id, l.customer_id, d.day
            FROM points.lots l
            JOIN points.program_rules r ON r.merchant_id = l.merchant_id
            CROSS JOIN LATERAL (
                SELECT (l.expires_at AT TIME ZONE z.zone)::date AS day, z.zone,
                       least($2, greatest(1, extract(day FROM (l.expires_at - l.available_at) / 2)::int)) AS ahead
                FROM (SELECT coalesce(r.rules #>> '{rfm,timezone}', 'UTC') AS zone) z
            ) d
            WHERE NOT l.pending AND l.remaining > 0 AND l.expiry_told_at IS NULL AND l.customer_id > 0
                AND l.expires_at > $1 AND l.expires_at < $1 + make_interval(days => $2 + 2)
                AND (d.day - d.ahead + make_time($3, 0, 0)) AT TIME ZONE d.zone <= $1
        ), chosen AS (
            SELECT d.merchant_id, d.customer_id, d.day FROM due d
            GROUP BY d.merchant_id, d.customer_id, d.day ORDER BY d.merchant_id, d.customer_id, d.day LIMIT $4
        ), locked AS (
            SELECT l.merchant_id, l.lot_id, c.day
            FROM chosen c
            JOIN due d ON d.merchant_id = c.merchant_id AND d.customer_id = c.customer_id AND d.day = c.day
            JOIN points.lots l ON l.merchant_id = d.merchant_id AND l.lot_id = d.lot_id
            WHERE l.remaining > 0 AND l.expiry_told_at IS NULL
            FOR UPDATE OF l SKIP LOCKED
        ), told AS (
            UPDATE points.lots l SET expiry_told_at = $1
            FROM locked k
            WHERE l.merchant_id = k.merchant_id AND l.lot_id = k.lot_id
            RETURNING l.merchant_id, l.customer_id, k.day, l.remaining, l.expires_at
        )
        SELECT t.merchant_id, t.customer_id, sum(t.remaining)::bigint AS points, min(t.expires_at) AS expires_at
        FROM told t GROUP BY t.merchant_id, t.customer_id, t.day
        ORDER BY t.merchant_id, t.customer_id, t.day
        """,
        now,
        days_ahead,
        hour,
        customers,
    )
    return [Expiring(**row) for row in rows]
