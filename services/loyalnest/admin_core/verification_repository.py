"""All SQL of what verifications of the audit log have found."""

from datetime import datetime

from loyalnest.admin_core.chain import Head
from loyalnest.kit.database import Connection


async def due(connection: Connection, since: datetime) -> list[str]:
    """Merchants whose log was not verified since a time.

    In another order each time: one that cannot be verified does not keep the same others from it for ever.
    """
    rows = await connection.fetch(
        """
        SELECT h.merchant_id FROM admin_core.audit_heads h
        LEFT JOIN admin_core.audit_verifications v ON v.merchant_id = h.merchant_id
        WHERE v.verified_at IS NULL OR v.verified_at < $1 ORDER BY random()
        """,
        since,
    )
    return [row["merchant_id"] for row in rows]


async def anchor(connection: Connection, merchant_id: str) -> Head | None:
    """Where the merchant's chain ended when it was last proven."""
    row = await connection.fetchrow(
        "SELECT sequence, hash FROM admin_core.audit_verifications WHERE merchant_id = $1", merchant_id
    )
    return None if row is None or not row["sequence"] else Head(row["sequence"], row["hash"])


async def record(
    connection: Connection, merchant_id: str, verified_at: datetime, problems: int, proven: Head | None
) -> None:
    """Keep what a verification that began at `verified_at` found, and how far the chain is proven."""
    end = proven or Head()
    await connection.execute(
        """
        INSERT INTO admin_core.audit_verifications (merchant_id, verified_at, problems, sequence, hash)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (merchant_id) DO UPDATE SET
            verified_at = excluded.verified_at, problems = excluded.problems, sequence = excluded.sequence,
            hash = excluded.hash
        """,
        merchant_id,
        verified_at,
        problems,
        end.sequence,
        end.hash,
    )


async def problems(connection: Connection) -> int:
    """Problems of all merchants' newest verifications."""
    found: int = await connection.fetchval(
        "SELECT coalesce(sum(v.problems), 0)::bigint FROM admin_core.audit_verifications v WHERE v.merchant_id <> ''"
    )
    return found
