"""All SQL of the batches: awards, members and lots are loaded, locked and stored as arrays.

Locks are taken in one order everywhere, awards before members, each sorted by key, so that two batches cannot
deadlock. Rows that do not exist yet cannot be locked: they are inserted when the batch is stored, and a batch that
finds that another made one first is rolled back and comes again (`RaceLost`).
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from loyalnest.kit.database import Connection
from loyalnest.kit.errors import RaceLost
from loyalnest.points.models import Lot, Member, OrderAward, Transaction
from loyalnest.points.rows import (
    as_json,
    award_of,
    award_values,
    flat,
    lot_state,
    member_arrays,
)

Key = tuple[str, int]
"""(merchant_id, order_id) or (merchant_id, customer_id)."""


class Book:
    """What one transaction has loaded, made and changed of the ledger."""

    def __init__(self) -> None:
        self.awards: dict[Key, OrderAward] = {}
        self.members: dict[Key, Member] = {}
        self.transactions: list[Transaction] = []
        self._awards_as_stored: dict[Key, tuple[Any, ...]] = {}
        self._stored_members: set[Key] = set()
        self._lots_as_stored: dict[UUID, tuple[int, int, bool]] = {}

    async def lock_awards(self, connection: Connection, keys: Iterable[Key]) -> None:
        """Load and lock the awards of `keys`; those that are not there yet begin empty."""
        merchants, orders = sorted_columns(keys)
        rows = await connection.fetch(
            """
            SELECT a.merchant_id, a.order_id, a.customer_id, a.base, a.refunded_base, a.cancelled, a.awarded_at, a.rule,
                   a.points_per_unit, a.fixed_points, a.multiplier, a.settings_version, a.awarded, a.clawed_back,
                   a.clawbacks, a.lot_id, a.bonuses
            FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, order_id)
            JOIN points.order_awards a ON a.merchant_id = k.merchant_id AND a.order_id = k.order_id
            ORDER BY a.merchant_id, a.order_id
            FOR UPDATE OF a
            """,
            merchants,
            orders,
        )
        for row in rows:
            award = award_of(row.values())
            self.awards[award.merchant_id, award.order_id] = award
            self._awards_as_stored[award.merchant_id, award.order_id] = award_values(award)
        for merchant_id, order_id in zip(merchants, orders, strict=True):
            self.awards.setdefault((merchant_id, order_id), OrderAward(merchant_id, order_id))

    async def lock_members(self, connection: Connection, keys: Iterable[Key]) -> None:
        """Load and lock the balances of `keys`; a member without any begins at zero."""
        merchants, customers = sorted_columns(keys)
        rows = await connection.fetch(
            """
            SELECT b.merchant_id, b.customer_id, b.pending, b.available, b.held, b.lifetime_earned, b.lifetime_redeemed
            FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
            JOIN points.balances b ON b.merchant_id = k.merchant_id AND b.customer_id = k.customer_id
            ORDER BY b.merchant_id, b.customer_id
            FOR UPDATE OF b
            """,
            merchants,
            customers,
        )
        for row in rows:
            member = Member(*row.values())
            self.members[member.merchant_id, member.customer_id] = member
            self._stored_members.add((member.merchant_id, member.customer_id))
        for merchant_id, customer_id in zip(merchants, customers, strict=True):
            self.members.setdefault((merchant_id, customer_id), Member(merchant_id, customer_id))

    async def load_lots(
        self, connection: Connection, keys: Iterable[Key], own: Iterable[tuple[str, UUID]] = ()
    ) -> None:
        """Load the lots with points left of locked members, and those named in `own` whatever is left of them."""
        merchants, customers = sorted_columns(keys)
        own_merchants, own_lots = sorted_columns(own)
        rows = await connection.fetch(
            """
            SELECT l.merchant_id, l.lot_id, l.customer_id, l.order_id, l.granted, l.remaining, l.expired, l.pending,
                   l.available_at, l.expires_at
            FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
            JOIN points.lots l ON l.merchant_id = k.merchant_id AND l.customer_id = k.customer_id AND l.remaining > 0
            UNION
            SELECT l.merchant_id, l.lot_id, l.customer_id, l.order_id, l.granted, l.remaining, l.expired, l.pending,
                   l.available_at, l.expires_at
            FROM unnest($3::text[], $4::uuid[]) AS k(merchant_id, lot_id)
            JOIN points.lots l ON l.merchant_id = k.merchant_id AND l.lot_id = k.lot_id
            """,
            merchants,
            customers,
            own_merchants,
            own_lots,
        )
        for row in rows:
            lot = Lot(*row.values())
            self.members[lot.merchant_id, lot.customer_id].lots[lot.lot_id] = lot
            self._lots_as_stored[lot.lot_id] = lot_state(lot)

    async def store(self, connection: Connection) -> None:
        """Write everything that was made or changed. Raises RaceLost if a row that was new is there already."""
        try:
            await self._store_awards(connection)
            await self._store_members(connection)
        except asyncpg.UniqueViolationError as error:
            raise RaceLost(f"{error.table_name}: {error.detail}") from error
        # Whoever comes this far has the locks: a business key that is there already is a fault, not a race.
        await self._store_transactions(connection)
        await self._store_lots(connection)

    async def _store_awards(self, connection: Connection) -> None:
        stored = self._awards_as_stored
        new = [self.awards[key] for key in sorted(self.awards.keys() - stored.keys())]
        known = [self.awards[key] for key, values in stored.items() if award_values(self.awards[key]) != values]
        if new:
            await connection.execute(
                f"""
                INSERT INTO points.order_awards ({_AWARD_COLUMNS})
                SELECT {_AWARD_COLUMNS} FROM {_AWARD_ROWS}
                """,
                as_json(new),
            )
        if known:
            await connection.execute(
                f"""
                UPDATE points.order_awards a
                SET customer_id = v.customer_id, base = v.base, refunded_base = v.refunded_base,
                    cancelled = v.cancelled, awarded_at = v.awarded_at, rule = v.rule,
                    points_per_unit = v.points_per_unit, fixed_points = v.fixed_points, multiplier = v.multiplier,
                    settings_version = v.settings_version, awarded = v.awarded, clawed_back = v.clawed_back,
                    clawbacks = v.clawbacks, lot_id = v.lot_id, bonuses = v.bonuses
                FROM {_AWARD_ROWS}
                WHERE a.merchant_id = v.merchant_id AND a.order_id = v.order_id
                """,
                as_json(known),
            )

    async def _store_members(self, connection: Connection) -> None:
        touched = {(each.merchant_id, each.customer_id) for each in self.transactions}
        new = [self.members[key] for key in sorted(touched - self._stored_members)]
        known = [self.members[key] for key in touched & self._stored_members]
        arrays = (
            "unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])"
        )
        if new:
            await connection.execute(
                f"""
                INSERT INTO points.balances
                    (merchant_id, customer_id, pending, available, held, lifetime_earned, lifetime_redeemed)
                SELECT * FROM {arrays}
                """,
                *member_arrays(new),
            )
        if known:
            await connection.execute(
                f"""
                UPDATE points.balances b
                SET pending = v.pending, available = v.available, held = v.held,
                    lifetime_earned = v.lifetime_earned, lifetime_redeemed = v.lifetime_redeemed, updated_at = now()
                FROM {arrays}
                    AS v(merchant_id, customer_id, pending, available, held, lifetime_earned, lifetime_redeemed)
                WHERE b.merchant_id = v.merchant_id AND b.customer_id = v.customer_id
                """,
                *member_arrays(known),
            )

    async def _store_transactions(self, connection: Connection) -> None:
        if not self.transactions:
            return
        await connection.execute(
            """
            INSERT INTO points.points_transactions
                (merchant_id, transaction_id, customer_id, kind, points, source, order_id, rule, settings_version,
                 actor, note, created_at)
            SELECT merchant_id, transaction_id, customer_id, kind, points, source, order_id, rule, settings_version,
                   actor, note, created_at
            FROM json_to_recordset($1::json) AS v(
                merchant_id text, transaction_id uuid, customer_id bigint, kind text, points bigint, source text,
                order_id bigint, rule text, settings_version int, actor text, note text, created_at timestamptz)
            """,
            as_json([flat(row) for row in self.transactions]),
        )
        entries = [
            (row.merchant_id, row.transaction_id, account.value, row.customer_id, amount)
            for row in self.transactions
            for account, amount in row.entries.items()
        ]
        if entries:
            await connection.execute(
                """
                INSERT INTO points.ledger_entries (merchant_id, transaction_id, account, customer_id, amount)
                SELECT v.merchant_id, v.transaction_id, v.account::points.account, v.customer_id, v.amount
                FROM unnest($1::text[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[])
                    AS v(merchant_id, transaction_id, account, customer_id, amount)
                """,
                *map(list, zip(*entries, strict=True)),
            )

    async def _store_lots(self, connection: Connection) -> None:
        lots = [lot for member in self.members.values() for lot in member.lots.values()]
        stored = self._lots_as_stored
        new = [lot for lot in lots if lot.lot_id not in stored]
        changed = [lot for lot in lots if lot.lot_id in stored and stored[lot.lot_id] != lot_state(lot)]
        if new:
            await connection.execute(
                f"INSERT INTO points.lots ({_LOT_COLUMNS}) SELECT {_LOT_COLUMNS} FROM {_LOT_ROWS}", as_json(new)
            )
        if changed:
            await connection.execute(
                f"""
                UPDATE points.lots l SET remaining = v.remaining, expired = v.expired, pending = v.pending
                FROM {_LOT_ROWS}
                WHERE l.merchant_id = v.merchant_id AND l.lot_id = v.lot_id
                """,
                as_json(changed),
            )


async def take_new_refunds(
    connection: Connection, refunds: Sequence[tuple[str, int, int, Decimal]]
) -> list[tuple[str, int, Decimal]]:
    """Note refunds, given as (merchant_id, order_id, refund_id, base). Returns the new ones without their ids.

    A refund that comes again with another base keeps the first, in one batch as over several.
    """
    if not refunds:
        return []
    unique: dict[tuple[str, int, int], Decimal] = {}
    for merchant_id, order_id, refund_id, base in refunds:
        unique.setdefault((merchant_id, order_id, refund_id), base)
    keys = sorted(unique)
    rows = await connection.fetch(
        """
        INSERT INTO points.order_refunds (merchant_id, order_id, refund_id, base)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::numeric[])
        ON CONFLICT DO NOTHING
        RETURNING merchant_id, order_id, base
        """,
        [merchant_id for merchant_id, _, _ in keys],
        [order_id for _, order_id, _ in keys],
        [refund_id for _, _, refund_id in keys],
        [unique[key] for key in keys],
    )
    return [(row["merchant_id"], row["order_id"], row["base"]) for row in rows]


async def posted_sources(connection: Connection, sources: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the business keys (merchant_id, source) that were posted already."""
    merchants, names = sorted_columns(sources)
    rows = await connection.fetch(
        """
        SELECT t.merchant_id, t.source
        FROM unnest($1::text[], $2::text[]) AS k(merchant_id, source)
        JOIN points.points_transactions t ON t.merchant_id = k.merchant_id AND t.source = k.source
        """,
        merchants,
        names,
    )
    return {(row["merchant_id"], row["source"]) for row in rows}


def sorted_columns(keys: Iterable[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    """Unique keys, sorted, as two arrays."""
    ordered = sorted(set(keys))
    return [key[0] for key in ordered], [key[1] for key in ordered]


_AWARD_COLUMNS = """merchant_id, order_id, customer_id, base, refunded_base, cancelled, awarded_at, rule,
    points_per_unit, fixed_points, multiplier, settings_version, awarded, clawed_back, clawbacks, lot_id, bonuses"""
_AWARD_ROWS = """json_to_recordset($1::json) AS v(merchant_id text, order_id bigint, customer_id bigint, base numeric,
    refunded_base numeric, cancelled boolean, awarded_at timestamptz, rule text, points_per_unit numeric,
    fixed_points bigint, multiplier numeric, settings_version int, awarded bigint, clawed_back bigint, clawbacks int,
    lot_id uuid, bonuses jsonb)"""
_LOT_COLUMNS = """merchant_id, lot_id, customer_id, order_id, granted, remaining, expired, pending, available_at,
    expires_at"""
_LOT_ROWS = """json_to_recordset($1::json) AS v(merchant_id text, lot_id uuid, customer_id bigint, order_id bigint,
    granted bigint, remaining bigint, expired bigint, pending boolean, available_at timestamptz,
    expires_at timestamptz)"""
