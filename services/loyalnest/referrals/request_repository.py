"""All SQL of one merchant's requests, under its request role: links, shares, clicks, referrals and their counts."""

from datetime import datetime
from uuid import UUID

from loyalnest.kit.database import Connection
from loyalnest.referrals.models import ChannelCounts, Link, Referral, Share
from loyalnest.referrals.repository import columns_of


async def link_of(connection: Connection, merchant_id: str, customer_id: int) -> Link | None:
    """A customer's code."""
    row = await connection.fetchrow(
        """
        SELECT c.customer_id, c.code, c.created_at FROM referrals.referral_codes c
        WHERE c.merchant_id = $1 AND c.customer_id = $2
        """,
        merchant_id,
        customer_id,
    )
    return None if row is None else Link(*row.values())


async def make_link(connection: Connection, merchant_id: str, customer_id: int, code: str, now: datetime) -> bool:
    """Give a customer who has none the code. Returns whether it was made: not if either is taken."""
    made = await connection.fetchval(
        """
        INSERT INTO referrals.referral_codes (merchant_id, customer_id, code, created_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        merchant_id,
        customer_id,
        code,
        now,
    )
    return bool(made)


async def lock_link(connection: Connection, merchant_id: str, customer_id: int, now: datetime) -> Link | None:
    """A customer's code, locked and marked as used: see `repository`."""
    row = await connection.fetchrow(
        """
        UPDATE referrals.referral_codes c SET used_at = $3 WHERE c.merchant_id = $1 AND c.customer_id = $2
        RETURNING c.customer_id, c.code, c.created_at
        """,
        merchant_id,
        customer_id,
        now,
    )
    return None if row is None else Link(*row.values())


async def count_click(connection: Connection, merchant_id: str, code: str, channel: str, now: datetime) -> bool:
    """Count a click on a code. Returns whether there is such a code."""
    counted = await connection.fetchval(
        """
        WITH owner AS (
            UPDATE referrals.referral_codes c SET used_at = $4 WHERE c.merchant_id = $1 AND c.code = $2
            RETURNING c.customer_id
        )
        INSERT INTO referrals.referral_clicks AS k (merchant_id, customer_id, channel, day, clicks)
        SELECT $1, o.customer_id, $3, ($4::timestamptz AT TIME ZONE 'UTC')::date, 1 FROM owner o
        ON CONFLICT (merchant_id, customer_id, channel, day) DO UPDATE SET clicks = k.clicks + 1
        RETURNING true
        """,
        merchant_id,
        code,
        channel,
        now,
    )
    return bool(counted)


async def share_with(
    connection: Connection, merchant_id: str, customer_id: int, channel: str, friend_hash: bytes
) -> Share | None:
    """The customer's earlier share by the channel to the same friend."""
    row = await connection.fetchrow(
        """
        SELECT s.share_id, s.customer_id, s.channel, s.shared_at FROM referrals.referral_shares s
        WHERE s.merchant_id = $1 AND s.customer_id = $2 AND s.channel = $3 AND s.friend_hash = $4
        """,
        merchant_id,
        customer_id,
        channel,
        friend_hash,
    )
    return None if row is None else Share(*row.values())


async def shares_since(connection: Connection, merchant_id: str, customer_id: int, since: datetime) -> int:
    """How often a customer shared after a moment."""
    count: int = await connection.fetchval(
        """
        SELECT count(*) FROM referrals.referral_shares s
        WHERE s.merchant_id = $1 AND s.customer_id = $2 AND s.shared_at > $3
        """,
        merchant_id,
        customer_id,
        since,
    )
    return count


async def add_share(connection: Connection, merchant_id: str, share: Share, friend_hash: bytes) -> None:
    """Write down a share."""
    await connection.execute(
        """
        INSERT INTO referrals.referral_shares (merchant_id, share_id, customer_id, channel, friend_hash, shared_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        """,
        merchant_id,
        share.share_id,
        share.customer_id,
        share.channel,
        friend_hash,
        share.shared_at,
    )


async def shares(
    connection: Connection, merchant_id: str, customer_id: int, before: UUID | None, limit: int
) -> list[Share]:
    """A customer's shares, newest first, those older than `before`."""
    rows = await connection.fetch(
        """
        SELECT s.share_id, s.customer_id, s.channel, s.shared_at FROM referrals.referral_shares s
        WHERE s.merchant_id = $1 AND s.customer_id = $2 AND ($3::uuid IS NULL OR s.share_id < $3)
        ORDER BY s.share_id DESC LIMIT $4
        """,
        merchant_id,
        customer_id,
        before,
        limit,
    )
    return [Share(*row.values()) for row in rows]


async def is_of(connection: Connection, merchant_id: str, customer_id: int, kind: str, value: bytes) -> bool:
    """Whether a customer is recognised by the hash."""
    found: bool = await connection.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM referrals.identities i
            WHERE i.merchant_id = $1 AND i.customer_id = $2 AND i.kind = $3 AND i.hash = $4
        )
        """,
        merchant_id,
        customer_id,
        kind,
        value,
    )
    return found


async def referral(
    connection: Connection, merchant_id: str, referral_id: UUID, *, lock: bool = False
) -> Referral | None:
    """One referral, locked until the end of the transaction if `lock`."""
    row = await connection.fetchrow(
        f"""
        SELECT {columns_of("r", Referral)} FROM referrals.referrals r
        WHERE r.merchant_id = $1 AND r.referral_id = $2 {"FOR UPDATE" if lock else ""}
        """,
        merchant_id,
        referral_id,
    )
    return None if row is None else Referral(*row.values())


async def referral_of_friend(connection: Connection, merchant_id: str, friend_id: int) -> Referral | None:
    """The referral that a customer came by."""
    row = await connection.fetchrow(
        f"SELECT {columns_of('r', Referral)} FROM referrals.referrals r WHERE r.merchant_id = $1 AND r.friend_id = $2",
        merchant_id,
        friend_id,
    )
    return None if row is None else Referral(*row.values())


async def referrals(
    connection: Connection, merchant_id: str, status: str, referrer_id: int, before: UUID | None, limit: int
) -> list[Referral]:
    """Newest first; of every status if `status` is empty, of every referrer if `referrer_id` is 0."""
    rows = await connection.fetch(
        f"""
        SELECT {columns_of("r", Referral)} FROM referrals.referrals r
        WHERE r.merchant_id = $1 AND ($2 = '' OR r.status = $2) AND ($3::bigint = 0 OR r.referrer_id = $3)
          AND ($4::uuid IS NULL OR r.referral_id < $4)
        ORDER BY r.referral_id DESC LIMIT $5
        """,
        merchant_id,
        status,
        referrer_id,
        before,
        limit,
    )
    return [Referral(*row.values()) for row in rows]


async def update_review(connection: Connection, decided: Referral) -> None:
    """Write down what a review decided."""
    await connection.execute(
        """
        UPDATE referrals.referrals
        SET status = $3, reason = $4, completed_at = $5, reviewed_by = $6, note = $7, version = $8, updated_at = $9
        WHERE merchant_id = $1 AND referral_id = $2
        """,
        decided.merchant_id,
        decided.referral_id,
        decided.status,
        decided.reason,
        decided.completed_at,
        decided.reviewed_by,
        decided.note,
        decided.version,
        decided.updated_at,
    )


async def channel_counts(
    connection: Connection, merchant_id: str, customer_id: int, since: datetime | None
) -> list[ChannelCounts]:
    """Clicks, shares and standing conversions by channel since a moment (clicks: since its day, in UTC).

    Of every customer if `customer_id` is 0. Channels without anything are left out.
    """
    rows = await connection.fetch(
        """
        SELECT u.channel, sum(u.clicks)::bigint AS clicks, sum(u.shares)::bigint AS shares,
               sum(u.conversions)::bigint AS conversions
        FROM (
            SELECT k.channel, k.clicks, 0 AS shares, 0 AS conversions FROM referrals.referral_clicks k
            WHERE k.merchant_id = $1 AND ($2::bigint = 0 OR k.customer_id = $2)
              AND ($3::timestamptz IS NULL OR k.day >= ($3::timestamptz AT TIME ZONE 'UTC')::date)
            UNION ALL
            SELECT s.channel, 0, 1, 0 FROM referrals.referral_shares s
            WHERE s.merchant_id = $1 AND ($2::bigint = 0 OR s.customer_id = $2)
              AND ($3::timestamptz IS NULL OR s.shared_at >= $3)
            UNION ALL
            SELECT r.channel, 0, 0, 1 FROM referrals.referrals r
            WHERE r.merchant_id = $1 AND ($2::bigint = 0 OR r.referrer_id = $2) AND r.status = 'completed'
              AND ($3::timestamptz IS NULL OR r.completed_at >= $3)
        ) u
        GROUP BY u.channel ORDER BY u.channel
        """,
        merchant_id,
        customer_id,
        since,
    )
    return [ChannelCounts(*row.values()) for row in rows]


async def status_counts(
    connection: Connection, merchant_id: str, customer_id: int, since: datetime | None
) -> dict[str, int]:
    """Referrals by status, of those first seen since a moment; of every referrer if `customer_id` is 0."""
    rows = await connection.fetch(
        """
        SELECT r.status, count(*) AS referrals FROM referrals.referrals r
        WHERE r.merchant_id = $1 AND ($2::bigint = 0 OR r.referrer_id = $2)
          AND ($3::timestamptz IS NULL OR r.created_at >= $3)
        GROUP BY r.status
        """,
        merchant_id,
        customer_id,
        since,
    )
    return {row["status"]: row["referrals"] for row in rows}
