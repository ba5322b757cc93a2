"""All SQL of the batches: codes, orders, buyers and referrals are loaded, locked and stored as arrays.

Locks are taken in one order everywhere, codes before orders before buyers before referrals, each sorted by key, so that
two batches cannot deadlock. Rows that are not there yet are made first, so that there is something to lock. A row that
is used is written, too: a redaction, which sees everything as of one moment, then begins again instead of missing what
came with it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from loyalnest.kit.database import Connection
from loyalnest.referrals.identity import PERSONS, Identity
from loyalnest.referrals.models import Buyer, Order, Referral
from loyalnest.referrals.rules import Evidence

Key = tuple[str, int]
"""(merchant_id, order_id) or (merchant_id, customer_id)."""

_encoder = msgspec.json.Encoder(decimal_format="string")


@dataclass(frozen=True, slots=True)
class Pair:
    """A referral's two persons, and the friend's first paid order."""

    merchant_id: str
    referrer_id: int
    friend_id: int
    first_placed_at: datetime
    first_order_id: int


class Book:
    """What one transaction has loaded, made and changed."""

    def __init__(self) -> None:
        self.orders: dict[Key, Order] = {}
        self.buyers: dict[Key, Buyer] = {}
        self.referrals: dict[Key, Referral] = {}
        """By (merchant_id, friend_id)."""
        self._orders_as_stored: dict[Key, Order] = {}
        self._referrals_as_stored: dict[Key, Referral] = {}

    async def lock_orders(self, connection: Connection, make: Iterable[Key], also: Iterable[Key]) -> None:
        """Load and lock the orders `make`, made if they are not there, and those of `also` that are there."""
        wanted = set(make)
        await connection.execute(
            """
            INSERT INTO referrals.orders (merchant_id, order_id)
            SELECT k.merchant_id, k.order_id FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, order_id)
            ON CONFLICT DO NOTHING
            """,
            *sorted_columns(wanted),
        )
        rows = await connection.fetch(
            f"""
            SELECT {columns_of("o", Order)}
            FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, order_id)
            JOIN referrals.orders o ON o.merchant_id = k.merchant_id AND o.order_id = k.order_id
            ORDER BY o.merchant_id, o.order_id
            FOR UPDATE OF o
            """,
            *sorted_columns(wanted.union(also)),
        )
        for row in rows:
            self._take_order(Order(*row.values()))

    async def lock_buyers(self, connection: Connection, keys: Iterable[Key]) -> None:
        """Load and lock the buyers `keys`, made if they are not there, with their orders by a code and referrals."""
        columns = sorted_columns(keys)
        await connection.execute(
            """
            INSERT INTO referrals.buyers (merchant_id, customer_id)
            SELECT k.merchant_id, k.customer_id FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
            ON CONFLICT DO NOTHING
            """,
            *columns,
        )
        rows = await connection.fetch(
            f"""
            SELECT {columns_of("b", Buyer)}
            FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
            JOIN referrals.buyers b ON b.merchant_id = k.merchant_id AND b.customer_id = k.customer_id
            ORDER BY b.merchant_id, b.customer_id
            FOR UPDATE OF b
            """,
            *columns,
        )
        for row in rows:
            buyer = Buyer(*row.values())
            self.buyers[buyer.merchant_id, buyer.customer_id] = buyer
        # Whoever changes one of these orders takes its buyer, too, and so comes before or after us.
        rows = await connection.fetch(
            f"""
            SELECT {columns_of("o", Order)}
            FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
            JOIN referrals.orders o ON o.merchant_id = k.merchant_id AND o.customer_id = k.customer_id
            """,
            *columns,
        )
        for row in rows:
            self._take_order(Order(*row.values()))
        rows = await connection.fetch(
            f"""
            SELECT {columns_of("r", Referral)}
            FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, friend_id)
            JOIN referrals.referrals r ON r.merchant_id = k.merchant_id AND r.friend_id = k.friend_id
            ORDER BY r.merchant_id, r.friend_id
            FOR UPDATE OF r
            """,
            *columns,
        )
        for row in rows:
            referral = Referral(*row.values())
            self.referrals[referral.merchant_id, referral.friend_id] = referral
            self._referrals_as_stored[referral.merchant_id, referral.friend_id] = replace(referral)

    async def store_buyers(self, connection: Connection, now: datetime) -> None:
        """Write the buyers, all of them (see above): before `evidence`, which asks who bought first."""
        if self.buyers:
            await connection.execute(
                f"""
                UPDATE referrals.buyers b
                SET {_set(Buyer, "customer_id")}, seen_at = $2
                FROM json_to_recordset($1::json) AS v({_typed(Buyer)})
                WHERE b.merchant_id = v.merchant_id AND b.customer_id = v.customer_id
                """,
                as_json(list(self.buyers.values())),
                now,
            )

    def changed_referrals(self, now: datetime) -> list[Referral]:
        """Referrals that are new or were changed, with their versions and times moved on."""
        changed = [
            referral for key, referral in self.referrals.items() if self._referrals_as_stored.get(key) != referral
        ]
        for referral in changed:
            if (referral.merchant_id, referral.friend_id) in self._referrals_as_stored:
                referral.version += 1
            referral.updated_at = now
        return changed

    async def store(self, connection: Connection, changed: Sequence[Referral]) -> None:
        """Write the orders that were changed, and the referrals of `changed_referrals`."""
        orders = [order for key, order in sorted(self.orders.items()) if self._orders_as_stored[key] != order]
        if orders:
            await connection.execute(
                f"""
                UPDATE referrals.orders o
                SET {_set(Order, "order_id")}
                FROM json_to_recordset($1::json) AS v({_typed(Order)})
                WHERE o.merchant_id = v.merchant_id AND o.order_id = v.order_id
                """,
                as_json(orders),
            )
        if changed:
            await connection.execute(
                f"""
                INSERT INTO referrals.referrals ({columns_of("", Referral)})
                SELECT {columns_of("v", Referral)} FROM json_to_recordset($1::json) AS v({_typed(Referral)})
                ON CONFLICT (merchant_id, referral_id) DO UPDATE SET {_set(Referral, "referral_id", "excluded")}
                """,
                as_json(changed),
            )

    def _take_order(self, order: Order) -> None:
        key = order.merchant_id, order.order_id
        if key not in self.orders:
            self.orders[key] = order
            self._orders_as_stored[key] = replace(order)


async def use_codes(
    connection: Connection, codes: Iterable[tuple[str, str]], now: datetime
) -> dict[tuple[str, str], int]:
    """The customers that codes, given as (merchant_id, code), belong to. Their rows are locked."""
    rows = await connection.fetch(
        """
        WITH locked AS MATERIALIZED (
            SELECT c.merchant_id, c.customer_id
            FROM unnest($1::text[], $2::text[]) AS k(merchant_id, code)
            JOIN referrals.referral_codes c ON c.merchant_id = k.merchant_id AND c.code = k.code
            ORDER BY c.merchant_id, c.customer_id
            FOR UPDATE OF c
        )
        UPDATE referrals.referral_codes c SET used_at = $3
        FROM locked l WHERE c.merchant_id = l.merchant_id AND c.customer_id = l.customer_id
        RETURNING c.merchant_id, c.code, c.customer_id
        """,
        *sorted_columns(codes),
        now,
    )
    return {(row["merchant_id"], row["code"]): row["customer_id"] for row in rows}


async def take_new_refunds(
    connection: Connection, refunds: Mapping[tuple[str, int, int], Decimal]
) -> list[tuple[str, int, Decimal]]:
    """Note refunds, given as base by (merchant_id, order_id, refund_id). Returns the new ones without their ids."""
    keys = sorted(refunds)
    rows = await connection.fetch(
        """
        INSERT INTO referrals.order_refunds (merchant_id, order_id, refund_id, base)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::numeric[])
        ON CONFLICT DO NOTHING
        RETURNING merchant_id, order_id, base
        """,
        [merchant_id for merchant_id, _, _ in keys],
        [order_id for _, order_id, _ in keys],
        [refund_id for _, _, refund_id in keys],
        [refunds[key] for key in keys],
    )
    return [(row["merchant_id"], row["order_id"], row["base"]) for row in rows]


async def add_identities(connection: Connection, found: Iterable[tuple[str, Identity, int]]) -> None:
    """Note by what customers are recognised, given as (merchant_id, identity, customer_id)."""
    rows = sorted(set(found))
    await connection.execute(
        """
        INSERT INTO referrals.identities (merchant_id, kind, hash, customer_id)
        SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[])
        ON CONFLICT DO NOTHING
        """,
        [merchant_id for merchant_id, _, _ in rows],
        [kind for _, (kind, _), _ in rows],
        [value for _, (_, value), _ in rows],
        [customer_id for _, _, customer_id in rows],
    )


async def evidence(connection: Connection, pairs: Sequence[Pair], now: datetime) -> dict[Key, Evidence]:
    """What is known of the persons of each pair, by (merchant_id, friend_id)."""
    rows = await connection.fetch(
        """
        SELECT k.merchant_id, k.friend_id,
               ARRAY(
                   SELECT DISTINCT f.kind FROM referrals.identities f
                   JOIN referrals.identities r ON r.merchant_id = f.merchant_id AND r.kind = f.kind AND r.hash = f.hash
                   WHERE f.merchant_id = k.merchant_id AND f.customer_id = k.friend_id
                     AND r.customer_id = k.referrer_id
               ) AS shared,
               EXISTS (
                   SELECT FROM referrals.identities f
                   JOIN referrals.identities o ON o.merchant_id = f.merchant_id AND o.kind = f.kind AND o.hash = f.hash
                   JOIN referrals.buyers b ON b.merchant_id = o.merchant_id AND b.customer_id = o.customer_id
                   WHERE f.merchant_id = k.merchant_id AND f.customer_id = k.friend_id AND f.kind = ANY($5::text[])
                     AND o.customer_id <> k.friend_id
                     AND (b.first_placed_at, b.first_order_id) < (k.first_placed_at, k.first_order_id)
               ) AS known_before,
               (SELECT count(*) FROM referrals.referrals c
                WHERE c.merchant_id = k.merchant_id AND c.referrer_id = k.referrer_id AND c.converted_at > $6) AS day,
               (SELECT count(*) FROM referrals.referrals c
                WHERE c.merchant_id = k.merchant_id AND c.referrer_id = k.referrer_id AND c.converted_at > $7) AS week
        FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[], $8::bigint[])
            AS k(merchant_id, referrer_id, friend_id, first_placed_at, first_order_id)
        """,
        [pair.merchant_id for pair in pairs],
        [pair.referrer_id for pair in pairs],
        [pair.friend_id for pair in pairs],
        [pair.first_placed_at for pair in pairs],
        sorted(PERSONS),
        now - timedelta(days=1),
        now - timedelta(days=7),
        [pair.first_order_id for pair in pairs],
    )
    return {
        (row["merchant_id"], row["friend_id"]): Evidence(
            frozenset(row["shared"]), row["known_before"], row["day"], row["week"]
        )
        for row in rows
    }


def sorted_columns(keys: Iterable[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    """Unique keys, sorted, as two arrays."""
    ordered = sorted(set(keys))
    return [key[0] for key in ordered], [key[1] for key in ordered]


def as_json(rows: Sequence[Order] | Sequence[Buyer] | Sequence[Referral]) -> str:
    """Rows as one parameter, their fields named as the columns."""
    return _encoder.encode(rows).decode()


_TYPES = {
    "merchant_id": "text", "referral_id": "uuid", "channel": "text", "status": "text", "reason": "text",
    "reviewed_by": "text", "note": "text", "paid": "boolean", "cancelled": "boolean", "version": "int",
    "settings_version": "int", "base": "numeric", "refunded_base": "numeric", "minimum_spend": "numeric",
}  # fmt: skip
"""Of the columns; the others are times by their names' end, or bigint."""


def columns_of(alias: str, row: type) -> str:
    """The columns of `row`, which are named and ordered as its fields, each of the table `alias`."""
    return ", ".join(f"{alias}.{each.name}".lstrip(".") for each in fields(row))


def _typed(row: type) -> str:
    names = [each.name for each in fields(row)]
    return ", ".join(f"{n} {_TYPES.get(n, 'timestamptz' if n.endswith('_at') else 'bigint')}" for n in names)


def _set(row: type, key: str, source: str = "v") -> str:
    return ", ".join(
        f"{each.name} = {source}.{each.name}" for each in fields(row) if each.name not in {"merchant_id", key}
    )
