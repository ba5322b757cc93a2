"""All SQL of what addresses want and suffered, and of whose past is being told."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from loyalnest.admin_features.models import Standing
from loyalnest.kit.database import Connection

Key = tuple[str, int]
"""(merchant_id, customer_id)."""


async def standings(
    connection: Connection, merchant_id: str, addresses: Sequence[tuple[bytes, int | None]]
) -> Mapping[tuple[bytes, int | None], Standing]:
    """What is known about each address, given with the customer whose it is (None for a friend's).

    Who unsubscribed or complained did so under any address; a bounce is of one address.
    """
    rows = await connection.fetch(
        """
        SELECT k.number,
               bool_or(a.unsubscribed_at IS NOT NULL) AS unsubscribed,
               bool_or(a.complained_at IS NOT NULL) AS complained,
               bool_or(a.bounced_at IS NOT NULL AND a.address_hash = k.address_hash) AS bounced
        FROM unnest($2::bytea[], $3::bigint[]) WITH ORDINALITY AS k(address_hash, customer_id, number)
        JOIN admin_features.addresses a ON a.merchant_id = $1
            AND (a.address_hash = k.address_hash OR a.customer_id = k.customer_id)
        GROUP BY k.number
        """,
        merchant_id,
        [address_hash for address_hash, _ in addresses],
        [customer_id for _, customer_id in addresses],
    )
    return {
        addresses[row["number"] - 1]: Standing(row["unsubscribed"], row["bounced"], row["complained"]) for row in rows
    }


async def set_subscribed(
    connection: Connection,
    merchant_id: str,
    address_hash: bytes,
    customer_id: int | None,
    now: datetime,
    *,
    subscribed: bool,
) -> bool:
    """Note that a person unsubscribed, or wants messages again. Returns whether that changed anything.

    Who subscribes again takes back a complaint too, and under every address of the customer. The customer is noted only
    as long as a message to that address is theirs: a link from before a redaction brings nothing of them back.
    """
    changed = await connection.fetch(
        """
        INSERT INTO admin_features.addresses AS a (merchant_id, address_hash, customer_id, unsubscribed_at, updated_at)
        VALUES ($1, $2, (
            SELECT m.customer_id FROM admin_features.email_events m
            WHERE m.merchant_id = $1 AND m.customer_id = $3 AND m.address_hash = $2 LIMIT 1
        ), CASE WHEN $5 THEN NULL ELSE $4::timestamptz END, $4)
        ON CONFLICT (merchant_id, address_hash) DO UPDATE
        SET unsubscribed_at = excluded.unsubscribed_at, customer_id = coalesce(excluded.customer_id, a.customer_id),
            complained_at = CASE WHEN $5 THEN NULL ELSE a.complained_at END, updated_at = excluded.updated_at
        WHERE (a.unsubscribed_at IS NULL) <> $5 OR ($5 AND a.complained_at IS NOT NULL)
        RETURNING a.address_hash
        """,
        merchant_id,
        address_hash,
        customer_id,
        now,
        subscribed,
    )
    others: Sequence[object] = ()
    if subscribed and customer_id is not None:
        others = await connection.fetch(
            """
            UPDATE admin_features.addresses a SET unsubscribed_at = NULL, complained_at = NULL, updated_at = $3
            WHERE a.merchant_id = $1 AND a.customer_id = $2
                AND (a.unsubscribed_at IS NOT NULL OR a.complained_at IS NOT NULL)
            RETURNING a.address_hash
            """,
            merchant_id,
            customer_id,
            now,
        )
    return bool(changed or others)


async def forget_bounce(connection: Connection, merchant_id: str, address_hash: bytes, now: datetime) -> bool:
    """Let an address be tried again that bounced. Returns whether it had."""
    result: str = await connection.execute(
        """
        UPDATE admin_features.addresses a SET bounced_at = NULL, updated_at = $3
        WHERE a.merchant_id = $1 AND a.address_hash = $2 AND a.bounced_at IS NOT NULL
        """,
        merchant_id,
        address_hash,
        now,
    )
    return result != "UPDATE 0"


async def mark_history(connection: Connection, keys: Iterable[Key], now: datetime) -> None:
    """Note that old orders of these customers are being told."""
    ordered = sorted(set(keys))
    await connection.execute(
        """
        INSERT INTO admin_features.history_marks AS h (merchant_id, customer_id, seen_at)
        SELECT k.merchant_id, k.customer_id, $3
        FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
        ORDER BY k.merchant_id, k.customer_id
        ON CONFLICT (merchant_id, customer_id) DO UPDATE SET seen_at = greatest(h.seen_at, excluded.seen_at)
        """,
        [merchant_id for merchant_id, _ in ordered],
        [customer_id for _, customer_id in ordered],
        now,
    )


async def marked(connection: Connection, merchant_id: str, customers: Iterable[int], since: datetime) -> set[int]:
    """Those of `customers` of whom old orders were told since then."""
    rows = await connection.fetch(
        """
        SELECT h.customer_id FROM admin_features.history_marks h
        WHERE h.merchant_id = $1 AND h.customer_id = ANY($2::bigint[]) AND h.seen_at > $3
        """,
        merchant_id,
        sorted(set(customers)),
        since,
    )
    return {row["customer_id"] for row in rows}


async def forget_history(connection: Connection, before: datetime) -> int:
    """Drop marks that are too old to matter, of every merchant. Returns how many."""
    result: str = await connection.execute(
        """
        DELETE FROM admin_features.history_marks h
        WHERE h.seen_at < $1 AND h.merchant_id IS NOT NULL
        """,
        before,
    )
    return int(result.rpartition(" ")[2])
