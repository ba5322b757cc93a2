"""All SQL of the shops' access tokens and of installations under way."""

from datetime import datetime

from loyalnest.auth.models import Origin, StoredToken
from loyalnest.kit.database import Connection


async def tokens(connection: Connection, merchant_id: str) -> dict[Origin, StoredToken]:
    """The merchant's access tokens by where they came from."""
    rows = await connection.fetch(
        """
        SELECT merchant_id, origin, access_token, expires_at, refresh_token, refresh_expires_at, scope, refused
        FROM auth.shop_tokens WHERE merchant_id = $1
        """,
        merchant_id,
    )
    return {
        Origin(row["origin"]): StoredToken(
            merchant_id=row["merchant_id"],
            origin=Origin(row["origin"]),
            access_token=row["access_token"],
            expires_at=row["expires_at"],
            refresh_token=row["refresh_token"],
            refresh_expires_at=row["refresh_expires_at"],
            scope=row["scope"],
            refused=row["refused"],
        )
        for row in rows
    }


async def store_token(connection: Connection, token: StoredToken, now: datetime) -> None:
    """Write a token in place of the earlier one of its origin: both its parts in one write."""
    await connection.execute(
        """
        INSERT INTO auth.shop_tokens (merchant_id, origin, access_token, expires_at, refresh_token, refresh_expires_at,
                                      scope, refused, obtained_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (merchant_id, origin) DO UPDATE SET
            access_token = excluded.access_token, expires_at = excluded.expires_at,
            refresh_token = excluded.refresh_token, refresh_expires_at = excluded.refresh_expires_at,
            scope = excluded.scope, refused = excluded.refused, obtained_at = excluded.obtained_at
        """,
        token.merchant_id,
        token.origin,
        token.access_token,
        token.expires_at,
        token.refresh_token,
        token.refresh_expires_at,
        token.scope,
        token.refused,
        now,
    )


async def mark_refused(connection: Connection, merchant_id: str, origin: Origin) -> None:
    """Note that Shopify accepts this token no more."""
    await connection.execute(
        "UPDATE auth.shop_tokens SET refused = true WHERE merchant_id = $1 AND origin = $2", merchant_id, origin
    )


async def delete_token(connection: Connection, merchant_id: str, origin: Origin) -> None:
    """Forget a token."""
    await connection.execute("DELETE FROM auth.shop_tokens WHERE merchant_id = $1 AND origin = $2", merchant_id, origin)


async def insert_state(connection: Connection, merchant_id: str, state_hash: bytes, expires_at: datetime) -> None:
    """Remember that an installation was begun."""
    await connection.execute(
        "INSERT INTO auth.oauth_states (merchant_id, state_hash, expires_at) VALUES ($1, $2, $3)",
        merchant_id,
        state_hash,
        expires_at,
    )


async def take_state(connection: Connection, merchant_id: str, state_hash: bytes, now: datetime) -> bool:
    """Whether the state is the merchant's and has not expired; it is used up. A second taker waits for the first."""
    taken = await connection.fetchval(
        """
        DELETE FROM auth.oauth_states WHERE merchant_id = $1 AND state_hash = $2 AND expires_at > $3
        RETURNING true
        """,
        merchant_id,
        state_hash,
        now,
    )
    return bool(taken)


async def prune_states(connection: Connection, before: datetime) -> int:
    """Forget the states that expired before a time, under the worker role. Returns how many."""
    result: str = await connection.execute("DELETE FROM auth.oauth_states WHERE expires_at < $1", before)
    return int(result.rpartition(" ")[2])
