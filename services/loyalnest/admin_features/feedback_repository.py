"""All SQL of what became of messages: as event_tracking reports it, and as providers tell later.

Rows are locked sorted by merchant and id, so that reports and tellings cannot wait for each other for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from loyalnest.admin_features.feedback import BOUNCED, Feedback
from loyalnest.kit.database import Connection


@dataclass(frozen=True, slots=True)
class Report:
    """How the sending of a message ended. status: sent or failed; reason: why, if it failed."""

    merchant_id: str
    message_id: UUID
    status: str
    reason: str
    provider: str
    provider_id: str


async def report(connection: Connection, reports: Sequence[Report], now: datetime) -> None:
    """Write reports of queued messages; a message that has come to its end stays as it is."""
    keys = ([each.merchant_id for each in reports], [each.message_id for each in reports])
    await connection.execute(
        """
        SELECT FROM unnest($1::text[], $2::uuid[]) AS k(merchant_id, message_id)
        JOIN admin_features.email_events m ON m.merchant_id = k.merchant_id AND m.message_id = k.message_id
        ORDER BY m.merchant_id, m.message_id FOR UPDATE OF m
        """,
        *keys,
    )
    # Of a redacted customer, nothing is kept by which the provider could find the person.
    await connection.execute(
        """
        UPDATE admin_features.email_events m
        SET status = r.status, reason = r.reason, provider = r.provider, updated_at = $7,
            provider_id = CASE WHEN m.customer_id < 0 THEN '' ELSE r.provider_id END
        FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[])
            AS r(merchant_id, message_id, status, reason, provider, provider_id)
        WHERE m.merchant_id = r.merchant_id AND m.message_id = r.message_id AND m.status = 'queued'
        """,
        *keys,
        [each.status for each in reports],
        [each.reason for each in reports],
        [each.provider for each in reports],
        [each.provider_id for each in reports],
        now,
    )


async def note(connection: Connection, told: Feedback, now: datetime) -> bool:
    """Note a telling. False if it was told before."""
    noted = await connection.fetchval(
        """
        INSERT INTO admin_features.provider_events (merchant_id, provider, event_id, provider_id, outcome, received_at)
        VALUES ('', $1, $2, $3, $4, $5)
        ON CONFLICT (merchant_id, provider, event_id) DO NOTHING
        RETURNING event_id
        """,
        told.provider,
        told.event_id,
        told.provider_id,
        told.outcome,
        now,
    )
    return noted is not None


async def told_of(connection: Connection, provider_ids: Sequence[str]) -> list[tuple[str, str]]:
    """What was told of messages by the provider's ids of them: (provider_id, outcome)."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT p.provider_id, p.outcome FROM admin_features.provider_events p
        WHERE p.merchant_id = '' AND p.outcome <> '' AND p.provider_id = ANY($1::text[])
        ORDER BY p.provider_id, p.outcome
        """,
        provider_ids,
    )
    return [(row["provider_id"], row["outcome"]) for row in rows]


async def suffer(connection: Connection, outcomes: Sequence[tuple[str, str]], now: datetime) -> int:
    """Write outcomes, given by the provider's ids, to the messages that are known, and to their addresses.

    A complaint stands above a bounce, and both above whatever was before. An invited friend is nobody's customer.
    Returns how many messages.
    """
    rows = await connection.fetch(
        """
        SELECT m.merchant_id, m.message_id, m.address_hash, o.outcome,
               CASE WHEN m.kind <> 'referral_invitation' THEN m.customer_id END AS customer_id
        FROM unnest($1::text[], $2::text[]) AS o(provider_id, outcome)
        JOIN admin_features.email_events m ON m.merchant_id IS NOT NULL AND m.provider_id = o.provider_id
        ORDER BY m.merchant_id, m.message_id FOR UPDATE OF m
        """,
        [provider_id for provider_id, _ in outcomes],
        [outcome for _, outcome in outcomes],
    )
    for outcome in (BOUNCED, "complained"):
        those = [row for row in rows if row["outcome"] == outcome]
        await connection.execute(
            """
            UPDATE admin_features.email_events m SET status = $3, updated_at = $4
            FROM unnest($1::text[], $2::uuid[]) AS k(merchant_id, message_id)
            WHERE m.merchant_id = k.merchant_id AND m.message_id = k.message_id AND m.status <> 'complained'
            """,
            [row["merchant_id"] for row in those],
            [row["message_id"] for row in those],
            outcome,
            now,
        )
        await _mark(connection, outcome, [row for row in those if row["address_hash"] is not None], now)
    return len({(row["merchant_id"], row["message_id"]) for row in rows})


async def _mark(connection: Connection, outcome: str, rows: Sequence[Any], now: datetime) -> None:
    """Note at the addresses that mail to them bounced, or that its reader complained."""
    ordered: dict[tuple[str, bytes], int | None] = {}
    for row in rows:
        ordered[row["merchant_id"], row["address_hash"]] = row["customer_id"]
    keys = sorted(ordered)
    column = "bounced_at" if outcome == BOUNCED else "complained_at"
    await connection.execute(
        f"""
        INSERT INTO admin_features.addresses AS a (merchant_id, address_hash, customer_id, {column}, updated_at)
        SELECT k.merchant_id, k.address_hash, k.customer_id, $4, $4
        FROM unnest($1::text[], $2::bytea[], $3::bigint[]) AS k(merchant_id, address_hash, customer_id)
        ON CONFLICT (merchant_id, address_hash) DO UPDATE
        SET {column} = excluded.{column}, customer_id = coalesce(excluded.customer_id, a.customer_id),
            updated_at = excluded.updated_at
        """,
        [merchant_id for merchant_id, _ in keys],
        [address_hash for _, address_hash in keys],
        [None if outcome == BOUNCED else ordered[key] for key in keys],
        now,
    )


async def forget(connection: Connection, before: datetime) -> int:
    """Drop tellings from before, which nobody repeats any more. Returns how many."""
    result: str = await connection.execute(
        "DELETE FROM admin_features.provider_events p WHERE p.merchant_id = '' AND p.received_at < $1", before
    )
    return int(result.rpartition(" ")[2])
