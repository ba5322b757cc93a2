"""All SQL of referrals' points."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from loyalnest.kit.database import Connection
from loyalnest.points.repository import sorted_columns


@dataclass(frozen=True, slots=True)
class Given:
    """Points that a referral gave one side. The lot has the id of the accrual; customer_id: who has it now."""

    merchant_id: str
    source: str
    lot_id: UUID
    customer_id: int
    points: int


async def lock_referrals(
    connection: Connection, keys: Iterable[tuple[str, str]], *, reversed_at: datetime | None = None
) -> set[tuple[str, str]]:
    """Lock the rows of referrals, given as (merchant_id, referral_id), and note when they were reversed if they are.

    Returns those that are reversed. A referral's row is made here, so that completion and reversal at once wait for
    each other even if nothing was known of it before.
    """
    merchants, referrals = sorted_columns(keys)
    rows = await connection.fetch(
        """
        INSERT INTO points.referral_rewards AS r (merchant_id, referral_id, reversed_at)
        SELECT k.merchant_id, k.referral_id, $3::timestamptz
        FROM unnest($1::text[], $2::text[]) AS k(merchant_id, referral_id)
        ON CONFLICT (merchant_id, referral_id) DO UPDATE SET reversed_at = coalesce(r.reversed_at, excluded.reversed_at)
        RETURNING r.merchant_id, r.referral_id, r.reversed_at
        """,
        merchants,
        referrals,
        reversed_at,
    )
    return {(row["merchant_id"], row["referral_id"]) for row in rows if row["reversed_at"] is not None}


async def given(connection: Connection, sources: Iterable[tuple[str, str]]) -> list[Given]:
    """What was given by the business keys (merchant_id, source), in a fixed order."""
    merchants, names = sorted_columns(sources)
    rows = await connection.fetch(
        """
        SELECT t.merchant_id, t.source, t.transaction_id, t.customer_id, t.points
        FROM unnest($1::text[], $2::text[]) AS k(merchant_id, source)
        JOIN points.points_transactions t ON t.merchant_id = k.merchant_id AND t.source = k.source
        ORDER BY t.merchant_id, t.source
        """,
        merchants,
        names,
    )
    return [Given(*row.values()) for row in rows]
