"""All SQL of the customers' tiers, which points keeps to know their multipliers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from loyalnest.campaign.events import TierChanged
from loyalnest.kit.database import Connection
from loyalnest.points.repository import Key, sorted_columns


@dataclass(frozen=True, slots=True)
class CustomerTier:
    """A customer's tier; empty for none."""

    name: str = ""
    multiplier: Decimal = Decimal(1)


NO_TIER = CustomerTier()


async def tiers_of(connection: Connection, keys: Iterable[Key]) -> dict[Key, CustomerTier]:
    """The tier of each customer that has one; the others are in `NO_TIER`."""
    merchants, customers = sorted_columns(keys)
    rows = await connection.fetch(
        """
        SELECT t.merchant_id, t.customer_id, t.tier, t.multiplier
        FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
        JOIN points.customer_tiers t ON t.merchant_id = k.merchant_id AND t.customer_id = k.customer_id
        """,
        merchants,
        customers,
    )
    return {(row["merchant_id"], row["customer_id"]): CustomerTier(row["tier"], row["multiplier"]) for row in rows}


async def upsert_tiers(connection: Connection, changes: Sequence[tuple[str, TierChanged]]) -> None:
    """Keep the latest tier of each customer, given as (merchant_id, change)."""
    latest: dict[Key, TierChanged] = {}
    for merchant_id, change in changes:
        known = latest.get((merchant_id, change.customer_id))
        if known is None or known.changed_at < change.changed_at:
            latest[merchant_id, change.customer_id] = change
    await connection.execute(
        """
        INSERT INTO points.customer_tiers (merchant_id, customer_id, tier, multiplier, changed_at)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::numeric[], $5::timestamptz[])
        ON CONFLICT (merchant_id, customer_id) DO UPDATE
        SET tier = excluded.tier, multiplier = excluded.multiplier, changed_at = excluded.changed_at
        WHERE customer_tiers.changed_at < excluded.changed_at
        """,
        [merchant_id for merchant_id, _ in latest],
        [customer_id for _, customer_id in latest],
        [change.tier for change in latest.values()],
        [change.multiplier for change in latest.values()],
        [change.changed_at for change in latest.values()],
    )
