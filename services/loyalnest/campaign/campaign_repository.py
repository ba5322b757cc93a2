"""All SQL of bonus campaigns, under the request role."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from loyalnest.campaign.models import Campaign, Plan
from loyalnest.kit.database import Connection

_FIELDS = tuple(Plan.__dataclass_fields__)
_PLAN = ", ".join(_FIELDS)
_COLUMNS = f"campaign_id, version, {_PLAN}, ended, created_at, changed_at"


async def create(connection: Connection, merchant_id: str, campaign: Campaign, idempotency_key: str) -> bool:
    """Write a new campaign. Returns False if its key has been used."""
    plan = campaign.plan
    result = await connection.execute(
        f"""
        INSERT INTO campaign.campaigns (merchant_id, idempotency_key, {_COLUMNS})
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        ON CONFLICT (merchant_id, idempotency_key) DO NOTHING
        """,
        merchant_id,
        idempotency_key,
        campaign.campaign_id,
        campaign.version,
        *_values(plan),
        campaign.ended,
        campaign.created_at,
        campaign.changed_at,
    )
    return result.endswith(" 1")


async def of_key(connection: Connection, merchant_id: str, idempotency_key: str) -> Campaign | None:
    """The campaign that was created with a key, locked. Requests with one key wait for each other here."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM campaign.campaigns WHERE merchant_id = $1 AND idempotency_key = $2 FOR UPDATE",
        merchant_id,
        idempotency_key,
    )
    return _campaign(row) if row else None


async def get(connection: Connection, merchant_id: str, campaign_id: UUID, *, lock: bool = False) -> Campaign | None:
    """A campaign."""
    row = await connection.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM campaign.campaigns WHERE merchant_id = $1 AND campaign_id = $2
        {"FOR UPDATE" if lock else ""}
        """,
        merchant_id,
        campaign_id,
    )
    return _campaign(row) if row else None


async def before(connection: Connection, merchant_id: str, campaign_id: UUID | None, limit: int) -> Sequence[Campaign]:
    """Campaigns that were created before one, or the newest."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM campaign.campaigns
        WHERE merchant_id = $1 AND ($2::uuid IS NULL OR campaign_id < $2) ORDER BY campaign_id DESC LIMIT $3
        """,
        merchant_id,
        campaign_id,
        limit,
    )
    return [_campaign(row) for row in rows]


async def update(connection: Connection, merchant_id: str, campaign: Campaign) -> None:
    """Write a locked campaign as it is now."""
    await connection.execute(
        f"""
        UPDATE campaign.campaigns
        SET ({_PLAN}) = ($3, $4, $5, $6, $7, $8, $9, $10), version = $11, ended = $12, changed_at = $13
        WHERE merchant_id = $1 AND campaign_id = $2
        """,
        merchant_id,
        campaign.campaign_id,
        *_values(campaign.plan),
        campaign.version,
        campaign.ended,
        campaign.changed_at,
    )


def _values(plan: Plan) -> list[object]:
    return [getattr(plan, name) for name in _FIELDS]


def _campaign(row: asyncpg.Record) -> Campaign:
    values = {name: row[name] for name in _FIELDS}
    values |= {name: tuple(values[name]) for name in ("product_ids", "segments", "tiers")}
    return Campaign(
        campaign_id=row["campaign_id"],
        version=row["version"],
        plan=Plan(**values),
        ended=row["ended"],
        created_at=row["created_at"],
        changed_at=row["changed_at"],
    )
