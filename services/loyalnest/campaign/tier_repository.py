"""All SQL that reads tiers, members and their history for one merchant, under its request role."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from loyalnest.campaign.models import Member, TierChange
from loyalnest.kit.database import Connection

_MEMBER = ", ".join(f"m.{name}" for name in Member.__dataclass_fields__)
_CHANGE = ", ".join(f"c.{name}" for name in TierChange.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class CountedTier:
    """A tier and how many members it has."""

    level: int
    name: str
    threshold: int
    multiplier: Decimal
    members: int


async def counted_tiers(connection: Connection, merchant_id: str) -> list[CountedTier]:
    """The merchant's tiers, the first in front."""
    rows = await connection.fetch(
        """
        SELECT t.level, t.name, t.threshold, t.multiplier, coalesce(n.members, 0) AS members
        FROM campaign.vip_tiers t
        LEFT JOIN (
            SELECT m.merchant_id, m.tier, count(*) AS members FROM campaign.memberships m
            WHERE m.merchant_id = $1 GROUP BY m.merchant_id, m.tier
        ) n ON n.merchant_id = t.merchant_id AND n.tier = t.name
        WHERE t.merchant_id = $1 ORDER BY t.level
        """,
        merchant_id,
    )
    return [CountedTier(*row.values()) for row in rows]


async def is_evaluated(connection: Connection, merchant_id: str) -> bool:
    """Whether all members have been evaluated by the rules in force."""
    found = await connection.fetchval(
        "SELECT NOT EXISTS (SELECT FROM campaign.reevaluations r WHERE r.merchant_id = $1)", merchant_id
    )
    return bool(found)


async def member(connection: Connection, merchant_id: str, customer_id: int) -> Member | None:
    """A customer's membership."""
    row = await connection.fetchrow(
        f"SELECT {_MEMBER} FROM campaign.memberships m WHERE m.merchant_id = $1 AND m.customer_id = $2",
        merchant_id,
        customer_id,
    )
    return Member(*row.values()) if row else None


async def members_of(connection: Connection, merchant_id: str, tier: str, after: int, limit: int) -> Sequence[Member]:
    """Members of a tier by id, those after `after`; pseudonyms are left out."""
    rows = await connection.fetch(
        f"""
        SELECT {_MEMBER} FROM campaign.memberships m
        WHERE m.merchant_id = $1 AND m.tier = $2 AND m.customer_id > $3 ORDER BY m.customer_id LIMIT $4
        """,
        merchant_id,
        tier,
        after,
        limit,
    )
    return [Member(*row.values()) for row in rows]


async def history(
    connection: Connection, merchant_id: str, customer_id: int, before: UUID | None, limit: int
) -> Sequence[TierChange]:
    """A customer's changes of tier, newest first, those older than `before`."""
    rows = await connection.fetch(
        f"""
        SELECT {_CHANGE} FROM campaign.tier_changes c
        WHERE c.merchant_id = $1 AND c.customer_id = $2 AND ($3::uuid IS NULL OR c.change_id < $3)
        ORDER BY c.change_id DESC LIMIT $4
        """,
        merchant_id,
        customer_id,
        before,
        limit,
    )
    return [TierChange(*row.values()) for row in rows]
