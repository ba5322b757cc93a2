"""All SQL of the badges' definitions and of what an admin decides, for one merchant, under its request role."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from loyalnest.gamification.facts import folded
from loyalnest.gamification.models import Badge, Holder
from loyalnest.gamification.repository import BADGE_COLUMNS, BADGES_LOCK, badge_of
from loyalnest.kit.database import Connection


@dataclass(frozen=True, slots=True)
class Listed:
    """A badge and how many hold it, redacted customers among them."""

    badge: Badge
    holders: int


async def lock_badges(connection: Connection, merchant_id: str) -> None:
    """Wait for whoever gives or takes badges of the merchant, and hold them off until this transaction ends."""
    await connection.execute(
        f"SELECT pg_advisory_xact_lock({BADGES_LOCK}) FROM unnest($1::text[]) AS k(merchant_id)", [merchant_id]
    )


async def insert(connection: Connection, merchant_id: str, badges: Sequence[Badge], now: datetime) -> int:
    """Write new badges; a key that is taken stays what it is. Returns how many were written."""
    result: str = await connection.execute(
        """
        INSERT INTO gamification.badges
            (merchant_id, badge_key, title, description, icon, kind, target, product_type, folded_type, product_ids,
             enabled, take_back_on_refund, version, created_at, updated_at)
        SELECT $1, k.badge_key, k.title, k.description, k.icon, k.kind, k.target, k.product_type, k.folded_type,
               CASE WHEN k.product_ids = '' THEN '{}' ELSE string_to_array(k.product_ids, ',')::bigint[] END,
               k.enabled, k.take_back_on_refund, 1, $12, $12
        FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::numeric[], $8::text[], $9::text[],
                    $10::boolean[], $11::boolean[], $13::text[])
            AS k(badge_key, title, description, icon, kind, target, product_type, folded_type, enabled,
                 take_back_on_refund, product_ids)
        ON CONFLICT DO NOTHING
        """,
        merchant_id,
        [badge.key for badge in badges],
        [badge.title for badge in badges],
        [badge.description for badge in badges],
        [badge.icon for badge in badges],
        [badge.rule.kind for badge in badges],
        [badge.rule.target for badge in badges],
        [badge.rule.product_type for badge in badges],
        [folded(badge.rule.product_type) for badge in badges],
        [badge.enabled for badge in badges],
        [badge.take_back_on_refund for badge in badges],
        now,
        [",".join(map(str, badge.rule.product_ids)) for badge in badges],
    )
    return int(result.rpartition(" ")[2])


async def update(connection: Connection, merchant_id: str, badge: Badge, now: datetime) -> None:
    """Write a changed badge, whose version is one more than before."""
    await connection.execute(
        """
        UPDATE gamification.badges b
        SET title = $3, description = $4, icon = $5, kind = $6, target = $7, product_type = $8, folded_type = $9,
            product_ids = $10, enabled = $11, take_back_on_refund = $12, version = $13, updated_at = $14
        WHERE b.merchant_id = $1 AND b.badge_key = $2
        """,
        merchant_id,
        badge.key,
        badge.title,
        badge.description,
        badge.icon,
        badge.rule.kind,
        badge.rule.target,
        badge.rule.product_type,
        folded(badge.rule.product_type),
        list(badge.rule.product_ids),
        badge.enabled,
        badge.take_back_on_refund,
        badge.version,
        now,
    )


async def mark_deleted(connection: Connection, merchant_id: str, badge_key: str, now: datetime) -> None:
    """Nobody sees the badge from now on; the job `drop_deleted` takes it from its holders."""
    await connection.execute(
        """
        UPDATE gamification.badges b SET deleted = true, updated_at = $3 WHERE b.merchant_id = $1 AND b.badge_key = $2
        """,
        merchant_id,
        badge_key,
        now,
    )


async def count(connection: Connection, merchant_id: str) -> int:
    """The merchant's badges, deleted ones that are not gone yet among them."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM gamification.badges WHERE merchant_id = $1", merchant_id
    )
    return found


async def one(connection: Connection, merchant_id: str, badge_key: str) -> Badge | None:
    """A badge that is not deleted."""
    row = await connection.fetchrow(
        f"""
        SELECT {BADGE_COLUMNS} FROM gamification.badges b
        WHERE b.merchant_id = $1 AND b.badge_key = $2 AND NOT b.deleted
        """,
        merchant_id,
        badge_key,
    )
    return None if row is None else badge_of(row)


async def listed(connection: Connection, merchant_id: str, badge_key: str | None = None) -> list[Listed]:
    """The merchant's badges by key, or the one of that key, with how many hold them."""
    rows = await connection.fetch(
        f"""
        SELECT {BADGE_COLUMNS}, (
            SELECT count(*) FROM gamification.customer_badges h
            WHERE h.merchant_id = b.merchant_id AND h.badge_key = b.badge_key AND h.held
        ) AS holders
        FROM gamification.badges b
        WHERE b.merchant_id = $1 AND NOT b.deleted AND b.badge_key = coalesce($2, b.badge_key)
        ORDER BY b.badge_key
        """,
        merchant_id,
        badge_key,
    )
    return [Listed(badge_of(row), row["holders"]) for row in rows]


async def holders(connection: Connection, merchant_id: str, badge_key: str, after: int, limit: int) -> list[Holder]:
    """Customers who hold the badge, by id; pseudonyms are only counted."""
    rows = await connection.fetch(
        """
        SELECT h.customer_id, h.awarded_at, h.decided_by = 'hand' AS by_hand, h.actor, h.reason
        FROM gamification.customer_badges h
        WHERE h.merchant_id = $1 AND h.badge_key = $2 AND h.held AND h.customer_id > $3
        ORDER BY h.customer_id LIMIT $4
        """,
        merchant_id,
        badge_key,
        after,
        limit,
    )
    return [Holder(**row) for row in rows]


async def decide_by_hand(
    connection: Connection,
    merchant_id: str,
    customer_id: int,
    badge_key: str,
    *,
    held: bool,
    actor: str,
    reason: str,
    now: datetime,
) -> None:
    """Write what an admin decided of a locked customer."""
    await connection.execute(
        """
        INSERT INTO gamification.customer_badges AS b
            (merchant_id, customer_id, badge_key, held, decided_by, awarded_at, changed_at, actor, reason)
        VALUES ($1, $2, $3, $4, 'hand', $5, $5, $6, $7)
        ON CONFLICT (merchant_id, customer_id, badge_key) DO UPDATE SET
            held = excluded.held, decided_by = excluded.decided_by, changed_at = excluded.changed_at,
            awarded_at = CASE WHEN excluded.held THEN excluded.awarded_at ELSE b.awarded_at END,
            actor = excluded.actor, reason = excluded.reason
        """,
        merchant_id,
        customer_id,
        badge_key,
        held,
        now,
        actor,
        reason,
    )
