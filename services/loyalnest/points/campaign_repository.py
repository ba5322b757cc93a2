"""All SQL of bonus campaigns and of the customers' segments, which points keeps to award by.

Campaigns are locked after awards and members, sorted by key, and only those that may count for an order of the batch
or that gave a bonus to one: without any, that is one look at an empty table.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from msgspec import structs

from loyalnest.campaign.events import CampaignChanged
from loyalnest.kit.database import Connection
from loyalnest.points.bonuses import Campaign, Campaigns
from loyalnest.points.repository import Key, sorted_columns
from loyalnest.points.rows import as_json
from loyalnest.rfm.events import RfmUpdated

_TOLD = """merchant_id, campaign_id, version, multiplier, starts_at, ends_at, product_ids, segments, tiers,
    budget_points, ended"""


async def lock_campaigns(
    connection: Connection, placed: Iterable[tuple[str, datetime]], given: Iterable[tuple[str, UUID]]
) -> dict[tuple[str, UUID], Campaign]:
    """Load and lock the campaigns that may count for orders, `placed` as (merchant_id, when), and those of `given`."""
    spans: dict[str, tuple[datetime, datetime]] = {}
    for merchant_id, at in placed:
        first, last = spans.get(merchant_id, (at, at))
        spans[merchant_id] = (min(first, at), max(last, at))
    merchants, campaign_ids = sorted_columns(given)
    if not spans and not merchants:
        return {}
    rows = await connection.fetch(
        """
        SELECT c.merchant_id, c.campaign_id, c.multiplier, c.starts_at, c.ends_at, c.product_ids, c.segments, c.tiers,
               c.budget_points, c.ended, c.spent
        FROM points.campaigns c
        WHERE (c.merchant_id, c.campaign_id) IN (
            SELECT k.merchant_id, o.campaign_id
            FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS k(merchant_id, first_at, last_at)
            JOIN points.campaigns o ON o.merchant_id = k.merchant_id
            WHERE NOT o.ended AND o.starts_at <= k.last_at AND o.ends_at > k.first_at
            UNION
            SELECT g.merchant_id, g.campaign_id FROM unnest($4::text[], $5::uuid[]) AS g(merchant_id, campaign_id)
        )
        ORDER BY c.merchant_id, c.campaign_id
        FOR UPDATE OF c
        """,
        list(spans),
        [first for first, _ in spans.values()],
        [last for _, last in spans.values()],
        merchants,
        campaign_ids,
    )
    return {
        (row["merchant_id"], row["campaign_id"]): Campaign(
            merchant_id=row["merchant_id"],
            campaign_id=row["campaign_id"],
            multiplier=row["multiplier"],
            starts_at=row["starts_at"],
            ends_at=row["ends_at"],
            product_ids=frozenset(row["product_ids"]),
            segments=frozenset(row["segments"]),
            tiers=frozenset(row["tiers"]),
            budget_points=row["budget_points"],
            ended=row["ended"],
            spent=row["spent"],
            stored_spent=row["spent"],
        )
        for row in rows
    }


async def store_spending(connection: Connection, campaigns: Campaigns) -> None:
    """Write what locked campaigns have given now."""
    changed = [each for each in campaigns.values() if each.spent != each.stored_spent]
    if changed:
        await connection.execute(
            """
            UPDATE points.campaigns c SET spent = v.spent
            FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS v(merchant_id, campaign_id, spent)
            WHERE c.merchant_id = v.merchant_id AND c.campaign_id = v.campaign_id
            """,
            [each.merchant_id for each in changed],
            [each.campaign_id for each in changed],
            [each.spent for each in changed],
        )


async def upsert_campaigns(connection: Connection, changes: Sequence[tuple[str, CampaignChanged]]) -> None:
    """Keep the newest version of each campaign, given as (merchant_id, change). What it has spent stays."""
    newest: dict[tuple[str, UUID], CampaignChanged] = {}
    for merchant_id, change in changes:
        known = newest.get((merchant_id, change.campaign_id))
        if known is None or known.version < change.version:
            newest[merchant_id, change.campaign_id] = change
    rows = [{"merchant_id": key[0], **structs.asdict(newest[key])} for key in sorted(newest)]
    await connection.execute(
        f"""
        INSERT INTO points.campaigns ({_TOLD})
        SELECT {_TOLD} FROM json_to_recordset($1::json) AS v(merchant_id text, campaign_id uuid, version int,
            multiplier numeric, starts_at timestamptz, ends_at timestamptz, product_ids bigint[], segments text[],
            tiers text[], budget_points bigint, ended boolean)
        ON CONFLICT (merchant_id, campaign_id) DO UPDATE
        SET version = excluded.version, multiplier = excluded.multiplier, starts_at = excluded.starts_at,
            ends_at = excluded.ends_at, product_ids = excluded.product_ids, segments = excluded.segments,
            tiers = excluded.tiers, budget_points = excluded.budget_points, ended = excluded.ended
        WHERE campaigns.version < excluded.version
        """,
        as_json(rows),
    )


async def spending(connection: Connection, merchant_id: str, campaign_ids: Sequence[UUID]) -> dict[UUID, int]:
    """What stands of the points that campaigns gave, of those that are known."""
    rows = await connection.fetch(
        """
        SELECT c.campaign_id, c.spent FROM points.campaigns c
        WHERE c.merchant_id = $1 AND c.campaign_id = ANY($2::uuid[])
        """,
        merchant_id,
        campaign_ids,
    )
    return {row["campaign_id"]: row["spent"] for row in rows}


async def segments_of(connection: Connection, keys: Iterable[Key]) -> dict[Key, str]:
    """The RFM segment of each customer that has one."""
    merchants, customers = sorted_columns(keys)
    rows = await connection.fetch(
        """
        SELECT s.merchant_id, s.customer_id, s.segment
        FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
        JOIN points.customer_segments s ON s.merchant_id = k.merchant_id AND s.customer_id = k.customer_id
        """,
        merchants,
        customers,
    )
    return {(row["merchant_id"], row["customer_id"]): row["segment"] for row in rows}


async def upsert_segments(connection: Connection, changes: Sequence[tuple[str, RfmUpdated]]) -> None:
    """Keep the latest segment of each customer, given as (merchant_id, change)."""
    latest: dict[Key, RfmUpdated] = {}
    for merchant_id, change in changes:
        known = latest.get((merchant_id, change.customer_id))
        if known is None or known.as_of <= change.as_of:
            latest[merchant_id, change.customer_id] = change
    keys = sorted(latest)
    await connection.execute(
        """
        INSERT INTO points.customer_segments (merchant_id, customer_id, segment, as_of)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::timestamptz[])
        ON CONFLICT (merchant_id, customer_id) DO UPDATE SET segment = excluded.segment, as_of = excluded.as_of
        WHERE customer_segments.as_of <= excluded.as_of
        """,
        [merchant_id for merchant_id, _ in keys],
        [customer_id for _, customer_id in keys],
        [latest[key].segment for key in keys],
        [latest[key].as_of for key in keys],
    )
