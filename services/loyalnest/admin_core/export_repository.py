"""All SQL of the exports that requests for data bring together, and of forgetting them and their customers."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from loyalnest.admin_core.events import GdprRequestConfirmed
from loyalnest.admin_core.request_repository import Key
from loyalnest.kit.database import Connection


async def insert(connection: Connection, parts: Sequence[tuple[Key, GdprRequestConfirmed]]) -> None:
    """Keep parts as the services sealed them; one that comes again is the same."""
    await connection.execute(
        """
        INSERT INTO admin_core.gdpr_export_parts (merchant_id, request_id, service, part, sealed)
        SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::int[], $5::bytea[])
        ON CONFLICT DO NOTHING
        """,
        [merchant_id for (merchant_id, _), _ in parts],
        [request_id for (_, request_id), _ in parts],
        [each.service for _, each in parts],
        [each.part for _, each in parts],
        [each.sealed for _, each in parts],
    )


async def names(connection: Connection, merchant_id: str, request_id: UUID) -> list[tuple[str, int]]:
    """The parts of an export, in their order: service and number."""
    rows = await connection.fetch(
        """
        SELECT service, part FROM admin_core.gdpr_export_parts
        WHERE merchant_id = $1 AND request_id = $2 ORDER BY service, part
        """,
        merchant_id,
        request_id,
    )
    return [(row["service"], row["part"]) for row in rows]


async def part(connection: Connection, merchant_id: str, request_id: UUID, service: str, number: int) -> bytes | None:
    """One part, sealed."""
    found: bytes | None = await connection.fetchval(
        """
        SELECT sealed FROM admin_core.gdpr_export_parts
        WHERE merchant_id = $1 AND request_id = $2 AND service = $3 AND part = $4
        """,
        merchant_id,
        request_id,
        service,
        number,
    )
    return found


async def delete_expired(connection: Connection, now: datetime, limit: int) -> list[Key]:
    """Delete exports whose time is over, under the worker role. Returns of which requests."""
    rows = await connection.fetch(
        """
        WITH over AS (
            SELECT r.merchant_id, r.request_id FROM admin_core.gdpr_requests r
            WHERE r.kind = 'customer_data' AND r.export_until <= $1
            ORDER BY r.merchant_id, r.request_id LIMIT $2 FOR UPDATE
        ), gone AS (
            DELETE FROM admin_core.gdpr_export_parts p USING over o
            WHERE p.merchant_id = o.merchant_id AND p.request_id = o.request_id
        )
        UPDATE admin_core.gdpr_requests r
        SET export_until = NULL, customer_sealed = NULL, customer_hash = NULL
        FROM over o WHERE r.merchant_id = o.merchant_id AND r.request_id = o.request_id
        RETURNING r.merchant_id, r.request_id
        """,
        now,
        limit,
    )
    return [(row["merchant_id"], row["request_id"]) for row in rows]


async def forget_customers(connection: Connection, ended_before: datetime, limit: int) -> int:
    """Forget whose the requests were that ended before a time, under the worker role. Returns how many."""
    result: str = await connection.execute(
        """
        UPDATE admin_core.gdpr_requests r SET customer_sealed = NULL, customer_hash = NULL
        FROM (
            SELECT n.merchant_id, n.request_id FROM admin_core.gdpr_requests n
            WHERE n.customer_sealed IS NOT NULL AND n.ended_at < $1 AND n.export_until IS NULL
            ORDER BY n.merchant_id, n.request_id LIMIT $2 FOR UPDATE
        ) o
        WHERE r.merchant_id = o.merchant_id AND r.request_id = o.request_id
        """,
        ended_before,
        limit,
    )
    return int(result.rpartition(" ")[2])
