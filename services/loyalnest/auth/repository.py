"""All SQL of merchants and their keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from loyalnest.auth.models import Merchant, Status
from loyalnest.kit.crypto.keyring import WrappedKey
from loyalnest.kit.database import Connection

_MERCHANT = """
    m.merchant_id, m.shop_domain, m.status, m.api_key, m.api_secret, m.api_secret_previous, m.created_at,
    m.installed_at, m.uninstalled_at, m.redacting, m.reopens_at,
    m.closed_at IS NOT NULL AS closed,
    EXISTS (SELECT FROM auth.shop_tokens t WHERE t.merchant_id = m.merchant_id AND NOT t.refused) AS connected
"""


async def merchant(connection: Connection, merchant_id: str, *, lock: bool = False) -> Merchant | None:
    """The merchant, its row locked if `lock`: whoever changes its users or its tokens does that first."""
    row = await connection.fetchrow(
        f"SELECT {_MERCHANT} FROM auth.merchants m WHERE m.merchant_id = $1 {'FOR NO KEY UPDATE OF m' * lock}",
        merchant_id,
    )
    return _merchant(row)


async def merchant_of_shop(connection: Connection, shop_domain: str) -> Merchant | None:
    """The merchant of a shop, under the worker role."""
    row = await connection.fetchrow(f"SELECT {_MERCHANT} FROM auth.merchants m WHERE m.shop_domain = $1", shop_domain)
    return _merchant(row)


async def merchants(connection: Connection, after: str, limit: int) -> list[Merchant]:
    """A page of all merchants by id, under the worker role."""
    rows = await connection.fetch(
        f"SELECT {_MERCHANT} FROM auth.merchants m WHERE m.merchant_id > $1 ORDER BY m.merchant_id LIMIT $2",
        after,
        limit,
    )
    return [found for row in rows if (found := _merchant(row)) is not None]


async def lock_provisioning(connection: Connection, merchant_id: str) -> None:
    """Let one transaction at a time provision a merchant, which may have no row to lock yet."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('loyalnest.auth.provision.' || $1, 0))", merchant_id
    )


async def insert_merchant(
    connection: Connection,
    merchant_id: str,
    shop_domain: str,
    status: Status,
    api_key: str,
    api_secret: bytes,
    api_secret_previous: bytes | None,
    now: datetime,
) -> None:
    """Write a new merchant; the secrets are sealed. Raises UniqueViolationError for a shop that another has."""
    await connection.execute(
        """
        INSERT INTO auth.merchants (merchant_id, shop_domain, status, api_key, api_secret, api_secret_previous,
                                    created_at, updated_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $7)
        """,
        merchant_id,
        shop_domain,
        status,
        api_key,
        api_secret,
        api_secret_previous,
        now,
    )


async def update_credentials(
    connection: Connection,
    merchant_id: str,
    api_key: str,
    api_secret: bytes,
    api_secret_previous: bytes | None,
    now: datetime,
) -> None:
    """Replace the app's key and its sealed secrets."""
    await connection.execute(
        """
        UPDATE auth.merchants SET api_key = $2, api_secret = $3, api_secret_previous = $4, updated_at = $5
        WHERE merchant_id = $1
        """,
        merchant_id,
        api_key,
        api_secret,
        api_secret_previous,
        now,
    )


async def update_status(connection: Connection, merchant_id: str, status: Status, now: datetime) -> None:
    """Set where the merchant stands."""
    await connection.execute(
        "UPDATE auth.merchants SET status = $2, updated_at = $3 WHERE merchant_id = $1", merchant_id, status, now
    )


async def close(connection: Connection, merchant_id: str, now: datetime) -> datetime | None:
    """Close the merchant; since when it is closed, or None if it is unknown."""
    closed_at: datetime | None = await connection.fetchval(
        """
        UPDATE auth.merchants SET closed_at = coalesce(closed_at, $2) WHERE merchant_id = $1 RETURNING closed_at
        """,
        merchant_id,
        now,
    )
    return closed_at


async def open_again(connection: Connection, merchant_id: str) -> None:
    """End what `close` began."""
    await connection.execute(
        "UPDATE auth.merchants SET closed_at = NULL WHERE merchant_id = $1 AND closed_at IS NOT NULL", merchant_id
    )


async def keys(connection: Connection, merchant_id: str, *, parked: bool = False) -> list[WrappedKey]:
    """The merchant's wrapped keys; none if they were never made or are destroyed.

    parked: also those that wait for a redacted shop to come back, under which auth keeps the app's secrets.
    """
    rows = await connection.fetch(
        """
        SELECT merchant_id, purpose, version, kek_id, wrapped FROM auth.data_keys
        WHERE merchant_id = $1 AND ($2 OR NOT parked) ORDER BY purpose, version
        """,
        merchant_id,
        parked,
    )
    return [WrappedKey(*row.values()) for row in rows]


async def insert_keys(connection: Connection, new: Sequence[WrappedKey], rotation: str, now: datetime) -> int:
    """Write keys that are not there yet. Returns how many those were."""
    rows = await connection.fetch(
        """
        INSERT INTO auth.data_keys (merchant_id, purpose, version, kek_id, wrapped, rotation, created_at)
        SELECT n.merchant_id, n.purpose, n.version, n.kek_id, n.wrapped, $6, $7
        FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::bytea[])
            AS n(merchant_id, purpose, version, kek_id, wrapped)
        ON CONFLICT DO NOTHING
        RETURNING merchant_id
        """,
        *_columns(new),
        rotation,
        now,
    )
    return len(rows)


async def to_rotate(
    connection: Connection, only: str, after: str, rotation: str, newest_kek: str, limit: int
) -> list[tuple[str, bool]]:
    """A page of the merchants that `rotation` has not finished: (merchant_id, whether it needs a new data key).

    only: one merchant, or empty for all. Parked keys are only wrapped anew.
    """
    rows = await connection.fetch(
        """
        SELECT k.merchant_id, bool_and(k.rotation <> $3 AND NOT k.parked) AS fresh
        FROM auth.data_keys k
        WHERE k.merchant_id > $2 AND ($1 = '' OR k.merchant_id = $1)
        GROUP BY k.merchant_id
        HAVING bool_and(k.rotation <> $3 AND NOT k.parked) OR bool_or(k.kek_id <> $4)
        ORDER BY k.merchant_id
        LIMIT $5
        """,
        only,
        after,
        rotation,
        newest_kek,
        limit,
    )
    return [(row["merchant_id"], row["fresh"]) for row in rows]


async def lock_keys(connection: Connection, merchant_ids: Sequence[str]) -> list[WrappedKey]:
    """The wrapped keys of several merchants, locked in one order."""
    rows = await connection.fetch(
        """
        SELECT k.merchant_id, k.purpose, k.version, k.kek_id, k.wrapped FROM auth.data_keys k
        WHERE k.merchant_id = ANY($1::text[]) ORDER BY k.merchant_id, k.purpose, k.version
        FOR UPDATE
        """,
        merchant_ids,
    )
    return [WrappedKey(*row.values()) for row in rows]


async def update_wrapped(connection: Connection, rewrapped: Sequence[WrappedKey]) -> None:
    """Store the same keys under other key-encryption keys."""
    await connection.execute(
        """
        UPDATE auth.data_keys k SET kek_id = n.kek_id, wrapped = n.wrapped
        FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::bytea[])
            AS n(merchant_id, purpose, version, kek_id, wrapped)
        WHERE k.merchant_id = n.merchant_id AND k.purpose = n.purpose AND k.version = n.version
        """,
        *_columns(rewrapped),
    )


def _columns(rows: Sequence[WrappedKey]) -> tuple[list[Any], ...]:
    return (
        [row.merchant_id for row in rows],
        [row.purpose for row in rows],
        [row.version for row in rows],
        [row.kek_id for row in rows],
        [row.wrapped for row in rows],
    )


def _merchant(row: Any) -> Merchant | None:
    if row is None:
        return None
    return Merchant(
        merchant_id=row["merchant_id"],
        shop_domain=row["shop_domain"],
        status=Status(row["status"]),
        api_key=row["api_key"],
        api_secret=row["api_secret"],
        api_secret_previous=row["api_secret_previous"],
        created_at=row["created_at"],
        connected=row["connected"],
        closed=row["closed"],
        installed_at=row["installed_at"],
        uninstalled_at=row["uninstalled_at"],
        redacting=row["redacting"],
        reopens_at=row["reopens_at"],
    )
