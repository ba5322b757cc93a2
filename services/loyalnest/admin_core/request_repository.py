"""All SQL of GDPR requests and of installations."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from loyalnest.admin_core.events import GdprKind
from loyalnest.admin_core.models import Confirmation, GdprRequest, Installation, Source, Status
from loyalnest.kit.database import Connection

Key = tuple[str, UUID]
"""A merchant and one of its requests."""

_REQUEST = """merchant_id, request_id, kind, source, source_key, status, reason, customer_sealed, customer_hash,
    requested_by, requested_at, starts_at, due_at, told_at, tellings, ended_at, export_until"""


async def insert(connection: Connection, requests: Sequence[GdprRequest]) -> set[Key]:
    """Write those requests whose business key is new. Returns which."""
    rows = await connection.fetch(
        f"""
        INSERT INTO admin_core.gdpr_requests ({_REQUEST})
        SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                             $8::bytea[], $9::bytea[], $10::text[], $11::timestamptz[], $12::timestamptz[],
                             $13::timestamptz[], $14::timestamptz[], $15::int[], $16::timestamptz[],
                             $17::timestamptz[])
        ON CONFLICT (merchant_id, source_key) DO NOTHING
        RETURNING merchant_id, request_id
        """,
        [each.merchant_id for each in requests],
        [each.request_id for each in requests],
        [each.kind for each in requests],
        [each.source for each in requests],
        [each.source_key for each in requests],
        [each.status for each in requests],
        [each.reason for each in requests],
        [each.customer_sealed for each in requests],
        [each.customer_hash for each in requests],
        [each.requested_by for each in requests],
        [each.requested_at for each in requests],
        [each.starts_at for each in requests],
        [each.due_at for each in requests],
        [each.told_at for each in requests],
        [each.tellings for each in requests],
        [each.ended_at for each in requests],
        [each.export_until for each in requests],
    )
    return {(row["merchant_id"], row["request_id"]) for row in rows}


async def update(connection: Connection, requests: Sequence[GdprRequest]) -> None:
    """Write how far locked requests are."""
    await connection.execute(
        """
        UPDATE admin_core.gdpr_requests r
        SET status = n.status, reason = n.reason, starts_at = n.starts_at, due_at = n.due_at, told_at = n.told_at,
            tellings = n.tellings, ended_at = n.ended_at, export_until = n.export_until
        FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[],
                    $7::timestamptz[], $8::int[], $9::timestamptz[], $10::timestamptz[])
            AS n(merchant_id, request_id, status, reason, starts_at, due_at, told_at, tellings, ended_at, export_until)
        WHERE r.merchant_id = n.merchant_id AND r.request_id = n.request_id
        """,
        [each.merchant_id for each in requests],
        [each.request_id for each in requests],
        [each.status for each in requests],
        [each.reason for each in requests],
        [each.starts_at for each in requests],
        [each.due_at for each in requests],
        [each.told_at for each in requests],
        [each.tellings for each in requests],
        [each.ended_at for each in requests],
        [each.export_until for each in requests],
    )


async def lock(connection: Connection, keys: Iterable[Key]) -> list[GdprRequest]:
    """These requests, locked in one order; without those that are unknown."""
    ordered = sorted(set(keys))
    rows = await connection.fetch(
        f"""
        SELECT {_REQUEST} FROM admin_core.gdpr_requests r
        WHERE (r.merchant_id, r.request_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
        ORDER BY r.merchant_id, r.request_id FOR UPDATE
        """,
        [merchant_id for merchant_id, _ in ordered],
        [request_id for _, request_id in ordered],
    )
    return [_read(row) for row in rows]


async def get(connection: Connection, merchant_id: str, request_id: UUID) -> GdprRequest | None:
    """One request."""
    row = await connection.fetchrow(
        f"SELECT {_REQUEST} FROM admin_core.gdpr_requests WHERE merchant_id = $1 AND request_id = $2",
        merchant_id,
        request_id,
    )
    return None if row is None else _read(row)


async def by_source_key(connection: Connection, merchant_id: str, source_key: str) -> GdprRequest | None:
    """The request with a business key."""
    row = await connection.fetchrow(
        f"SELECT {_REQUEST} FROM admin_core.gdpr_requests WHERE merchant_id = $1 AND source_key = $2",
        merchant_id,
        source_key,
    )
    return None if row is None else _read(row)


async def of_shop(connection: Connection, merchant_id: str) -> list[GdprRequest]:
    """The redactions of a shop, newest first. Whoever changes one locks the shop's installation before."""
    rows = await connection.fetch(
        f"""
        SELECT {_REQUEST} FROM admin_core.gdpr_requests
        WHERE merchant_id = $1 AND kind = 'shop_redact' ORDER BY request_id DESC FOR UPDATE
        """,
        merchant_id,
    )
    return [_read(row) for row in rows]


async def listed(
    connection: Connection, merchant_id: str, status: str, kind: str, before: UUID | None, limit: int
) -> list[GdprRequest]:
    """Requests, newest first; empty words for any."""
    rows = await connection.fetch(
        f"""
        SELECT {_REQUEST} FROM admin_core.gdpr_requests
        WHERE merchant_id = $1 AND ($2::text = '' OR status = $2) AND ($3::text = '' OR kind = $3)
          AND ($4::uuid IS NULL OR request_id < $4)
        ORDER BY request_id DESC LIMIT $5
        """,
        merchant_id,
        status,
        kind,
        before,
        limit,
    )
    return [_read(row) for row in rows]


async def unfinished(connection: Connection, now: datetime, told_before: datetime, limit: int) -> list[GdprRequest]:
    """Requests that may have to be told, or completed without another confirmation, under the worker role."""
    rows = await connection.fetch(
        f"""
        SELECT {_REQUEST} FROM admin_core.gdpr_requests r
        WHERE r.merchant_id <> '' AND r.ended_at IS NULL AND r.starts_at <= $1
          AND (r.told_at IS NULL OR r.told_at <= $2)
        ORDER BY r.starts_at LIMIT $3
        """,
        now,
        told_before,
        limit,
    )
    return [_read(row) for row in rows]


async def standing(connection: Connection) -> dict[tuple[str, str], tuple[int, datetime]]:
    """How many requests have not ended, and the nearest deadline of them, by kind and status; of every merchant."""
    rows = await connection.fetch(
        """
        SELECT r.kind, r.status, count(*) AS requests, min(r.due_at) AS due_at FROM admin_core.gdpr_requests r
        WHERE r.merchant_id <> '' AND r.ended_at IS NULL GROUP BY r.kind, r.status
        """
    )
    return {(row["kind"], row["status"]): (row["requests"], row["due_at"]) for row in rows}


async def told_since(connection: Connection, merchant_id: str, since: datetime) -> list[GdprRequest]:
    """The redactions that were told since a time, oldest first; locked."""
    rows = await connection.fetch(
        f"""
        SELECT {_REQUEST} FROM admin_core.gdpr_requests
        WHERE merchant_id = $1 AND kind <> 'customer_data' AND status IN ('open', 'completed') AND told_at >= $2
        ORDER BY request_id FOR UPDATE
        """,
        merchant_id,
        since,
    )
    return [_read(row) for row in rows]


async def cancel_customers(
    connection: Connection, merchants: Sequence[str], reason: str, now: datetime
) -> list[GdprRequest]:
    """Cancel what customers of these shops have open, and return it."""
    rows = await connection.fetch(
        f"""
        UPDATE admin_core.gdpr_requests r SET status = 'cancelled', reason = $2, ended_at = $3
        WHERE r.merchant_id = ANY($1::text[]) AND r.ended_at IS NULL AND r.kind <> 'shop_redact'
        RETURNING {_REQUEST}
        """,
        merchants,
        reason,
        now,
    )
    return [_read(row) for row in rows]


async def confirmations(connection: Connection, keys: Iterable[Key]) -> dict[Key, dict[str, Confirmation]]:
    """What the services have said of these requests."""
    ordered = sorted(set(keys))
    rows = await connection.fetch(
        """
        SELECT c.merchant_id, c.request_id, c.service, c.parts, c.received, c.counts, c.confirmed_at
        FROM admin_core.gdpr_confirmations c
        JOIN unnest($1::text[], $2::uuid[]) AS k(merchant_id, request_id)
          ON c.merchant_id = k.merchant_id AND c.request_id = k.request_id
        ORDER BY c.service
        """,
        [merchant_id for merchant_id, _ in ordered],
        [request_id for _, request_id in ordered],
    )
    found: dict[Key, dict[str, Confirmation]] = {key: {} for key in ordered}
    for row in rows:
        found[row["merchant_id"], row["request_id"]][row["service"]] = Confirmation(
            service=row["service"],
            parts=row["parts"],
            received=tuple(row["received"]),
            counts=msgspec.json.decode(row["counts"], type=dict[str, int]),
            confirmed_at=row["confirmed_at"],
        )
    return found


async def store_confirmations(connection: Connection, said: Sequence[tuple[Key, Confirmation]]) -> None:
    """Write what services said of locked requests."""
    await connection.execute(
        """
        INSERT INTO admin_core.gdpr_confirmations
            (merchant_id, request_id, service, parts, received, counts, confirmed_at)
        SELECT n.merchant_id, n.request_id, n.service, n.parts, string_to_array(n.received, ',')::int[],
               n.counts::jsonb, n.confirmed_at
        FROM unnest($1::text[], $2::uuid[], $3::text[], $4::int[], $5::text[], $6::text[], $7::timestamptz[])
            AS n(merchant_id, request_id, service, parts, received, counts, confirmed_at)
        ON CONFLICT (merchant_id, request_id, service) DO UPDATE
        SET parts = excluded.parts, received = excluded.received, counts = excluded.counts,
            confirmed_at = excluded.confirmed_at
        """,
        [merchant_id for (merchant_id, _), _ in said],
        [request_id for (_, request_id), _ in said],
        [each.service for _, each in said],
        [each.parts for _, each in said],
        [",".join(map(str, each.received)) for _, each in said],
        [msgspec.json.encode(each.counts).decode() for _, each in said],
        [each.confirmed_at for _, each in said],
    )


async def lock_installations(connection: Connection, merchants: Iterable[str]) -> dict[str, Installation]:
    """What is known of these shops' installations, locked in one order."""
    ordered = sorted(set(merchants))
    await connection.execute(
        """
        INSERT INTO admin_core.installations (merchant_id)
        SELECT m.merchant_id FROM unnest($1::text[]) AS m(merchant_id)
        ON CONFLICT DO NOTHING
        """,
        ordered,
    )
    rows = await connection.fetch(
        """
        SELECT i.merchant_id, i.installed_at, i.uninstalled_at FROM admin_core.installations i
        WHERE i.merchant_id = ANY($1::text[]) ORDER BY i.merchant_id FOR UPDATE
        """,
        ordered,
    )
    return {row["merchant_id"]: Installation(row["installed_at"], row["uninstalled_at"]) for row in rows}


async def store_installations(connection: Connection, known: dict[str, Installation]) -> None:
    """Write what is known of locked installations."""
    await connection.execute(
        """
        UPDATE admin_core.installations i SET installed_at = n.installed_at, uninstalled_at = n.uninstalled_at
        FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[]) AS n(merchant_id, installed_at, uninstalled_at)
        WHERE i.merchant_id = n.merchant_id
        """,
        list(known),
        [each.installed_at for each in known.values()],
        [each.uninstalled_at for each in known.values()],
    )


def _read(row: Any) -> GdprRequest:
    values = dict(row)
    return GdprRequest(
        **values | {"kind": GdprKind(row["kind"]), "source": Source(row["source"]), "status": Status(row["status"])}
    )
