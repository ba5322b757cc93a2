"""All SQL of shops that leave: uninstalled, redacted, their keys destroyed. Under the worker role."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from loyalnest.auth.models import Status
from loyalnest.kit.crypto.keyring import WrappedKey
from loyalnest.kit.database import Connection


async def uninstall(
    connection: Connection, left: Mapping[str, datetime], now: datetime
) -> dict[str, tuple[Status, Status]]:
    """Note that these shops took the app out at these times, unless they have installed it since, or it is known.

    Returns the status before and after by merchant. Rows are locked in one order.
    """
    ordered = sorted(left)
    rows = await connection.fetch(
        """
        SELECT m.merchant_id, m.status FROM auth.merchants m
        JOIN unnest($1::text[], $2::timestamptz[]) AS n(merchant_id, at) ON m.merchant_id = n.merchant_id
        WHERE m.uninstalled_at IS NULL AND (m.installed_at IS NULL OR m.installed_at < n.at)
        ORDER BY m.merchant_id FOR NO KEY UPDATE OF m
        """,
        ordered,
        [left[merchant_id] for merchant_id in ordered],
    )
    changed = {row["merchant_id"]: (Status(row["status"]), _after(Status(row["status"]))) for row in rows}
    await connection.execute(
        """
        UPDATE auth.merchants m SET uninstalled_at = n.at, status = n.status, updated_at = $4
        FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS n(merchant_id, at, status)
        WHERE m.merchant_id = n.merchant_id
        """,
        list(changed),
        [left[merchant_id] for merchant_id in changed],
        [after for _, after in changed.values()],
        now,
    )
    return changed


def _after(status: Status) -> Status:
    """What an uninstallation makes of a status: one that is suspended stays so."""
    return Status.UNINSTALLED if status is Status.ACTIVE else status


async def close(connection: Connection, merchants: Iterable[str], now: datetime) -> None:
    """Forget what opens these shops, and end their admins' sessions."""
    ordered = sorted(merchants)
    await connection.execute("DELETE FROM auth.shop_tokens t WHERE t.merchant_id = ANY($1::text[])", ordered)
    await connection.execute("DELETE FROM auth.oauth_states s WHERE s.merchant_id = ANY($1::text[])", ordered)
    await connection.execute(
        """
        UPDATE auth.admin_sessions s SET revoked_at = $2
        WHERE s.merchant_id = ANY($1::text[]) AND s.revoked_at IS NULL
        """,
        ordered,
        now,
    )


async def erase(connection: Connection, merchant_id: str) -> dict[str, int]:
    """Delete everything about a merchant's admins, and what opened the shop. Returns how much, by what it is."""
    erased: dict[str, int] = {}
    for name, table in (
        ("sessions", "admin_sessions"),
        ("admin_users", "admin_users"),
        ("api_keys", "api_keys"),
        ("access_tokens", "shop_tokens"),
        ("installations", "oauth_states"),
    ):
        result: str = await connection.execute(f"DELETE FROM auth.{table} t WHERE t.merchant_id = $1", merchant_id)
        erased[name] = int(result.rpartition(" ")[2])
    return erased


async def begin_redaction(connection: Connection, merchant_id: str, now: datetime) -> None:
    """Let nobody in until the keys are destroyed; if they are already, a redaction is only done again."""
    await connection.execute(
        """
        UPDATE auth.merchants m
        SET status = CASE WHEN m.status = 'active' THEN 'uninstalled' ELSE m.status END,
            uninstalled_at = coalesce(m.uninstalled_at, $2), updated_at = $2,
            redacting = EXISTS (SELECT FROM auth.data_keys k WHERE k.merchant_id = m.merchant_id AND NOT k.parked)
        WHERE m.merchant_id = $1
        """,
        merchant_id,
        now,
    )


async def end_redaction(connection: Connection, merchant_id: str, reopens_at: datetime, now: datetime) -> None:
    """The keys are destroyed: the shop may install the app again, a while later."""
    await connection.execute(
        """
        UPDATE auth.merchants m
        SET status = CASE WHEN m.status = 'active' THEN 'uninstalled' ELSE m.status END,
            uninstalled_at = coalesce(m.uninstalled_at, $3), redacting = false, reopens_at = $2, updated_at = $3
        WHERE m.merchant_id = $1
        """,
        merchant_id,
        reopens_at,
        now,
    )


async def destroy_keys(connection: Connection, merchant_id: str, parked: Iterable[WrappedKey], now: datetime) -> int:
    """Erase the merchant's wrapped keys, and keep new ones for its next installation. Returns how many were erased."""
    result: str = await connection.execute("DELETE FROM auth.data_keys k WHERE k.merchant_id = $1", merchant_id)
    new = list(parked)
    await connection.execute(
        """
        INSERT INTO auth.data_keys (merchant_id, purpose, version, kek_id, wrapped, rotation, created_at, parked)
        SELECT $1, n.purpose, n.version, n.kek_id, n.wrapped, '', $6, true
        FROM unnest($2::text[], $3::int[], $4::text[], $5::bytea[]) AS n(purpose, version, kek_id, wrapped)
        """,
        merchant_id,
        [each.purpose for each in new],
        [each.version for each in new],
        [each.kek_id for each in new],
        [each.wrapped for each in new],
        now,
    )
    return int(result.rpartition(" ")[2])


async def come_back(connection: Connection, merchant_id: str, now: datetime) -> None:
    """The shop has installed the app: what was kept for that is in use again."""
    await connection.execute("UPDATE auth.data_keys k SET parked = false WHERE k.merchant_id = $1", merchant_id)
    await connection.execute(
        """
        UPDATE auth.merchants m SET installed_at = $2, uninstalled_at = NULL, reopens_at = NULL, updated_at = $2
        WHERE m.merchant_id = $1
        """,
        merchant_id,
        now,
    )
