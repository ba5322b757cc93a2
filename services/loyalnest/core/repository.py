"""All SQL that changes customers: rows are loaded, locked and stored as arrays.

Rows are locked sorted by key, so that two batches cannot deadlock. Rows that do not exist yet cannot be locked: they
are inserted when the batch is stored, and a batch that finds that another made one first is rolled back and comes
again (`RaceLost`).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from loyalnest.core.events import CustomerCreated, CustomerUpdated
from loyalnest.core.merging import changed_fields, merge, new_customer, stays_redacted
from loyalnest.core.models import PERSONAL, Customer, Key, Report, SealedField
from loyalnest.kit.crypto.keyring import MerchantKeys
from loyalnest.kit.database import Connection
from loyalnest.kit.errors import RaceLost
from loyalnest.kit.events import Event
from loyalnest.rfm.events import RfmUpdated

_PLAIN = {
    "accepts_marketing": "boolean",
    "marketing_at": "timestamptz",
    "locale": "text",
    "locale_at": "timestamptz",
    "source": "text",
    "created_at": "timestamptz",
    "first_seen_at": "timestamptz",
    "updated_at": "timestamptz",
    "redacted_at": "timestamptz",
}
_PERSONAL = {
    f"{name}_{part}": kind
    for name in PERSONAL
    for part, kind in (("sealed", "bytea"), ("hash", "bytea"), ("at", "timestamptz"))
}
_WRITTEN = {"merchant_id": "text", "customer_id": "bigint", **_PERSONAL, **_PLAIN, "key_version": "bigint"}
_SCORES = ("recency", "frequency", "monetary", "segment", "rfm_updated_at")
_COLUMNS = ", ".join(_WRITTEN)
_ARRAYS = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_WRITTEN.values(), 1))
_FROM_ARRAYS = f"unnest({_ARRAYS}) AS v({_COLUMNS})"
_SET = ", ".join(f"{name} = v.{name}" for name in list(_WRITTEN)[2:])

SELECTED = ", ".join(f"c.{name}" for name in (*_WRITTEN, *_SCORES) if name != "key_version")
"""The columns, of `core.customers c`, that `customer_of` reads."""


class Registry:
    """The customers that one transaction has loaded, made and changed."""

    def __init__(self) -> None:
        self.customers: dict[Key, Customer] = {}
        self.created: list[Key] = []
        self.changed: dict[Key, list[str]] = {}
        self._stored: dict[Key, Customer] = {}

    async def lock(self, connection: Connection, keys: Iterable[Key]) -> None:
        """Load and lock the customers of `keys` that are there."""
        ordered = sorted(set(keys))
        rows = await connection.fetch(
            f"""
            SELECT {SELECTED}
            FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
            JOIN core.customers c ON c.merchant_id = k.merchant_id AND c.customer_id = k.customer_id
            ORDER BY c.merchant_id, c.customer_id
            FOR UPDATE OF c
            """,
            [merchant_id for merchant_id, _ in ordered],
            [customer_id for _, customer_id in ordered],
        )
        for row in rows:
            self.add(customer_of(row))

    def add(self, customer: Customer) -> None:
        """Take in a customer as it is stored, and locked by this transaction."""
        key = (customer.merchant_id, customer.customer_id)
        self.customers[key] = customer
        self._stored[key] = customer.snapshot()

    def apply(self, reports: Iterable[Report], keys: Mapping[str, MerchantKeys | None], now: datetime) -> None:
        """Take in what is said of locked customers and of new ones, in its order; not of those who stay redacted."""
        for report in reports:
            key = (report.merchant_id, report.customer_id)
            known = self.customers.get(key)
            if known is not None and stays_redacted(known, report):
                continue
            if known is None or known.redacted_at is not None:
                self.customers[key] = new_customer(report, now)
            merge(self.customers[key], report, keys[report.merchant_id])

    async def store(self, connection: Connection) -> None:
        """Write what was made or changed, and note it. Raises RaceLost if a customer that was new is there already."""
        new = [self.customers[key] for key in sorted(self.customers.keys() - self._stored.keys())]
        known = [self.customers[key] for key, before in self._stored.items() if self.customers[key] != before]
        if new:
            try:
                await connection.execute(
                    f"INSERT INTO core.customers ({_COLUMNS}) SELECT {_COLUMNS} FROM {_FROM_ARRAYS}", *_arrays(new)
                )
            except asyncpg.UniqueViolationError as error:
                raise RaceLost("A customer of this batch was made by another at the same moment.") from error
        if known:
            await connection.execute(
                f"""
                UPDATE core.customers c SET {_SET}
                FROM {_FROM_ARRAYS}
                WHERE c.merchant_id = v.merchant_id AND c.customer_id = v.customer_id
                """,
                *_arrays(known),
            )
        self.created = [(each.merchant_id, each.customer_id) for each in new]
        for customer in known:
            key = (customer.merchant_id, customer.customer_id)
            if fields := changed_fields(self._stored[key].values(), customer.values()):
                self.changed[key] = fields

    def events(self) -> list[Event]:
        """What `store` made and changed, for the outbox: names of fields, never values."""
        told: list[Event] = []
        for key in self.created:
            each = self.customers[key]
            created = CustomerCreated(
                customer_id=each.customer_id, source=each.source, created_at=each.created_at or each.first_seen_at
            )
            told.append(created.event(each.merchant_id, str(each.customer_id)))
        for key, fields in self.changed.items():
            each = self.customers[key]
            updated = CustomerUpdated(customer_id=each.customer_id, fields=fields, updated_at=each.updated_at)
            told.append(updated.event(each.merchant_id, str(each.customer_id)))
        return told


async def upsert_scores(
    connection: Connection, changes: Sequence[tuple[str, RfmUpdated]], now: datetime
) -> list[tuple[str, int]]:
    """Keep the newest scores of each customer, given as (merchant_id, change); of one moment the last.

    A customer that is not known yet, because rfm was quicker than the delivery, is made. Returns those made.
    Redacted ones stay as they are.
    Rows are locked before any is made, as `Registry` does it, so that the two cannot deadlock.
    """
    newest: dict[Key, RfmUpdated] = {}
    for merchant_id, change in changes:
        known = newest.get((merchant_id, change.customer_id))
        if known is None or known.as_of <= change.as_of:
            newest[merchant_id, change.customer_id] = change
    ordered = sorted(newest.items(), key=lambda item: item[0])
    await connection.execute(
        """
        SELECT 1
        FROM unnest($1::text[], $2::bigint[]) AS k(merchant_id, customer_id)
        JOIN core.customers c ON c.merchant_id = k.merchant_id AND c.customer_id = k.customer_id
        ORDER BY c.merchant_id, c.customer_id
        FOR UPDATE OF c
        """,
        [merchant_id for (merchant_id, _), _ in ordered],
        [customer_id for (_, customer_id), _ in ordered],
    )
    rows = await connection.fetch(
        """
        INSERT INTO core.customers AS c
            (merchant_id, customer_id, recency, frequency, monetary, segment, rfm_updated_at, source, first_seen_at,
             updated_at)
        SELECT v.*, 'rfm', $8, v.rfm_updated_at
        FROM unnest($1::text[], $2::bigint[], $3::smallint[], $4::smallint[], $5::smallint[], $6::text[],
                    $7::timestamptz[])
            AS v(merchant_id, customer_id, recency, frequency, monetary, segment, rfm_updated_at)
        ON CONFLICT (merchant_id, customer_id) DO UPDATE
        SET recency = excluded.recency, frequency = excluded.frequency, monetary = excluded.monetary,
            segment = excluded.segment, rfm_updated_at = excluded.rfm_updated_at
        WHERE c.redacted_at IS NULL AND (c.rfm_updated_at IS NULL OR c.rfm_updated_at <= excluded.rfm_updated_at)
        RETURNING c.merchant_id, c.customer_id, c.xmax = 0 AS made
        """,
        [merchant_id for (merchant_id, _), _ in ordered],
        [customer_id for (_, customer_id), _ in ordered],
        [change.recency for _, change in ordered],
        [change.frequency for _, change in ordered],
        [change.monetary for _, change in ordered],
        [change.segment for _, change in ordered],
        [change.as_of for _, change in ordered],
        now,
    )
    return [(row["merchant_id"], row["customer_id"]) for row in rows if row["made"]]


async def merchants(connection: Connection) -> list[str]:
    """Every merchant that has customers; one index look-up each."""
    rows = await connection.fetch(
        """
        WITH RECURSIVE found(merchant_id) AS (
            SELECT min(c.merchant_id) FROM core.customers c
            UNION ALL
            SELECT (SELECT min(c.merchant_id) FROM core.customers c WHERE c.merchant_id > f.merchant_id)
            FROM found f WHERE f.merchant_id IS NOT NULL
        )
        SELECT merchant_id FROM found WHERE merchant_id IS NOT NULL
        """
    )
    return [row["merchant_id"] for row in rows]


async def lock_sealed_before(
    connection: Connection, merchant_id: str, key_version: int, after: int, limit: int
) -> list[Customer]:
    """The next customers, by id above `after`, with a field sealed under an older data key than `key_version`.

    They are locked, which makes a batch of deliveries wait; those that a batch has locked are waited for.
    """
    rows = await connection.fetch(
        f"""
        SELECT {SELECTED} FROM core.customers c
        WHERE c.merchant_id = $1 AND c.key_version < $2 AND c.customer_id > $3
        ORDER BY c.customer_id LIMIT $4
        FOR UPDATE
        """,
        merchant_id,
        key_version,
        after,
        limit,
    )
    return [customer_of(row) for row in rows]


def customer_of(row: asyncpg.Record) -> Customer:
    """The customer of a row with the columns `SELECTED`."""
    return Customer(
        merchant_id=row["merchant_id"],
        customer_id=row["customer_id"],
        personal={
            name: SealedField(row[f"{name}_sealed"], row[f"{name}_hash"], row[f"{name}_at"]) for name in PERSONAL
        },
        **{name: row[name] for name in (*_PLAIN, *_SCORES)},
    )


def _arrays(customers: Sequence[Customer]) -> list[list[Any]]:
    arrays: list[list[Any]] = [[each.merchant_id for each in customers], [each.customer_id for each in customers]]
    for name in PERSONAL:
        fields = [each.personal[name] for each in customers]
        arrays += [[each.sealed for each in fields], [each.hash for each in fields], [each.at for each in fields]]
    arrays += [[getattr(each, name) for each in customers] for name in _PLAIN]
    arrays.append([each.key_version for each in customers])
    return arrays
