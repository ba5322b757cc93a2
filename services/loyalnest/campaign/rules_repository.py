"""All SQL of the merchants' tiers as the rules say them, and of the evaluation of all members after a change."""

from collections.abc import Iterable, Mapping

from loyalnest.campaign.models import Key
from loyalnest.campaign.tiers import TierRules
from loyalnest.kit.database import Connection

FIRST = -(2**63)
"""Where an evaluation begins: pseudonyms are negative and belong to it."""


async def replace_tiers(connection: Connection, rules: Mapping[str, TierRules]) -> None:
    """Bring the tiers of merchants to what their rules say."""
    merchants = sorted(rules)
    rows = [
        (merchant_id, level, tier.name, tier.threshold, tier.multiplier)
        for merchant_id in merchants
        for level, tier in enumerate(rules[merchant_id].tiers)
    ]
    await connection.execute("DELETE FROM campaign.vip_tiers WHERE merchant_id = ANY($1::text[])", merchants)
    if rows:
        await connection.execute(
            """
            INSERT INTO campaign.vip_tiers (merchant_id, level, name, threshold, multiplier)
            SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::numeric[])
            """,
            *map(list, zip(*rows, strict=True)),
        )


async def begin_evaluation(connection: Connection, merchants: list[str]) -> None:
    """Have all members of `merchants` evaluated, from the first if they are being evaluated already."""
    await connection.execute(
        """
        INSERT INTO campaign.reevaluations (merchant_id, after_customer)
        SELECT k.merchant_id, $2 FROM unnest($1::text[]) AS k(merchant_id)
        ON CONFLICT (merchant_id) DO UPDATE SET after_customer = excluded.after_customer
        """,
        merchants,
        FIRST,
    )


async def under_evaluation(connection: Connection) -> list[str]:
    """Merchants whose members are being evaluated."""
    rows = await connection.fetch("SELECT r.merchant_id FROM campaign.reevaluations r ORDER BY r.merchant_id")
    return [row["merchant_id"] for row in rows]


async def next_members(connection: Connection, merchant_id: str, limit: int) -> list[Key]:
    """The members whose turn it is, in the order of their ids; how far it came is locked. None if all had theirs."""
    after = await connection.fetchval(
        "SELECT after_customer FROM campaign.reevaluations WHERE merchant_id = $1 FOR UPDATE", merchant_id
    )
    if after is None:
        return []
    rows = await connection.fetch(
        """
        SELECT m.customer_id FROM campaign.memberships m
        WHERE m.merchant_id = $1 AND m.customer_id > $2 ORDER BY m.customer_id LIMIT $3
        """,
        merchant_id,
        after,
        limit,
    )
    return [(merchant_id, row["customer_id"]) for row in rows]


async def note_evaluated(connection: Connection, merchant_id: str, up_to: int | None) -> None:
    """Note how far the evaluation came; None: it is done."""
    if up_to is None:
        await connection.execute("DELETE FROM campaign.reevaluations WHERE merchant_id = $1", merchant_id)
    else:
        await connection.execute(
            "UPDATE campaign.reevaluations SET after_customer = $2 WHERE merchant_id = $1", merchant_id, up_to
        )


async def with_rules(connection: Connection, merchants: Iterable[str]) -> list[str]:
    """Those of `merchants` whose rules are known."""
    rows = await connection.fetch(
        "SELECT r.merchant_id FROM campaign.program_rules r WHERE r.merchant_id = ANY($1::text[])", list(merchants)
    )
    return [row["merchant_id"] for row in rows]
