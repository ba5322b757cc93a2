"""All SQL of redemptions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from loyalnest.kit.database import Connection
from loyalnest.kit.errors import RaceLost


class Discount(msgspec.Struct, frozen=True, kw_only=True):
    """What a reward gives: `amount` (decimal string) in `currency`, or `percentage` (decimal string)."""

    amount: str = ""
    percentage: str = ""
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Redemption:
    """Points exchanged for a discount code. See the proto for the statuses."""

    merchant_id: str
    redemption_id: UUID
    customer_id: int
    reward: str
    points: int
    discount: Discount
    status: str
    code: str
    issued_by: str
    discount_id: str
    reason: str
    idempotency_key: str
    settings_version: int
    created_at: datetime
    updated_at: datetime


_COLUMNS = """merchant_id, redemption_id, customer_id, reward, points, discount, status, code, issued_by, discount_id,
    reason, idempotency_key, settings_version, created_at, updated_at"""


def _read(row: object) -> Redemption:
    redemption = Redemption(*row.values())  # type: ignore[attr-defined]
    return replace(redemption, discount=msgspec.json.decode(str(redemption.discount), type=Discount))


async def insert(connection: Connection, redemption: Redemption, lots: Mapping[UUID, int]) -> None:
    """Write a new redemption and which lots its points came from.

    Raises RaceLost if another transaction took its idempotency key (for another customer) or its code just now.
    """
    try:
        await _insert(connection, redemption)
    except asyncpg.UniqueViolationError as error:
        raise RaceLost(f"{error.table_name}: {error.detail}") from error
    await connection.execute(
        """
        INSERT INTO points.redemption_lots (merchant_id, redemption_id, lot_id, points)
        SELECT $1, $2, v.lot_id, v.points FROM unnest($3::uuid[], $4::bigint[]) AS v(lot_id, points)
        """,
        redemption.merchant_id,
        redemption.redemption_id,
        list(lots),
        list(lots.values()),
    )


async def _insert(connection: Connection, redemption: Redemption) -> None:
    await connection.execute(
        f"""
        INSERT INTO points.reward_redemptions ({_COLUMNS})
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        """,
        redemption.merchant_id,
        redemption.redemption_id,
        redemption.customer_id,
        redemption.reward,
        redemption.points,
        msgspec.json.encode(redemption.discount).decode(),
        redemption.status,
        redemption.code,
        redemption.issued_by,
        redemption.discount_id,
        redemption.reason,
        redemption.idempotency_key,
        redemption.settings_version,
        redemption.created_at,
        redemption.updated_at,
    )


async def by_key(connection: Connection, merchant_id: str, idempotency_key: str) -> Redemption | None:
    """The redemption made with an idempotency key."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM points.reward_redemptions WHERE merchant_id = $1 AND idempotency_key = $2",
        merchant_id,
        idempotency_key,
    )
    return None if row is None else _read(row)


async def get(
    connection: Connection, merchant_id: str, redemption_id: UUID, *, lock: bool = False
) -> Redemption | None:
    """One redemption, locked until the end of the transaction if `lock`."""
    row = await connection.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM points.reward_redemptions
        WHERE merchant_id = $1 AND redemption_id = $2 {"FOR UPDATE" if lock else ""}
        """,
        merchant_id,
        redemption_id,
    )
    return None if row is None else _read(row)


async def lots_of(connection: Connection, merchant_id: str, redemption_id: UUID) -> dict[UUID, int]:
    """Points by the lot they came from."""
    rows = await connection.fetch(
        "SELECT lot_id, points FROM points.redemption_lots WHERE merchant_id = $1 AND redemption_id = $2",
        merchant_id,
        redemption_id,
    )
    return {row["lot_id"]: row["points"] for row in rows}


async def update_status(connection: Connection, redemption: Redemption) -> None:
    """Write what may change in a redemption's life."""
    await connection.execute(
        """
        UPDATE points.reward_redemptions
        SET status = $3, issued_by = $4, discount_id = $5, reason = $6, updated_at = $7
        WHERE merchant_id = $1 AND redemption_id = $2
        """,
        redemption.merchant_id,
        redemption.redemption_id,
        redemption.status,
        redemption.issued_by,
        redemption.discount_id,
        redemption.reason,
        redemption.updated_at,
    )


FORGET_CODE = "code = 'redacted:' || redemption_id, discount_id = ''"
"""Erases the code, by which Shopify knows who used it."""


async def forget_code(connection: Connection, redemption: Redemption) -> None:
    """Erase the code of a redacted customer's redemption, which was kept as long as it was under way."""
    await connection.execute(
        f"UPDATE points.reward_redemptions SET {FORGET_CODE} WHERE merchant_id = $1 AND redemption_id = $2",
        redemption.merchant_id,
        redemption.redemption_id,
    )


async def list_for(
    connection: Connection, merchant_id: str, customer_id: int, before: UUID | None, limit: int
) -> list[Redemption]:
    """Newest first; of every customer if `customer_id` is 0."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM points.reward_redemptions
        WHERE merchant_id = $1 AND ($2::bigint = 0 OR customer_id = $2) AND ($3::uuid IS NULL OR redemption_id < $3)
        ORDER BY redemption_id DESC LIMIT $4
        """,
        merchant_id,
        customer_id,
        before,
        limit,
    )
    return [_read(row) for row in rows]


async def take_left_held(connection: Connection, before: datetime, now: datetime, limit: int) -> list[Redemption]:
    """Redemptions of all merchants that were held before a moment and never finished.

    They are marked as touched now, so that those of a shop that stays away do not stand before the others next time.
    """
    rows = await connection.fetch(
        f"""
        WITH taken AS MATERIALIZED (  -- once: inside IN it may be run for every row, and the limit would limit nothing
            SELECT h.merchant_id, h.redemption_id FROM points.reward_redemptions h
            WHERE h.status = 'held' AND h.updated_at < $1 ORDER BY h.updated_at LIMIT $3
            FOR UPDATE SKIP LOCKED
        )
        UPDATE points.reward_redemptions r SET updated_at = $2
        FROM taken t WHERE r.merchant_id = t.merchant_id AND r.redemption_id = t.redemption_id
        RETURNING {", ".join(f"r.{column.strip()}" for column in _COLUMNS.split(","))}
        """,
        before,
        now,
        limit,
    )
    return [_read(row) for row in rows]
