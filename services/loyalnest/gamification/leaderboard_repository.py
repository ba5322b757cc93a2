"""All SQL of the leaderboard, for one merchant, under its request role; `sealed_before` and `reseal` under a worker."""

from collections.abc import Sequence
from datetime import datetime

from loyalnest.gamification.models import Place
from loyalnest.kit.database import Connection


async def put_entry(
    connection: Connection, merchant_id: str, customer_id: int, name_sealed: bytes, key_version: int, now: datetime
) -> None:
    """Write the entry of a locked customer; one who has one gets the new name."""
    await connection.execute(
        """
        INSERT INTO gamification.leaderboard_entries AS e
            (merchant_id, customer_id, name_sealed, key_version, joined_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (merchant_id, customer_id)
        DO UPDATE SET name_sealed = excluded.name_sealed, key_version = excluded.key_version
        """,
        merchant_id,
        customer_id,
        name_sealed,
        key_version,
        now,
    )


async def drop_entry(connection: Connection, merchant_id: str, customer_id: int) -> bool:
    """Delete a locked customer's entry and points. Returns whether there was one."""
    await connection.execute(
        "DELETE FROM gamification.leaderboard_points p WHERE p.merchant_id = $1 AND p.customer_id = $2",
        merchant_id,
        customer_id,
    )
    result: str = await connection.execute(
        "DELETE FROM gamification.leaderboard_entries e WHERE e.merchant_id = $1 AND e.customer_id = $2",
        merchant_id,
        customer_id,
    )
    return result == "DELETE 1"


async def name_of(connection: Connection, merchant_id: str, customer_id: int) -> bytes | None:
    """The sealed name of a customer's entry; None without an entry."""
    name: bytes | None = await connection.fetchval(
        "SELECT e.name_sealed FROM gamification.leaderboard_entries e WHERE e.merchant_id = $1 AND e.customer_id = $2",
        merchant_id,
        customer_id,
    )
    return name


async def top(connection: Connection, merchant_id: str, period: str, limit: int) -> list[Place]:
    """The first `limit` places of a period, best first."""
    rows = await connection.fetch(
        """
        SELECT p.customer_id, rank() OVER (ORDER BY p.points DESC) AS rank, p.points, e.name_sealed
        FROM gamification.leaderboard_points p
        JOIN gamification.leaderboard_entries e ON e.merchant_id = p.merchant_id AND e.customer_id = p.customer_id
        WHERE p.merchant_id = $1 AND p.period = $2
        ORDER BY p.points DESC, p.reached_at, p.customer_id LIMIT $3
        """,
        merchant_id,
        period,
        limit,
    )
    return [Place(**row) for row in rows]


async def place_of(connection: Connection, merchant_id: str, period: str, customer_id: int) -> Place | None:
    """A customer's own place; None without an entry, or without points in the period."""
    row = await connection.fetchrow(
        """
        SELECT p.customer_id, p.points, e.name_sealed, 1 + (
            SELECT count(*) FROM gamification.leaderboard_points o
            WHERE o.merchant_id = p.merchant_id AND o.period = p.period AND o.points > p.points
        ) AS rank
        FROM gamification.leaderboard_points p
        JOIN gamification.leaderboard_entries e ON e.merchant_id = p.merchant_id AND e.customer_id = p.customer_id
        WHERE p.merchant_id = $1 AND p.period = $2 AND p.customer_id = $3
        """,
        merchant_id,
        period,
        customer_id,
    )
    return None if row is None else Place(**row)


async def merchants(connection: Connection) -> list[str]:
    """The merchants who have entries."""
    rows = await connection.fetch(
        "SELECT DISTINCT merchant_id FROM gamification.leaderboard_entries ORDER BY merchant_id"
    )
    return [row["merchant_id"] for row in rows]


async def sealed_before(
    connection: Connection, merchant_id: str, key_version: int, limit: int
) -> list[tuple[int, bytes]]:
    """(customer_id, sealed name) of entries that need an older data key than `key_version`, locked."""
    rows = await connection.fetch(
        """
        SELECT e.customer_id, e.name_sealed FROM gamification.leaderboard_entries e
        WHERE e.merchant_id = $1 AND e.key_version < $2 ORDER BY e.customer_id LIMIT $3 FOR UPDATE
        """,
        merchant_id,
        key_version,
        limit,
    )
    return [(row["customer_id"], row["name_sealed"]) for row in rows]


async def reseal(
    connection: Connection, merchant_id: str, key_version: int, names: Sequence[tuple[int, bytes]]
) -> None:
    """Replace locked entries' sealed names."""
    await connection.execute(
        """
        UPDATE gamification.leaderboard_entries e SET name_sealed = k.name_sealed, key_version = $2
        FROM unnest($3::bigint[], $4::bytea[]) AS k(customer_id, name_sealed)
        WHERE e.merchant_id = $1 AND e.customer_id = k.customer_id
        """,
        merchant_id,
        key_version,
        [customer_id for customer_id, _ in names],
        [sealed for _, sealed in names],
    )
