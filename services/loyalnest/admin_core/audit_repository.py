"""All SQL of the audit log."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from loyalnest.admin_core.chain import Head, Row
from loyalnest.admin_core.subjects import Subject
from loyalnest.kit.database import Connection
from loyalnest.kit.events import new_id

SALT_BYTES = 32
PAGE = 5_000
"""Entries that a verification reads at a time."""

_COLUMNS = "merchant_id, sequence, event_id, at, actor, role, action, subject, before, after, subjects, sealed, hash"

CustomerKey = tuple[str, bytes]
"""A merchant and the keyed hash of one of its customers."""


@dataclass(frozen=True, slots=True)
class Filter:
    """What a list of entries is confined to; empty or None for no bound. `customer`: entries that name this subject."""

    actor: str = ""
    action: str = ""
    subject: str = ""
    customer: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


async def lock_heads(connection: Connection, merchants: Iterable[str]) -> dict[str, Head]:
    """The ends of these merchants' chains, locked in one order; a chain that is new begins here."""
    ordered = sorted(set(merchants))
    await connection.execute(
        """
        INSERT INTO admin_core.audit_heads (merchant_id, sequence, hash)
        SELECT m.merchant_id, 0, $2 FROM unnest($1::text[]) AS m(merchant_id)
        ON CONFLICT DO NOTHING
        """,
        ordered,
        Head().hash,
    )
    rows = await connection.fetch(
        """
        SELECT h.merchant_id, h.sequence, h.hash FROM admin_core.audit_heads h
        WHERE h.merchant_id = ANY($1::text[]) ORDER BY h.merchant_id FOR UPDATE
        """,
        ordered,
    )
    return {row["merchant_id"]: Head(row["sequence"], row["hash"]) for row in rows}


async def known_events(connection: Connection, events: Sequence[tuple[str, UUID]]) -> set[tuple[str, UUID]]:
    """Those events (merchant and id) that have an entry already. Entries stay, so this holds for ever."""
    rows = await connection.fetch(
        """
        SELECT l.merchant_id, l.event_id FROM admin_core.audit_logs l
        JOIN unnest($1::text[], $2::uuid[]) AS e(merchant_id, event_id)
          ON l.merchant_id = e.merchant_id AND l.event_id = e.event_id
        """,
        [merchant_id for merchant_id, _ in events],
        [event_id for _, event_id in events],
    )
    return {(row["merchant_id"], row["event_id"]) for row in rows}


async def subjects_of(connection: Connection, customers: Iterable[CustomerKey]) -> dict[CustomerKey, Subject]:
    """The customers' subjects, made where they are missing. The heads of their merchants are locked."""
    ordered = sorted(set(customers))
    columns = [merchant_id for merchant_id, _ in ordered], [customer_hash for _, customer_hash in ordered]
    await connection.execute(
        """
        INSERT INTO admin_core.audit_subjects (merchant_id, customer_hash, subject_id, salt)
        SELECT * FROM unnest($1::text[], $2::bytea[], $3::uuid[], $4::bytea[])
        ON CONFLICT DO NOTHING
        """,
        *columns,
        [new_id() for _ in ordered],
        [secrets.token_bytes(SALT_BYTES) for _ in ordered],
    )
    rows = await connection.fetch(
        """
        SELECT s.merchant_id, s.customer_hash, s.subject_id, s.salt FROM admin_core.audit_subjects s
        JOIN unnest($1::text[], $2::bytea[]) AS c(merchant_id, customer_hash)
          ON s.merchant_id = c.merchant_id AND s.customer_hash = c.customer_hash
        """,
        *columns,
    )
    return {(row["merchant_id"], row["customer_hash"]): Subject(row["subject_id"], row["salt"]) for row in rows}


async def redacted_at(connection: Connection, customers: Iterable[CustomerKey]) -> dict[CustomerKey, datetime]:
    """When those of these customers that were redacted were, for the last time, as far as requests remember them."""
    ordered = sorted(set(customers))
    rows = await connection.fetch(
        """
        SELECT r.merchant_id, r.customer_hash, max(p.finished_at) AS redacted_at
        FROM unnest($1::text[], $2::bytea[]) AS c(merchant_id, customer_hash)
        JOIN admin_core.gdpr_requests r
          ON r.merchant_id = c.merchant_id AND r.customer_hash = c.customer_hash AND r.kind = 'customer_redact'
        JOIN admin_core.privacy_requests p
          ON p.merchant_id = r.merchant_id AND p.request_id = r.request_id AND p.finished_at IS NOT NULL
        GROUP BY r.merchant_id, r.customer_hash
        """,
        [merchant_id for merchant_id, _ in ordered],
        [customer_hash for _, customer_hash in ordered],
    )
    return {(row["merchant_id"], row["customer_hash"]): row["redacted_at"] for row in rows}


async def insert(connection: Connection, rows: Sequence[tuple[Row, bytes]], heads: dict[str, Head]) -> None:
    """Write entries with their hashes, whom they name, and where their chains end now."""
    await connection.execute(
        f"""
        INSERT INTO admin_core.audit_logs ({_COLUMNS})
        SELECT n.merchant_id, n.sequence, n.event_id, n.at, n.actor, n.role, n.action, n.subject, n.before::jsonb,
               n.after::jsonb, string_to_array(n.subjects, ',')::uuid[], n.sealed, n.hash
        FROM unnest($1::text[], $2::bigint[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[], $7::text[],
                    $8::text[], $9::text[], $10::text[], $11::text[], $12::bytea[], $13::bytea[])
            AS n(merchant_id, sequence, event_id, at, actor, role, action, subject, before, after, subjects, sealed,
                 hash)
        """,
        [row.merchant_id for row, _ in rows],
        [row.sequence for row, _ in rows],
        [row.event_id for row, _ in rows],
        [row.at for row, _ in rows],
        [row.actor for row, _ in rows],
        [row.role for row, _ in rows],
        [row.action for row, _ in rows],
        [row.subject for row, _ in rows],
        [msgspec.json.encode(row.before).decode() for row, _ in rows],
        [msgspec.json.encode(row.after).decode() for row, _ in rows],
        [",".join(map(str, row.subjects)) for row, _ in rows],
        [row.sealed for row, _ in rows],
        [hashed for _, hashed in rows],
    )
    named = [(row.merchant_id, subject_id, row.sequence) for row, _ in rows for subject_id in row.subjects]
    await connection.execute(
        """
        INSERT INTO admin_core.audit_mentions (merchant_id, subject_id, sequence)
        SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[])
        """,
        [merchant_id for merchant_id, _, _ in named],
        [subject_id for _, subject_id, _ in named],
        [sequence for _, _, sequence in named],
    )
    await connection.execute(
        """
        UPDATE admin_core.audit_heads h SET sequence = n.sequence, hash = n.hash
        FROM unnest($1::text[], $2::bigint[], $3::bytea[]) AS n(merchant_id, sequence, hash)
        WHERE h.merchant_id = n.merchant_id
        """,
        list(heads),
        [head.sequence for head in heads.values()],
        [head.hash for head in heads.values()],
    )


async def head(connection: Connection, merchant_id: str) -> Head:
    """Where the merchant's chain ends."""
    row = await connection.fetchrow(
        "SELECT sequence, hash FROM admin_core.audit_heads WHERE merchant_id = $1", merchant_id
    )
    return Head() if row is None else Head(row["sequence"], row["hash"])


async def page(connection: Connection, merchant_id: str, after: int) -> list[tuple[Row, bytes]]:
    """The next `PAGE` entries of a chain, with their hashes."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM admin_core.audit_logs
        WHERE merchant_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3
        """,
        merchant_id,
        after,
        PAGE,
    )
    return [_read(row) for row in rows]


async def listed(
    connection: Connection, merchant_id: str, wanted: Filter, before: int, limit: int
) -> list[tuple[Row, bytes]]:
    """Entries that pass the filter, newest first, below the sequence `before` (0 for the newest)."""
    rows = await connection.fetch(
        f"""
        SELECT {_COLUMNS} FROM admin_core.audit_logs l
        WHERE l.merchant_id = $1 AND ($2::bigint = 0 OR l.sequence < $2)
          AND ($3::text = '' OR l.actor = $3) AND ($4::text = '' OR l.action = $4)
          AND ($5::text = '' OR l.subject = $5)
          AND ($6::uuid IS NULL OR l.sequence = ANY(ARRAY(
                SELECT m.sequence FROM admin_core.audit_mentions m WHERE m.merchant_id = $1 AND m.subject_id = $6)))
          AND ($7::timestamptz IS NULL OR l.at >= $7) AND ($8::timestamptz IS NULL OR l.at < $8)
        ORDER BY l.sequence DESC LIMIT $9
        """,
        merchant_id,
        before,
        wanted.actor,
        wanted.action,
        wanted.subject,
        wanted.customer,
        wanted.since,
        wanted.until,
        limit,
    )
    return [_read(row) for row in rows]


async def subject_of(connection: Connection, merchant_id: str, customer_hash: bytes) -> Subject | None:
    """A customer's subject, if any entry names the customer."""
    row = await connection.fetchrow(
        "SELECT subject_id, salt FROM admin_core.audit_subjects WHERE merchant_id = $1 AND customer_hash = $2",
        merchant_id,
        customer_hash,
    )
    return None if row is None else Subject(row["subject_id"], row["salt"])


async def subjects_named(connection: Connection, merchant_id: str, subject_ids: Sequence[UUID]) -> dict[UUID, Subject]:
    """Those of these subjects that were not redacted."""
    rows = await connection.fetch(
        """
        SELECT subject_id, salt FROM admin_core.audit_subjects
        WHERE merchant_id = $1 AND subject_id = ANY($2::uuid[])
        """,
        merchant_id,
        subject_ids,
    )
    return {row["subject_id"]: Subject(row["subject_id"], row["salt"]) for row in rows}


def _read(row: Any) -> tuple[Row, bytes]:
    entry = Row(
        merchant_id=row["merchant_id"],
        sequence=row["sequence"],
        event_id=row["event_id"],
        at=row["at"],
        actor=row["actor"],
        role=row["role"],
        action=row["action"],
        subject=row["subject"],
        before=msgspec.json.decode(row["before"], type=dict[str, str]),
        after=msgspec.json.decode(row["after"], type=dict[str, str]),
        subjects=tuple(row["subjects"]),
        sealed=row["sealed"],
    )
    return entry, row["hash"]
