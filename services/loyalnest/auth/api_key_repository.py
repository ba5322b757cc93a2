"""All SQL of API keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from loyalnest.auth.models import ApiKey, Status
from loyalnest.kit.database import Connection

_KEY = ", ".join(ApiKey.__slots__)
MOST = 100
"""API keys of a merchant that are not revoked."""


def _read(row: Any) -> ApiKey:
    return ApiKey(**{name: row[name] for name in ApiKey.__slots__} | {"scopes": tuple(row["scopes"])})


async def insert(connection: Connection, merchant_id: str, key: ApiKey, secret_hash: bytes) -> None:
    """A new key. Raises asyncpg.UniqueViolationError if the name is another's."""
    await connection.execute(
        """
        INSERT INTO auth.api_keys (merchant_id, api_key_id, name, scopes, requests_per_minute, secret_hash, created_by,
                                   created_at, expires_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        """,
        merchant_id,
        key.api_key_id,
        key.name,
        list(key.scopes),
        key.requests_per_minute,
        secret_hash,
        key.created_by,
        key.created_at,
        key.expires_at,
    )


async def count(connection: Connection, merchant_id: str) -> int:
    """Keys that are not revoked."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM auth.api_keys WHERE merchant_id = $1 AND revoked_at IS NULL", merchant_id
    )
    return found


async def listed(connection: Connection, merchant_id: str) -> list[ApiKey]:
    """Keys that are not revoked, oldest first."""
    rows = await connection.fetch(
        f"""
        SELECT {_KEY} FROM auth.api_keys WHERE merchant_id = $1 AND revoked_at IS NULL ORDER BY api_key_id LIMIT {MOST}
        """,
        merchant_id,
    )
    return [_read(row) for row in rows]


async def locked(connection: Connection, merchant_id: str, api_key_id: UUID) -> ApiKey | None:
    """A key, locked until the transaction ends."""
    row = await connection.fetchrow(
        f"SELECT {_KEY} FROM auth.api_keys WHERE merchant_id = $1 AND api_key_id = $2 FOR UPDATE",
        merchant_id,
        api_key_id,
    )
    return _read(row) if row is not None else None


async def by_secret(
    connection: Connection, merchant_id: str, secret_hash: bytes, now: datetime
) -> tuple[ApiKey, Status] | None:
    """The key whose secret this is, or was until not yet `now`, and where its merchant stands."""
    row = await connection.fetchrow(
        f"""
        SELECT {", ".join(f"k.{name}" for name in ApiKey.__slots__)}, m.status
        FROM auth.api_keys k JOIN auth.merchants m ON m.merchant_id = k.merchant_id
        WHERE k.merchant_id = $1 AND (k.secret_hash = $2 OR (k.previous_hash = $2 AND k.previous_until > $3))
        """,
        merchant_id,
        secret_hash,
        now,
    )
    return (_read(row), Status(row["status"])) if row is not None else None


async def update(
    connection: Connection, merchant_id: str, api_key_id: UUID, name: str, scopes: Sequence[str], per_minute: int
) -> None:
    """Change what a key is called and may do. Raises asyncpg.UniqueViolationError if the name is another's."""
    await connection.execute(
        """
        UPDATE auth.api_keys SET name = $3, scopes = $4, requests_per_minute = $5
        WHERE merchant_id = $1 AND api_key_id = $2
        """,
        merchant_id,
        api_key_id,
        name,
        list(scopes),
        per_minute,
    )


async def rotate(
    connection: Connection, merchant_id: str, api_key_id: UUID, secret_hash: bytes, previous_until: datetime
) -> None:
    """Give a key another secret; the one it had goes on until `previous_until`, any before it ends now."""
    await connection.execute(
        """
        UPDATE auth.api_keys SET previous_hash = secret_hash, previous_until = $4, secret_hash = $3
        WHERE merchant_id = $1 AND api_key_id = $2
        """,
        merchant_id,
        api_key_id,
        secret_hash,
        previous_until,
    )


async def revoke(connection: Connection, merchant_id: str, api_key_id: UUID, now: datetime) -> None:
    """End a key."""
    await connection.execute(
        "UPDATE auth.api_keys SET revoked_at = $3 WHERE merchant_id = $1 AND api_key_id = $2",
        merchant_id,
        api_key_id,
        now,
    )


async def note_use(connection: Connection, merchant_id: str, api_key_id: UUID, now: datetime) -> None:
    """Note that a key is in use."""
    await connection.execute(
        "UPDATE auth.api_keys SET last_used_at = $3 WHERE merchant_id = $1 AND api_key_id = $2",
        merchant_id,
        api_key_id,
        now,
    )
