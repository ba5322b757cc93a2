"""All SQL of messages that are to be decided and sent. Rows are locked sorted by id."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from loyalnest.admin_features.kinds import CAPPED, Channel, Kind
from loyalnest.admin_features.models import Message, Notice, Status
from loyalnest.kit.database import Connection
from loyalnest.kit.events import new_id

_COLUMNS = """m.merchant_id, m.message_id, m.kind, m.channel, m.customer_id, m.facts, m.sealed, m.status, m.reason,
    m.language, m.template_version, m.provider, m.happened_at, m.due_at, m.created_at, m.updated_at"""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of a message. address_hash: of those that are queued only."""

    message_id: UUID
    status: Status
    reason: str = ""
    language: str = ""
    template_version: int = 0
    settings_version: int = 0
    address_hash: bytes | None = None


async def add(connection: Connection, notices: Sequence[tuple[str, Notice]], now: datetime) -> int:
    """Write the messages that are new by kind and cause, given by merchant. Returns how many."""
    result: str = await connection.execute(
        """
        INSERT INTO admin_features.email_events
            (merchant_id, message_id, kind, channel, customer_id, cause, facts, sealed, status, happened_at, due_at,
             created_at, updated_at)
        SELECT n.merchant_id, n.message_id, n.kind, n.channel, n.customer_id, n.cause, n.facts::jsonb, n.sealed,
               'pending', n.happened_at, n.due_at, $10, $10
        FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::bytea[],
                    $9::timestamptz[], $11::timestamptz[])
            AS n(merchant_id, message_id, kind, channel, customer_id, cause, facts, sealed, happened_at, due_at)
        ORDER BY n.merchant_id, n.kind, n.cause
        ON CONFLICT (merchant_id, kind, cause) DO NOTHING
        """,
        [merchant_id for merchant_id, _ in notices],
        [new_id() for _ in notices],
        [each.kind for _, each in notices],
        [each.channel for _, each in notices],
        [each.customer_id for _, each in notices],
        [each.cause for _, each in notices],
        [msgspec.json.encode(each.facts).decode() for _, each in notices],
        [each.sealed for _, each in notices],
        [each.happened_at for _, each in notices],
        now,
        [now + timedelta(seconds=each.wait) for _, each in notices],
    )
    return int(result.rpartition(" ")[2])


async def add_test(
    connection: Connection,
    merchant_id: str,
    message_id: UUID,
    kind: Kind,
    channel: Channel,
    language: str,
    now: datetime,
) -> None:
    """Note a test message that is being queued."""
    await connection.execute(
        """
        INSERT INTO admin_features.email_events
            (merchant_id, message_id, kind, channel, cause, facts, status, language, happened_at, due_at, queued_at,
             created_at, updated_at)
        VALUES ($1, $2, $3, $4, concat('test:', $2::uuid), '{}', 'queued', $5, $6, $6, $6, $6, $6)
        """,
        merchant_id,
        message_id,
        kind,
        channel,
        language,
        now,
    )


async def tests_since(connection: Connection, merchant_id: str, since: datetime) -> int:
    """How many test messages a merchant sent since then."""
    count: int = await connection.fetchval(
        """
        SELECT count(*) FROM admin_features.email_events m
        WHERE m.merchant_id = $1 AND m.customer_id IS NULL AND m.queued_at > $2
        """,
        merchant_id,
        since,
    )
    return count


async def due(connection: Connection, now: datetime, limit: int) -> dict[str, list[tuple[UUID, int]]]:
    """The messages that are due, the longest waiting first: ids and customers by merchant."""
    rows = await connection.fetch(
        """
        SELECT m.merchant_id, m.message_id, m.customer_id FROM admin_features.email_events m
        WHERE m.status = 'pending' AND m.due_at <= $1 ORDER BY m.due_at LIMIT $2
        """,
        now,
        limit,
    )
    found: dict[str, list[tuple[UUID, int]]] = {}
    for row in rows:
        found.setdefault(row["merchant_id"], []).append((row["message_id"], row["customer_id"]))
    return found


async def count_due(connection: Connection, now: datetime) -> int:
    """How many messages are due, of every merchant."""
    count: int = await connection.fetchval(
        """
        SELECT count(m.merchant_id) FROM admin_features.email_events m WHERE m.status = 'pending' AND m.due_at <= $1
        """,
        now,
    )
    return count


async def lock_pending(connection: Connection, merchant_id: str, message_ids: Sequence[UUID]) -> list[Message]:
    """Those of `message_ids` that are still pending, locked, the oldest first."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM admin_features.email_events m
        WHERE m.merchant_id = $1 AND m.message_id = ANY($2::uuid[]) AND m.status = 'pending'
        ORDER BY m.message_id FOR UPDATE
        """,
        merchant_id,
        message_ids,
    )
    return [message_of(row) for row in rows]


async def postpone(connection: Connection, merchant_id: str, message_ids: Sequence[UUID], due_at: datetime) -> None:
    """Look at pending messages again at `due_at`."""
    await connection.execute(
        """
        UPDATE admin_features.email_events m SET due_at = $3
        WHERE m.merchant_id = $1 AND m.status = 'pending' AND m.message_id = ANY(ARRAY(
            SELECT l.message_id FROM admin_features.email_events l
            WHERE l.merchant_id = $1 AND l.message_id = ANY($2::uuid[]) ORDER BY l.message_id FOR UPDATE
        ))
        """,
        merchant_id,
        message_ids,
        due_at,
    )


async def decide(connection: Connection, merchant_id: str, decided: Sequence[Decided], now: datetime) -> None:
    """Write what became of locked messages. A friend's address is not kept any longer."""
    await connection.execute(
        """
        UPDATE admin_features.email_events m
        SET status = d.status, reason = d.reason, language = d.language, template_version = d.template_version,
            settings_version = d.settings_version, address_hash = d.address_hash, sealed = NULL, updated_at = $9,
            queued_at = CASE WHEN d.status = 'queued' THEN $9::timestamptz END
        FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::int[], $7::int[], $8::bytea[])
            AS d(message_id, status, reason, language, template_version, settings_version, address_hash)
        WHERE m.merchant_id = $1 AND m.message_id = d.message_id
        """,
        merchant_id,
        [each.message_id for each in decided],
        [each.status for each in decided],
        [each.reason for each in decided],
        [each.language for each in decided],
        [each.template_version for each in decided],
        [each.settings_version for each in decided],
        [each.address_hash for each in decided],
        now,
    )


async def sent_lately(
    connection: Connection, merchant_id: str, customers: Iterable[int], now: datetime
) -> tuple[dict[int, int], dict[int, int]]:
    """Messages of the last 24 hours by customer: those that share the daily cap, and invitations."""
    rows = await connection.fetch(
        """
        SELECT m.customer_id, count(*) FILTER (WHERE m.kind = ANY($4::text[])) AS capped,
               count(*) FILTER (WHERE m.kind = 'referral_invitation') AS invitations
        FROM admin_features.email_events m
        WHERE m.merchant_id = $1 AND m.customer_id = ANY($2::bigint[]) AND m.queued_at > $3
        GROUP BY m.customer_id
        """,
        merchant_id,
        sorted(set(customers)),
        now - _DAY,
        CAPPED,
    )
    capped = {row["customer_id"]: row["capped"] for row in rows}
    return capped, {row["customer_id"]: row["invitations"] for row in rows}


async def invited_at(connection: Connection, merchant_id: str, hashes: Iterable[bytes]) -> Mapping[bytes, datetime]:
    """When addresses were last invited, by their hashes."""
    rows = await connection.fetch(
        """
        SELECT m.address_hash, max(m.queued_at) AS at FROM admin_features.email_events m
        WHERE m.merchant_id = $1 AND m.address_hash = ANY($2::bytea[]) AND m.kind = 'referral_invitation'
            AND m.queued_at IS NOT NULL
        GROUP BY m.address_hash
        """,
        merchant_id,
        sorted(set(hashes)),
    )
    return {row["address_hash"]: row["at"] for row in rows}


def message_of(row: Any) -> Message:
    """The message of a row with all of a message's columns."""
    values = dict(row)
    values |= {
        "kind": Kind(row["kind"]),
        "channel": Channel(row["channel"]),
        "status": Status(row["status"]),
        "facts": msgspec.json.decode(row["facts"]),
    }
    return Message(**values)


async def listed(
    connection: Connection, merchant_id: str, customer_id: int, status: str, before: UUID | None, limit: int
) -> list[Message]:
    """Messages newest first, those older than `before`: of one customer if it is not 0, of one status if given."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM admin_features.email_events m
        WHERE m.merchant_id = $1 AND ($2 = 0 OR m.customer_id = $2) AND ($3 = '' OR m.status = $3)
            AND ($4::uuid IS NULL OR m.message_id < $4)
        ORDER BY m.message_id DESC LIMIT $5
        """,
        merchant_id,
        customer_id,
        status,
        before,
        limit,
    )
    return [message_of(row) for row in rows]


async def message(connection: Connection, merchant_id: str, message_id: UUID) -> Message | None:
    """One message."""
    row = await connection.fetchrow(
        f"""
        SELECT {_COLUMNS} FROM admin_features.email_events m WHERE m.merchant_id = $1 AND m.message_id = $2
        """,
        merchant_id,
        message_id,
    )
    return None if row is None else message_of(row)


async def forget(connection: Connection, before: datetime, invited_before: datetime, limit: int) -> int:
    """Delete old messages, and of old invitations the hash of the friend's address. Returns how many."""
    deleted: str = await connection.execute(
        """
        DELETE FROM admin_features.email_events m USING (
            SELECT o.merchant_id, o.message_id FROM admin_features.email_events o
            WHERE o.created_at < $1 AND o.merchant_id IS NOT NULL
            ORDER BY o.merchant_id, o.message_id LIMIT $2 FOR UPDATE SKIP LOCKED
        ) old
        WHERE m.merchant_id = old.merchant_id AND m.message_id = old.message_id
        """,
        before,
        limit,
    )
    emptied: str = await connection.execute(
        """
        UPDATE admin_features.email_events m SET address_hash = NULL FROM (
            SELECT o.merchant_id, o.message_id FROM admin_features.email_events o
            WHERE o.kind = 'referral_invitation' AND o.queued_at < $1 AND o.address_hash IS NOT NULL
                AND o.merchant_id IS NOT NULL
            ORDER BY o.merchant_id, o.message_id LIMIT $2 FOR UPDATE SKIP LOCKED
        ) old
        WHERE m.merchant_id = old.merchant_id AND m.message_id = old.message_id
        """,
        invited_before,
        limit,
    )
    return int(deleted.rpartition(" ")[2]) + int(emptied.rpartition(" ")[2])
